//! `broadcasts`: one message to many people, as effects. Planning and sending are the task's.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use crate::bindings::latest::broadcasts::{Attachment, Audience, Definition, Host, Localized, Progress, Variable};
use beadle_gate::broadcast::BroadcastMessage;
use beadle_model::broadcast::{BroadcastDefinition, BroadcastFile, BroadcastTemplate, TemplateValues, Texts};
use beadle_model::effect::BroadcastWrite;
use beadle_model::outgoing::MediaKind;
use beadle_model::{ContactId, MediaId, RecipientState, Refusal};
use beadle_store::BroadcastRow;
use std::collections::BTreeMap;

/// The most people in a plugin's list: more belong into a tag or a segment.
const MAX_LISTED: usize = 1000;

impl Host for HostState {
    async fn create(&mut self, broadcast: Definition) -> Answer<()> {
        self.enter()?;
        answer(self.create_broadcast(broadcast))
    }

    async fn start(&mut self, name: String) -> Answer<()> {
        self.enter()?;
        answer(self.command_broadcast(BroadcastWrite::Start(name)))
    }

    async fn pause(&mut self, name: String) -> Answer<()> {
        self.enter()?;
        answer(self.command_broadcast(BroadcastWrite::Pause(name)))
    }

    async fn stop(&mut self, name: String) -> Answer<()> {
        self.enter()?;
        answer(self.command_broadcast(BroadcastWrite::Stop(name)))
    }

    async fn status(&mut self, name: String) -> Answer<Option<Progress>> {
        self.enter()?;
        answer(self.broadcast_status(&name))
    }

    async fn recipient(&mut self, name: String, contact: String) -> Answer<Option<String>> {
        self.enter()?;
        answer(self.broadcast_recipient(&name, &contact))
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("broadcast-invalid", message)
}

fn texts(texts: Vec<Localized>) -> Option<Texts> {
    match texts.as_slice() {
        [] => None,
        [one] if one.language.is_empty() => Some(Texts::One(one.text.clone())),
        _ => Some(Texts::ByLanguage(texts.into_iter().map(|it| (it.language, it.text)).collect())),
    }
}

fn values(variables: Vec<Variable>) -> TemplateValues {
    let value = |it: Vec<Localized>| texts(it).unwrap_or(Texts::One(String::new()));
    if variables.iter().all(|it| it.name.is_none()) {
        return TemplateValues::Positional(variables.into_iter().map(|it| value(it.texts)).collect());
    }
    let named: BTreeMap<String, Texts> =
        variables.into_iter().map(|it| (it.name.unwrap_or_default(), value(it.texts))).collect();
    TemplateValues::Named(named)
}

impl HostState {
    fn create_broadcast(&mut self, given: Definition) -> Result<(), HostError> {
        self.event()?;
        let channel = match given.channel {
            Some(channel) => channel,
            None => match self.facts.gatekeeper.channels().as_slice() {
                [only] => only.clone(),
                _ => return Err(invalid("The broadcast needs a channel, because there are several.").into()),
            },
        };
        self.check_channel(&channel)?;
        let audience = match given.audience {
            Audience::Everyone => beadle_model::Audience::Everyone,
            Audience::Members => beadle_model::Audience::Members,
            Audience::Tag(tag) => beadle_model::Audience::Tag(tag),
            Audience::Segment(name) => beadle_model::Audience::Segment(name),
            Audience::Contacts(ids) if ids.is_empty() || ids.len() > MAX_LISTED => {
                return Err(invalid(format!("A list must have 1 to {MAX_LISTED} contacts.")).into());
            }
            Audience::Contacts(ids) => {
                let ids: Result<Vec<ContactId>, _> = ids.iter().map(|id| id.parse()).collect();
                beadle_model::Audience::Contacts(ids.map_err(bad_id)?)
            }
        };
        let file = given.attachment.map(|it| self.broadcast_file(it)).transpose()?;
        let template = match given.template {
            Some(it) => Some(BroadcastTemplate {
                name: it.name,
                language: it.language,
                body: values(it.variables),
                header_file: it.header.map(|it| self.broadcast_file(it)).transpose()?,
                ..BroadcastTemplate::default()
            }),
            None => None,
        };
        let definition = BroadcastDefinition {
            name: given.name,
            channel,
            purpose: given.purpose.parse().map_err(|error| Refusal::new("unknown-purpose", format!("{error}.")))?,
            audience,
            template,
            text: texts(given.texts),
            file,
        };
        definition.check_name().map_err(invalid)?;
        BroadcastMessage::new(&definition, None).map_err(invalid)?.check_limits()?;
        if self.own_broadcast(&definition.name)?.is_some() || self.creates(&definition.name) {
            let message = format!("The plugin has a broadcast `{}` already.", definition.name);
            return Err(Refusal::new("broadcast-exists", message).instead("Choose another name.").into());
        }
        // It can be written: texts, lists and numbers.
        let bytes = serde_json::to_vec(&definition).map_or(0, |json| json.len());
        self.effect(bytes)?.broadcasts.push(BroadcastWrite::Create(Box::new(definition)));
        Ok(())
    }

    fn broadcast_file(&self, it: Attachment) -> Result<BroadcastFile, HostError> {
        let kind = match it.kind.as_str() {
            "image" => MediaKind::Image,
            "video" => MediaKind::Video,
            "audio" => MediaKind::Audio,
            "document" => MediaKind::Document,
            other => return Err(invalid(format!("`{other}` is not a kind of attachment.")).into()),
        };
        if !it.source.starts_with("https://") {
            let file: MediaId = it.source.parse().map_err(bad_id)?;
            self.check_file(file)?;
        }
        Ok(BroadcastFile { kind, source: it.source, filename: it.filename })
    }

    /// Whether an earlier effect of this call creates it.
    fn creates(&self, name: &str) -> bool {
        let is_it = |write: &BroadcastWrite| matches!(write, BroadcastWrite::Create(it) if it.name == name);
        self.task.effects.broadcasts.iter().any(is_it)
    }

    fn own_broadcast(&self, name: &str) -> Result<Option<BroadcastRow>, HostError> {
        self.event()?;
        let rows = self.facts.reader.broadcasts_named(name)?;
        Ok(rows.into_iter().find(|row| row.plugin == self.facts.no))
    }

    fn command_broadcast(&mut self, write: BroadcastWrite) -> Result<(), HostError> {
        let name = write.name().to_owned();
        if self.own_broadcast(&name)?.is_none() && !self.creates(&name) {
            return Err(Refusal::new("broadcast-unknown", format!("The plugin has no broadcast `{name}`.")).into());
        }
        self.effect(name.len())?.broadcasts.push(write);
        Ok(())
    }

    fn broadcast_status(&self, name: &str) -> Result<Option<Progress>, HostError> {
        let Some(row) = self.own_broadcast(name)? else { return Ok(None) };
        let counts = self.facts.reader.recipient_counts(row.id)?;
        let sum = |states: &[RecipientState]| {
            let all: u64 = counts.iter().filter(|it| states.contains(&it.state)).map(|it| it.recipients).sum();
            u32::try_from(all).unwrap_or(u32::MAX)
        };
        use RecipientState::{Delivered, Failed, Held, Planned, Queued, Read, Refused, Sent};
        let refused = counts
            .iter()
            .filter(|it| it.state == Refused)
            .map(|it| (it.code.clone().unwrap_or_default(), u32::try_from(it.recipients).unwrap_or(u32::MAX)));
        Ok(Some(Progress {
            state: row.state.name().into(),
            problem: row.reason.map(|reason| reason.code),
            recipients: sum(&[Planned, Held, Queued, Sent, Delivered, Read, Failed]),
            waiting: sum(&[Planned, Held, Queued]),
            sent: sum(&[Sent, Delivered, Read]),
            delivered: sum(&[Delivered, Read]),
            read: sum(&[Read]),
            failed: sum(&[Failed]),
            refused: refused.collect(),
        }))
    }

    fn broadcast_recipient(&self, name: &str, contact: &str) -> Result<Option<String>, HostError> {
        let contact: ContactId = contact.parse().map_err(bad_id)?;
        let Some(row) = self.own_broadcast(name)? else { return Ok(None) };
        Ok(self.facts.reader.recipient(row.id, contact)?.map(|it| it.state.name().to_owned()))
    }
}
