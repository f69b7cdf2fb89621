//! A start that survives its plugins: one that kills the loader, and one that holds it up.
//!
//! Whoever was being loaded when the process before this one died (`marks`) is loaded last, alone, after all others take
//! part; who dies of it again, alone, is not loaded any more. Whoever takes too long is not waited for. While a plugin that
//! served before is not there yet it is stood in for by a vacant seat: what is for it alone is kept, a guard that is to be
//! waited for holds its events back, and nothing passes a plugin by only because the daemon was started.

use super::Keeper;
use crate::entry::State;
use crate::post::Post;
use crate::record::{Isolated, Record};
use beadle_pipeline::{Seat, Suspension};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For so long a start waits for its plugins, and a plugin that loads counts among those that load: the largest plugins
/// that there are, in Python, take some seconds of a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
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

    /// Whether a plugin may be loaded now.
    pub(super) fn may_judge(&self, name: &str, now: Instant) -> bool {
        let is_loading = |post: &&Post| {
            post.busy && post.judged_since.is_some_and(|since| now.saturating_duration_since(since) < PATIENCE)
        };
        let loading = self.posts.values().filter(is_loading).count();
        match self.suspects.is_empty() {
            true => loading < AT_ONCE,
            // One at a time; those who may be dangerous last, when all others take part.
            false => loading == 0 && (self.started || !self.suspects.contains(name)),
        }
    }

    /// Whether it is time to take part: all that can be loaded now is, or it was waited for long enough.
    pub(super) fn is_time_to_start(&self, now: Instant) -> bool {
        self.jobs.is_empty() || self.is_out_of_patience(now)
    }

    /// When to look again for that reason.
    pub(super) fn patience_left(&self, now: Instant) -> Option<Duration> {
        (!self.started).then(|| PATIENCE.saturating_sub(now.saturating_duration_since(self.began)))
    }

    fn is_out_of_patience(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= PATIENCE
    }

    /// Those that are not there yet get a vacant seat, where it is known what they want.
    pub(super) fn stand_in(&mut self) {
        let at = self.tools.clock.now();
        for (name, post) in &mut self.posts {
            if post.state != State::Loading || post.seat.is_some() {
                continue;
            }
            let why = match self.suspects.contains(name) {
                true => "it is loaded after all others, since the daemon died while it was being loaded",
                false => "it is still being loaded",
            };
            let suspension = Suspension { code: STILL_LOADING.into(), why: why.into(), at };
            let wants = post.record.wants();
            if !wants.is_empty() {
                let bell = Arc::clone(&self.tools.bell);
                post.seat = Some(Arc::new(Seat::vacant(name, post.no, wants, suspension.clone(), bell)));
            }
            tracing::warn!(plugin = name, code = STILL_LOADING, "A plugin is not there yet: {why}.");
            post.state = State::Suspended(suspension);
        }
    }
}
