//! `broadcasts`: one message to many people, as effects. The task of `beadle-broadcast` plans and
//! sends them.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use crate::bindings::latest::broadcasts::{
    Attachment, Audience, ButtonValue, Definition, Header, Host, Localized, Progress, TemplateUse, Variable,
};
use beadle_gate::broadcast::BroadcastMessage;
use beadle_model::broadcast::{self, BroadcastDefinition, BroadcastFile, BroadcastTemplate, TemplateValues, Texts};
use beadle_model::effect::BroadcastWrite;
use beadle_model::outgoing::MediaKind;
use beadle_model::{ContactId, MediaId, RecipientState, Refusal, Timestamp};
use beadle_store::BroadcastRow;
use std::collections::BTreeMap;

/// The maximum number of contacts in a plugin's list; a larger audience needs a tag or a segment.
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
        _ => Some(Texts::ByLanguage(texts.into_iter().map(|localized| (localized.language, localized.text)).collect())),
    }
}

fn values(variables: Vec<Variable>) -> TemplateValues {
    let value = |localized: Vec<Localized>| texts(localized).unwrap_or(Texts::One(String::new()));
    if variables.iter().all(|variable| variable.name.is_none()) {
        return TemplateValues::Positional(variables.into_iter().map(|variable| value(variable.texts)).collect());
    }
    let named: BTreeMap<String, Texts> =
        variables.into_iter().map(|variable| (variable.name.unwrap_or_default(), value(variable.texts))).collect();
    TemplateValues::Named(named)
}

impl HostState {
    fn create_broadcast(&mut self, input: Definition) -> Result<(), HostError> {
        self.event()?;
        let channel = match input.channel {
            Some(channel) => channel,
            None => match self.facts.gatekeeper.channels().as_slice() {
                [only] => only.clone(),
                _ => return Err(invalid("The broadcast must name a channel, because there are several.").into()),
            },
        };
        self.check_channel(&channel)?;
        let audience = match input.audience {
            Audience::Everyone => beadle_model::Audience::Everyone,
            Audience::Members => beadle_model::Audience::Members,
            Audience::Tag(tag) => beadle_model::Audience::Tag(tag),
            Audience::Segment(name) => beadle_model::Audience::Segment(name),
            Audience::Contacts(ids) if ids.is_empty() || ids.len() > MAX_LISTED => {
                return Err(invalid(format!("A list must contain 1 to {MAX_LISTED} contacts.")).into());
            }
            Audience::Contacts(ids) => {
                let ids: Result<Vec<ContactId>, _> = ids.iter().map(|id| id.parse()).collect();
                beadle_model::Audience::Contacts(ids.map_err(bad_id)?)
            }
        };
        let file = input.attachment.map(|file| self.broadcast_file(file)).transpose()?;
        let template = input.template.map(|template| self.broadcast_template(template)).transpose()?;
        let expires = input.expires_at.map(Timestamp);
        if expires.is_some_and(|expires| expires <= self.inputs.now()) {
            return Err(invalid("`expires-at` must be in the future.").into());
        }
        let definition = BroadcastDefinition {
            name: input.name,
            channel,
            purpose: input.purpose.parse().map_err(|error| Refusal::new("unknown-purpose", format!("{error}.")))?,
            audience,
            template,
            text: texts(input.texts),
            file,
            expires,
        };
        definition.check().map_err(invalid)?;
        BroadcastMessage::new(&definition, None).map_err(invalid)?.check_limits()?;
        if self.own_broadcast(&definition.name)?.is_some() || self.creates(&definition.name) {
            let message = format!("The plugin already has a broadcast `{}`.", definition.name);
            return Err(Refusal::new("broadcast-exists", message).instead("Choose another name.").into());
        }
        let bytes = serde_json::to_vec(&definition).map_or(0, |json| json.len());
        self.effect(bytes)?.broadcasts.push(BroadcastWrite::Create(Box::new(definition)));
        Ok(())
    }

    fn broadcast_template(&self, template: TemplateUse) -> Result<BroadcastTemplate, HostError> {
        let (header, header_file) = match template.header {
            Some(Header::Text(variable)) => (values(vec![variable]), None),
            Some(Header::File(file)) => (TemplateValues::default(), Some(self.broadcast_file(file)?)),
            None => Default::default(),
        };
        let button = |(index, value): (u32, ButtonValue)| {
            let empty = broadcast::ButtonValue { index, url: None, code: None, reply: None };
            match value {
                ButtonValue::Url(url) => broadcast::ButtonValue { url: Some(url), ..empty },
                ButtonValue::Code(code) => broadcast::ButtonValue { code: Some(code), ..empty },
                ButtonValue::Reply(reply) => broadcast::ButtonValue { reply: Some(reply), ..empty },
            }
        };
        Ok(BroadcastTemplate {
            name: template.name,
            language: template.language,
            body: values(template.variables),
            header,
            header_file,
            buttons: template.buttons.into_iter().map(button).collect(),
        })
    }

    fn broadcast_file(&self, file: Attachment) -> Result<BroadcastFile, HostError> {
        let kind = match file.kind.as_str() {
            "image" => MediaKind::Image,
            "video" => MediaKind::Video,
            "audio" => MediaKind::Audio,
            "document" => MediaKind::Document,
            other => {
                return Err(invalid(format!(
                    "The kind of an attachment must be `image`, `video`, `audio` or `document`, not `{other}`."
                ))
                .into());
            }
        };
        if !file.source.starts_with("https://") {
            let id: MediaId = file.source.parse().map_err(bad_id)?;
            self.check_file(id)?;
        }
        Ok(BroadcastFile { kind, source: file.source, filename: file.filename })
    }

    /// Whether an earlier effect of this call creates it.
    fn creates(&self, name: &str) -> bool {
        let creates = |write: &BroadcastWrite| matches!(write, BroadcastWrite::Create(new) if new.name == name);
        self.task.effects.broadcasts.iter().any(creates)
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
            let total: u64 = counts.iter().filter(|row| states.contains(&row.state)).map(|row| row.recipients).sum();
            u32::try_from(total).unwrap_or(u32::MAX)
        };
        use RecipientState::{Delivered, Failed, Held, Planned, Queued, Read, Refused, Sent};
        let refused = counts
            .iter()
            .filter(|row| row.state == Refused)
            .map(|row| (row.code.clone().unwrap_or_default(), u32::try_from(row.recipients).unwrap_or(u32::MAX)));
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
        Ok(self.facts.reader.recipient(row.id, contact)?.map(|recipient| recipient.state.name().to_owned()))
    }
}
