//! A start that survives its plugins: one that kills the loader, and one that holds it up.
//!
//! Whoever was being loaded when the process before this one died (`marks`) is loaded after all others, and alone; should the
//! daemon die of it again, it is not loaded any more. Nothing is dispatched until all that can be loaded is, so that no event
//! passes a plugin by only because the daemon was started; what comes in meanwhile is durable and waits. But whoever takes
//! too long is not waited for: one that served before is stood in for by a vacant slot, so that what is for it alone is kept,
//! and a guard that is to be waited for holds its events back.

use super::Keeper;
use crate::entry::PluginState;
use crate::post::Post;
use crate::record::{Isolated, Record};
use beadle_pipeline::{PluginSlot, Suspension};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Transactions at once: each compiles with all cores already, but a long one is not to hold up all others.
const AT_ONCE: usize = 2;

/// The code of a plugin that is not loaded yet while others run.
pub(crate) const STILL_LOADING: &str = "plugin-loading";

impl Keeper {
    /// What the process before this one died of, if it did. Who was alone is not loaded again; the others are suspects.
    pub(super) async fn look_at_the_last_start(&mut self) {
        for (name, loading) in self.tools.marks.take() {
            if !loading.alone {
                tracing::warn!(
                    plugin = name,
                    "The daemon ended while this plugin was being loaded: it is loaded alone, after all others."
                );
                self.suspects.insert(name);
                continue;
            }
            tracing::error!(
                plugin = name,
                code = crate::transaction::STOPPED_START,
                "The daemon died again while it loaded this plugin and nothing else: it is not loaded any more."
            );
            let at = self.tools.clock.now();
            let Ok(no) = self.tools.store.plugin_no(&name).await else { continue };
            let config = self.config.plugins.get(&name).cloned().unwrap_or_default();
            let new = || Post::new(no, Record::default(), config);
            let post = self.posts.entry(name.clone()).or_insert_with(new);
            post.record.isolated = Some(Isolated { revision: loading.revision, at });
            self.write_record(&name).await;
        }
    }

    /// Whether one more plugin may be loaded now: one at a time while somebody may be dangerous.
    pub(super) fn may_judge(&self, now: Instant) -> bool {
        let is_loading = |post: &&Post| {
            // One that takes that long holds up nobody any more.
            post.busy && post.judged_since.is_some_and(|since| now.saturating_duration_since(since) < self.patience())
        };
        let loading = self.posts.values().filter(is_loading).count();
        match self.suspects.is_empty() {
            true => loading < AT_ONCE,
            false => loading == 0,
        }
    }

    /// Whether it is time to take part: all that can be loaded now is, or it was waited for long enough.
    pub(super) fn is_time_to_start(&self, now: Instant) -> bool {
        self.jobs.is_empty() || self.patience_left(now) == Some(Duration::ZERO)
    }

    /// When to look again for that reason.
    pub(super) fn patience_left(&self, now: Instant) -> Option<Duration> {
        (!self.started).then(|| self.patience().saturating_sub(now.saturating_duration_since(self.began)))
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.config.startup_timeout_ms.try_into().unwrap_or(0))
    }

    /// Those that are not there yet get a vacant slot, where it is known what they want.
    pub(super) fn stand_in(&mut self) {
        let at = self.tools.clock.now();
        for (name, post) in &mut self.posts {
            if post.state != PluginState::Loading || post.slot.is_some() {
                continue;
            }
            let why = "it is still being loaded";
            let suspension = Suspension { code: STILL_LOADING.into(), why: why.into(), at };
            let wants = post.record.wants();
            if !wants.is_empty() {
                let bell = Arc::clone(&self.tools.bell);
                post.slot = Some(Arc::new(PluginSlot::vacant(name, post.no, wants, suspension.clone(), bell)));
            }
            tracing::warn!(plugin = name, code = STILL_LOADING, "The daemon begins without a plugin: {why}.");
            post.state = PluginState::Suspended(suspension);
        }
    }
}
