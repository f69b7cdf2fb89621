//! Why a file was not loaded as a plugin, and at which step.

use crate::fault::Fault;
use crate::shortage;
use crate::version::{self, Version};
use beadle_model::{Blame, Coded};

/// Why a file is not a plugin, or not one for this Beadle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Larger than [`crate::limits::FILE_BYTES`].
    #[error("the file has {bytes} bytes; the maximum is {max}")]
    TooBig {
        /// The file's size.
        bytes: usize,
        /// The maximum.
        max: usize,
    },
    /// Neither a component nor a core module.
    #[error("the file is not WebAssembly")]
    NotWasm,
    /// Machine code cannot be validated.
    #[error("the file is precompiled (`.cwasm`); Beadle accepts only the `.wasm` it was made from")]
    Precompiled,
    /// Truncated or corrupted.
    #[error("the file is damaged: {reason}; build or copy it again")]
    Damaged {
        /// The parser's message.
        reason: String,
    },
    /// A core module without a description of its imports and exports.
    #[error("the file is WebAssembly, but not a plugin: {reason}; build it with the `beadle-plugin` SDK")]
    NotAPlugin {
        /// What is missing.
        reason: String,
    },
    /// Built for a version of the contract that this Beadle does not support.
    #[error("{}", unsupported_version(.wants, .interface))]
    ApiVersion {
        /// An interface of that version.
        interface: String,
        /// The newest version that the file names.
        wants: String,
    },
    /// Built from two versions of the contract.
    #[error("the plugin mixes plugin API {first} and {second} (`{interface}`); build it with one version of the SDK")]
    MixedVersions {
        /// An interface of the second version.
        interface: String,
        /// The newest version.
        first: String,
        /// The other version.
        second: String,
    },
    /// It imports something that no host provides.
    #[error("the plugin imports `{import}`, which this Beadle does not provide")]
    UnknownImport {
        /// The import.
        import: String,
    },
    /// It exports an event that this Beadle does not have.
    #[error("the plugin exports `{export}`, an event that this Beadle does not have")]
    UnknownEvent {
        /// The export.
        export: String,
    },
    /// It would never be called.
    #[error("the plugin exports no event, so it would never be called")]
    NoEvents,
    /// The compiler rejected it.
    #[error("the plugin cannot be compiled: {reason}")]
    Compile {
        /// The compiler's message.
        reason: String,
    },
    /// The names match the contract, the types do not.
    #[error("the plugin's types are not those of plugin API {version}: {reason}; rebuild it with an SDK for {version}")]
    Types {
        /// The version of the contract.
        version: &'static str,
        /// The difference.
        reason: String,
    },
    /// It needs more memory at the start than its limit.
    #[error(
        "the plugin needs {needs_mib} MiB of memory to start, and its limit is {memory_mib} MiB; \
         raise `[plugins.{plugin}] limits.memory_mib`"
    )]
    Memory {
        /// The plugin.
        plugin: String,
        /// The memory of a fresh instance.
        needs_mib: u64,
        /// The configured limit.
        memory_mib: u32,
    },
    /// Its modules and components instantiate each other too often.
    #[error("a fresh instance of the plugin consists of {instances} instances of its modules; the maximum is {max}")]
    TooComplex {
        /// Instances of modules and components.
        instances: u64,
        /// The maximum.
        max: u64,
    },
    /// The system had no memory, address space, threads or open files left.
    #[error("the system has no memory, threads or open files left: {reason}")]
    HostResources {
        /// The system's message.
        reason: String,
    },
    /// `settings` is not a table.
    #[error("`[plugins.{plugin}] settings` must be a table")]
    Settings {
        /// The plugin.
        plugin: String,
    },
    /// `about` is too long, or not JSON.
    #[error("the plugin's `about` is invalid: {reason}")]
    About {
        /// What is wrong with it.
        reason: String,
    },
    /// It exports `migration` and returns version 0.
    #[error("the plugin exports `migration` and returns state version 0; versions start at 1")]
    StateVersion,
    /// It failed while it was asked about itself.
    #[error("the plugin failed while it was loaded: {0}")]
    Failed(#[from] Fault),
    /// Beadle's own code panicked.
    #[error("Beadle failed while it loaded the plugin: {reason}")]
    HostPanic {
        /// The panic's message.
        reason: String,
    },
}

impl LoadError {
    /// The step of loading at which it occurred.
    pub fn step(&self) -> &'static str {
        match self {
            LoadError::TooBig { .. }
            | LoadError::NotWasm
            | LoadError::Precompiled
            | LoadError::Damaged { .. }
            | LoadError::NotAPlugin { .. } => "parse",
            LoadError::ApiVersion { .. }
            | LoadError::MixedVersions { .. }
            | LoadError::UnknownImport { .. }
            | LoadError::UnknownEvent { .. }
            | LoadError::NoEvents => "exports and imports",
            LoadError::TooComplex { .. }
            | LoadError::Compile { .. }
            | LoadError::Memory { .. }
            | LoadError::HostResources { .. }
            | LoadError::HostPanic { .. } => "compile",
            LoadError::Types { .. } => "link",
            LoadError::Settings { .. } => "settings",
            LoadError::About { .. } | LoadError::StateVersion | LoadError::Failed(_) => "about",
        }
    }
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
            LoadError::TooComplex { .. } => "plugin-too-complex",
            LoadError::HostResources { .. } => shortage::CODE,
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
            LoadError::HostPanic { .. } | LoadError::HostResources { .. } => Blame::Host,
            _ => Blame::Plugin,
        }
    }
}

/// Says which versions are supported, and whether the plugin or Beadle has to be updated.
fn unsupported_version(wants: &str, interface: &str) -> String {
    let (supported, latest) = (Version::range(), Version::LATEST.name());
    let is_older =
        version::numbers(wants).is_some_and(|wants| Some(wants) < version::numbers(Version::oldest().name()));
    if is_older {
        return format!(
            "the plugin was built for plugin API {wants} (`{interface}`), which is no longer supported; this version of \
             Beadle supports {supported}; rebuild the plugin with an SDK for {latest}"
        );
    }
    format!(
        "the plugin was built for plugin API {wants} (`{interface}`); this version of Beadle supports {supported}; install \
         a newer Beadle, or rebuild the plugin with an SDK for {latest}"
    )
}
