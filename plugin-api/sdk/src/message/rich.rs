//! Constructors of the other messages. All fields are public; set those without a method on the
//! record.

use super::{
    Buttons, ContactRequest, CtaUrl, Direct, DirectMessage, LocationMessage, LocationRequest, MediaKind, MediaMessage,
    Parameter, ParameterValue, Source, Template, TemplateAction, TemplateButton, TemplateCard, TemplateHeader, Text,
    VoiceCall,
};
use crate::types::Location;

impl Source {
    /// `https://…` is fetched by the platform, `med_…` is a file of this Beadle.
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

    /// A picture: JPEG or PNG, at most 5 MB.
    pub fn image(source: impl Into<String>) -> Self {
        Self::new(MediaKind::Image, source)
    }

    /// A video: MP4 or 3GP, at most 16 MB.
    pub fn video(source: impl Into<String>) -> Self {
        Self::new(MediaKind::Video, source)
    }

    /// Audio, at most 16 MB.
    pub fn audio(source: impl Into<String>) -> Self {
        Self::new(MediaKind::Audio, source)
    }

    /// A document with the name to show.
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

    /// Sets the caption, at most 1024 characters.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    /// Quotes a message.
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

    /// Sets name and address.
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
    /// The value of the next variable.
    pub fn text(text: impl Into<String>) -> Self {
        Self { name: None, value: ParameterValue::Text(text.into()) }
    }

    /// The value of a named variable.
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
            topic: None,
            header: None,
            body: Vec::new(),
            buttons: Vec::new(),
            cards: Vec::new(),
            quote: None,
        }
    }

    /// An approved template in the recipient's language, or in the operator's where it does not
    /// exist in theirs.
    pub fn in_their_language(name: impl Into<String>) -> Self {
        Self::new(name, "")
    }

    /// Sets the topic of a marketing template, such as `offers`.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Adds a card to the carousel: its picture (`https://…`) and the values of its text's
    /// variables.
    #[must_use]
    pub fn card(mut self, image: impl Into<String>, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let header = TemplateHeader::Image(Source::new(image));
        let body = texts.into_iter().map(Parameter::text).collect();
        self.cards.push(TemplateCard { header, body, buttons: Vec::new() });
        self
    }

    /// Sets the category, for a host that does not know the account's templates.
    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.category = Some(category.into());
        self
    }

    /// Adds the value of the next variable of the text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.body.push(Parameter::text(text));
        self
    }

    /// Adds the value of a named variable of the text.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.body.push(Parameter::named(name, text));
        self
    }

    /// Sets the picture above: `https://…` or `med_…`.
    #[must_use]
    pub fn image(mut self, source: impl Into<String>) -> Self {
        self.header = Some(TemplateHeader::Image(Source::new(source)));
        self
    }

    /// Sets the payload of a quick-reply button (counted from 0).
    #[must_use]
    pub fn reply(mut self, index: u32, payload: impl Into<String>) -> Self {
        self.buttons.push(TemplateButton { index, action: TemplateAction::Reply(payload.into()) });
        self
    }

    /// Sets the variable end of a button's address (buttons are counted from 0).
    #[must_use]
    pub fn url(mut self, index: u32, end: impl Into<String>) -> Self {
        self.buttons.push(TemplateButton { index, action: TemplateAction::Url(end.into()) });
        self
    }
}

impl VoiceCall {
    /// A body of 1 to 1024 characters with a button of 1 to 20 that calls the business. It works
    /// for a week.
    pub fn new(body: impl Into<String>, title: impl Into<String>) -> Self {
        const WEEK: u32 = 7 * 24 * 60;
        Self { body: body.into(), title: title.into(), ttl_minutes: WEEK }
    }
}

impl Direct {
    /// A utility message: a text, [`Buttons`], a [`CtaUrl`] or a [`VoiceCall`].
    pub fn utility(message: impl Into<DirectMessage>) -> Self {
        Self { category: "utility".to_owned(), template_name: None, message: message.into() }
    }

    /// A login code, as a text.
    pub fn authentication(text: impl Into<String>) -> Self {
        let message = DirectMessage::Text(Text::new(text));
        Self { category: "authentication".to_owned(), template_name: None, message }
    }

    /// Sets the template name under which the platform counts it (`a-z`, `0-9`, `_`).
    #[must_use]
    pub fn named(mut self, template: impl Into<String>) -> Self {
        self.template_name = Some(template.into());
        self
    }
}

macro_rules! direct {
    ($($kind:ident: $from:ty, |$value:ident| $message:expr;)*) => {
        $(impl From<$from> for DirectMessage {
            fn from($value: $from) -> Self {
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
