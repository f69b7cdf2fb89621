//! How the longer messages are begun. Their fields are public: what has no method here is set on the record.

use super::{
    Buttons, ContactRequest, CtaUrl, Direct, DirectMessage, LocationMessage, LocationRequest, MediaKind, MediaMessage,
    Parameter, ParameterValue, Source, Template, TemplateAction, TemplateButton, TemplateHeader, Text, VoiceCall,
};
use crate::Location;

impl Source {
    /// `https://…` is fetched by the platform, `med_…` is a file here.
    pub fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        if source.starts_with("med_") { Source::Media(source) } else { Source::Link(source) }
    }
}

impl MediaMessage {
    /// A file: `https://…` or `med_…`.
    pub fn new(kind: MediaKind, source: impl Into<String>) -> Self {
        Self { kind, source: Source::new(source), caption: None, filename: None, voice: false, quote: None }
    }

    /// A picture: JPEG or PNG, 5 MB at most.
    pub fn image(source: impl Into<String>) -> Self {
        Self::new(MediaKind::Image, source)
    }

    /// A film: MP4 or 3GP, 16 MB at most.
    pub fn video(source: impl Into<String>) -> Self {
        Self::new(MediaKind::Video, source)
    }

    /// Sound, 16 MB at most.
    pub fn audio(source: impl Into<String>) -> Self {
        Self::new(MediaKind::Audio, source)
    }

    /// A document, with the name that people see.
    pub fn document(source: impl Into<String>, filename: impl Into<String>) -> Self {
        Self { filename: Some(filename.into()), ..Self::new(MediaKind::Document, source) }
    }

    /// A sticker: WebP.
    pub fn sticker(source: impl Into<String>) -> Self {
        Self::new(MediaKind::Sticker, source)
    }

    /// A voice message: OGG with Opus.
    pub fn voice(source: impl Into<String>) -> Self {
        Self { voice: true, ..Self::new(MediaKind::Audio, source) }
    }

    /// With these words, 1024 characters at most.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    /// Quoting this message, as the platform names it.
    #[must_use]
    pub fn quoting(mut self, message: impl Into<String>) -> Self {
        self.quote = Some(message.into());
        self
    }
}

impl LocationMessage {
    /// A location, in degrees of latitude and longitude.
    pub fn new(latitude: f64, longitude: f64) -> Self {
        let location = Location { latitude, longitude, name: None, address: None };
        Self { location, quote: None }
    }

    /// What it is called, and where it is in words.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, address: impl Into<String>) -> Self {
        (self.location.name, self.location.address) = (Some(name.into()), Some(address.into()));
        self
    }
}

impl CtaUrl {
    /// A body of 1 to 1024 characters with a button of 1 to 20 that opens an address.
    pub fn new(body: impl Into<String>, title: impl Into<String>, url: impl Into<String>) -> Self {
        let (body, title, url) = (body.into(), title.into(), url.into());
        Self { header: None, body, footer: None, title, url, quote: None }
    }
}

impl LocationRequest {
    /// A body of 1 to 1024 characters with a button that shares a location.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), quote: None }
    }
}

impl ContactRequest {
    /// A body of 1 to 1024 characters with a button that shares a phone number.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), quote: None }
    }
}

impl Parameter {
    /// Fills the next place.
    pub fn text(text: impl Into<String>) -> Self {
        Self { name: None, value: ParameterValue::Text(text.into()) }
    }

    /// Fills the place of this name.
    pub fn named(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: Some(name.into()), value: ParameterValue::Text(text.into()) }
    }
}

impl Template {
    /// An approved template by name and language (`en_US`).
    pub fn new(name: impl Into<String>, language: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            language: language.into(),
            category: None,
            header: None,
            body: Vec::new(),
            buttons: Vec::new(),
            quote: None,
        }
    }

    /// Its category, so that who wants no marketing gets none.
    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.category = Some(category.into());
        self
    }

    /// Fills the next place of its text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.body.push(Parameter::text(text));
        self
    }

    /// Fills the place of this name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.body.push(Parameter::named(name, text));
        self
    }

    /// A picture above: `https://…` or `med_…`.
    #[must_use]
    pub fn image(mut self, source: impl Into<String>) -> Self {
        self.header = Some(TemplateHeader::Image(Source::new(source)));
        self
    }

    /// What a quick-reply button (from 0) says when it is tapped.
    #[must_use]
    pub fn reply(mut self, index: u32, payload: impl Into<String>) -> Self {
        self.buttons.push(TemplateButton { index, action: TemplateAction::Reply(payload.into()) });
        self
    }

    /// The end of a link button's address.
    #[must_use]
    pub fn url(mut self, index: u32, end: impl Into<String>) -> Self {
        self.buttons.push(TemplateButton { index, action: TemplateAction::Url(end.into()) });
        self
    }
}

impl VoiceCall {
    /// A body of 1 to 1024 characters with a button of 1 to 20 by which they call the business, for a week.
    pub fn new(body: impl Into<String>, title: impl Into<String>) -> Self {
        const WEEK: u32 = 7 * 24 * 60;
        Self { body: body.into(), title: title.into(), ttl_minutes: WEEK }
    }
}

impl Direct {
    /// News of something that they wait for: a text, [`Buttons`], a [`CtaUrl`] or a [`VoiceCall`].
    pub fn utility(message: impl Into<DirectMessage>) -> Self {
        Self { category: "utility".to_owned(), template_name: None, message: message.into() }
    }

    /// A code to log in with, as a text.
    pub fn authentication(text: impl Into<String>) -> Self {
        let message = DirectMessage::Text(Text::new(text));
        Self { category: "authentication".to_owned(), template_name: None, message }
    }

    /// The platform counts it under this template name (`a-z`, `0-9`, `_`).
    #[must_use]
    pub fn named(mut self, template: impl Into<String>) -> Self {
        self.template_name = Some(template.into());
        self
    }
}

macro_rules! direct {
    ($($kind:ident: $from:ty, |$it:ident| $message:expr;)*) => {
        $(impl From<$from> for DirectMessage {
            fn from($it: $from) -> Self {
                DirectMessage::$kind($message)
            }
        })*
    };
}

direct! {
    Text: &str, |text| Text::new(text);
    Text: String, |text| Text::new(text);
    Text: Text, |text| text;
    Buttons: Buttons, |buttons| buttons;
    CtaUrl: CtaUrl, |link| link;
    VoiceCall: VoiceCall, |call| call;
}
