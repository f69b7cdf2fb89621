//! The definitions of a broadcast's template: which one a person gets, and whether they differ from
//! the plan.

use crate::error::BroadcastError;
use crate::plan::Plan;
use beadle_gate::broadcast::BroadcastMessage;
use beadle_gate::{Facts, TemplateFacts, templates};
use beadle_gatekeeper::Gatekeeper;
use beadle_model::{ConversationView, Outgoing, Purpose, TemplateDefinition, Timestamp};
use beadle_store::{KnownTemplates, Reader, StoreError};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The definitions of a broadcast's template.
pub(crate) struct Templates {
    /// `None`: the account's templates are not known, so that the platform decides.
    pub(crate) known: Option<Vec<TemplateDefinition>>,
    /// The language to use if the recipient's does not exist.
    default: Option<String>,
    name: Option<String>,
}

impl Templates {
    pub(crate) fn read(
        reader: &Reader,
        gatekeeper: &Gatekeeper,
        channel: &str,
        message: &BroadcastMessage,
    ) -> Result<Self, StoreError> {
        let name = message.template_name().map(str::to_owned);
        let known = match name.as_deref().map(|name| reader.templates_named(channel, name)).transpose()? {
            Some(KnownTemplates::Known(definitions)) => Some(definitions),
            Some(KnownTemplates::Unknown) | None => None,
        };
        Ok(Self { known, default: gatekeeper.template_language(), name })
    }

    /// The language in which a person gets it: that of the template, else that of the text.
    pub(crate) fn language(&self, message: &BroadcastMessage, to: &ConversationView) -> String {
        let own = to.contact.language.as_deref().or(self.default.as_deref()).unwrap_or("en");
        if message.template_name().is_none() {
            return message.text_language(own).unwrap_or_default().to_owned();
        }
        let wanted = message.template_language().unwrap_or(own);
        let chosen = self.known.as_ref().and_then(|known| templates::choose(known, wanted, self.default.as_deref()));
        chosen.map_or_else(|| wanted.to_owned(), |definition| definition.language.clone())
    }

    /// The message for a person in a language, as it would be sent now, and the definition of its
    /// template: the text if the window is open, else the template.
    ///
    /// # Errors
    /// The code of the refusal.
    pub(crate) fn prepare(
        &self,
        message: &BroadcastMessage,
        to: &ConversationView,
        (language, values): (&str, &[String]),
        now: Timestamp,
    ) -> Result<(Outgoing, TemplateFacts), &'static str> {
        let is_open = Facts::new(to, now).has_open_window();
        if let (true, Some(text)) = (is_open, message.text(language, values)) {
            return Ok((text, TemplateFacts::Unknown));
        }
        let definition = self.known.as_ref().and_then(|known| known.iter().find(|one| one.language == language));
        let facts = match (definition, &self.known) {
            (Some(definition), _) => TemplateFacts::Defined(Box::new(definition.clone())),
            (None, Some(known)) => TemplateFacts::Missing {
                languages: known.iter().map(|definition| definition.language.clone()).collect(),
            },
            (None, None) => TemplateFacts::Unknown,
        };
        // Without a template the gate refuses the text, after what it checks before the window.
        let body = message.template(language, values).or_else(|| message.text(language, values));
        let body = body.ok_or("window-closed")?;
        Ok((body, facts))
    }

    /// The hash of each language's definition.
    pub(crate) fn fingerprints(&self) -> BTreeMap<String, String> {
        self.known.iter().flatten().map(|known| (known.language.clone(), fingerprint(known))).collect()
    }

    /// The quality of each language.
    pub(crate) fn quality(&self) -> BTreeMap<String, String> {
        let quality = |known: &TemplateDefinition| Some((known.language.clone(), known.quality.clone()?));
        self.known.iter().flatten().filter_map(quality).collect()
    }

    /// The template's name.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The message of an error if the platform categorised the template as marketing and the
    /// purpose is another.
    pub(crate) fn category_mismatch(&self, purpose: &Purpose) -> Option<String> {
        let marketing = self.known.iter().flatten().find(|known| known.category.eq_ignore_ascii_case("marketing"))?;
        (!purpose.is_marketing()).then(|| {
            format!(
                "WhatsApp categorises the template `{}` in `{}` as marketing, so `purpose` must be `marketing` or \
                 `marketing:TOPIC`, not `{purpose}`",
                marketing.name, marketing.language
            )
        })
    }
}

fn fingerprint(definition: &TemplateDefinition) -> String {
    let mut hash = Sha256::new();
    hash.update(&definition.category);
    hash.update([u8::from(definition.is_named)]);
    // It was parsed from JSON.
    hash.update(serde_json::to_vec(&definition.components).unwrap_or_default());
    beadle_model::text::hex(&hash.finalize()[..]).chars().take(32).collect()
}

/// Why the template differs from the plan; `None` if it does not.
pub(crate) fn changed_template(now: &Templates, plan: &Plan, name: &str) -> Option<BroadcastError> {
    let (fingerprints, quality) = (now.fingerprints(), now.quality());
    let remedy = format!("`beadle broadcasts plan {name}` accepts the present one");
    for (language, fingerprint) in &plan.templates {
        if fingerprints.get(language) != Some(fingerprint) {
            return Some(BroadcastError::TemplateChanged(format!(
                "the template `{}` in `{language}` has changed since the broadcast was planned; {remedy}",
                now.name()
            )));
        }
    }
    for language in plan.templates.keys() {
        let is_red = |quality: &BTreeMap<String, String>| {
            quality.get(language).is_some_and(|quality| quality.eq_ignore_ascii_case("red"))
        };
        if is_red(&quality) && !is_red(&plan.quality) {
            return Some(BroadcastError::Quality(format!(
                "the quality of the template `{}` in `{language}` has fallen to red; {remedy} and its quality",
                now.name()
            )));
        }
    }
    None
}
