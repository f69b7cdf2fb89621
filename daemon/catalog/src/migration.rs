//! Migrates a plugin's state to the version that a new revision reads.
//!
//! It works on a copy: the current state is copied in slices, then the plugin changes the copy page
//! by page in its `migration` export, so that other writers are not blocked and no limit is
//! exceeded. Nothing is visible before the caller takes the copy in one transaction. A trial's copy
//! serves the dry run and is then discarded; for the real migration the caller pauses the plugin
//! slot first, so that the copy is complete.

use crate::step::{StepError, blocking};
use beadle_clock::Clock;
use beadle_model::StateNo;
use beadle_sandbox::{Level, MigratedPage, Plugin, StatePage};
use beadle_store::{Reader, StateCursor, StateEntry, StateInfo, Store, StoreError};
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A page has the number of effects per event divided by this many values; the sandbox lets each
/// value be written four times.
const EFFECTS_PER_VALUE: usize = 2;
/// The maximum size of a page: as much as any host call may return.
const PAGE_BYTES: usize = 1 << 20;
/// A migration that takes longer is rejected, because the plugin's events wait meanwhile. 64 MiB of
/// small values take a minute on a slow machine. Real time.
const MAX_DURATION: Duration = Duration::from_secs(300);

/// How the version that a revision reads compares with the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionChange {
    /// They are the same.
    None,
    /// The revision reads a later version and migrates the state.
    Upgrade,
    /// The revision reads an earlier version and cannot read the state.
    Downgrade,
}

/// Compares the version of the stored state with the one that a revision reads.
pub(crate) fn version_change(stored: u32, reads: u32) -> VersionChange {
    match stored.cmp(&reads) {
        Ordering::Equal => VersionChange::None,
        Ordering::Less => VersionChange::Upgrade,
        Ordering::Greater => VersionChange::Downgrade,
    }
}

/// A migrated copy of a state that is not active yet.
pub(crate) struct MigratedCopy {
    pub state: StateNo,
    /// The number of values that the plugin was given.
    pub values: usize,
}

/// Makes a migrated copy of `from`; the plugin reads and writes the copy from then on. `step` names
/// the step in errors. On an error the copy is discarded and the plugin uses its previous state
/// again.
pub(crate) async fn migrate(
    store: &Store,
    clock: &Clock,
    plugin: &Arc<Plugin>,
    from: &StateInfo,
    step: &'static str,
) -> Result<MigratedCopy, StepError> {
    let begun = store.begin_state(plugin.no(), plugin.state_version()).await;
    let state = begun.map_err(|error| StepError::store(step, &error))?;
    let previous = plugin.state();
    plugin.set_state(state);
    let mut migration = Migration { store, clock, plugin, from, state, step, began: Instant::now(), values: 0 };
    match migration.run().await {
        Ok(()) => Ok(MigratedCopy { state, values: migration.values }),
        Err(error) => {
            plugin.set_state(previous);
            discard(store, state).await;
            Err(error)
        }
    }
}

/// Deletes a copy that will not be taken.
pub(crate) async fn discard(store: &Store, state: StateNo) {
    if let Err(error) = store.forget_state(state).await {
        tracing::debug!(%error, "state copy not deleted, the next cleanup removes it");
    }
}

struct Migration<'a> {
    store: &'a Store,
    clock: &'a Clock,
    plugin: &'a Arc<Plugin>,
    from: &'a StateInfo,
    state: StateNo,
    step: &'static str,
    began: Instant,
    values: usize,
}

impl Migration<'_> {
    async fn run(&mut self) -> Result<(), StepError> {
        self.copy().await?;
        self.change_pages().await?;
        self.check_size().await
    }

    async fn copy(&self) -> Result<(), StepError> {
        let (now, from) = (self.clock.now(), self.from.no);
        let mut after = None;
        loop {
            let copied = self.store.copy_state(from, self.state, after, now).await;
            after = copied.map_err(|error| StepError::store(self.step, &error))?;
            self.check_time()?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Has the plugin change the copy, page by page. The pages are read from the original.
    async fn change_pages(&mut self) -> Result<(), StepError> {
        let now = self.clock.now();
        let page_len = (self.plugin.limits().effects as usize / EFFECTS_PER_VALUE).max(1);
        let mut entries = self.read_page(None, page_len).await?;
        for number in 0.. {
            let Some(last) = entries.last().map(StateEntry::place) else { break };
            let next = self.read_page(Some(last), page_len).await?;
            self.values += entries.len();
            let page = StatePage { from_version: self.from.version, number, entries, last: next.is_empty(), now };
            let migrated = self.plugin.migrate(page).await;
            let MigratedPage { state, log, is_done } =
                migrated.map_err(|fault| self.failed(number, &fault.to_string()))?;
            for line in log.iter().filter(|line| line.level >= Level::Warn) {
                tracing::warn!(target: "plugin", plugin = %self.plugin.name(), "{}", line.text);
            }
            let changed = self.store.change_state(self.state, state, now).await;
            changed.map_err(|error| StepError::store(self.step, &error))?;
            self.check_time()?;
            if is_done {
                break;
            }
            entries = next;
        }
        Ok(())
    }

    fn failed(&self, page: u32, error: &str) -> StepError {
        let (from, to) = (self.from.version, self.plugin.state_version());
        let error = error.trim_end_matches('.');
        let reason = format!("the migration of its state from version {from} to {to} failed at page {page}: {error}");
        StepError::permanent(self.step, "migration-failed", reason)
    }

    async fn read_page(&self, after: Option<StateCursor>, len: usize) -> Result<Vec<StateEntry>, StepError> {
        let (from, now) = (self.from.no, self.clock.now());
        self.read(move |reader| reader.state_page(from, after.as_ref(), (len, PAGE_BYTES), now)).await
    }

    /// Checks the quota. During the migration old and new values may exist together; afterwards a
    /// state above the quota would make every event fail.
    async fn check_size(&self) -> Result<(), StepError> {
        let state = self.state;
        let bytes = self.read(move |reader| reader.state_bytes(state)).await?;
        let quota = self.plugin.limits().state_bytes().max(self.from.bytes);
        if bytes <= quota {
            return Ok(());
        }
        let reason = format!(
            "its migrated state would have {} KiB and may have {} KiB; see `[plugins.{}] limits.state_mib`",
            bytes.div_ceil(1024),
            quota / 1024,
            self.plugin.name()
        );
        Err(StepError::permanent(self.step, "migration-failed", reason))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StepError> {
        let (reader, step) = (self.store.reader(), self.step);
        blocking(move || read(&reader).map_err(|error| StepError::store(step, &error))).await
    }

    fn check_time(&self) -> Result<(), StepError> {
        if self.began.elapsed() <= MAX_DURATION {
            return Ok(());
        }
        let reason = format!("the migration of its state took longer than {} s", MAX_DURATION.as_secs());
        Err(StepError::permanent(self.step, "migration-failed", reason))
    }
}

/// Describes what going back to a revision that reads an earlier version would lose, and what would
/// return.
pub(crate) fn describe_loss(name: &str, reads: u32, current: &StateInfo, previous: Option<&StateInfo>) -> String {
    let size = |state: &StateInfo| format!("{} values, {} KiB", state.values, state.bytes.div_ceil(1024));
    let kept = previous.filter(|previous| previous.version == reads);
    let loss = match kept.and_then(|previous| Some((previous, previous.retired_at?))) {
        Some((previous, at)) => format!(
            "everything written since {at} would be lost, and the state of that time would return ({}; now {})",
            size(previous),
            size(current)
        ),
        None => format!("no earlier state is kept, so all of it would be lost ({})", size(current)),
    };
    format!(
        "the earlier revision reads version {reads} of its state, which is stored as version {}: {loss}; to do it anyway, run `beadle plugins rollback {name} --discard-state`",
        current.version
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::Timestamp;

    #[test]
    fn loss_of_a_downgrade_is_described() {
        let changes = [version_change(1, 1), version_change(0, 2), version_change(2, 1)];
        assert_eq!(changes, [VersionChange::None, VersionChange::Upgrade, VersionChange::Downgrade]);
        let state = |version, values, retired_at| StateInfo {
            no: StateNo(1),
            version,
            bytes: values * 100,
            values,
            retired_at,
        };
        let (current, previous) = (state(2, 430, None), state(1, 412, Some(Timestamp(0))));
        let text = describe_loss("notes", 1, &current, Some(&previous));
        for part in ["version 1", "version 2", "1970-01-01", "412 values, 41 KiB", "430 values", "--discard-state"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(describe_loss("notes", 0, &current, Some(&previous)).contains("no earlier state is kept"));
    }
}
