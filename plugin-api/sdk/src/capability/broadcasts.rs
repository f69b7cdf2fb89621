//! One message to many people, each of whom gets it at most once. Must be granted.
//!
//! ```ignore
//! let broadcast = Broadcast::new("digest-48", "marketing:news", Audience::Members)
//!     .text("en", "The digest is out.")
//!     .template(TemplateUse::new("digest").variable("Week 48"));
//! broadcasts::create(&broadcast.into())?;
//! broadcasts::start("digest-48")?;
//! ```
//!
//! Beadle plans and sends it in the background, after the handler has returned `ok`. The gate
//! excludes people, live messages keep half of the throughput, and a large broadcast waits for the
//! operator's approval.

use crate::host;
use crate::types::Refusal;

/// The definition of a broadcast, and its progress.
pub use crate::bindings::imports::broadcasts::{
    Attachment, Audience, ButtonValue, Definition, Header, Localized, Progress, TemplateUse, Variable,
};

/// Creates a draft. Refused with `broadcast-exists` if the plugin already has a broadcast with this
/// name.
pub fn create(broadcast: &Definition) -> Result<(), Refusal> {
    host::broadcasts::create(broadcast)
}

/// Plans and sends a broadcast.
pub fn start(name: &str) -> Result<(), Refusal> {
    host::broadcasts::start(name)
}

/// Pauses a broadcast. Only the operator can resume it.
pub fn pause(name: &str) -> Result<(), Refusal> {
    host::broadcasts::pause(name)
}

/// Ends a broadcast. It cannot be resumed.
pub fn stop(name: &str) -> Result<(), Refusal> {
    host::broadcasts::stop(name)
}

/// The progress of a broadcast; `None` if the plugin has none with this name.
pub fn status(name: &str) -> Result<Option<Progress>, Refusal> {
    host::broadcasts::status(name)
}

/// The state of one person's message; `None` if they are not a recipient.
pub fn recipient(name: &str, contact: &str) -> Result<Option<String>, Refusal> {
    host::broadcasts::recipient(name, contact)
}

impl Definition {
    /// A broadcast without a message.
    pub fn new(name: impl Into<String>, purpose: impl Into<String>, audience: Audience) -> Self {
        Self {
            name: name.into(),
            channel: None,
            purpose: purpose.into(),
            audience,
            texts: Vec::new(),
            attachment: None,
            template: None,
            expires_at: None,
        }
    }

    /// Adds a text for people whose window is open; an empty language is for everyone.
    #[must_use]
    pub fn text(mut self, language: impl Into<String>, text: impl Into<String>) -> Self {
        self.texts.push(Localized { language: language.into(), text: text.into() });
        self
    }

    /// Sets the template for people whose window is closed.
    #[must_use]
    pub fn template(mut self, template: TemplateUse) -> Self {
        self.template = Some(template);
        self
    }

    /// Sets when the message loses its meaning: nothing is sent from then on.
    #[must_use]
    pub fn expires_at(mut self, time_ms: i64) -> Self {
        self.expires_at = Some(time_ms);
        self
    }
}

impl TemplateUse {
    /// A template in the language of each recipient.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), language: None, variables: Vec::new(), header: None, buttons: Vec::new() }
    }

    /// Sets the header: the variable of a text header, or a file.
    #[must_use]
    pub fn header(mut self, header: Header) -> Self {
        self.header = Some(header);
        self
    }

    /// Sets the value of the button with this index, from 0.
    #[must_use]
    pub fn button(mut self, index: u32, value: ButtonValue) -> Self {
        self.buttons.push((index, value));
        self
    }

    /// Adds the next variable, the same for everyone.
    #[must_use]
    pub fn variable(self, text: impl Into<String>) -> Self {
        self.localized_variable([(String::new(), text.into())])
    }

    /// Adds the next variable, by language.
    #[must_use]
    pub fn localized_variable(mut self, texts: impl IntoIterator<Item = (String, String)>) -> Self {
        let texts = texts.into_iter().map(|(language, text)| Localized { language, text }).collect();
        self.variables.push(Variable { name: None, texts });
        self
    }
}
