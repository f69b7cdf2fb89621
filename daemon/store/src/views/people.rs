//! Contacts in listings, and the report of a merge.

use beadle_model::{Alias, Contact, ContactId, ConversationId, PluginNo, Timestamp};
use serde::{Deserialize, Serialize};

/// A conversation of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationSummary {
    /// The conversation.
    pub id: ConversationId,
    /// The channel's name in the configuration.
    pub channel: String,
    /// When the contact wrote last.
    pub last_inbound_at: Option<Timestamp>,
    /// When the window ends or ended.
    pub window_until: Option<Timestamp>,
}

/// An alias of one contact that another one used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasConflict {
    /// The alias.
    pub alias: Alias,
    /// The contact that has it.
    pub holder: ContactId,
    /// The contact that used it.
    pub claimant: ContactId,
}

/// A contact's membership and consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ContactStatus {
    /// When they joined the community.
    pub member_since: Option<Timestamp>,
    /// When they opted out of all messages.
    pub opted_out_since: Option<Timestamp>,
    /// When they turned off marketing messages on the platform.
    pub marketing_stopped_since: Option<Timestamp>,
}

/// What a merge moves, or moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergeReport {
    /// The contact that stays.
    pub kept: ContactId,
    /// The contact that was merged into it.
    pub removed: ContactId,
    /// Aliases that moved.
    pub aliases: usize,
    /// Conversations that moved unchanged.
    pub moved_conversations: Vec<ConversationId>,
    /// Conversations that were merged: the removed one, and the one that it became.
    pub merged_conversations: Vec<(ConversationId, ConversationId)>,
    /// Plugins' data about the merged contact, if any.
    pub plugins: Vec<MergedPlugin>,
    /// Group memberships that moved.
    pub groups: usize,
    /// Join requests that moved.
    pub join_requests: usize,
    /// Group receipts that moved.
    pub receipts: usize,
    /// The kept contact before the merge.
    pub before: ContactStatus,
    /// The kept contact after the merge; the stricter consent applies.
    pub after: ContactStatus,
}

impl MergeReport {
    pub(crate) fn new(kept: ContactId, removed: ContactId) -> Self {
        let (before, after) = Default::default();
        Self {
            kept,
            removed,
            aliases: 0,
            moved_conversations: Vec::new(),
            merged_conversations: Vec::new(),
            plugins: Vec::new(),
            groups: 0,
            join_requests: 0,
            receipts: 0,
            before,
            after,
        }
    }

    /// Adds a plugin's data of another scope.
    pub(crate) fn add_plugin(&mut self, more: MergedPlugin) {
        match self.plugins.iter_mut().find(|known| known.plugin == more.plugin) {
            Some(known) => {
                known.values += more.values;
                known.values_dropped += more.values_dropped;
                known.keys_dropped.extend(more.keys_dropped);
                known.timers += more.timers;
                known.timers_dropped += more.timers_dropped;
            }
            None => self.plugins.push(more),
        }
    }
}

/// A plugin's data about the merged contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergedPlugin {
    /// The plugin.
    pub plugin: PluginNo,
    /// Values that moved.
    pub values: usize,
    /// Values that were dropped, because the kept contact has one with that key.
    pub values_dropped: usize,
    /// The first of the dropped keys.
    pub keys_dropped: Vec<String>,
    /// Timers that moved.
    pub timers: usize,
    /// Timers that were dropped, because the kept contact has one with that key.
    pub timers_dropped: usize,
}

impl MergedPlugin {
    pub(crate) fn new(plugin: PluginNo) -> Self {
        Self { plugin, values: 0, values_dropped: 0, keys_dropped: Vec::new(), timers: 0, timers_dropped: 0 }
    }
}

/// A contact with aliases and conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactDetails {
    /// The contact.
    pub contact: Contact,
    /// The platform's names, oldest first.
    pub aliases: Vec<Alias>,
    /// The conversations.
    pub conversations: Vec<ConversationSummary>,
    /// Aliases that suggest that this contact and another are the same person.
    pub conflicts: Vec<AliasConflict>,
    /// Contacts that were merged into this one.
    #[serde(default)]
    pub merged: Vec<ContactId>,
}
