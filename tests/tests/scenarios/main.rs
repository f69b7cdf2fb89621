//! End-to-end scenarios with the real programs: the daemon, the simulator, the plugins.
//!
//! All of them are one test program, so that it is linked once; each topic is a module. Every test
//! has its own daemon, simulator, folder and ports, so that tests run concurrently.

#![cfg(test)]

mod author_loop;
mod backpressure_503;
mod broadcasts;
mod changed_numbers;
mod command_line;
mod community_updates;
mod consents;
mod costs;
mod day;
mod demo;
mod disabled_plugins;
mod disk_full;
mod documents;
mod duplicates_and_disorder;
mod durable_requests;
mod egress;
mod exhausted_host;
mod failed_claims;
mod fairness;
mod first_message;
mod foreign_lock;
mod hooks;
mod hostile_plugins;
mod incoming_types;
mod kill9;
mod media_and_groups;
mod merge_contacts;
mod migration;
mod month_of_schedules;
mod operator_errors;
mod opt_in_form;
mod platform_outages;
mod privacy;
mod recorded_webhooks;
mod reload_config;
mod reload_files;
mod reload_refused;
mod reload_under_load;
mod reminder;
mod reserved_words;
mod resting_plugins;
mod restore;
mod safe_start;
mod schedules;
mod segments;
mod shutdown;
mod templates;
mod tls_proxy;
mod traps;
mod update_broadcasts;
mod virtual_time;
mod webhooks;
mod weeks;
mod windows;
mod wrong_clock;

use serde_json::Value;

/// The limit of a build: the first one of the standard library for wasm takes minutes on a busy
/// machine.
const BUILD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(900);

/// Disables pacing: a test sends more messages in a second than a person receives in a day.
const UNPACED: &str = "[channels.shop.pace]\nmessages_per_second = 10000\ncontact_seconds = 0";

/// A reply of the probe without its leading count: "17 round 3" is "round 3".
fn without_count(reply: &str) -> String {
    reply.split_once(' ').map_or("", |(_, text)| text).to_owned()
}

/// The string at a JSON pointer; empty if there is none.
fn text<'a>(row: &'a Value, at: &str) -> &'a str {
    row.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a status lists problems.
fn has_problems(status: &Value) -> bool {
    status.get("problems").and_then(Value::as_array).is_some_and(|problems| !problems.is_empty())
}
