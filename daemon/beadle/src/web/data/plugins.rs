//! Plugins: list, show, and commands.

use super::outside;
use super::query::{Answer, read};
use crate::api::{
    CapabilityRow, DocumentRow, DocumentsView, Done, LimitRow, List, LoadStep, PluginRow, Problem, StoredState,
};
use crate::web::context::Admin;
use axum::Json;
use axum::extract::{Path, State};
use beadle_catalog::{Command, CommandError, Entry, grants};
use beadle_model::PluginNo;
use beadle_pipeline::{SlotUsage, Stage};
use beadle_store::StateInfo;
use std::sync::Arc;

/// Digits of a revision's hash that are shown.
const REVISION: usize = 12;

/// `GET /plugins`
pub async fn plugins(State(admin): State<Arc<Admin>>) -> Answer<List<PluginRow>> {
    Ok(Json(List { now: admin.clock.now().as_ms(), items: rows(&admin), next: None }))
}

/// A row for each plugin.
pub fn rows(admin: &Admin) -> Vec<PluginRow> {
    let backlogs = admin.pipeline.backlog_sizes();
    admin.entries().iter().map(|entry| plugin_row(entry, &backlogs)).collect()
}

/// `GET /plugins/{name}`
pub async fn plugin(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<PluginRow> {
    let entries = admin.entries();
    let entry = entries.iter().find(|entry| entry.name == name).ok_or_else(|| CommandError::Unknown(name.clone()))?;
    let mut row = plugin_row(entry, &admin.pipeline.backlog_sizes());
    outside::describe(&admin, &mut row);
    let rejected = admin.catalog.rejected_documents().keys().filter(|(plugin, _)| *plugin == name).count();
    let stored = read(&admin, move |reader, names| {
        let Ok(no) = names.number(&name) else { return Ok(None) };
        Ok(Some((reader.plugin_states(no)?, reader.media_made_by(no)?, reader.documents(no)?.len())))
    });
    let (mut state_bytes, mut media_bytes, mut documents) = (0, 0, 0);
    // A plugin that never ran has no number.
    if let Some(((current, previous), media, files)) = stored.await? {
        (state_bytes, media_bytes, documents) = (current.bytes, media, files);
        (row.stored_state, row.previous_state) = (Some(state(current)), previous.map(state));
    }
    row.documents = entry.config.documents.as_ref().map(|folder| DocumentsView {
        folder: folder.display().to_string(),
        files: documents,
        rejected,
    });
    let limits = &entry.config.limits;
    for (key, limit, bytes) in
        [("state_mib", limits.state_mib, state_bytes), ("media_mib", limits.media_mib, media_bytes)]
    {
        row.limits.push(LimitRow { key: key.into(), limit: limit.into(), used: bytes as f64 / f64::from(1 << 20) });
    }
    Ok(Json(row))
}

/// `GET /plugins/{name}/documents`: accepted and rejected documents.
pub async fn documents(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<List<DocumentRow>> {
    let now = admin.clock.now().as_ms();
    let mut rejections = admin.catalog.rejected_documents();
    let items = read(&admin, move |reader, names| {
        let accepted = reader.documents(names.number(&name)?)?;
        let mut rows: Vec<DocumentRow> = accepted
            .into_iter()
            .map(|document| DocumentRow {
                rejected: rejections.remove(&(name.clone(), document.name.clone())),
                name: document.name,
                size: Some(document.size),
                seen_at: Some(document.seen_at.as_ms()),
            })
            .collect();
        let others = rejections.into_iter().filter(|((plugin, _), _)| *plugin == name);
        rows.extend(others.map(|((_, file), reason)| DocumentRow {
            name: file,
            size: None,
            seen_at: None,
            rejected: Some(reason),
        }));
        Ok(rows)
    });
    Ok(Json(List { now, items: items.await?, next: None }))
}

fn state(info: StateInfo) -> StoredState {
    let StateInfo { version, values, bytes, retired_at, .. } = info;
    StoredState { version, values, bytes, replaced_at: retired_at.map(|at| at.as_ms()) }
}

/// `POST /plugins/{name}/rollback`
pub async fn rollback(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    execute(&admin, Command::Rollback { name, discard_state: false }).await
}

/// `POST /plugins/{name}/rollback/discard-state`
pub async fn rollback_discarding_state(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    execute(&admin, Command::Rollback { name, discard_state: true }).await
}

/// `POST /plugins/{name}/enable`
pub async fn enable(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    execute(&admin, Command::Enable(name)).await
}

/// `POST /plugins/{name}/disable`
pub async fn disable(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    execute(&admin, Command::Disable(name)).await
}

/// `POST /plugins/{name}/purge`
pub async fn purge(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    execute(&admin, Command::Purge(name)).await
}

/// `POST /plugins/{name}/grant/{capabilities}`, commas between them
pub async fn grant(
    State(admin): State<Arc<Admin>>,
    Path((name, capabilities)): Path<(String, String)>,
) -> Answer<Done> {
    execute(&admin, Command::Grant(name, capabilities.split(',').map(str::to_owned).collect())).await
}

/// `POST /plugins/{name}/revoke/{capabilities}`
pub async fn revoke(
    State(admin): State<Arc<Admin>>,
    Path((name, capabilities)): Path<(String, String)>,
) -> Answer<Done> {
    execute(&admin, Command::Revoke(name, capabilities.split(',').map(str::to_owned).collect())).await
}

async fn execute(admin: &Admin, command: Command) -> Answer<Done> {
    let message = admin.catalog.execute(command).await?;
    Ok(Json(Done { message, warning: None }))
}

/// The problem of a plugin that is unavailable, or whose file in the folder is not active.
pub fn problem(entry: &Entry) -> Option<Problem> {
    let (code, message) = entry.problem().or_else(|| entry.blocked_problem())?;
    Some(Problem { code, message })
}

fn plugin_row(entry: &Entry, backlogs: &[(PluginNo, u64)]) -> PluginRow {
    let plugin = entry.plugin.as_deref();
    let about = plugin.and_then(|plugin| plugin.about());
    let usage = entry.slot.as_ref().map(|slot| slot.usage()).unwrap_or_default();
    let short = |revision: &String| revision.chars().take(REVISION).collect::<String>();
    PluginRow {
        name: entry.name.clone(),
        state: entry.state().into(),
        problem: problem(entry),
        failed_step: entry.blocked.as_ref().map(|blocked| blocked.step.into()),
        stage: stage_name(entry.config.stage).into(),
        order: entry.config.order,
        version: about.map(|about| about.version.clone()),
        summary: about.map(|about| about.summary.clone()),
        revision: plugin.map(|plugin| plugin.revision().chars().take(REVISION).collect()),
        path: entry.path.as_ref().map(|path| path.display().to_string()),
        events: plugin.map_or_else(Vec::new, |plugin| {
            plugin.subscriptions().iter().filter_map(|kind| kind.interface()).map(str::to_owned).collect()
        }),
        requested_capabilities: plugin.map_or_else(Vec::new, |plugin| {
            plugin.requested_capabilities().iter().map(|capability| (*capability).to_owned()).collect()
        }),
        granted_capabilities: entry.config.grant.iter().chain(&entry.record.granted).cloned().collect(),
        settings_schema: about.and_then(|about| about.settings_schema.clone()),
        channels: entry.config.channels.clone(),
        capabilities: plugin.map_or_else(Vec::new, |plugin| {
            plugin.requested_capabilities().iter().map(|name| capability(entry, name)).collect()
        }),
        limits: limits(entry, &usage),
        earlier_revisions: entry.record.revisions.iter().rev().skip(1).map(short).collect(),
        rolled_back: entry.record.rolled_back.as_ref().map(short),
        load_steps: entry
            .steps
            .iter()
            .map(|(step, took)| LoadStep { name: (*step).to_owned(), ms: took.as_secs_f64() * 1e3 })
            .collect(),
        calls: usage.calls,
        failed_calls: usage.failed,
        waiting_events: backlogs.iter().find(|(no, _)| *no == entry.no).map_or(0, |(_, count)| *count),
        documents: None,
        egress: vec![],
        requests: vec![],
        refused_request: None,
        secrets: vec![],
        hooks: vec![],
        stored_state: None,
        previous_state: None,
        suspended_since: entry.suspension().map(|suspension| suspension.at.as_ms()),
        disabled_since: entry.record.disabled_since.map(|since| since.as_ms()),
    }
}

fn capability(entry: &Entry, name: &str) -> CapabilityRow {
    let granted = match () {
        () if grants::DEFAULT.contains(&name) => "default",
        () if entry.config.grant.iter().any(|granted| granted == name) => "configuration",
        () if entry.record.granted.contains(name) => "command",
        () => "no",
    };
    CapabilityRow { name: name.into(), allows: grants::meaning(name).into(), granted: granted.into() }
}

/// Each limit with its peak use. The sizes of state and files are added in [`plugin`].
fn limits(entry: &Entry, usage: &SlotUsage) -> Vec<LimitRow> {
    let limits = &entry.config.limits;
    let row = |key: &str, limit: u32, used: u64, unit: f64| LimitRow {
        key: key.into(),
        limit: limit.into(),
        used: used as f64 / unit,
    };
    const KIB: f64 = 1024.0;
    vec![
        row("memory_mib", limits.memory_mib, usage.most_memory_bytes, KIB * KIB),
        row("cpu_ms", limits.cpu_ms, usage.most_cpu_us, 1e3),
        row("wall_ms", limits.wall_ms, usage.most_wall_us, 1e3),
        row("value_kib", limits.value_kib, usage.most_value_bytes, KIB),
        row("effects", limits.effects, usage.most_effects, 1.0),
        row("log_kib", limits.log_kib, usage.most_log_bytes, KIB),
    ]
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Guard => "guard",
        Stage::Answer => "answer",
        Stage::Observe => "observe",
    }
}
