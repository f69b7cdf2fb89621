//! `beadle check`: reads the configuration as `run` does and reports every error in it.
//!
//! It changes nothing, so it can be used while a daemon runs and before a file is installed. If a daemon runs at the
//! configuration's socket, it lists what a reload would change and what needs a restart.

use crate::cli::Client;
use crate::config::{self, Config, Environment, Loaded, changes};
use crate::exit::{Exit, print};
use crate::obstacle::Obstacle;
use beadle_clock::Clock;
use beadle_model::EventKind;
use beadle_schedule::{Schedule, lint};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;

/// Checks the configuration and prints the result.
pub async fn check(path: &Path) -> Exit {
    let mut environment = Environment::process();
    // A shell has no systemd credentials; they are checked when the unit starts.
    environment.without_systemd = true;
    match config::load(path, &environment) {
        Ok(loaded) => {
            let warnings = warnings(&loaded.config);
            let mut text: String =
                loaded.notes.iter().chain(&warnings).map(|note| format!("warning: {note}\n")).collect();
            let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
            text.push_str(&format!("Valid: {}\n", files.join(", ")));
            text.push_str(&effect(&loaded).await);
            print(&text).err().unwrap_or(Exit::Ok)
        }
        Err(invalid) => {
            eprint!("{}", invalid.render(std::io::stderr().is_terminal()));
            eprintln!("\n{}", count(invalid.count()));
            Exit::Usage
        }
    }
}

/// What a reload would change in the daemon at this configuration's socket, if one runs.
async fn effect(loaded: &Loaded) -> String {
    let asked = async { Client::new(&loaded.config.admin.socket)?.get(&["config"], &[]).await };
    let Ok(Ok(running)) = asked.await.map(serde_json::from_value) else { return String::new() };
    let changed = changes(&running, &loaded.flat.hashes());
    let list = |needs_restart: bool| {
        let matching = changed.iter().filter(|change| change.needs_restart == needs_restart);
        matching.map(|change| format!("  {} {}\n", change.key, change.how)).collect::<String>()
    };
    let mut text = String::new();
    for (heading, list) in [("Changed by a reload:\n", list(false)), ("Changed after a restart:\n", list(true))] {
        if !list.is_empty() {
            text.push_str(heading);
            text.push_str(&list);
        }
    }
    if text.is_empty() { "No difference to the running daemon.\n".into() } else { text }
}

fn count(errors: usize) -> String {
    if errors == 1 { "1 error".into() } else { format!("{errors} errors") }
}

/// What is valid but probably not intended.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.channels.is_empty() {
        warnings.push("no channel is configured, so no messages are received or sent".into());
    }
    for name in config.apps.keys() {
        if !config.channels.values().any(|channel| channel.app == *name) {
            warnings.push(format!("no channel uses the app `{name}`"));
        }
    }
    warnings.extend(
        config
            .daemon
            .plugin_dirs
            .iter()
            .filter(|dir| !dir.is_dir())
            .map(|dir| format!("plugin folder {} does not exist", dir.display())),
    );
    warnings.extend(config.schedules.iter().flat_map(|schedule| schedule_warnings(schedule)));
    warnings.extend(plugin_warnings(config));
    warnings.extend(missing_plugins(config));
    warnings
}

/// The warnings of `beadle schedules show`, without the zones of members, which only a daemon knows.
fn schedule_warnings(schedule: &Schedule) -> Vec<String> {
    let zones = [schedule.zones.home().clone()];
    let warnings = lint::warnings(schedule, &zones, Clock::real().now());
    warnings
        .iter()
        .map(|warning| format!("schedule `{}`: {} ({})", schedule.name, warning.text, warning.code))
        .collect()
}

/// Settings for plugins that do not exist.
fn missing_plugins(config: &Config) -> Vec<String> {
    let is_missing =
        |name: &&String| !config.daemon.plugin_dirs.iter().any(|dir| dir.join(format!("{name}.wasm")).is_file());
    let missing = config.plugins.keys().filter(is_missing);
    let text =
        |name| format!("`[plugins.{name}]` has no effect: no plugin folder contains {name}.wasm (plugin-missing)");
    missing.map(text).collect()
}

/// Schedules whose plugin does not exist or does not handle schedules.
fn plugin_warnings(config: &Config) -> Vec<String> {
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    for schedule in config.schedules.iter().filter(|schedule| schedule.enabled) {
        for plugin in &schedule.plugins {
            named.entry(plugin).or_insert(&schedule.name);
        }
    }
    let warnings = named.into_iter().filter_map(|(plugin, schedule)| {
        let file = format!("{plugin}.wasm");
        let found = config.daemon.plugin_dirs.iter().map(|dir| dir.join(&file)).find(|path| path.is_file());
        let obstacle = match found.map(std::fs::read) {
            None => Obstacle::NoFile,
            Some(Ok(bytes)) => match beadle_sandbox::subscriptions(&bytes) {
                Ok(events) if !events.contains(&EventKind::Schedule) => Obstacle::NotExported,
                // The daemon reports a file that is not a plugin.
                _ => return None,
            },
            Some(Err(_)) => return None,
        };
        Some(format!("{} ({})", obstacle.message(schedule, plugin), obstacle.code()))
    });
    warnings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn settings_of_a_plugin_without_a_file_are_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).and_then(|()| fs::write(plugins.join("here.wasm"), "")).unwrap();
        let toml = "[daemon]\nplugin_dirs = [\"plugins\"]\n[plugins.here]\n[plugins.nothere]\norder = 1\n";
        fs::write(folder.path().join("beadle.toml"), toml).unwrap();
        let loaded = config::load(folder.path(), &Environment::process()).unwrap();
        let found: Vec<_> = warnings(&loaded.config).into_iter().filter(|text| text.contains("[plugins.")).collect();
        let expected = "`[plugins.nothere]` has no effect: no plugin folder contains nothere.wasm (plugin-missing)";
        assert_eq!(found, [expected]);
    }
}
