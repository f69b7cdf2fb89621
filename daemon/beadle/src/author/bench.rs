//! The loop of an author: a source is saved, the plugin is built, put where a daemon looks, and taken into service or not.
//!
//! All of it is told in one place, the terminal that this runs in: what the compiler says, what the build left, and what
//! the daemon made of it. A build that fails leaves the file that was there, so that what runs goes on. Sources are looked
//! at rather than watched: a plugin has a handful of them, and a look sees what notifications lose.

use crate::api::PluginRow;
use crate::cli::Client;
use beadle_workshop::project::Fingerprint;
use beadle_workshop::{Built, Project, Toolchain};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the sources are looked at: twice as often as a person would notice, and microseconds of work. Real time.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A daemon that has not taken a new file after this time says so itself, and the bench stops asking: a Rust plugin takes
/// a third of a second, one in Python ten. Real time.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

/// A plugin, and what its sources looked like when it was built.
struct Piece {
    project: Project,
    seen: Option<Fingerprint>,
}

/// Plugins being worked on, and where they go.
pub struct Bench {
    pieces: Vec<Piece>,
    toolchain: Toolchain,
    into: PathBuf,
    socket: PathBuf,
}

impl Bench {
    /// `into`: where the daemon at `socket` looks, where there is one.
    pub fn new(projects: Vec<Project>, toolchain: Toolchain, into: PathBuf, socket: PathBuf) -> Self {
        let pieces = projects.into_iter().map(|project| Piece { project, seen: None }).collect();
        Self { pieces, toolchain, into, socket }
    }

    /// Builds whenever something was saved; never ends.
    pub async fn work(mut self) {
        loop {
            self.round().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks at each plugin once and builds those that changed; the first time, all.
    pub async fn round(&mut self) {
        for piece in &mut self.pieces {
            let mut print = look(&piece.project).await;
            if piece.seen.as_ref() == Some(&print) {
                continue;
            }
            let is_first = piece.seen.is_none();
            if !is_first {
                // An editor that saves three files does so at once: one build for them.
                print = settled(&piece.project, print).await;
            }
            piece.seen = Some(print);
            let saved = Instant::now();
            if let Some(built) = build(&piece.project, self.toolchain, &self.into).await
                && (built.is_new || is_first)
            {
                tell(&built, saved);
                taken(&built, saved, &self.socket).await;
            }
        }
    }
}

async fn look(project: &Project) -> Fingerprint {
    let project = project.clone();
    tokio::task::spawn_blocking(move || project.fingerprint()).await.unwrap_or_default()
}

/// What the sources look like once they stay so for two looks.
async fn settled(project: &Project, mut before: Fingerprint) -> Fingerprint {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = look(project).await;
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
        Ok(Err(why)) => {
            eprintln!("{}: not built: {why}. What was there is left; save to try again.", project.name);
            None
        }
        Err(why) => {
            eprintln!("{}: the build ended: {why}", project.name);
            None
        }
    }
}

fn tell(built: &Built, saved: Instant) {
    println!("{}: built in {:.1} s, {} kB", built.name, saved.elapsed().as_secs_f64(), built.bytes.div_ceil(1000));
}

/// Waits until the daemon has taken the file or said why not. Where no daemon is, nothing is said.
async fn taken(built: &Built, saved: Instant, socket: &Path) {
    let Ok(client) = Client::new(socket) else { return };
    let Ok(bytes) = std::fs::read(&built.path) else { return };
    let revision: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let until = Instant::now() + TAKEN_WITHIN;
    let name = &built.name;
    while Instant::now() < until {
        let row = match client.get(&["plugins", name], &[]).await {
            Ok(answer) => serde_json::from_value::<PluginRow>(answer).ok(),
            // It may not have seen the file yet.
            Err(why) if why.is_refusal() => None,
            Err(_) => return,
        };
        match row.as_ref().and_then(|row| verdict(row, &revision)) {
            Some(Ok(())) => {
                println!(
                    "{name}: runs, {:.1} s after it was saved (revision {})",
                    saved.elapsed().as_secs_f64(),
                    short(&revision)
                );
                return;
            }
            Some(Err(why)) => {
                eprintln!("{name}: not taken: {why}");
                return;
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    eprintln!("{name}: the daemon has not taken it for {} s; see `beadle plugins show {name}`", TAKEN_WITHIN.as_secs());
}

fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

/// What a row says of this revision; nothing where it does not speak of it yet.
fn verdict(row: &PluginRow, revision: &str) -> Option<Result<(), String>> {
    let is_ours = row.revision.as_deref().is_some_and(|shown| revision.starts_with(shown));
    match &row.problem {
        // On probation it answers like any other.
        None if is_ours && matches!(row.state.as_str(), "active" | "probation") => Some(Ok(())),
        Some(problem) if is_ours || row.revision.is_none() => {
            Some(Err(format!("{} ({})", problem.message, problem.code)))
        }
        _ => None,
    }
}
