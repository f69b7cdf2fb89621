//! Schedules: when they fire, for whom, and what became of it.

use super::{Ms, Problem};
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
    /// For whom it fires.
    pub plugins: Vec<String>,
    /// `on`, `off` (`enabled = false`), `over` (it never fires any more), `waiting` (none of its plugins takes part).
    pub state: String,
    /// When it fires next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<MomentRow>,
    /// What became of it last.
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
    /// What its events carry.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// What each plugin has of it.
    pub targets: Vec<TargetRow>,
    /// The zones that it fires in today.
    pub zones: Vec<String>,
    /// What may surprise.
    pub warnings: Vec<Problem>,
}

/// A plugin's share of a schedule.
#[derive(Debug, Deserialize, Serialize)]
pub struct TargetRow {
    /// The plugin.
    pub plugin: String,
    /// When it is due for this one next.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Ms>,
    /// Every moment up to here is decided.
    #[serde(with = "super::rfc3339")]
    pub decided_until: Ms,
    /// Why it does not fire for it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A moment that a pattern matches.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MomentRow {
    /// When it is planned.
    #[serde(with = "super::rfc3339")]
    pub at: Ms,
    /// The same on the wall of its zone: `Thu 2026-12-24 18:00 CET`.
    pub local: String,
    /// Its zone.
    pub timezone: String,
    /// When it is due, where jitter puts it off.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Ms>,
    /// How a clock change bears on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it does not fire: a holiday's name, or `except`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

/// What became of a moment, for one plugin and zone.
#[derive(Debug, Deserialize, Serialize)]
pub struct FiringRow {
    /// Its place in the history.
    pub id: i64,
    /// When it was to be; for `by-hand` when it was.
    #[serde(with = "super::rfc3339")]
    pub planned_at: Ms,
    /// How much later than due it was decided, in milliseconds.
    pub late_ms: i64,
    /// For whom.
    pub plugin: String,
    /// The zone of members that it was for, where it was for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// `fired`, `caught-up`, `skipped`, `missed`, `by-hand`.
    pub outcome: String,
    /// Moments that it stands for; 10,000 is so many or more.
    pub count: u32,
    /// `evt_…` that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What the plugin did with that: `done`, `open`, `dead`; none where the event is kept no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handling: Option<String>,
}

/// `GET /schedules/{name}/run`: an event that a firing by hand would make.
#[derive(Debug, Deserialize, Serialize)]
pub struct PlannedEvent {
    /// For whom.
    pub plugin: String,
    /// The zone that it would say.
    pub timezone: String,
    /// Only for members who live there.
    pub for_zone: bool,
    /// Why it would not reach the plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What it would carry.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
}
