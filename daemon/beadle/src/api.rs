//! What the daemon's `/api/v1` answers: the shapes that web and command line share.
//!
//! Every answer is plain JSON; moments are milliseconds since 1970 UTC, ids are typed text, and each list carries the
//! daemon's own time (`now`), which in a simulation is not the machine's. Fields are added, never renamed: scripts read
//! this. It knows nothing of the store's rows and nothing of how things are shown.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Ms = i64;

/// A list, or a page of one.
#[derive(Debug, Deserialize, Serialize)]
pub struct List<T> {
    /// The daemon's time.
    pub now: Ms,
    /// What was asked for.
    pub items: Vec<T>,
    /// Ask with this to get more; none where that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /status`
#[derive(Debug, Deserialize, Serialize)]
pub struct Status {
    /// The daemon's time.
    pub now: Ms,
    /// Of the daemon.
    pub version: String,
    /// When it was started, by the machine's clock.
    pub started_at: Ms,
    /// `starting`, `running`, `draining`.
    pub phase: String,
    /// What a person should look at; empty where all is well.
    pub problems: Vec<Problem>,
    /// Events that are not finished.
    pub events_open: u64,
    /// When the oldest of them came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_open_at: Option<Ms>,
    /// Messages that wait.
    pub queued: u64,
    /// Messages on their way.
    pub sending: u64,
    /// Dead letters.
    pub dead: u64,
    /// Connections to platforms.
    pub channels: Vec<ChannelState>,
    /// Plugins.
    pub plugins: Vec<PluginRow>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Problem {
    /// `beadle explain` knows it.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// One channel in [`Status`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ChannelState {
    /// Its name.
    pub name: String,
    /// Its app.
    pub app: String,
    /// The platform's id of the number.
    pub phone_number_id: String,
    /// The platform's id of the account it belongs to, where it was configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_account_id: Option<String>,
    /// `open`, or why it does not send.
    pub state: String,
}

/// One plugin.
#[derive(Debug, Deserialize, Serialize)]
pub struct PluginRow {
    /// Its name.
    pub name: String,
    /// `active`, `probation`, `loading`, `pending`, `broken`, `removed`.
    pub state: String,
    /// Why it does not serve, or why what lies in the folder does not take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The step at which what lies in the folder was refused, while an earlier revision serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<String>,
    /// `guard`, `answer`, `observe`.
    pub stage: String,
    /// Its place in the stage.
    pub order: i64,
    /// As its author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// As its author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The content's hash, 12 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Where it was loaded from; none where no folder has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The events it exports.
    pub events: Vec<String>,
    /// The rights it imports.
    pub wishes: Vec<String>,
    /// The rights it was granted by name.
    pub grants: Vec<String>,
    /// What it understands as settings (JSON Schema), where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_schema: Option<Value>,
    /// What its wishes let it do, and whether it may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<RightRow>,
    /// Its limits, and the most that it used of each since it was loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitRow>,
    /// Revisions that one can go back to, the latest first, 12 hex digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// The revision in the folder that was sent back and is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_back: Option<String>,
    /// The steps by which it came into service, and how many milliseconds each took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<(String, f64)>,
    /// Calls so far, and those that failed.
    #[serde(default)]
    pub calls: (u64, u64),
}

/// A right that a plugin asks for.
#[derive(Debug, Deserialize, Serialize)]
pub struct RightRow {
    /// Its interface.
    pub right: String,
    /// What it lets a plugin do.
    pub meaning: String,
    /// `everybody`, `configuration`, `command`, or `no`.
    pub granted: String,
}

/// A limit, and what was used of it.
#[derive(Debug, Deserialize, Serialize)]
pub struct LimitRow {
    /// Its key in `[plugins.NAME.limits]`.
    pub key: String,
    /// As configured.
    pub limit: u64,
    /// The most that was used, in the same unit.
    pub used: f64,
}

/// An event in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct EventRow {
    /// `evt_…`
    pub id: String,
    /// `message`, …
    pub kind: String,
    /// When it happened, as the platform says.
    pub happened_at: Ms,
    /// When the daemon had it.
    pub received_at: Ms,
    /// The channel, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// `con_…`, where it is about someone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `open`, `passed`, `claimed by welcome`, …
    pub ending: String,
    /// What happened, in a line.
    pub summary: String,
}

/// `GET /events/{id}`
#[derive(Debug, Deserialize, Serialize)]
pub struct EventView {
    /// The daemon's time.
    pub now: Ms,
    /// As in lists.
    #[serde(flatten)]
    pub row: EventRow,
    /// `cnv_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// All that happened.
    pub body: Value,
    /// Handlings that did not end at the first try.
    pub handlings: Vec<HandlingRow>,
    /// Messages that came of it.
    pub messages: Vec<MessageRow>,
}

/// A handling that did not end at the first try.
#[derive(Debug, Deserialize, Serialize)]
pub struct HandlingRow {
    /// `hnd_…`
    pub id: String,
    /// In which plugin.
    pub plugin: String,
    /// `failing`, `done`, `dead`, `waiting`.
    pub state: String,
    /// Tries so far.
    pub attempts: u32,
    /// The last error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Ms>,
}

/// A message in the outbox.
#[derive(Debug, Deserialize, Serialize)]
pub struct MessageRow {
    /// `msg_…`
    pub id: String,
    /// `evt_…` that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Who asked for it.
    pub plugin: String,
    /// `cnv_…`
    pub conversation: String,
    /// `queued`, `sending`, `accepted`, `failed`, `dead`, `dropped`.
    pub state: String,
    /// What the platform said last: `sent`, `delivered`, `read`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// When it may go, or went.
    pub due_at: Ms,
    /// When it was asked for.
    pub created_at: Ms,
    /// Tries so far.
    pub attempts: u32,
    /// It may have been sent twice.
    pub maybe_twice: bool,
    /// The platform's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Why it failed or is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What it says, in a line.
    pub summary: String,
}

/// A dead letter.
#[derive(Debug, Deserialize, Serialize)]
pub struct DeadRow {
    /// `hnd_…`, `msg_…` or `whk_…`
    pub id: String,
    /// Which plugin; `beadle` for a webhook.
    pub plugin: String,
    /// `evt_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// When it was given up.
    pub at: Ms,
    /// Tries in all; of a webhook, how often it came.
    pub attempts: u32,
    /// The error's code.
    pub code: String,
    /// The error.
    pub error: String,
    /// When a person last had it tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_at: Option<Ms>,
    /// The event was answered by somebody meanwhile, so that a retry may answer twice.
    #[serde(default)]
    pub answered: bool,
    /// What it was about, in a line.
    pub summary: String,
    /// A webhook that was not understood, where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The answer to a retry or a drop.
#[derive(Debug, Deserialize, Serialize)]
pub struct Done {
    /// What was done, in a sentence.
    pub message: String,
    /// What to know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Two contacts who may be one person. Merging is a person's decision.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergeProposal {
    /// Who came with the name.
    pub claimed: String,
    /// What they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_name: Option<String>,
    /// Whose it is.
    pub holder: String,
    /// What they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder_name: Option<String>,
    /// The name: `phone 351912345678`.
    pub alias: String,
    /// When it came.
    pub seen_at: Ms,
}

/// `POST /contacts/{keep}/merge/{gone}`: what moved, or would move.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergeView {
    /// Nothing was changed: it was only asked for.
    pub dry_run: bool,
    /// Who stays: `con_…`
    pub kept: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who is one with them; the id stays good.
    pub gone: String,
    /// Numbers and ids that moved.
    pub names: u64,
    /// Conversations that moved as they were.
    pub moved: Vec<String>,
    /// Conversations that became one with one of the kept contact's: the one that is no more, and that one.
    pub joined: Vec<(String, String)>,
    /// What plugins kept about them.
    pub plugins: Vec<MergedPlugin>,
    /// Places in groups.
    pub groups: u64,
    /// Requests to come into a group.
    pub join_requests: u64,
    /// Receipts in groups.
    pub receipts: u64,
    /// Whether the kept contact was a member, …
    pub was_member: bool,
    /// … and is one now.
    pub is_member: bool,
    /// Wants no messages since then; the stricter wish of both stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
    /// Wants no marketing since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marketing_stopped_since: Option<Ms>,
}

/// What a plugin kept about a contact that is merged.
#[derive(Debug, Deserialize, Serialize)]
pub struct MergedPlugin {
    /// Its name.
    pub plugin: String,
    /// Values that moved.
    pub values: u64,
    /// Values that gave way to the kept contact's.
    pub values_dropped: u64,
    /// Under which keys; the first of them.
    pub keys_dropped: Vec<String>,
    /// Timers that moved.
    pub timers: u64,
    /// Timers that gave way to the kept contact's.
    pub timers_dropped: u64,
}

/// A person.
#[derive(Debug, Deserialize, Serialize)]
pub struct ContactRow {
    /// `con_…`
    pub id: String,
    /// As the platform shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// When they became known.
    pub created_at: Ms,
    /// Member since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_since: Option<Ms>,
    /// Wants no messages since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opted_out_since: Option<Ms>,
}

/// `GET /contacts/{id}`
#[derive(Debug, Deserialize, Serialize)]
pub struct ContactView {
    /// The daemon's time.
    pub now: Ms,
    /// As in lists.
    #[serde(flatten)]
    pub row: ContactRow,
    /// The platform's names for them, `phone 31612345678`.
    pub aliases: Vec<String>,
    /// Where they were met.
    pub conversations: Vec<ConversationRow>,
    /// What suggests that this and another contact are one person. Nobody is merged by that.
    #[serde(default)]
    pub clashes: Vec<String>,
    /// Contacts that are one with this one: their ids stay good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
}

/// A conversation of a contact.
#[derive(Debug, Deserialize, Serialize)]
pub struct ConversationRow {
    /// `cnv_…`
    pub id: String,
    /// The channel.
    pub channel: String,
    /// When they wrote last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_inbound_at: Option<Ms>,
    /// When the 24-hour window ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_until: Option<Ms>,
}

/// `GET /why/{id}`: a story in steps.
#[derive(Debug, Deserialize, Serialize)]
pub struct Why {
    /// The daemon's time.
    pub now: Ms,
    /// What was asked about.
    pub id: String,
    /// In the order of what led to what.
    pub steps: Vec<Step>,
}

/// One step of a story.
#[derive(Debug, Deserialize, Serialize)]
pub struct Step {
    /// When, where it has a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Ms>,
    /// What it is about: an id, a plugin, a rule.
    pub what: String,
    /// What happened.
    pub says: String,
}

/// An answer that is a "no".
#[derive(Debug, Deserialize, Serialize)]
pub struct Failure {
    /// What is wrong.
    pub error: Problem,
}
