//! All that a profile holds, as lines of JSON for its owner, a page at a time. Each line names its columns, so that a new
//! one is shown when somebody decides that it may be: never a hash of a key, never the content of a credential, never an
//! answer on its way to a tool.

use sqlx::types::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

/// What lines are about; the name of a kind is the `type` of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Profile,
    Thread,
    ClientThread,
    Message,
    Run,
    Step,
    ToolCall,
    Approval,
    Question,
    Event,
    SentStep,
    SentPiece,
    File,
    Server,
    ToolDefinition,
    Policy,
    Consent,
    Credential,
}

impl Kind {
    /// In the order in which they are told.
    pub const ALL: &[Self] = &[
        Self::Profile,
        Self::Thread,
        Self::ClientThread,
        Self::Message,
        Self::Run,
        Self::Step,
        Self::ToolCall,
        Self::Approval,
        Self::Question,
        Self::Event,
        Self::SentStep,
        Self::SentPiece,
        Self::File,
        Self::Server,
        Self::ToolDefinition,
        Self::Policy,
        Self::Consent,
        Self::Credential,
    ];
}

/// The last row of a page: the next one begins after it. A table uses what its key is made of; the default stands before
/// every row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct After {
    first: Uuid,
    second: Uuid,
    number: i64,
    digest: Vec<u8>,
    texts: [String; 3],
}

/// One object of JSON. That of a file lacks its content, which is read in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub at: After,
}

impl Line {
    /// The row that the line is about, where an id is its key.
    pub fn id(&self) -> Uuid {
        self.at.first
    }
}

/// The lines of this kind after `after`, at most `limit`.
pub async fn page(tx: &mut Tx, kind: Kind, after: &After, limit: i64) -> Result<Vec<Line>, StoreError> {
    match kind {
        Kind::Profile => profile(tx, after, limit).await,
        Kind::Thread => threads(tx, after, limit).await,
        Kind::ClientThread => client_threads(tx, after, limit).await,
        Kind::Message => messages(tx, after, limit).await,
        Kind::Run => runs(tx, after, limit).await,
        Kind::Step => steps(tx, after, limit).await,
        Kind::ToolCall => tool_calls(tx, after, limit).await,
        Kind::Approval => approvals(tx, after, limit).await,
        Kind::Question => questions(tx, after, limit).await,
        Kind::Event => events(tx, after, limit).await,
        Kind::SentStep => sent_steps(tx, after, limit).await,
        Kind::SentPiece => sent_pieces(tx, after, limit).await,
        Kind::File => files(tx, after, limit).await,
        Kind::Server => servers(tx, after, limit).await,
        Kind::ToolDefinition => tool_definitions(tx, after, limit).await,
        Kind::Policy => policies(tx, after, limit).await,
        Kind::Consent => consents(tx, after, limit).await,
        Kind::Credential => credentials(tx, after, limit).await,
    }
}

/// At most `length` bytes of a file from `from` on; none behind its end. `None`: it was deleted.
pub async fn file_piece(tx: &mut Tx, file: Uuid, from: i32, length: i32) -> Result<Option<Vec<u8>>, StoreError> {
    let owner = tx.owner().clone();
    let piece = sqlx::query_scalar!(
        r#"select substring(content from $4 + 1 for $5) as "piece!" from files
            where user_id = $1 and profile = $2 and id = $3"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        file,
        from,
        length,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(piece)
}

/// A query of the owner's rows in the order of their key: what it takes from the row before, what it leaves for the next.
macro_rules! pages {
    ($($name:ident($after:ident => $($given:expr),*; $row:ident => $at:expr) $query:tt)+) => {$(
        async fn $name(tx: &mut Tx, $after: &After, limit: i64) -> Result<Vec<Line>, StoreError> {
            let owner = tx.owner().clone();
            let rows = sqlx::query!($query, owner.user.as_str(), owner.profile.as_str(), limit, $($given),*)
                .fetch_all(tx.conn())
                .await?;
            Ok(rows.into_iter().map(|$row| Line { at: $at, text: $row.line }).collect())
        }
    )+};
}

fn by_id(first: Uuid) -> After {
    After { first, ..After::default() }
}

fn by_ids(first: Uuid, second: Uuid) -> After {
    After { first, second, ..After::default() }
}

fn by_number(first: Uuid, number: i64) -> After {
    After { first, number, ..After::default() }
}

fn by_texts(texts: [&str; 3]) -> After {
    After { texts: texts.map(str::to_owned), ..After::default() }
}

pages! {
    profile(after => after.texts[0].as_str(); row => by_texts([&row.profile, "", ""]))
    r#"select profile, json_build_object('type', 'profile', 'profile', profile, 'displayName', display_name,
              'models', models, 'systemPrompt', system_prompt, 'userContext', user_context, 'timeZone', time_zone,
              'allowedServers', allowed_servers, 'origin', origin, 'createdAt', created_at, 'updatedAt',
              updated_at)::text as "line!"
         from profiles where user_id = $1 and profile = $2 and profile > $4 order by profile limit $3"#

    threads(after => after.first; row => by_id(row.id))
    r#"select id, json_build_object('type', 'thread', 'profile', profile, 'id', id, 'title', title, 'titleBy', title_by,
              'headId', head_id, 'lastSeq', last_seq, 'hidden', hidden, 'temporary', temporary, 'pinned', pinned,
              'archived', archived, 'folder', folder, 'deletedAt', deleted_at, 'forkedFromThread', forked_from_thread, 'forkedFromMessage', forked_from_message,
              'summary', summary, 'summaryTo', summary_to, 'summaryModel', summary_model, 'summaryAt', summary_at,
              'inputTokens', total_input_tokens, 'outputTokens', total_output_tokens, 'createdAt', created_at,
              'updatedAt', updated_at)::text as "line!"
         from threads where user_id = $1 and profile = $2 and id > $4 order by id limit $3"#

    client_threads(after => after.texts[0].as_str(); row => by_texts([&row.client_thread_id, "", ""]))
    r#"select client_thread_id, json_build_object('type', 'clientThread', 'profile', profile, 'clientThreadId',
              client_thread_id, 'threadId', thread_id, 'createdAt', created_at)::text as "line!"
         from client_threads where user_id = $1 and profile = $2 and client_thread_id > $4
        order by client_thread_id limit $3"#

    messages(after => after.first, after.second; row => by_ids(row.thread_id, row.id))
    r#"select thread_id, id, json_build_object('type', 'message', 'profile', profile, 'threadId', thread_id, 'id', id,
              'parentId', parent_id, 'runId', run_id, 'role', role, 'content', content, 'clientMessageId',
              client_message_id, 'seq', seq, 'partial', partial, 'model', model, 'tookMs', took_ms, 'thoughtMs', thought_ms,
              'createdAt', created_at)::text as "line!"
         from messages where user_id = $1 and profile = $2 and (thread_id, id) > ($4, $5)
        order by thread_id, id limit $3"#

    runs(after => after.first; row => by_id(row.id))
    r#"select id, json_build_object('type', 'run', 'profile', profile, 'id', id, 'threadId', thread_id, 'messageId',
              message_id, 'state', state, 'origin', origin, 'agent', agent, 'request', request, 'errorCode', error_code,
              'errorMessage', error_message, 'model', model, 'keyId', key_id, 'joinedRunId', joined_run_id,
              'clientRequestId', client_request_id, 'inputTokens', input_tokens, 'outputTokens', output_tokens,
              'cachedInputTokens', cached_input_tokens, 'cacheWriteTokens', cache_write_tokens, 'createdAt', created_at,
              'startedAt', started_at, 'finishedAt', finished_at)::text as "line!"
         from runs where user_id = $1 and profile = $2 and id > $4 order by id limit $3"#

    steps(after => after.first, after.number; row => by_number(row.run_id, row.number.into()))
    r#"select run_id, number, json_build_object('type', 'step', 'profile', profile, 'runId', run_id, 'number', number,
              'id', id, 'kind', kind, 'model', model, 'provider', provider, 'paidBy', paid_by, 'costMicros', cost_micros,
              'currency', currency, 'passedOver', passed_over, 'stop', stop, 'errorCode', error_code, 'errorMessage',
              error_message, 'inputTokens', input_tokens, 'outputTokens', output_tokens, 'cachedInputTokens',
              cached_input_tokens, 'cacheWriteTokens', cache_write_tokens, 'startedAt', started_at, 'finishedAt',
              finished_at)::text as "line!"
         from steps where user_id = $1 and profile = $2 and (run_id, number) > ($4, $5::bigint)
        order by run_id, number limit $3"#

    tool_calls(after => after.first; row => by_id(row.id))
    r#"select id, json_build_object('type', 'toolCall', 'profile', profile, 'id', id, 'runId', run_id, 'step', step,
              'position', position, 'name', name, 'server', server, 'tool', tool, 'arguments', arguments, 'risk', risk,
              'state', state, 'tries', tries, 'plannedAt', planned_at, 'startedAt', started_at, 'finishedAt',
              finished_at)::text as "line!"
         from tool_calls where user_id = $1 and profile = $2 and id > $4 order by id limit $3"#

    approvals(after => after.first; row => by_id(row.id))
    r#"select id, json_build_object('type', 'approval', 'profile', profile, 'id', id, 'runId', run_id, 'toolCallId',
              tool_call_id, 'state', state, 'decision', decision, 'reason', reason, 'why', why, 'requestedAt', requested_at,
              'decidedAt', decided_at)::text as "line!"
         from approvals where user_id = $1 and profile = $2 and id > $4 order by id limit $3"#

    questions(after => after.first; row => by_id(row.id))
    r#"select id, json_build_object('type', 'question', 'profile', profile, 'id', id, 'runId', run_id, 'toolCallId',
              tool_call_id, 'question', question, 'state', state, 'askedAt', asked_at, 'answeredAt',
              answered_at)::text as "line!"
         from questions where user_id = $1 and profile = $2 and id > $4 order by id limit $3"#

    events(after => after.first, after.number; row => by_number(row.thread_id, row.seq))
    r#"select thread_id, seq, json_build_object('type', 'event', 'profile', profile, 'threadId', thread_id, 'seq', seq,
              'runId', run_id, 'kind', kind, 'payload', payload, 'messageId', message_id, 'createdAt',
              created_at)::text as "line!"
         from events where user_id = $1 and profile = $2 and (thread_id, seq) > ($4, $5)
        order by thread_id, seq limit $3"#

    sent_steps(after => after.first, after.number; row => by_number(row.run_id, row.number.into()))
    r#"select run_id, number, json_build_object('type', 'sentStep', 'profile', profile, 'runId', run_id, 'number',
              number, 'models', models, 'parameters', parameters, 'tools', encode(tools, 'hex'), 'messages',
              (select coalesce(json_agg(encode(piece, 'hex') order by place), '[]')
                 from unnest(messages) with ordinality as pieces (piece, place)), 'sentAt', sent_at)::text as "line!"
         from sent_steps where user_id = $1 and profile = $2 and (run_id, number) > ($4, $5::bigint)
        order by run_id, number limit $3"#

    sent_pieces(after => after.first, after.digest; row => After { digest: row.digest, ..by_id(row.thread_id) })
    r#"select thread_id, digest, json_build_object('type', 'sentPiece', 'profile', profile, 'threadId', thread_id,
              'digest', encode(digest, 'hex'), 'content', content)::text as "line!"
         from sent_pieces where user_id = $1 and profile = $2 and (thread_id, digest) > ($4, $5)
        order by thread_id, digest limit $3"#

    files(after => after.first; row => by_id(row.id))
    r#"select id, json_build_object('type', 'file', 'profile', profile, 'id', id, 'name', name, 'mediaType', media_type,
              'size', size, 'sha256', encode(sha256, 'hex'), 'createdAt', created_at)::text as "line!"
         from files where user_id = $1 and profile = $2 and id > $4 order by id limit $3"#

    // An address may have a secret in its query.
    servers(after => after.texts[0].as_str(); row => by_texts([&row.name, "", ""]))
    r#"select name, json_build_object('type', 'server', 'profile', profile, 'name', name, 'url',
              regexp_replace(url, '[?#].*$', ''), 'enabled', enabled, 'lifecycle', lifecycle, 'timeoutMs', timeout_ms,
              'headers', headers, 'allowPrivate', allow_private, 'createdAt', created_at, 'updatedAt',
              updated_at)::text as "line!"
         from mcp_servers where user_id = $1 and profile = $2 and name > $4 order by name limit $3"#

    tool_definitions(
        after => after.texts[0].as_str(), after.texts[1].as_str();
        row => by_texts([&row.server, &row.tool, ""])
    )
    r#"select server, tool, json_build_object('type', 'toolDefinition', 'profile', profile, 'server', server, 'tool',
              tool, 'seen', seen, 'seenAt', seen_at, 'accepted', accepted, 'acceptedAt', accepted_at)::text as "line!"
         from mcp_tool_pins where user_id = $1 and profile = $2 and (server, tool) > ($4, $5)
        order by server, tool limit $3"#

    policies(
        after => after.texts[0].as_str(), after.texts[1].as_str();
        row => by_texts([&row.server, &row.tool, ""])
    )
    r#"select server, tool, json_build_object('type', 'policy', 'profile', profile, 'server', server, 'tool',
              nullif(tool, ''), 'policy', policy, 'updatedAt', updated_at)::text as "line!"
         from tool_policies where user_id = $1 and profile = $2 and (server, tool) > ($4, $5)
        order by server, tool limit $3"#

    consents(
        after => after.texts[0].as_str(), after.texts[1].as_str(), after.texts[2].as_str();
        row => by_texts([&row.agent, &row.server, &row.tool])
    )
    r#"select agent, server, tool, json_build_object('type', 'consent', 'profile', profile, 'agent', agent, 'server',
              server, 'tool', tool, 'createdAt', created_at)::text as "line!"
         from tool_consents where user_id = $1 and profile = $2 and (agent, server, tool) > ($4, $5, $6)
        order by agent, server, tool limit $3"#

    // Those for all profiles come with each: every profile's part says what that profile uses.
    credentials(
        after => after.texts[0].as_str(), after.texts[1].as_str();
        row => by_texts([&row.profile, &row.service, ""])
    )
    r#"select profile, service, json_build_object('type', 'credential', 'profile', profile, 'service', service,
              'scopes', scopes, 'expiresAt', expires_at, 'origin', origin, 'createdAt', created_at, 'updatedAt',
              updated_at)::text as "line!"
         from user_credentials where user_id = $1 and (profile = $2 or profile = '*') and (profile, service) > ($4, $5)
        order by profile, service limit $3"#
}
