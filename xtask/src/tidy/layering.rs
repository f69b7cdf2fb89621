//! Rules about the crates, read from their manifests: dependencies point down the list of layers,
//! pure crates have none that do I/O, and versions are set once, in the workspace.
//!
//! Cargo refuses a circle between crates, but not a dependency that points up.

use super::finding::{File, Finding};
use toml::{Table, Value};

/// The daemon's crates, from the top; one may depend on those after it.
const LAYERS: &[&str] = &[
    "beadle",
    "beadle-catalog",
    "beadle-schedule",
    "beadle-broadcast",
    "beadle-requests",
    "beadle-whatsapp",
    "beadle-pipeline",
    "beadle-sandbox",
    "beadle-gatekeeper",
    "beadle-gate",
    "beadle-segments",
    "beadle-store",
    "beadle-egress",
    "beadle-clock",
    "beadle-tasks",
    "beadle-model",
    "beadle-workshop",
];

/// Third-party crates, and the only crate of the daemon that may depend on them.
const KEPT_IN: &[(&str, &str)] = &[
    ("wasmtime", "beadle-sandbox"),
    ("wasmtime-wasi", "beadle-sandbox"),
    ("wasmtime-wasi-http", "beadle-sandbox"),
    ("rusqlite", "beadle-store"),
    ("cel", "beadle-segments"),
];

/// Crates that are functions of their arguments, and all that they may depend on: no I/O, no clock,
/// no runtime.
const PURE: &[(&str, &[&str])] = &[
    ("beadle-gate", &["beadle-model", "serde_json"]),
    ("beadle-model", &["icu_normalizer", "jiff", "serde", "serde_json", "thiserror"]),
];

/// Workspaces for another target or instrumentation, with lock files of their own.
const OTHER_WORKSPACES: &[&str] = &["plugins/", "plugin-api/", "fuzz/"];

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
    let mut report =
        |needle: &str, message: String| findings.push(Finding::new(&file.path, line_of(&file.text, needle), message));
    if table.get("lints").is_none() {
        report("[package]", "the workspace's lints are missing: add `[lints]` with `workspace = true`".into());
    }
    let in_workspace = !OTHER_WORKSPACES.iter().any(|folder| file.path.starts_with(folder));
    for (section, dependency, spec) in dependencies(&table) {
        if let Some(message) = misplaced(name, dependency, section) {
            report(dependency, message);
        }
        let shared =
            !in_workspace || spec.get("workspace") == Some(&Value::Boolean(true)) || spec.get("path").is_some();
        if !shared {
            let message = format!("the version of `{dependency}` must be the workspace's: use `workspace = true`");
            report(dependency, message);
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

/// Why `from` must not depend on `to`, if it must not.
fn misplaced(from: &str, to: &str, section: &str) -> Option<String> {
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    if let Some((_, allowed)) = PURE.iter().find(|(pure, _)| *pure == from && section == "dependencies")
        && !allowed.contains(&to)
    {
        return Some(format!("`{from}` does no I/O and reads no clock: pass in what `{to}` would provide"));
    }
    if let Some((_, home)) = KEPT_IN.iter().find(|(kept, _)| *kept == to) {
        return (place(from).is_some() && from != *home).then(|| format!("only {home} may use `{to}`"));
    }
    match (place(from), place(to)) {
        (Some(from_place), Some(to_place)) if to_place <= from_place => {
            Some(format!("`{from}` is below `{to}` (ARCHITECTURE.md): pass in what it needs"))
        }
        (None, Some(_)) if from == "beadle-simulator" => {
            Some("the simulator must not share types with the daemon: it is written against docs/whatsapp.md".into())
        }
        (None, Some(_)) if from == "beadle-plugin" => Some("the SDK depends on the contract only".into()),
        (Some(_), None) if to.starts_with("beadle-") && section == "dependencies" => {
            Some(format!("`{to}` is not part of the daemon"))
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

    fn messages(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}");
        manifest(&File { path: "daemon/x/Cargo.toml".into(), text })
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn dependencies_point_down() {
        assert!(messages("beadle-pipeline", "[dependencies]\nbeadle-store.workspace = true\n").is_empty());
        assert_eq!(messages("beadle-store", "[dependencies]\nbeadle-pipeline.workspace = true\n").len(), 1);
        assert_eq!(messages("beadle-store", "[dev-dependencies]\nbeadle-pipeline.workspace = true\n").len(), 1);
        assert_eq!(messages("beadle-simulator", "[dependencies]\nbeadle-model.workspace = true\n").len(), 1);
    }

    #[test]
    fn pure_crates_stay_pure() {
        assert!(messages("beadle-gate", "[dependencies]\nbeadle-model.workspace = true\n").is_empty());
        assert_eq!(messages("beadle-gate", "[dependencies]\nbeadle-clock.workspace = true\n").len(), 1);
        assert!(messages("beadle-gate", "[dev-dependencies]\nproptest.workspace = true\n").is_empty());
    }

    #[test]
    fn third_party_crate_stays_in_its_crate() {
        assert!(messages("beadle-store", "[dependencies]\nrusqlite.workspace = true\n").is_empty());
        assert_eq!(messages("beadle-catalog", "[dependencies]\nrusqlite.workspace = true\n").len(), 1);
    }

    #[test]
    fn versions_and_lints_come_from_the_workspace() {
        assert_eq!(messages("xtask", "[dependencies]\nserde = \"1\"\n").len(), 1);
        let bare = File { path: "daemon/x/Cargo.toml".into(), text: "[package]\nname = \"a\"\n".into() };
        assert_eq!(manifest(&bare).len(), 1);
    }
}
