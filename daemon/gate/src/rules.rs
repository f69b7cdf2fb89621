//! The rules in their order, and the two ways to ask them: for a verdict, and for the whole story.
//!
//! Both go over one table, so that what `beadle why` tells is what was done.

use beadle_model::{ConversationView, Outgoing, Refusal, Timestamp};

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
    /// Their 24-hour window is open.
    Window,
    /// Not too many to one contact ([`crate::pace::Pair`]).
    PairRate,
    /// Not too many from one number ([`crate::pace::Bucket`]).
    Throughput,
}

impl Rule {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Recipient => "recipient",
            Rule::OptOut => "opt-out",
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
const RULES: [(Rule, Asked); 3] = [(Rule::Recipient, recipient), (Rule::OptOut, opt_out), (Rule::Window, window)];

/// May this leave now? Refusals have the codes `no-recipient`, `opted-out` and `window-closed`.
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

/// Messages need an open window, and reactions are messages (whatsapp.md 2.2); read marks and typing are not.
fn window(draft: &Draft<'_>, facts: &Facts<'_>) -> Answer {
    if let Outgoing::MarkRead { .. } | Outgoing::Typing { .. } = draft.body {
        return Answer::Yes("read marks and typing need no open window", None);
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
            .instead("Wait until the person writes again: outside the window WhatsApp takes approved templates only."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{Alias, AliasKind, Contact, ContactId, ConversationId};

    const NOW: Timestamp = Timestamp(1_795_293_360_000);

    fn conversation() -> ConversationView {
        ConversationView {
            id: ConversationId(1),
            channel: "shop".into(),
            contact: Contact {
                id: ContactId(1),
                name: None,
                language: None,
                timezone: None,
                created_at: NOW,
                member_since: None,
                opted_out_since: None,
            },
            group: None,
            address: Some(Alias { kind: AliasKind::WaId, value: "16505551234".into() }),
            window_until: Some(NOW.plus_ms(3_600_000)),
        }
    }

    fn text() -> Outgoing {
        Outgoing::Text { body: "hello".into(), preview_url: false, quote: None }
    }

    fn reaction() -> Outgoing {
        Outgoing::Reaction { to: "wamid.1".into(), emoji: "👍".into() }
    }

    fn read() -> Outgoing {
        Outgoing::MarkRead { message: "wamid.1".into() }
    }

    fn typing() -> Outgoing {
        Outgoing::Typing { to: "wamid.1".into() }
    }

    /// `send`, or the code of the refusal; and the trace must tell the same.
    fn asked(body: &Outgoing, host: bool, conversation: &ConversationView) -> String {
        let (draft, facts) = (Draft { body, host }, Facts { conversation, now: NOW });
        let steps = trace(&draft, &facts);
        assert!(steps.is_sorted_by_key(|step| step.rule));
        let stopped = steps.into_iter().find(|step| step.stops);
        match check(&draft, &facts) {
            Verdict::Send => {
                assert_eq!(stopped, None);
                "send".into()
            }
            Verdict::Refused(refusal) => {
                assert_eq!(stopped.map(|step| step.says), Some(refusal.message));
                assert!(crate::CODES.contains(&refusal.code.as_str()));
                refusal.code
            }
            later @ Verdict::Later { .. } => unreachable!("no rule of check says {later:?}"),
        }
    }

    #[test]
    fn an_open_conversation_takes_everything() {
        for body in [text(), reaction(), read(), typing()] {
            assert_eq!(asked(&body, false, &conversation()), "send");
        }
    }

    #[test]
    fn the_window_is_closed_half_a_minute_before_its_end_and_for_messages_only() {
        let mut there = conversation();
        for (left_ms, says) in
            [(30_001, "send"), (30_000, "window-closed"), (0, "window-closed"), (-1, "window-closed")]
        {
            there.window_until = Some(NOW.plus_ms(left_ms));
            assert_eq!(asked(&text(), false, &there), says, "{left_ms}");
            assert_eq!(asked(&reaction(), false, &there), says, "{left_ms}");
            assert_eq!(asked(&text(), true, &there), says, "{left_ms}");
            assert_eq!(asked(&read(), false, &there), "send");
            assert_eq!(asked(&typing(), false, &there), "send");
        }
        there.window_until = None;
        assert_eq!(asked(&text(), false, &there), "window-closed");
    }

    #[test]
    fn stop_silences_all_but_its_own_answer_and_read_marks() {
        let mut there = conversation();
        there.contact.opted_out_since = Some(NOW);
        for (body, host, says) in [
            (text(), false, "opted-out"),
            (text(), true, "send"),
            (reaction(), false, "opted-out"),
            (typing(), false, "opted-out"),
            (read(), false, "send"),
        ] {
            assert_eq!(asked(&body, host, &there), says, "{body:?}");
        }
        there.group = Some("Y2FwaQZD".into());
        assert_eq!(asked(&text(), false, &there), "send");
    }

    #[test]
    fn the_first_no_decides() {
        let mut there = conversation();
        there.window_until = None;
        there.contact.opted_out_since = Some(NOW);
        assert_eq!(asked(&text(), false, &there), "opted-out");
        there.address = None;
        assert_eq!(asked(&text(), false, &there), "no-recipient");
        there.group = Some("Y2FwaQZD".into());
        assert_eq!(asked(&text(), false, &there), "window-closed");
    }

    #[test]
    fn a_refusal_tells_when_and_what_instead() {
        let mut there = conversation();
        there.window_until = Some(NOW);
        let verdict =
            check(&Draft { body: &text(), host: false }, &Facts { conversation: &there, now: NOW.plus_ms(1000) });
        let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
        assert_eq!(refusal.message, "The 24-hour window closed at 2026-11-21T20:36:00.000Z.");
        assert!(refusal.instead.is_some_and(|instead| instead.contains("template")));
    }
}
