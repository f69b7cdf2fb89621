//! The state of the daemon: for `beadle status`, systemd's status line, and metrics.

use super::query::{Answer, read};
use super::{broadcasts, costs, outside, plugins, schedules, tasks};
use crate::api::{Problem, Status};
use crate::cli::table::duration;
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use crate::web::metrics::{Snapshot, memory_bytes};
use axum::Json;
use axum::extract::State;
use beadle_catalog::{Entry, LoadState};
use beadle_model::event;
use beadle_model::text::counted;
use beadle_store::views::BacklogCounts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// `GET /status`
pub async fn status(State(admin): State<Arc<Admin>>) -> Answer<Status> {
    let counts = counts(&admin).await?;
    let paused = admin.pipeline.outbox().counts().paused;
    let mut channels = admin.channels.clone();
    for channel in &mut channels {
        if let Some(pause) = pause_of(&paused, &channel.name) {
            channel.state = pause;
        }
    }
    Ok(Json(Status {
        now: admin.clock.now().as_ms(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: admin.started_at,
        phase: admin.phase().name().into(),
        problems: problems(&admin)
            .into_iter()
            .chain(costs::budget_problems(&admin).await)
            .chain(broadcasts::broadcast_problems(&admin).await)
            .collect(),
        events_open: counts.events_open,
        oldest_open_at: counts.oldest_open_at.map(|at| at.as_ms()),
        queued: counts.queued,
        sending: counts.sending,
        dead_letters: counts.dead,
        contact_requests: counts.requests,
        open_erasures: counts.erasures,
        channels,
        plugins: plugins::rows(&admin),
        tasks: tasks::rows(&admin),
    }))
}

/// Why a channel does not send now; `None` if it does.
pub fn pause_of(paused: &[(Arc<str>, Option<event::Problem>)], channel: &str) -> Option<String> {
    match paused.iter().find(|(name, _)| **name == *channel)? {
        (_, None) => Some("paused: rate limited by WhatsApp, continues by itself".into()),
        (_, Some(problem)) => Some(format!("stopped: {}", problem.title)),
    }
}

async fn counts(admin: &Admin) -> Result<BacklogCounts, ApiError> {
    read(admin, |reader, _| Ok(reader.counts()?)).await
}

/// Everything that a person should look at.
pub fn problems(admin: &Admin) -> Vec<Problem> {
    errors(admin).into_iter().chain(warnings(admin)).collect()
}

/// Problems that stop messages.
fn errors(admin: &Admin) -> Vec<Problem> {
    let paused = admin.pipeline.outbox().counts().paused;
    let stopped = paused.into_iter().filter_map(|(name, problem)| {
        let message = format!("{name} does not send: {}", problem?.title);
        Some(Problem { code: "channel-stopped".into(), message })
    });
    admin.health_problems().into_iter().chain(clock_problem(admin)).chain(stopped).collect()
}

/// Does not affect readiness: webhooks are stored, and refusing them would not correct the clock.
fn clock_problem(admin: &Admin) -> Option<Problem> {
    let difference = admin.host_clock.difference().filter(|difference| difference.is_problem)?;
    let direction = if difference.ms > 0 { "ahead of" } else { "behind" };
    let message =
        format!("the clock of this host is {} {direction} WhatsApp's", duration(difference.ms.saturating_abs()));
    Some(Problem { code: "clock-differs".into(), message })
}

/// Problems that affect a part only.
fn warnings(admin: &Admin) -> Vec<Problem> {
    let config = admin.config.read();
    let plugins = admin.entries();
    let plugins = plugins.iter().filter_map(|entry| {
        let Problem { code, message } = plugins::problem(entry)?;
        let name = format!("`{}`", entry.name);
        // Most messages name the plugin already.
        let mut message = if message.contains(&name) { message } else { format!("plugin {name}: {message}") };
        let table = format!("plugins.{}", entry.name);
        if code == "settings-invalid"
            && let Some(line) = config.lines.get(&format!("{table}.settings")).or_else(|| config.lines.get(&table))
        {
            message.push_str(&format!("\n --> {line}"));
        }
        Some(Problem { code, message })
    });
    let warnings = admin.catalog.folder_warnings();
    let folders = warnings.iter().map(|warning| Problem { code: warning.code.into(), message: warning.text.clone() });
    let documents = admin.catalog.rejected_documents().into_iter().map(|((plugin, file), reason)| Problem {
        code: "document-rejected".into(),
        message: format!(
            "documents of `{plugin}`: {}{reason}",
            if file.is_empty() { file } else { format!("{file}: ") }
        ),
    });
    let waiting = (!config.waiting.is_empty()).then(|| Problem {
        code: "restart-required".into(),
        message: format!("changed settings take effect after a restart: {}", config.waiting.join(", ")),
    });
    let schedules = schedules::problems(admin, &config.lines);
    let store = admin.store.health();
    let log = (store.writable && store.is_log_long).then(|| Problem {
        code: "store-log-too-large".into(),
        message: "the database's write-ahead log does not restart: a program keeps a read transaction open".into(),
    });
    let holds = admin.gatekeeper.holds(admin.clock.now()).into_iter().map(|(channel, hold)| Problem {
        code: hold.problem.code,
        message: format!("{channel} may not write first until {}: {}", hold.until.utc(), hold.problem.title),
    });
    plugins
        .chain(holds)
        .chain(folders)
        .chain(documents)
        .chain(schedules)
        .chain(outside::problems(admin))
        .chain(config.problem.clone())
        .chain(waiting)
        .chain(log)
        .collect()
}

/// `GET /config`
pub async fn config(State(admin): State<Arc<Admin>>) -> Answer<BTreeMap<String, String>> {
    Ok(Json(admin.config.read().keys.clone()))
}

/// The line that `systemctl status` shows.
pub async fn status_line(admin: &Admin) -> String {
    let phase = admin.phase().name();
    let Ok(counts) = counts(admin).await else { return format!("{phase}; the database cannot be read") };
    let events = counted(counts.events_open, "event open", "events open");
    let messages = counted(counts.queued, "message waiting", "messages waiting");
    let mut parts = vec![format!("{phase}: {events}, {messages}")];
    if counts.dead > 0 {
        parts.push(counted(counts.dead, "dead letter", "dead letters"));
    }
    let (broadcasts, _) = broadcasts::broadcast_figures(admin).await.unwrap_or_default();
    for (state, one, many) in [
        ("sending", "broadcast being sent", "broadcasts being sent"),
        ("paused", "broadcast paused", "broadcasts paused"),
    ] {
        match broadcasts.get(state) {
            Some(0) | None => {}
            Some(count) => parts.push(counted(*count, one, many)),
        }
    }
    let plugins = admin.entries();
    let count = |is: fn(&Entry) -> bool| plugins.iter().filter(|entry| is(entry)).count() as u64;
    for (number, one, many) in [
        (count(|entry| entry.state() == "suspended"), "plugin is suspended", "plugins are suspended"),
        (count(|entry| entry.state() == "resting"), "plugin rests", "plugins rest"),
        (
            count(|entry| matches!(entry.load, LoadState::Pending { .. } | LoadState::Broken { .. })),
            "plugin does not run",
            "plugins do not run",
        ),
    ] {
        if number > 0 {
            parts.push(counted(number, one, many));
        }
    }
    let blocked = plugins.iter().filter(|entry| entry.blocked.is_some()).count() as u64;
    if blocked > 0 {
        parts.push(counted(blocked, "new revision rejected", "new revisions rejected"));
    }
    parts.extend(errors(admin).into_iter().map(|problem| problem.message));
    parts.join(", ")
}

/// Events that wait for unavailable plugins, by plugin.
fn backlog(admin: &Admin) -> BTreeMap<String, u64> {
    let sizes = admin.pipeline.backlog_sizes();
    let row = |entry: &Entry| {
        let (_, count) = sizes.iter().find(|(no, _)| *no == entry.no)?;
        Some((entry.name.clone(), *count))
    };
    admin.entries().iter().filter_map(row).collect()
}

/// Everything that a scrape shows.
pub async fn snapshot(admin: &Admin) -> Result<Snapshot, ApiError> {
    let counts = counts(admin).await?;
    let costs = costs::cost_figures(admin).await?;
    let (broadcasts, recipients) = broadcasts::broadcast_figures(admin).await?;
    let webhooks = &admin.webhooks.counts;
    let named = |pairs: &[(&str, &AtomicU64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), count.load(Relaxed))).collect()
    };
    let named_count = |(name, count): (&str, u64)| (name.to_owned(), count);
    let mut plugins = BTreeMap::new();
    for entry in admin.entries().iter() {
        *plugins.entry(entry.state().to_owned()).or_default() += 1;
    }
    let [activated, rejected, rolled_back] = admin.catalog.counts().map(|(_, count)| count);
    let reloads = [("activated", activated), ("rejected", rejected), ("rolled-back", rolled_back)];
    Ok(Snapshot {
        figures: admin.pipeline.health().figures(),
        webhooks: named(&[
            ("accepted", &webhooks.accepted),
            ("deferred", &webhooks.deferred),
            ("rejected", &webhooks.rejected),
        ]),
        webhook_duration: webhooks.duration.read(),
        hook_requests: admin.hooks.counts(),
        plugin_requests: outside::request_counts(admin),
        durable_requests: outside::durable_requests(admin).await?,
        access_tokens: outside::token_counts(admin),
        opt_in_forms: admin.opt_in.iter().flat_map(|forms| forms.counts()).map(named_count).collect(),
        unrecognized: named(&[
            ("message", &webhooks.others),
            ("notification", &webhooks.unrouted),
            ("unknown-number", &webhooks.unknown_number),
            ("malformed", &webhooks.malformed),
            ("other-product", &webhooks.other_products),
        ]),
        plugins,
        backlog: backlog(admin),
        reloads: reloads.map(|(result, count)| (result.to_owned(), count)).into(),
        discarded_code: admin.catalog.discarded_code(),
        firings: admin.schedules.counts().read().map(|(name, count)| (name.to_owned(), count)).into(),
        channels: channels_by_state(admin),
        held_channels: admin.gatekeeper.holds(admin.clock.now()).len() as u64,
        templates: templates_by_status(admin).await?,
        in_flight: admin.pipeline.in_flight(),
        counts,
        charged: costs.charged,
        costs: (costs.currency, costs.estimate.0),
        unpriced: costs.unpriced,
        budgets: costs.budgets,
        broadcasts,
        recipients,
        store: Some(admin.store.health()),
        tasks: admin.tasks.reports(),
        healthy: admin.health_problems().is_empty(),
        clock_difference_ms: admin.host_clock.difference().map(|difference| difference.ms),
        started_at: admin.started_at,
        memory_bytes: memory_bytes(),
    })
}

/// What the platform may report as the status of a template; a label has no other value but
/// `other`.
const TEMPLATE_STATUSES: [&str; 9] =
    ["approved", "archived", "disabled", "flagged", "in_appeal", "paused", "pending", "pending_deletion", "rejected"];

async fn templates_by_status(admin: &Admin) -> Result<BTreeMap<String, u64>, ApiError> {
    let found = read(admin, |reader, _| Ok(reader.templates_by_status()?)).await?;
    let mut templates = BTreeMap::new();
    for (status, count) in found {
        let known = TEMPLATE_STATUSES.iter().find(|known| **known == status).copied();
        *templates.entry(known.unwrap_or("other").to_owned()).or_default() += count;
    }
    Ok(templates)
}

fn channels_by_state(admin: &Admin) -> BTreeMap<String, u64> {
    let paused = admin.pipeline.outbox().counts().paused;
    let stopped = paused.iter().filter(|(_, problem)| problem.is_some()).count() as u64;
    let slowed = paused.len() as u64 - stopped;
    let open = (admin.channels.len() as u64).saturating_sub(stopped + slowed);
    [("open", open), ("slowed", slowed), ("stopped", stopped)].map(|(state, count)| (state.to_owned(), count)).into()
}
