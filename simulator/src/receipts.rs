//! What becomes of messages, and how the business hears of it: the statuses of whatsapp.md 1.6.

use crate::courier::Courier;
use crate::hub::Hub;
use crate::letter::{Update, What};
use crate::messages::{Message, State, Step};
use crate::people::Person;
use crate::refusal::Refusal;
use crate::view;
use crate::wire;
use serde_json::{Value, json};
use std::sync::Arc;

/// Service messages that a number has free each calendar month (whatsapp.md 5.3, since 2026-10-01).
pub(crate) const FREE_SERVICE_MESSAGES: u32 = 1_000;

/// Lets a message of the business reach a state, and the states that follow from it, and tells the business.
pub(crate) fn reach(hub: &Hub, world: &mut crate::hub::World, seq: u64, first: State) {
    let mut state = first;
    loop {
        let now_ms = hub.clock.now_ms();
        let Some(message) = world.messages.get_mut(seq) else { return };
        if message.state() >= state {
            return;
        }
        message.states.push(Step { state, at_ms: now_ms });
        world.counts.reached(state);
        view::tell(hub, world, seq);
        receipt(hub, world, seq, state, now_ms);
        let is_reaction = world.messages.get(seq).is_none_or(|message| message.kind == "reaction");
        state = match state {
            State::Accepted => State::Sent,
            // Of a reaction only `sent` is told.
            State::Sent if !is_reaction => State::Delivered,
            State::Delivered if world.knobs.auto_read => State::Read,
            _ => return,
        };
        if world.knobs.receipt_delay_ms > 0 {
            let due_ms = now_ms.saturating_add(world.knobs.receipt_delay_ms);
            hub.courier.reach_at(due_ms, seq, state);
            return;
        }
    }
}

/// The business marked a message as read: this one and all of that person's before it.
pub(crate) fn marked_read(hub: &Hub, world: &mut crate::hub::World, seq: u64) {
    let now_ms = hub.clock.now_ms();
    let mut next = Some(seq);
    while let Some(message) = next.and_then(|seq| world.messages.get_mut(seq)) {
        let this = message.seq;
        next = message.before;
        if message.from_business {
            continue;
        }
        if message.state() >= State::Read {
            return;
        }
        message.states.push(Step { state: State::Read, at_ms: now_ms });
        view::tell(hub, world, this);
    }
}

/// The callback took these messages of people.
pub(crate) fn arrived(hub: &Hub, messages: &[u64]) {
    if messages.is_empty() {
        return;
    }
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    for seq in messages {
        let Some(message) = world.messages.get_mut(*seq) else { continue };
        if message.state() == State::Accepted {
            message.states.push(Step { state: State::Delivered, at_ms: now_ms });
            view::tell(hub, &world, *seq);
        }
    }
}

fn receipt(hub: &Hub, world: &mut crate::hub::World, seq: u64, state: State, now_ms: i64) {
    if state == State::Accepted || !world.knobs.receipts {
        return;
    }
    let fault = world.knobs.receipt_fault(&mut world.chance, state.name());
    let (false, Some(update)) = (fault.lost, update(world, seq, state, now_ms)) else { return };
    if fault.twice {
        hub.deliver(world, update.clone());
    }
    give(hub, world, update, fault.late_ms.map(|ms| now_ms.saturating_add_unsigned(ms)), fault.held_ms);
}

fn give(hub: &Hub, world: &mut crate::hub::World, update: Update, due_ms: Option<i64>, held_ms: Option<u64>) {
    let courier: &Courier = &hub.courier;
    match (due_ms, held_ms) {
        (Some(due_ms), _) => courier.take(update, Some(due_ms)),
        (None, Some(held_ms)) => courier.hold(update, held_ms),
        (None, None) => hub.deliver(world, update),
    };
}

fn update(world: &crate::hub::World, seq: u64, state: State, now_ms: i64) -> Option<Update> {
    let message = world.messages.get(seq)?;
    let person = world.people.get(message.person)?;
    // The failed have no contacts (BS, whatsapp.md 1.6).
    let contact = (state != State::Failed).then(|| contact(person, state != State::Sent));
    Some(Update {
        lane: message.person,
        what: What::Status(state),
        json: wire::to_json(&status(message, person, state, now_ms)).into(),
        contact,
        delivers: None,
    })
}

fn status(message: &Message, person: &Person, state: State, now_ms: i64) -> Value {
    let mut status = json!({
        "id": message.id,
        "status": state.name(),
        "timestamp": now_ms.div_euclid(1000).to_string(),
        "recipient_user_id": person.user_id,
    });
    let Some(object) = status.as_object_mut() else { return status };
    // Left out, not empty, where the number is hidden.
    if let Some(number) = &person.wa_id {
        object.insert("recipient_id".to_owned(), json!(number));
    }
    if let Some(data) = &message.callback_data {
        object.insert("biz_opaque_callback_data".to_owned(), json!(data));
    }
    if let (Some(pricing), State::Sent | State::Delivered) = (message.pricing, state) {
        let kind = if pricing.free { "free_customer_service" } else { "regular" };
        let pricing =
            json!({"billable": !pricing.free, "pricing_model": "PMP", "type": kind, "category": pricing.category});
        object.insert("pricing".to_owned(), pricing);
    }
    if let (Some(code), State::Failed) = (message.error, state) {
        let refusal = match code {
            131_047 => Refusal::window_closed(),
            131_026 => Refusal::undeliverable(),
            code => Refusal::new(code, "Message failed."),
        };
        object.insert("errors".to_owned(), json!([refusal.in_status()]));
    }
    status
}

/// The `contacts` entry of a person, in wire form. The username is not on `sent`.
pub(crate) fn contact(person: &Person, with_username: bool) -> Arc<str> {
    let mut profile = json!({"name": person.name});
    if let (Some(username), true, Some(profile)) = (&person.username, with_username, profile.as_object_mut()) {
        profile.insert("username".to_owned(), json!(username));
    }
    let mut contact = json!({"profile": profile, "user_id": person.user_id});
    if let (Some(number), Some(contact)) = (&person.wa_id, contact.as_object_mut()) {
        contact.insert("wa_id".to_owned(), json!(number));
    }
    wire::to_json(&contact).into()
}

/// The calendar month (UTC) of a moment, counted from year 0: for the monthly free tier.
pub(crate) fn month(now_ms: i64) -> i64 {
    // Civil from days, by Howard Hinnant: eras of 400 years, years that begin in March.
    let days = now_ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + month_from_march
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_at_midnight() {
        // 2026-11-30 23:59:59.999 and 2026-12-01; 2028-02-29 and 2028-03-01.
        for first in [1_796_083_200_000, 1_835_481_600_000] {
            assert_eq!(month(first - 1) + 1, month(first));
            assert_eq!(month(first), month(first + 27 * 86_400_000));
        }
    }
}
