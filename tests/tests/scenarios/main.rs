//! The scenarios: what people and operators live through, with the real programs.
//!
//! One program, so that it is linked once; a module each. Every scenario has its own daemon, simulator, folder and ports,
//! so that they run side by side.

#![cfg(test)]

mod a_month_goes_by;
mod all_that_comes;
mod author_loop;
mod backpressure_503;
mod beyond_text;
mod claim_fails_after_another_answered;
mod command_line;
mod disk_full;
mod documents_change;
mod duplicates_and_disorder;
mod fairness;
mod greets_and_answers;
mod hostile;
mod merge_contacts;
mod migration;
mod nothing_lost_kill9;
mod numbers_change;
mod operator_mistakes;
mod platform_fails_and_recovers;
mod reload_config;
mod reload_files;
mod reload_refused;
mod reload_under_load;
mod reminder_nudges;
mod safe_start;
mod schedules;
mod shutdown_drains;
mod stop_and_start;
mod time_is_turned;
mod trap_every_third;
mod trouble_off;
mod trouble_rests;
mod updates_reach_members;
mod webhooks;
mod windows_close;

use serde_json::Value;

/// A compiler on a busy machine; the first build of the standard library for wasm takes minutes there.
const PATIENCE_OF_A_COMPILER: std::time::Duration = std::time::Duration::from_secs(900);

/// The platform's limits out of the way: more is written here in a second than to a person in a day.
const UNPACED: &str = "[channels.shop.pace]\nmessages_per_second = 10000\ncontact_seconds = 0";

/// What the probe answers, without the count that it puts before it: "17 round 3" is "round 3".
fn uncounted(reply: &str) -> String {
    reply.split_once(' ').map_or("", |(_, text)| text).to_owned()
}

/// A text of a row, empty where it is not there.
fn text<'a>(row: &'a Value, at: &str) -> &'a str {
    row.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a status tells of problems.
fn has_problems(status: &Value) -> bool {
    status.get("problems").and_then(Value::as_array).is_some_and(|problems| !problems.is_empty())
}
