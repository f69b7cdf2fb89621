//! Plugins, their documents and their stored state.

use super::text::{Lines, Output, Result, Screen, joined, or_dash, print_list, problem, utc};
use crate::api::{CapabilityRow, DocumentRow, List, PluginRow, StateRow, StoredState};
use crate::cli::table::{Table, json, when};
use beadle_model::text::counted;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle plugins list`
pub fn plugins(response: Value, screen: Screen) -> Result {
    let list: List<PluginRow> = from_value(response)?;
    Ok(table(&list.items, screen))
}

/// The table of plugins; the last column shows the problem of a plugin that has one, else its
/// events.
pub fn table(rows: &[PluginRow], screen: Screen) -> Output {
    let mut table = Table::new(&["PLUGIN", "STATE", "STAGE", "ORDER", "VERSION", "EVENTS OR PROBLEM"])
        .flexible(&["PLUGIN", "VERSION"]);
    for row in rows {
        let last = row.problem.as_ref().map_or_else(|| joined(&row.events), problem);
        let version = or_dash(row.version.as_deref());
        table.row([row.name.clone(), row.state.clone(), row.stage.clone(), row.order.to_string(), version, last]);
    }
    print_list(&table, rows.len(), "No plugins.", None, screen)
}

/// `beadle plugins show`
pub fn plugin(response: Value, screen: Screen) -> Result {
    let row: PluginRow = from_value(response)?;
    let mut text = lines(&row).print();
    let mut hints = Vec::new();
    if !row.capabilities.is_empty() {
        let mut table = Table::new(&["CAPABILITY", "ALLOWS THE PLUGIN TO", "GRANTED"]);
        row.capabilities.iter().for_each(|row| table.row([row.name.clone(), row.allows.clone(), granted(row).into()]));
        let _ = write!(text, "\n{}", table.print(screen.width));
        let missing: Vec<&str> =
            row.capabilities.iter().filter(|row| row.granted == "no").map(|row| row.name.as_str()).collect();
        if !missing.is_empty() {
            hints.push(format!("run `beadle plugins grant {} {}` to grant them", row.name, missing.join(" ")));
        }
    }
    if !row.limits.is_empty() {
        let mut table = Table::new(&["LIMIT", "MAXIMUM", "HIGHEST USE"]);
        for row in &row.limits {
            table.row([row.key.clone(), row.limit.to_string(), format!("{:.1}", row.used)]);
        }
        let (table, calls, failed) = (table.print(screen.width), row.calls, row.failed_calls);
        let _ = writeln!(text, "\n{table}{calls} calls since loading, {failed} failed");
    }
    text.push_str(&outside(&row, screen));
    if let Some(schema) = &row.settings_schema {
        let _ = writeln!(text, "\nSettings (JSON Schema):\n{}", json(schema)?);
    }
    Ok(Output::new(&text, &hints))
}

/// What the plugin may request, its secrets, and its hooks.
fn outside(row: &PluginRow, screen: Screen) -> String {
    let mut text = String::new();
    if !row.egress.is_empty() {
        let mut table = Table::new(&["MAY REQUEST", "METHODS", "NETWORKS", "SECRETS"]).flexible(&["MAY REQUEST"]);
        for rule in &row.egress {
            let networks = if rule.networks.is_empty() { "public".into() } else { joined(&rule.networks) };
            table.row([rule.url.clone(), joined(&rule.methods), networks, joined(&rule.secrets)]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    if !row.requests.is_empty() {
        let counts: Vec<_> = row.requests.iter().map(|row| format!("{} {}", row.count, row.outcome)).collect();
        let _ = writeln!(text, "\nrequests since the start: {}", counts.join(", "));
    }
    if let Some(refused) = &row.refused_request {
        let _ = writeln!(text, "last refused request: {}", problem(refused));
    }
    if !row.secrets.is_empty() {
        let mut table = Table::new(&["SECRET", "KIND", "STATE"]).flexible(&["SECRET"]);
        for secret in &row.secrets {
            let state = match (&secret.problem, secret.expires_at) {
                (Some(error), _) => problem(error),
                (None, Some(at)) => format!("expires {}", utc(at)),
                (None, None) if secret.kind == "access-token" => "not used yet".into(),
                (None, None) => "set".into(),
            };
            table.row([secret.name.clone(), secret.kind.clone(), state]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    if !row.hooks.is_empty() {
        let mut table = Table::new(&["HOOK", "ACCEPTED", "REFUSED", "LAST REFUSAL"]).flexible(&["HOOK"]);
        for hook in &row.hooks {
            let last = hook.problem.as_ref().map_or_else(|| "-".into(), problem);
            table.row([hook.path.clone(), hook.accepted.to_string(), hook.refused.to_string(), last]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    text
}

fn lines(row: &PluginRow) -> Lines {
    let mut lines = Lines(vec![
        ("name", row.name.clone()),
        ("summary", or_dash(row.summary.as_deref())),
        ("version", or_dash(row.version.as_deref())),
        ("revision", or_dash(row.revision.as_deref())),
        ("file", or_dash(row.path.as_deref())),
        ("state", row.state.clone()),
        ("stage", format!("{}, order {}", row.stage, row.order)),
        ("events", joined(&row.events)),
        ("sends on", row.channels.as_deref().map_or_else(|| "all channels".into(), joined)),
    ]);
    let unused: Vec<_> = row
        .granted_capabilities
        .iter()
        .filter(|capability| !row.requested_capabilities.contains(capability))
        .cloned()
        .collect();
    // A plugin that was never loaded has no known requests.
    if !unused.is_empty() && row.revision.is_some() {
        lines.0.push(("unused grants", joined(&unused)));
    }
    if !row.earlier_revisions.is_empty() {
        lines.0.push(("earlier revisions", joined(&row.earlier_revisions)));
    }
    if let Some(revision) = &row.rolled_back {
        lines.0.push(("rolled back", format!("{revision}, not loaded again until the file changes")));
    }
    if !row.load_steps.is_empty() {
        let steps = row.load_steps.iter().map(|step| format!("{} {:.1} ms", step.name, step.ms));
        lines.0.push(("load time", steps.collect::<Vec<_>>().join(", ")));
    }
    if let Some(documents) = &row.documents {
        let rejected =
            if documents.rejected == 0 { String::new() } else { format!(", {} rejected", documents.rejected) };
        lines.0.push(("documents", format!("{} in {}{rejected}", documents.files, documents.folder)));
    }
    if let Some(state) = &row.stored_state {
        lines.0.push(("stored state", stored(state)));
    }
    if let Some((before, at)) = row.previous_state.as_ref().and_then(|before| Some((before, before.replaced_at?))) {
        lines.0.push(("previous state", format!("{}, migrated {}", stored(before), utc(at))));
    }
    if let Some(at) = row.suspended_since {
        lines.0.push(("suspended", format!("since {}", utc(at))));
    }
    if let Some(at) = row.disabled_since {
        lines.0.push(("disabled", format!("since {}", utc(at))));
    }
    if row.waiting_events > 0 {
        lines.0.push(("waiting events", row.waiting_events.to_string()));
    }
    if let Some(error) = &row.problem {
        lines.0.push(("problem", problem(error)));
    }
    lines
}

fn stored(state: &StoredState) -> String {
    let version = if state.version == 0 { String::new() } else { format!(", version {}", state.version) };
    format!("{}, {} KiB{version}", counted(state.values, "value", "values"), state.bytes.div_ceil(1024))
}

fn granted(row: &CapabilityRow) -> &str {
    match row.granted.as_str() {
        "default" => "by default",
        "configuration" => "by configuration",
        "command" => "by command",
        other => other,
    }
}

/// `beadle plugins documents`
pub fn documents(response: Value, screen: Screen) -> Result {
    let list: List<DocumentRow> = from_value(response)?;
    let mut table = Table::new(&["DOCUMENT", "BYTES", "SEEN", "REJECTED BECAUSE"]).flexible(&["DOCUMENT"]);
    for row in &list.items {
        table.row([
            if row.name.is_empty() { "(the folder)".into() } else { row.name.clone() },
            row.size.map_or_else(|| "-".into(), |size| size.to_string()),
            row.seen_at.map_or_else(|| "-".into(), |at| when(at, list.now)),
            row.rejected.clone().unwrap_or_default(),
        ]);
    }
    Ok(print_list(&table, list.items.len(), "No documents.", None, screen))
}

/// `beadle plugins state`
pub fn state(response: Value, screen: Screen) -> Result {
    let list: List<StateRow> = from_value(response)?;
    let mut table = Table::new(&["KEY", "BYTES", "VALUE"]).flexible(&["KEY"]);
    for row in &list.items {
        table.row([row.key.clone(), row.bytes.to_string(), row.value.clone()]);
    }
    let next = list.next.map(|key| format!("--after {key}"));
    Ok(print_list(&table, list.items.len(), "No stored values.", next, screen))
}
