//! An event or a message in one line of a table.

use super::thin::cut_at;
use beadle_model::content::Media;
use beadle_model::event::RequestOutcome;
use beadle_model::outgoing::GroupChange;
use beadle_model::{Content, EventBody, Outgoing};

/// Longer texts are cut; `show` prints all of them.
const LONGEST: usize = 200;

/// An event in one line, cut.
pub fn event(body: &EventBody) -> String {
    cut(&whole_event(body))
}

/// An event as text, however long.
pub fn whole_event(body: &EventBody) -> String {
    match body {
        EventBody::Message { content, .. } => content_line(content),
        EventBody::Reaction { message, emoji: Some(emoji), .. } => format!("{emoji} to {message}"),
        EventBody::Reaction { message, emoji: None, .. } => format!("removed the reaction to {message}"),
        EventBody::MemberJoined { reason, again: false } => reason.clone(),
        EventBody::MemberJoined { reason, again: true } => format!("{reason}, again"),
        EventBody::MemberLeft { reason } => reason.clone(),
        EventBody::Timer { key, due_at, .. } => format!("{key}, due {}", due_at.utc()),
        EventBody::Schedule { schedule, planned_at, .. } => format!("{schedule}, planned for {}", planned_at.utc()),
        EventBody::WindowExpiring { closes_at, .. } => format!("closes at {}", closes_at.utc()),
        EventBody::WindowClosed { closed_at } => format!("closed at {}", closed_at.utc()),
        EventBody::DocumentsChanged { changed, removed, .. } => {
            format!("{} changed, {} removed", changed.len(), removed.len())
        }
        EventBody::MessageStatus { message, status, problem, .. } => match problem {
            Some(problem) => format!("{message} {status}: {}", problem.title),
            None => format!("{message} {status}"),
        },
        EventBody::JoinRequest { request, revoked: false, .. } => format!("asks to join ({request})"),
        EventBody::JoinRequest { request, revoked: true, .. } => format!("withdrew the request to join ({request})"),
        EventBody::ChannelChanged(news) => {
            let subject = news.subject.as_ref().map(|subject| format!(" {subject}")).unwrap_or_default();
            format!("{}{subject}: {}", news.change, news.state)
        }
        EventBody::ContactChanged { change, merged: Some(merged), .. } => {
            format!("{change}: merged {}", merged.contact)
        }
        EventBody::ContactChanged { change, .. } => change.clone(),
        EventBody::ConsentChanged { purpose, act, source, .. } => {
            format!("{purpose} {} ({})", act.name(), source.name())
        }
        EventBody::EraseContact(person) => format!("erases {}", person.contact),
        EventBody::GroupChanged(news) => match &news.problem {
            Some(problem) => format!("{}: {}", news.change, problem.title),
            None => news.change.clone(),
        },
        EventBody::Echo { content, .. } => format!("from the phone: {}", content_line(content)),
        EventBody::Webhook { hook, body, .. } => format!("{hook}, {} bytes", body.as_bytes().len()),
        EventBody::Response { request, outcome: RequestOutcome::Answered { status, body, .. }, .. } => {
            format!("{request}: {status}, {} bytes", body.as_bytes().len())
        }
        EventBody::Response { request, outcome: RequestOutcome::GivenUp { code, .. }, .. } => {
            format!("{request}: {code}")
        }
        EventBody::Unrouted { kind, .. } => kind.clone(),
    }
}

fn content_line(content: &Content) -> String {
    match content {
        Content::Text(body) => body.clone(),
        Content::Button(choice) | Content::TemplateButton(choice) => format!("[{}] ({})", choice.title, choice.id),
        Content::ListRow(choice) => format!("[{}] ({})", choice.title, choice.id),
        Content::Image(media) => file_line("image", media),
        Content::Video(media) => file_line("video", media),
        Content::Audio(media) if media.voice => file_line("voice", media),
        Content::Audio(media) => file_line("audio", media),
        Content::Document(media) => file_line("document", media),
        Content::Sticker(media) => file_line("sticker", media),
        Content::Location(location) => match &location.name {
            Some(name) => format!("(location) {name}"),
            None => format!("(location) {}, {}", location.latitude, location.longitude),
        },
        Content::Contacts(_) => "(contacts)".into(),
        Content::Order(order) => format!("(order) {} products", order.items.len()),
        Content::Flow(_) => "(flow)".into(),
        Content::CallPermission { granted, .. } => format!("(call permission: {granted})"),
        Content::Edited { original, text, .. } => {
            format!("edited {original}: {}", text.as_deref().unwrap_or_default())
        }
        Content::Deleted { original } => format!("deleted {original}"),
        Content::Unsupported(kind) => format!("(unsupported: {})", kind.as_deref().unwrap_or("unknown")),
        Content::Other { kind, .. } => format!("({kind})"),
    }
}

fn file_line(kind: &str, media: &Media) -> String {
    let label = media.caption.as_deref().or(media.filename.as_deref()).unwrap_or(&media.mime_type);
    format!("({kind}) {label}")
}

/// A message in one line, cut.
pub fn outgoing(body: &Outgoing) -> String {
    cut(&whole_outgoing(body))
}

/// A message as text, however long.
pub fn whole_outgoing(body: &Outgoing) -> String {
    match body {
        Outgoing::Text { body, .. } => body.clone(),
        Outgoing::Buttons { body, buttons, .. } => {
            let titles: Vec<_> = buttons.iter().map(|button| format!("[{}]", button.title)).collect();
            format!("{body} {}", titles.join(" "))
        }
        Outgoing::List { body, button, .. } => format!("{body} [{button} ▾]"),
        Outgoing::Reaction { to, emoji } if emoji.is_empty() => format!("removes the reaction to {to}"),
        Outgoing::Reaction { to, emoji } => format!("{emoji} to {to}"),
        Outgoing::MarkRead { message } => format!("read mark for {message}"),
        Outgoing::Typing { .. } => "typing…".into(),
        Outgoing::Media { media, caption, filename, .. } => {
            let label = caption.as_deref().or(filename.as_deref()).unwrap_or_default();
            format!("({}) {label}", media.name())
        }
        Outgoing::Location { location, .. } => format!("(location) {}, {}", location.latitude, location.longitude),
        Outgoing::Contacts { .. } => "(contacts)".into(),
        Outgoing::CtaUrl { body, title, .. } => format!("{body} [{title} ↗]"),
        Outgoing::LocationRequest { body, .. }
        | Outgoing::ContactRequest { body, .. }
        | Outgoing::ProductList { body, .. }
        | Outgoing::Catalog { body, .. } => body.clone(),
        Outgoing::Flow(form) => format!("{} [{}]", form.body, form.button),
        Outgoing::Product { product, .. } => format!("(product) {product}"),
        Outgoing::Interactive { json, .. } => {
            format!("({})", json.get("type").and_then(serde_json::Value::as_str).unwrap_or("interactive"))
        }
        Outgoing::Template(template) => format!("(template) {} {}", template.name, template.language),
        Outgoing::Direct(direct) => format!("(direct, {}) {}", direct.category, whole_outgoing(&direct.message)),
        Outgoing::VoiceCall { body, title, .. } => format!("{body} [{title} ☏]"),
        Outgoing::Pin { message, days: Some(days) } => format!("pins {message} for {days} days"),
        Outgoing::Pin { message, days: None } => format!("unpins {message}"),
        Outgoing::Group(change) => group_line(change),
    }
}

fn group_line(change: &GroupChange) -> String {
    match change {
        GroupChange::Create { subject, .. } => format!("creates the group {subject}"),
        GroupChange::Settings { .. } => "changes the group's subject or description".into(),
        GroupChange::Picture { media } => format!("changes the group's picture to {media}"),
        GroupChange::Delete => "deletes the group".into(),
        GroupChange::InviteLink { reset: false } => "requests the invite link".into(),
        GroupChange::InviteLink { reset: true } => "resets the invite link".into(),
        GroupChange::Answer { requests, approve: true } => format!("approves {}", requests.join(", ")),
        GroupChange::Answer { requests, approve: false } => format!("rejects {}", requests.join(", ")),
        GroupChange::Remove { contacts } => {
            let people: Vec<_> = contacts.iter().map(ToString::to_string).collect();
            format!("removes {}", people.join(", "))
        }
        GroupChange::Refresh => "requests the group's details".into(),
    }
}

fn cut(text: &str) -> String {
    cut_at(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let body = Outgoing::Text { body: "é".repeat(300), preview_url: false, quote: None };
        assert_eq!(outgoing(&body), format!("{}…", "é".repeat(200)));
        let left = EventBody::MemberLeft { reason: "stop".into() };
        assert_eq!(event(&left), "stop");
    }
}
