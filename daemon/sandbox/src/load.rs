//! From a file's bytes to a plugin: parse, read imports and exports, compile, link, ask `about`.
//!
//! Each step can say no, in words that an author can act on, and none of them runs the plugin but the last: `about`, in
//! an instance of its own under the plugin's limits, where nothing can be read or asked for.

use crate::abi::{self, Exports, Version, latest};
use crate::host::{Facts, StateSlot, plain, refuse_http};
use crate::instance::Code;
use crate::limits::{self, Limits};
use crate::plugin::{Inner, Plugin};
use crate::pool::Pool;
use crate::sandbox::Host;
use crate::surface::{self, Surface};
use crate::{Fault, call, meter};
use beadle_model::{Blame, Coded, PluginNo, StateNo};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use wasmtime::component::Component;

/// How often instances that wait are looked at for age.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// What is needed to load a plugin.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its file's stem.
    pub name: String,
    /// Its number in the store.
    pub no: PluginNo,
    /// The state that it reads and writes.
    pub state: StateNo,
    /// The file.
    pub bytes: Vec<u8>,
    /// `[plugins.NAME] settings`: an object, or null for none.
    pub settings: Value,
    /// What it may use.
    pub limits: Limits,
    /// `[plugins.NAME] channels`: through which it may send; none is all of them.
    pub channels: Option<Vec<String>>,
    /// How long an instance lives.
    pub isolation: Isolation,
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Many events, one after the other.
    #[default]
    Warm,
    /// One event.
    PerEvent,
}

/// What a plugin says of itself. Shown to people, never an identity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// Its own version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its settings; none where it has none.
    pub settings_schema: Option<Value>,
}

/// Why a file is not a plugin, or not one for this Beadle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Larger than [`limits::FILE_BYTES`].
    #[error("The file has {bytes} bytes; a plugin has {most} at most.")]
    TooBig {
        /// It has.
        bytes: usize,
        /// It may have.
        most: usize,
    },
    /// Neither a component nor a core module.
    #[error("The file is not WebAssembly.")]
    NotWasm,
    /// Machine code cannot be checked, so none is taken.
    #[error("The file was compiled beforehand (`.cwasm`); Beadle takes only the `.wasm` it was made from.")]
    Precompiled,
    /// Cut short, or bent.
    #[error("The file is damaged: {what}. Was it copied whole? Build or copy it again.")]
    Damaged {
        /// What the parser says.
        what: String,
    },
    /// A core module that says nothing of its imports and exports.
    #[error("The file is WebAssembly, but no plugin: {what}. Build it with the `beadle-plugin` SDK.")]
    NotAPlugin {
        /// Why not.
        what: String,
    },
    /// Made for a newer Beadle, or for one that is long gone.
    #[error("{}", other_version(.wants, .interface))]
    ApiVersion {
        /// An interface of that version.
        interface: String,
        /// The newest version that the file names.
        wants: String,
    },
    /// Built from two contracts at once.
    #[error(
        "The plugin mixes plugin API {first} and {second}: `{interface}` is of the one, what stands before it of the other. \
         Build it with one SDK."
    )]
    MixedVersions {
        /// Where the second one is seen.
        interface: String,
        /// A version.
        first: String,
        /// Another.
        second: String,
    },
    /// It imports what nobody gives.
    #[error("The plugin imports `{import}`, which this Beadle does not have.")]
    UnknownImport {
        /// What.
        import: String,
    },
    /// It exports an event that never happens here.
    #[error("The plugin exports `{export}`, an event that this Beadle does not have.")]
    UnknownEvent {
        /// What.
        export: String,
    },
    /// It would never be called.
    #[error("The plugin exports no event, so it would never be called.")]
    NoEvents,
    /// The compiler does not take it.
    #[error("The plugin cannot be compiled: {what}.")]
    Compile {
        /// What the compiler says.
        what: String,
    },
    /// The names are right, the types are not.
    #[error("The plugin's types are not those of plugin API {has}: {what}. Rebuild it with an SDK for {has}.")]
    Types {
        /// Ours.
        has: &'static str,
        /// What differs.
        what: String,
    },
    /// It needs more memory from the start than it may have.
    #[error(
        "The plugin starts with {needs_mib} MiB of memory and may have {memory_mib}. \
         Raise `[plugins.{plugin}] limits.memory_mib`."
    )]
    Memory {
        /// Which plugin.
        plugin: String,
        /// Its largest memory, at the start.
        needs_mib: u64,
        /// As configured.
        memory_mib: u32,
    },
    /// `settings` is not a table.
    #[error("`[plugins.{plugin}] settings` is not a table.")]
    Settings {
        /// Which plugin.
        plugin: String,
    },
    /// What it says of itself is too long, or not JSON.
    #[error("The plugin's `about` cannot be shown: {what}.")]
    About {
        /// What is wrong with it.
        what: String,
    },
    /// It exports `migration` and numbers nothing.
    #[error("The plugin exports `migration` and says that its state has version 0; versions begin with 1.")]
    StateVersion,
    /// It failed while it was asked.
    #[error("The plugin cannot say what it is. {0}")]
    Failed(#[from] Fault),
    /// Beadle's own code panicked.
    #[error("The plugin met a bug in Beadle while it was loaded ({what}).")]
    HostPanic {
        /// What it said.
        what: String,
    },
}

impl Coded for LoadError {
    fn code(&self) -> &'static str {
        match self {
            LoadError::TooBig { .. } => "plugin-too-large",
            LoadError::NotWasm => "not-wasm",
            LoadError::Precompiled => "precompiled",
            LoadError::Damaged { .. } => "plugin-corrupt",
            LoadError::NotAPlugin { .. } => "not-a-plugin",
            LoadError::ApiVersion { .. } | LoadError::MixedVersions { .. } => "api-version-unsupported",
            LoadError::UnknownImport { .. } => "unknown-import",
            LoadError::UnknownEvent { .. } => "unknown-event",
            LoadError::NoEvents => "no-events-exported",
            LoadError::Compile { .. } => "compile-failed",
            LoadError::Types { .. } => "plugin-type-mismatch",
            LoadError::Memory { .. } => "initial-memory-limit",
            LoadError::Settings { .. } => "settings-not-a-table",
            LoadError::About { .. } => "about-invalid",
            LoadError::StateVersion => "state-version-invalid",
            LoadError::Failed(fault) => fault.code(),
            LoadError::HostPanic { .. } => "host-panic",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            LoadError::Settings { .. } | LoadError::Memory { .. } => Blame::Operator,
            LoadError::Failed(fault) => fault.blame(),
            LoadError::HostPanic { .. } => Blame::Host,
            _ => Blame::Plugin,
        }
    }
}

/// Both ranges in plain words: what the plugin runs on, what this Beadle speaks, and who is to move.
fn other_version(wants: &str, interface: &str) -> String {
    let ours = Version::range();
    let first = Version::ALL.first().copied().unwrap_or(Version::LATEST).name();
    let is_older = abi::numbers(wants).is_some_and(|wants| Some(wants) < abi::numbers(first));
    if is_older {
        return format!(
            "The plugin was built for plugin API {wants} (`{interface}`), which this Beadle speaks no more: it speaks {ours}. \
             Rebuild the plugin with an SDK for {}.",
            Version::LATEST.name()
        );
    }
    format!(
        "The plugin was built for plugin API {wants} (`{interface}`) and runs on a Beadle that speaks {wants} or later; \
         this Beadle speaks {ours}. Install a newer Beadle, or rebuild the plugin with an SDK for {}.",
        Version::LATEST.name()
    )
}

/// Makes a plugin of its spec.
pub(crate) async fn load(host: &Arc<Host>, spec: Spec) -> Result<Arc<Plugin>, LoadError> {
    let compiling = Arc::clone(host);
    let mut plugin = host.threads.spawn_blocking(move || compile(compiling, spec)).await.map_err(panicked)??;
    let exports = &plugin.inner.code.exports;
    if exports.has_about() || exports.has_migration() {
        let began = Instant::now();
        let asked = host.threads.spawn(call::describe(Arc::clone(&plugin.inner)));
        let (said, state_version) = asked.await.map_err(panicked)??;
        if exports.has_migration() && state_version == 0 {
            return Err(LoadError::StateVersion);
        }
        plugin.about = said.map(about).transpose()?;
        plugin.state_version = state_version;
        plugin.steps.push(("about", began.elapsed()));
    }
    host.threads.spawn(tidy(Arc::downgrade(&plugin.inner.pool)));
    Ok(Arc::new(plugin))
}

fn panicked(error: JoinError) -> LoadError {
    let what = match error.try_into_panic() {
        Ok(payload) => meter::panic_text(payload.as_ref()),
        Err(_) => "the sandbox is closing".into(),
    };
    LoadError::HostPanic { what }
}

/// All that needs no guest to run.
fn compile(host: Arc<Host>, spec: Spec) -> Result<Plugin, LoadError> {
    let settings = match &spec.settings {
        Value::Null => "{}".to_owned(),
        Value::Object(_) => spec.settings.to_string(),
        _ => return Err(LoadError::Settings { plugin: spec.name }),
    };
    let mut steps = Steps(Vec::new(), Instant::now());
    let revision = revision(&spec.bytes);
    let bytes = surface::component(&spec.bytes)?;
    steps.done("parse");
    let surface = surface::read(&bytes)?;
    steps.done("exports and imports");
    let component =
        Component::new(&host.engine, &bytes).map_err(|error| LoadError::Compile { what: format!("{error:#}") })?;
    check_memory(&component, &spec)?;
    steps.done("compile");
    let code = link(&host, &component, &surface)
        .map_err(|error| LoadError::Types { has: surface.version.name(), what: format!("{error:#}") })?;
    steps.done("link");
    let facts = Facts {
        name: spec.name.into(),
        no: spec.no,
        state: StateSlot::new(spec.state),
        settings,
        limits: spec.limits,
        channels: spec.channels,
        subscriptions: surface.subscriptions,
        host_key: host.host_key,
        reader: host.reader.clone(),
        reserve: Arc::clone(&host.reserve),
    };
    let inner = Inner {
        facts: Arc::new(facts),
        code,
        pool: Arc::new(Pool::default()),
        is_warm: spec.isolation == Isolation::Warm,
        turns: Semaphore::new(host.running_per_plugin),
        host,
    };
    Ok(Plugin {
        inner: Arc::new(inner),
        revision,
        requested_capabilities: surface.capabilities,
        about: None,
        state_version: 0,
        steps: steps.0,
    })
}

/// What a file's bytes are known by: SHA-256 in hex.
pub fn revision(bytes: &[u8]) -> String {
    beadle_model::text::hex(Sha256::digest(bytes))
}

/// How long each step took, for the log.
struct Steps(Vec<(&'static str, Duration)>, Instant);

impl Steps {
    fn done(&mut self, step: &'static str) {
        self.0.push((step, self.1.elapsed()));
        self.1 = Instant::now();
    }
}

fn link(host: &Host, component: &Component, surface: &Surface) -> wasmtime::Result<Code> {
    let linked = if surface.http.is_empty() {
        host.linker.instantiate_pre(component)?
    } else {
        let mut linker = host.linker.clone();
        refuse_http(&mut linker, component, &surface.http)?;
        linker.instantiate_pre(component)?
    };
    let exports = Exports::find(&linked, surface)?;
    // So that not the first event pays for it.
    component.initialize_copy_on_write_image()?;
    Ok(Code { engine: host.engine.clone(), linked, exports })
}

/// Told now, with the number, rather than at the first event.
fn check_memory(component: &Component, spec: &Spec) -> Result<(), LoadError> {
    /// A page of WebAssembly has 64 KiB.
    const PAGES_PER_MIB: u64 = 16;
    let pages = component.resources_required().and_then(|resources| resources.max_initial_memory_size).unwrap_or(0);
    let needs_mib = pages.div_ceil(PAGES_PER_MIB);
    if needs_mib <= u64::from(spec.limits.memory_mib) {
        return Ok(());
    }
    Err(LoadError::Memory { plugin: spec.name.clone(), needs_mib, memory_mib: spec.limits.memory_mib })
}

/// What the plugin said, if it can be shown.
fn about(said: latest::About) -> Result<About, LoadError> {
    for (what, text, most) in [
        ("version", &said.version, limits::ABOUT_LINE_BYTES),
        ("summary", &said.summary, limits::ABOUT_LINE_BYTES),
        ("settings schema", &said.settings_schema, limits::ABOUT_SCHEMA_BYTES),
    ] {
        if text.len() > most {
            let what = format!("its {what} has {} bytes, {most} at most can be shown", text.len());
            return Err(LoadError::About { what });
        }
    }
    let settings_schema = match said.settings_schema.trim() {
        "" => None,
        schema => Some(
            serde_json::from_str(schema)
                .map_err(|error| LoadError::About { what: format!("its settings schema is not JSON ({error})") })?,
        ),
    };
    Ok(About { version: plain(said.version), summary: plain(said.summary), settings_schema })
}

/// Drops instances that have served their time, for as long as the plugin is there.
async fn tidy(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        match pool.upgrade() {
            Some(pool) => pool.tidy(),
            None => return,
        }
    }
}
