//! Messages to send: text, buttons and list here, all other kinds in `rich`. Lengths are
//! WhatsApp's, in characters; the host checks them and refuses with `too-long`, `too-many` or
//! `empty-field`.

use crate::bindings::imports::messages::Destination;
use crate::host::{messages, replies};
use crate::types::{MessageId, Refusal};

mod rich;

pub use crate::bindings::imports::outgoing::{
    Button, Buttons, Catalog, ContactRequest, ContactsMessage, CtaUrl, Direct, DirectMessage, File, Flow, Header,
    Interactive, List, LocationMessage, LocationRequest, MediaKind, MediaMessage, Parameter, ParameterValue, Product,
    ProductList, ProductSection, Row, Section, Source, Template, TemplateAction, TemplateButton, TemplateCard,
    TemplateHeader, Text, VoiceCall,
};

/// A message: a `&str`, `String`, [`Text`], [`Buttons`], [`List`], [`MediaMessage`], [`Template`],
/// ….
///
/// A trait and not an enum, so that a plugin's binary contains, and requests, only what it sends.
pub trait Message {
    /// Sends it in the conversation of the event that is being handled.
    fn reply(self) -> Result<MessageId, Refusal>;
    /// Sends it to a contact or a conversation.
    fn send_to(self, to: &Destination) -> Result<MessageId, Refusal>;
}

macro_rules! message {
    ($($record:ident by $send:ident;)*) => {
        $(impl Message for $record {
            fn reply(self) -> Result<MessageId, Refusal> {
                replies::$send(&self)
            }
            fn send_to(self, to: &Destination) -> Result<MessageId, Refusal> {
                messages::$send(to, &self)
            }
        })*
    };
}

message! {
    Text by send_text;
    Buttons by send_buttons;
    List by send_list;
    MediaMessage by send_media;
    LocationMessage by send_location;
    ContactsMessage by send_contacts;
    CtaUrl by send_cta_url;
    LocationRequest by send_location_request;
    ContactRequest by send_contact_request;
    Flow by send_flow;
    Product by send_product;
    ProductList by send_product_list;
    Catalog by send_catalog;
    Interactive by send_interactive;
    Template by send_template;
}

impl Message for &str {
    fn reply(self) -> Result<MessageId, Refusal> {
        Text::new(self).reply()
    }
    fn send_to(self, to: &Destination) -> Result<MessageId, Refusal> {
        Text::new(self).send_to(to)
    }
}

impl Message for String {
    fn reply(self) -> Result<MessageId, Refusal> {
        Text::new(self).reply()
    }
    fn send_to(self, to: &Destination) -> Result<MessageId, Refusal> {
        Text::new(self).send_to(to)
    }
}

impl Text {
    /// A text of 1 to 4096 characters, without preview or quote.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), preview_url: false, quote: None }
    }

    /// Shows a preview of the first link.
    #[must_use]
    pub fn preview(mut self) -> Self {
        self.preview_url = true;
        self
    }

    /// Quotes a message (`event.message`).
    #[must_use]
    pub fn quoting(mut self, message: impl Into<String>) -> Self {
        self.quote = Some(message.into());
        self
    }
}

impl Buttons {
    /// A body of 1 to 1024 characters; add 1 to 3 buttons.
    pub fn new(body: impl Into<String>) -> Self {
        Self { header: None, body: body.into(), footer: None, buttons: Vec::new(), quote: None }
    }

    /// Adds a button: an id of 1 to 256 characters, which is returned in
    /// [`Content::Button`](crate::Content::Button), and a title of 1 to 20.
    #[must_use]
    pub fn button(mut self, id: impl Into<String>, title: impl Into<String>) -> Self {
        self.buttons.push(Button { id: id.into(), title: title.into() });
        self
    }

    /// Sets the line above, at most 60 characters.
    #[must_use]
    pub fn header(mut self, header: impl Into<String>) -> Self {
        self.header = Some(Header::Text(header.into()));
        self
    }

    /// Sets the small line below, at most 60 characters.
    #[must_use]
    pub fn footer(mut self, footer: impl Into<String>) -> Self {
        self.footer = Some(footer.into());
        self
    }

    /// Quotes a message.
    #[must_use]
    pub fn quoting(mut self, message: impl Into<String>) -> Self {
        self.quote = Some(message.into());
        self
    }
}

impl List {
    /// A body of 1 to 4096 characters and the label of the button that opens the list, 1 to 20; add
    /// 1 to 10 rows.
    pub fn new(body: impl Into<String>, button: impl Into<String>) -> Self {
        Self { header: None, body: body.into(), footer: None, button: button.into(), sections: Vec::new(), quote: None }
    }

    /// Starts a section with a title of 1 to 24 characters. The rows that follow belong to it.
    #[must_use]
    pub fn section(mut self, title: impl Into<String>) -> Self {
        self.sections.push(Section { title: Some(title.into()), rows: Vec::new() });
        self
    }

    /// Adds a row: an id of 1 to 200 characters, which is returned in
    /// [`Content::ListRow`](crate::Content::ListRow), and a title of 1 to 24.
    #[must_use]
    pub fn row(self, id: impl Into<String>, title: impl Into<String>) -> Self {
        self.push(Row { id: id.into(), title: title.into(), description: None })
    }

    /// Adds a row with a description of at most 72 characters.
    #[must_use]
    pub fn described(self, id: impl Into<String>, title: impl Into<String>, description: impl Into<String>) -> Self {
        self.push(Row { id: id.into(), title: title.into(), description: Some(description.into()) })
    }

    fn push(mut self, row: Row) -> Self {
        match self.sections.last_mut() {
            Some(section) => section.rows.push(row),
            None => self.sections.push(Section { title: None, rows: vec![row] }),
        }
        self
    }

    /// Sets the line above, at most 60 characters.
    #[must_use]
    pub fn header(mut self, header: impl Into<String>) -> Self {
        self.header = Some(header.into());
        self
    }

    /// Sets the small line below, at most 60 characters.
    #[must_use]
    pub fn footer(mut self, footer: impl Into<String>) -> Self {
        self.footer = Some(footer.into());
        self
    }
}
