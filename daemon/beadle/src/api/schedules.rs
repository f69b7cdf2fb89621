//! Schedules: when they fire, for which plugins, and the outcomes.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A schedule in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// Its pattern as it is written: `cron = "0 9 * * MON"`.
    pub pattern: String,
    /// The same in words.
    pub description: String,
    /// An IANA zone, or `member`.
    pub timezone: String,
    /// The plugins for which it fires.
    pub plugins: Vec<String>,
    /// `on`, `off` (`enabled = false`), `ended` (it never fires again), `waiting` (none of its
    /// plugins can be reached).
    pub state: String,
    /// When it fires next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<MomentRow>,
    /// Its last outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FiringRow>,
}

/// `GET /schedules/{name}`
#[derive(Debug, Deserialize, Serialize)]
pub struct ScheduleView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// As in lists.
    #[serde(flatten)]
    pub row: ScheduleRow,
    /// Everything else that is configured, as text, by key.
    pub settings: Vec<(String, String)>,
    /// The payload of its events.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// Its progress in each plugin.
    pub targets: Vec<TargetRow>,
    /// The zones in which it currently fires.
    pub zones: Vec<String>,
    /// Warnings.
    pub warnings: Vec<Problem>,
}

/// A schedule's progress in one plugin.
#[derive(Debug, Deserialize, Serialize)]
pub struct TargetRow {
    /// The plugin.
    pub plugin: String,
    /// When it is next due for this plugin.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Ms>,
    /// Every planned time up to here is decided.
    #[serde(with = "super::rfc3339")]
    pub decided_until: Ms,
    /// Why it does not fire for this plugin now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A moment that a pattern matches.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MomentRow {
    /// When it is planned.
    #[serde(with = "super::rfc3339")]
    pub at: Ms,
    /// The same in local time: `Thu 2026-12-24 18:00 CET`.
    pub local: String,
    /// Its zone.
    pub timezone: String,
    /// When it is due, if jitter delays it.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Ms>,
    /// How a clock change affects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it does not fire: a holiday's name, or `except`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

/// The outcome of a planned time, for one plugin and zone.
#[derive(Debug, Deserialize, Serialize)]
pub struct FiringRow {
    /// Its id in the history.
    pub id: i64,
    /// The planned time; for `manual` the time of the run.
    #[serde(with = "super::rfc3339")]
    pub planned_at: Ms,
    /// How much later than due it was decided, in milliseconds.
    pub late_ms: i64,
    /// The plugin.
    pub plugin: String,
    /// The zone of members, if it fires per zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// `fired`, `caught-up`, `skipped`, `missed`, `manual`.
    pub outcome: String,
    /// The number of planned times that it covers; 10,000 means 10,000 or more.
    pub count: u32,
    /// The event that it created: `evt_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The state of its handling: `done`, `open`, `dead`; none if the event has been deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handling: Option<String>,
}

/// `GET /schedules/{name}/run`: an event that a manual run would create.
#[derive(Debug, Deserialize, Serialize)]
pub struct PlannedEvent {
    /// The plugin.
    pub plugin: String,
    /// The time zone in the event.
    pub timezone: String,
    /// It is only for members in that zone.
    pub for_zone: bool,
    /// Why it would not reach the plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The payload of the event.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
}
