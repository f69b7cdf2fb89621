//! The catalogue: which plugins there are, which of them run, and why the others do not.
//!
//! It looks into the folders, loads what it finds, holds what each asks for against what it was given, and hands the
//! pipeline a roster. A plugin that cannot run is an entry with a reason, never an error of the daemon: the others start
//! without it.
//!
//! For now it looks once, at the start. It is not: the place where a plugin's code is run or judged (`sandbox`).

pub mod folder;
pub mod grants;

use beadle_model::Coded;
use beadle_pipeline::{Member, OnFailure, Roster, Stage};
use beadle_sandbox::{Isolation, Limits, LoadError, Plugin, Sandbox, Spec};
use beadle_store::{Store, StoreError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Every code of this crate's own; `beadle explain` has a page for each.
pub const CODES: [&str; 3] = ["plugin-pending", "plugin-missing", "plugin-unreadable"];

/// `[plugins.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct PluginConfig {
    /// When it is asked.
    pub stage: Stage,
    /// Its place in the stage.
    pub order: i64,
    /// For guards.
    pub on_failure: OnFailure,
    /// Whether its instances are kept warm.
    pub isolation: Isolation,
    /// Rights given besides those that everybody has.
    pub grant: Vec<String>,
    /// As JSON; an object.
    pub settings: Value,
    /// See [`Limits`].
    pub limits: Limits,
    /// A handling older than this is not begun, in milliseconds.
    pub max_age_ms: Option<i64>,
}

/// Where plugins are, and what the configuration says of each.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The first is the operator's.
    pub dirs: Vec<PathBuf>,
    /// By name.
    pub plugins: BTreeMap<String, PluginConfig>,
}

/// A plugin that is there, or should be.
pub struct Entry {
    /// Its file's stem.
    pub name: String,
    /// Its file; none where the configuration names it and no folder has it.
    pub path: Option<PathBuf>,
    /// What it is configured to be.
    pub config: PluginConfig,
    /// What runs, or would.
    pub plugin: Option<Arc<Plugin>>,
    /// Whether it runs, and why not.
    pub state: State,
}

/// Whether a plugin runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Active,
    /// It asks for rights that it was not given.
    Pending {
        /// Which.
        missing: Vec<String>,
    },
    /// It cannot.
    Broken {
        /// For `beadle explain`.
        code: &'static str,
        /// What is wrong and what to do.
        error: String,
    },
}

impl State {
    /// `active`, `pending` or `broken`.
    pub fn name(&self) -> &'static str {
        match self {
            State::Active => "active",
            State::Pending { .. } => "pending",
            State::Broken { .. } => "broken",
        }
    }

    /// Why it does not run, in a sentence; `None` where it does.
    pub fn why(&self, name: &str) -> Option<String> {
        match self {
            State::Active => None,
            State::Pending { missing } => Some(format!(
                "`{name}` asks for {missing}, which it was not given. If it may, write [plugins.{name}] grant = [{quoted}]",
                missing = missing.join(", "),
                quoted = missing.iter().map(|right| format!("\"{right}\"")).collect::<Vec<_>>().join(", "),
            )),
            State::Broken { error, .. } => Some(error.clone()),
        }
    }
}

/// All plugins that are there, or should be.
#[derive(Default)]
pub struct Catalog {
    /// By name.
    pub entries: Vec<Entry>,
}

impl Catalog {
    /// Loads everything, one after the other. Only the store can fail it; a plugin's own trouble is in its entry.
    pub async fn load(config: &Config, sandbox: &Sandbox, store: &Store) -> Result<Self, StoreError> {
        let named = config.plugins.keys().map(String::as_str).collect();
        let folder::Listing { plugins, remarks } = folder::list(&config.dirs, &named);
        for remark in remarks {
            tracing::warn!("{remark}.");
        }
        let mut entries = Vec::new();
        for folder::Found { name, path } in plugins {
            let settings = config.plugins.get(&name).cloned().unwrap_or_default();
            entries.push(load_one(name, path, settings, sandbox, store).await?);
        }
        for (name, plugin) in &config.plugins {
            if !entries.iter().any(|entry| entry.name == *name) {
                let error = format!(
                    "the configuration names `{name}`, and no plugin folder has a {name}.wasm; put it there or remove [plugins.{name}]"
                );
                let state = State::Broken { code: "plugin-missing", error };
                entries.push(Entry { name: name.clone(), path: None, config: plugin.clone(), plugin: None, state });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in &entries {
            tell(entry);
        }
        Ok(Self { entries })
    }

    /// Those that run.
    pub fn roster(&self) -> Roster {
        let member = |entry: &Entry| {
            let plugin = entry.plugin.clone().filter(|_| entry.state == State::Active)?;
            let PluginConfig { stage, order, on_failure, max_age_ms, .. } = entry.config;
            Some(Arc::new(Member::new(plugin, stage, order, on_failure, max_age_ms)))
        };
        Roster::new(self.entries.iter().filter_map(member).collect())
    }
}

async fn load_one(
    name: String,
    path: PathBuf,
    config: PluginConfig,
    sandbox: &Sandbox,
    store: &Store,
) -> Result<Entry, StoreError> {
    let no = store.plugin_no(&name).await?;
    let loaded = match std::fs::read(&path) {
        Ok(bytes) => {
            let settings =
                if config.settings.is_null() { Value::Object(Default::default()) } else { config.settings.clone() };
            let (limits, isolation) = (config.limits, config.isolation);
            sandbox.load(Spec { name: name.clone(), no, bytes, settings, limits, isolation }).await.map_err(broken)
        }
        Err(error) => Err(State::Broken {
            code: "plugin-unreadable",
            error: format!("{} cannot be read: {error}; see that the daemon's user may", path.display()),
        }),
    };
    let (plugin, state) = match loaded {
        Ok(plugin) => {
            let missing = grants::missing(plugin.wishes().iter().map(AsRef::as_ref), &config.grant);
            let state = if missing.is_empty() { State::Active } else { State::Pending { missing } };
            (Some(plugin), state)
        }
        Err(state) => (None, state),
    };
    Ok(Entry { name, path: Some(path), config, plugin, state })
}

fn broken(error: LoadError) -> State {
    State::Broken { code: error.code(), error: error.to_string() }
}

fn tell(entry: &Entry) {
    let name = &entry.name;
    // Some reasons are sentences with an end of their own.
    let why = entry.state.why(name).map(|why| why.trim_end_matches('.').to_owned());
    match (&entry.state, why) {
        (State::Broken { code, .. }, Some(why)) => {
            tracing::error!(plugin = name, code, "A plugin does not run: {why}.")
        }
        (_, Some(why)) => tracing::warn!(plugin = name, code = "plugin-pending", "A plugin waits: {why}."),
        (_, None) => tracing::info!(plugin = name, "A plugin runs."),
    }
}
