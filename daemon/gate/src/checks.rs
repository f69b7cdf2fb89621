//! The rules in their order, and the two ways to apply them: for a verdict and for an explanation.
//!
//! Both use one table, so that `beadle why` explains what was done.

use beadle_model::{AliasKind, ConversationView, Outgoing, Refusal, Timestamp};

/// How long before its end a window counts as closed for sending: a request may take 15 seconds
/// (the channel's timeout), the platform's time stamps are whole seconds, and clocks differ. It is
/// not documented to which side the last second belongs (`docs/whatsapp.md#windows`).
pub const WINDOW_MARGIN_MS: i64 = 30_000;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The message.
    pub body: &'a Outgoing,
    /// Whether it is Beadle's own reply to a reserved word, the last message after STOP.
    pub host: bool,
}

/// The facts that rules depend on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The destination as it is now.
    pub conversation: &'a ConversationView,
    /// Civil time.
    pub now: Timestamp,
}

/// A rule, in the order of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The channel can reach the recipient.
    Recipient,
    /// The recipient has not opted out.
    OptOut,
    /// The recipient has not turned off marketing on the platform.
    Marketing,
    /// The destination accepts this kind of message.
    Kind,
    /// The 24-hour window is open.
    Window,
    /// The pair rate ([`crate::pace::PairRate`]).
    PairRate,
    /// The throughput ([`crate::pace::Throughput`]).
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

/// What the gate says about a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateVerdict {
    /// Send it.
    Send,
    /// Not yet, because of this rule.
    Later {
        /// The earliest time; check again then.
        until: Timestamp,
        /// The rule.
        rule: Rule,
    },
    /// Refused.
    Refused(Refusal),
}

/// The result of one rule, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// The rule.
    pub rule: Rule,
    /// Whether it refuses; the first refusal decides.
    pub refuses: bool,
    /// The reason as a sentence.
    pub reason: String,
}

/// The result of a rule. A pass is formatted only for [`trace`].
enum RuleResult {
    Pass(&'static str, Option<Timestamp>),
    Refuse(Refusal),
}

type RuleFn = fn(&Draft<'_>, &Facts<'_>) -> RuleResult;

/// The rules of [`check`] in their order.
const RULES: [(Rule, RuleFn); 5] = [
    (Rule::Recipient, recipient),
    (Rule::OptOut, opt_out),
    (Rule::Marketing, marketing),
    (Rule::Kind, kind),
    (Rule::Window, window),
];

/// Checks a draft against all rules; the first refusal decides.
pub fn check(draft: &Draft<'_>, facts: &Facts<'_>) -> GateVerdict {
    RULES
        .iter()
        .find_map(|(_, rule_fn)| match rule_fn(draft, facts) {
            RuleResult::Pass(..) => None,
            RuleResult::Refuse(refusal) => Some(GateVerdict::Refused(refusal)),
        })
        .unwrap_or(GateVerdict::Send)
}

/// The result of every rule of [`check`] in order, including those after a refusal.
pub fn trace(draft: &Draft<'_>, facts: &Facts<'_>) -> Vec<TraceStep> {
    RULES
        .iter()
        .map(|(rule, rule_fn)| match rule_fn(draft, facts) {
            RuleResult::Pass(reason, None) => TraceStep { rule: *rule, refuses: false, reason: reason.into() },
            RuleResult::Pass(reason, Some(at)) => {
                TraceStep { rule: *rule, refuses: false, reason: format!("{reason} {}", at.utc()) }
            }
            RuleResult::Refuse(refusal) => TraceStep { rule: *rule, refuses: true, reason: refusal.message },
        })
        .collect()
}

fn recipient(_: &Draft<'_>, facts: &Facts<'_>) -> RuleResult {
    let conversation = facts.conversation;
    if conversation.group.is_some() {
        return RuleResult::Pass("the destination is a group", None);
    }
    match &conversation.address {
        Some(address) if !address.value.is_empty() => RuleResult::Pass("the channel can reach the recipient", None),
        _ => RuleResult::Refuse(
            Refusal::new(
                "no-recipient",
                format!("Channel `{}` has no number or id for this contact.", conversation.channel),
            )
            .instead("Write in a conversation that the contact started."),
        ),
    }
}

/// After STOP nothing is sent: no message, no reaction, no typing indicator. Read marks remain, as
/// a sign that the STOP was read. Groups are not affected, because one member's opt-out must not
/// silence a group.
fn opt_out(draft: &Draft<'_>, facts: &Facts<'_>) -> RuleResult {
    let Some(since) = facts.conversation.contact.opted_out_since else {
        return RuleResult::Pass("the recipient accepts messages", None);
    };
    if facts.conversation.group.is_some() {
        return RuleResult::Pass("a group is not affected by an opt-out, since", Some(since));
    }
    if draft.host {
        return RuleResult::Pass("Beadle's own reply is sent despite the opt-out, since", Some(since));
    }
    if let Outgoing::MarkRead { .. } = draft.body {
        return RuleResult::Pass("a read mark is sent despite the opt-out, since", Some(since));
    }
    RuleResult::Refuse(
        Refusal::new("opted-out", format!("The recipient has opted out of all messages since {}.", since.utc()))
            .instead("Do not write to them until they send START."),
    )
}

/// Marketing to someone who turned it off on the platform counts against the number (error 131050,
/// `docs/whatsapp.md#templates`). Only the sender knows whether a template is marketing.
fn marketing(draft: &Draft<'_>, facts: &Facts<'_>) -> RuleResult {
    let Outgoing::Template(template) = draft.body else {
        return RuleResult::Pass("not a template, so not marketing", None);
    };
    match facts.conversation.contact.marketing_stopped_since {
        Some(since) if template.category.as_deref() == Some("marketing") => RuleResult::Refuse(
            Refusal::new(
                "marketing-opted-out",
                format!("The recipient turned off marketing messages on WhatsApp at {}.", since.utc()),
            )
            .instead("Only the recipient can turn them on again, in WhatsApp."),
        ),
        Some(since) => RuleResult::Pass("not marked as marketing, which is turned off since", Some(since)),
        None => RuleResult::Pass("the recipient has not turned off marketing", None),
    }
}

/// Groups accept texts, files, templates and pins, but nothing to tap and no login codes
/// (`docs/whatsapp.md#groups`). Changes of a group need a group; login codes need a phone number.
fn kind(draft: &Draft<'_>, facts: &Facts<'_>) -> RuleResult {
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
            RuleResult::Refuse(
                Refusal::new("unsupported-in-groups", "WhatsApp does not allow buttons, lists and forms in groups.")
                    .instead("Send a text and ask for an answer in words."),
            )
        }
        Outgoing::Location { .. } | Outgoing::Contacts { .. } | Outgoing::Reaction { .. } | Outgoing::Direct(_)
            if is_group =>
        {
            RuleResult::Refuse(
                Refusal::new(
                    "unsupported-in-groups",
                    "WhatsApp allows only texts, files, templates and pins in groups.",
                )
                .instead("Send a text."),
            )
        }
        body if is_group && is_login_code(body) => RuleResult::Refuse(Refusal::new(
            "unsupported-in-groups",
            "WhatsApp does not allow authentication templates in groups.",
        )),
        body if is_login_code(body) && !has_number(facts) => RuleResult::Refuse(
            Refusal::new(
                "phone-number-required",
                "Authentication messages need a phone number, and this contact's number is hidden.",
            )
            .instead("Ask for the number first."),
        ),
        Outgoing::Pin { .. } | Outgoing::Group(_) if !is_group => {
            RuleResult::Refuse(Refusal::new("groups-only", "Pins and group changes need a group."))
        }
        _ => RuleResult::Pass("the destination accepts this kind of message", None),
    }
}

/// Whether it is a login code. Only the sender knows the purpose of a template.
fn is_login_code(body: &Outgoing) -> bool {
    match body {
        Outgoing::Template(template) => template.category.as_deref() == Some("authentication"),
        Outgoing::Direct(direct) => direct.category == "authentication",
        _ => false,
    }
}

/// Whether the channel reaches the contact by a phone number, not a user id.
fn has_number(facts: &Facts<'_>) -> bool {
    let address = facts.conversation.address.as_ref();
    address.is_some_and(|address| matches!(address.kind, AliasKind::Phone | AliasKind::WaId))
}

/// Messages and reactions need an open window; read marks and typing indicators do not
/// (`docs/whatsapp.md#windows`).
fn window(draft: &Draft<'_>, facts: &Facts<'_>) -> RuleResult {
    match draft.body {
        Outgoing::MarkRead { .. } | Outgoing::Typing { .. } => {
            return RuleResult::Pass("read marks and typing indicators need no open window", None);
        }
        Outgoing::Template(_) => return RuleResult::Pass("a template needs no open window", None),
        Outgoing::Direct(_) => return RuleResult::Pass("Direct Send needs no open window", None),
        Outgoing::Group(_) | Outgoing::Pin { .. } => {
            return RuleResult::Pass("a change of a group needs no open window", None);
        }
        _ => {}
    }
    let refusal = match facts.conversation.window_until {
        Some(until) if facts.now < until.plus_ms(-WINDOW_MARGIN_MS) => {
            return RuleResult::Pass("the window is open until", Some(until));
        }
        Some(until) if facts.now < until => {
            format!("The 24-hour window closes at {}; nothing is sent in its last 30 seconds.", until.utc())
        }
        Some(until) => format!("The 24-hour window closed at {}.", until.utc()),
        None => "The recipient has not written yet, so no 24-hour window is open.".to_owned(),
    };
    RuleResult::Refuse(
        Refusal::new("window-closed", refusal)
            .instead("Send an approved template, or wait until the recipient writes again."),
    )
}

#[cfg(test)]
mod tests;
