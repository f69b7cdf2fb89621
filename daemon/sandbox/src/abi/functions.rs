//! Exported functions of a component: found with their types checked, and called.

use crate::bindings::latest::{Next, types};
use crate::host::{HostState, Stop};
use crate::version::Version;
use beadle_model::EventKind;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Func, InstancePre, Lift, Lower};
use wasmtime::{Store, format_err};

/// What every `handle` returns.
pub type Outcome = Result<types::Disposition, types::Failure>;

/// What `migrate` returns.
pub type Migrated = Result<Next, types::Failure>;

/// What `erase-contact` returns.
pub type Erased = Result<(), types::Failure>;

/// What `export-contact` returns: JSON.
pub type Exported = Result<String, types::Failure>;

/// The handlers of one instance.
pub struct Handlers(pub Vec<(EventKind, Func)>);

impl Handlers {
    /// Calls the handler of an event kind with the event as a version of the contract has it.
    pub async fn call<E>(&self, store: &mut Store<HostState>, kind: EventKind, event: &E) -> wasmtime::Result<Outcome>
    where
        E: Lower + Send + Sync,
    {
        self.call_for(store, kind, event).await
    }

    /// Calls a handler that returns something else than [`Outcome`].
    pub async fn call_for<E, R>(&self, store: &mut Store<HostState>, kind: EventKind, event: &E) -> wasmtime::Result<R>
    where
        E: Lower + Send + Sync,
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let (_, handle) = self.0.iter().find(|(known, _)| *known == kind).ok_or(Stop::NotSubscribed)?;
        call_function(store, handle, (event,)).await.map(|(outcome,)| outcome)
    }
}

/// Calls a function whose types were checked when the component was loaded.
pub async fn call_function<P, R>(store: &mut Store<HostState>, function: &Func, parameters: P) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    function.typed::<P, R>(&*store)?.call_async(store, parameters).await
}

/// Finds exported functions of a version.
pub struct Finder<'a> {
    /// The component, linked.
    pub pre: &'a InstancePre<HostState>,
    /// The version of the contract that it was built for.
    pub version: Version,
}

impl Finder<'_> {
    /// The function of an interface, if it has these types. The error states the difference.
    pub fn function<P, R>(&self, interface: &str, function: &str) -> wasmtime::Result<ComponentExportIndex>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let interface = format!("beadle:plugin/{interface}@{}", self.version.name());
        let component = self.pre.component();
        let item = component
            .get_export(None, interface.as_str())
            .and_then(|(_, instance)| component.get_export(Some(&instance), function));
        match item {
            Some((ComponentItem::ComponentFunc(found), index)) => {
                let checked = found.typecheck::<P, R>(&self.pre.instance_type());
                checked.map_err(|error| error.context(format!("`{function}` of `{interface}` has other types")))?;
                Ok(index)
            }
            _ => Err(format_err!("`{interface}` has no function `{function}`")),
        }
    }

    /// The handler of an event kind, if it takes `E`.
    pub fn handler<E>(&self, kind: EventKind) -> wasmtime::Result<ComponentExportIndex>
    where
        E: Lower,
    {
        let interface = kind.interface().ok_or(Stop::NotSubscribed)?;
        self.function::<(&E,), (Outcome,)>(interface, "handle")
    }
}
