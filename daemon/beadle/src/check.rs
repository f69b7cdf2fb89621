//! `beadle check`: reads the configuration as `run` does and reports every error in it.
//!
//! It changes nothing, so it can be used while a daemon runs and before a file is installed. If a
//! daemon runs at the configuration's socket, it lists what a reload would change and what needs a
//! restart.

use crate::cli::Client;
use crate::config::{self, Diagnostic, Environment, Loaded, Span, changes};
use crate::exit::{Exit, print};
use crate::obstacle::Obstacle;
use beadle_clock::Clock;
use beadle_model::EventKind;
use beadle_model::text::counted;
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
            let color = std::io::stdout().is_terminal();
            let found = warnings(&loaded);
            let lines =
                loaded.warnings.iter().chain(&found).map(|warning| warning.render(&loaded.sources, color) + "\n");
            let mut text: String = lines.collect();
            let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
            text.push_str(&format!("Valid: {}\n", files.join(", ")));
            if loaded.config.plugins.values().any(|plugin| !plugin.settings.is_null()) {
                text.push_str("The daemon checks the settings of plugins when it loads them; see `beadle status`.\n");
            }
            text.push_str(&effect(&loaded).await);
            print(&text).err().unwrap_or(Exit::Ok)
        }
        Err(invalid) => {
            eprint!("{}", invalid.render(std::io::stderr().is_terminal()));
            eprintln!("\n{}", counted(invalid.count() as u64, "error", "errors"));
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

/// What is valid but probably not intended.
fn warnings(loaded: &Loaded) -> Vec<Diagnostic> {
    let config = &loaded.config;
    let place = |key: &str| loaded.places.get(key).cloned();
    let mut warnings = Vec::new();
    if config.channels.is_empty() {
        let message = "no channel is configured, so no messages are received or sent";
        warnings.push(Diagnostic::warning("config-no-channel", None, message));
    }
    if !config.channels.is_empty() && config.keywords.brand.is_empty() {
        let message = "`brand` in `[keywords]` is not set, so Beadle's replies to STOP and the other reserved words \
                       do not name the sender";
        warnings.push(Diagnostic::warning("config-no-brand", place("keywords"), message));
    }
    for name in config.apps.keys() {
        if !config.channels.values().any(|channel| channel.app == *name) {
            let message = format!("no channel uses the app `{name}`");
            warnings.push(Diagnostic::warning("config-app-unused", place(&format!("apps.{name}")), message));
        }
    }
    for dir in config.daemon.plugin_dirs.iter().filter(|dir| !dir.is_dir()) {
        let message = format!("plugin folder {} does not exist", dir.display());
        warnings.push(Diagnostic::warning("plugin-folder-missing", place("daemon.plugin_dirs"), message));
    }
    warnings.extend(config.schedules.iter().flat_map(|schedule| schedule_warnings(schedule, loaded)));
    warnings.extend(plugin_warnings(loaded));
    warnings.extend(missing_plugins(loaded));
    warnings
}

/// The place of a key of a schedule, or of the schedule.
fn schedule_place(loaded: &Loaded, schedule: &str, keys: &[&str]) -> Option<Span> {
    let key = keys.iter().find_map(|key| loaded.places.get(&format!("schedule.{schedule}.{key}")));
    key.or_else(|| loaded.places.get(&format!("schedule.{schedule}"))).cloned()
}

/// The warnings of `beadle schedules show`, without the zones of members, which only a daemon
/// knows.
fn schedule_warnings(schedule: &Schedule, loaded: &Loaded) -> Vec<Diagnostic> {
    let zones = [schedule.zones.home().clone()];
    let place = schedule_place(loaded, &schedule.name, &[schedule.source.0]);
    let warning = |warning: lint::Warning| {
        let message = format!("schedule `{}`: {}", schedule.name, warning.text);
        Diagnostic::warning(warning.code, place.clone(), message)
    };
    lint::warnings(schedule, &zones, Clock::real().now()).into_iter().map(warning).collect()
}

/// Settings for plugins that do not exist.
fn missing_plugins(loaded: &Loaded) -> Vec<Diagnostic> {
    let dirs = &loaded.config.daemon.plugin_dirs;
    let is_missing = |name: &&String| !dirs.iter().any(|dir| dir.join(format!("{name}.wasm")).is_file());
    let missing = loaded.config.plugins.keys().filter(is_missing);
    let warning = |name: &String| {
        let message = format!("`[plugins.{name}]` has no effect: no plugin folder contains {name}.wasm");
        Diagnostic::warning("plugin-missing", loaded.places.get(&format!("plugins.{name}")).cloned(), message)
    };
    missing.map(warning).collect()
}

/// Schedules whose plugin does not exist or does not handle schedules.
fn plugin_warnings(loaded: &Loaded) -> Vec<Diagnostic> {
    let config = &loaded.config;
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
        let place = schedule_place(loaded, schedule, &["plugin", "plugins"]);
        Some(Diagnostic::warning(obstacle.code(), place, obstacle.message(schedule, plugin)))
    });
    warnings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn channel_without_a_brand_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let shown = |keywords: &str| {
            let app = "kind = \"whatsapp-cloud\"\ngraph_url = \"http://localhost:1\"\naccess_token = { file = \"s\" }\n\
                       app_secret = { file = \"s\" }\nverify_token = { file = \"s\" }";
            let channel = "app = \"main\"\nphone_number_id = \"1\"";
            let toml = format!("{keywords}\n[apps.main]\n{app}\n[channels.shop]\n{channel}\n");
            fs::write(folder.path().join("s"), "s")
                .and_then(|()| fs::write(folder.path().join("beadle.toml"), toml))
                .unwrap();
            let loaded =
                config::load(folder.path(), &Environment::process()).unwrap_or_else(|invalid| panic!("{invalid}"));
            warnings(&loaded).iter().map(|warning| warning.render(&loaded.sources, false)).collect::<String>()
        };
        for missing in ["", "[keywords]\nlanguage = \"nl\"", "[keywords]\nbrand = \" \""] {
            let output = shown(missing);
            assert!(output.contains("warning[config-no-brand]: `brand` in `[keywords]` is not set"), "{output}");
        }
        let output = shown("[keywords]\nbrand = \"Shop\"");
        assert!(!output.contains("config-no-brand"), "{output}");
    }

    #[test]
    fn settings_of_a_plugin_without_a_file_are_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).and_then(|()| fs::write(plugins.join("here.wasm"), "")).unwrap();
        let toml = "[daemon]\nplugin_dirs = [\"plugins\"]\n[plugins.here]\n[plugins.nothere]\norder = 1\n";
        fs::write(folder.path().join("beadle.toml"), toml).unwrap();
        let loaded = config::load(folder.path(), &Environment::process()).unwrap();
        let output = warnings(&loaded).iter().map(|warning| warning.render(&loaded.sources, false)).collect::<String>();
        let expected =
            "warning[plugin-missing]: `[plugins.nothere]` has no effect: no plugin folder contains nothere.wasm";
        let place = format!(" --> {}:4:10", folder.path().join("beadle.toml").display());
        assert!(output.contains(expected) && output.contains(&place), "{output}");
        assert!(!output.contains("plugins.here]` has"), "{output}");
    }
}
