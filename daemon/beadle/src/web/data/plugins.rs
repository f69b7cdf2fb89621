//! Plugins: those that run, and why the others do not.

use super::{Admin, Answer};
use crate::api::{List, PluginRow, Problem};
use crate::web::failure::No;
use axum::Json;
use axum::extract::{Path, State};
use beadle_catalog::{Entry, State as Stands};
use beadle_pipeline::Stage;
use std::sync::Arc;

/// So much of a content's hash is enough to tell two revisions apart.
const REVISION: usize = 12;

/// `GET /plugins`
pub async fn plugins(State(admin): State<Arc<Admin>>) -> Answer<List<PluginRow>> {
    Ok(Json(List { now: admin.clock.now().as_ms(), items: rows(&admin), next: None }))
}

/// All of them.
pub fn rows(admin: &Admin) -> Vec<PluginRow> {
    admin.entries().iter().map(plugin_row).collect()
}

/// `GET /plugins/{name}`
pub async fn plugin(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<PluginRow> {
    let entry = admin.entries().iter().find(|entry| entry.name == name);
    Ok(Json(plugin_row(entry.ok_or_else(|| No::not_found("plugin", &name))?)))
}

fn plugin_row(entry: &Entry) -> PluginRow {
    let plugin = entry.plugin.as_deref();
    let about = plugin.and_then(|plugin| plugin.about());
    let code = match &entry.state {
        Stands::Active => "",
        Stands::Pending { .. } => "plugin-pending",
        Stands::Broken { code, .. } => code,
    };
    PluginRow {
        name: entry.name.clone(),
        state: entry.state.name().into(),
        problem: entry.state.why(&entry.name).map(|message| Problem { code: code.into(), message }),
        stage: stage_name(entry.config.stage).into(),
        order: entry.config.order,
        version: about.map(|about| about.version.clone()),
        summary: about.map(|about| about.summary.clone()),
        revision: plugin.map(|plugin| plugin.revision().chars().take(REVISION).collect()),
        path: entry.path.as_ref().map(|path| path.display().to_string()),
        events: plugin.map_or_else(Vec::new, |plugin| {
            plugin.subscriptions().iter().filter_map(|kind| kind.interface()).map(str::to_owned).collect()
        }),
        wishes: plugin.map_or_else(Vec::new, |plugin| plugin.wishes().iter().map(|wish| (*wish).to_owned()).collect()),
        grants: entry.config.grant.to_vec(),
        settings_schema: about.and_then(|about| about.settings_schema.clone()),
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Guard => "guard",
        Stage::Answer => "answer",
        Stage::Observe => "observe",
    }
}
