//! People as they are shown, and what a merge of two of them moves.

use beadle_model::{Alias, Contact, ContactId, ConversationId, PluginNo, Timestamp};
use serde::{Deserialize, Serialize};

/// A conversation in a contact's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationShown {
    /// The conversation.
    pub id: ConversationId,
    /// On which channel.
    pub channel: String,
    /// When they wrote last.
    pub last_inbound_at: Option<Timestamp>,
    /// When the window ends (or ended).
    pub window_until: Option<Timestamp>,
}

/// A name under which one contact came, and which is another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasClash {
    /// The name.
    pub alias: Alias,
    /// Whose it is.
    pub holder: ContactId,
    /// Who came with it.
    pub claimed: ContactId,
}

/// What a contact is to the community.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Member since then.
    pub member_since: Option<Timestamp>,
    /// Wants no messages since then.
    pub opted_out_since: Option<Timestamp>,
    /// Wants no marketing since then.
    pub marketing_stopped_since: Option<Timestamp>,
}

/// What a merge moves, or moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergeReport {
    /// Who stays.
    pub kept: ContactId,
    /// Who is one with them now.
    pub gone: ContactId,
    /// Numbers and ids that are the kept contact's now.
    pub names: usize,
    /// Conversations that moved as they were.
    pub moved: Vec<ConversationId>,
    /// Conversations that are one with one of the kept contact's: the one that is no more, and that one.
    pub joined: Vec<(ConversationId, ConversationId)>,
    /// What plugins kept about them; only those that kept something.
    pub plugins: Vec<MergedPlugin>,
    /// Places in groups.
    pub groups: usize,
    /// Requests to come into a group.
    pub join_requests: usize,
    /// Receipts in groups.
    pub receipts: usize,
    /// What the kept contact was, …
    pub before: Standing,
    /// … and is now: the stricter wish of both stands.
    pub after: Standing,
}

impl MergeReport {
    pub(crate) fn new(kept: ContactId, gone: ContactId) -> Self {
        let (moved, joined, plugins) = (Vec::new(), Vec::new(), Vec::new());
        let (before, after) = Default::default();
        let (names, groups, join_requests, receipts) = (0, 0, 0, 0);
        Self { kept, gone, names, moved, joined, plugins, groups, join_requests, receipts, before, after }
    }

    /// What one plugin kept, added to what it kept in another scope.
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

/// What a plugin kept about a contact that is one with another now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergedPlugin {
    /// Which.
    pub plugin: PluginNo,
    /// Values that moved.
    pub values: usize,
    /// Values that gave way, since the kept contact has one under that key.
    pub values_dropped: usize,
    /// Under which keys; the first of them.
    pub keys_dropped: Vec<String>,
    /// Timers that moved.
    pub timers: usize,
    /// Timers that gave way, since the kept contact has one of that key.
    pub timers_dropped: usize,
}

impl MergedPlugin {
    pub(crate) fn new(plugin: PluginNo) -> Self {
        Self { plugin, values: 0, values_dropped: 0, keys_dropped: Vec::new(), timers: 0, timers_dropped: 0 }
    }
}

/// A contact with names and conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactShown {
    /// The contact.
    pub contact: Contact,
    /// What platforms call them, oldest first.
    pub aliases: Vec<Alias>,
    /// Their conversations.
    pub conversations: Vec<ConversationShown>,
    /// Names that suggest that this contact and another are one person.
    pub clashes: Vec<AliasClash>,
    /// Contacts that are one with this one: their ids stay good.
    #[serde(default)]
    pub merged: Vec<ContactId>,
}
