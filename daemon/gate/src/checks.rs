//! The checks in their order. Each is a small pure function of the draft and the facts; all of them
//! use one table, so that a trace explains what was done.
//!
//! The first refusal decides. Without one, a message that a check defers waits for the latest time
//! of all such checks.

use crate::facts::{Category, Draft, Facts, StopSwitch, TemplateFacts};
use crate::templates;
use beadle_model::time::DAY_MS;
use beadle_model::{
    AliasKind, CheckOutcome, ConsentState, GateTrace, MessageId, Outgoing, Purpose, Refusal, Role, Timestamp, TraceStep,
};

/// While a switch stops sending, messages are checked again this often.
const STOP_RECHECK_MS: i64 = 60_000;

/// A message that waits for a cap is checked again at least this often. The outbox treats a time
/// that is much further away as set by a clock that was ahead.
const CAP_RECHECK_MS: i64 = DAY_MS;

/// A check, in the order of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The operator has not stopped sending, and the platform lets the number write first.
    StopSwitch,
    /// The channel has an address of the recipient, and WhatsApp can deliver to it.
    Recipient,
    /// The recipient has not been erased.
    Erased,
    /// The recipient is neither banned nor quarantined.
    ContactState,
    /// The recipient has agreed to messages of this purpose, and has not opted out.
    Consent,
    /// The recipient has not turned off marketing, and WhatsApp does not refuse marketing to them
    /// (131049) or to their country.
    Marketing,
    /// No colleague has taken over the conversation.
    Handover,
    /// The destination accepts this kind of message.
    Kind,
    /// The 24-hour window is open, or the message does not need it.
    Window,
    /// The template can be sent, and the message fits it.
    Template,
    /// The parameters of a utility template contain no advertising.
    Advertising,
    /// There are no quiet hours where the recipient lives.
    QuietHours,
    /// The recipient has received less marketing than the caps permit.
    FrequencyCap,
    /// There is budget for it.
    Budget,
    /// The messaging limit permits one more person.
    MessagingLimit,
    /// The pair rate ([`crate::pace::PairRate`]).
    PairRate,
    /// The throughput ([`crate::pace::Throughput`]).
    Throughput,
    /// No earlier message of the plugin with its key was sent or waits.
    AlreadySent,
}

impl Check {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Check::StopSwitch => "stop-switch",
            Check::Recipient => "recipient",
            Check::Erased => "erased",
            Check::ContactState => "contact-state",
            Check::Consent => "consent",
            Check::Marketing => "marketing",
            Check::Handover => "handover",
            Check::Kind => "kind",
            Check::Window => "window",
            Check::Template => "template",
            Check::Advertising => "advertising",
            Check::QuietHours => "quiet-hours",
            Check::FrequencyCap => "frequency-cap",
            Check::Budget => "budget",
            Check::MessagingLimit => "messaging-limit",
            Check::PairRate => "pair-rate",
            Check::Throughput => "throughput",
            Check::AlreadySent => "already-sent",
        }
    }
}

/// What the gate says about a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateVerdict {
    /// Send it.
    Send,
    /// Not yet.
    Later {
        /// The earliest time; check again then.
        until: Timestamp,
        /// The check that names it.
        check: Check,
    },
    /// The window is closed: only a template would pass.
    TemplateNeeded(Refusal),
    /// Refused.
    Refused(Refusal),
}

/// The result of a check.
enum CheckResult {
    /// Nothing is restricted, or it does not apply to this kind of message.
    Nothing,
    /// Passes for this reason, which ends in a time if there is one.
    Pass(&'static str, Option<Timestamp>),
    /// Passes, and says why.
    Note(String),
    Later(Timestamp, &'static str),
    Refuse(Refusal),
}

type CheckFn = fn(&Draft<'_>, &Facts<'_>) -> CheckResult;

const CHECKS: [(Check, CheckFn); 18] = [
    (Check::StopSwitch, stop_switch),
    (Check::Recipient, recipient),
    (Check::Erased, erased),
    (Check::ContactState, contact_state),
    (Check::Consent, consent),
    (Check::Marketing, marketing),
    (Check::Handover, handover),
    (Check::Kind, kind),
    (Check::Window, window),
    (Check::Template, template),
    (Check::Advertising, advertising),
    (Check::QuietHours, quiet_hours),
    (Check::FrequencyCap, frequency_cap),
    (Check::Budget, budget),
    (Check::MessagingLimit, messaging_limit),
    (Check::PairRate, pair_rate),
    (Check::Throughput, throughput),
    (Check::AlreadySent, sent_before),
];

/// Checks a draft. The first refusal decides; without one, the latest time of the checks that defer
/// it.
///
/// The trace has the result of every check that has something to say, in order, including those
/// after a refusal.
pub fn decide(draft: &Draft<'_>, facts: &Facts<'_>) -> (GateVerdict, GateTrace) {
    let mut refused: Option<GateVerdict> = None;
    let mut later: Option<(Timestamp, Check)> = None;
    let mut steps = Vec::new();
    for (check, check_fn) in CHECKS {
        let (outcome, reason, time) = match check_fn(draft, facts) {
            CheckResult::Nothing => continue,
            CheckResult::Pass(reason, time) => (CheckOutcome::Pass, reason.into(), time),
            CheckResult::Note(reason) => (CheckOutcome::Pass, reason.into(), None),
            CheckResult::Later(until, reason) => {
                if later.is_none_or(|(latest, _)| until > latest) {
                    later = Some((until, check));
                }
                (CheckOutcome::Later(until), reason.into(), Some(until))
            }
            CheckResult::Refuse(refusal) => {
                refused.get_or_insert_with(|| match check {
                    Check::Window => GateVerdict::TemplateNeeded(refusal.clone()),
                    _ => GateVerdict::Refused(refusal.clone()),
                });
                (CheckOutcome::Refused(refusal), "".into(), None)
            }
        };
        steps.push(TraceStep { check: check.name().into(), outcome, reason, time });
    }
    let deferred = || later.map_or(GateVerdict::Send, |(until, check)| GateVerdict::Later { until, check });
    let trace = GateTrace { at: facts.now, leaving: draft.message.is_some(), steps };
    (refused.unwrap_or_else(deferred), trace)
}

/// Beadle's own replies and read marks are sent while everything else is stopped, so that STOP is
/// confirmed.
fn stop_switch(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    let until = facts.now.plus_ms(STOP_RECHECK_MS);
    let circumstances = &facts.circumstances;
    match circumstances.stop {
        StopSwitch::All | StopSwitch::Marketing if draft.is_own_reply() => {
            return CheckResult::Pass("Beadle's own reply is sent although sending is stopped", None);
        }
        StopSwitch::All => return CheckResult::Later(until, "the operator has stopped sending; checked again at"),
        StopSwitch::Marketing if facts.is_marketing(draft) => {
            return CheckResult::Later(until, "the operator has stopped marketing; checked again at");
        }
        StopSwitch::Marketing | StopSwitch::Open => {}
    }
    match circumstances.outreach_held_until {
        Some(until) if until > facts.now && draft.body.is_outreach() => {
            CheckResult::Later(until, "WhatsApp refuses templates and Direct Send of this number (131048), until")
        }
        _ => CheckResult::Nothing,
    }
}

/// Refuses messages without an address. A template or Direct Send to a number to which WhatsApp
/// could not deliver (131026) would fail again, and failures count against the number.
fn recipient(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    let conversation = facts.conversation;
    if conversation.group.is_some() {
        return CheckResult::Pass("the destination is a group", None);
    }
    match &conversation.address {
        Some(address) if !address.value.is_empty() => match &facts.circumstances.unreachable {
            Some((at, code)) if draft.body.is_outreach() => CheckResult::Refuse(
                Refusal::new(
                    "unreachable",
                    format!("WhatsApp could not deliver a message to this recipient at {} ({code}).", at.utc()),
                )
                .instead("Wait until they write."),
            ),
            _ => CheckResult::Nothing,
        },
        _ => CheckResult::Refuse(
            Refusal::new(
                "no-recipient",
                format!("Channel `{}` has no number or id for this contact.", conversation.channel),
            )
            .instead("Write in a conversation that the contact started."),
        ),
    }
}

/// The last confirmation still goes to a person who is being erased.
fn erased(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match facts.circumstances.erased_at {
        Some(_) if draft.host => CheckResult::Pass("Beadle's own reply is sent while the data is erased", None),
        Some(at) => CheckResult::Refuse(Refusal::new("erased", format!("The recipient was erased at {}.", at.utc()))),
        None => CheckResult::Nothing,
    }
}

/// Refuses messages to banned people, and to those of whom no consent is known, except the
/// question for it.
fn contact_state(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    if facts.conversation.group.is_some() || draft.is_own_reply() {
        return CheckResult::Nothing;
    }
    let profile = facts.conversation.contact.profile();
    if profile.role == Role::Banned {
        return CheckResult::Refuse(
            Refusal::new("banned", "The recipient is banned.").instead("Do not write to them."),
        );
    }
    match profile.quarantined_since {
        Some(_) if draft.host => CheckResult::Nothing,
        Some(since) => CheckResult::Refuse(
            Refusal::new(
                "quarantined",
                format!("The recipient was imported or named by a form at {}, without a consent.", since.utc()),
            )
            .instead("Ask them for their consent first."),
        ),
        None => CheckResult::Nothing,
    }
}

/// After STOP nothing is sent: no message, no reaction, no typing indicator. Read marks remain, as
/// a sign that the STOP was read. Groups are not affected, because one member's opt-out must not
/// silence a group.
fn consent(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    let contact = &facts.conversation.contact;
    let Some(since) = contact.opted_out_since else {
        let is_group = facts.conversation.group.is_some();
        let needs_none = is_group || draft.host || draft.is_own_reply();
        return if needs_none { CheckResult::Nothing } else { purpose(draft, facts) };
    };
    if facts.conversation.group.is_some() {
        return CheckResult::Pass("a group is not affected by an opt-out, since", Some(since));
    }
    if let Outgoing::MarkRead { .. } = draft.body {
        return CheckResult::Pass("a read mark is sent despite the opt-out, since", Some(since));
    }
    if draft.is_own_reply() {
        return CheckResult::Pass("Beadle's own reply is sent despite the opt-out, since", Some(since));
    }
    CheckResult::Refuse(
        Refusal::new("opted-out", format!("The recipient has opted out of all messages since {}.", since.utc()))
            .instead("Do not write to them until they send START."),
    )
}

/// Refuses messages that were queued before the person left, and those that need a consent which
/// they have not given.
fn purpose(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    let contact = &facts.conversation.contact;
    if let (Some(message), Some(left)) = (draft.message, contact.profile().left_before)
        && message < left
    {
        let text = "The recipient left after this message had been queued.";
        return CheckResult::Refuse(Refusal::new("left", text).instead("Write to them when they have joined again."));
    }
    let purpose = facts.purpose(draft);
    if purpose == Purpose::Service {
        return service(draft, facts);
    }
    // The next check refuses people who stopped marketing in WhatsApp, and `template` an unknown
    // template that is taken for marketing; each with a better reason.
    let has_own_refusal = (purpose.is_marketing() && contact.marketing_stopped_since.is_some())
        || (draft.purpose.is_none() && matches!(facts.template, TemplateFacts::Missing { .. }));
    if has_own_refusal {
        return CheckResult::Nothing;
    }
    let decision = contact.consent_for(&purpose);
    match (decision.state, decision.by) {
        (ConsentState::Granted, by) => {
            let reason = match purpose {
                Purpose::Group => "the recipient agreed to messages of the community on",
                Purpose::Survey => "the recipient agreed to requests for feedback on",
                _ => "the recipient agreed to marketing on",
            };
            CheckResult::Pass(reason, by.map(|mark| mark.at))
        }
        (state, _) => CheckResult::Refuse(
            Refusal::new("not-opted-in", format!("The recipient has not agreed to `{purpose}`: {}.", state.name()))
                .instead(if purpose.is_marketing() {
                    "Ask for their consent inside the window, or send a utility template."
                } else {
                    "Ask for their consent inside the window."
                }),
        ),
    }
}

/// Notices need no consent of their own, but whoever has never written must have agreed to
/// something.
fn service(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    let has_written = facts.conversation.window_until.is_some();
    if has_written || !draft.body.is_outreach() || facts.conversation.contact.profile().consents.has_grant() {
        return CheckResult::Nothing;
    }
    CheckResult::Refuse(
        Refusal::new("not-opted-in", "The recipient has never written, and has agreed to nothing.")
            .instead("Record what they agreed to, or wait until they write."),
    )
}

/// Refuses marketing to a recipient who turned it off on WhatsApp (131050), to whom WhatsApp
/// refuses it for a while (131049), or in whose country it delivers none: attempts count against
/// the number (`docs/whatsapp.md#templates`, `docs/whatsapp.md#limits`).
fn marketing(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    let category = facts.category(draft);
    if !facts.is_marketing(draft) {
        return CheckResult::Nothing;
    }
    let unknown = if category == Category::Unknown { " The category of the message is unknown." } else { "" };
    if let Some(since) = facts.conversation.contact.marketing_stopped_since {
        return CheckResult::Refuse(
            Refusal::new(
                "marketing-opted-out",
                format!("The recipient turned off marketing messages on WhatsApp at {}.{unknown}", since.utc()),
            )
            .instead("Only the recipient can turn them on again, in WhatsApp."),
        );
    }
    if let Some(country) = &facts.circumstances.country_without_marketing {
        return CheckResult::Refuse(
            Refusal::new(
                "marketing-country",
                format!("WhatsApp delivers no marketing templates to numbers of {country}.{unknown}"),
            )
            .instead("Write to them in an open window, or send a utility template."),
        );
    }
    if let Some((until, code)) = &facts.circumstances.marketing_refused {
        return CheckResult::Refuse(
            Refusal::new(
                "marketing-limited",
                format!("WhatsApp refused marketing to this recipient ({code}); not before {}.{unknown}", until.utc()),
            )
            .instead("Wait until then, or until the recipient writes."),
        );
    }
    CheckResult::Pass("the recipient has not turned off marketing", None)
}

/// Refuses messages while a colleague handles the conversation.
fn handover(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match facts.circumstances.in_human_hands_since {
        Some(since) if draft.is_own_reply() => CheckResult::Pass("a colleague has the conversation since", Some(since)),
        Some(since) => CheckResult::Refuse(
            Refusal::new("in-human-hands", format!("A colleague has had the conversation since {}.", since.utc()))
                .instead("Wait until it is given back."),
        ),
        None => CheckResult::Nothing,
    }
}

/// Groups accept texts, files, templates and pins, but nothing to tap and no login codes
/// (`docs/whatsapp.md#groups`). Changes of a group need a group; login codes need a phone number.
fn kind(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
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
            CheckResult::Refuse(
                Refusal::new("unsupported-in-groups", "WhatsApp does not allow buttons, lists and forms in groups.")
                    .instead("Send a text and ask for an answer in words."),
            )
        }
        Outgoing::Location { .. } | Outgoing::Contacts { .. } | Outgoing::Reaction { .. } | Outgoing::Direct(_)
            if is_group =>
        {
            CheckResult::Refuse(
                Refusal::new(
                    "unsupported-in-groups",
                    "WhatsApp allows only texts, files, templates and pins in groups.",
                )
                .instead("Send a text."),
            )
        }
        _ if is_group && is_login_code(draft, facts) => CheckResult::Refuse(Refusal::new(
            "unsupported-in-groups",
            "WhatsApp does not allow authentication templates in groups.",
        )),
        _ if is_login_code(draft, facts) && !has_number(facts) => CheckResult::Refuse(
            Refusal::new(
                "phone-number-required",
                "Authentication messages need a phone number, and this contact's number is hidden.",
            )
            .instead("Ask for the number first."),
        ),
        Outgoing::Pin { .. } | Outgoing::Group(_) if !is_group => {
            CheckResult::Refuse(Refusal::new("groups-only", "Pins and group changes need a group."))
        }
        _ => CheckResult::Nothing,
    }
}

/// Whether it is a login code.
fn is_login_code(draft: &Draft<'_>, facts: &Facts<'_>) -> bool {
    facts.category(draft) == Category::Authentication
}

/// Whether the channel reaches the contact by a phone number, not a user id.
fn has_number(facts: &Facts<'_>) -> bool {
    let address = facts.conversation.address.as_ref();
    address.is_some_and(|address| matches!(address.kind, AliasKind::Phone | AliasKind::WaId))
}

/// Messages and reactions need an open window; read marks and typing indicators do not
/// (`docs/whatsapp.md#windows`).
fn window(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match draft.body {
        Outgoing::MarkRead { .. } | Outgoing::Typing { .. } => {
            return CheckResult::Pass("read marks and typing indicators need no open window", None);
        }
        Outgoing::Template(_) => return CheckResult::Pass("a template needs no open window", None),
        Outgoing::Direct(_) => return CheckResult::Pass("Direct Send needs no open window", None),
        Outgoing::Group(_) | Outgoing::Pin { .. } => {
            return CheckResult::Pass("a change of a group needs no open window", None);
        }
        _ => {}
    }
    let refusal = match facts.conversation.window_until {
        Some(until) if facts.has_open_window() => return CheckResult::Pass("the window is open until", Some(until)),
        Some(until) if facts.now < until => {
            format!("The 24-hour window closes at {}; nothing is sent in its last 30 seconds.", until.utc())
        }
        Some(until) => format!("The 24-hour window closed at {}.", until.utc()),
        None => "The recipient has not written yet, so no 24-hour window is open.".to_owned(),
    };
    CheckResult::Refuse(
        Refusal::new("window-closed", refusal)
            .instead("Send an approved template, or wait until the recipient writes again."),
    )
}

/// The template exists, the platform accepts it, and the message provides its parameters.
fn template(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    let Outgoing::Template(message) = draft.body else { return CheckResult::Nothing };
    let definition = match &facts.template {
        TemplateFacts::Unknown => {
            return CheckResult::Note("the account's templates are not known, so WhatsApp decides".to_owned());
        }
        TemplateFacts::Missing { languages } => {
            return CheckResult::Refuse(templates::unknown(&message.name, &message.language, languages));
        }
        TemplateFacts::Defined(definition) => definition,
    };
    match templates::check_status(definition).and_then(|()| templates::check_parameters(message, definition)) {
        Ok(()) => CheckResult::Note(format!(
            "the {} template `{}` in `{}` is approved and its parameters fit",
            definition.category, definition.name, definition.language
        )),
        Err(refusal) => CheckResult::Refuse(refusal),
    }
}

/// The parameters of a utility template, and the texts of Direct Send, must not contain
/// advertising: WhatsApp would make a marketing template of it.
fn advertising(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    if facts.category(draft) != Category::Utility {
        return CheckResult::Nothing;
    }
    let (found, of) = match draft.body {
        Outgoing::Template(message) => (templates::advertising(message), "a utility template"),
        Outgoing::Direct(direct) => (templates::advertising_in(&direct.message), "a utility message"),
        _ => return CheckResult::Nothing,
    };
    let Some(found) = found else { return CheckResult::Nothing };
    let text = format!("`{}` in `{}` of {of} is advertising", found.word.trim_end_matches('*'), found.part);
    if !facts.circumstances.refuses_advertising {
        return CheckResult::Note(text);
    }
    CheckResult::Refuse(
        Refusal::new("template-advertising", format!("{text}, for which WhatsApp makes it a marketing template."))
            .instead("Use a marketing template, or leave the advertising out."),
    )
}

/// During quiet hours a message waits until they end.
fn quiet_hours(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match facts.circumstances.quiet_until {
        Some(_) if draft.is_own_reply() => CheckResult::Nothing,
        Some(until) => CheckResult::Later(until, "these are quiet hours where the recipient lives, until"),
        None => CheckResult::Nothing,
    }
}

/// A message with an expiry waits if the cap is free before it expires. Any other is refused,
/// because its sender did not say for how long it stays relevant.
fn frequency_cap(draft: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match &facts.circumstances.capped {
        Some(cap) if draft.expires.is_some_and(|expires| cap.until < expires) => {
            let until = Timestamp(cap.until.0.min(facts.now.plus_ms(CAP_RECHECK_MS).0));
            CheckResult::Later(until, "a cap on marketing is used up; checked again at")
        }
        Some(cap) => CheckResult::Refuse(
            Refusal::new(
                "frequency-cap",
                format!(
                    "The recipient has received {} ({}); the next is possible at {}.",
                    cap.received,
                    cap.limit,
                    cap.until.utc()
                ),
            )
            .instead("Send it later."),
        ),
        None => CheckResult::Nothing,
    }
}

fn budget(_: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match &facts.circumstances.over_budget {
        Some(budget) => match budget.until {
            Some(until) => CheckResult::Later(until, "a budget is used up; checked again at"),
            None => CheckResult::Refuse(
                Refusal::new("over-budget", budget.reason.clone()).instead("Send it later, or ask the operator."),
            ),
        },
        None => CheckResult::Nothing,
    }
}

/// The messaging limit counts people outside a window in 24 hours (`docs/whatsapp.md#limits`).
fn messaging_limit(_: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match &facts.circumstances.messaging_limit {
        None => CheckResult::Nothing,
        Some(limit) => match limit.free_at {
            Some(free_at) => CheckResult::Later(free_at, "the messaging limit of 24 hours is used up until"),
            None => CheckResult::Note(format!("{} of {} people were written to in 24 hours", limit.used, limit.limit)),
        },
    }
}

fn pair_rate(_: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match facts.circumstances.pair_free_at {
        Some(at) if at > facts.now => CheckResult::Later(at, "the recipient gets too many messages until"),
        _ => CheckResult::Nothing,
    }
}

fn throughput(_: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match facts.circumstances.throughput_free_at {
        Some(at) if at > facts.now => CheckResult::Later(at, "the number sends too fast until"),
        _ => CheckResult::Nothing,
    }
}

/// The refusal of a message with the same key as an earlier one.
pub fn already_sent(before: MessageId) -> Refusal {
    Refusal::new("already-sent", format!("{before} has the same key."))
        .instead("Nothing: of the messages with one key, one is sent.")
}

fn sent_before(_: &Draft<'_>, facts: &Facts<'_>) -> CheckResult {
    match facts.circumstances.sent_before {
        Some(message) => CheckResult::Refuse(already_sent(message)),
        None => CheckResult::Nothing,
    }
}

#[cfg(test)]
mod tests;
