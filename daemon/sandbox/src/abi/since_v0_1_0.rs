//! Contract 0.1.0, the latest: every event and every capability.

mod content;
mod events;
mod notifications;
#[cfg(test)]
mod tests;

use super::functions::{Erased, Finder, Handlers, Outcome};
use crate::bindings::latest::{
    Host_, migration, on_channel_changed, on_consent_changed, on_contact_changed, on_documents_changed, on_echo,
    on_group_changed, on_join_request, on_member_joined, on_member_left, on_message, on_message_status, on_reaction,
    on_response, on_schedule, on_timer, on_webhook, on_window_closed, on_window_expiring, privacy, types,
};
use crate::bindings::scope;
use crate::call::{Call, StatePage};
use crate::host::{HostState, Stop};
use beadle_model::{EventBody, EventKind, PersonIds};
use beadle_store::StateEntry;
pub use events::Encoder;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, HasSelf, Linker};

/// Provides all capabilities.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    Host_::add_to_linker::<_, HasSelf<HostState>>(linker, |host| host)
}

/// The handler of an event kind, if its types are those of this version.
pub fn find(find: &Finder<'_>, kind: EventKind) -> wasmtime::Result<ComponentExportIndex> {
    match kind {
        EventKind::Message => find.handler::<on_message::Event>(kind),
        EventKind::Reaction => find.handler::<on_reaction::Event>(kind),
        EventKind::MemberJoined => find.handler::<on_member_joined::Event>(kind),
        EventKind::MemberLeft => find.handler::<on_member_left::Event>(kind),
        EventKind::Timer => find.handler::<on_timer::Event>(kind),
        EventKind::MessageStatus => find.handler::<on_message_status::Event>(kind),
        EventKind::Schedule => find.handler::<on_schedule::Event>(kind),
        EventKind::WindowExpiring => find.handler::<on_window_expiring::Event>(kind),
        EventKind::WindowClosed => find.handler::<on_window_closed::Event>(kind),
        EventKind::DocumentsChanged => find.handler::<on_documents_changed::Event>(kind),
        EventKind::JoinRequest => find.handler::<on_join_request::Event>(kind),
        EventKind::ChannelChanged => find.handler::<on_channel_changed::Event>(kind),
        EventKind::ContactChanged => find.handler::<on_contact_changed::Event>(kind),
        EventKind::ConsentChanged => find.handler::<on_consent_changed::Event>(kind),
        EventKind::EraseContact => find.function::<(&privacy::Person,), (Erased,)>("privacy", "erase-contact"),
        EventKind::GroupChanged => find.handler::<on_group_changed::Event>(kind),
        EventKind::Echo => find.handler::<on_echo::Event>(kind),
        EventKind::Webhook => find.handler::<on_webhook::Event>(kind),
        EventKind::Response => find.handler::<on_response::Event>(kind),
        EventKind::Unrouted => Err(Stop::NotSubscribed.into()),
    }
}

/// Calls the handler of the call's event.
pub async fn handle(handlers: &Handlers, store: &mut Store<HostState>, call: &Call) -> wasmtime::Result<Outcome> {
    let facts = Arc::clone(&store.data().facts);
    let event = Encoder::new(call, &facts.handles);
    let kind = call.event.kind();
    match kind {
        EventKind::Message => handlers.call(store, kind, &event.message()?).await,
        EventKind::Reaction => handlers.call(store, kind, &event.reaction()?).await,
        EventKind::MemberJoined => handlers.call(store, kind, &event.member_joined()?).await,
        EventKind::MemberLeft => handlers.call(store, kind, &event.member_left()?).await,
        EventKind::Timer => handlers.call(store, kind, &event.timer()?).await,
        EventKind::MessageStatus => handlers.call(store, kind, &event.message_status()?).await,
        EventKind::Schedule => handlers.call(store, kind, &event.schedule()?).await,
        EventKind::WindowExpiring => handlers.call(store, kind, &event.window_expiring()?).await,
        EventKind::WindowClosed => handlers.call(store, kind, &event.window_closed()?).await,
        EventKind::DocumentsChanged => handlers.call(store, kind, &event.documents_changed()?).await,
        EventKind::JoinRequest => handlers.call(store, kind, &event.join_request()?).await,
        EventKind::ChannelChanged => handlers.call(store, kind, &event.channel_changed()?).await,
        EventKind::ContactChanged => handlers.call(store, kind, &event.contact_changed()?).await,
        EventKind::ConsentChanged => handlers.call(store, kind, &event.consent_changed()?).await,
        EventKind::EraseContact => {
            let EventBody::EraseContact(ids) = &call.event.body else { return Err(Stop::NotSubscribed.into()) };
            let erased: Erased = handlers.call_for(store, kind, &person(ids)).await?;
            Ok(erased.map(|()| types::Disposition::Pass))
        }
        EventKind::GroupChanged => handlers.call(store, kind, &event.group_changed()?).await,
        EventKind::Echo => handlers.call(store, kind, &event.echo()?).await,
        EventKind::Webhook => handlers.call(store, kind, &event.webhook()?).await,
        EventKind::Response => handlers.call(store, kind, &event.response()?).await,
        EventKind::Unrouted => Err(Stop::NotSubscribed.into()),
    }
}

/// A person for `privacy`.
pub fn person(ids: &PersonIds) -> privacy::Person {
    privacy::Person {
        contact: ids.contact.to_string(),
        merged: ids.merged.iter().map(ToString::to_string).collect(),
        conversations: ids.conversations.iter().map(ToString::to_string).collect(),
    }
}

/// A page of state for `migrate`.
pub fn state_page(page: &StatePage) -> migration::Page {
    let entry = |entry: &StateEntry| migration::Entry {
        scope: scope(entry.scope),
        key: entry.key.clone(),
        value: entry.value.clone(),
        expires_at: entry.expires_at.map(|at| at.as_ms()),
    };
    migration::Page {
        from_version: page.from_version,
        number: page.number,
        entries: page.entries.iter().map(entry).collect(),
        last: page.last,
        extra: "{}".into(),
    }
}
