//! `--watch`: whenever a source is saved, build the plugin, copy it into a plugin folder and report
//! whether the daemon activated it.
//!
//! Compiler output, build results and the daemon's verdict all appear in this terminal. A failed
//! build leaves the previous file in place. Sources are polled instead of watched: a plugin has few
//! files, and polling misses no change.

use crate::api::PluginRow;
use crate::cli::Client;
use beadle_model::text::hex;
use beadle_workshop::project::Fingerprint;
use beadle_workshop::{Built, Project, Toolchain};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the sources are checked, in real time. One check takes microseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait for the daemon to activate a new file, in real time. A Rust plugin takes a
/// third of a second, a Python plugin ten seconds.
const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(20);

/// A plugin project and its sources at the last build.
struct Watched {
    project: Project,
    built: Option<Fingerprint>,
}

/// Builds plugin projects whenever their sources change.
pub struct BuildLoop {
    projects: Vec<Watched>,
    toolchain: Toolchain,
    into: PathBuf,
    socket: PathBuf,
}

impl BuildLoop {
    /// `into`: the plugin folder of the daemon at `socket`, if one is running.
    pub fn new(projects: Vec<Project>, toolchain: Toolchain, into: PathBuf, socket: PathBuf) -> Self {
        let projects = projects.into_iter().map(|project| Watched { project, built: None }).collect();
        Self { projects, toolchain, into, socket }
    }

    /// Builds after every change; never returns.
    pub async fn run(mut self) {
        loop {
            self.run_once().await;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Builds every project that changed; all of them at the first call.
    pub async fn run_once(&mut self) {
        for watched in &mut self.projects {
            let mut fingerprint = take_fingerprint(&watched.project).await;
            if watched.built.as_ref() == Some(&fingerprint) {
                continue;
            }
            let is_first = watched.built.is_none();
            if !is_first {
                // An editor may save several files in a row: build once for all of them.
                fingerprint = wait_until_unchanged(&watched.project, fingerprint).await;
            }
            watched.built = Some(fingerprint);
            let saved = Instant::now();
            if let Some(built) = build(&watched.project, self.toolchain, &self.into).await
                && (built.is_new || is_first)
            {
                println!(
                    "{}: built in {:.1} s, {} kB",
                    built.name,
                    saved.elapsed().as_secs_f64(),
                    built.bytes.div_ceil(1000)
                );
                report_activation(&built, saved, &self.socket).await;
            }
        }
    }
}

async fn take_fingerprint(project: &Project) -> Fingerprint {
    let project = project.clone();
    tokio::task::spawn_blocking(move || project.fingerprint()).await.unwrap_or_default()
}

/// Waits until two checks in a row see the same sources, and returns them.
async fn wait_until_unchanged(project: &Project, mut before: Fingerprint) -> Fingerprint {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let now = take_fingerprint(project).await;
        if now == before {
            return now;
        }
        before = now;
    }
}

async fn build(project: &Project, toolchain: Toolchain, into: &Path) -> Option<Built> {
    let (building, into) = (project.clone(), into.to_owned());
    let built = tokio::task::spawn_blocking(move || building.build(toolchain, &into)).await;
    match built {
        Ok(Ok(built)) => Some(built),
        Ok(Err(error)) => {
            eprintln!("{}: build failed: {error}", project.name);
            eprintln!("{}: the previous file stays in place; save a source to build again", project.name);
            None
        }
        Err(error) => {
            eprintln!("{}: build failed: {error}", project.name);
            None
        }
    }
}

/// Waits until the daemon has activated or rejected the file, and prints which. Without a daemon,
/// prints nothing.
async fn report_activation(built: &Built, saved: Instant, socket: &Path) {
    let Ok(client) = Client::new(socket) else { return };
    let Ok(bytes) = std::fs::read(&built.path) else { return };
    let revision = hex(Sha256::digest(&bytes));
    let until = Instant::now() + ACTIVATION_TIMEOUT;
    let name = &built.name;
    while Instant::now() < until {
        let row = match client.get(&["plugins", name], &[]).await {
            Ok(answer) => serde_json::from_value::<PluginRow>(answer).ok(),
            // The daemon may not have seen the file yet.
            Err(error) if error.is_refusal() => None,
            Err(_) => return,
        };
        match row.as_ref().and_then(|row| verdict(row, &revision)) {
            Some(Ok(())) => {
                println!(
                    "{name}: active {:.1} s after saving, revision {}",
                    saved.elapsed().as_secs_f64(),
                    short(&revision)
                );
                return;
            }
            Some(Err(reason)) => {
                eprintln!("{name}: not activated: {reason}");
                return;
            }
            None => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
    eprintln!(
        "{name}: not active after {} s; run `beadle plugins show {name}` for the reason",
        ACTIVATION_TIMEOUT.as_secs()
    );
}

fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

/// Whether this revision was activated or why not; `None` while it is unknown.
fn verdict(row: &PluginRow, revision: &str) -> Option<Result<(), String>> {
    let is_this = row.revision.as_deref().is_some_and(|short| revision.starts_with(short));
    match &row.problem {
        None if is_this && matches!(row.state.as_str(), "active" | "probation") => Some(Ok(())),
        Some(problem) if is_this || row.revision.is_none() => {
            Some(Err(format!("{} ({})", problem.message, problem.code)))
        }
        _ => None,
    }
}
