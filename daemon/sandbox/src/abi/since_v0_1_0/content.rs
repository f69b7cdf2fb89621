//! The content of messages as types of contract 0.1.0.

use super::events::Encoder;
use crate::bindings::latest::types as wit;
use beadle_model::content::{Choice, Location, Media, Order, OrderItem};
use beadle_model::{Content, Timestamp};

/// The store assigns a handle to every file when it appends the event, so no plugin gets this.
const NO_HANDLE: &str = "";

impl Encoder<'_> {
    /// Cards, forms and orders are what the person sent on purpose. They are not redacted.
    pub(super) fn content(&self, content: &Content) -> wit::Content {
        match content {
            Content::Text(body) => wit::Content::Text(body.clone()),
            Content::Button(tapped) => wit::Content::Button(choice(tapped)),
            Content::ListRow(chosen) => wit::Content::ListRow(choice(chosen)),
            Content::TemplateButton(tapped) => wit::Content::TemplateButton(choice(tapped)),
            Content::Image(file) => wit::Content::Image(media(file)),
            Content::Video(file) => wit::Content::Video(media(file)),
            Content::Audio(file) => wit::Content::Audio(media(file)),
            Content::Document(file) => wit::Content::Document(media(file)),
            Content::Sticker(file) => wit::Content::Sticker(media(file)),
            Content::Location(shared) => wit::Content::Location(location(shared)),
            Content::Contacts(cards) => wit::Content::Contacts(cards.to_string()),
            Content::Order(basket) => wit::Content::Order(order(basket)),
            Content::Flow(answer) => wit::Content::Flow(answer.clone()),
            Content::CallPermission { granted, until } => wit::Content::CallPermission(wit::CallPermission {
                granted: *granted,
                until: until.map(Timestamp::as_ms),
            }),
            Content::Edited { original, text, json } => wit::Content::Edited(wit::Edited {
                original: self.message_handle(original),
                text: text.clone(),
                json: self.json(json),
            }),
            Content::Deleted { original } => wit::Content::Deleted(self.message_handle(original)),
            Content::Unsupported(kind) => wit::Content::Unsupported(kind.clone()),
            Content::Other { kind, json } => {
                wit::Content::Other(wit::Other { kind: kind.clone(), json: self.json(json) })
            }
        }
    }
}

fn choice(choice: &Choice) -> wit::Choice {
    wit::Choice { id: choice.id.clone(), title: choice.title.clone(), description: choice.description.clone() }
}

fn media(file: &Media) -> wit::Media {
    wit::Media {
        id: file.handle.map_or_else(|| NO_HANDLE.to_owned(), |handle| handle.to_string()),
        mime_type: file.mime_type.clone(),
        sha256: file.sha256.clone(),
        caption: file.caption.clone(),
        filename: file.filename.clone(),
        voice: file.voice,
        animated: file.animated,
    }
}

fn location(location: &Location) -> wit::Location {
    wit::Location {
        latitude: location.latitude,
        longitude: location.longitude,
        name: location.name.clone(),
        address: location.address.clone(),
    }
}

fn order(order: &Order) -> wit::Order {
    let item = |item: &OrderItem| wit::OrderItem {
        product: item.product.clone(),
        quantity: item.quantity,
        price: item.price.clone(),
        currency: item.currency.clone(),
    };
    wit::Order {
        catalog: order.catalog.clone(),
        text: order.text.clone(),
        items: order.items.iter().map(item).collect(),
    }
}
