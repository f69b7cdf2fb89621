//! What a person sent, as API 0.1.0 tells it.

use super::types as wit;
use beadle_model::Content;
use beadle_model::content::{Choice, Location, Media, Order};

/// A file whose handle is not known yet was never appended; no plugin can meet one.
const NO_HANDLE: &str = "";

pub fn said(content: &Content) -> wit::Content {
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
        Content::Location(place) => wit::Content::Location(location(place)),
        Content::Contacts(cards) => wit::Content::Contacts(cards.to_string()),
        Content::Order(basket) => wit::Content::Order(order(basket)),
        Content::Flow(answer) => wit::Content::Flow(answer.clone()),
        Content::CallPermission { granted, until } => wit::Content::CallPermission(wit::CallPermission {
            granted: *granted,
            until: until.map(beadle_model::Timestamp::as_ms),
        }),
        Content::Edited { original, text, json } => {
            wit::Content::Edited(wit::Edited { original: original.clone(), text: text.clone(), json: json.to_string() })
        }
        Content::Deleted { original } => wit::Content::Deleted(original.clone()),
        Content::Unsupported(what) => wit::Content::Unsupported(what.clone()),
        Content::Other { kind, json } => wit::Content::Other(wit::Other { kind: kind.clone(), json: json.to_string() }),
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

fn location(place: &Location) -> wit::Location {
    wit::Location {
        latitude: place.latitude,
        longitude: place.longitude,
        name: place.name.clone(),
        address: place.address.clone(),
    }
}

fn order(order: &Order) -> wit::Order {
    let item = |item: &beadle_model::content::OrderItem| wit::OrderItem {
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
