//! What can go wrong in the store, for callers to act on and for people to read.

use beadle_model::{Blame, Coded, ContactId};
use std::path::{Path, PathBuf};

/// Why a step was not done. Unless it says otherwise, nothing of the step was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue to the writer is full, or no connection for reading became free in time.
    #[error("the store has more to do than it can take ({waiting} waiting): try again in a moment")]
    Busy {
        /// How many stand before us, or how many connections are lent out.
        waiting: usize,
    },
    /// There is no room on the disk (or in the database, where its size is limited).
    #[error("there is no room left to write to {}: free some, the daemon goes on by itself", path.display())]
    DiskFull {
        /// The data directory.
        path: PathBuf,
    },
    /// Something that a commit relied on was changed by somebody else: handle the event again with what is true now.
    #[error("state `{key}` was changed since it was read")]
    StaleRead {
        /// The key, or the prefix of a listing.
        key: String,
    },
    /// A copy of a plugin's state cannot be taken: what it was made from has moved.
    #[error("two contacts were made one while a copy of the plugin's state was made: it has to be made anew")]
    StateMoved,
    /// The commit was made under a fence of a process that no longer has the lanes.
    #[error("this commit was prepared under fence {given}, and {current} is in force: another process took over")]
    Fenced {
        /// The commit's.
        given: i64,
        /// The one in force.
        current: i64,
    },
    /// What was asked for does not exist.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `dead letter`, `conversation`, …
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Two ids of one contact were to be merged, or kept apart.
    #[error("{one} and {other} are one contact already, {is}")]
    SameContact {
        /// As it was asked for.
        one: ContactId,
        /// As it was asked for.
        other: ContactId,
        /// Whom both mean.
        is: ContactId,
    },
    /// Another daemon has the data directory.
    #[error(
        "{} is in use by another beadle{}: stop that one, or give this one a data_dir of its own",
        path.display(), pid.as_deref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The other's process id, where it could be read.
        pid: Option<String>,
    },
    /// A newer Beadle wrote the database.
    #[error(
        "{} has schema version {found}, this beadle knows up to {known}: \
         install the newer beadle again, or restore a backup from {}",
        path.display(), path.with_file_name("backups").display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is a database, but not of Beadle.
    #[error("{} is not a database of beadle: move it away, or name another data_dir", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory could not be made, read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A row holds what this version cannot read.
    #[error("{what} holds what this version cannot read: {why}")]
    Unreadable {
        /// Which row.
        what: String,
        /// Why.
        why: String,
    },
    /// SQLite said no.
    #[error("SQLite could not do it: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The writer has stopped, because the store was closed or because of an error it could not survive.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether no step will ever go well again in this process.
    pub fn is_fatal(&self) -> bool {
        matches!(self, StoreError::Fenced { .. } | StoreError::Closed)
    }

    /// Whether the disk is at fault, so that trying again helps only once that has been put right.
    pub(crate) fn is_storage(&self) -> bool {
        use rusqlite::ErrorCode::{DiskFull, ReadOnly, SystemIoFailure};
        match self {
            StoreError::DiskFull { .. } => true,
            StoreError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.code, DiskFull | SystemIoFailure | ReadOnly)
            }
            _ => false,
        }
    }

    /// Whether the step that failed with it had written nothing yet, by contract: the rest of its group can be committed.
    pub(crate) fn wrote_nothing(&self) -> bool {
        matches!(
            self,
            StoreError::StaleRead { .. }
                | StoreError::StateMoved
                | StoreError::Fenced { .. }
                | StoreError::SameContact { .. }
        )
    }

    /// The same, where SQLite only says that something is full: that it is the disk, and where.
    pub(crate) fn placed(self, dir: &Path) -> StoreError {
        match self {
            StoreError::Sqlite(rusqlite::Error::SqliteFailure(cause, _))
                if cause.code == rusqlite::ErrorCode::DiskFull =>
            {
                StoreError::DiskFull { path: dir.into() }
            }
            other => other,
        }
    }

    /// A file operation that failed.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::File { what, path, source }
    }

    /// A row that does not read.
    pub(crate) fn unreadable(what: impl Into<String>, why: impl std::fmt::Display) -> StoreError {
        StoreError::Unreadable { what: what.into(), why: why.to_string() }
    }
}

/// The codes of [`StoreError`]; `beadle explain` has a page for each.
pub const CODES: [&str; 14] = [
    "store-busy",
    "disk-full",
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
                | StoreError::StaleRead { .. }
                | StoreError::StateMoved
        )
    }
}
