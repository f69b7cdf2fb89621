//! What a person orders: back to an earlier revision, rights, and forgetting what is gone.

use super::Keeper;
use crate::command::{Answer, Asked, Command, CommandError};
use crate::grants;
use crate::transaction::{Outcome, Source, Verdict};

impl Keeper {
    pub(super) async fn obey(&mut self, Asked { command, to }: Asked) {
        let name = command.plugin().to_owned();
        if let Command::Rollback(_) = command {
            match self.source_of_rollback(&name) {
                Ok(source) => return self.begin(&name, source, None, Some(to)),
                Err(error) => _ = to.send(Err(error)),
            }
            return;
        }
        let answer = match command {
            Command::Grant(_, rights) => self.grant(&name, rights, true).await,
            Command::Revoke(_, rights) => self.grant(&name, rights, false).await,
            Command::Purge(_) => self.purge(&name).await,
            Command::Rollback(_) => return,
        };
        // Whoever asked may be gone.
        let _ = to.send(answer);
    }

    fn source_of_rollback(&self, name: &str) -> Result<Source, CommandError> {
        let post = self.posts.get(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if post.busy {
            return Err(CommandError::Busy(name.into()));
        }
        let before = post.record.before().ok_or_else(|| CommandError::NothingBefore(name.into()))?;
        Ok(Source::Kept(before.to_owned()))
    }

    async fn grant(&mut self, name: &str, rights: Vec<String>, give: bool) -> Answer {
        let post = self.posts.get_mut(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if post.busy {
            return Err(CommandError::Busy(name.into()));
        }
        if let Some(unknown) = rights.iter().find(|right| !grants::can_be_given(right)) {
            return Err(CommandError::NoSuchRight(unknown.clone()));
        }
        let before = post.record.clone();
        for right in &rights {
            if give {
                post.record.granted.insert(right.clone());
            } else {
                post.record.granted.remove(right);
            }
        }
        if post.record != before
            && let Err(error) = self.tools.store.set_plugin_record(post.no, post.record.text()).await
        {
            post.record = before;
            return Err(error.into());
        }
        let said = rights.iter().map(|right| format!("{right} ({})", grants::meaning(right))).collect::<Vec<_>>();
        let in_toml: Vec<_> = rights.iter().filter(|right| post.config.grant.contains(right)).cloned().collect();
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
        if post.seat.is_some() || self.listing.plugins.contains_key(name) {
            return Err(CommandError::Present(name.into()));
        }
        let purged = self.tools.store.purge_plugin(post.no).await?;
        self.posts.remove(name);
        Ok(format!("{} values and {} timers of `{name}` are forgotten", purged.values, purged.timers))
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
        Verdict::Refused { why, .. } => refused(why.why.clone()),
        Verdict::Moved => Err(CommandError::Busy(name.into())),
    }
}
