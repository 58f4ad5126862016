//! Full-text search over the messages of one owner.

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::message::Role;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::tx::Tx;

/// A message that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub thread_title: Option<String>,
    pub archived: bool,
    pub role: Role,
    pub created_at: DateTime<Utc>,
    /// Some of its text, with [`HIT_BEGINS`] and [`HIT_ENDS`] around what matched.
    pub snippet: String,
}

/// Control characters, which are taken out of the text itself first.
pub const HIT_BEGINS: char = '\u{2}';
pub const HIT_ENDS: char = '\u{3}';

/// Words as people write them into a search: words, "phrases", or, -not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words<'a> {
    pub text: &'a str,
    /// The last word may be the beginning of one.
    pub last_is_prefix: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub words: Words<'a>,
    pub role: Option<Role>,
    /// Only what was said then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what was said earlier.
    pub until: Option<DateTime<Utc>>,
    pub thread: Option<ThreadId>,
    pub before: Option<(DateTime<Utc>, MessageId)>,
    pub limit: i64,
}

/// Messages of listed threads, newest first. Words that hold no letter or digit find nothing.
pub async fn messages(tx: &mut Tx, wanted: &Wanted<'_>) -> Result<Vec<Hit>, StoreError> {
    let owner = tx.owner().clone();
    let (at, id) = wanted.before.map_or((None, None), |(at, id)| (Some(at), Some(id.as_uuid())));
    let limit = i32::try_from(wanted.limit).map_err(StoreError::bug)?;
    let rows = sqlx::query!(
        r#"with asked as (select search_words($3, $4) as words)
           select m.thread_id, m.id, t.title, t.archived, m.role, m.created_at,
                  ts_headline('simple', translate(message_text(m.content), E'\x02\x03', ''), asked.words,
                              E'StartSel="\x02", StopSel="\x03", MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=" … "')
                    as "snippet!"
             from asked
             cross join lateral messages_search(asked.words, $5, $6, $7, $8, $9, $10, $11) found
             join messages m on m.user_id = $1 and m.profile = $2 and m.thread_id = found.thread_id and m.id = found.id
             join threads t on t.user_id = $1 and t.profile = $2 and t.id = found.thread_id
            order by m.created_at desc, m.id desc"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        wanted.words.text,
        wanted.words.last_is_prefix,
        at,
        id,
        limit,
        wanted.role.map(Role::as_str),
        wanted.since,
        wanted.until,
        wanted.thread.map(ThreadId::as_uuid),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Hit {
                thread_id: ThreadId::from_uuid(row.thread_id),
                message_id: MessageId::from_uuid(row.id),
                thread_title: row.title,
                archived: row.archived,
                role: Role::parse(&row.role).ok_or_else(|| StoreError::bug(format!("unknown role {}", row.role)))?,
                created_at: row.created_at,
                snippet: row.snippet,
            })
        })
        .collect()
}
