//! What happened, and what is to leave, in one line for a table.

use beadle_model::{Content, EventBody, Outgoing};

/// Longer texts are cut: a line is for recognising something, the whole of it is one command away.
const LONGEST: usize = 200;

/// An event in a line.
pub fn event(body: &EventBody) -> String {
    let text = match body {
        EventBody::Message { content, .. } => content_line(content),
        EventBody::Reaction { message, emoji: Some(emoji), .. } => format!("{emoji} to {message}"),
        EventBody::Reaction { message, emoji: None, .. } => format!("took the reaction to {message} back"),
        EventBody::MemberJoined { reason, again: false } => format!("joined: {reason}"),
        EventBody::MemberJoined { reason, again: true } => format!("joined again: {reason}"),
        EventBody::MemberLeft { reason } => format!("left: {reason}"),
        EventBody::Timer { key, due_at, .. } => format!("{key}, due {due_at}"),
        EventBody::Schedule { schedule, planned_at, .. } => format!("{schedule}, planned for {planned_at}"),
        EventBody::WindowExpiring { closes_at, .. } => format!("closes at {closes_at}"),
        EventBody::WindowClosed { closed_at } => format!("closed at {closed_at}"),
        EventBody::DocumentsChanged { changed, removed, .. } => {
            format!("{} changed, {} removed", changed.len(), removed.len())
        }
        EventBody::MessageStatus { message, status, problem, .. } => match problem {
            Some(problem) => format!("{message} {status}: {}", problem.title),
            None => format!("{message} {status}"),
        },
        EventBody::Unrouted { kind, .. } => kind.clone(),
    };
    cut(&text)
}

fn content_line(content: &Content) -> String {
    match content {
        Content::Text(body) => body.clone(),
        Content::Button(choice) | Content::TemplateButton(choice) => format!("[{}] ({})", choice.title, choice.id),
        Content::ListRow(choice) => format!("[{}] ({})", choice.title, choice.id),
        Content::Other { kind, .. } => format!("({kind})"),
    }
}

/// A message in a line.
pub fn outgoing(body: &Outgoing) -> String {
    let text = match body {
        Outgoing::Text { body, .. } => body.clone(),
        Outgoing::Buttons { body, buttons, .. } => {
            let titles: Vec<_> = buttons.iter().map(|button| format!("[{}]", button.title)).collect();
            format!("{body} {}", titles.join(" "))
        }
        Outgoing::List { body, button, .. } => format!("{body} [{button} ▾]"),
        Outgoing::Reaction { to, emoji } if emoji.is_empty() => format!("takes the reaction to {to} back"),
        Outgoing::Reaction { to, emoji } => format!("{emoji} to {to}"),
        Outgoing::MarkRead { message } => format!("read mark for {message}"),
        Outgoing::Typing { .. } => "typing…".into(),
    };
    cut(&text)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let body = Outgoing::Text { body: "é".repeat(300), preview_url: false, quote: None };
        assert_eq!(outgoing(&body), format!("{}…", "é".repeat(200)));
        let left = EventBody::MemberLeft { reason: "stop".into() };
        assert_eq!(event(&left), "left: stop");
    }
}
