//! Loading a plugin: parse, read imports and exports, compile, link, call `about`.
//!
//! No step runs the plugin except the last, which runs in an instance of its own under the plugin's
//! limits, where nothing can be read or requested.

use crate::abi::Exports;
use crate::bindings::latest;
use crate::engine::engine;
use crate::error::LoadError;
use crate::first_calls::RunningFirstCalls;
use crate::footprint::{self, Footprint};
use crate::host::{Facts, StateSlot};
use crate::instance::Code;
use crate::limits::{self, Limits};
use crate::loaded::Loaded;
use crate::plugin::Plugin;
use crate::pool::Pool;
use crate::runtime::Runtime;
use crate::shortage::is_shortage;
use crate::spec::{About, Isolation, Spec};
use crate::surface::{self, Surface};
use crate::text::printable;
use crate::{execute, meter};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use wasmtime::component::Component;

/// The interval at which idle instances are checked for their age.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// Loads a plugin.
pub(crate) async fn load(runtime: &Arc<Runtime>, spec: Spec) -> Result<Arc<Plugin>, LoadError> {
    let compiling = Arc::clone(runtime);
    let mut plugin = runtime.threads.spawn_blocking(move || compile(compiling, spec)).await.map_err(panicked)??;
    let exports = &plugin.loaded.code.exports;
    if exports.has_about() || exports.has_migration() {
        let started = Instant::now();
        let task = runtime.threads.spawn(execute::describe(Arc::clone(&plugin.loaded)));
        let (described, state_version) = task.await.map_err(panicked)??;
        if exports.has_migration() && state_version == 0 {
            return Err(LoadError::StateVersion);
        }
        plugin.about = described.map(about).transpose()?;
        plugin.state_version = state_version;
        plugin.load_times.push(("about", started.elapsed()));
    }
    runtime.threads.spawn(expire_instances(Arc::downgrade(&plugin.loaded.pool)));
    Ok(Arc::new(plugin))
}

fn panicked(error: JoinError) -> LoadError {
    let reason = match error.try_into_panic() {
        Ok(payload) => meter::panic_text(payload.as_ref()),
        Err(_) => "the sandbox is shutting down".into(),
    };
    LoadError::HostPanic { reason }
}

/// Checks a file and compiles it into a folder, for [`crate::CodeCache::seal`]. Needs no runtime.
/// Meant for a child process with limits of memory and time: a file that exhausts the compiler then
/// does not take the daemon with it.
///
/// # Errors
/// Those of loading, up to the compilation.
pub fn compile_into(folder: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    let bytes = surface::component(bytes)?;
    surface::read(&bytes)?;
    footprint::measure(&bytes)?;
    let engine = engine(Some(folder)).map_err(not_compiled)?;
    Component::new(&engine, &bytes).map(drop).map_err(not_compiled)
}

/// The steps that run no guest.
fn compile(runtime: Arc<Runtime>, spec: Spec) -> Result<Plugin, LoadError> {
    let settings = match &spec.settings {
        Value::Null => "{}".to_owned(),
        Value::Object(_) => spec.settings.to_string(),
        _ => return Err(LoadError::Settings { plugin: spec.name }),
    };
    let mut times = StepTimes(Vec::new(), Instant::now());
    let revision = revision(&spec.bytes);
    let bytes = surface::component(&spec.bytes)?;
    times.record("parse");
    let surface = surface::read(&bytes)?;
    let footprint = footprint::measure(&bytes)?;
    times.record("exports and imports");
    if let Some(cache) = &runtime.code_cache {
        // Code that does not match its seal is deleted, so that it is compiled again here.
        cache.holds(&revision);
    }
    let component = Component::new(&runtime.engine, &bytes).map_err(not_compiled)?;
    check_memory(&component, footprint, &spec)?;
    times.record("load code");
    let code = link(&runtime, &component, &surface).map_err(|error| {
        let (version, reason) = (surface.version.name(), format!("{error:#}"));
        // It also copies the memory's first image into a file of the system.
        if is_shortage(&error) { LoadError::HostResources { reason } } else { LoadError::Types { version, reason } }
    })?;
    times.record("link");
    let facts = Facts {
        name: spec.name.into(),
        no: spec.no,
        state: StateSlot::new(spec.state),
        settings,
        limits: spec.limits,
        hostcall_bytes: hostcall_bytes(&spec.limits, &surface),
        metadata_bytes: usize::try_from(footprint.bytes).unwrap_or(usize::MAX),
        channels: spec.channels,
        subscriptions: surface.subscriptions,
        host_key: runtime.host_key,
        handles: Arc::clone(&runtime.handles),
        people: Arc::clone(&runtime.people),
        reader: runtime.reader.clone(),
        gatekeeper: runtime.gatekeeper.clone(),
        segments: runtime.segments.clone(),
        egress: runtime.egress.clone(),
        permits: Arc::new(Semaphore::new(runtime.running_per_plugin)),
        waiting: Arc::new(Semaphore::new(limits::HTTP_WAITING_CALLS)),
        reserve: Arc::clone(&runtime.reserve),
    };
    let loaded = Loaded {
        facts: Arc::new(facts),
        code,
        pool: Arc::new(Pool::default()),
        is_warm: spec.isolation == Isolation::Warm,
        first_calls: RunningFirstCalls::new(spec.first_calls),
        runtime,
    };
    Ok(Plugin {
        loaded: Arc::new(loaded),
        revision,
        requested_capabilities: surface.capabilities,
        about: None,
        state_version: 0,
        load_times: times.0,
    })
}

fn not_compiled(error: wasmtime::Error) -> LoadError {
    let reason = format!("{error:#}");
    if is_shortage(&error) { LoadError::HostResources { reason } } else { LoadError::Compile { reason } }
}

/// The identity of a file's contents: SHA-256 in hexadecimal.
pub fn revision(bytes: &[u8]) -> String {
    beadle_model::text::hex(Sha256::digest(bytes))
}

/// The durations of the steps, and the start of the current one.
struct StepTimes(Vec<(&'static str, Duration)>, Instant);

impl StepTimes {
    fn record(&mut self, step: &'static str) {
        self.0.push((step, self.1.elapsed()));
        self.1 = Instant::now();
    }
}

fn link(runtime: &Runtime, component: &Component, surface: &Surface) -> wasmtime::Result<Code> {
    let linked = runtime.linker.instantiate_pre(component)?;
    let exports = Exports::find(&linked, surface)?;
    // Done now so that it does not delay the first event.
    component.initialize_copy_on_write_image()?;
    Ok(Code { engine: runtime.engine.clone(), linked, exports })
}

/// Bytes that a guest may pass in one host call: enough for the largest thing that it may store.
fn hostcall_bytes(plugin: &Limits, surface: &Surface) -> usize {
    let file = if surface.capabilities.contains("media") { limits::NEW_FILE_BYTES } else { 0 };
    let request = if surface.capabilities.contains("http") { limits::HTTP_REQUEST_BYTES } else { 0 };
    limits::HOSTCALL_BYTES + file.max(request).max(plugin.value_bytes())
}

/// Reports a memory that cannot fit when the plugin is loaded, rather than at its first event.
fn check_memory(component: &Component, footprint: Footprint, spec: &Spec) -> Result<(), LoadError> {
    /// Of WebAssembly.
    const PAGE_BYTES: u64 = 64 << 10;
    let pages = component.resources_required().and_then(|resources| resources.max_initial_memory_size).unwrap_or(0);
    let needs_mib = pages.saturating_mul(PAGE_BYTES).saturating_add(footprint.bytes).div_ceil(1 << 20);
    if needs_mib <= u64::from(spec.limits.memory_mib) {
        return Ok(());
    }
    Err(LoadError::Memory { plugin: spec.name.clone(), needs_mib, memory_mib: spec.limits.memory_mib })
}

/// Checks what the plugin says about itself.
fn about(described: latest::About) -> Result<About, LoadError> {
    for (field, text, max) in [
        ("version", &described.version, limits::ABOUT_LINE_BYTES),
        ("summary", &described.summary, limits::ABOUT_LINE_BYTES),
        ("settings schema", &described.settings_schema, limits::ABOUT_SCHEMA_BYTES),
    ] {
        if text.len() > max {
            let reason = format!("its {field} has {} bytes, the maximum is {max}", text.len());
            return Err(LoadError::About { reason });
        }
    }
    let settings_schema = match described.settings_schema.trim() {
        "" => None,
        schema => Some(
            serde_json::from_str(schema)
                .map_err(|error| LoadError::About { reason: format!("its settings schema is not JSON ({error})") })?,
        ),
    };
    Ok(About { version: printable(described.version), summary: printable(described.summary), settings_schema })
}

/// Destroys idle instances that have expired, as long as the plugin exists.
async fn expire_instances(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(EXPIRY_INTERVAL).await;
        match pool.upgrade() {
            Some(pool) => pool.expire(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{Blame, Coded as _};

    #[tokio::test]
    async fn panic_while_loading_is_blamed_on_the_host() {
        let ended = tokio::task::spawn_blocking(|| panic!("number {}", 7)).await;
        let error = panicked(ended.unwrap_err());
        assert_eq!((error.code(), error.blame()), ("host-panic", Blame::Host));
        assert!(error.to_string().contains("number 7"), "{error}");
    }
}
