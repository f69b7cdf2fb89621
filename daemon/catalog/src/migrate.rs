//! Bringing a plugin's state over to the form of a new revision: as a trial, and for good.
//!
//! Either works on a copy beside the state (`store`'s `states`), page by page, so that nobody else waits long and no limit
//! is broken; nothing is seen of it before the plugin takes it, in one transaction. The trial's copy is used once more, for
//! the dry run, and thrown away. For good means with the plugin's slot paused: what it handled is in the copy, and what
//! comes waits.

use crate::transaction::{No, beside};
use beadle_clock::Clock;
use beadle_model::{Coded as _, StateNo};
use beadle_sandbox::{Level, Moved, Page, Plugin};
use beadle_store::{Reader, StateCursor, StateEntry, StateInfo, Store, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of the effects that an event may have there are as many values in a page as this divides; the sandbox lets each be
/// written four times.
const EFFECTS_FOR_A_VALUE: usize = 2;
/// Bytes of one page: what a host call may hand over anyway.
const PAGE_BYTES: usize = 1 << 20;
/// A migration is refused when it takes longer: so long a plugin's events would wait. A state of 64 MiB in small values
/// takes a minute on a slow machine. Real time.
const LONGEST: Duration = Duration::from_secs(300);

/// What a new revision has to do with the state that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is of its form.
    Same,
    /// It is of an earlier one, which it brings over.
    Older,
    /// It is of a later one, which it cannot read.
    Newer,
}

/// `kept`: under which version the state is kept; `reads`: that of the revision.
pub(crate) fn form(kept: u32, reads: u32) -> Form {
    match kept.cmp(&reads) {
        std::cmp::Ordering::Equal => Form::Same,
        std::cmp::Ordering::Less => Form::Older,
        std::cmp::Ordering::Greater => Form::Newer,
    }
}

/// A copy of a state that was brought over, and that nobody has yet.
pub(crate) struct Draft {
    pub state: StateNo,
    pub values: usize,
}

/// Makes a copy of this state that `plugin` has brought over; it reads and writes the copy from then on. `step`: under
/// which name it fails. A copy that came to nothing is gone.
pub(crate) async fn bring_over(
    store: &Store,
    clock: &Clock,
    plugin: &Arc<Plugin>,
    from: &StateInfo,
    step: &'static str,
) -> Result<Draft, No> {
    let failed = |error: StoreError| No::passing(step, error.code(), error.to_string());
    let state = store.begin_state(plugin.no(), plugin.state_version()).await.map_err(failed)?;
    let before = plugin.state();
    plugin.set_state(state);
    let mut over = Over { store, clock, plugin, from, state, step, began: Instant::now(), values: 0 };
    match over.copy_and_change().await {
        Ok(()) => Ok(Draft { state, values: over.values }),
        Err(no) => {
            plugin.set_state(before);
            forget(store, state).await;
            Err(no)
        }
    }
}

/// Nobody takes it.
pub(crate) async fn forget(store: &Store, state: StateNo) {
    if let Err(error) = store.forget_state(state).await {
        tracing::debug!(%error, "A copy of a state that nobody needs is swept later.");
    }
}

struct Over<'a> {
    store: &'a Store,
    clock: &'a Clock,
    plugin: &'a Arc<Plugin>,
    from: &'a StateInfo,
    state: StateNo,
    step: &'static str,
    began: Instant,
    values: usize,
}

impl Over<'_> {
    async fn copy_and_change(&mut self) -> Result<(), No> {
        let (now, from) = (self.clock.now(), self.from.no);
        let mut after = None;
        loop {
            let copied = self.store.copy_state(from, self.state, after, now).await;
            after = copied.map_err(|error| self.failed(&error))?;
            self.in_time()?;
            if after.is_none() {
                break;
            }
        }
        let most = (self.plugin.limits().effects as usize / EFFECTS_FOR_A_VALUE).max(1);
        let mut page = self.read(None, most).await?;
        for number in 0.. {
            let Some(last) = page.last().map(StateEntry::place) else { break };
            let next = self.read(Some(last), most).await?;
            self.values += page.len();
            let page_now = Page { from: self.from.version, number, entries: page, last: next.is_empty(), now };
            let Moved { state, log, is_enough } = self.plugin.migrate(page_now).await.map_err(|fault| {
                let said = fault.to_string();
                let why = format!(
                    "its state is of version {} and could not be brought over to {}, at page {number}: {}",
                    self.from.version,
                    self.plugin.state_version(),
                    said.trim_end_matches('.')
                );
                No::new(self.step, "migration-failed", why)
            })?;
            for line in log.iter().filter(|line| line.level >= Level::Warn) {
                tracing::warn!(target: "plugin", plugin = %self.plugin.name(), "{}", line.text);
            }
            self.store.change_state(self.state, state, now).await.map_err(|error| self.failed(&error))?;
            self.in_time()?;
            if is_enough {
                break;
            }
            page = next;
        }
        self.fits().await
    }

    async fn read(&self, after: Option<StateCursor>, most: usize) -> Result<Vec<StateEntry>, No> {
        let (from, now) = (self.from.no, self.clock.now());
        self.ask(move |reader| reader.state_page(from, after.as_ref(), (most, PAGE_BYTES), now)).await
    }

    /// On the way there is room for what is new beside what is to go; in the end the limit holds, or every event would fail.
    async fn fits(&self) -> Result<(), No> {
        let state = self.state;
        let bytes = self.ask(move |reader| reader.state_bytes(state)).await?;
        let limit = self.plugin.limits().state_bytes().max(self.from.bytes);
        if bytes <= limit {
            return Ok(());
        }
        let why = format!(
            "its state would take {} KiB, and may take {}; see `[plugins.{}] limits.state_mib`",
            bytes.div_ceil(1024),
            limit / 1024,
            self.plugin.name()
        );
        Err(No::new(self.step, "migration-failed", why))
    }

    async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, No> {
        let (reader, step) = (self.store.reader(), self.step);
        beside(move || read(&reader).map_err(|error| No::passing(step, error.code(), error.to_string()))).await
    }

    fn failed(&self, error: &StoreError) -> No {
        No::passing(self.step, error.code(), error.to_string())
    }

    fn in_time(&self) -> Result<(), No> {
        if self.began.elapsed() <= LONGEST {
            return Ok(());
        }
        let why = format!("bringing its state over takes longer than {} s", LONGEST.as_secs());
        Err(No::new(self.step, "migration-failed", why))
    }
}

/// What is lost by going back to a revision that reads an earlier form; and what comes back.
pub(crate) fn would_be_lost(name: &str, reads: u32, has: &StateInfo, left: Option<&StateInfo>) -> String {
    let size = |state: &StateInfo| format!("{} values, {} KiB", state.values, state.bytes.div_ceil(1024));
    let kept = left.filter(|left| left.version == reads);
    let lost = match kept.and_then(|left| Some((left, left.retired_at?))) {
        Some((left, at)) => format!(
            "what was written since {at} would be lost, and the state of then comes back ({}; now it has {})",
            size(left),
            size(has)
        ),
        None => format!("nothing of before is kept: all of it would be lost ({})", size(has)),
    };
    format!(
        "the earlier revision reads its state as version {reads}, and it is kept as version {}: {lost}. If that is meant, say `beadle plugins rollback {name} --discard-state`",
        has.version
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{StateNo, Timestamp};

    #[test]
    fn what_is_lost_is_named() {
        assert_eq!([form(1, 1), form(0, 2), form(2, 1)], [Form::Same, Form::Older, Form::Newer]);
        let state = |version, values, retired_at| StateInfo {
            no: StateNo(1),
            version,
            bytes: values * 100,
            values,
            retired_at,
        };
        let (has, left) = (state(2, 430, None), state(1, 412, Some(Timestamp(0))));
        let said = would_be_lost("notes", 1, &has, Some(&left));
        for part in ["version 1", "version 2", "1970-01-01", "412 values, 41 KiB", "430 values", "--discard-state"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(would_be_lost("notes", 0, &has, Some(&left)).contains("nothing of before is kept"));
    }
}
