//! Contract 0.0.9, which was never released: the example of a superseded version, in tests only.
//!
//! It differs from the latest in one function (`random.number` returned 32 bits) and in one event
//! (`on-member-joined` had no `rejoined`). Everything else is shared: types through `with`, the
//! capability `state` through the latest version's implementation, `on-reaction` through the latest
//! version's conversion. So a version costs what has changed.

use super::functions::{Finder, Handlers, Outcome};
use super::since_v0_1_0::{self as latest, Encoder};
use crate::bindings::latest::{random, state};
use crate::call::Call;
use crate::host::HostState;
use beadle_model::EventKind;
use bindings::exports::beadle::plugin::on_member_joined;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, HasSelf, Linker};

mod bindings {
    wasmtime::component::bindgen!({
        path: "src/abi/since_v0_0_9/wit",
        world: "host",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "beadle:plugin/types@0.0.9": crate::bindings::latest::types,
            "beadle:plugin/state@0.0.9": crate::bindings::latest::state,
        },
    });
}

/// Provides the capabilities of this version: unchanged ones are the latest's under this version's
/// name.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let shared = &mut linker.instance("beadle:plugin/state@0.0.9")?;
    state::add_to_linker_instance::<_, HasSelf<HostState>>(shared, |host| host)?;
    bindings::beadle::plugin::random::add_to_linker::<_, HasSelf<HostState>>(linker, |host| host)
}

impl bindings::beadle::plugin::random::Host for HostState {
    async fn number(&mut self) -> wasmtime::Result<u32> {
        Ok(random::Host::number(self).await? as u32)
    }
}

/// The handler of an event kind, if its types are those of this version.
pub fn find(find: &Finder<'_>, kind: EventKind) -> wasmtime::Result<ComponentExportIndex> {
    match kind {
        EventKind::MemberJoined => find.handler::<on_member_joined::Event>(kind),
        unchanged => latest::find(find, unchanged),
    }
}

/// Calls the handler of the call's event.
pub async fn handle(handlers: &Handlers, store: &mut Store<HostState>, call: &Call) -> wasmtime::Result<Outcome> {
    let kind = call.event.kind();
    if kind != EventKind::MemberJoined {
        return latest::handle(handlers, store, call).await;
    }
    let facts = Arc::clone(&store.data().facts);
    let event = Encoder::new(call, &facts.handles).member_joined()?;
    let event = on_member_joined::Event {
        info: event.info,
        conversation: event.conversation,
        member: event.member,
        reason: event.reason,
    };
    handlers.call(store, kind, &event).await
}
