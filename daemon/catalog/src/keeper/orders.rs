//! What a person orders: back to an earlier revision, capabilities, on and off, and forgetting what is gone.

use super::Keeper;
use crate::command::{Answer, Asked, Command, CommandError};
use crate::entry::PluginState;
use crate::grants;
use crate::post::Post;
use crate::record::Record;
use crate::transaction::{Outcome, Source, Verdict};
use beadle_store::PurgeReport;
use tokio::sync::oneshot;

/// A person who waits for what comes of a rollback.
pub(super) struct Order {
    pub to: oneshot::Sender<Answer>,
    pub discard_state: bool,
}

impl Keeper {
    pub(super) async fn obey(&mut self, Asked { command, to }: Asked) {
        let name = command.plugin().to_owned();
        if let Command::Rollback { discard_state, .. } = command {
            match self.source_of_rollback(&name) {
                Ok(source) => return self.begin(&name, source, None, Some(Order { to, discard_state })),
                Err(error) => _ = to.send(Err(error)),
            }
            return;
        }
        let answer = match command {
            Command::Grant(_, capabilities) => self.grant(&name, capabilities, true).await,
            Command::Revoke(_, capabilities) => self.grant(&name, capabilities, false).await,
            Command::Purge(_) => self.purge(&name).await,
            Command::Enable(_) => self.enable(&name).await,
            Command::Disable(_) => self.disable(&name).await,
            Command::Rollback { .. } => return,
        };
        // Whoever asked may be gone.
        let _ = to.send(answer);
    }

    fn source_of_rollback(&self, name: &str) -> Result<Source, CommandError> {
        let post = self.posts.get(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if post.busy {
            return Err(CommandError::Busy(name.into()));
        }
        if post.record.disabled_since.is_some() {
            return Err(CommandError::Disabled(name.into()));
        }
        let before = post.record.before().ok_or_else(|| CommandError::NothingBefore(name.into()))?;
        Ok(Source::Kept(before.to_owned()))
    }

    async fn grant(&mut self, name: &str, capabilities: Vec<String>, give: bool) -> Answer {
        if let Some(unknown) = capabilities.iter().find(|capability| !grants::is_grantable(capability)) {
            return Err(CommandError::UnknownCapability(unknown.clone()));
        }
        let changed = self.remember_of(name, |record| {
            for capability in &capabilities {
                if give {
                    record.granted.insert(capability.clone());
                } else {
                    record.granted.remove(capability);
                }
            }
        });
        let post = changed.await?;
        let said = capabilities
            .iter()
            .map(|capability| format!("{capability} ({})", grants::meaning(capability)))
            .collect::<Vec<_>>();
        let in_toml: Vec<_> =
            capabilities.iter().filter(|capability| post.config.grant.contains(capability)).cloned().collect();
        Ok(match (give, in_toml.as_slice()) {
            (true, _) => format!("`{name}` may: {}", said.join(", ")),
            (false, []) => format!("`{name}` may no longer: {}", said.join(", ")),
            (false, kept) => format!("`{name}` still has {} by [plugins.{name}] grant", kept.join(", ")),
        })
    }

    pub(super) async fn purge(&mut self, name: &str) -> Answer {
        let post = self.posts.get(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if post.busy {
            return Err(CommandError::Busy(name.into()));
        }
        if post.slot.is_some() || self.listing.plugins.contains_key(name) {
            return Err(CommandError::Present(name.into()));
        }
        let purged = self.tools.store.purge_plugin(post.no).await?;
        self.pipeline.discard_backlog(post.no);
        self.posts.remove(name);
        let PurgeReport { values, timers, events } = purged;
        Ok(format!(
            "{values} values and {timers} timers of `{name}` are forgotten, and {events} events that waited for it"
        ))
    }

    /// Asked again, whyever it was not.
    async fn enable(&mut self, name: &str) -> Answer {
        let before = self.posts.get(name).map(|post| post.record.clone());
        let now = self.tools.clock.now();
        let post = self.remember_of(name, |record| {
            (record.disabled_since, record.suspended, record.isolated) = (None, None, None);
        });
        let post = post.await?;
        let stood = post.stands(now);
        if before.as_ref() == Some(&post.record)
            && !matches!(stood, PluginState::Suspended(_) | PluginState::Resting { .. })
        {
            return Ok(format!("`{name}` was neither switched off nor suspended"));
        }
        let no = post.no;
        match &post.slot {
            Some(slot) if post.has_active_revision() => slot.resume(),
            // It is loaded by the look that follows.
            _ => (post.judged, post.state) = (None, PluginState::Loading),
        }
        self.take_part().await;
        let kept = self.pipeline.backlog_sizes().into_iter().find(|(of, _)| *of == no).map_or(0, |(_, kept)| kept);
        Ok(match kept {
            0 => format!("`{name}` is asked again"),
            kept => format!("`{name}` is asked again; {kept} events wait for it, and come first"),
        })
    }

    /// Asked no more, until it is enabled; also after a start.
    async fn disable(&mut self, name: &str) -> Answer {
        let now = self.tools.clock.now();
        let post = self.remember_of(name, |record| _ = record.disabled_since.get_or_insert(now)).await?;
        post.leaves(PluginState::Disabled { since: now });
        self.take_part().await;
        Ok(format!(
            "`{name}` is switched off: it gets no events, and its timers wait; `beadle plugins enable {name}` switches it on"
        ))
    }

    /// Has something remembered of a plugin; all is as it was where that cannot be written.
    async fn remember_of(&mut self, name: &str, change: impl FnOnce(&mut Record)) -> Result<&mut Post, CommandError> {
        let post = self.posts.get_mut(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if post.busy {
            return Err(CommandError::Busy(name.into()));
        }
        let mut record = post.record.clone();
        change(&mut record);
        if record != post.record {
            self.tools.store.set_plugin_record(post.no, record.text()).await?;
            post.record = record;
        }
        Ok(post)
    }
}

/// What to say of a rollback.
pub(super) fn rolled_back(name: &str, outcome: &Outcome) -> Answer {
    let refused = |why: String| Err(CommandError::Refused { name: name.into(), why });
    match &outcome.verdict {
        Verdict::Serves | Verdict::Same => {
            let revision = outcome.record.serving().and_then(|hash| hash.get(..12)).unwrap_or_default();
            Ok(format!("`{name}` runs revision {revision} again, and stays there until another file comes"))
        }
        Verdict::Pending { missing, .. } => refused(crate::entry::pending(name, missing)),
        Verdict::Refused { why, .. } if why.code == "state-would-be-lost" => {
            Err(CommandError::StateLost { name: name.into(), why: why.reason.clone() })
        }
        Verdict::Refused { why, .. } => refused(why.reason.clone()),
        Verdict::Isolated(suspension) => refused(suspension.why.clone()),
        Verdict::Moved => Err(CommandError::Busy(name.into())),
    }
}
