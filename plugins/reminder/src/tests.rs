//! Every reason to nudge and not to, with the handlers that are shipped.

use super::*;
use beadle_plugin::Ending;
use beadle_plugin::testing::Host;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const TWO_HOURS_MS: u64 = 7_200_000;

/// By day, whatever the hour: the quiet hours have tests of their own.
fn loud() -> Reminder {
    Reminder { quiet_from: 0, quiet_until: 0, ..Reminder::default() }
}

/// She writes, and it ends so for others.
fn wrote(host: &Host, reminder: &Reminder, who: &Contact, how: &str) {
    let mut event = host.text(who, "Are you open on Sunday?");
    event.info.ending = Some(Ending { how: how.to_owned(), by: None });
    assert_eq!(reminder.on_message(event), Ok(Disposition::Pass));
}

/// Her window is about to close: what she was sent, and what was decided.
fn expiring(host: &Host, reminder: &Reminder, who: &Contact) -> (usize, String) {
    let event = host.window_expiring(who, TWO_HOURS_MS);
    let conversation = event.conversation.clone();
    reminder.on_window_expiring(event).unwrap();
    (host.sent().len(), Open::of(&conversation).unwrap().decision.unwrap().1)
}

fn said(count: usize, why: &str) -> (usize, String) {
    (count, why.to_owned())
}

#[test]
fn only_what_is_unanswered_is_a_reason() {
    for (how, wanted) in [
        ("passed", said(1, "nudged")),
        ("asked", said(1, "nudged")),
        ("claimed", said(0, "nothing-open")),
        ("host", said(0, "nothing-open")),
        ("stopped", said(0, "nothing-open")),
    ] {
        let host = Host::new();
        let ana = host.person("Ana Souza");
        wrote(&host, &loud(), &ana, how);
        assert_eq!(expiring(&host, &loud(), &ana), wanted, "{how}");
    }
}

#[test]
fn once_a_window_and_not_again_before_they_write() {
    let (host, reminder) = (Host::new(), loud());
    let ana = host.person("Ana");
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), said(1, "nudged"));
    let event = host.window_expiring(&ana, 1_800_000);
    reminder.on_window_expiring(event).unwrap();
    assert_eq!(host.sent().len(), 0, "half an hour before is the same window");
    // She answers the nudge, and nobody answers her: the next window may have its own.
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), said(1, "nudged"));
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), said(0, "often-enough"), "two in seven days");
    host.wait(HOUR * 24 * 7);
    wrote(&host, &reminder, &ana, "passed");
    assert_eq!(expiring(&host, &reminder, &ana), said(1, "nudged"));
    assert_eq!(state::get(Scope::Plugin, "count/nudged"), Ok(Some(3)));
    assert_eq!(state::get(Scope::Plugin, "count/nudged-before"), Ok(Some(1)));
}

#[test]
fn an_answer_ends_it_whoever_gives_it() {
    let (host, reminder) = (Host::new(), loud());
    let ana = host.person("Ana");
    wrote(&host, &reminder, &ana, "asked");
    host.wait(HOUR);
    wrote(&host, &reminder, &ana, "claimed");
    assert_eq!(expiring(&host, &reminder, &ana), said(0, "nothing-open"));
    wrote(&host, &reminder, &ana, "passed");
    let conversation = host.text(&ana, "hello?").conversation;
    let echo = EchoEvent {
        info: host.text(&ana, "x").info,
        conversation,
        message: "wamid.colleague".to_owned(),
        content: Content::Text("Yes, from ten.".to_owned()),
        context: None,
        extra: "{}".to_owned(),
    };
    reminder.on_echo(echo).unwrap();
    assert_eq!(expiring(&host, &reminder, &ana), said(0, "nothing-open"));
}

#[test]
fn a_question_that_came_with_the_first_message_is_open_although_it_was_answered() {
    let (host, reminder) = (Host::new(), loud());
    let ana = host.person("Ana");
    let mut joined = host.joins(&ana, "first-message", false);
    joined.info.ending = Some(Ending { how: "asked".to_owned(), by: Some("welcome".to_owned()) });
    reminder.on_member_joined(joined).unwrap();
    wrote(&host, &reminder, &ana, "claimed");
    assert_eq!(expiring(&host, &reminder, &ana), said(1, "nudged"));
}

#[test]
fn in_the_quiet_hours_nobody_is_nudged_but_before_them() {
    // 09:00 UTC, 10:00 in Amsterdam; a window that is opened now closes by day.
    let (host, reminder) = (Host::new(), Reminder::default());
    let ana = Contact { timezone: Some("Europe/Amsterdam".to_owned()), ..host.person("Ana") };
    wrote(&host, &reminder, &ana, "passed");
    let closes_at = host.window_closes_at(&ana).unwrap();
    assert!(host.next_timer_at().is_none_or(|at| at > closes_at), "two hours before 10:00 it is not quiet any more");
    // At 01:00 there she writes again: two hours before the end it is 23:00.
    host.wait(HOUR * 15);
    let written_at = host.now();
    wrote(&host, &reminder, &ana, "passed");
    let due = host.next_timer_at().unwrap();
    assert_eq!((due - written_at) / MINUTE_MS, 19 * 60 + 50, "ten minutes before nine in the evening");
    assert_eq!(reminder.on_timer(host.next_timer().unwrap()), Ok(Disposition::Claimed));
    assert_eq!(host.sent().len(), 1);
    assert_eq!(expiring(&host, &reminder, &ana), said(0, "nudged-before"));
    // Without the evening's chance it is left: nobody is woken.
    let bob = Contact { timezone: Some("Europe/Amsterdam".to_owned()), ..host.person("Bob") };
    wrote(&host, &reminder, &bob, "passed");
    timers::cancel(Scope::Conversation(bob.id.replacen("con", "cnv", 1)), EVENING).unwrap();
    assert_eq!(expiring(&host, &reminder, &bob), said(0, "quiet-hours"));
}

#[test]
fn the_words_are_in_their_language_and_the_operators_where_there_are_some() {
    let mut reminder = loud();
    let words = settings::Words {
        asked: Some("Nog even antwoorden, {name|jij}? Tot zo{ name|}!".to_owned()),
        unanswered: None,
    };
    reminder.texts.insert("nl".to_owned(), words);
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
        let who = Contact { language: language.map(str::to_owned), ..host.person(name) };
        wrote(&host, &reminder, &who, "asked");
        reminder.on_window_expiring(host.window_expiring(&who, TWO_HOURS_MS)).unwrap();
        let sent = host.sent().remove(0);
        assert!(sent.body.starts_with(starts), "{language:?}: {}", sent.body);
    }
}

#[test]
fn what_closed_unanswered_is_told_and_forgotten() {
    let (host, reminder) = (Host::new(), loud());
    let ana = host.person("Ana");
    wrote(&host, &reminder, &ana, "passed");
    reminder.on_window_closed(host.window_closed(&ana)).unwrap();
    assert_eq!(host.logged().len(), 1);
    assert_eq!(state::get(Scope::Plugin, "count/closed-unanswered"), Ok(Some(1)));
    reminder.on_window_closed(host.window_closed(&ana)).unwrap();
    assert_eq!(host.logged().len(), 0);
}

#[test]
fn as_an_answerer_it_says_what_to_set() {
    let host = Host::new();
    let ana = host.person("Ana");
    let failure = loud().on_message(host.text(&ana, "Hi")).unwrap_err();
    assert_eq!(failure, Failure::GiveUp("set stage = \"observe\" for this plugin".into()));
}

#[test]
fn a_schedule_sends_it_round_those_whose_window_closes_before_the_next_one() {
    let (host, reminder) = (Host::new(), loud());
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
    for (who, how) in [(&ana, "passed"), (&cem, "claimed")] {
        wrote(&host, &reminder, who, how);
    }
    host.wait(HOUR * 12);
    wrote(&host, &reminder, &bram, "passed");
    assert_eq!(round("{}"), std::slice::from_ref(&ana.id), "Bram's is open for longer, and Cem was answered");
    assert_eq!(round("{}"), [""; 0], "once a window");
    assert_eq!(round(r#"{"closing_within": "24h"}"#), [bram.id]);
    let event = host.schedule("evening", r#"{"closing": "24h"}"#);
    assert!(matches!(reminder.on_schedule(event), Err(Failure::GiveUp(why)) if why.contains("closing")));
}
