//! `beadle check`: reads the configuration as `run` would, and tells every mistake in it.
//!
//! It changes nothing, so it can be run beside the daemon, and before a file is put in its place. Where a daemon runs at
//! the configuration's socket it says what a reload would change there, and what needs a restart.

use crate::cli::Client;
use crate::config::{self, Config, Environment, Loaded, changes};
use crate::exit::{Exit, print};
use beadle_clock::Clock;
use beadle_model::EventKind;
use beadle_schedule::{Schedule, lint};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;

/// Checks, prints what there is to say, and tells whether it can be used.
pub async fn check(path: &Path) -> Exit {
    let mut environment = Environment::process();
    // In a shell there are no credentials; their files are checked where they are: when the unit starts.
    environment.without_systemd = true;
    match config::load(path, &environment) {
        Ok(loaded) => {
            let doubts = doubts(&loaded.config);
            let mut text: String = loaded.notes.iter().chain(&doubts).map(|note| format!("Note: {note}.\n")).collect();
            let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
            text.push_str(&format!("{} can be used.\n", files.join(", ")));
            text.push_str(&effect(&loaded).await);
            print(&text).err().unwrap_or(Exit::Ok)
        }
        Err(invalid) => {
            eprint!("{}", invalid.render(std::io::stderr().is_terminal()));
            eprintln!("\n{} in the configuration.", count(invalid.count()));
            Exit::Failed
        }
    }
}

/// What a reload would do to the daemon that runs with this configuration's socket, if one does.
async fn effect(loaded: &Loaded) -> String {
    let asked = async { Client::new(&loaded.config.admin.socket)?.get(&["config"], &[]).await };
    let Ok(Ok(running)) = asked.await.map(serde_json::from_value) else { return String::new() };
    let changed = changes(&running, &loaded.flat.hashes());
    let list = |needs_restart: bool| {
        let of = changed.iter().filter(|change| change.needs_restart == needs_restart);
        of.map(|change| format!("  {} {}\n", change.key, change.how)).collect::<String>()
    };
    let mut text = String::new();
    for (heading, list) in [("A reload would change at once:\n", list(false)), ("After a restart:\n", list(true))] {
        if !list.is_empty() {
            text.push_str(heading);
            text.push_str(&list);
        }
    }
    if text.is_empty() { "It is what the running daemon has.\n".into() } else { text }
}

fn count(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".into() } else { format!("{mistakes} mistakes") }
}

/// What is no mistake, but hardly meant.
fn doubts(config: &Config) -> Vec<String> {
    let mut doubts = Vec::new();
    if config.channels.is_empty() {
        doubts.push("there is no channel, so nothing comes in and nothing goes out".into());
    }
    for name in config.apps.keys() {
        if !config.channels.values().any(|channel| channel.app == *name) {
            doubts.push(format!("no channel uses the app `{name}`"));
        }
    }
    doubts.extend(
        config
            .daemon
            .plugin_dirs
            .iter()
            .filter(|dir| !dir.is_dir())
            .map(|dir| format!("{} is no folder", dir.display())),
    );
    doubts.extend(config.schedules.iter().flat_map(|schedule| surprises(schedule)));
    doubts.extend(unheard(config));
    doubts
}

/// What `beadle schedules show` warns of too; members' zones are known to a daemon only.
fn surprises(schedule: &Schedule) -> Vec<String> {
    let zones = [schedule.zones.home().clone()];
    let warnings = lint::warnings(schedule, &zones, Clock::real().now());
    warnings.iter().map(|it| format!("the schedule `{}`: {} ({})", schedule.name, it.text, it.code)).collect()
}

/// Plugins that schedules are for and that are not there, or do not listen.
fn unheard(config: &Config) -> Vec<String> {
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    for schedule in config.schedules.iter().filter(|schedule| schedule.enabled) {
        for plugin in &schedule.plugins {
            named.entry(plugin).or_insert(&schedule.name);
        }
    }
    let unheard = named.into_iter().filter_map(|(plugin, schedule)| {
        let file = format!("{plugin}.wasm");
        let found = config.daemon.plugin_dirs.iter().map(|dir| dir.join(&file)).find(|path| path.is_file());
        let (code, why) = match found.map(std::fs::read) {
            None => ("schedule-plugin-unavailable", "which is not there"),
            Some(Ok(bytes)) => match beadle_sandbox::subscriptions(&bytes) {
                Ok(events) if !events.contains(&EventKind::Schedule) => {
                    ("schedule-not-exported", "which has no `on-schedule`")
                }
                // A file that is no plugin is told of by whoever loads it.
                _ => return None,
            },
            Some(Err(_)) => return None,
        };
        Some(format!("the schedule `{schedule}` is for `{plugin}`, {why} ({code})"))
    });
    unheard.collect()
}
