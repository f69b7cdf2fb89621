//! Measures the cost of a call: the sandbox compared with bare wasmtime, on the same component.
//!
//! `cargo run --release -p beadle-sandbox --example call_cost -- PLUGIN.wasm`
//!
//! The plugin must export `on-message` and may use `replies`, `settings`, `log` and `clock`. "Bare"
//! is a typed async call into a warm instance: no limits, no epochs, no other thread. The
//! difference is what the sandbox adds. Prints figures and asserts nothing.

use beadle_clock::Clock;
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, Content, ConversationId, ConversationView, Event, EventBody, EventId,
    MessageId, PluginNo, Timestamp,
};
use beadle_sandbox::{Call, Isolation, Limits, Plugin, Sandbox, SandboxConfig, Spec};
use beadle_store::StoreConfig;
use bindings::beadle::plugin::outgoing::{Buttons, List, Text};
use bindings::beadle::plugin::types::{self, Refusal};
use bindings::exports::beadle::plugin::on_message;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, Store};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../plugin-api/wit/since-v0.1.0",
        world: "host",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

/// Enough that the cost of the clock and of the first calls is negligible.
const WARM_CALLS: u32 = 100_000;
/// A fresh instance costs about ten times as much.
const FRESH_CALLS: u32 = 10_000;
/// Concurrent calls, as in a busy pipeline.
const CONCURRENT: u32 = 16;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let path = std::env::args().nth(1).ok_or("usage: call_cost PLUGIN.wasm")?;
    let bytes = std::fs::read(&path)?;
    println!("{path}: {} bytes", bytes.len());
    println!("{:52} {:>10} {:>10}", "µs per call", "elapsed", "CPU");
    bare(&bytes).await?;
    sandboxed(bytes).await
}

/// The start of a measurement: elapsed time, and CPU time of this process, which other load does
/// not lengthen.
struct Start(Instant, Duration);

impl Start {
    fn now() -> Self {
        Self(Instant::now(), cpu())
    }

    fn print(self, label: &str, calls: u32) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(calls);
        println!("{label:52} {:10.2} {:10.2}", micros(self.0.elapsed()), micros(cpu().saturating_sub(self.1)));
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The lower bound.
async fn bare(bytes: &[u8]) -> Result<(), Failure> {
    let mut config = Config::new();
    config.concurrency_support(false);
    let engine = Engine::new(&config)?;
    let component =
        match wit_component::ComponentEncoder::default().module(bytes).and_then(|mut encoder| encoder.encode()) {
            Ok(encoded) => Component::new(&engine, encoded)?,
            Err(_) => Component::new(&engine, bytes)?,
        };
    let linked = bare_linker(&engine, &component)?.instantiate_pre(&component)?;
    let exports = on_message::GuestIndices::new(&linked)?;
    let event = bare_event();

    let (mut store, guest) = bare_instance(&engine, &linked, &exports).await?;
    let start = Start::now();
    for _ in 0..WARM_CALLS {
        let _ = guest.call_handle(&mut store, &event).await?;
    }
    start.print("bare wasmtime, warm", WARM_CALLS);

    let start = Start::now();
    for _ in 0..FRESH_CALLS {
        let (mut store, guest) = bare_instance(&engine, &linked, &exports).await?;
        let _ = guest.call_handle(&mut store, &event).await?;
    }
    start.print("bare wasmtime, fresh", FRESH_CALLS);
    Ok(())
}

async fn bare_instance(
    engine: &Engine,
    linked: &InstancePre<()>,
    exports: &on_message::GuestIndices,
) -> wasmtime::Result<(Store<()>, on_message::Guest)> {
    let mut store = Store::new(engine, ());
    let instance = linked.instantiate_async(&mut store).await?;
    let guest = exports.load(&mut store, &instance)?;
    Ok((store, guest))
}

fn bare_linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    let sent = || Ok((Ok::<String, Refusal>("msg_1".to_owned()),));
    let mut replies = linker.instance("beadle:plugin/replies@0.1.0")?;
    replies.func_wrap_async("send-text", move |_, (_,): (Text,)| Box::new(async move { sent() }))?;
    replies.func_wrap_async("send-buttons", move |_, (_,): (Buttons,)| Box::new(async move { sent() }))?;
    replies.func_wrap_async("send-list", move |_, (_,): (List,)| Box::new(async move { sent() }))?;
    let mut settings = linker.instance("beadle:plugin/settings@0.1.0")?;
    settings.func_wrap_async("get", |_, (): ()| Box::new(async { Ok(("{}".to_owned(),)) }))?;
    let mut clock = linker.instance("beadle:plugin/clock@0.1.0")?;
    clock.func_wrap_async("now", |_, (): ()| Box::new(async { Ok((0_i64,)) }))?;
    linker.define_unknown_imports_as_traps(component)?;
    Ok(linker)
}

fn bare_event() -> on_message::Event {
    let nothing = || "{}".to_owned();
    on_message::Event {
        info: types::EventInfo {
            id: "evt_1".into(),
            happened_at: 0,
            received_at: 0,
            attempt: 1,
            late: false,
            ending: None,
            extra: nothing(),
        },
        conversation: types::Conversation {
            id: "cnv_1".into(),
            channel: "shop".into(),
            contact: "con_1".into(),
            is_group: false,
            window_closes_at: Some(0),
            free_entry_until: None,
        },
        sender: types::Contact {
            id: "con_1".into(),
            name: Some("Ada".into()),
            language: None,
            timezone: None,
            member: true,
            opted_out: false,
            role: "member".into(),
            tags: vec![],
            attributes: nothing(),
            extra: nothing(),
        },
        message: "wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQTdCNjU4".into(),
        content: types::Content::Text("What time do you open on Saturday?".into()),
        context: None,
        referral: None,
        extra: nothing(),
    }
}

async fn sandboxed(bytes: Vec<u8>) -> Result<(), Failure> {
    let ids = AtomicI64::new(1);
    let reserve = Arc::new(move || MessageId(ids.fetch_add(1, Ordering::Relaxed)));
    let config =
        SandboxConfig { guest_threads: 1, running_per_plugin: CONCURRENT as usize, ..SandboxConfig::default() };
    let folder = tempfile::tempdir()?;
    let store = beadle_store::Store::open(StoreConfig::new(folder.path(), Clock::real()))?;
    let sandbox = Sandbox::new(config, store.reader(), reserve, store.host_key())?;
    let spec = |isolation| Spec {
        name: "plugin".into(),
        no: PluginNo(1),
        state: beadle_model::StateNo(1),
        bytes: bytes.clone(),
        settings: Value::Null,
        limits: Limits::default(),
        channels: None,
        isolation,
        first_calls: None,
    };
    let warm = sandbox.load(spec(Isolation::Warm)).await?;
    let fresh = sandbox.load(spec(Isolation::PerEvent)).await?;
    for (isolation, plugin, calls) in [("warm", warm, WARM_CALLS), ("fresh", fresh, FRESH_CALLS)] {
        let start = Start::now();
        concurrent(&plugin, calls).await?;
        start.print(&format!("sandbox, {isolation}, one guest thread, {CONCURRENT} concurrent"), calls);
        let start = Start::now();
        sequential(&plugin, calls).await?;
        start.print(&format!("sandbox, {isolation}, sequential, from another thread"), calls);
        let start = Start::now();
        let plugin = Arc::clone(&plugin);
        sandbox.threads().spawn(async move { sequential(&plugin, calls).await }).await??;
        start.print(&format!("sandbox, {isolation}, sequential, from a guest thread"), calls);
    }
    Ok(())
}

async fn sequential(plugin: &Plugin, calls: u32) -> Result<(), Failure> {
    let event = event();
    for _ in 0..calls {
        plugin.handle(call(&event)).await.outcome?.instance.keep();
    }
    Ok(())
}

async fn concurrent(plugin: &Arc<Plugin>, calls: u32) -> Result<(), Failure> {
    let tasks: Vec<_> = (0..CONCURRENT)
        .map(|_| {
            let plugin = Arc::clone(plugin);
            tokio::spawn(async move { sequential(&plugin, calls / CONCURRENT).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn call(event: &Arc<Event>) -> Call {
    Call { event: Arc::clone(event), ending: None, attempt: 1, late: false, now: Timestamp(0) }
}

fn event() -> Arc<Event> {
    let conversation = ConversationView {
        id: ConversationId(1),
        channel: "shop".into(),
        contact: Contact {
            id: ContactId(1),
            name: Some("Ada".into()),
            language: None,
            timezone: None,
            created_at: Timestamp(0),
            member_since: Some(Timestamp(0)),
            opted_out_since: None,
            marketing_stopped_since: None,
            profile: None,
        },
        group: None,
        address: Some(Alias { kind: AliasKind::WaId, value: "31612345678".into() }),
        window_until: Some(Timestamp(3_600_000)),
        free_entry_until: None,
    };
    Arc::new(Event {
        id: EventId(1),
        happened_at: Timestamp(0),
        received_at: Timestamp(0),
        conversation: Some(Arc::new(conversation)),
        body: EventBody::Message {
            message: "wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQTdCNjU4".into(),
            content: Content::Text("What time do you open on Saturday?".into()),
            context: None,
            referral: None,
            keyword: None,
            addressed: None,
            extra: Value::Null,
        },
    })
}
