//! Calls from the host into a plugin, for every supported version of the contract.
//!
//! The latest version has a module that converts every event and checks every export. An older
//! version's module names what differs: it links unchanged capabilities from the latest version
//! under its own name, converts changed events from the latest ones, and delegates everything else.
//! Nothing outside `abi` knows which version a plugin has.
//!
//! Exports are looked up one by one, since a plugin exports only the events it wants. Their types
//! are checked when the plugin is loaded; types are compared by structure, so the Rust types of the
//! latest version fit every version in which they have not changed.
//!
//! To supersede a version, for example when 0.1.1 adds to 0.1.0:
//!
//! 1. Copy its folder under `plugin-api/wit` and change the copy; the old folder stays as it is.
//! 2. Generate the latest bindings from the copy (`bindings`), and make the module here the copy's.
//! 3. Add a module for the old version. Its `bindgen!` lists every unchanged interface under
//!    `with:`, so that its Rust types are the latest's; what is left are the functions and events
//!    that differ.
//! 4. Add a variant to [`Version`].
//!
//! `since_v0_0_9` is an example of such a module: it shares `types` and `state` by `with:` and
//! converts one function and one event. It is compiled into tests only, together with a binary that
//! was built for it, because no version has been superseded yet.

mod functions;
#[cfg(test)]
mod since_v0_0_9;
mod since_v0_1_0;

use crate::bindings::latest::{About, migration, privacy};
use crate::call::{Call, StatePage};
use crate::host::{HostState, Stop};
use crate::surface::Surface;
use crate::version::Version;
use beadle_model::{EventKind, PersonIds};
use functions::{Finder, Handlers, call_function};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, Instance, InstancePre, Linker};

pub use functions::{Exported, Migrated, Outcome};

/// The exports of a component, found and checked once when it is loaded.
pub struct Exports {
    version: Version,
    events: Vec<(EventKind, ComponentExportIndex)>,
    describe: Option<ComponentExportIndex>,
    migration: Option<(ComponentExportIndex, ComponentExportIndex)>,
    export_contact: Option<ComponentExportIndex>,
}

/// The exports of one instance.
pub struct Guest {
    version: Version,
    handlers: Handlers,
    describe: Option<Func>,
    /// `version` and `migrate`.
    migration: Option<(Func, Func)>,
    export_contact: Option<Func>,
}

impl Exports {
    /// Finds the exports that `surface` lists, and checks their types.
    pub fn find(pre: &InstancePre<HostState>, surface: &Surface) -> wasmtime::Result<Self> {
        let version = surface.version;
        let find = Finder { pre, version };
        let event = |kind: &EventKind| {
            let index = match version {
                #[cfg(test)]
                Version::V0_0_9 => since_v0_0_9::find(&find, *kind),
                Version::V0_1_0 => since_v0_1_0::find(&find, *kind),
            };
            index.map(|index| (*kind, index))
        };
        let events = surface.subscriptions.iter().map(event).collect::<wasmtime::Result<_>>()?;
        let describe = surface.about.then(|| find.function::<(), (About,)>("about", "describe")).transpose()?;
        let migration = if surface.migration {
            let state_version = find.function::<(), (u32,)>("migration", "version")?;
            let migrate = find.function::<(&migration::Page,), (Migrated,)>("migration", "migrate")?;
            Some((state_version, migrate))
        } else {
            None
        };
        let exports_people = surface.subscriptions.contains(&EventKind::EraseContact);
        let export_contact = exports_people
            .then(|| find.function::<(&privacy::Person,), (Exported,)>("privacy", "export-contact"))
            .transpose()?;
        Ok(Self { version, events, describe, migration, export_contact })
    }

    /// Whether the plugin exports `about`.
    pub fn has_about(&self) -> bool {
        self.describe.is_some()
    }

    /// Whether the plugin exports `migration`.
    pub fn has_migration(&self) -> bool {
        self.migration.is_some()
    }

    /// The exports of an instance.
    pub fn load(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Guest> {
        let mut function =
            |index: &ComponentExportIndex| instance.get_func(&mut *store, index).ok_or(Stop::Bug("export is missing"));
        let mut handlers = Vec::with_capacity(self.events.len());
        for (kind, index) in &self.events {
            handlers.push((*kind, function(index)?));
        }
        let handlers = Handlers(handlers);
        let describe = self.describe.as_ref().map(&mut function).transpose()?;
        let migration = match &self.migration {
            Some((state_version, migrate)) => Some((function(state_version)?, function(migrate)?)),
            None => None,
        };
        let export_contact = self.export_contact.as_ref().map(&mut function).transpose()?;
        Ok(Guest { version: self.version, handlers, describe, migration, export_contact })
    }
}

impl Guest {
    /// Calls the export for the call's event. `Err` is an error of the host or the runtime,
    /// `Ok(Err)` a failure that the plugin returned.
    pub async fn handle(&self, store: &mut Store<HostState>, call: &Call) -> wasmtime::Result<Outcome> {
        match self.version {
            #[cfg(test)]
            Version::V0_0_9 => since_v0_0_9::handle(&self.handlers, store, call).await,
            Version::V0_1_0 => since_v0_1_0::handle(&self.handlers, store, call).await,
        }
    }

    /// The plugin's `about`, if it exports one.
    pub async fn describe(&self, store: &mut Store<HostState>) -> wasmtime::Result<Option<About>> {
        match &self.describe {
            Some(describe) => call_function(store, describe, ()).await.map(|(about,)| Some(about)),
            None => Ok(None),
        }
    }

    /// The version of the plugin's state; 0 if it exports no `migration`.
    pub async fn state_version(&self, store: &mut Store<HostState>) -> wasmtime::Result<u32> {
        match &self.migration {
            Some((state_version, _)) => call_function(store, state_version, ()).await.map(|(version,)| version),
            None => Ok(0),
        }
    }

    /// What the plugin keeps about a person, as JSON.
    pub async fn export_contact(&self, store: &mut Store<HostState>, ids: &PersonIds) -> wasmtime::Result<Exported> {
        let export = self.export_contact.as_ref().ok_or(Stop::NotSubscribed)?;
        let person = since_v0_1_0::person(ids);
        call_function(store, export, (&person,)).await.map(|(exported,)| exported)
    }

    /// Has the plugin migrate a page of its state.
    pub async fn migrate(&self, store: &mut Store<HostState>, page: &StatePage) -> wasmtime::Result<Migrated> {
        let (_, migrate) = self.migration.as_ref().ok_or(Stop::Bug("the plugin exports no `migration`"))?;
        let page = since_v0_1_0::state_page(page);
        call_function(store, migrate, (&page,)).await.map(|(migrated,)| migrated)
    }
}

/// Provides the capabilities of every version.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    #[cfg(test)]
    since_v0_0_9::link(linker)?;
    since_v0_1_0::link(linker)
}
