//! How the daemon is: for `beadle status`, for systemd's status line, and for a scrape.

use super::{Admin, Answer, ask, counted, plugins, schedules};
use crate::api::{Problem, Status};
use crate::web::failure::No;
use crate::web::metrics::{Snapshot, memory_bytes};
use axum::Json;
use axum::extract::State;
use beadle_catalog::{Entry, PluginState};
use beadle_store::views::BacklogCounts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// `GET /status`
pub async fn status(State(admin): State<Arc<Admin>>) -> Answer<Status> {
    let counts = counts(&admin).await?;
    let paused = admin.pipeline.outbox().counts().paused;
    let mut channels = admin.channels.clone();
    for channel in &mut channels {
        match paused.iter().find(|(name, _)| **name == *channel.name) {
            None => {}
            Some((_, None)) => channel.state = "slowed down by the platform".into(),
            Some((_, Some(problem))) => channel.state = format!("stopped: {}", problem.title),
        }
    }
    Ok(Json(Status {
        now: admin.clock.now().as_ms(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: admin.started_at,
        phase: admin.phase().name().into(),
        problems: problems(&admin),
        events_open: counts.events_open,
        oldest_open_at: counts.oldest_open_at.map(|at| at.as_ms()),
        queued: counts.queued,
        sending: counts.sending,
        dead_letters: counts.dead,
        channels,
        plugins: plugins::rows(&admin),
    }))
}

async fn counts(admin: &Admin) -> Result<BacklogCounts, No> {
    ask(admin, |reader, _| Ok(reader.counts()?)).await
}

/// What a person should look at.
fn problems(admin: &Admin) -> Vec<Problem> {
    troubles(admin).into_iter().chain(doubts(admin)).collect()
}

/// What keeps messages from coming in or going out.
fn troubles(admin: &Admin) -> Vec<Problem> {
    let stuck = admin.problems().into_iter().map(|message| Problem { code: "pipeline-stalled".into(), message });
    let paused = admin.pipeline.outbox().counts().paused;
    let stopped = paused.into_iter().filter_map(|(name, problem)| {
        let message = format!("{name} does not send: {}", problem?.title);
        Some(Problem { code: "channel-stopped".into(), message })
    });
    stuck.chain(stopped).collect()
}

/// What does not run as it should, while everything else does.
pub fn doubts(admin: &Admin) -> Vec<Problem> {
    let plugins = admin.entries();
    let plugins = plugins.iter().filter_map(|entry| {
        let Problem { code, message } = plugins::problem(entry)?;
        let name = format!("`{}`", entry.name);
        // Most say whose they are.
        let message = if message.contains(&name) { message } else { format!("plugin {name}: {message}") };
        Some(Problem { code, message })
    });
    let remarks = admin.catalog.folder_warnings();
    let folders = remarks.iter().map(|text| Problem { code: "plugin-folder-missing".into(), message: text.clone() });
    let documents = admin.catalog.rejected_documents().into_iter().map(|((plugin, file), why)| Problem {
        code: "document-rejected".into(),
        message: format!("documents of `{plugin}`: {}{why}", if file.is_empty() { file } else { format!("{file}: ") }),
    });
    let config = admin.config_state();
    let waiting = (!config.waiting.is_empty()).then(|| Problem {
        code: "restart-required".into(),
        message: format!(
            "the configuration was changed, and this takes effect after a restart: {}",
            config.waiting.join(", ")
        ),
    });
    let schedules = schedules::troubles(admin);
    plugins.chain(folders).chain(documents).chain(schedules).chain(config.problem.clone()).chain(waiting).collect()
}

/// `GET /config`
pub async fn config(State(admin): State<Arc<Admin>>) -> Answer<BTreeMap<String, String>> {
    Ok(Json(admin.config_state().keys.clone()))
}

/// The line that `systemctl status` shows.
pub async fn line(admin: &Admin) -> String {
    let phase = admin.phase().name();
    let Ok(counts) = counts(admin).await else { return format!("{phase}; the database does not answer") };
    let events = counted(counts.events_open, "event open", "events open");
    let messages = counted(counts.queued, "message waiting", "messages waiting");
    let mut parts = vec![format!("{phase}: {events}, {messages}")];
    if counts.dead > 0 {
        parts.push(counted(counts.dead, "dead letter", "dead letters"));
    }
    let plugins = admin.entries();
    let count = |is: fn(&PluginState) -> bool| plugins.iter().filter(|entry| is(&entry.state)).count() as u64;
    for (number, one, many) in [
        (count(|state| matches!(state, PluginState::Suspended(_))), "plugin is suspended", "plugins are suspended"),
        (
            count(|state| matches!(state, PluginState::Resting { .. })),
            "plugin fails and rests",
            "plugins fail and rest",
        ),
        (
            count(|state| matches!(state, PluginState::Pending { .. } | PluginState::Broken { .. })),
            "plugin does not run",
            "plugins do not run",
        ),
    ] {
        if number > 0 {
            parts.push(counted(number, one, many));
        }
    }
    let refused = plugins.iter().filter(|entry| entry.blocked.is_some()).count() as u64;
    if refused > 0 {
        parts.push(counted(refused, "new revision was refused", "new revisions were refused"));
    }
    parts.extend(troubles(admin).into_iter().map(|problem| problem.message));
    parts.join(", ")
}

/// Events that are kept for plugins, by name.
fn kept(admin: &Admin) -> BTreeMap<String, u64> {
    let kept = admin.pipeline.backlog_sizes();
    let named = |entry: &Entry| {
        let (_, count) = kept.iter().find(|(no, _)| *no == entry.no)?;
        Some((entry.name.clone(), *count))
    };
    admin.entries().iter().filter_map(named).collect()
}

/// What a scrape shows.
pub async fn snapshot(admin: &Admin) -> Result<Snapshot, No> {
    let counts = counts(admin).await?;
    let webhooks = &admin.webhooks.counts;
    let named = |pairs: &[(&str, &std::sync::atomic::AtomicU64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), count.load(Relaxed))).collect()
    };
    let mut plugins = BTreeMap::new();
    for entry in admin.entries().iter() {
        *plugins.entry(entry.state.name().to_owned()).or_default() += 1;
    }
    Ok(Snapshot {
        figures: admin.pipeline.health().figures(),
        webhooks: named(&[("taken", &webhooks.taken), ("put-off", &webhooks.put_off), ("refused", &webhooks.refused)]),
        not_understood: named(&[
            ("other-message", &webhooks.others),
            ("unrouted", &webhooks.unrouted),
            ("unknown-number", &webhooks.unknown_number),
            ("unreadable", &webhooks.unreadable),
        ]),
        letters_dropped: admin.store.health().rejected_dropped,
        plugins,
        kept: kept(admin),
        reloads: admin.catalog.counts().into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        firings: admin.schedules.counts().read().map(|(name, count)| (name.to_owned(), count)).into(),
        on_their_way: admin.pipeline.in_flight(),
        waiting: [
            ("events", counts.events_open),
            ("queued", counts.queued),
            ("sending", counts.sending),
            ("dead", counts.dead),
        ],
        healthy: admin.problems().is_empty(),
        memory_bytes: memory_bytes(),
    })
}
