//! The whole state as one JSON document, to be restored later or elsewhere: the starting point of a
//! demo or a scenario, or the reproduction of a bug.
//!
//! It contains people, groups, messages, files, templates, the account, faults and settings, the
//! random sequence, the time, and everything that waits for the clock. It does not contain secrets,
//! addresses, the log, or bodies that wait to be retried (they are signed). It can be saved only
//! while nothing is in flight.

use crate::account::Account;
use crate::faults::Faults;
use crate::groups::Groups;
use crate::hub::{Hub, World};
use crate::media::Media;
use crate::messages::{Counts, Message, Messages};
use crate::people::People;
use crate::rng::Rng;
use crate::templates::Templates;
use crate::webhook_sender::WaitingForClock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of this document. Other versions are refused: a saved state is not an archive.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(crate) struct SavedState {
    version: u32,
    phone_number_id: String,
    business_account_id: String,
    now_ms: i64,
    people: People,
    groups: Groups,
    messages: Vec<Message>,
    next_seq: u64,
    media: Media,
    templates: Templates,
    account: Account,
    profile: Value,
    faults: Faults,
    rng: Rng,
    counts: Counts,
    waiting: WaitingForClock,
}

/// Saves the state. The error says why it cannot be saved now.
pub(crate) fn save(hub: &Hub) -> Result<SavedState, String> {
    let world = hub.world();
    let in_flight = hub.webhook_sender.status().in_flight;
    if in_flight > 0 {
        return Err(format!(
            "{in_flight} updates are in flight; wait until the simulator is idle and make sure that webhooks are not paused"
        ));
    }
    let waiting = hub.webhook_sender.waiting();
    if waiting.retries > 0 {
        return Err(format!("{} webhooks wait for a retry; the callback must accept them first", waiting.retries));
    }
    let (messages, next_seq) = world.messages.snapshot();
    Ok(SavedState {
        version: VERSION,
        phone_number_id: hub.config.phone_number_id.clone(),
        business_account_id: hub.config.business_account_id.clone(),
        now_ms: hub.clock.now_ms(),
        people: world.people.clone(),
        groups: world.groups.clone(),
        messages,
        next_seq,
        media: world.media.clone(),
        templates: world.templates.clone(),
        account: world.account.clone(),
        profile: world.profile.clone(),
        faults: world.faults.clone(),
        rng: world.rng.clone(),
        counts: world.counts.clone(),
        waiting,
    })
}

/// Replaces the whole state by a saved one. A virtual clock is set to the saved time; the system
/// clock is unchanged.
pub(crate) fn load(hub: &Hub, saved: SavedState) -> Result<(), String> {
    if saved.version != VERSION {
        return Err(format!("the state must have version {VERSION}, but has version {}", saved.version));
    }
    if saved.phone_number_id != hub.config.phone_number_id
        || saved.business_account_id != hub.config.business_account_id
    {
        return Err(format!(
            "the state belongs to the number {} and the account {}",
            saved.phone_number_id, saved.business_account_id
        ));
    }
    saved.faults.check()?;
    hub.webhook_sender.discard_all();
    hub.log.clear();
    hub.clock.set(saved.now_ms);
    let mut messages = Messages::new(hub.config.max_messages);
    messages.restore(saved.messages, saved.next_seq);
    {
        let mut world = hub.world();
        *world = World {
            people: saved.people,
            messages,
            faults: saved.faults,
            rng: saved.rng,
            counts: saved.counts,
            groups: saved.groups,
            templates: saved.templates,
            media: saved.media,
            account: saved.account,
            profile: saved.profile,
            throughput_free_us: 0,
            group_operations_ms: Vec::new(),
        };
        hub.webhook_sender.pause(world.faults.webhooks_paused);
    }
    for (due_ms, update) in saved.waiting.updates {
        hub.webhook_sender.enqueue(update, Some(due_ms));
    }
    for (due_ms, action) in saved.waiting.actions {
        // Never counted as in flight: it was waiting, and is performed when it is due.
        hub.webhook_sender.schedule(i64::MIN, due_ms, action);
    }
    hub.publish(|| serde_json::json!({"kind": "reset"}));
    Ok(())
}
