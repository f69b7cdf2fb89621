//! API 0.1.0: the bindings, the events that a component may or may not export, and the way from our nouns to its.
//!
//! `bindgen!` wants a world whole; a plugin exports what it likes. So exports are looked up one by one: their types are
//! checked when a plugin is loaded ([`Exports::find`]), and each instance has those that are there ([`Guests`]).

mod moved;
mod news;
mod said;
mod told;

use crate::host::{HostState, Stop};
use crate::report::Call;
use crate::surface::Surface;
use beadle_model::EventKind;
use bindings::exports::beadle::plugin::{
    about, migration, on_channel_changed, on_contact_changed, on_documents_changed, on_echo, on_group_changed,
    on_join_request, on_member_joined, on_member_left, on_message, on_message_status, on_reaction, on_schedule,
    on_timer, on_window_closed, on_window_expiring,
};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentNamedList, HasSelf, Instance, InstancePre, Lift, Linker, Lower};
use wasmtime::{Store, format_err};

pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../../plugin-api/wit/since-v0.1.0",
        world: "host",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

pub use about::About;
pub use bindings::beadle::plugin::{
    clock, contacts, documents, groups, log, media, messages, outgoing, random, replies, settings, state, timers, types,
};
pub use migration::Next;
pub use moved::Moved;
pub use told::contact;

/// Gives the linker every capability of this version.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    bindings::Host_::add_to_linker::<_, HasSelf<HostState>>(linker, |host| host)
}

/// Declares what is optional about a plugin: for each event its interface, where to find it, and its type.
macro_rules! events {
    ($($field:ident: $kind:ident in $module:ident, $interface:literal;)*) => {
        /// Where a component's exports are, found once when it is loaded.
        #[derive(Default)]
        pub struct Exports {
            $($field: Option<$module::GuestIndices>,)*
            about: Option<about::GuestIndices>,
            migration: Option<migration::GuestIndices>,
        }

        /// The exports of one instance.
        #[derive(Default)]
        pub struct Guests {
            $($field: Option<$module::Guest>,)*
            about: Option<about::Guest>,
            migration: Option<migration::Guest>,
        }

        impl Exports {
            /// Finds what `surface` says is there, and checks its types against ours.
            pub fn find(pre: &InstancePre<HostState>, surface: &Surface) -> wasmtime::Result<Self> {
                let mut exports = Self::default();
                $(if surface.subscriptions.contains(&EventKind::$kind) {
                    check::<(&$module::Event,), (Outcome,)>(pre, concat!("beadle:plugin/", $interface, "@0.1.0"), "handle")?;
                    exports.$field = Some($module::GuestIndices::new(pre)?);
                })*
                if surface.about {
                    check::<(), (About,)>(pre, "beadle:plugin/about@0.1.0", "describe")?;
                    exports.about = Some(about::GuestIndices::new(pre)?);
                }
                if surface.migration {
                    let interface = "beadle:plugin/migration@0.1.0";
                    check::<(), (u32,)>(pre, interface, "version")?;
                    check::<(&migration::Page,), (Moved,)>(pre, interface, "migrate")?;
                    exports.migration = Some(migration::GuestIndices::new(pre)?);
                }
                Ok(exports)
            }

            /// Whether it can be asked what it is.
            pub fn has_about(&self) -> bool {
                self.about.is_some()
            }

            /// Whether it numbers the forms of its state.
            pub fn has_migration(&self) -> bool {
                self.migration.is_some()
            }

            /// The same exports in an instance.
            pub fn load(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Guests> {
                let mut guests = Guests::default();
                $(if let Some(indices) = &self.$field {
                    guests.$field = Some(indices.load(&mut *store, instance)?);
                })*
                if let Some(indices) = &self.about {
                    guests.about = Some(indices.load(&mut *store, instance)?);
                }
                if let Some(indices) = &self.migration {
                    guests.migration = Some(indices.load(&mut *store, instance)?);
                }
                Ok(guests)
            }
        }
    };
}

events! {
    message: Message in on_message, "on-message";
    reaction: Reaction in on_reaction, "on-reaction";
    joined: MemberJoined in on_member_joined, "on-member-joined";
    left: MemberLeft in on_member_left, "on-member-left";
    timer: Timer in on_timer, "on-timer";
    status: MessageStatus in on_message_status, "on-message-status";
    schedule: Schedule in on_schedule, "on-schedule";
    expiring: WindowExpiring in on_window_expiring, "on-window-expiring";
    closed: WindowClosed in on_window_closed, "on-window-closed";
    documents: DocumentsChanged in on_documents_changed, "on-documents-changed";
    join_request: JoinRequest in on_join_request, "on-join-request";
    channel: ChannelChanged in on_channel_changed, "on-channel-changed";
    contact: ContactChanged in on_contact_changed, "on-contact-changed";
    group: GroupChanged in on_group_changed, "on-group-changed";
    echo: Echo in on_echo, "on-echo";
}

/// What every `handle` returns.
pub type Outcome = Result<types::Disposition, types::Failure>;

/// The exported function is there and has our types; else the reason in words.
pub(super) fn check<P, R>(pre: &InstancePre<HostState>, interface: &str, function: &str) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let component = pre.component();
    let item =
        component.get_export(None, interface).and_then(|(_, instance)| component.get_export(Some(&instance), function));
    match item {
        Some((ComponentItem::ComponentFunc(found), _)) => found
            .typecheck::<P, R>(&pre.instance_type())
            .map_err(|error| error.context(format!("`{interface}` has another `{function}` than ours"))),
        _ => Err(format_err!("`{interface}` has no function `{function}`")),
    }
}

impl Guests {
    /// Gives the call's event to the export that is for it. `Err` is what the host or the runtime said, `Ok(Err)` what
    /// the plugin said.
    pub async fn handle(&self, store: &mut Store<HostState>, call: &Call) -> wasmtime::Result<Outcome> {
        let conversation = call.event.conversation.as_deref();
        let there = conversation.ok_or(Stop::Bug("an event of this kind belongs to a conversation"));
        match call.event.kind() {
            EventKind::Message => {
                let guest = self.message.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::message(call, there?)?).await
            }
            EventKind::Reaction => {
                let guest = self.reaction.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::reaction(call, there?)?).await
            }
            EventKind::MemberJoined => {
                let guest = self.joined.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::joined(call, there?)?).await
            }
            EventKind::MemberLeft => {
                let guest = self.left.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::left(call, there?)?).await
            }
            EventKind::Timer | EventKind::Schedule | EventKind::DocumentsChanged => {
                self.handle_placeless(store, call).await
            }
            EventKind::WindowExpiring => {
                let guest = self.expiring.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::window_expiring(call, there?)?).await
            }
            EventKind::WindowClosed => {
                let guest = self.closed.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::window_closed(call, there?)?).await
            }
            EventKind::MessageStatus => {
                let guest = self.status.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::status(call, there?)?).await
            }
            EventKind::JoinRequest => {
                let guest = self.join_request.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &news::join_request(call, there?)?).await
            }
            EventKind::ChannelChanged => {
                let guest = self.channel.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &news::channel(call)?).await
            }
            EventKind::ContactChanged => {
                let guest = self.contact.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &news::contact_changed(call, there?)?).await
            }
            EventKind::GroupChanged => {
                let guest = self.group.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &news::group(call)?).await
            }
            EventKind::Echo => {
                let guest = self.echo.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &news::echo(call, there?)?).await
            }
            EventKind::Unrouted => Err(Stop::NotSubscribed.into()),
        }
    }

    /// Events that need no conversation.
    async fn handle_placeless(&self, store: &mut Store<HostState>, call: &Call) -> wasmtime::Result<Outcome> {
        match call.event.kind() {
            EventKind::Timer => {
                let guest = self.timer.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::timer(call)?).await
            }
            EventKind::Schedule => {
                let guest = self.schedule.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::schedule(call)?).await
            }
            EventKind::DocumentsChanged => {
                let guest = self.documents.as_ref().ok_or(Stop::NotSubscribed)?;
                guest.call_handle(store, &told::documents_changed(call)?).await
            }
            _ => Err(Stop::Bug("an event of this kind belongs to a conversation").into()),
        }
    }

    /// What the plugin says of itself; none where it does not.
    pub async fn describe(&self, store: &mut Store<HostState>) -> wasmtime::Result<Option<About>> {
        match &self.about {
            Some(guest) => guest.call_describe(store).await.map(Some),
            None => Ok(None),
        }
    }
}
