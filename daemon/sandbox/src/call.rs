//! One call from its beginning to its end, on a guest thread: instance, limits, and what to make of how it ended.

use crate::abi::latest::{self, About, types};
use crate::fault::{During, Fault, FaultKind};
use crate::host::{HostState, Stop, plain};
use crate::instance::Instance;
use crate::limits;
use crate::meter::Panicked;
use crate::plugin::Inner;
use crate::pool::Warm;
use crate::report::{Call, Handled, Moved, Page, Report, Usage};
use beadle_model::{EventId, Timestamp};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{Trap, WasmBacktrace};

/// Handles one event. What happens in here, a panic included, ends this call and nothing else. `dry`: nothing of it will
/// be done, and nothing of it is to be left.
pub async fn handle(plugin: Arc<Inner>, call: Call, dry: bool) -> Report {
    let event = call.event.id;
    // Never closed. Waited for here and not where the call comes from: the next one starts on this thread at once.
    let _turn = plugin.turns.acquire().await;
    let _beat = plugin.host.pulse.beat();
    let began = Instant::now();
    let (warm, generation) = if dry { (None, 0) } else { plugin.pool.take() };
    let mut instance = warm.unwrap_or_else(|| Box::new(Instance::new(&plugin.code.engine, Arc::clone(&plugin.facts))));
    let fresh = !instance.is_started();
    instance.store.data_mut().prepare(event, call.now);
    instance.store.data_mut().task.dry = dry;

    let ended = within_limits(&mut instance, &plugin, async |instance| {
        if fresh {
            // Boxed, since the room for it would else be carried along, and copied, by each warm call.
            Box::pin(instance.start(&plugin.code)).await.map_err(Ended::starting)?;
        }
        instance.handle(&call).await.map_err(Ended::handling)
    });
    let ended = ended.await;
    let memory_bytes = instance.memory_bytes();
    let host = instance.store.data_mut();
    let cpu_us = host.meter.used_ns() / 1000;
    let outcome = match ended {
        Ok(Ok(disposition)) => Ok(disposition),
        Ok(Err(types::Failure::Retry(reason))) => Err(said(reason, |reason| FaultKind::Retry { reason })),
        Ok(Err(types::Failure::GiveUp(reason))) => Err(said(reason, |reason| FaultKind::GiveUp { reason })),
        Err(ended) => Err(ended.explain(host)),
    };
    let task = host.finish();
    let usage = Usage {
        cpu_us,
        wall_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        memory_bytes,
        host_calls: task.calls,
        fresh,
        log_dropped: task.log_dropped,
    };
    let outcome = match outcome {
        Ok(disposition) => {
            let home = (plugin.is_warm && !dry).then(|| (Arc::clone(&plugin.pool), generation));
            let instance = Warm::new(instance, home);
            Ok(Handled { disposition: disposition.into(), effects: task.effects, instance })
        }
        Err((kind, backtrace)) => {
            Err(Fault { kind, plugin: Arc::clone(&plugin.facts.name), during: During::Event(event), backtrace })
        }
    };
    Report { outcome, log: task.log, usage }
}

/// Asks a plugin that is being loaded what it says of itself, and under which version it keeps its state, in an instance
/// that is thrown away.
pub async fn describe(plugin: Arc<Inner>) -> Result<(Option<About>, u32), Fault> {
    // There is no event, so there is no time either: what is said of a plugin is to be the same each time.
    let mut instance = apart(&plugin, EventId(0), Timestamp(0));
    let asked = in_it(&mut instance, &plugin, During::Loading, async |instance| instance.describe().await);
    asked.await
}

/// Has a plugin bring a page of its state over, in an instance that is thrown away. Nothing of it is done.
pub async fn migrate(plugin: Arc<Inner>, page: Page) -> Result<Moved, Fault> {
    // Each page has chances of its own.
    let mut instance = apart(&plugin, EventId(-1 - i64::from(page.number)), page.now);
    let moved = in_it(&mut instance, &plugin, During::Migrating, async |instance| instance.migrate(&page).await);
    let next = moved.await?;
    let task = instance.store.data_mut().finish();
    let (kind, backtrace) = match next {
        Ok(next) => {
            let is_enough = next == latest::Next::Done;
            return Ok(Moved { state: task.effects.state, log: task.log, is_enough });
        }
        Err(types::Failure::Retry(reason)) => said(reason, |reason| FaultKind::Retry { reason }),
        Err(types::Failure::GiveUp(reason)) => said(reason, |reason| FaultKind::GiveUp { reason }),
    };
    Err(Fault { kind, plugin: Arc::clone(&plugin.facts.name), during: During::Migrating, backtrace })
}

/// An instance that is not started yet, for one thing.
fn apart(plugin: &Inner, event: EventId, now: Timestamp) -> Instance {
    let mut instance = Instance::new(&plugin.code.engine, Arc::clone(&plugin.facts));
    instance.store.data_mut().prepare(event, now);
    instance.store.data_mut().task.dry = true;
    instance
}

/// Starts it and does that one thing.
async fn in_it<T>(
    instance: &mut Instance,
    plugin: &Inner,
    during: During,
    work: impl AsyncFnOnce(&mut Instance) -> wasmtime::Result<T>,
) -> Result<T, Fault> {
    let _beat = plugin.host.pulse.beat();
    let ended = within_limits(instance, plugin, async |instance| {
        instance.start(&plugin.code).await.map_err(Ended::starting)?;
        work(instance).await.map_err(Ended::handling)
    });
    ended.await.map_err(|ended| {
        let (kind, backtrace) = ended.explain(instance.store.data_mut());
        Fault { kind, plugin: Arc::clone(&plugin.facts.name), during, backtrace }
    })
}

/// Runs guest code under the wall limit, with its CPU counted.
async fn within_limits<T>(
    instance: &mut Instance,
    plugin: &Inner,
    work: impl AsyncFnOnce(&mut Instance) -> Result<T, Ended>,
) -> Result<T, Ended> {
    let meter = Arc::clone(&instance.store.data().meter);
    let wall = Duration::from_millis(plugin.facts.limits.wall_ms.into());
    // The time-out is asked second, so a call that ends at once never sets a timer.
    let work = pin!(work(instance));
    match tokio::time::timeout(wall, meter.run(work)).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(Panicked(what))) => Err(Ended::Panicked(what)),
        Err(_) => Err(Ended::OutOfTime),
    }
}

/// How a call ended that did not end well.
enum Ended {
    Starting(wasmtime::Error),
    Handling(wasmtime::Error),
    Panicked(String),
    OutOfTime,
}

impl Ended {
    fn starting(error: wasmtime::Error) -> Self {
        Ended::Starting(error)
    }

    fn handling(error: wasmtime::Error) -> Self {
        Ended::Handling(error)
    }

    /// What that was, in our words, and where the guest was.
    fn explain(self, host: &HostState) -> (FaultKind, Vec<String>) {
        let limits = host.facts.limits;
        let (error, starting) = match self {
            Ended::Starting(error) => (error, true),
            Ended::Handling(error) => (error, false),
            Ended::Panicked(what) => return (FaultKind::HostPanic { what }, vec![]),
            Ended::OutOfTime => return (FaultKind::WallLimit { wall_ms: limits.wall_ms }, vec![]),
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(functions).unwrap_or_default();
        let kind = match (error.downcast_ref::<Stop>(), error.downcast_ref::<Trap>()) {
            (Some(Stop::Cpu), _) => FaultKind::CpuLimit { cpu_ms: limits.cpu_ms },
            (Some(Stop::HostCalls), _) => FaultKind::HostCalls { most: limits::HOST_CALLS },
            (Some(Stop::Effects), _) => FaultKind::EffectLimit { effects: limits.effects },
            (Some(Stop::NotSubscribed), _) => FaultKind::NotSubscribed,
            (Some(Stop::Store(what)), _) => FaultKind::StoreFailed { what: what.clone() },
            (Some(Stop::Bug(what)), _) => FaultKind::HostPanic { what: (*what).into() },
            (Some(Stop::Http(_)), _) => FaultKind::Trap { what: root(&error) },
            (None, Some(Trap::StackOverflow)) => FaultKind::StackOverflow,
            _ if host.memory.refused => FaultKind::MemoryLimit { memory_mib: limits.memory_mib },
            (None, None) if starting => FaultKind::Instantiate { what: root(&error) },
            _ => FaultKind::Trap { what: root(&error) },
        };
        (kind, backtrace)
    }
}

/// What lies at the bottom of an error.
fn root(error: &wasmtime::Error) -> String {
    said_plainly(error.root_cause().to_string())
}

/// The functions that were running, innermost first.
fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    let frames = backtrace.frames().iter().take(limits::BACKTRACE_FRAMES);
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => said_plainly(name.to_owned()),
        None => format!("function {}", frame.func_index()),
    };
    frames.map(name).collect()
}

fn said(reason: String, kind: impl FnOnce(String) -> FaultKind) -> (FaultKind, Vec<String>) {
    (kind(said_plainly(reason)), vec![])
}

/// What a plugin said, on one line and not too long.
fn said_plainly(mut text: String) -> String {
    if text.len() > limits::REASON_BYTES {
        text.truncate(text.floor_char_boundary(limits::REASON_BYTES));
        text.push('…');
    }
    plain(text).replace('\n', " ")
}
