//! Schedules: list, show, next firings, history, run now.

use super::query::{Answer, MAX_PAGE, page_size, read};
use crate::api::{Done, FiringRow, List, MomentRow, PlannedEvent, Problem, ScheduleRow, ScheduleView, TargetRow};
use crate::config::units::print_ms;
use crate::obstacle::Obstacle;
use crate::web::context::{Admin, Phase};
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::text::counted;
use beadle_model::{EventKind, PluginNo, Timestamp};
use beadle_schedule::{
    CatchUpMode, ConfiguredSchedule, NextMoment, Overlap, Schedule, Schedules, Target, TimeSpec, Zone, Zones,
    clock_change_note, describe, lint,
};
use beadle_store::Reader;
use beadle_store::views::{self, EventState};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    after: Option<String>,
    before: Option<i64>,
    limit: Option<usize>,
    count: Option<usize>,
}

/// The default number of planned firings.
const COUNT: usize = 10;
/// The maximum number of excluded days shown between two firings.
const MAX_EXCLUDED: usize = 366;

/// `GET /schedules`: in the order of the configuration.
pub async fn schedules(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<ScheduleRow>> {
    let now = admin.clock.now();
    let (overview, limit) = (Overview::new(&admin), page_size(query.limit));
    let list = read(&admin, move |reader, _| {
        let all = overview.schedules.all();
        let from = match query.after {
            Some(after) => 1 + position(&all, &after).ok_or_else(|| ApiError::not_found("schedule", &after))?,
            None => 0,
        };
        let page: Vec<_> = all.iter().skip(from).take(limit).collect();
        let more = all.len() > from + page.len();
        let next = page.last().filter(|_| more).map(|configured| configured.schedule.name.to_string());
        let items = page
            .into_iter()
            .map(|configured| overview.row(reader, configured, now))
            .collect::<Result<_, ApiError>>()?;
        Ok(List { now: now.as_ms(), items, next })
    });
    Ok(Json(list.await?))
}

fn position(all: &[Arc<ConfiguredSchedule>], name: &str) -> Option<usize> {
    all.iter().position(|configured| configured.schedule.name.as_ref() == name)
}

/// `GET /schedules/{name}`
pub async fn schedule(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<ScheduleView> {
    let now = admin.clock.now();
    let (overview, configured) = (Overview::new(&admin), find(&admin, &name)?);
    let view = read(&admin, move |reader, _| {
        let active_zones = overview.schedules.active_zones(&configured.schedule)?;
        let zones: Vec<Zone> = active_zones.iter().map(|active| active.zone.clone()).collect();
        let warning = |warning: lint::Warning| Problem { code: warning.code.into(), message: warning.text };
        let target = |target: &Target| TargetRow {
            plugin: target.name.to_string(),
            next_due_at: overview.schedules.next_due(&configured, target, &active_zones).map(|at| at.as_ms()),
            decided_until: target.decided_until().as_ms(),
            problem: overview.problem(&configured.schedule.name, &target.name),
        };
        Ok(ScheduleView {
            now: now.as_ms(),
            row: overview.row(reader, &configured, now)?,
            settings: settings(&configured.schedule),
            payload: configured.schedule.payload.as_ref().clone(),
            targets: configured.targets.iter().map(target).collect(),
            zones: zones.iter().map(|zone| zone.name().to_string()).collect(),
            warnings: lint::warnings(&configured.schedule, &zones, now).into_iter().map(warning).collect(),
        })
    });
    Ok(Json(view.await?))
}

/// `GET /schedules/{name}/next?count=N`: planned firings and the days that are skipped between
/// them.
pub async fn next(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<List<MomentRow>> {
    let now = admin.clock.now();
    let (overview, configured) = (Overview::new(&admin), find(&admin, &name)?);
    let count = query.count.unwrap_or(COUNT).clamp(1, MAX_PAGE);
    let list = read(&admin, move |_, _| {
        let mut items = Vec::new();
        for active in overview.schedules.active_zones(&configured.schedule)? {
            items.extend(overview.moments(&configured.schedule, &active.zone, now, count));
        }
        items.sort_by_key(|moment| moment.at);
        let mut planned = 0;
        let enough = items.iter().position(|moment| {
            planned += usize::from(moment.excluded.is_none());
            planned > count
        });
        items.truncate(enough.unwrap_or(items.len()));
        Ok(List { now: now.as_ms(), items, next: None })
    });
    Ok(Json(list.await?))
}

/// `GET /schedules/{name}/history`: newest first. Works for schedules that are no longer
/// configured, too.
pub async fn history(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<List<FiringRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, names| {
        let no = reader.schedule_no(&name)?.ok_or_else(|| ApiError::not_found("schedule", &name))?;
        let rows = reader.firings(no, query.before, limit)?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id.to_string());
        let items = rows.iter().map(|row| firing_row(row, &names.name(row.plugin))).collect();
        Ok(List { now, items, next })
    });
    Ok(Json(list.await?))
}

/// `GET /schedules/{name}/run`: a dry run of a manual firing.
pub async fn dry_run(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<List<PlannedEvent>> {
    let now = admin.clock.now().as_ms();
    let (overview, configured) = (Overview::new(&admin), find(&admin, &name)?);
    let list = read(&admin, move |_, _| {
        let zones = overview.schedules.active_zones(&configured.schedule)?;
        let items = configured.targets.iter().flat_map(|target| zones.iter().map(move |active| (target, active)));
        let items = items.map(|(target, active)| PlannedEvent {
            plugin: target.name.to_string(),
            timezone: active.zone.name().to_string(),
            for_zone: matches!(configured.schedule.zones, Zones::Members(_)),
            problem: overview.problem(&configured.schedule.name, &target.name),
            payload: configured.schedule.payload.as_ref().clone(),
        });
        Ok(List { now, items: items.collect(), next: None })
    });
    Ok(Json(list.await?))
}

/// `POST /schedules/{name}/run`
pub async fn run(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    let (overview, configured) = (Overview::new(&admin), find(&admin, &name)?);
    let unreachable: BTreeMap<&str, Problem> = configured
        .targets
        .iter()
        .filter_map(|target| Some((target.name.as_ref(), overview.problem(&name, &target.name)?)))
        .collect();
    let reachable = configured.targets.iter().filter(|target| !unreachable.contains_key(target.name.as_ref()));
    let plugins: Vec<PluginNo> = reachable.map(|target| target.plugin).collect();
    let warning = unreachable.values().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ");
    if plugins.is_empty() {
        return Err(ApiError::not_running(&warning));
    }
    let zones: Vec<Zone> = {
        let (overview, configured) = (Overview::new(&admin), Arc::clone(&configured));
        read(&admin, move |_, _| Ok(overview.schedules.active_zones(&configured.schedule)?)).await?
    }
    .into_iter()
    .map(|active| active.zone)
    .collect();
    if zones.is_empty() {
        return Err(ApiError::bad_request(format!(
            "`{name}` fires for each zone that members live in, and there are no members"
        )));
    }
    let events = overview.schedules.fire(&configured, &zones, &plugins).await?;
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    let message = format!("Fired `{name}` manually: {}.", events.join(", "));
    Ok(Json(Done { message, warning: (!warning.is_empty()).then_some(warning) }))
}

/// Plugins that their schedules cannot reach, one problem each. `lines`: where the keys of the
/// configuration are.
pub fn problems(admin: &Admin, lines: &BTreeMap<String, String>) -> Vec<Problem> {
    if admin.phase() == Phase::Starting {
        return Vec::new();
    }
    let overview = Overview::new(admin);
    let all = overview.schedules.all();
    let mut by_plugin: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for configured in all.iter().filter(|configured| configured.schedule.enabled) {
        for target in &configured.targets {
            by_plugin.entry(&target.name).or_insert((&configured.schedule.name, 0)).1 += 1;
        }
    }
    let problem = |(plugin, (name, count)): (&str, (&str, usize))| {
        let mut problem = overview.problem(name, plugin)?;
        if count > 1 {
            problem
                .message
                .push_str(&format!(" (and {})", counted(count as u64 - 1, "more schedule", "more schedules")));
        }
        let key = |key| lines.get(&format!("schedule.{name}.{key}"));
        if let Some(line) = key("plugin").or_else(|| key("plugins")) {
            problem.message.push_str(&format!("\n --> {line}"));
        }
        Some(problem)
    };
    by_plugin.into_iter().filter_map(problem).collect()
}

fn find(admin: &Admin, name: &str) -> Result<Arc<ConfiguredSchedule>, ApiError> {
    admin.schedules.find(name).ok_or_else(|| ApiError::not_found("schedule", name))
}

/// The schedules, and which plugins can be reached: what the answers are made of.
struct Overview {
    schedules: Schedules,
    /// By name: whether it runs, and whether it handles schedules.
    plugins: HashMap<String, (bool, bool)>,
    install: String,
}

impl Overview {
    fn new(admin: &Admin) -> Self {
        let entries = admin.entries();
        let plugin = |entry: &beadle_catalog::Entry| {
            let exports =
                entry.plugin.as_ref().is_some_and(|plugin| plugin.subscriptions().contains(&EventKind::Schedule));
            (entry.name.clone(), (entry.is_in_service(), exports))
        };
        let plugins = entries.iter().map(plugin).collect();
        Self { schedules: admin.schedules.clone(), plugins, install: admin.store.install().to_owned() }
    }

    /// The reason for which a schedule does not fire for a plugin.
    fn problem(&self, schedule: &str, plugin: &str) -> Option<Problem> {
        let obstacle = match self.plugins.get(plugin) {
            Some((true, true)) => return None,
            Some((true, false)) => Obstacle::NotExported,
            Some((false, _)) => Obstacle::NotRunning,
            None => Obstacle::NoFile,
        };
        Some(Problem { code: obstacle.code().into(), message: obstacle.message(schedule, plugin) })
    }

    fn row(&self, reader: &Reader, configured: &ConfiguredSchedule, now: Timestamp) -> Result<ScheduleRow, ApiError> {
        let schedule = &configured.schedule;
        let zones = self.schedules.active_zones(schedule)?;
        let next =
            zones.iter().filter_map(|active| self.next(schedule, &active.zone, now)).min_by_key(|moment| moment.at);
        let last = reader.firings(configured.no, None, 1)?;
        let last = last.first().map(|row| firing_row(row, name_of(configured, row.plugin)));
        let is_reachable = configured.targets.iter().any(|target| self.problem(&schedule.name, &target.name).is_none());
        let state = match () {
            () if !schedule.enabled => "off",
            () if next.is_none() && !zones.is_empty() => "ended",
            () if !is_reachable => "waiting",
            () => "on",
        };
        let (key, text) = &schedule.source;
        Ok(ScheduleRow {
            name: schedule.name.to_string(),
            pattern: format!("{key} = \"{text}\""),
            description: describe(schedule),
            timezone: schedule.zones.name().to_owned(),
            plugins: schedule.plugins.clone(),
            state: state.into(),
            next: next.filter(|_| schedule.enabled),
            last,
        })
    }

    fn next(&self, schedule: &Schedule, zone: &Zone, now: Timestamp) -> Option<MomentRow> {
        let moment = schedule.next(zone, now)?;
        Some(self.moment_row(schedule, zone, &NextMoment::Planned(moment)))
    }

    /// `count` planned firings, and the days that are skipped between them.
    fn moments(&self, schedule: &Schedule, zone: &Zone, now: Timestamp, count: usize) -> Vec<MomentRow> {
        let (mut rows, mut after, mut planned, mut excluded) = (Vec::new(), now, 0, 0);
        while planned < count
            && excluded < MAX_EXCLUDED
            && let Some(next) = schedule.next_match(zone, after)
        {
            let (NextMoment::Planned(moment) | NextMoment::Excluded(moment, _)) = &next;
            after = moment.at;
            match next {
                NextMoment::Planned(_) => (planned, excluded) = (planned + 1, 0),
                NextMoment::Excluded(..) => excluded += 1,
            }
            rows.push(self.moment_row(schedule, zone, &next));
        }
        rows
    }

    fn moment_row(&self, schedule: &Schedule, zone: &Zone, next: &NextMoment<'_>) -> MomentRow {
        let (moment, excluded) = match next {
            NextMoment::Planned(moment) => (moment, None),
            NextMoment::Excluded(moment, reason) => (moment, Some((*reason).to_owned())),
        };
        let jitter = schedule.jitter(&self.install, zone, moment.at);
        MomentRow {
            at: moment.at.as_ms(),
            local: zone.local(moment.at),
            timezone: zone.name().to_string(),
            due_at: (jitter > 0 && excluded.is_none()).then(|| moment.at.plus_ms(jitter).as_ms()),
            note: clock_change_note(moment, zone),
            excluded,
        }
    }
}

fn name_of(configured: &ConfiguredSchedule, plugin: PluginNo) -> &str {
    configured.targets.iter().find(|target| target.plugin == plugin).map_or("-", |target| &target.name)
}

fn firing_row(row: &views::FiringRow, plugin: &str) -> FiringRow {
    let handling = row.event_state.map(|state| match state {
        _ if row.is_dead => "dead",
        EventState::Finished => "done",
        _ => "open",
    });
    FiringRow {
        id: row.id,
        planned_at: row.planned_at.as_ms(),
        late_ms: row.decided_at.since_ms(row.due_at).max(0),
        plugin: plugin.to_owned(),
        zone: (!row.zone.is_empty()).then(|| row.zone.clone()),
        outcome: row.outcome.name().into(),
        count: row.moments,
        event: row.event.map(|event| event.to_string()),
        handling: handling.map(str::to_owned),
    }
}

/// All other settings.
fn settings(schedule: &Schedule) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut add = |key: &str, value: String| settings.push((key.to_owned(), value));
    let when = |when: TimeSpec| match when {
        TimeSpec::Local(wall) => wall.to_string(),
        TimeSpec::Exact(at) => at.to_string(),
    };
    if let Some(from) = schedule.from {
        add("from", when(from));
    }
    if let Some(until) = schedule.until {
        add("until", when(until));
    }
    if !schedule.days_off.dates.is_empty() {
        add("except", schedule.days_off.dates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    if schedule.days_off.holidays.is_some() {
        add("holidays", "as in its file".into());
    }
    if schedule.jitter_ms > 0 {
        add("jitter", print_ms(schedule.jitter_ms));
    }
    let catch_up = schedule.catch_up;
    add(
        "catch_up",
        match catch_up.mode {
            CatchUpMode::None => "none".into(),
            CatchUpMode::Last => format!("last, within {}", print_ms(catch_up.max_age_ms)),
            CatchUpMode::All => format!("all, the latest {} within {}", catch_up.limit, print_ms(catch_up.max_age_ms)),
        },
    );
    add("grace", print_ms(catch_up.grace_ms));
    add("overlap", if schedule.overlap == Overlap::Skip { "skip" } else { "queue" }.into());
    settings
}
