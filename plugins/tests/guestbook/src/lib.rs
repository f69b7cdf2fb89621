//! Keeps what people write in state of its own, exports and erases it; and answers with a person's
//! number.
//!
//! Scenarios install it to check the export `privacy` and the capability `contacts-identity` in the
//! real daemon. `break` makes erasures fail until `mend`. Not installed anywhere.

use beadle_plugin::prelude::*;
use beadle_plugin::privacy::{Person, Privacy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Default)]
struct Guestbook;

/// What someone wrote.
#[derive(Deserialize, Serialize)]
struct Entry {
    contact: String,
    name: Option<String>,
    text: String,
}

fn entries() -> Result<Vec<Entry>, Refusal> {
    Ok(state::get(Scope::Plugin, "entries")?.unwrap_or_default())
}

impl OnMessage for Guestbook {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        if let Some(file) = event.media() {
            // Files are fetched while a plugin can read them.
            log::info(format!("a file: {}", media::info(&file.id)?.mime_type));
            return Ok(Disposition::Pass);
        }
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        let id = &event.sender.id;
        state::set(&event.sender, "last", &text)?;
        state::set(Scope::Conversation(event.conversation.id.clone()), "last", &text)?;
        timers::set(&event.sender, "remember", clock::now() + 3_600_000, text.as_bytes())?;
        let reply = match text.split_once(' ').unwrap_or((text, "")) {
            ("number", _) => {
                let number = contacts_identity::phone(id)?.unwrap_or_default();
                let found = contacts_identity::find(&format!("+{number}"))?;
                format!("{number} is {}", found.as_deref().unwrap_or("unknown"))
            }
            ("break" | "mend", _) => {
                state::set(Scope::Plugin, "broken", &(text == "break"))?;
                "noted".to_owned()
            }
            _ => {
                let mut all = entries()?;
                all.push(Entry { contact: id.clone(), name: event.sender.name.clone(), text: text.to_owned() });
                state::set(Scope::Plugin, "entries", &all)?;
                format!("written: {text}")
            }
        };
        event.reply(reply)?;
        Ok(Disposition::Claimed)
    }
}

impl OnTimer for Guestbook {
    fn on_timer(&self, _event: TimerEvent) -> Result<Disposition, Failure> {
        Ok(Disposition::Pass)
    }
}

impl Privacy for Guestbook {
    fn export_contact(&self, person: Person) -> Result<Value, Failure> {
        let texts: Vec<String> =
            entries()?.into_iter().filter(|entry| person.is(&entry.contact)).map(|entry| entry.text).collect();
        Ok(json!({ "written": texts }))
    }

    fn erase_contact(&self, person: Person) -> Result<(), Failure> {
        if state::get(Scope::Plugin, "broken")?.unwrap_or(false) {
            return Err(Failure::GiveUp("the guestbook is broken".to_owned()));
        }
        let mut all = entries()?;
        all.retain(|entry| !person.is(&entry.contact));
        state::set(Scope::Plugin, "entries", &all)?;
        log::info(format!("erased {}", person.contact));
        Ok(())
    }
}

plugin!(Guestbook: OnMessage, OnTimer, Privacy);
