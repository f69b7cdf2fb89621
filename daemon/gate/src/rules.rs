//! The rules in their order, and the two ways to ask them: for a verdict, and for the whole story.
//!
//! Both go over one table, so that what `beadle why` tells is what was done.

use beadle_model::{AliasKind, ConversationView, Outgoing, Refusal, Timestamp};

/// How long before the end of the 24 hours a window counts as closed for sending. A request may take 15 seconds until
/// the platform has it (the channel's time-out), the platform's time stamps are whole seconds, and two clocks differ a
/// little; it is also not documented to which side the last second belongs (whatsapp.md 5.1).
pub const WINDOW_MARGIN_MS: i64 = 30_000;

/// What is to leave.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The message.
    pub body: &'a Outgoing,
    /// Beadle's own answer to one of its words: the last thing that somebody who says STOP hears.
    pub host: bool,
}

/// What the rules know when they decide.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Where it goes, as it stands now.
    pub conversation: &'a ConversationView,
    /// Civil time.
    pub now: Timestamp,
}

/// A rule, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The channel can reach them.
    Recipient,
    /// They want messages.
    OptOut,
    /// They have not told the platform that they want no marketing.
    Marketing,
    /// A group takes it.
    Kind,
    /// Their 24-hour window is open.
    Window,
    /// Not too many to one contact ([`crate::pace::PairRate`]).
    PairRate,
    /// Not too many from one number ([`crate::pace::Throughput`]).
    Throughput,
}

impl Rule {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Recipient => "recipient",
            Rule::OptOut => "opt-out",
            Rule::Marketing => "marketing",
            Rule::Kind => "kind",
            Rule::Window => "window",
            Rule::PairRate => "pair-rate",
            Rule::Throughput => "throughput",
        }
    }
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go.
    Send,
    /// Not before then, because of this rule.
    Later {
        /// The earliest moment; ask again then.
        until: Timestamp,
        /// Which rule says so.
        rule: Rule,
    },
    /// No.
    Refused(Refusal),
}

/// What one rule says, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which rule.
    pub rule: Rule,
    /// It says no; the first that does decides.
    pub stops: bool,
    /// Its reason, in a sentence.
    pub says: String,
}

/// A rule's answer. A yes is cheap: it is formatted only for [`trace`].
enum Answer {
    Yes(&'static str, Option<Timestamp>),
    No(Refusal),
}

type Asked = fn(&Draft<'_>, &Facts<'_>) -> Answer;

/// The rules of [`check`] in their order.
const RULES: [(Rule, Asked); 5] = [
    (Rule::Recipient, recipient),
    (Rule::OptOut, opt_out),
    (Rule::Marketing, marketing),
    (Rule::Kind, kind),
    (Rule::Window, window),
];

/// May this leave now? Refusals have the codes `no-recipient`, `opted-out`, `marketing-opted-out`, `unsupported-in-groups`,
/// `phone-number-required`, `groups-only` and `window-closed`.
pub fn check(draft: &Draft<'_>, facts: &Facts<'_>) -> Verdict {
    RULES
        .iter()
        .find_map(|(_, ask)| match ask(draft, facts) {
            Answer::Yes(..) => None,
            Answer::No(refusal) => Some(Verdict::Refused(refusal)),
        })
        .unwrap_or(Verdict::Send)
}

/// What every rule of [`check`] says, in order, also behind the one that decided.
pub fn trace(draft: &Draft<'_>, facts: &Facts<'_>) -> Vec<Step> {
    RULES
        .iter()
        .map(|(rule, ask)| match ask(draft, facts) {
            Answer::Yes(says, None) => Step { rule: *rule, stops: false, says: says.into() },
            Answer::Yes(says, Some(at)) => Step { rule: *rule, stops: false, says: format!("{says} {at}") },
            Answer::No(refusal) => Step { rule: *rule, stops: true, says: refusal.message },
        })
        .collect()
}

fn recipient(_: &Draft<'_>, facts: &Facts<'_>) -> Answer {
    let conversation = facts.conversation;
    if conversation.group.is_some() {
        return Answer::Yes("goes to a group", None);
    }
    match &conversation.address {
        Some(address) if !address.value.is_empty() => Answer::Yes("the channel can reach them", None),
        _ => Answer::No(
            Refusal::new(
                "no-recipient",
                format!("No number or id is known by which channel `{}` reaches this person.", conversation.channel),
            )
            .instead("Write in a conversation that the person has begun."),
        ),
    }
}

/// STOP means silence: no message, no reaction, no "typing…". A read mark is none of these; it shows them that the STOP
/// was seen. A group is left by leaving it: what somebody said in private does not silence it for the others.
fn opt_out(draft: &Draft<'_>, facts: &Facts<'_>) -> Answer {
    let Some(since) = facts.conversation.contact.opted_out_since else {
        return Answer::Yes("they want messages", None);
    };
    if facts.conversation.group.is_some() {
        return Answer::Yes("a group; they want no messages of their own since", Some(since));
    }
    if draft.host {
        return Answer::Yes("Beadle's own answer to their word; they want no others since", Some(since));
    }
    if let Outgoing::MarkRead { .. } = draft.body {
        return Answer::Yes("a read mark is no message; they want none since", Some(since));
    }
    Answer::No(
        Refusal::new("opted-out", format!("They want no messages since {since}."))
            .instead("They hear from you again when they say START; do not write to them before."),
    )
}

/// Who told the platform to stop a business's marketing gets none of it, or each try counts against the number
/// (whatsapp.md 2.4, code 131050). What is marketing only who sends it can say.
fn marketing(draft: &Draft<'_>, facts: &Facts<'_>) -> Answer {
    let Outgoing::Template(template) = draft.body else { return Answer::Yes("no template, so no marketing", None) };
    match facts.conversation.contact.marketing_stopped_since {
        Some(since) if template.category.as_deref() == Some("marketing") => Answer::No(
            Refusal::new("marketing-opted-out", format!("They told WhatsApp to stop marketing messages at {since}."))
                .instead("Only they can turn it on again, in WhatsApp."),
        ),
        Some(since) => Answer::Yes("not marked as marketing; they want none since", Some(since)),
        None => Answer::Yes("they have not stopped marketing", None),
    }
}

/// What the platform's groups take: text, files, templates, pins; nothing that can be tapped, and no codes to log in
/// with (whatsapp.md 3.1). A change of a group is for a group, and those codes need a number (6).
fn kind(draft: &Draft<'_>, facts: &Facts<'_>) -> Answer {
    let is_group = facts.conversation.group.is_some();
    match draft.body {
        Outgoing::Buttons { .. }
        | Outgoing::List { .. }
        | Outgoing::CtaUrl { .. }
        | Outgoing::LocationRequest { .. }
        | Outgoing::ContactRequest { .. }
        | Outgoing::Flow(_)
        | Outgoing::Product { .. }
        | Outgoing::ProductList { .. }
        | Outgoing::Catalog { .. }
        | Outgoing::Interactive { .. }
        | Outgoing::VoiceCall { .. }
            if is_group =>
        {
            Answer::No(
                Refusal::new("unsupported-in-groups", "WhatsApp takes nothing that can be tapped in groups.")
                    .instead("Send a text, and let people answer in words."),
            )
        }
        Outgoing::Location { .. } | Outgoing::Contacts { .. } | Outgoing::Reaction { .. } | Outgoing::Direct(_)
            if is_group =>
        {
            Answer::No(
                Refusal::new(
                    "unsupported-in-groups",
                    "WhatsApp takes texts, files, templates and pins in groups, and no more.",
                )
                .instead("Say it in a text."),
            )
        }
        body if is_group && authenticates(body) => {
            Answer::No(Refusal::new("unsupported-in-groups", "WhatsApp takes no authentication templates in groups."))
        }
        body if authenticates(body) && !has_number(facts) => Answer::No(
            Refusal::new(
                "phone-number-required",
                "Authentication goes to telephone numbers only, and this person shows none.",
            )
            .instead("Ask for their number first."),
        ),
        Outgoing::Pin { .. } | Outgoing::Group(_) if !is_group => {
            Answer::No(Refusal::new("groups-only", "Only a group has pins and settings."))
        }
        _ => Answer::Yes("of a kind that goes there", None),
    }
}

/// A code to log in with. What a template is for only who sends it can say.
fn authenticates(body: &Outgoing) -> bool {
    match body {
        Outgoing::Template(template) => template.category.as_deref() == Some("authentication"),
        Outgoing::Direct(direct) => direct.category == "authentication",
        _ => false,
    }
}

/// The channel reaches them by a number, not by a user id.
fn has_number(facts: &Facts<'_>) -> bool {
    let address = facts.conversation.address.as_ref();
    address.is_some_and(|address| matches!(address.kind, AliasKind::Phone | AliasKind::WaId))
}

/// Messages need an open window, and reactions are messages (whatsapp.md 2.2); read marks and typing are not.
fn window(draft: &Draft<'_>, facts: &Facts<'_>) -> Answer {
    match draft.body {
        Outgoing::MarkRead { .. } | Outgoing::Typing { .. } => {
            return Answer::Yes("read marks and typing need no open window", None);
        }
        Outgoing::Template(_) => return Answer::Yes("a template needs no open window", None),
        Outgoing::Direct(_) => return Answer::Yes("Direct Send needs no open window", None),
        Outgoing::Group(_) | Outgoing::Pin { .. } => {
            return Answer::Yes("a change of a group needs no open window", None);
        }
        _ => {}
    }
    let refusal = match facts.conversation.window_until {
        Some(until) if facts.now < until.plus_ms(-WINDOW_MARGIN_MS) => {
            return Answer::Yes("open until", Some(until));
        }
        Some(until) if facts.now < until => {
            format!("The 24-hour window closes at {until}; the last 30 seconds are too close to its end to send.")
        }
        Some(until) => format!("The 24-hour window closed at {until}."),
        None => "They have not written yet, so no 24-hour window is open.".to_owned(),
    };
    Answer::No(
        Refusal::new("window-closed", refusal)
            .instead("Send an approved template, or wait until the person writes again: outside the window WhatsApp takes nothing else."),
    )
}

#[cfg(test)]
mod tests;
