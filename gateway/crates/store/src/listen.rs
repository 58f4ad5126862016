//! This replica among others: its number, the lock that shows that it lives, and what others say. One connection is held
//! for both. Notices are hints: after [`Notice::Lost`] any number of them may be missing.

use std::time::Duration;

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::scope::{Owner, ProfileName, UserId};
use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use crate::error::StoreError;
use crate::hints::CHANNEL;
use crate::pool::with_limits;
use crate::store::Store;

/// First half of the advisory lock of a replica, the second being its number. The claiming function looks for it.
const LOCK: i32 = 4_277_578;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A router may forget a quiet TCP connection without telling either end.
const TCP_SILENCE: Duration = Duration::from_secs(60);
const TCP_ANSWER: Duration = Duration::from_secs(10);

/// What a replica learns from the others, and about its own hearing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A key was revoked or changed.
    Key(String),
    /// A profile was deleted.
    Profile(Owner),
    /// Something about this run is to be looked at, such as a request to cancel it.
    Run(RunId),
    /// A thread has new events.
    Thread(ThreadNews),
    /// A user stored or deleted a credential: what was made with the old one ends.
    Credentials(UserId),
    /// The MCP servers of a user changed.
    Servers(UserId),
    /// Another replica of this number lives.
    Peer(i32),
    /// What a newer replica may say.
    Other(String),
    /// Nothing is heard until [`Notice::Back`]: what was remembered may be stale from here on.
    Lost,
    /// Heard again; what happened between is unknown.
    Back,
}

/// Events `first..=last` of a thread were committed by `replica`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadNews {
    pub thread: ThreadId,
    /// The sender's opaque mark of the owner.
    pub owner_mark: u64,
    pub first: i64,
    pub last: i64,
    pub replica: i32,
}

/// This process among those that share the database. Dropping it ends its lock, and others take its runs over.
pub struct Replica {
    number: i32,
    options: PgConnectOptions,
    listener: Option<PgListener>,
    wait: Duration,
    /// Others that lived when the connection was made.
    peers: Vec<i32>,
}

impl Replica {
    /// Takes a number that no other replica has had, locks it, and listens.
    pub async fn join(store: &Store) -> Result<Self, StoreError> {
        let number = store
            .system("join as a replica", async |tx| {
                Ok(sqlx::query_scalar!(r#"select replica_number() as "number!""#).fetch_one(tx.conn()).await?)
            })
            .await?;
        let options = with_limits(store.listening().clone()).application_name(&format!("adjutant replica {number}"));
        let mut replica = Self { number, options, listener: None, wait: FIRST_WAIT, peers: Vec::new() };
        replica.connect().await?;
        Ok(replica)
    }

    pub fn number(&self) -> i32 {
        self.number
    }

    /// The next notice. May be dropped and called again without losing more than a hint.
    pub async fn next(&mut self) -> Notice {
        loop {
            if let Some(peer) = self.peers.pop() {
                return Notice::Peer(peer);
            }
            if self.listener.is_none() {
                tokio::time::sleep(self.wait).await;
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
                match self.connect().await {
                    Ok(()) => return Notice::Back,
                    Err(error) => tracing::debug!(%error, "cannot listen for notices yet"),
                }
                continue;
            }
            match self.hear().await {
                Ok(payload) => match parse(&payload) {
                    // Our own words come back too.
                    Notice::Peer(number) if number == self.number => {}
                    notice => return notice,
                },
                Err(error) => {
                    tracing::warn!(cause = %error, "notices are not heard until the database is back");
                    self.listener = None;
                    return Notice::Lost;
                }
            }
        }
    }

    async fn hear(&mut self) -> Result<String, sqlx::Error> {
        let listener = self.listener.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        loop {
            let heard = if self.options.get_socket().is_some() {
                listener.try_recv().await?
            } else {
                match tokio::time::timeout(TCP_SILENCE, listener.try_recv()).await {
                    Ok(heard) => heard?,
                    Err(_) => {
                        let answer = tokio::time::timeout(TCP_ANSWER, listener.execute("select 1")).await;
                        answer.map_err(|_| sqlx::Error::PoolTimedOut)??;
                        continue;
                    }
                }
            };
            // Never let it reconnect by itself: the new connection would be without our lock.
            return heard.map(|notice| notice.payload().to_owned()).ok_or(sqlx::Error::PoolClosed);
        }
    }

    async fn connect(&mut self) -> Result<(), StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(TCP_ANSWER)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(self.options.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        // Shared, because the server may not yet have noticed that an earlier connection of ours is gone; the numbers
        // themselves are never given out twice.
        sqlx::query!("select pg_advisory_lock_shared($1, $2)", LOCK, self.number).execute(&mut listener).await?;
        listener.listen(CHANNEL).await?;
        self.peers = sqlx::query_scalar!(
            r#"select distinct l.objid::bigint::int as "number!" from pg_locks l
                where l.locktype = 'advisory' and l.classid = $1::int::oid and l.objid <> $2::int::oid and l.granted
                  and l.database = (select d.oid from pg_database d where d.datname = current_database())"#,
            LOCK,
            self.number
        )
        .fetch_all(&mut listener)
        .await?;
        let greeting = format!("peer {}", self.number);
        sqlx::query!("select pg_notify($1, $2)", CHANNEL, greeting).execute(&mut listener).await?;
        self.listener = Some(listener);
        self.wait = FIRST_WAIT;
        Ok(())
    }
}

fn parse(payload: &str) -> Notice {
    parse_known(payload).unwrap_or_else(|| Notice::Other(payload.to_owned()))
}

fn parse_known(payload: &str) -> Option<Notice> {
    let words: Vec<&str> = payload.split(' ').collect();
    Some(match words.as_slice() {
        ["key", id] => Notice::Key((*id).to_owned()),
        ["profile", user, profile] => {
            Notice::Profile(Owner { user: UserId::parse(user).ok()?, profile: ProfileName::parse(profile).ok()? })
        }
        ["run", id] => Notice::Run(id.parse().ok()?),
        ["credentials", user] => Notice::Credentials(UserId::parse(user).ok()?),
        ["servers", user] => Notice::Servers(UserId::parse(user).ok()?),
        ["peer", number] => Notice::Peer(number.parse().ok()?),
        ["thread", thread, owner, first, last, replica] => Notice::Thread(ThreadNews {
            thread: thread.parse().ok()?,
            owner_mark: u64::from_str_radix(owner, 16).ok()?,
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            replica: replica.parse().ok()?,
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_and_unknown_ones_kept() {
        let run = RunId::new();
        let thread = ThreadId::new();
        assert_eq!(parse("key abcd"), Notice::Key("abcd".to_owned()));
        assert_eq!(parse(&format!("run {run}")), Notice::Run(run));
        assert_eq!(parse("credentials anna"), Notice::Credentials(UserId::parse("anna").unwrap()));
        assert_eq!(parse("servers anna"), Notice::Servers(UserId::parse("anna").unwrap()));
        assert_eq!(parse("peer 7"), Notice::Peer(7));
        let owner = Owner { user: UserId::parse("anna").unwrap(), profile: ProfileName::parse("work").unwrap() };
        assert_eq!(parse("profile anna work"), Notice::Profile(owner));
        let news = ThreadNews { thread, owner_mark: 0xff, first: 3, last: 5, replica: 2 };
        assert_eq!(parse(&format!("thread {thread} 00000000000000ff 3 5 2")), Notice::Thread(news));
        for odd in ["", "run", "run x", "profile anna", "profile Anna work", "thread", "peer x", "moon 1"] {
            assert_eq!(parse(odd), Notice::Other(odd.to_owned()));
        }
    }
}
