//! What went wrong in the store, sorted by what the caller can do about it. The one place that reads SQLSTATE codes.

use std::error::Error;

use adjutant_core::credential::Service;

use crate::credentials::Unusable;
use crate::vault::VaultError;

type Source = Box<dyn Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row, or one of somebody else: the two are not told apart.
    #[error("not found")]
    NotFound,

    /// A unique, foreign key or exclusion constraint of this name stood against it.
    #[error("conflict with {0}")]
    Conflict(String),

    /// Another replica took the work over; whatever was about to be written must not be.
    #[error("the lease was taken over")]
    FenceLost,

    /// The database is gone, too slow or has no free connection. After a commit it is unknown whether it took place.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),

    /// The value cannot be stored: it breaks a check of this name, or holds what the database has no room for.
    #[error("invalid {0}")]
    Invalid(String),

    /// Nothing can be stored that must be encrypted.
    #[error("{}", VaultError::NoKey)]
    NoVaultKey,

    /// A stored credential that must not be used; safe to show. Whoever needs it refuses, and puts nothing in its place.
    #[error("the credential for {service} {why}")]
    Credential { service: Service, why: Unusable },

    /// A statement or a stored value is not what the code believes. Nothing the caller can do.
    #[error("database bug")]
    Bug(#[source] Source),
}

impl StoreError {
    /// For values read back that cannot be understood, such as an unknown state.
    pub fn bug(source: impl Into<Source>) -> Self {
        Self::Bug(source.into())
    }

    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }

    /// Whether this is the conflict with the constraint or index of that name.
    pub fn is_conflict_with(&self, constraint: &str) -> bool {
        matches!(self, Self::Conflict(name) if name == constraint)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Database(database) => {
                let constraint = database.constraint().unwrap_or("an unnamed constraint").to_owned();
                match database.code().as_deref().unwrap_or_default() {
                    "23505" | "23503" | "23P01" => Self::Conflict(constraint),
                    "23502" | "23514" => Self::Invalid(constraint),
                    // NUL and lone surrogates, which neither text nor jsonb can hold.
                    "22021" | "22P05" => Self::Invalid("character".to_owned()),
                    code if is_passing(code) => Self::Unavailable(error.into()),
                    _ => Self::Bug(error.into()),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            // A server that goes down in the middle of an answer.
            | sqlx::Error::Protocol(_) => Self::Unavailable(error.into()),
            _ => Self::Bug(error.into()),
        }
    }
}

/// States that another try, or an operator, can change: no statement of ours is wrong.
fn is_passing(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // 08 connection, 53 out of resources, 57 operator intervention and timeouts, 58 system error
    matches!(class, "08" | "53" | "57" | "58")
        // serialization failure, deadlock, lock timeout, idle-in-transaction timeout, read-only server
        || matches!(code, "40001" | "40P01" | "55P03" | "25P03" | "25006")
        // the login was refused: a changed password, pg_hba.conf
        || class == "28"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_row_is_not_found_and_a_full_pool_is_unavailable() {
        assert!(matches!(StoreError::from(sqlx::Error::RowNotFound), StoreError::NotFound));
        assert!(matches!(StoreError::from(sqlx::Error::PoolTimedOut), StoreError::Unavailable(_)));
        let gone = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(StoreError::from(gone), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::ColumnNotFound("x".to_owned())), StoreError::Bug(_)));
    }

    #[test]
    fn passing_states_are_told_from_bugs() {
        for code in ["57P01", "57P03", "57014", "53300", "08006", "40P01", "28P01"] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["42501", "42703", "22P02", "", "2"] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
