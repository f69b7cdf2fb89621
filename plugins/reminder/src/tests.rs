//! Every decision, with the plugin's own handlers.

use super::*;
use beadle_plugin::Ending;
use beadle_plugin::testing::Host;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const TWO_HOURS_MS: u64 = 7_200_000;

/// Without quiet hours.
fn without_quiet_hours() -> Reminder {
    Reminder { quiet_from: 0, quiet_until: 0, ..Reminder::default() }
}

/// A contact writes, and the event has this outcome.
fn wrote(host: &Host, reminder: &Reminder, contact: &Contact, outcome: &str) {
    let mut event = host.text(contact, "Are you open on Sunday?");
    event.info.ending = Some(Ending { outcome: outcome.to_owned(), plugin: None });
    assert_eq!(reminder.on_message(event), Ok(Disposition::Pass));
}

/// A window is about to close. Returns the number of messages sent and the decision.
fn expiring(host: &Host, reminder: &Reminder, contact: &Contact) -> (usize, String) {
    let event = host.window_expiring(contact, TWO_HOURS_MS);
    let conversation = event.conversation.clone();
    reminder.on_window_expiring(event).unwrap();
    (host.sent().len(), Open::load(&conversation).unwrap().decision.unwrap().1)
}

fn decided(count: usize, decision: &str) -> (usize, String) {
    (count, decision.to_owned())
}

#[test]
fn nudge_requires_something_unanswered() {
    for (outcome, expected) in [
        ("passed", decided(1, "nudged")),
        ("asked", decided(1, "nudged")),
        ("claimed", decided(0, "nothing-open")),
        ("host", decided(0, "nothing-open")),
        ("stopped", decided(0, "nothing-open")),
    ] {
        let host = Host::new();
        let ana = host.person("Ana Souza");
        wrote(&host, &without_quiet_hours(), &ana, outcome);
        assert_eq!(expiring(&host, &without_quiet_hours(), &ana), expected, "{outcome}");
    }
}

#[test]
fn one_nudge_per_window_and_none_before_an_answer() {
    let (host, reminder) = (Host::new(), without_quiet_hours());
    let ana = host.person("Ana");
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), decided(1, "nudged"));
    let event = host.window_expiring(&ana, 1_800_000);
    reminder.on_window_expiring(event).unwrap();
    assert_eq!(host.sent().len(), 0, "the second lead time belongs to the same window");
    // She answers the nudge and gets no answer: the next window may have another nudge.
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), decided(1, "nudged"));
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), decided(0, "weekly-limit"), "two nudges in seven days");
    host.wait(HOUR * 24 * 7);
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), decided(1, "nudged"));
    assert_eq!(state::get(Scope::Plugin, "count/nudged"), Ok(Some(3)));
    assert_eq!(state::get(Scope::Plugin, "count/already-nudged"), Ok(Some(1)));
}

#[test]
fn any_answer_closes_a_message() {
    let (host, reminder) = (Host::new(), without_quiet_hours());
    let ana = host.person("Ana");
    wrote(&host, &reminder, &ana, "asked");
    host.wait(HOUR);
    wrote(&host, &reminder, &ana, "claimed");
    assert_eq!(expiring(&host, &reminder, &ana), decided(0, "nothing-open"));
    wrote(&host, &reminder, &ana, "passed");
    let conversation = host.text(&ana, "hello?").conversation;
    let echo = EchoEvent {
        info: host.text(&ana, "x").info,
        conversation,
        message: "pm_colleague".to_owned(),
        content: Content::Text("Yes, from ten.".to_owned()),
        context: None,
        extra: "{}".to_owned(),
    };
    reminder.on_echo(echo).unwrap();
    assert_eq!(expiring(&host, &reminder, &ana), decided(0, "nothing-open"));
}

#[test]
fn question_of_a_greeting_stays_open_after_the_first_message() {
    let (host, reminder) = (Host::new(), without_quiet_hours());
    let ana = host.person("Ana");
    let mut joined = host.joins(&ana, "first-message", false);
    joined.info.ending = Some(Ending { outcome: "asked".to_owned(), plugin: Some("welcome".to_owned()) });
    reminder.on_member_joined(joined).unwrap();
    wrote(&host, &reminder, &ana, "claimed");
    assert_eq!(expiring(&host, &reminder, &ana), decided(1, "nudged"));
}

#[test]
fn nudge_is_sent_before_quiet_hours() {
    // 09:00 UTC, 10:00 in Amsterdam: a window that opens now closes outside quiet hours.
    let (host, reminder) = (Host::new(), Reminder::default());
    let ana = Contact { timezone: Some("Europe/Amsterdam".to_owned()), ..host.person("Ana") };
    wrote(&host, &reminder, &ana, "passed");
    let closes_at = host.window_closes_at(&ana).unwrap();
    assert!(host.next_timer_at().is_none_or(|at| at > closes_at), "two hours before 10:00 quiet hours are over");
    // She writes again at 01:00 there. Two hours before the end of that window it is 23:00.
    host.wait(HOUR * 15);
    let written_at = host.now();
    wrote(&host, &reminder, &ana, "passed");
    let due = host.next_timer_at().unwrap();
    assert_eq!((due - written_at) / MINUTE_MS, 19 * 60 + 50, "ten minutes before 21:00");
    assert_eq!(reminder.on_timer(host.next_timer().unwrap()), Ok(Disposition::Claimed));
    assert_eq!(host.sent().len(), 1);
    assert_eq!(expiring(&host, &reminder, &ana), decided(0, "already-nudged"));
    // Without the timer there is no nudge in quiet hours.
    let bob = Contact { timezone: Some("Europe/Amsterdam".to_owned()), ..host.person("Bob") };
    wrote(&host, &reminder, &bob, "passed");
    timers::cancel(Scope::Conversation(bob.id.replacen("con", "cnv", 1)), EVENING).unwrap();
    assert_eq!(expiring(&host, &reminder, &bob), decided(0, "quiet-hours"));
}

#[test]
fn texts_are_in_the_persons_language_and_the_operators_own() {
    let mut reminder = without_quiet_hours();
    let texts = settings::Texts {
        asked: Some("Nog even antwoorden, {name|jij}? Tot zo{ name|}!".to_owned()),
        unanswered: None,
    };
    reminder.texts.insert("nl".to_owned(), texts);
    let host = Host::new();
    for (language, name, starts) in [
        (Some("nl-NL"), "Ana Souza", "Nog even antwoorden, Ana? Tot zo Ana!"),
        (Some("de"), "Ana", "Hallo Ana, unsere Frage"),
        (Some("de"), "✨", "Hallo, unsere Frage"),
        (Some("pt-BR"), "Ana", "Olá Ana, a nossa"),
        (Some("et"), "Ana", "Tere Ana, meie"),
        (Some("fr"), "Ana", "Hi Ana, our question"),
        (None, "✨", "Hi there, our question"),
    ] {
        let contact = Contact { language: language.map(str::to_owned), ..host.person(name) };
        wrote(&host, &reminder, &contact, "asked");
        reminder.on_window_expiring(host.window_expiring(&contact, TWO_HOURS_MS)).unwrap();
        let sent = host.sent().remove(0);
        assert!(sent.body.starts_with(starts), "{language:?}: {}", sent.body);
    }
}

#[test]
fn window_closed_unanswered_is_logged_once() {
    let (host, reminder) = (Host::new(), without_quiet_hours());
    let ana = host.person("Ana");
    wrote(&host, &reminder, &ana, "passed");
    reminder.on_window_closed(host.window_closed(&ana)).unwrap();
    assert_eq!(host.logged().len(), 1);
    assert_eq!(state::get(Scope::Plugin, "count/closed-unanswered"), Ok(Some(1)));
    reminder.on_window_closed(host.window_closed(&ana)).unwrap();
    assert_eq!(host.logged().len(), 0);
}

#[test]
fn wrong_stage_is_reported_with_the_setting() {
    let host = Host::new();
    let ana = host.person("Ana");
    let failure = without_quiet_hours().on_message(host.text(&ana, "Hi")).unwrap_err();
    assert_eq!(failure, Failure::GiveUp("set stage = \"observe\" for this plugin".into()));
}

#[test]
fn schedule_starts_a_round_over_windows_that_close_soon() {
    let (host, reminder) = (Host::new(), without_quiet_hours());
    let round = |payload: &str| {
        reminder.on_schedule(host.schedule("evening", payload)).unwrap();
        let mut nudged = Vec::new();
        while host.next_timer_at().is_some_and(|at| at <= clock::now()) {
            reminder.on_timer(host.next_timer().unwrap()).unwrap();
            nudged.extend(host.sent().into_iter().map(|sent| sent.to));
        }
        nudged
    };
    let [ana, bram, cem] = ["Ana", "Bram", "Cem"].map(|name| host.person(name));
    for (contact, outcome) in [(&ana, "passed"), (&cem, "claimed")] {
        wrote(&host, &reminder, contact, outcome);
    }
    host.wait(HOUR * 12);
    wrote(&host, &reminder, &bram, "passed");
    assert_eq!(round("{}"), std::slice::from_ref(&ana.id), "Bram's window closes later, and Cem was answered");
    assert_eq!(round("{}"), [""; 0], "one nudge per window");
    assert_eq!(round(r#"{"closing_within": "24h"}"#), [bram.id]);
    let event = host.schedule("evening", r#"{"closing": "24h"}"#);
    assert!(matches!(reminder.on_schedule(event), Err(Failure::GiveUp(reason)) if reason.contains("closing")));
}
