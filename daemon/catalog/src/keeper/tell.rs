//! What the keeper tells: of folders that go and come, and how every plugin stands.

use super::Keeper;
use crate::Shown;
use crate::entry::{Entry, PluginState};
use crate::post::missing;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

impl Keeper {
    /// Tells of folders that went and came back.
    pub(super) fn note_folders(&mut self, now: Instant) {
        for (folder, why) in &self.listing.missing {
            if !self.lost.contains_key(folder) {
                self.lost.insert(folder.clone(), now);
                let (folder, grace_ms) = (folder.display(), self.config.folder_grace_ms);
                tracing::warn!(
                    code = "plugin-folder-missing",
                    "The plugin folder {folder} cannot be read ({why}): its plugins go on for {} s.",
                    grace_ms / 1000
                );
            }
        }
        let missing = &self.listing.missing;
        self.lost.retain(|folder, _| {
            let lost = missing.contains_key(folder);
            if !lost {
                tracing::info!("The plugin folder {} is back.", folder.display());
            }
            lost
        });
        let told: BTreeSet<String> = self.show.borrow().remarks.iter().cloned().collect();
        for remark in self.listing.remarks.iter().filter(|remark| !told.contains(*remark)) {
            tracing::warn!("{remark}.");
        }
    }

    pub(super) fn show(&self) {
        let now = self.tools.clock.now();
        let mut entries: Vec<Entry> = self.posts.iter().map(|(name, post)| post.entry(name, now)).collect();
        for name in self.config.plugins.keys() {
            match entries.iter_mut().find(|entry| entry.name == *name) {
                Some(entry) if entry.state == PluginState::Removed => entry.state = missing(name, &self.config).state,
                Some(_) => {}
                None => entries.push(missing(name, &self.config)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let lost = (!self.lost.is_empty()).then(|| lost_text(&self.lost));
        let remarks = self.listing.remarks.iter().cloned().chain(lost).collect();
        self.show.send_replace(Shown { entries: entries.into(), remarks, started: self.started });
    }
}

pub(super) fn lost_text(lost: &BTreeMap<PathBuf, Instant>) -> String {
    let folders: Vec<_> = lost.keys().map(|folder| folder.display().to_string()).collect();
    format!("the plugin folder {} cannot be read; put it back, or change [daemon] plugin_dirs", folders.join(" and "))
}
