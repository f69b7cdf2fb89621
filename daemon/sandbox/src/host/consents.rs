//! `consents`: the ledger of what people agreed to. The evidence is not shown to plugins, because
//! it may contain a phone number.

use super::answer::{Answer, HostError, answer};
use super::host_state::HostState;
use crate::bindings::latest::consents::{Decision, Entry, Host};
use beadle_model::consent::rules::{ReportedConsent, plugin_actor};
use beadle_model::consent::{ConsentEntry, ConsentSource, Purpose};
use beadle_model::effect::ContactWrite;
use beadle_model::{Contact, EventBody, Refusal};

/// The maximum length of a plugin's evidence in bytes: a document's number, not the document.
const MAX_EVIDENCE: usize = 1000;

impl Host for HostState {
    async fn look_up(&mut self, contact: String, purpose: String) -> Answer<Decision> {
        self.enter()?;
        answer(self.consent_decision(&contact, &purpose))
    }

    async fn history(&mut self, contact: String) -> Answer<Vec<Entry>> {
        self.enter()?;
        answer(self.consent_history(&contact))
    }

    async fn record_grant(
        &mut self,
        contact: String,
        purpose: String,
        source: String,
        wording: Option<String>,
        evidence: Option<String>,
    ) -> Answer<()> {
        self.enter()?;
        answer(self.report_consent(&contact, &purpose, &source, (true, wording.as_deref(), evidence)))
    }

    async fn record_withdrawal(
        &mut self,
        contact: String,
        purpose: String,
        source: String,
        evidence: Option<String>,
    ) -> Answer<()> {
        self.enter()?;
        answer(self.report_consent(&contact, &purpose, &source, (false, None, evidence)))
    }
}

pub(super) fn purpose_of(text: &str) -> Result<Purpose, Refusal> {
    text.parse().map_err(|error| Refusal::new("unknown-purpose", format!("{error}.")))
}

fn entry_of(entry: ConsentEntry) -> Entry {
    let consent = entry.consent;
    Entry {
        purpose: consent.purpose.to_string(),
        act: consent.act.name().into(),
        source: consent.source.name().into(),
        wording_version: consent.wording.as_ref().map(|wording| wording.version),
        wording: consent.wording.map(|wording| wording.id),
        at: consent.at.as_ms(),
        recorded_at: entry.recorded_at.as_ms(),
        actor: consent.actor,
    }
}

impl HostState {
    fn consent_decision(&self, contact: &str, purpose: &str) -> Result<Decision, HostError> {
        let decision = self.known_contact(contact)?.consent_for(&purpose_of(purpose)?);
        Ok(Decision { state: decision.state.name().into(), since: decision.by.map(|mark| mark.at.as_ms()) })
    }

    fn consent_history(&self, contact: &str) -> Result<Vec<Entry>, HostError> {
        let contact = self.known_contact(contact)?;
        Ok(self.facts.reader.consents_of(contact.id)?.into_iter().map(entry_of).collect())
    }

    fn report_consent(
        &mut self,
        contact: &str,
        purpose: &str,
        source: &str,
        (granted, wording, evidence): (bool, Option<&str>, Option<String>),
    ) -> Result<(), HostError> {
        let contact = self.known_contact(contact)?;
        let purpose = purpose_of(purpose)?;
        let source = ConsentSource::named(source)
            .filter(|source| *source != ConsentSource::Operator)
            .ok_or_else(|| Refusal::new("unknown-source", format!("`{source}` is not a source of consent.")))?;
        if evidence.as_ref().is_some_and(|evidence| evidence.len() > MAX_EVIDENCE) {
            let message = format!("The evidence may have {MAX_EVIDENCE} bytes.");
            return Err(Refusal::new("too-long", message).into());
        }
        let evidence = match source {
            ConsentSource::Whatsapp => Some(self.own_message(&contact)?),
            _ => evidence,
        };
        let (actor, in_chat) = (plugin_actor(&self.facts.name), source == ConsentSource::Whatsapp);
        let now = self.inputs.now();
        // When they wrote it, however late it is handled: they may have withdrawn since.
        let at = if in_chat { Some(self.event()?.happened_at.min(now)) } else { None };
        let reported =
            ReportedConsent { purpose, granted, source, wording, in_chat, at, evidence, actor, confirmed: false };
        let planned = self.facts.people.consents.entry(&contact, reported, now)?;
        let bytes = planned.consent.evidence.as_ref().map_or(0, String::len);
        self.effect(bytes)?.contacts.push(ContactWrite::Consent(Box::new(planned)));
        Ok(())
    }

    /// The platform's id of the message that is being handled, if this contact sent it: the proof
    /// that they said it in the chat.
    fn own_message(&self, contact: &Contact) -> Result<String, Refusal> {
        let event = self.event()?;
        match &event.body {
            EventBody::Message { message, .. } if event.contact() == Some(contact.id) => Ok(message.clone()),
            _ => {
                let message = "The source `whatsapp` is for a message of this person, which the plugin handles.";
                Err(Refusal::new("not-their-message", message).instead("Name the source where they said it."))
            }
        }
    }
}
