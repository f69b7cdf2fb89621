//! The bodies of `POST /{number}/messages` (whatsapp.md 2.1 and 2.2), borrowed from what is to be sent.
//!
//! Buttons, sections and rows are written as the model writes them: it has the platform's names for their parts, and the
//! tests compare with Meta's own examples.

mod rich;

use beadle_model::outgoing::{Button, Header, Section};
use beadle_model::{AliasKind, Outgoing};
use beadle_pipeline::SendRequest;
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Message(Message<'a>),
    Status(Status<'a>),
}

/// A message or a reaction.
#[derive(Serialize)]
struct Message<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    #[serde(flatten)]
    to: To<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Quote<'a>>,
    #[serde(flatten)]
    kind: Whole<'a>,
    #[serde(flatten)]
    direct: Option<DirectSend<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    biz_opaque_callback_data: &'a str,
}

/// What makes a message one that is written first without a template (whatsapp.md 2.3).
#[derive(Clone, Copy, Serialize)]
struct DirectSend<'a> {
    category: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_send_config: Option<DirectSendConfig<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct DirectSendConfig<'a> {
    template_name: &'a str,
}

/// A read mark, with "typing…" or without. It names a message of theirs and so needs no recipient.
#[derive(Serialize)]
struct Status<'a> {
    messaging_product: &'static str,
    status: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing_indicator: Option<Typing>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum To<'a> {
    /// A telephone number or a group.
    To(Cow<'a, str>),
    /// A business-scoped user id; in `to` it would be dropped (whatsapp.md 6).
    Recipient(&'a str),
}

#[derive(Serialize)]
struct Quote<'a> {
    message_id: &'a str,
}

/// What is sent a thousand times a second is borrowed; the rest is a tree, since it is seldom and has many forms.
#[derive(Serialize)]
#[serde(untagged)]
enum Whole<'a> {
    Plain(Kind<'a>),
    Rich(Map<String, Value>),
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
enum Kind<'a> {
    Text { text: Text<'a> },
    Reaction { reaction: Reaction<'a> },
    Interactive { interactive: Interactive<'a> },
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
    preview_url: bool,
}

#[derive(Serialize)]
struct Reaction<'a> {
    message_id: &'a str,
    emoji: &'a str,
}

#[derive(Serialize)]
struct Typing {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Interactive<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Value>,
    body: Line<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Line<'a>>,
    action: Action<'a>,
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Action<'a> {
    Buttons { buttons: Vec<ReplyButton<'a>> },
    List { button: &'a str, sections: &'a [Section] },
}

#[derive(Serialize)]
struct ReplyButton<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    reply: &'a Button,
}

/// The request's body as JSON. `uploaded`: the platform's id of the message's file, where it has one that is here.
pub(crate) fn write(shipment: &SendRequest, uploaded: Option<&str>) -> Vec<u8> {
    let said = match &shipment.body {
        Outgoing::Direct(direct) => &direct.message,
        other => other,
    };
    let body = match said {
        Outgoing::Text { body, preview_url, quote } => {
            message(shipment, quote, Kind::Text { text: Text { body, preview_url: *preview_url } })
        }
        Outgoing::Buttons { header, body, footer, buttons, quote } => {
            let buttons = buttons.iter().map(|reply| ReplyButton { kind: "reply", reply }).collect();
            let header = header.as_ref().map(|header| rich::header(header, uploaded));
            interactive(shipment, quote, "button", (header, body, footer), Action::Buttons { buttons })
        }
        Outgoing::List { header, body, footer, button, sections, quote } => {
            let header = header.clone().map(|text| rich::header(&Header::Text(text), None));
            interactive(shipment, quote, "list", (header, body, footer), Action::List { button, sections })
        }
        Outgoing::Reaction { to, emoji } => {
            message(shipment, &None, Kind::Reaction { reaction: Reaction { message_id: to, emoji } })
        }
        Outgoing::MarkRead { message } => status(message, None),
        Outgoing::Typing { to } => status(to, Some(Typing { kind: "text" })),
        other => {
            let (kind, object) = rich::object(other, uploaded);
            let mut parts = Map::new();
            parts.insert("type".to_owned(), kind.into());
            parts.insert(kind.to_owned(), object);
            envelope(shipment, other.quote(), Whole::Rich(parts))
        }
    };
    // Texts and flags under fixed names: nothing in it can fail to be written.
    serde_json::to_vec(&body).unwrap_or_default()
}

fn message<'a>(shipment: &'a SendRequest, quote: &'a Option<String>, kind: Kind<'a>) -> Body<'a> {
    envelope(shipment, quote.as_deref(), Whole::Plain(kind))
}

fn envelope<'a>(shipment: &'a SendRequest, quote: Option<&'a str>, kind: Whole<'a>) -> Body<'a> {
    let (recipient_type, to) = match &shipment.group {
        Some(group) => ("group", To::To(Cow::Borrowed(group))),
        None => ("individual", individual(&shipment.to.value, shipment.to.kind)),
    };
    Body::Message(Message {
        messaging_product: "whatsapp",
        recipient_type,
        to,
        context: quote.map(|message_id| Quote { message_id }),
        kind,
        direct: direct_send(&shipment.body),
        biz_opaque_callback_data: &shipment.callback,
    })
}

fn direct_send(body: &Outgoing) -> Option<DirectSend<'_>> {
    let Outgoing::Direct(direct) = body else { return None };
    let config = direct.template_name.as_deref().map(|template_name| DirectSendConfig { template_name });
    Some(DirectSend { category: &direct.category, direct_send_config: config })
}

/// A number gets its `+`: without it the platform may take its first digits for something else and put the country code
/// of the business before it (whatsapp.md 2.1).
fn individual(value: &str, kind: AliasKind) -> To<'_> {
    match kind {
        AliasKind::UserId | AliasKind::ParentUserId => To::Recipient(value),
        AliasKind::Phone | AliasKind::WaId if value.bytes().all(|byte| byte.is_ascii_digit()) => {
            To::To(Cow::Owned(format!("+{value}")))
        }
        AliasKind::Phone | AliasKind::WaId => To::To(Cow::Borrowed(value)),
    }
}

fn interactive<'a>(
    shipment: &'a SendRequest,
    quote: &'a Option<String>,
    kind: &'static str,
    (header, body, footer): (Option<Value>, &'a str, &'a Option<String>),
    action: Action<'a>,
) -> Body<'a> {
    let interactive = Interactive {
        kind,
        header,
        body: Line { text: body },
        footer: footer.as_deref().map(|text| Line { text }),
        action,
    };
    message(shipment, quote, Kind::Interactive { interactive })
}

fn status<'a>(message_id: &'a str, typing_indicator: Option<Typing>) -> Body<'a> {
    Body::Status(Status { messaging_product: "whatsapp", status: "read", message_id, typing_indicator })
}
