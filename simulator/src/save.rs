//! The whole state as one JSON document, to be put back later or elsewhere: a demo's starting point, a scenario's, a bug's.
//!
//! Everything that can be seen is in it: people, groups, messages, files, templates, the account, knobs, chance, the time,
//! and what waits for its time. What is not: secrets and addresses, the log, and bodies that a callback did not take (they
//! are signed with a secret). It is only made when nothing is on its way, so that nothing is lost between two places.

use crate::account::Account;
use crate::chance::Chance;
use crate::courier::Waiting;
use crate::groups::Groups;
use crate::hub::{Hub, World};
use crate::knobs::Knobs;
use crate::media::Media;
use crate::messages::{Counts, Message, Messages};
use crate::people::People;
use crate::templates::Templates;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of this document. Another one is refused: a state is a convenience, not an archive.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
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
    knobs: Knobs,
    chance: Chance,
    counts: Counts,
    waiting: Waiting,
}

/// Why it cannot be saved or loaded now.
pub(crate) type Why = String;

/// The state as it is.
pub(crate) fn save(hub: &Hub) -> Result<Saved, Why> {
    let world = hub.world();
    let load = hub.courier.load();
    if load.open > 0 {
        return Err(format!(
            "{} updates are on their way: wait until it is idle, and see that webhooks are not paused",
            load.open
        ));
    }
    let waiting = hub.courier.waiting();
    if waiting.retries > 0 {
        return Err(format!("{} webhooks wait to be tried again: let the callback take them first", waiting.retries));
    }
    let (messages, next_seq) = world.messages.kept();
    Ok(Saved {
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
        knobs: world.knobs.clone(),
        chance: world.chance.clone(),
        counts: world.counts.clone(),
        waiting,
    })
}

/// Puts a saved state in the place of everything. A virtual clock goes to the saved time; the machine's stays.
pub(crate) fn load(hub: &Hub, saved: Saved) -> Result<(), Why> {
    if saved.version != VERSION {
        return Err(format!("this state has version {}, and this simulator reads version {VERSION}", saved.version));
    }
    if saved.phone_number_id != hub.config.phone_number_id
        || saved.business_account_id != hub.config.business_account_id
    {
        return Err(format!(
            "this state is of the number {} and the account {}",
            saved.phone_number_id, saved.business_account_id
        ));
    }
    saved.knobs.check()?;
    hub.courier.forget_everything();
    hub.log.clear();
    hub.clock.set(saved.now_ms);
    let mut messages = Messages::new(hub.config.keep_messages);
    messages.restore(saved.messages, saved.next_seq);
    {
        let mut world = hub.world();
        *world = World {
            people: saved.people,
            messages,
            knobs: saved.knobs,
            chance: saved.chance,
            counts: saved.counts,
            groups: saved.groups,
            templates: saved.templates,
            media: saved.media,
            account: saved.account,
            profile: saved.profile,
            throughput_free_us: 0,
            group_operations_ms: Vec::new(),
        };
        hub.courier.pause(world.knobs.webhooks_paused);
    }
    for (due_ms, update) in saved.waiting.updates {
        hub.courier.take(update, Some(due_ms));
    }
    for (due_ms, deed) in saved.waiting.deeds {
        // Never "at once": it was waiting, and is done by the agenda as soon as that is due.
        hub.courier.later(i64::MIN, due_ms, deed);
    }
    hub.tell(|| serde_json::json!({"kind": "reset"}));
    Ok(())
}
