//! `beadle check`: reads the configuration as `run` would, and tells every mistake in it.
//!
//! It opens nothing and changes nothing, so it can be run beside the daemon, and before a file is put in its place.

use crate::config::{self, Config, Surroundings};
use crate::exit::{Exit, print};
use std::io::IsTerminal as _;
use std::path::Path;

/// Checks, prints what there is to say, and tells whether it can be used.
pub fn check(path: &Path) -> Exit {
    let mut surroundings = Surroundings::process();
    // In a shell there are no credentials; their files are checked where they are: when the unit starts.
    surroundings.without_systemd = true;
    match config::load(path, &surroundings) {
        Ok(loaded) => {
            let doubts = doubts(&loaded.config);
            let mut text: String = loaded.notes.iter().chain(&doubts).map(|note| format!("Note: {note}.\n")).collect();
            let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
            text.push_str(&format!("{} can be used.\n", files.join(", ")));
            print(&text).err().unwrap_or(Exit::Ok)
        }
        Err(invalid) => {
            eprint!("{}", invalid.render(std::io::stderr().is_terminal()));
            eprintln!("\n{} in the configuration.", count(invalid.count()));
            Exit::Failed
        }
    }
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
    doubts
}
