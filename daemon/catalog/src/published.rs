//! What the catalog's loops publish.

use crate::entry::Entry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Documents that were not accepted and the reasons, by plugin and name. An empty name stands for
/// the folder.
pub type RejectedDocuments = BTreeMap<(String, String), String>;

/// A warning about plugin folders and their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderWarning {
    /// The code, see `beadle explain`.
    pub code: &'static str,
    /// The warning, without a full stop.
    pub text: String,
}

/// What the reconciler publishes after each step.
#[derive(Clone, Default)]
pub(crate) struct Published {
    /// All plugins, by name.
    pub entries: Arc<[Entry]>,
    pub warnings: Arc<[FolderWarning]>,
    /// Dispatch has begun.
    pub started: bool,
}

/// Counters of changes of revisions since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Revisions that became active, or were loaded again with another configuration.
    pub activated: AtomicU64,
    /// Revisions that were rejected.
    pub rejected: AtomicU64,
    /// Revisions that were rolled back, by a person or on probation.
    pub rolled_back: AtomicU64,
}
