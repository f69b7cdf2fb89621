//! Errors of the store.

use beadle_model::{Blame, Coded, ContactId, HandlingId};
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
    /// No space is left on the disk, and the store does not open without some.
    #[error("no space left in {}, and the daemon needs some to start; free some, and start it again", path.display())]
    DiskFullAtStart {
        /// The data directory.
        path: PathBuf,
    },
    /// Storage fails for another reason than a lack of space, for example because another process
    /// holds the database's lock.
    #[error("{} cannot be written now ({reason}); the daemon retries without a restart", path.display())]
    Unavailable {
        /// The data directory.
        path: PathBuf,
        /// What SQLite reported.
        reason: String,
    },
    /// The write-ahead log has reached its limit, because a reader keeps it from restarting.
    #[error(
        "the write-ahead log in {} has {} MiB, because another program keeps a read transaction open; \
         end that program, and the daemon will continue without a restart",
        path.display(), bytes >> 20
    )]
    LogTooLarge {
        /// The data directory.
        path: PathBuf,
        /// The size of the log.
        bytes: u64,
    },
    /// State that a commit relied on has changed. The event must be handled again.
    #[error("state `{key}` has changed since it was read")]
    StaleRead {
        /// The key, or the prefix of a listing.
        key: String,
    },
    /// A commit would grow what its plugin stores beyond a quota, together with commits that came
    /// before it.
    #[error("the plugin's {resource} would have {after} bytes, more than the {quota} that it may have")]
    OverQuota {
        /// `files`, `state and timers`, or `durable requests`.
        resource: &'static str,
        /// The size after the commit.
        after: u64,
        /// The maximum size.
        quota: u64,
    },
    /// An effect cannot be stored, because it could not be read back.
    #[error("{subject} cannot be stored: {reason}")]
    Unstorable {
        /// The effect.
        subject: String,
        /// The cause.
        reason: String,
    },
    /// The retry of a handling that is no longer a dead letter: another retry succeeded, or an
    /// operator dropped it.
    #[error("{id} is no longer a dead letter: it was retried or dropped meanwhile")]
    NotDead {
        /// The handling.
        id: HandlingId,
    },
    /// A copy of a plugin's state is stale and cannot be taken, because contacts were merged
    /// meanwhile.
    #[error("contacts were merged while the plugin's state was being copied; the copy must be repeated")]
    StateMoved,
    /// The commit was prepared by a process that no longer owns the lanes.
    #[error("the commit has fence {fence}, but {current} is current: another process took over")]
    Fenced {
        /// The fence of the commit.
        fence: i64,
        /// The current fence.
        current: i64,
    },
    /// The requested object does not exist.
    #[error("no {object} `{id}`")]
    NotFound {
        /// `dead letter`, `conversation`, …
        object: &'static str,
        /// Its id.
        id: String,
    },
    /// A change of a contact that is not allowed.
    #[error("{reason}")]
    Profile {
        /// Why.
        reason: String,
    },
    /// A change of a list that is not allowed.
    #[error("{reason}")]
    List {
        /// Why.
        reason: String,
    },
    /// Both ids refer to one contact, so it cannot be merged or marked as distinct.
    #[error("{}", same_contact(*one, *other, *is))]
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
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A row holds what this version cannot read.
    #[error("{subject} cannot be read by this version: {reason}")]
    Unreadable {
        /// The row.
        subject: String,
        /// The cause.
        reason: String,
    },
    /// SQLite reported an error.
    #[error("SQLite failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The writer has stopped, because the store was closed or after a fatal error.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    /// What is wrong with the content of one row is distinguished from what is wrong with the
    /// database, so that a reader can skip the row.
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows, Utf8Error,
        };
        match error {
            FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | QueryReturnedNoRows
            | Utf8Error(..) => StoreError::unreadable("a row", error),
            error => StoreError::Sqlite(error),
        }
    }
}

impl StoreError {
    /// Whether no further step will succeed in this process.
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
                | StoreError::OverQuota { .. }
                | StoreError::NotDead { .. }
                | StoreError::Fenced { .. }
                | StoreError::SameContact { .. }
                | StoreError::Profile { .. }
                | StoreError::List { .. }
        )
    }

    /// Whether the same step would fail again for the same reason, however often it is repeated.
    pub fn is_refusal(&self) -> bool {
        use rusqlite::ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
        match self {
            StoreError::StaleRead { .. }
            | StoreError::StateMoved
            | StoreError::OverQuota { .. }
            | StoreError::Unstorable { .. }
            | StoreError::NotDead { .. }
            | StoreError::NotFound { .. }
            | StoreError::SameContact { .. }
            | StoreError::Profile { .. }
            | StoreError::List { .. }
            | StoreError::Unreadable { .. } => true,
            StoreError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.code, ConstraintViolation | ParameterOutOfRange | TooBig | TypeMismatch)
            }
            _ => false,
        }
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

    /// The same as a reason why the store does not open.
    pub(crate) fn at_start(self, dir: &Path) -> StoreError {
        match self.with_dir(dir) {
            StoreError::DiskFull { path } => StoreError::DiskFullAtStart { path },
            StoreError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                StoreError::DiskFullAtStart { path: dir.into() }
            }
            other => other,
        }
    }

    /// A failed file operation.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::File { action, path, source }
    }

    /// A row that cannot be read.
    pub(crate) fn unreadable(subject: impl Into<String>, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Unreadable { subject: subject.into(), reason: reason.to_string() }
    }
}

fn same_contact(one: ContactId, other: ContactId, is: ContactId) -> String {
    match one == other {
        true => format!("{one} was given twice; two different contacts are needed"),
        false => format!("{one} and {other} are the same contact, {is}: they were merged before"),
    }
}

/// The codes of [`StoreError`]; `beadle explain` documents each.
pub const CODES: [&str; 21] = [
    "store-busy",
    "disk-full",
    "store-unavailable",
    "store-log-too-large",
    "stale-read",
    "over-quota",
    "effect-unstorable",
    "dead-letter-settled",
    "migration-interrupted",
    "store-fenced",
    "not-found",
    "contact-value",
    "list-refused",
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
            StoreError::DiskFull { .. } | StoreError::DiskFullAtStart { .. } => "disk-full",
            StoreError::Unavailable { .. } => "store-unavailable",
            StoreError::LogTooLarge { .. } => "store-log-too-large",
            StoreError::StaleRead { .. } => "stale-read",
            StoreError::OverQuota { .. } => "over-quota",
            StoreError::Unstorable { .. } => "effect-unstorable",
            StoreError::NotDead { .. } => "dead-letter-settled",
            StoreError::StateMoved => "migration-interrupted",
            StoreError::Fenced { .. } => "store-fenced",
            StoreError::NotFound { .. } => "not-found",
            StoreError::Profile { .. } => "contact-value",
            StoreError::List { .. } => "list-refused",
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
            | StoreError::DiskFullAtStart { .. }
            | StoreError::Unavailable { .. }
            | StoreError::LogTooLarge { .. }
            | StoreError::NotFound { .. }
            | StoreError::NotDead { .. }
            | StoreError::SameContact { .. }
            | StoreError::Profile { .. }
            | StoreError::List { .. }
            | StoreError::Locked { .. }
            | StoreError::Newer { .. }
            | StoreError::Foreign { .. }
            | StoreError::File { .. } => Blame::Operator,
            StoreError::OverQuota { .. } | StoreError::Unstorable { .. } => Blame::Plugin,
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
                | StoreError::LogTooLarge { .. }
                | StoreError::StaleRead { .. }
                | StoreError::StateMoved
        ) || self.is_storage()
    }
}
