//! The state of the daemon.

use super::common::Problem;
use super::plugins::PluginRow;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// `GET /status`
#[derive(Debug, Deserialize, Serialize)]
pub struct Status {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The daemon's version.
    pub version: String,
    /// When it was started, by the system clock.
    #[serde(with = "super::rfc3339")]
    pub started_at: Ms,
    /// `starting`, `running`, `draining`.
    pub phase: String,
    /// Problems that need attention; empty if there are none.
    pub problems: Vec<Problem>,
    /// Events that are not finished.
    pub events_open: u64,
    /// When the oldest of them was received.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub oldest_open_at: Option<Ms>,
    /// Messages that wait.
    pub queued: u64,
    /// Messages that are being sent.
    pub sending: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Open requests of people.
    #[serde(default)]
    pub contact_requests: u64,
    /// Erasures of people that are not complete.
    #[serde(default)]
    pub open_erasures: u64,
    /// Connections to platforms.
    pub channels: Vec<ChannelState>,
    /// Plugins.
    pub plugins: Vec<PluginRow>,
    /// Long-lived tasks of the daemon.
    #[serde(default)]
    pub tasks: Vec<TaskRow>,
}

/// The tasks of one kind in [`Status`].
#[derive(Debug, Deserialize, Serialize)]
pub struct TaskRow {
    /// The kind.
    pub name: String,
    /// `running`, `restarting`, `stuck`, `failed`.
    pub state: String,
    /// Panics since the start.
    pub panics: u64,
    /// Restarts since the start.
    pub restarts: u64,
    /// Time since it last showed progress; 0 while it is idle.
    pub silence_ms: u64,
}

/// `GET /clock`
#[derive(Debug, Deserialize, Serialize)]
pub struct ClockView {
    /// The daemon's time.
    pub now: Ms,
    /// The revision of the simulator's clock. This and the fields below are none with the system
    /// clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether everything that is due has been processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_rest: Option<bool>,
    /// When the next work is due; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Ms>,
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
    /// The platform's id of its account, if configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_account_id: Option<String>,
    /// `open`, or why it does not send.
    pub state: String,
}
