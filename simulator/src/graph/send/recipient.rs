//! The recipient of a message, and the rate limits.

use crate::faults::UnknownNumbers;
use crate::hub::World;
use crate::people::{self, NewPerson, PersonNo};
use crate::refusal::Refusal;
use serde_json::Value;

/// The address of a message, and whether it is a number (`to`) or a user id (`recipient`). `to`
/// takes precedence.
pub(super) fn address(request: &Value) -> Result<(&str, bool), Refusal> {
    match (request.get("to"), request.get("recipient")) {
        (Some(Value::String(to)), _) => Ok((to, true)),
        (None, Some(Value::String(user_id))) => Ok((user_id, false)),
        (None, None) => Err(Refusal::missing("to")),
        _ => Err(Refusal::invalid("The recipient must be a string.")),
    }
}

/// Finds the recipient; `None` if the number does not exist.
pub(super) fn recipient(world: &mut World, input: &str, by_number: bool) -> Result<Option<PersonNo>, Refusal> {
    if !by_number {
        let known = world.people.find(input).filter(|no| {
            world.people.get(*no).is_some_and(|p| p.user_id == input || p.parent_user_id.as_deref() == Some(input))
        });
        return known.map(Some).ok_or_else(|| Refusal::invalid("The recipient is not a user id of this business."));
    }
    let number = people::digits(input).ok_or_else(|| Refusal::invalid("Param to is not a valid phone number."))?;
    let found = world
        .people
        .find(&number)
        .filter(|no| world.people.get(*no).is_some_and(|p| p.number.as_ref() == Some(&number)));
    if found.is_some() || world.faults.unknown_numbers == UnknownNumbers::Undeliverable {
        return Ok(found);
    }
    let new = NewPerson { name: number.clone(), number: Some(number), crowd: true, ..NewPerson::default() };
    let no = world.people.add(new).map_err(|_| Refusal::undeliverable())?;
    if let Some(person) = world.people.get_mut(no) {
        person.window_until_ms = Some(i64::MAX);
    }
    Ok(Some(no))
}

/// Enforces throughput and pair rate, if enabled (docs/whatsapp.md#limits).
pub(super) fn enforce_rates(world: &mut World, person: Option<PersonNo>, now_ms: i64) -> Result<(), Refusal> {
    let per_second = i64::from(world.faults.throughput_per_second);
    let now_us = now_ms.saturating_mul(1_000);
    if per_second > 0 {
        let step_us = 1_000_000 / per_second;
        // A burst of one second's worth is permitted.
        if world.throughput_free_us - now_us > 1_000_000 - step_us {
            return Err(Refusal::new(130_429, "Cloud API message throughput has been reached."));
        }
    }
    let pair_rate = world.faults.pair_rate;
    if let Some(person) = person.and_then(|no| world.people.get_mut(no)).filter(|_| pair_rate) {
        const STEP_MS: i64 = 6_000;
        const BURST: i64 = 45;
        if person.pair_free_ms - now_ms > STEP_MS * (BURST - 1) {
            return Err(Refusal::new(
                131_056,
                "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time.",
            ));
        }
        person.pair_free_ms = person.pair_free_ms.max(now_ms) + STEP_MS;
    }
    if per_second > 0 {
        world.throughput_free_us = world.throughput_free_us.max(now_us) + 1_000_000 / per_second;
    }
    Ok(())
}
