//! The daemon's own tasks, and faults in them for tests.

use crate::api::TaskRow;
use crate::web::context::Admin;

/// A row for each kind of task that runs.
pub fn rows(admin: &Admin) -> Vec<TaskRow> {
    let problems = admin.tasks.problems();
    let row = |report: beadle_tasks::TaskReport| {
        let problem = problems.iter().find(|problem| problem.kind == report.kind);
        let silence_ms = u64::try_from(report.silence.as_millis()).unwrap_or(u64::MAX);
        TaskRow {
            name: report.kind.name().into(),
            state: problem.map_or("running", |problem| problem.code.trim_start_matches("task-")).into(),
            panics: report.panics,
            restarts: report.restarts,
            silence_ms,
        }
    };
    admin.tasks.reports().into_iter().map(row).collect()
}

#[cfg(debug_assertions)]
mod faults {
    use crate::api::Done;
    use crate::web::context::Admin;
    use crate::web::data::query::Answer;
    use crate::web::failure::ApiError;
    use axum::Json;
    use axum::extract::{Path, State};
    use beadle_tasks::{Fault, TaskKind};
    use std::sync::Arc;

    /// `POST /tasks/{kind}/fault/{fault}`, in debug builds only: has a fault strike the tasks of a
    /// kind.
    pub async fn inject(State(admin): State<Arc<Admin>>, Path((kind, fault)): Path<(String, String)>) -> Answer<Done> {
        let fault = match fault.as_str() {
            "panic" => Fault::Panic,
            "silence" => Fault::Silence,
            _ => return Err(ApiError::bad_request("the fault must be `panic` or `silence`")),
        };
        match TaskKind::named(&kind).filter(|kind| admin.tasks.inject(*kind, fault)) {
            Some(kind) => Ok(Json(Done { message: format!("fault injected into `{kind}`"), warning: None })),
            None => Err(ApiError::not_found("task", &kind)),
        }
    }
}

#[cfg(debug_assertions)]
pub use faults::inject;
