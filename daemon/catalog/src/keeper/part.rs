//! Who takes part, and what becomes of those whose file is gone.

use super::Keeper;
use crate::entry::PluginState;
use crate::post::Post;
use crate::record::Record;
use beadle_pipeline::{Availability, Subscription, Subscriptions};
use std::sync::Arc;

impl Keeper {
    /// Its file is gone: it takes no part any more, and what it kept is kept for a while.
    pub(super) async fn unload(&mut self, name: &str) {
        let Some(post) = self.posts.get_mut(name) else { return };
        if post.record == Record::default() {
            self.posts.remove(name);
            return;
        }
        tracing::warn!(
            plugin = name,
            "A plugin's file is gone: it takes no part any more. What it kept stays for a while."
        );
        post.leaves(PluginState::Removed);
        post.path = None;
        if post.record.gone_since.is_none() {
            post.record.gone_since = Some(self.tools.clock.now());
            self.write_record(name).await;
        }
        self.take_part().await;
    }

    pub(super) async fn write_record(&self, name: &str) {
        let Some(post) = self.posts.get(name) else { return };
        if let Err(error) = self.tools.store.set_plugin_record(post.no, post.record.text()).await {
            tracing::warn!(plugin = name, %error, "What is to be remembered of a plugin could not be written.");
        }
    }

    /// What was removed long ago is forgotten.
    pub(super) async fn purge_old(&mut self) {
        let (now, keep_ms) = (self.tools.clock.now(), self.config.keep_removed_ms);
        let is_old = |post: &Post| post.record.gone_since.is_some_and(|since| now.since_ms(since) > keep_ms);
        let old: Vec<String> = self
            .posts
            .iter()
            .filter(|(_, post)| post.slot.is_none() && !post.busy && post.state == PluginState::Removed && is_old(post))
            .map(|(name, _)| name.clone())
            .collect();
        for name in old {
            match self.purge(&name).await {
                Ok(said) => tracing::info!(plugin = name, "A plugin was removed long ago: {said}."),
                Err(error) => {
                    tracing::warn!(plugin = name, %error, "What a removed plugin kept could not be forgotten yet.")
                }
            }
        }
    }

    pub(super) async fn take_configuration(&mut self) {
        for (name, post) in &mut self.posts {
            post.config = self.config.plugins.get(name).cloned().unwrap_or_default();
        }
        self.take_part().await;
    }

    /// Those who serve take part from now on, each in its place.
    pub(super) async fn take_part(&mut self) {
        if !self.started {
            return;
        }
        let members: Vec<_> = self.posts.values().filter_map(Post::member).collect();
        let now = self.tools.clock.now();
        let is_asked = |member: &&Arc<Subscription>| {
            matches!(member.slot.availability(now), Availability::Available | Availability::Resting { .. })
        };
        let present: Vec<_> = members.iter().filter(is_asked).map(|member| member.slot.no()).collect();
        self.pipeline.set_subscriptions(Subscriptions::new(members)).await;
        if present != self.present {
            match self.tools.store.set_present_plugins(present.clone()).await {
                Ok(()) => self.present = present,
                Err(error) => tracing::warn!(%error, "Who takes part could not be noted: timers of others may fire."),
            }
        }
        // Who takes part and who wants what may both be other than before.
        self.pipeline.timers_changed().ring();
    }
}
