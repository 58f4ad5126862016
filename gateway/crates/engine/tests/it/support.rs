//! One engine on one fresh database, and what a listener of it sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::clock::SystemClock;
use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::message::{Message, Part, Role};
use adjutant_core::model::LlmClient;
use adjutant_core::prompt;
use adjutant_core::run::state::RunLimits;
use adjutant_core::scope::{Origin, ProfileName, Role as KeyRole, Scope, UserId};
use adjutant_core::tool::ToolSource;
use adjutant_engine::engine::{Engine, Parts};
use adjutant_engine::events::event::{Event, EventBody, Live};
use adjutant_engine::events::hub::{Interest, Subscription};
use adjutant_engine::events::replay;
use adjutant_engine::runs::submission::{Accepted, Draft, RunRequest, Submission, SubmitError, Target};
use adjutant_engine::supervisor::Supervisor;
use adjutant_store::runs::Run;
use adjutant_store::store::Store;
use adjutant_store::threads::Kind;
use adjutant_store::vault::Vault;
use adjutant_store::{messages, runs};
use adjutant_testkit::db::TestDb;
use adjutant_testkit::tools::FakeTools;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn anna() -> Scope {
    scope("anna", "personal")
}

pub(crate) fn scope(user: &str, profile: &str) -> Scope {
    let (user, profile) = (UserId::parse(user).unwrap(), ProfileName::parse(profile).unwrap());
    Scope::new(user, profile, KeyRole::Personal, Origin::WebSocket)
}

pub(crate) struct House {
    pub(crate) db: TestDb,
    pub(crate) engine: Engine,
    pub(crate) tools: Arc<FakeTools>,
}

impl House {
    pub(crate) async fn new(model: impl LlmClient + 'static, tools: FakeTools) -> Self {
        let db = TestDb::new().await;
        let tools = Arc::new(tools);
        let engine = engine(db.store.clone(), Arc::new(model), tools.clone(), 1);
        Self { db, engine, tools }
    }

    /// Another engine on the same database, as after a restart or on a second replica.
    pub(crate) fn another(&self, model: impl LlmClient + 'static, replica: i32) -> Engine {
        engine(self.db.store.clone(), Arc::new(model), self.tools.clone(), replica)
    }

    pub(crate) fn listen(&self) -> Subscription {
        self.engine.hub().subscribe(&anna().owner(), Interest::VisibleThreads)
    }

    pub(crate) async fn run(&self, run: RunId) -> Run {
        self.db.store.scoped(&anna().owner(), async |tx| runs::load(tx, run).await).await.unwrap()
    }

    pub(crate) async fn events(&self, thread: ThreadId) -> Vec<Event> {
        self.db.store.scoped(&anna().owner(), async |tx| replay::page(tx, thread, 0).await).await.unwrap()
    }

    pub(crate) async fn messages(&self, thread: ThreadId) -> Vec<Message> {
        self.db.store.scoped(&anna().owner(), async |tx| messages::page(tx, thread, None, 100).await).await.unwrap()
    }
}

pub(crate) fn engine(store: Store, llm: Arc<dyn LlmClient>, tools: Arc<dyn ToolSource>, replica: i32) -> Engine {
    Engine::new(Parts {
        store,
        llm,
        tools,
        clock: Arc::new(SystemClock),
        supervisor: Supervisor::new(),
        replica,
        system_prompt: prompt::SYSTEM.to_owned(),
        run_limits: RunLimits::default(),
        vault: Vault::without_key(),
    })
}

pub(crate) fn submission(thread: Option<ThreadId>, id: &str, text: &str) -> Submission {
    Submission {
        run_id: RunId::new(),
        thread: thread.map_or(Target::New(Kind::Listed), Target::Existing),
        parent: None,
        messages: vec![Draft { role: Role::User, parts: vec![Part::text(text)] }],
        client_message_id: Some(id.to_owned()),
        request: RunRequest::default(),
    }
}

pub(crate) async fn say(engine: &Engine, thread: Option<ThreadId>, id: &str, text: &str) -> Accepted {
    try_say(engine, thread, id, text).await.unwrap()
}

pub(crate) async fn try_say(
    engine: &Engine,
    thread: Option<ThreadId>,
    id: &str,
    text: &str,
) -> Result<Accepted, SubmitError> {
    engine.submit(&anna(), submission(thread, id, text)).await
}

/// Events of one run until one of them fits.
pub(crate) async fn until(
    listener: &mut Subscription,
    run: RunId,
    fits: impl Fn(&EventBody) -> bool,
) -> Vec<EventBody> {
    let mut seen = Vec::new();
    loop {
        let live = tokio::time::timeout(PATIENCE, listener.next()).await;
        let live = live.unwrap_or_else(|_| panic!("nothing more happens after {seen:#?}")).expect("fell behind");
        let Live::Durable { events, .. } = live else { continue };
        for event in events.iter().filter(|event| event.run_id == Some(run)) {
            seen.push(event.body.clone());
            if fits(&event.body) {
                return seen;
            }
        }
    }
}

pub(crate) async fn ended(listener: &mut Subscription, run: RunId) -> Vec<EventBody> {
    until(listener, run, EventBody::ends_run).await
}

/// The next piece of text.
pub(crate) async fn next_text(listener: &mut Subscription) -> String {
    loop {
        let live = tokio::time::timeout(PATIENCE, listener.next()).await.expect("no text comes").unwrap();
        if let Live::Delta(delta) = live {
            return delta.text.to_string();
        }
    }
}

pub(crate) fn kinds(bodies: &[EventBody]) -> Vec<&'static str> {
    bodies.iter().map(EventBody::kind).collect()
}

pub(crate) fn texts(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| {
            let cut = if message.partial { " (cut)" } else { "" };
            match message.parts.first() {
                Some(Part::ToolResult(result)) => {
                    format!("tool: {} {}", result.outcome.as_str(), result.content.as_str())
                }
                _ => format!("{}: {}{cut}", message.role.as_str(), message.text()),
            }
        })
        .collect()
}

/// What a thread's numbers look like; they must be 1, 2, 3, ….
pub(crate) fn gapless(events: &[Event]) -> bool {
    events.iter().zip(1..).all(|(event, number)| event.seq == number)
}

/// The children of each message, by text, to see a tree.
pub(crate) fn tree(messages: &[Message]) -> BTreeMap<String, String> {
    let text = |id| messages.iter().find(|message| message.id == id).map_or("?".to_owned(), Message::text);
    messages.iter().map(|message| (message.text(), message.parent_id.map_or("root".to_owned(), text))).collect()
}
