//! Edits contacts and records consent when a person asks for it, and says what it heard about
//! consent.
//!
//! Scenarios install it to check the capabilities `contacts-edit` and `consents` and the event
//! `on-consent-changed` in the real daemon. Not installed anywhere.

use beadle_plugin::prelude::*;

#[derive(Default)]
struct Clerk;

/// What the code of a refusal, or success, is called in a reply.
fn outcome(result: Result<(), Refusal>) -> String {
    result.map_or_else(|refusal| refusal.code, |()| "done".to_owned())
}

impl OnMessage for Clerk {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        let (id, mut words) = (event.sender.id.as_str(), text.split(' '));
        let reply = match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            ("tag", tag) => outcome(contacts_edit::add_tags(id, [tag])),
            ("attributes", json) => outcome(contacts_edit::set_attributes(id, &Json(json))),
            ("role", role) => outcome(contacts_edit::set_role(id, role)),
            ("agree", purpose) => outcome(consents::record_grant(id, purpose, "whatsapp", Some("news"), None)),
            ("claim", purpose) => outcome(consents::record_grant(id, purpose, "paper", Some("news"), None)),
            ("asked", purpose) => consents::look_up(id, purpose)?.state,
            ("me", _) => {
                let me = contacts::get(id)?.unwrap_or_else(|| event.sender.clone());
                format!("{} {} {}", me.role, me.tags.join("+"), me.attributes)
            }
            ("admin", _) if !event.sender.is_admin() => "only admins".to_owned(),
            ("admin", _) => format!("{} admins", contacts::admins()?.len()),
            _ => return Ok(Disposition::Pass),
        };
        event.reply(reply)?;
        Ok(Disposition::Claimed)
    }
}

impl OnConsentChanged for Clerk {
    fn on_consent_changed(&self, event: ConsentChangedEvent) -> Result<Disposition, Failure> {
        log::info(format!("{} {} by {}", event.purpose, event.change, event.actor));
        state::set(&event.contact, "heard", &format!("{} {}", event.purpose, event.change))?;
        Ok(Disposition::Pass)
    }
}

/// Serialises as the JSON that it contains.
struct Json<'a>(&'a str);

impl serde::Serialize for Json<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(self.0).unwrap_or_default();
        value.serialize(to)
    }
}

plugin!(Clerk: OnMessage, OnConsentChanged);
