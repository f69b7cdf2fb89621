//! What `replies` and `messages` share: a message becomes a wish, once the gate has looked at it.

use super::{HostState, No};
use crate::abi::latest::outgoing as wit;
use beadle_gate::{Draft, Facts, Verdict};
use beadle_model::content::{Button, Row, Section};
use beadle_model::effect::SendWish;
use beadle_model::{ConversationView, Outgoing};

impl HostState {
    /// Writes a send down and returns the id that it will have. The gate's "later" is no "no": it will wait its turn.
    pub(super) fn send(&mut self, to: &ConversationView, body: Outgoing, reply: bool) -> Result<String, No> {
        beadle_gate::lengths::check(&body)?;
        let facts = Facts { conversation: to, now: self.senses.now() };
        if let Verdict::Refused(refusal) = beadle_gate::check(&Draft { body: &body, host: false }, &facts) {
            return Err(refusal.into());
        }
        // Looked at before an id is taken: a flood is to use up none.
        self.effect()?;
        let message = (self.facts.reserve)();
        self.effect()?.sends.push(SendWish { conversation: to.id, body, message, reply });
        Ok(message.to_string())
    }
}

impl From<wit::Text> for Outgoing {
    fn from(text: wit::Text) -> Self {
        Outgoing::Text { body: text.body, preview_url: text.preview_url, quote: text.quote }
    }
}

impl From<wit::Buttons> for Outgoing {
    fn from(message: wit::Buttons) -> Self {
        let buttons = message.buttons.into_iter().map(|button| Button { id: button.id, title: button.title }).collect();
        Outgoing::Buttons {
            header: message.header,
            body: message.body,
            footer: message.footer,
            buttons,
            quote: message.quote,
        }
    }
}

impl From<wit::List> for Outgoing {
    fn from(message: wit::List) -> Self {
        let row = |row: wit::Row| Row { id: row.id, title: row.title, description: row.description };
        let section = |section: wit::Section| {
            let rows = section.rows.into_iter().map(row).collect();
            Section { title: section.title, rows }
        };
        Outgoing::List {
            header: message.header,
            body: message.body,
            footer: message.footer,
            button: message.button,
            sections: message.sections.into_iter().map(section).collect(),
            quote: message.quote,
        }
    }
}
