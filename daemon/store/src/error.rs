//! Errors of the store.

use beadle_model::{Blame, Coded, ContactId};
use std::path::{Path, PathBuf};

/// Why a step was not done. Nothing of the step was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue before the writer is full, or no reading connection became free in time.
    #[error("the store is overloaded ({waiting} steps waiting); retry in a moment")]
    Busy {
        /// Steps in the queue, or connections in use.
        waiting: usize,
    },
    /// No space is left on the disk, or in a database with a size limit.
    #[error("no space left in {}; free some, and the daemon will continue without a restart", path.display())]
    DiskFull {
        /// The data directory.
        path: PathBuf,
    },
    /// Storage fails for another reason than a lack of space, for example because another process holds
    /// the database's lock.
    #[error("{} cannot be written now ({reason}); the daemon retries without a restart", path.display())]
    Unavailable {
        /// The data directory.
        path: PathBuf,
        /// What SQLite reported.
        reason: String,
    },
    /// State that a commit relied on has changed. The event must be handled again.
    #[error("state `{key}` has changed since it was read")]
    StaleRead {
        /// The key, or the prefix of a listing.
        key: String,
    },
    /// A copy of a plugin's state is stale and cannot be taken, because contacts were merged
    /// meanwhile.
    #[error("contacts were merged while the plugin's state was being copied; the copy must be repeated")]
    StateMoved,
    /// The commit was prepared by a process that no longer owns the lanes.
    #[error("the commit has fence {given}, but {current} is current: another process took over")]
    Fenced {
        /// The fence of the commit.
        given: i64,
        /// The current fence.
        current: i64,
    },
    /// The requested object does not exist.
    #[error("no {what} `{id}`")]
    NotFound {
        /// `dead letter`, `conversation`, …
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Both ids refer to one contact, so it cannot be merged or marked as distinct.
    #[error("{one} and {other} are the same contact, {is}")]
    SameContact {
        /// The first id of the request.
        one: ContactId,
        /// The second id of the request.
        other: ContactId,
        /// The contact that both refer to.
        is: ContactId,
    },
    /// Another daemon uses the data directory.
    #[error(
        "{} is in use by another daemon{}; stop it, or set a different `data_dir`",
        path.display(), pid.as_deref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The other daemon's process id, if it could be read.
        pid: Option<String>,
    },
    /// The database was written by a newer version.
    #[error(
        "{} has schema version {found}, but this version of beadle supports {known} at most; \
         install the newer version again, or restore a backup from {}",
        path.display(), path.with_file_name("backups").display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest schema version that this version knows.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("{} is not a Beadle database; move it away, or set a different `data_dir`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory operation failed.
    #[error("failed to {what} {}: {source}", path.display())]
    File {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A row holds what this version cannot read.
    #[error("{what} cannot be read by this version: {why}")]
    Unreadable {
        /// The row.
        what: String,
        /// The cause.
        why: String,
    },
    /// SQLite reported an error.
    #[error("SQLite failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The writer has stopped, because the store was closed or after a fatal error.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether no step will succeed any more in this process.
    pub fn is_fatal(&self) -> bool {
        matches!(self, StoreError::Fenced { .. } | StoreError::Closed)
    }

    /// Whether storage is at fault, so that a retry helps only after someone has fixed it.
    pub(crate) fn is_storage(&self) -> bool {
        use rusqlite::ErrorCode::{DiskFull, ReadOnly, SystemIoFailure};
        if self.is_lock() {
            return true;
        }
        match self {
            StoreError::DiskFull { .. } | StoreError::Unavailable { .. } => true,
            StoreError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.code, DiskFull | SystemIoFailure | ReadOnly)
            }
            _ => false,
        }
    }

    /// Whether another process holds the database's lock.
    pub(crate) fn is_lock(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        match self {
            StoreError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.code, DatabaseBusy | DatabaseLocked)
            }
            _ => false,
        }
    }

    /// Whether the failed step has, by contract, written nothing, so that its group can be
    /// committed.
    pub(crate) fn wrote_nothing(&self) -> bool {
        matches!(
            self,
            StoreError::StaleRead { .. }
                | StoreError::StateMoved
                | StoreError::Fenced { .. }
                | StoreError::SameContact { .. }
        )
    }

    /// Adds the data directory where SQLite reports only that something is full.
    pub(crate) fn with_dir(self, dir: &Path) -> StoreError {
        match self {
            StoreError::Sqlite(rusqlite::Error::SqliteFailure(cause, _))
                if cause.code == rusqlite::ErrorCode::DiskFull =>
            {
                StoreError::DiskFull { path: dir.into() }
            }
            other => other,
        }
    }

    /// A failed file operation.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::File { what, path, source }
    }

    /// A row that cannot be read.
    pub(crate) fn unreadable(what: impl Into<String>, why: impl std::fmt::Display) -> StoreError {
        StoreError::Unreadable { what: what.into(), why: why.to_string() }
    }
}

/// The codes of [`StoreError`]; `beadle explain` documents each.
pub const CODES: [&str; 15] = [
    "store-busy",
    "disk-full",
    "store-unavailable",
    "stale-read",
    "migration-interrupted",
    "store-fenced",
    "not-found",
    "same-contact",
    "store-locked",
    "store-newer",
    "store-not-beadle",
    "store-io",
    "store-row-unreadable",
    "store-failed",
    "store-closed",
];

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        match self {
            StoreError::Busy { .. } => "store-busy",
            StoreError::DiskFull { .. } => "disk-full",
            StoreError::Unavailable { .. } => "store-unavailable",
            StoreError::StaleRead { .. } => "stale-read",
            StoreError::StateMoved => "migration-interrupted",
            StoreError::Fenced { .. } => "store-fenced",
            StoreError::NotFound { .. } => "not-found",
            StoreError::SameContact { .. } => "same-contact",
            StoreError::Locked { .. } => "store-locked",
            StoreError::Newer { .. } => "store-newer",
            StoreError::Foreign { .. } => "store-not-beadle",
            StoreError::File { .. } => "store-io",
            StoreError::Unreadable { .. } => "store-row-unreadable",
            StoreError::Sqlite(_) => "store-failed",
            StoreError::Closed => "store-closed",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            StoreError::DiskFull { .. }
            | StoreError::Unavailable { .. }
            | StoreError::NotFound { .. }
            | StoreError::SameContact { .. }
            | StoreError::Locked { .. }
            | StoreError::Newer { .. }
            | StoreError::Foreign { .. }
            | StoreError::File { .. } => Blame::Operator,
            StoreError::Sqlite(_) if self.is_storage() => Blame::Operator,
            _ => Blame::Host,
        }
    }

    fn retried(&self) -> bool {
        matches!(
            self,
            StoreError::Busy { .. }
                | StoreError::DiskFull { .. }
                | StoreError::Unavailable { .. }
                | StoreError::StaleRead { .. }
                | StoreError::StateMoved
        )
    }
}
