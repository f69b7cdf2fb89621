//! API 0.0.9, which never was: the pattern that a superseded version follows, held by a binary that was built for it.
//!
//! A module like this one has four things: its bindings, its capabilities (each calls the latest's), its exports, and the way
//! from the latest's events to its own and from its answers to the latest's. What its events cannot tell is not given to
//! its guests: they pass it.

use super::latest::{self, Outcome, check, types};
use crate::host::{HostState, Stop};
use crate::report::{Call, Page};
use crate::surface::Surface;
use beadle_model::{Content, EventBody, EventKind};
use bindings::beadle::plugin::replies;
use bindings::beadle::plugin::types::{Host as NoFunctions, Sender, Verdict};
use bindings::exports::beadle::plugin::on_message;
use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker};

mod bindings {
    wasmtime::component::bindgen!({
        path: "src/abi/since_v0_0_9",
        world: "host",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

/// Gives the linker every capability of this version.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    bindings::Host_::add_to_linker::<_, HasSelf<HostState>>(linker, |host| host)
}

impl NoFunctions for HostState {}

impl replies::Host for HostState {
    async fn send(&mut self, body: String) -> wasmtime::Result<Result<String, String>> {
        let text = latest::outgoing::Text { body, preview_url: false, quote: None };
        let said = latest::replies::Host::send_text(self, text).await?;
        Ok(said.map_err(|refusal| refusal.code))
    }
}

/// Where a component's exports are.
#[derive(Default)]
pub struct Exports {
    message: Option<on_message::GuestIndices>,
}

/// The exports of one instance.
#[derive(Default)]
pub struct Guests {
    message: Option<on_message::Guest>,
}

impl Exports {
    /// Finds what `surface` says is there, and checks its types.
    pub fn find(pre: &InstancePre<HostState>, surface: &Surface) -> wasmtime::Result<Self> {
        let mut exports = Self::default();
        if surface.subscriptions.contains(&EventKind::Message) {
            check::<(&on_message::Event,), (Result<Verdict, String>,)>(
                pre,
                "beadle:plugin/on-message@0.0.9",
                "handle",
            )?;
            exports.message = Some(on_message::GuestIndices::new(pre)?);
        }
        Ok(exports)
    }

    /// It has no `about`.
    pub fn has_about(&self) -> bool {
        false
    }

    /// It has no `migration`.
    pub fn has_migration(&self) -> bool {
        false
    }

    /// The same exports in an instance.
    pub fn load(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Guests> {
        let message = self.message.as_ref().map(|indices| indices.load(store, instance)).transpose()?;
        Ok(Guests { message })
    }
}

impl Guests {
    /// Gives the call's event to the export that is for it.
    pub async fn handle(&self, store: &mut Store<HostState>, call: &Call) -> wasmtime::Result<Outcome> {
        let guest = self.message.as_ref().ok_or(Stop::NotSubscribed)?;
        let Some(event) = told(call) else { return Ok(Ok(types::Disposition::Pass)) };
        Ok(match guest.call_handle(store, &event).await? {
            Ok(Verdict::Pass) => Ok(types::Disposition::Pass),
            Ok(Verdict::Answered) => Ok(types::Disposition::Claimed),
            // It knew one way to fail, and was tried again after it.
            Err(reason) => Err(types::Failure::Retry(reason)),
        })
    }

    /// It has no `migration`.
    pub async fn state_version(&self, _: &mut Store<HostState>) -> wasmtime::Result<u32> {
        Ok(0)
    }

    /// It has no `migration`.
    pub async fn migrate(&self, _: &mut Store<HostState>, _: &Page) -> wasmtime::Result<latest::Moved> {
        Err(Stop::NotSubscribed.into())
    }

    /// It has no `about`.
    pub async fn describe(&self, _: &mut Store<HostState>) -> wasmtime::Result<Option<latest::About>> {
        Ok(None)
    }
}

/// The event as this version tells it; none where it could not.
fn told(call: &Call) -> Option<on_message::Event> {
    let contact = &call.event.conversation.as_ref()?.contact;
    let EventBody::Message { content: Content::Text(text), .. } = &call.event.body else { return None };
    let sender = Sender { id: contact.id.to_string(), name: contact.name.clone().unwrap_or_default() };
    Some(on_message::Event { id: call.event.id.to_string(), sender, text: text.clone() })
}
