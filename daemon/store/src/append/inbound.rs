//! An incoming event with its sender, and what follows from the two alone.

use crate::people::{Membership, Person};
use crate::step::{Interest, NewEvent, Sender};
use beadle_model::{Alias, AliasKind, EventBody, Timestamp};

/// An event with a sender.
pub(super) struct Inbound<'a> {
    pub(super) event: &'a NewEvent,
    pub(super) sender: &'a Sender,
    /// All their aliases, the most decisive ones first.
    pub(super) aliases: &'a [Alias],
    pub(super) now: Timestamp,
    /// The events of the store's own making that have a subscriber.
    pub(super) interest: &'a Interest,
}

impl Inbound<'_> {
    /// When it happened; never in the future.
    pub(super) fn at(&self) -> Timestamp {
        self.event.happened_at.min(self.now)
    }

    /// When the person expressed a consent, for its entry in the ledger. The platform's time stamps
    /// are whole seconds, and other entries are not: the end of the second, so that an answer is
    /// not before its question.
    pub(super) fn expressed_at(&self) -> Timestamp {
        self.event.happened_at.plus_ms(999).min(self.now)
    }

    /// The alias by which the channel reaches them: the one that stays valid longest. Only aliases
    /// in this message count, because numbers change and may be hidden
    /// (`docs/whatsapp.md#identities`).
    pub(super) fn address(&self) -> Option<&Alias> {
        [AliasKind::WaId, AliasKind::Phone, AliasKind::UserId, AliasKind::ParentUserId]
            .into_iter()
            .find_map(|kind| self.sender.aliases.iter().find(|alias| alias.kind == kind && !alias.value.is_empty()))
    }

    /// Whether the sender joins the community: with the first message, outside groups, where the
    /// platform reports who joins.
    pub(super) fn joins(&self, person: &Person) -> bool {
        let is_message = matches!(self.event.body, EventBody::Message { .. });
        person.membership == Membership::Unasked
            && is_message
            // Reports of the platform about a person (a new number, an edit) open no window.
            && self.event.opens_window
            && self.event.keyword.is_none()
            && self.sender.group.is_none()
    }
}

/// Whether the alias is or contains a phone number.
pub(super) fn is_number(alias: &Alias) -> bool {
    matches!(alias.kind, AliasKind::WaId | AliasKind::Phone)
}
