//! How plugins do: a new revision that keeps failing where the one before it does not is sent back, and that one is
//! suspended is remembered.

use super::{Keeper, add};
use crate::entry::{BlockedRevision, PluginState};
use crate::record::Suspended;
use crate::transaction::ENOUGH;
use beadle_model::Timestamp;
use beadle_pipeline::{ActiveRevision, PluginSlot, Probation, Suspension};
use beadle_sandbox::Plugin;
use std::sync::Arc;
use std::time::Duration;

/// After so many failures that the revision before does not share it is sent back: one may be chance, a bad moment of the
/// world outside; three are not.
const TOO_MANY: u32 = 3;
/// A plugin that is seldom asked has passed after so long. The one before it costs memory until then, no more. Real time:
/// a revision does not prove itself by the calendar.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl Keeper {
    pub(super) async fn look_at_slots(&mut self) {
        let names: Vec<String> = self.posts.keys().cloned().collect();
        for name in names {
            self.look_at_probation(&name).await;
            self.note_suspension(&name).await;
        }
        // The timers of who is suspended wait, of who no longer is they come.
        self.take_part().await;
    }

    /// So that it stands after a start.
    async fn note_suspension(&mut self, name: &str) {
        let now = self.tools.clock.now();
        let Some(post) = self.posts.get_mut(name).filter(|post| !post.busy) else { return };
        let serving = post.slot.as_ref().and_then(|slot| slot.active());
        let (Some(serving), PluginState::Suspended(suspension)) = (serving, post.stands(now)) else { return };
        let suspended = Some(Suspended { revision: serving.plugin.revision().to_owned(), suspension });
        if post.record.suspended != suspended {
            post.record.suspended = suspended;
            self.write_record(name).await;
        }
    }

    async fn look_at_probation(&mut self, name: &str) {
        let Some(post) = self.posts.get_mut(name) else { return };
        // One that is being replaced is the transaction's.
        let Some(slot) = post.slot.as_ref().filter(|_| !post.busy) else { return };
        let Some(ActiveRevision { plugin, probation: Some(probation) }) = slot.active() else { return };
        if probation.failed() >= TOO_MANY {
            let Some(before) = probation.before().map(Arc::clone) else {
                return suspend_after_migration(name, slot, &plugin, &probation, self.tools.clock.now());
            };
            let (back_to, sent) = (before.revision().to_owned(), plugin.revision().to_owned());
            slot.activate(ActiveRevision { plugin: before, probation: None });
            while back_to != sent && post.record.serving().is_some_and(|serving| serving != back_to) {
                post.record.goes_back();
            }
            let why = format!(
                "it failed {} events that the revision before it handled, so that one serves again; it stays refused until its file or its settings change",
                probation.failed()
            );
            tracing::error!(
                plugin = name,
                code = "rolled-back",
                revision = sent.get(..12),
                "A new revision was sent back: {why}."
            );
            post.blocked =
                Some(BlockedRevision { revision: Some(sent), step: "probation", code: "rolled-back", reason: why });
            post.probation_since = None;
            add(&self.counts.sent_back);
            self.write_record(name).await;
        } else if probation.well() >= ENOUGH || post.probation_since.is_some_and(|since| since.elapsed() > LONGEST) {
            slot.end_probation();
            post.probation_since = None;
            tracing::info!(plugin = name, well = probation.well(), "A revision has passed its probation.");
        }
    }
}

/// One that took its state with it is not sent back by itself: what was written since would be lost. That ends its
/// probation, so that a person who has it asked again has that.
fn suspend_after_migration(name: &str, slot: &PluginSlot, plugin: &Plugin, probation: &Probation, at: Timestamp) {
    let why = format!(
        "it brought its state over to version {} and failed {} events since; it is not sent back by itself, since that would lose state: `beadle plugins rollback {name}` says what",
        plugin.state_version(),
        probation.failed()
    );
    tracing::error!(plugin = name, code = "plugin-suspended", "A plugin is suspended: {why}.");
    slot.end_probation();
    slot.suspend(Suspension { code: "plugin-suspended".into(), why, at });
}
