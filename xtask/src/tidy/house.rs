//! Rules about the crates: the arrows between them go down only, and what they share is said once.
//!
//! Cargo would refuse a circle, but not an arrow that points up; this reads the manifests.

use super::{File, Finding};
use toml::{Table, Value};

/// The daemon's crates, from the top; one may use those that stand after it.
const HOUSE: &[&str] = &[
    "beadle",
    "beadle-catalog",
    "beadle-schedule",
    "beadle-whatsapp",
    "beadle-pipeline",
    "beadle-sandbox",
    "beadle-gate",
    "beadle-store",
    "beadle-clock",
    "beadle-model",
    "beadle-workshop",
];

/// Crates of others and the only crate of the daemon that may use them.
const KEPT_IN: &[(&str, &str)] =
    &[("wasmtime", "beadle-sandbox"), ("wasmtime-wasi", "beadle-sandbox"), ("rusqlite", "beadle-store")];

/// What is built for another target, with a lock file of its own.
const OTHER_WORKSPACES: &[&str] = &["plugins/", "plugin-api/"];

const SECTIONS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks every manifest.
pub fn check(files: &[File]) -> Vec<Finding> {
    files.iter().filter(|file| is_manifest(&file.path)).flat_map(manifest).collect()
}

fn is_manifest(path: &str) -> bool {
    path.ends_with("/Cargo.toml")
}

fn manifest(file: &File) -> Vec<Finding> {
    let table: Table = match file.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![Finding::new(&file.path, 1, format!("not TOML: {error}"))],
    };
    let Some(name) = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut say =
        |needle: &str, says: String| findings.push(Finding::new(&file.path, line_of(&file.text, needle), says));
    if table.get("lints").is_none() {
        say("[package]", "the house's lints hold everywhere: add `[lints]` with `workspace = true`".into());
    }
    let in_workspace = !OTHER_WORKSPACES.iter().any(|folder| file.path.starts_with(folder));
    for (section, dependency, spec) in dependencies(&table) {
        if let Some(says) = arrow(name, dependency, section) {
            say(dependency, says);
        }
        let shared =
            !in_workspace || spec.get("workspace") == Some(&Value::Boolean(true)) || spec.get("path").is_some();
        if !shared {
            let says =
                format!("`{dependency}` has a version of its own: name it in the workspace, use `workspace = true`");
            say(dependency, says);
        }
    }
    findings
}

fn dependencies(table: &Table) -> impl Iterator<Item = (&'static str, &str, &Value)> {
    SECTIONS.iter().flat_map(|section| {
        let entries = table.get(*section).and_then(Value::as_table).into_iter().flatten();
        entries.map(move |(name, spec)| (*section, name.as_str(), spec))
    })
}

/// What is wrong with `from` using `to`, if anything.
fn arrow(from: &str, to: &str, section: &str) -> Option<String> {
    let place = |name: &str| HOUSE.iter().position(|room| *room == name);
    if let Some((_, home)) = KEPT_IN.iter().find(|(kept, _)| *kept == to) {
        return (place(from).is_some() && from != *home).then(|| format!("only {home} may use `{to}`"));
    }
    match (place(from), place(to)) {
        (Some(from_place), Some(to_place)) if to_place <= from_place => {
            Some(format!("`{from}` stands below `{to}`: arrows go down only (DESIGN section 4); pass in what it needs"))
        }
        (None, Some(_)) if from == "beadle-simulator" => {
            Some("the simulator is written against the platform's facts, not against the daemon's types".into())
        }
        (None, Some(_)) if from == "beadle-plugin" => Some("the SDK knows the contract, not the daemon".into()),
        (Some(_), None) if to.starts_with("beadle-") && section == "dependencies" => {
            Some(format!("`{to}` is no part of the daemon"))
        }
        _ => None,
    }
}

fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(needle)).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}");
        manifest(&File { path: "daemon/x/Cargo.toml".into(), text }).into_iter().map(|finding| finding.says).collect()
    }

    #[test]
    fn arrows_go_down_only() {
        assert!(says("beadle-pipeline", "[dependencies]\nbeadle-store.workspace = true\n").is_empty());
        assert_eq!(says("beadle-store", "[dependencies]\nbeadle-pipeline.workspace = true\n").len(), 1);
        assert_eq!(says("beadle-store", "[dev-dependencies]\nbeadle-pipeline.workspace = true\n").len(), 1);
        assert_eq!(says("beadle-simulator", "[dependencies]\nbeadle-model.workspace = true\n").len(), 1);
    }

    #[test]
    fn what_is_kept_in_one_room_stays_there() {
        assert!(says("beadle-store", "[dependencies]\nrusqlite.workspace = true\n").is_empty());
        assert_eq!(says("beadle-catalog", "[dependencies]\nrusqlite.workspace = true\n").len(), 1);
    }

    #[test]
    fn versions_and_lints_are_the_workspaces() {
        assert_eq!(says("xtask", "[dependencies]\nserde = \"1\"\n").len(), 1);
        let bare = File { path: "daemon/x/Cargo.toml".into(), text: "[package]\nname = \"a\"\n".into() };
        assert_eq!(manifest(&bare).len(), 1);
    }
}
