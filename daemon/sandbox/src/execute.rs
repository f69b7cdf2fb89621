//! One call from start to end, on a guest thread: the instance, the limits, and the cause of a
//! failure.
//!
//! Whatever happens here, panics included, ends this call and nothing else.

use crate::abi::Outcome;
use crate::bindings::latest::{About, Next, types};
use crate::call::{Call, Level, LogLine, StatePage, Usage};
use crate::fault::{During, Fault, FaultKind};
use crate::host::{HostState, Stop};
use crate::instance::Instance;
use crate::limits;
use crate::loaded::Loaded;
use crate::meter::Panicked;
use crate::pool::WarmInstance;
use crate::report::{Handled, MigratedPage, Report};
use crate::shortage::is_shortage;
use crate::text::one_line;
use beadle_model::{Effects, Event, EventBody, EventId, PersonIds, Timestamp};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{Trap, WasmBacktrace};

/// Handles one event. `dry`: the effects will be discarded, and nothing may remain of the call.
pub async fn handle(plugin: Arc<Loaded>, call: Call, dry: bool) -> Report {
    let event = call.event.id;
    // The semaphore is never closed. Acquired here and not by the caller, so that the next call
    // starts on this thread at once.
    let permit = Arc::clone(&plugin.facts.permits).acquire_owned().await.ok();
    let (warm, generation) = if dry { (None, 0) } else { plugin.pool.take() };
    let mut instance = warm.unwrap_or_else(|| Box::new(Instance::new(&plugin.code.engine, Arc::clone(&plugin.facts))));
    let fresh = !instance.is_started();
    // A dry run is part of loading the plugin, which has a crash marker of its own.
    let is_first_call = fresh && !dry;
    let _turn = match is_first_call && plugin.first_calls.one_at_a_time() {
        true => Some(plugin.runtime.first_call.lock().await),
        false => None,
    };
    let first_call = is_first_call.then(|| plugin.first_calls.begin());
    let _ticking = plugin.runtime.ticker.tick();
    let started = Instant::now();
    instance.store.data_mut().prepare(event, call.now);
    instance.store.data_mut().task.dry = dry;
    let requests = Arc::clone(&instance.store.data().requests);
    requests.begin(event, dry, permit);

    let ended = within_limits(&mut instance, &plugin, async |instance| {
        if fresh {
            // Boxed, because warm calls would otherwise carry and copy its size.
            Box::pin(instance.start(&plugin.code)).await.map_err(End::Starting)?;
        }
        instance.handle(&call).await.map_err(End::Running)
    });
    let ended = ended.await;
    drop(first_call);
    let memory_bytes = instance.memory_bytes();
    let host = instance.store.data_mut();
    requests.end();
    let cpu_us = host.meter.used_ns() / 1000;
    let outcome = match ended {
        Ok(outcome) => disposition(outcome),
        Err(end) => Err(end.explain(host)),
    };
    if outcome.is_err() {
        host.remove_created_files();
    }
    let mut task = host.finish();
    let usage = Usage {
        cpu_us,
        wall_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        memory_bytes,
        host_calls: task.calls,
        fresh,
        log_dropped: task.log_dropped,
    };
    let mut is_discarded = dry;
    let outcome = match outcome {
        // An opt-out is the recipient's decision and not a failure, and so is a ban: a plugin that
        // gives up because its message was refused for it passes the event. Otherwise every message
        // of such a person would become a dead letter.
        Err((FaultKind::GiveUp { reason }, _)) if task.person_refused => {
            task.effects = Effects::default();
            task.log.push(LogLine {
                level: Level::Debug,
                text: format!("passed after a refusal about the person: {reason}"),
            });
            is_discarded = true;
            Ok(types::Disposition::Pass)
        }
        outcome => outcome,
    };
    let outcome = match outcome {
        Ok(disposition) => {
            let pool = (plugin.is_warm && !is_discarded).then(|| (Arc::clone(&plugin.pool), generation));
            let instance = WarmInstance::new(instance, pool);
            Ok(Handled { disposition: disposition.into(), effects: task.effects, instance })
        }
        Err((kind, backtrace)) => {
            Err(Fault { kind, plugin: Arc::clone(&plugin.facts.name), during: During::Event(event), backtrace })
        }
    };
    Report { outcome, log: task.log, refused: task.refused, usage }
}

/// Asks a plugin for its `about` and for the version of its state, in an instance that is destroyed
/// afterwards.
pub async fn describe(plugin: Arc<Loaded>) -> Result<(Option<About>, u32), Fault> {
    // There is no event and no time, so that the answer is always the same.
    let mut instance = separate_instance(&plugin, EventId(0), Timestamp(0));
    run_in(&mut instance, &plugin, During::Loading, async |instance| instance.describe().await).await
}

/// Has a plugin migrate a page of its state, in an instance that is destroyed afterwards. The
/// writes are returned, not carried out.
pub async fn migrate(plugin: Arc<Loaded>, page: StatePage) -> Result<MigratedPage, Fault> {
    // Every page has random numbers of its own, different from those of every event.
    let seed = EventId(-1 - i64::from(page.number));
    let mut instance = separate_instance(&plugin, seed, page.now);
    let next =
        run_in(&mut instance, &plugin, During::Migrating, async |instance| instance.migrate(&page).await).await?;
    let task = instance.store.data_mut().finish();
    match next {
        Ok(next) => Ok(MigratedPage { state: task.effects.state, log: task.log, is_done: next == Next::Done }),
        Err(failure) => {
            let kind = returned(failure);
            let plugin = Arc::clone(&plugin.facts.name);
            Err(Fault { kind, plugin, during: During::Migrating, backtrace: vec![] })
        }
    }
}

/// What a plugin keeps about a person, as JSON, by an instance that is destroyed afterwards.
/// Effects are discarded.
pub async fn export_contact(plugin: Arc<Loaded>, ids: PersonIds, now: Timestamp) -> Result<serde_json::Value, Fault> {
    // Not in the inbox: the call changes nothing.
    let event = Arc::new(Event {
        id: EventId(0),
        happened_at: now,
        received_at: now,
        conversation: None,
        body: EventBody::EraseContact(ids.clone()),
    });
    let _permit = plugin.facts.permits.acquire().await;
    let mut instance = separate_instance(&plugin, event.id, now);
    let exported =
        run_in(&mut instance, &plugin, During::Exporting, async |instance| instance.export_contact(&event, &ids).await);
    let exported = exported.await;
    let host = instance.store.data_mut();
    host.remove_created_files();
    host.finish();
    let fault =
        |kind| Fault { kind, plugin: Arc::clone(&plugin.facts.name), during: During::Exporting, backtrace: vec![] };
    match exported? {
        Ok(json) if json.len() > limits::EXPORT_BYTES => {
            let reason = format!("the export has {} bytes, and may have {}", json.len(), limits::EXPORT_BYTES);
            Err(fault(FaultKind::GiveUp { reason }))
        }
        Ok(json) => serde_json::from_str(&json)
            .map_err(|error| fault(FaultKind::GiveUp { reason: format!("the export is not JSON: {error}") })),
        Err(failure) => Err(fault(returned(failure))),
    }
}

/// An instance for one purpose, not started yet.
fn separate_instance(plugin: &Loaded, event: EventId, now: Timestamp) -> Instance {
    let mut instance = Instance::new(&plugin.code.engine, Arc::clone(&plugin.facts));
    instance.store.data_mut().prepare(event, now);
    instance.store.data_mut().task.dry = true;
    instance
}

/// Starts an instance and runs `work` in it.
async fn run_in<T>(
    instance: &mut Instance,
    plugin: &Loaded,
    during: During,
    work: impl AsyncFnOnce(&mut Instance) -> wasmtime::Result<T>,
) -> Result<T, Fault> {
    let _ticking = plugin.runtime.ticker.tick();
    let ended = within_limits(instance, plugin, async |instance| {
        instance.start(&plugin.code).await.map_err(End::Starting)?;
        work(instance).await.map_err(End::Running)
    });
    ended.await.map_err(|end| {
        let (kind, backtrace) = end.explain(instance.store.data_mut());
        Fault { kind, plugin: Arc::clone(&plugin.facts.name), during, backtrace }
    })
}

/// Runs guest code under the limit of elapsed time, and measures its CPU time.
async fn within_limits<T>(
    instance: &mut Instance,
    plugin: &Loaded,
    work: impl AsyncFnOnce(&mut Instance) -> Result<T, End>,
) -> Result<T, End> {
    let meter = Arc::clone(&instance.store.data().meter);
    let wall = Duration::from_millis(plugin.facts.limits.wall_ms.into());
    // The time-out is polled second, so a call that ends at once never sets a timer.
    let work = pin!(work(instance));
    match tokio::time::timeout(wall, meter.run(work)).await {
        // Most of a call is interrupted at the limit, but not what the host does for it: copying
        // memory, instantiating, converting arguments.
        Ok(Ok(Ok(_))) if meter.used_ns() > plugin.facts.limits.cpu_ns() => Err(End::Running(Stop::Cpu.into())),
        Ok(Ok(ended)) => ended,
        Ok(Err(Panicked(message))) => Err(End::Panicked(message)),
        Err(_) => Err(End::TimedOut),
    }
}

/// How a call ended without an answer of the plugin.
enum End {
    Starting(wasmtime::Error),
    Running(wasmtime::Error),
    Panicked(String),
    TimedOut,
}

impl End {
    /// The cause, and where the guest was.
    fn explain(self, host: &HostState) -> (FaultKind, Vec<String>) {
        let limits = host.facts.limits;
        let (error, starting) = match self {
            End::Starting(error) => (error, true),
            End::Running(error) => (error, false),
            End::Panicked(reason) => return (FaultKind::HostPanic { reason }, vec![]),
            End::TimedOut => return (FaultKind::WallLimit { wall_ms: limits.wall_ms }, vec![]),
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(functions).unwrap_or_default();
        let kind = match (error.downcast_ref::<Stop>(), error.downcast_ref::<Trap>()) {
            (Some(Stop::Cpu), _) => FaultKind::CpuLimit { cpu_ms: limits.cpu_ms },
            (Some(Stop::HostCalls), _) => FaultKind::HostCalls { max: limits::HOST_CALLS },
            (Some(Stop::Effects), _) => FaultKind::EffectLimit { effects: limits.effects },
            (Some(Stop::EffectBytes), _) => FaultKind::EffectBytes { max: limits::EFFECT_BYTES },
            (Some(Stop::NotSubscribed), _) => FaultKind::NotSubscribed,
            (Some(Stop::Store(reason)), _) => FaultKind::StoreFailed { reason: reason.clone() },
            (Some(Stop::Bug(reason)), _) => FaultKind::HostPanic { reason: (*reason).into() },
            (None, Some(Trap::StackOverflow)) => FaultKind::StackOverflow,
            (None, _) if is_shortage(&error) => FaultKind::HostResources { reason: root_cause(&error) },
            _ if host.memory.starved.is_some() => {
                FaultKind::HostResources { reason: host.memory.starved.clone().unwrap_or_default() }
            }
            _ if host.memory.refused => FaultKind::MemoryLimit { memory_mib: limits.memory_mib },
            (None, None) if starting => FaultKind::Instantiate { reason: root_cause(&error) },
            _ => FaultKind::Trap { reason: root_cause(&error) },
        };
        (kind, backtrace)
    }
}

/// The plugin's answer: a disposition, or the failure that it returned.
fn disposition(outcome: Outcome) -> Result<types::Disposition, (FaultKind, Vec<String>)> {
    outcome.map_err(|failure| (returned(failure), vec![]))
}

fn returned(failure: types::Failure) -> FaultKind {
    match failure {
        types::Failure::Retry(reason) => FaultKind::Retry { reason: one_line(reason) },
        types::Failure::GiveUp(reason) => FaultKind::GiveUp { reason: one_line(reason) },
    }
}

fn root_cause(error: &wasmtime::Error) -> String {
    one_line(error.root_cause().to_string())
}

/// The functions that were running, innermost first.
fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    let frames = backtrace.frames().iter().take(limits::BACKTRACE_FRAMES);
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => one_line(name.to_owned()),
        None => format!("function {}", frame.func_index()),
    };
    frames.map(name).collect()
}
