//! Every bound in one table. `doctor` prints [`TABLE`]; code uses the constants.

use std::time::Duration;

/// One row of the table: what is bounded and by how much.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub name: &'static str,
    pub value: u64,
    pub unit: &'static str,
    pub meaning: &'static str,
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident = $value:expr, $unit:ident;)*) => {
        $($(#[doc = $doc])+ pub const $name: limits!(@type $unit $kind) = limits!(@value $unit $value);)*

        pub const TABLE: &[Limit] = &[$(Limit {
            name: stringify!($name),
            value: $value as u64,
            unit: stringify!($unit),
            meaning: concat!($($doc),+),
        }),*];
    };
    (@type milliseconds $kind:ident) => { Duration };
    (@type $unit:ident $kind:ident) => { $kind };
    (@value milliseconds $value:expr) => { Duration::from_millis($value) };
    (@value $unit:ident $value:expr) => { $value };
}

limits! {
    /// Text of one message from a client.
    MESSAGE_BYTES: usize = 256 * 1024, bytes;
    /// A message up to here can have been typed by hand; a longer one counts as a document of somebody else.
    TYPED_CHARS: usize = 4_000, characters;
    /// Parts of one message from a client.
    MESSAGE_PARTS: usize = 64, items;
    /// Files of one message from a client.
    MESSAGE_FILES: usize = 16, items;
    /// A client message id.
    CLIENT_MESSAGE_ID_CHARS: usize = 128, characters;
    /// Body of a REST request.
    HTTP_BODY_BYTES: usize = 1024 * 1024, bytes;
    /// Body of a chat completion request, which carries a whole history.
    OPENAI_BODY_BYTES: usize = 8 * 1024 * 1024, bytes;
    /// Messages of one chat completion request.
    OPENAI_MESSAGES: usize = 2_000, items;
    /// Tools that the caller of a chat completion may bring.
    CALLER_TOOLS: usize = 128, items;
    /// Descriptions and schemas of those tools together.
    CALLER_TOOL_BYTES: usize = 256 * 1024, bytes;
    /// Levels of a JSON value from outside that is kept: readers stop at 128, with what it is wrapped in.
    JSON_DEPTH: usize = 64, levels;
    /// One frame from a WebSocket client.
    WS_FRAME_BYTES: usize = 512 * 1024, bytes;
    /// Read and write buffer of one WebSocket.
    WS_BUFFER_BYTES: usize = 4 * 1024, bytes;
    /// Frames waiting for one slow WebSocket before it is closed.
    WS_QUEUE_FRAMES: usize = 1_024, items;
    /// Bytes waiting for one slow WebSocket before it is closed.
    WS_QUEUE_BYTES: usize = 256 * 1024, bytes;
    /// Requests of one WebSocket that wait for their answer; reading pauses at more.
    WS_REQUESTS: usize = 32, items;
    /// Bad frames in a row before a WebSocket is closed.
    WS_BAD_FRAMES: usize = 32, items;
    /// Threads that one WebSocket names in resume frames while it is open.
    WS_NAMED_THREADS: usize = 1_000, items;
    /// Threads whose position one WebSocket remembers; quiet ones beyond it are forgotten.
    WS_THREADS: usize = 4_096, items;
    /// Events are held back so long for the first frame of a WebSocket, which may name what the client has.
    WS_FIRST_FRAME: u64 = 500, milliseconds;
    /// Pieces of answers that one WebSocket gets are at least so far apart; what comes between them goes as one.
    WS_PIECES: u64 = 25, milliseconds;
    /// Between two pings of a WebSocket; one that said nothing since the last is cut.
    WS_PING: u64 = 30_000, milliseconds;
    /// Waiting for the other side's end when a WebSocket is closed.
    WS_CLOSE: u64 = 2_000, milliseconds;
    /// A write to a WebSocket or response that makes no progress.
    WRITE_STALL: u64 = 20_000, milliseconds;
    /// Threads named in one resume frame.
    RESUME_THREADS: usize = 200, items;
    /// Events read at once while replaying.
    REPLAY_PAGE: i64 = 200, items;
    /// Open connections of the server.
    CONNECTIONS: usize = 10_000, items;
    /// Reading the head of a request.
    HEADER_READ: u64 = 10_000, milliseconds;
    /// Reading the body of a request.
    BODY_READ: u64 = 30_000, milliseconds;
    /// Between keep-alive comments on a quiet event stream.
    STREAM_KEEP_ALIVE: u64 = 15_000, milliseconds;
    /// Profiles of one user.
    PROFILES: usize = 20, items;
    /// Name of a user or a profile as people read it.
    DISPLAY_NAME_CHARS: usize = 100, characters;
    /// System prompt of a profile.
    SYSTEM_PROMPT_BYTES: usize = 64 * 1024, bytes;
    /// What a user told about themselves in a profile.
    USER_CONTEXT_BYTES: usize = 64 * 1024, bytes;
    /// Models of a profile, in order of preference.
    PROFILE_MODELS: usize = 10, items;
    /// Name of a model in a profile.
    MODEL_NAME_CHARS: usize = 200, characters;
    /// Servers that a profile names.
    PROFILE_SERVERS: usize = 100, items;
    /// The operator's file of profiles, and a text that it refers to.
    PROFILE_FILE_BYTES: u64 = 1024 * 1024, bytes;
    /// Steps of a run that are shown at once as they were sent to the model.
    SENT_STEPS: i64 = 10, items;
    /// Text of them, beyond which the next page begins; one step is always shown whole.
    SENT_PAGE_BYTES: usize = 2 * 1024 * 1024, bytes;
    /// One file that a person attaches.
    FILE_BYTES: usize = 20 * 1024 * 1024, bytes;
    /// All files of one user.
    USER_FILE_BYTES: u64 = 2_147_483_648, bytes;
    /// Files that one request brings inside itself.
    INLINE_FILES: usize = 64, items;
    /// The name of a file.
    FILE_NAME_CHARS: usize = 200, characters;
    /// Reading an uploaded file.
    FILE_READ: u64 = 300_000, milliseconds;
    /// Uploads that one replica reads at once; more wait.
    FILE_UPLOADS: usize = 4, items;
    /// Waiting for a place to upload.
    FILE_UPLOAD_WAIT: u64 = 10_000, milliseconds;
    /// A file that no message names is removed after this time.
    FILE_UNUSED: u64 = 86_400_000, milliseconds;
    /// Images and documents that enter a prompt as they are.
    PROMPT_FILE_BYTES: u64 = 24 * 1024 * 1024, bytes;
    /// Text of one document in a prompt.
    DOCUMENT_BYTES: usize = 128 * 1024, bytes;
    /// A title that a person gives a thread.
    TITLE_CHARS: usize = 200, characters;
    /// A title that the small model gives a thread.
    MODEL_TITLE_CHARS: usize = 60, characters;
    /// The name of a folder of threads.
    FOLDER_CHARS: usize = 60, characters;
    /// Folders that are listed; threads in further ones are found by name.
    FOLDERS: i64 = 200, items;
    /// Text of a conversation that the small model reads for a title.
    TITLE_BYTES: usize = 4 * 1024, bytes;
    /// Asking the small model for a title.
    TITLE_TIME: u64 = 60_000, milliseconds;
    /// Output tokens asked of the small model for a title, with what it thinks.
    TITLE_TOKENS: u32 = 2_048, tokens;
    /// Text of its answer; more is no title.
    TITLE_ANSWER_BYTES: usize = 16 * 1024, bytes;
    /// How often a title is asked for when that fails.
    TITLE_TRIES: i32 = 3, items;
    /// A summary that stands for the older part of a thread.
    SUMMARY_BYTES: usize = 16 * 1024, bytes;
    /// The newest questions of a thread that are never summarized, with what follows them.
    SUMMARY_KEPT: usize = 2, items;
    /// Messages that are summarized before the summary is stored, and then further ones; one question's are never parted.
    SUMMARY_MESSAGES: usize = 200, items;
    /// Messages of a branch that are looked at for what is to be summarized, and for the end of a summary.
    SUMMARY_BRANCH: i64 = 5_000, items;
    /// Text of a conversation that the small model reads at once for a summary; what is longer takes several calls.
    SUMMARY_READ_BYTES: usize = 48 * 1024, bytes;
    /// Of that, one message.
    SUMMARY_MESSAGE_BYTES: usize = 8 * 1024, bytes;
    /// Of that, what one tool was given or answered.
    SUMMARY_RESULT_BYTES: usize = 2 * 1024, bytes;
    /// Writing a summary, with all its calls.
    SUMMARY_TIME: u64 = 180_000, milliseconds;
    /// Output tokens asked of the small model in one call for a summary, with what it thinks.
    SUMMARY_TOKENS: u32 = 8_192, tokens;
    /// Text of its answer; more is no summary.
    SUMMARY_ANSWER_BYTES: usize = 64 * 1024, bytes;
    /// What is searched for.
    SEARCH_CHARS: usize = 400, characters;
    /// A deleted thread can be restored for so long; then it is removed for good.
    THREAD_UNDO: u64 = 2_592_000_000, milliseconds;
    /// A temporary thread is removed for good so long after what happened last in it.
    THREAD_TEMPORARY: u64 = 86_400_000, milliseconds;
    /// Between two looks for what can be removed for good.
    PURGE: u64 = 3_600_000, milliseconds;
    /// Threads and files that are removed for good at once.
    PURGE_BATCH: i32 = 20, items;
    /// Messages of a branch that is copied into a new thread.
    FORK_MESSAGES: i64 = 5_000, items;
    /// The same messages in bytes.
    FORK_BYTES: u64 = 64 * 1024 * 1024, bytes;
    /// Messages that are copied and told at once.
    FORK_PAGE: usize = 50, items;
    /// The same in bytes; a message that is longer goes alone.
    FORK_PAGE_BYTES: u64 = 128 * 1024, bytes;
    /// Rows of an export that are read at once.
    EXPORT_PAGE: i64 = 16, items;
    /// Threads that one replica compacts at once.
    COMPACTIONS: usize = 8, items;
    /// The same for one user.
    USER_COMPACTIONS: usize = 2, items;
    /// Exports that one replica writes at once.
    EXPORTS: usize = 8, items;
    /// The same for one user.
    USER_EXPORTS: usize = 2, items;
    /// Deleting all that belongs to a user.
    ACCOUNT_DELETE: u64 = 300_000, milliseconds;
    /// Entries of one page of a list.
    PAGE: i64 = 100, items;
    /// Model calls of one run.
    RUN_STEPS: u32 = 25, items;
    /// Tokens of one run, in and out.
    RUN_TOKENS: u64 = 1_000_000, tokens;
    /// Working time of one run; waiting for a person does not count.
    RUN_TIME: u64 = 1_800_000, milliseconds;
    /// Tool calls in one model answer; more are refused, and the model is told.
    CALLS_PER_ANSWER: usize = 32, items;
    /// Runs waiting in one thread's queue.
    QUEUED_RUNS: i64 = 20, items;
    /// Runs of one replica that are worked on at once; more wait in the queue.
    ACTIVE_RUNS: usize = 2_000, items;
    /// The machine's own state after a commit.
    CHECKPOINT_BYTES: usize = 16 * 1024, bytes;
    /// Messages of a thread that are read for a prompt.
    TAIL_MESSAGES: i64 = 200, items;
    /// Text of a thread's tail that enters a prompt.
    PROMPT_BYTES: usize = 400 * 1024, bytes;
    /// Text of one model answer.
    ANSWER_BYTES: usize = 1024 * 1024, bytes;
    /// Output tokens asked of a model in one call.
    ANSWER_TOKENS: u32 = 8_192, tokens;
    /// From the model request to its first byte.
    MODEL_FIRST_BYTE: u64 = 60_000, milliseconds;
    /// Between two bytes of a model's stream.
    MODEL_IDLE: u64 = 60_000, milliseconds;
    /// Tries of one model call before its first token.
    MODEL_TRIES: u32 = 4, items;
    /// The longest Retry-After that is waited for.
    MODEL_RETRY_AFTER: u64 = 60_000, milliseconds;
    /// Connecting to a model provider.
    MODEL_CONNECT: u64 = 10_000, milliseconds;
    /// First wait between two tries of a model call; it doubles, and each wait is a random part of it.
    MODEL_BACKOFF: u64 = 500, milliseconds;
    /// Longest wait between two tries that the provider did not ask for.
    MODEL_BACKOFF_MAX: u64 = 8_000, milliseconds;
    /// One event of a model's stream.
    MODEL_EVENT_BYTES: usize = 1024 * 1024, bytes;
    /// All events of one model's stream; only text and calls are kept of them.
    MODEL_STREAM_BYTES: usize = 64 * 1024 * 1024, bytes;
    /// Thinking of one model answer, with its signatures.
    THINKING_BYTES: usize = 1024 * 1024, bytes;
    /// Models that one call may ask one after the other.
    MODEL_CHAIN: usize = 8, items;
    /// Tries of one model before the next in the list is asked; it is not waited for longer than a backoff.
    MODEL_TRIES_BEFORE_NEXT: u32 = 2, items;
    /// Calls in a row that fail before a model rests, per address and key.
    MODEL_FAILURES: u32 = 5, items;
    /// First rest of a failing model; then one call tries it, and the rest doubles if that fails too.
    MODEL_REST: u64 = 15_000, milliseconds;
    /// Longest rest of a failing model.
    MODEL_REST_MAX: u64 = 300_000, milliseconds;
    /// Models whose failures are remembered, over all keys.
    MODEL_CIRCUITS: usize = 4_096, items;
    /// Connection pools kept for keys of users; the one used longest ago goes first.
    MODEL_KEY_CLIENTS: usize = 256, items;
    /// Asking whether an Ollama is there that nobody configured.
    MODEL_PROBE: u64 = 1_000, milliseconds;
    /// The list of models that a provider offers.
    MODEL_LIST_BYTES: usize = 4 * 1024 * 1024, bytes;
    /// Of that list, what is told to a person.
    MODEL_LIST: usize = 5_000, items;
    /// Waiting for that list when a person tests a provider.
    MODEL_TEST_LIST: u64 = 15_000, milliseconds;
    /// Waiting for the word of a model that is tested: one on one's own machine may have to be loaded first.
    MODEL_TEST_ANSWER: u64 = 90_000, milliseconds;
    /// Output tokens asked of a model that is tested: enough for those that think first.
    MODEL_TEST_TOKENS: u32 = 1_024, tokens;
    /// Tests of providers that one replica makes at once; a further one is refused.
    MODEL_TESTS: usize = 16, items;
    /// Of these, tests of one user.
    USER_MODEL_TESTS: usize = 2, items;
    /// Text of one tool result.
    TOOL_RESULT_BYTES: usize = 64 * 1024, bytes;
    /// Arguments of one tool call.
    TOOL_ARGUMENT_BYTES: usize = 64 * 1024, bytes;
    /// Progress and questions of one tool call that wait to be heard; more progress is dropped, more questions are cancelled.
    CALL_EVENTS: usize = 32, items;
    /// A question that a tool asks a person, with its form.
    QUESTION_BYTES: usize = 16 * 1024, bytes;
    /// Fields of its form.
    QUESTION_FIELDS: usize = 32, items;
    /// Questions of one tool call; more are cancelled.
    QUESTIONS_PER_CALL: usize = 10, items;
    /// How long a person may take for one question; it counts neither as working time nor as time of the call.
    QUESTION_TIME: u64 = 900_000, milliseconds;
    /// Between two looks for an answer whose hint was lost.
    QUESTION_LOOK: u64 = 2_000, milliseconds;
    /// Between two progress reports of one tool call that are passed on; others are dropped.
    PROGRESS_INTERVAL: u64 = 250, milliseconds;
    /// Why a person decided so, for the model.
    REASON_CHARS: usize = 2_000, characters;
    /// Text of one progress report.
    PROGRESS_CHARS: usize = 500, characters;
    /// Policies for servers and tools of one profile.
    POLICIES: i64 = 1_000, items;
    /// Choices of one field.
    QUESTION_OPTIONS: usize = 100, items;
    /// Text that a person writes into one field.
    QUESTION_TEXT_CHARS: u64 = 4_000, characters;
    /// One message from an MCP server.
    MCP_MESSAGE_BYTES: usize = 4 * 1024 * 1024, bytes;
    /// One tool call.
    TOOL_CALL_TIME: u64 = 120_000, milliseconds;
    /// Starting and greeting an MCP server.
    MCP_CONNECT: u64 = 15_000, milliseconds;
    /// How long a run waits for servers that connect for the first time.
    MCP_CONNECT_GRACE: u64 = 4_000, milliseconds;
    /// Listing the tools of an MCP server.
    MCP_LIST: u64 = 10_000, milliseconds;
    /// Tools of one MCP server; more are left out.
    MCP_TOOLS: usize = 256, items;
    /// The definition of one tool as its owner is shown it; the rest is only hashed.
    MCP_DEFINITION_BYTES: usize = 32 * 1024, bytes;
    /// Servers that a profile of a user may add.
    MCP_USER_SERVERS: i64 = 32, items;
    /// Headers of one server that a user may fill from credentials.
    MCP_HEADERS: usize = 16, items;
    /// Definitions of one server's tools that are kept while they wait for their owner.
    MCP_PINS: i64 = 256, items;
    /// Questions that one tool call may ask a person.
    MCP_QUESTIONS: usize = 16, items;
    /// A bridge without a call is closed.
    MCP_IDLE: u64 = 900_000, milliseconds;
    /// Longest wait before a dead MCP server is tried again.
    MCP_BACKOFF: u64 = 60_000, milliseconds;
    /// A replica that does not renew its lease loses its runs.
    LEASE: u64 = 15_000, milliseconds;
    /// Renewal of leases while runs are going.
    LEASE_RENEWAL: u64 = 5_000, milliseconds;
    /// Crashes inside one run before it is quarantined.
    RUN_CRASHES: i32 = 2, items;
    /// Database connections of one replica.
    DB_CONNECTIONS: u32 = 8, items;
    /// Waiting for a database connection.
    DB_ACQUIRE: u64 = 5_000, milliseconds;
    /// One database statement.
    DB_STATEMENT: u64 = 15_000, milliseconds;
    /// Draining at shutdown before runs are handed over.
    DRAIN: u64 = 5_000, milliseconds;
    /// A client's own name for a thread, at the AG-UI door.
    CLIENT_THREAD_ID_CHARS: usize = 200, characters;
    /// Pieces of context that an AG-UI client gives with one request.
    CLIENT_CONTEXT: usize = 64, items;
    /// Text of those pieces together.
    CLIENT_CONTEXT_BYTES: usize = 64 * 1024, bytes;
    /// Interrupts that one request answers.
    RESUMED: usize = 64, items;
    /// How long `/api/v1/ask` waits for an answer.
    ASK_WAIT: u64 = 55_000, milliseconds;
    /// A signed-in browser that is not used for so long (30 days) is signed out.
    SESSION_IDLE: u64 = 2_592_000_000, milliseconds;
    /// Signed-in browsers of one user; a further one signs out the one unused longest.
    DEVICES: i32 = 50, items;
    /// A ticket for the WebSocket is good for.
    TICKET_LIFE: u64 = 30_000, milliseconds;
    /// Tickets of one user that wait to be used.
    TICKETS: i32 = 64, items;
    /// Valid keys that a user may have and still make another.
    KEYS: i32 = 100, items;
    /// Wrong keys from one address in a minute.
    WRONG_KEYS: u32 = 60, items;
    /// Keys that encrypt credentials, current and old.
    VAULT_KEYS: usize = 32, items;
    /// One secret of a credential.
    CREDENTIAL_BYTES: usize = 8 * 1024, bytes;
    /// Headers of one credential.
    CREDENTIAL_HEADERS: usize = 16, items;
    /// Scopes of one credential.
    CREDENTIAL_SCOPES: usize = 100, items;
    /// Credentials of one user.
    CREDENTIALS: i64 = 200, items;
    /// Body of a request that stores a credential.
    CREDENTIAL_BODY_BYTES: usize = 64 * 1024, bytes;
}
