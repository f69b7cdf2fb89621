//! Schedules: list, show, next firings, history, run now.

use super::{Admin, Answer, ask, most};
use crate::api::{Done, FiringRow, List, MomentRow, PlannedEvent, Problem, ScheduleRow, ScheduleView, TargetRow};
use crate::config::units::print_ms;
use crate::web::Phase;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
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
pub struct Which {
    after: Option<String>,
    before: Option<i64>,
    limit: Option<usize>,
    count: Option<usize>,
}

/// The default number of planned firings.
const COUNT: usize = 10;
/// The number of skipped days shown between two firings.
const OFF_AT_MOST: usize = 366;

/// `GET /schedules`: in the order of the configuration.
pub async fn schedules(State(admin): State<Arc<Admin>>, Query(which): Query<Which>) -> Answer<List<ScheduleRow>> {
    let now = admin.clock.now();
    let (desk, most) = (Desk::new(&admin), most(which.limit));
    let list = ask(&admin, move |reader, _| {
        let all = desk.schedules.all();
        let from = match which.after {
            Some(after) => 1 + place(&all, &after).ok_or_else(|| ApiError::not_found("schedule", &after))?,
            None => 0,
        };
        let page: Vec<_> = all.iter().skip(from).take(most).collect();
        let more = all.len() > from + page.len();
        let next = page.last().filter(|_| more).map(|kept| kept.schedule.name.to_string());
        let items = page.into_iter().map(|kept| desk.row(reader, kept, now)).collect::<Result<_, ApiError>>()?;
        Ok(List { now: now.as_ms(), items, next })
    });
    Ok(Json(list.await?))
}

fn place(all: &[Arc<ConfiguredSchedule>], name: &str) -> Option<usize> {
    all.iter().position(|kept| kept.schedule.name.as_ref() == name)
}

/// `GET /schedules/{name}`
pub async fn schedule(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<ScheduleView> {
    let now = admin.clock.now();
    let (desk, kept) = (Desk::new(&admin), find(&admin, &name)?);
    let view = ask(&admin, move |reader, _| {
        let areas = desk.schedules.active_zones(&kept.schedule)?;
        let zones: Vec<Zone> = areas.iter().map(|area| area.zone.clone()).collect();
        let warning = |it: lint::Warning| Problem { code: it.code.into(), message: it.text };
        let share = |share: &Target| TargetRow {
            plugin: share.name.to_string(),
            next_due_at: desk.schedules.next_due(&kept, share, &areas).map(|at| at.as_ms()),
            decided_until: share.decided_until().as_ms(),
            problem: desk.trouble(&kept.schedule.name, &share.name),
        };
        Ok(ScheduleView {
            now: now.as_ms(),
            row: desk.row(reader, &kept, now)?,
            settings: settings(&kept.schedule),
            payload: kept.schedule.payload.as_ref().clone(),
            targets: kept.targets.iter().map(share).collect(),
            zones: zones.iter().map(|zone| zone.name().to_string()).collect(),
            warnings: lint::warnings(&kept.schedule, &zones, now).into_iter().map(warning).collect(),
        })
    });
    Ok(Json(view.await?))
}

/// `GET /schedules/{name}/next?count=N`: planned firings and the days that are skipped between them.
pub async fn next(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Answer<List<MomentRow>> {
    let now = admin.clock.now();
    let (desk, kept) = (Desk::new(&admin), find(&admin, &name)?);
    let count = which.count.unwrap_or(COUNT).clamp(1, super::MOST);
    let list = ask(&admin, move |_, _| {
        let mut items = Vec::new();
        for area in desk.schedules.active_zones(&kept.schedule)? {
            items.extend(desk.moments(&kept.schedule, &area.zone, now, count));
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

/// `GET /schedules/{name}/history`: newest first. Works for schedules that are no longer configured, too.
pub async fn history(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Answer<List<FiringRow>> {
    let now = admin.clock.now().as_ms();
    let most = most(which.limit);
    let list = ask(&admin, move |reader, names| {
        let no = reader.schedule_no(&name)?.ok_or_else(|| ApiError::not_found("schedule", &name))?;
        let rows = reader.firings(no, which.before, most)?;
        let next = rows.last().filter(|_| rows.len() == most).map(|row| row.id.to_string());
        let items = rows.iter().map(|row| firing_row(row, &names.of(row.plugin))).collect();
        Ok(List { now, items, next })
    });
    Ok(Json(list.await?))
}

/// `GET /schedules/{name}/run`: a dry run of a manual firing.
pub async fn would_run(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<List<PlannedEvent>> {
    let now = admin.clock.now().as_ms();
    let (desk, kept) = (Desk::new(&admin), find(&admin, &name)?);
    let list = ask(&admin, move |_, _| {
        let areas = desk.schedules.active_zones(&kept.schedule)?;
        let items = kept.targets.iter().flat_map(|share| areas.iter().map(move |area| (share, area)));
        let items = items.map(|(share, area)| PlannedEvent {
            plugin: share.name.to_string(),
            timezone: area.zone.name().to_string(),
            for_zone: matches!(kept.schedule.zones, Zones::Members(_)),
            problem: desk.trouble(&kept.schedule.name, &share.name),
            payload: kept.schedule.payload.as_ref().clone(),
        });
        Ok(List { now, items: items.collect(), next: None })
    });
    Ok(Json(list.await?))
}

/// `POST /schedules/{name}/run`
pub async fn run(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    let (desk, kept) = (Desk::new(&admin), find(&admin, &name)?);
    let deaf: BTreeMap<&str, Problem> = kept
        .targets
        .iter()
        .filter_map(|share| Some((share.name.as_ref(), desk.trouble(&name, &share.name)?)))
        .collect();
    let to: Vec<PluginNo> =
        kept.targets.iter().filter(|share| !deaf.contains_key(share.name.as_ref())).map(|share| share.plugin).collect();
    let warning = deaf.values().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ");
    if to.is_empty() {
        return Err(ApiError::not_running(&warning));
    }
    let zones: Vec<Zone> = {
        let (desk, kept) = (Desk::new(&admin), Arc::clone(&kept));
        ask(&admin, move |_, _| Ok(desk.schedules.active_zones(&kept.schedule)?)).await?
    }
    .into_iter()
    .map(|area| area.zone)
    .collect();
    if zones.is_empty() {
        return Err(ApiError::bad_request(format!(
            "`{name}` fires for each zone that members live in, and there are no members"
        )));
    }
    let events = desk.schedules.fire(&kept, &zones, &to).await?;
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    let message = format!("Fired `{name}` manually: {}.", events.join(", "));
    Ok(Json(Done { message, warning: (!warning.is_empty()).then_some(warning) }))
}

/// Plugins that their schedules cannot reach, one problem each.
pub fn troubles(admin: &Admin) -> Vec<Problem> {
    if admin.phase() == Phase::Starting {
        return Vec::new();
    }
    let desk = Desk::new(admin);
    let all = desk.schedules.all();
    let mut by_plugin: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for kept in all.iter().filter(|kept| kept.schedule.enabled) {
        for share in &kept.targets {
            by_plugin.entry(&share.name).or_insert((&kept.schedule.name, 0)).1 += 1;
        }
    }
    let trouble = |(plugin, (name, count)): (&str, (&str, usize))| {
        let mut problem = desk.trouble(name, plugin)?;
        if count > 1 {
            problem.message.push_str(&format!(" (and {} more schedules)", count - 1));
        }
        Some(problem)
    };
    by_plugin.into_iter().filter_map(trouble).collect()
}

fn find(admin: &Admin, name: &str) -> Result<Arc<ConfiguredSchedule>, ApiError> {
    admin.schedules.find(name).ok_or_else(|| ApiError::not_found("schedule", name))
}

/// The inputs of answers: the schedules, and the state of plugins.
struct Desk {
    schedules: Schedules,
    /// By name: whether it runs, and whether it handles schedules.
    plugins: HashMap<String, (bool, bool)>,
    install: String,
}

impl Desk {
    fn new(admin: &Admin) -> Self {
        let entries = admin.entries();
        let plugin = |entry: &beadle_catalog::Entry| {
            let listens = |plugin: &Arc<_>| exports(plugin);
            (entry.name.clone(), (entry.is_in_service(), entry.plugin.as_ref().is_some_and(listens)))
        };
        let plugins = entries.iter().map(plugin).collect();
        Self { schedules: admin.schedules.clone(), plugins, install: admin.store.install().to_owned() }
    }

    /// The reason for which a schedule does not fire for a plugin.
    fn trouble(&self, schedule: &str, plugin: &str) -> Option<Problem> {
        let (code, why) = match self.plugins.get(plugin) {
            Some((true, true)) => return None,
            Some((true, false)) => ("schedule-not-exported", "it does not export `on-schedule`"),
            Some((false, _)) => ("schedule-plugin-unavailable", "it does not run"),
            None => ("schedule-plugin-unavailable", "no plugin directory contains it"),
        };
        Some(Problem {
            code: code.into(),
            message: format!("schedule `{schedule}` names the plugin `{plugin}`, but {why}"),
        })
    }

    fn row(&self, reader: &Reader, kept: &ConfiguredSchedule, now: Timestamp) -> Result<ScheduleRow, ApiError> {
        let schedule = &kept.schedule;
        let areas = self.schedules.active_zones(schedule)?;
        let next = areas.iter().filter_map(|area| self.next(schedule, &area.zone, now)).min_by_key(|moment| moment.at);
        let last = reader.firings(kept.no, None, 1)?;
        let last = last.first().map(|row| firing_row(row, name_of(kept, row.plugin)));
        let takes_part = kept.targets.iter().any(|share| self.trouble(&schedule.name, &share.name).is_none());
        let state = match () {
            () if !schedule.enabled => "off",
            () if next.is_none() && !areas.is_empty() => "over",
            () if !takes_part => "waiting",
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
        let (mut rows, mut after, mut planned, mut off) = (Vec::new(), now, 0, 0);
        while planned < count
            && off < OFF_AT_MOST
            && let Some(next) = schedule.next_match(zone, after)
        {
            let (NextMoment::Planned(moment) | NextMoment::Excluded(moment, _)) = &next;
            after = moment.at;
            match next {
                NextMoment::Planned(_) => (planned, off) = (planned + 1, 0),
                NextMoment::Excluded(..) => off += 1,
            }
            rows.push(self.moment_row(schedule, zone, &next));
        }
        rows
    }

    fn moment_row(&self, schedule: &Schedule, zone: &Zone, next: &NextMoment<'_>) -> MomentRow {
        let (moment, off) = match next {
            NextMoment::Planned(moment) => (moment, None),
            NextMoment::Excluded(moment, why) => (moment, Some((*why).to_owned())),
        };
        let jitter = schedule.jitter(&self.install, zone, moment.at);
        MomentRow {
            at: moment.at.as_ms(),
            local: zone.local(moment.at),
            timezone: zone.name().to_string(),
            due_at: (jitter > 0 && off.is_none()).then(|| moment.at.plus_ms(jitter).as_ms()),
            note: clock_change_note(moment, zone),
            excluded: off,
        }
    }
}

fn exports(plugin: &beadle_sandbox::Plugin) -> bool {
    plugin.subscriptions().contains(&EventKind::Schedule)
}

fn name_of(kept: &ConfiguredSchedule, plugin: PluginNo) -> &str {
    kept.targets.iter().find(|share| share.plugin == plugin).map_or("-", |share| &share.name)
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
    let mut say = |key: &str, value: String| settings.push((key.to_owned(), value));
    let when = |when: TimeSpec| match when {
        TimeSpec::Local(wall) => wall.to_string(),
        TimeSpec::Exact(at) => at.to_string(),
    };
    if let Some(from) = schedule.from {
        say("from", when(from));
    }
    if let Some(until) = schedule.until {
        say("until", when(until));
    }
    if !schedule.days_off.dates.is_empty() {
        say("except", schedule.days_off.dates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    if schedule.days_off.holidays.is_some() {
        say("holidays", "as in its file".into());
    }
    if schedule.jitter_ms > 0 {
        say("jitter", print_ms(schedule.jitter_ms));
    }
    let missed = schedule.catch_up;
    say(
        "catch_up",
        match missed.mode {
            CatchUpMode::None => "none".into(),
            CatchUpMode::Last => format!("last, within {}", print_ms(missed.max_age_ms)),
            CatchUpMode::All => format!("all, the latest {} within {}", missed.limit, print_ms(missed.max_age_ms)),
        },
    );
    say("grace", print_ms(missed.grace_ms));
    say("overlap", if schedule.overlap == Overlap::Skip { "skip" } else { "queue" }.into());
    settings
}
