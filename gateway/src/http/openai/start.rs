//! From a request to its run: a new one, one that waits for the caller's results, or the one that an
//! earlier request with the same key began.
//!
//! Whatever changes a run is done in a task of its own: a client that goes away in the middle of it
//! must not leave it half done.

use std::future::Future;

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::message::Role;
use adjutant_core::model::Usage;
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use adjutant_engine::events::event::{EventBody, RunStateName};
use adjutant_engine::events::hub::Interest;
use adjutant_engine::runs::control::ControlError;
use adjutant_engine::runs::submission::{Draft, RunRequest, Submission, Target};
use adjutant_store::threads::Kind;
use adjutant_store::{ledger, runs};
use tokio::sync::oneshot;

use super::calls::{self, Awaited};
use super::failure::Failure;
use super::follow::Follower;
use super::guard::Watch;
use super::headers::Asked;
use super::history::{self, Entry};
use super::telling::Telling;
use super::thread;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::http::files::pieces;
use crate::http::following::{Following, Happened, Place};

/// A request that was read and checked by itself.
pub(super) struct Order {
    pub(super) user: UserScope,
    pub(super) asked: Asked,
    pub(super) entries: Vec<Entry>,
    pub(super) request: RunRequest,
}

/// What every way to a run needs.
pub(in crate::http) struct Starting<'a> {
    app: &'a App,
    pub(in crate::http) engine: Engine,
    pub(in crate::http) owner: Owner,
    user: UserScope,
    /// The run is of use to this request alone.
    is_private: bool,
}

/// A run that is listened to.
pub(in crate::http) struct Started {
    pub(in crate::http) following: Following,
    watch: Watch,
    /// What the run had used before.
    pub(in crate::http) before: Usage,
}

impl From<Started> for Telling {
    fn from(started: Started) -> Self {
        Self::new(Follower::new(started.following), started.watch, started.before)
    }
}

pub(super) async fn start(app: &App, order: Order) -> Result<Telling, Failure> {
    let Order { user, asked, entries, request } = order;
    // Who names a thread or a key can come back for the answer.
    let is_private = asked.thread.is_none() && asked.client_message_id.is_none();
    let starting = Starting { is_private, ..Starting::new(app, user) };
    if let Some(id) = asked.client_message_id.as_deref()
        && let Some(started) = starting.repeat(id).await?
    {
        return Ok(started.into());
    }
    if let Some(awaited) = calls::awaited(&starting.engine, &starting.owner, &entries).await? {
        if asked.thread.is_some_and(|thread| thread != awaited.thread) {
            return Err(thread::parted("the thread does not wait for these tool results"));
        }
        if let Some(started) = starting.go_on(awaited).await? {
            return Ok(started.into());
        }
    }
    let (target, entries) = match asked.thread {
        None => (Target::New(Kind::Hidden), entries),
        Some(thread) => {
            let new = thread::new_entries(&starting.engine, &starting.owner, thread, entries).await?;
            (Target::Existing(thread), new)
        }
    };
    let submission = Submission {
        run_id: RunId::new(),
        thread: target,
        parent: None,
        messages: starting.drafts(entries).await?,
        client_message_id: asked.client_message_id,
        request,
    };
    Ok(starting.submit(submission).await?.into())
}

impl<'a> Starting<'a> {
    /// The run goes on without its client.
    pub(in crate::http) fn new(app: &'a App, user: UserScope) -> Self {
        let owner = user.scope.owner();
        Self { app, engine: app.engine().clone(), owner, user, is_private: false }
    }

    /// The entries as messages of a thread. The files that they bring are stored, unless they are there already.
    pub(in crate::http) async fn drafts(&self, entries: Vec<Entry>) -> Result<Vec<Draft>, Failure> {
        let (mut drafts, made_of) = history::drafts(entries)?;
        let mut parts = pieces::store(self.engine.store(), &self.owner, made_of).await?.into_iter();
        for draft in drafts.iter_mut().filter(|draft| draft.role == Role::User) {
            draft.parts = parts.next().ok_or_else(Failure::internal)?;
        }
        Ok(drafts)
    }

    pub(in crate::http) async fn submit(&self, submission: Submission) -> Result<Started, Failure> {
        let run = submission.run_id;
        let subscription = self.engine.hub().subscribe(&self.owner, Interest::Run(run));
        let (engine, scope, private) = (self.engine.clone(), self.user.scope.clone(), self.is_private);
        let (accepted, watch) = to_the_end(&self.engine, "submit", async move {
            let accepted = engine.submit(&scope, submission).await?;
            Ok::<_, Failure>((accepted, watch_over(&engine, &scope.owner(), accepted.run_id, private)))
        })
        .await??;
        let place = self.place(accepted.thread_id, accepted.run_id);
        let following = if accepted.repeated {
            self.join(place, accepted.seq)
        } else {
            Following::new(place, subscription, accepted.seq, self.revoked())
        };
        Ok(Started { following, watch, before: Usage::default() })
    }

    /// The run that an earlier request with this key began, from its beginning.
    pub(in crate::http) async fn repeat(&self, client_message_id: &str) -> Result<Option<Started>, Failure> {
        let store = self.engine.store();
        let before = store.scoped(&self.owner, async |tx| runs::accepted_before(tx, client_message_id).await).await?;
        let Some(before) = before else { return Ok(None) };
        let following = self.join(self.place(before.thread_id, before.run_id), before.seq);
        Ok(Some(self.started(following, Usage::default())))
    }

    /// A run that goes on without its client.
    pub(in crate::http) fn started(&self, following: Following, before: Usage) -> Started {
        Started { following, watch: Watch::none(&self.engine, &self.owner), before }
    }

    /// Listens to a run that may be going already.
    pub(in crate::http) fn join(&self, place: Place, seen: i64) -> Following {
        let subscription = place.subscribe();
        Following::new(place, subscription, seen, self.revoked()).late()
    }

    /// Hands the caller's results to the run that waits for them. `None`: somebody else was faster.
    pub(in crate::http) async fn go_on(&self, awaited: Awaited) -> Result<Option<Started>, Failure> {
        let mut following = self.join(self.place(awaited.thread, awaited.run), awaited.seen);
        loop {
            let (engine, owner) = (self.engine.clone(), self.owner.clone());
            let private = self.is_private && awaited.is_hidden;
            let (run, results) = (awaited.run, awaited.results.clone());
            let answered = to_the_end(&self.engine, "answer", async move {
                engine.answer_calls(&owner, run, results).await?;
                Ok::<_, ControlError>(watch_over(&engine, &owner, run, private))
            })
            .await?;
            match answered {
                Ok(watch) => return Ok(Some(Started { following, watch, before: awaited.before })),
                Err(ControlError::NotWaiting | ControlError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
            // A person may have allowed another call of the run just now: it waits again when that is done.
            if !self.is_open(&awaited).await? || !waits_again(&mut following).await {
                return Ok(None);
            }
        }
    }

    pub(in crate::http) fn place(&self, thread: ThreadId, run: RunId) -> Place {
        Place { engine: self.engine.clone(), owner: self.owner.clone(), thread, run }
    }

    async fn is_open(&self, awaited: &Awaited) -> Result<bool, Failure> {
        let ids: Vec<_> = awaited.results.iter().map(|(id, _)| *id).collect();
        let store = self.engine.store();
        let open = store.scoped(&self.owner, async |tx| ledger::open_with_caller(tx, &ids).await).await?;
        Ok(open.len() == ids.len())
    }

    fn revoked(&self) -> impl Future<Output = ()> + Send + 'static {
        self.app.keys().until_ended(&self.user.identity)
    }
}

/// Until the run waits; `false` when it ends instead.
async fn waits_again(following: &mut Following) -> bool {
    loop {
        match following.next().await {
            Happened::Event(event) if event.body.is_waiting() => return true,
            Happened::Event(event) if event.body.ends_run() || stands_still(&event.body) => return false,
            Happened::Event(_) | Happened::Piece(_) | Happened::Thought(_) | Happened::Progress(_) => {}
            Happened::Cut(_) => return false,
        }
    }
}

fn stands_still(body: &EventBody) -> bool {
    matches!(body, EventBody::RunState { state: RunStateName::Quarantined, .. })
}

fn watch_over(engine: &Engine, owner: &Owner, run: RunId, is_private: bool) -> Watch {
    if is_private { Watch::over(engine, owner, run) } else { Watch::none(engine, owner) }
}

/// Does the work even when nobody waits for it any more; what it made is dropped then.
async fn to_the_end<T: Send + 'static>(
    engine: &Engine,
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Failure> {
    let (done, result) = oneshot::channel();
    engine.supervisor().spawn(name, async move {
        let _ = done.send(work.await);
    });
    result.await.map_err(|_| Failure::internal())
}
