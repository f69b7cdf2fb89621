//! The Beadle in memory behaves as the daemon does.

use super::Host;
use crate::consents;
use crate::migration::{Migration, Next, Page};
use crate::prelude::*;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    result.unwrap_err().code
}

#[test]
fn window_is_open_for_24_hours() {
    let host = Host::new();
    let ana = host.person("Ana");
    host.joins(&ana, "invite", false);
    assert_eq!(code(replies::send("Hi")), "window-closed");
    let event = host.text(&ana, "Hi");
    assert!(event.conversation.is_open(clock::now()));
    event.reply("Hi").unwrap();
    host.wait(HOUR * 24 - Duration::from_millis(1));
    messages::send(&ana.id, "Still there?").unwrap();
    host.wait(Duration::from_millis(1));
    assert_eq!(code(messages::send(&ana.id, "And now?")), "window-closed");
    assert_eq!(host.sent(), ["Hi", "Still there?"]);
}

#[test]
fn templates_and_direct_send_need_no_window() {
    let host = Host::new();
    let ana = host.person("Ana");
    host.joins(&ana, "invite", false);
    messages::send(&ana.id, Template::new("hello", "en")).unwrap();
    messages::send_direct(&ana.id, &Direct::utility("Your order has left.").named("order_left")).unwrap();
    messages::send_direct(&ana.id, &Direct::authentication("123456 is your code.")).unwrap();
    assert_eq!(host.sent(), ["hello", "Your order has left.", "123456 is your code."]);
    let buttons = Direct::utility(Buttons::new("Sure?").button("yes", "Yes"));
    let no_code = Direct { category: "authentication".into(), ..buttons.clone() };
    assert_eq!(code(messages::send_direct(&ana.id, &no_code)), "bad-message");
    let advertisement = Direct { category: "marketing".into(), ..buttons };
    assert_eq!(code(messages::send_direct(&ana.id, &advertisement)), "bad-message");
    host.leaves(&ana, "stop");
    assert_eq!(code(messages::send_direct(&ana.id, &Direct::utility("Hi"))), "opted-out");
}

#[test]
fn purpose_needs_consent_and_key_is_used_once() {
    let host = Host::new();
    let ana = host.person("Ana");
    host.text(&ana, "Hi");
    let survey = || messages::to(&ana.id).purpose("survey");
    assert_eq!(code(messages::send(survey(), "How was it?")), "not-opted-in");
    consents::record_grant(&ana.id, "survey", "web", None, None).unwrap();
    messages::send(survey().once("survey of May"), "How was it?").unwrap();
    assert_eq!(code(messages::send(survey().once("survey of May"), "And now?")), "already-sent");
    messages::send(survey().once("survey of June"), "And now?").unwrap();
    let sent = host.sent();
    assert_eq!(sent, ["How was it?", "And now?"]);
    assert_eq!(sent[0].purpose.as_deref(), Some("survey"));
}

#[test]
fn opted_out_contact_gets_no_messages() {
    let host = Host::new();
    let ana = host.person("Ana");
    host.text(&ana, "Hi");
    host.leaves(&ana, "stop");
    assert_eq!(code(replies::send("Bye")), "opted-out");
    assert_eq!(code(messages::send("con_99", "Hi")), "unknown-contact");
    host.joins(&ana, "start", true);
    replies::send("Welcome back").unwrap();
}

#[test]
fn reply_outside_a_conversation_is_refused() {
    let host = Host::new();
    assert_eq!(code(replies::send("Hi")), "no-conversation");
    timers::set(Scope::Plugin, "tick", clock::now(), b"").unwrap();
    assert_eq!(host.next_timer().unwrap().conversation, None);
}

#[test]
fn lengths_are_checked() {
    let host = Host::new();
    let ana = host.person("Ana");
    host.text(&ana, "Hi");
    let two = |first: (&str, &str), second: (&str, &str)| {
        replies::send(Buttons::new("?").button(first.0, first.1).button(second.0, second.1))
    };
    assert_eq!(code(replies::send("ä".repeat(4097))), "too-long");
    assert_eq!(code(replies::send(" ")), "empty-field");
    assert_eq!(code(replies::send(Buttons::new("?"))), "empty-field");
    assert_eq!(code(two(("a", "A"), ("a", "B"))), "duplicate-id");
    assert_eq!(code(two(("a", "A"), ("b", "A"))), "duplicate-id");
    assert_eq!(code(two(("a", "A"), ("b", "123456789012345678901"))), "too-long");
    assert_eq!(code(replies::send(Buttons::new("?").button("a", "A").footer("f".repeat(61)))), "too-long");
    let list = (0..10).fold(List::new("?", "Choose"), |list, n| list.row(n.to_string(), "Row"));
    replies::send(list.clone()).unwrap();
    assert_eq!(code(replies::send(list.row("10", "Row"))), "too-many");
    let untitled = List::new("?", "Choose").row("a", "A").section("B").row("b", "B");
    assert_eq!(code(replies::send(untitled)), "empty-field");
    assert_eq!(host.sent().len(), 1);
}

/// Renames a key and counts its values. Fails at a value that is not a number.
struct Renames;

impl Migration for Renames {
    const VERSION: u32 = 2;

    fn migrate(&self, page: Page) -> Result<Next, Failure> {
        assert!(page.from_version == 1 && page.entries.len() <= 50);
        for entry in page.entries.iter().filter(|entry| entry.key != "people") {
            let value: u64 = entry.value()?;
            state::set(entry.scope.clone(), "new", &value)?;
            state::delete(entry.scope.clone(), &entry.key)?;
            state::add(Scope::Plugin, "people", 1)?;
        }
        Ok(if page.last { Next::Done } else { Next::More })
    }
}

#[test]
fn state_is_migrated_completely_or_not_at_all() {
    let host = Host::new();
    let people: Vec<_> = (0..120).map(|n| host.person(&n.to_string())).collect();
    for (n, person) in people.iter().enumerate() {
        state::set(person, "old", &n).unwrap();
    }
    state::set(&people[119], "old", "no number").unwrap();
    assert!(host.migrate(&Renames, 1).is_err());
    assert_eq!((state::get::<u64>(&people[0], "old"), state::get::<u64>(&people[0], "new")), (Ok(Some(0)), Ok(None)));
    state::set(&people[119], "old", &119).unwrap();
    host.migrate(&Renames, 1).unwrap();
    assert_eq!(state::get::<u64>(Scope::Plugin, "people"), Ok(Some(120)));
    for (n, person) in people.iter().enumerate() {
        assert_eq!(state::get::<usize>(person, "new"), Ok(Some(n)));
        assert_eq!(state::get::<usize>(person, "old"), Ok(None));
    }
}

#[test]
fn state_has_scopes_and_expires() {
    let host = Host::new();
    let (ana, bob) = (host.person("Ana"), host.person("Bob"));
    state::set(&ana, "step", &1).unwrap();
    state::set_until(&bob, "step", "soon gone", clock::after(HOUR)).unwrap();
    assert_eq!(state::get(&ana, "step"), Ok(Some(1)));
    assert_eq!(code(state::get::<u8>(&bob, "step")), "bad-json");
    host.wait(HOUR);
    assert_eq!(state::get::<String>(&bob, "step"), Ok(None));
    assert_eq!(state::get::<u8>(Scope::Plugin, "step"), Ok(None));
    assert_eq!(code(state::get::<u8>(&ana, "")), "bad-key");

    state::add(Scope::Plugin, "votes", 2).unwrap();
    state::add(Scope::Plugin, "votes", -5).unwrap();
    assert_eq!(state::get(Scope::Plugin, "votes"), Ok(Some(-3)));
    state::set(Scope::Plugin, "votes/a", "x").unwrap();
    state::set(Scope::Plugin, "votes/b", "y").unwrap();
    assert_eq!(code(state::add(Scope::Plugin, "votes/a", 1)), "not-a-counter");
    let keys = |after| {
        let entries = state::scan(Scope::Plugin, "votes/", after, 10).unwrap();
        entries.into_iter().map(|entry| (entry.key.clone(), entry.value::<String>().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(keys(None), [("votes/a".into(), "x".into()), ("votes/b".into(), "y".into())]);
    assert_eq!(keys(Some("votes/a")), [("votes/b".into(), "y".into())]);
    state::delete(Scope::Plugin, "votes/a").unwrap();
    assert_eq!(keys(None).len(), 1);
}

#[test]
fn timers_are_delivered_in_order_and_once() {
    let host = Host::new();
    let ana = host.person("Ana");
    host.text(&ana, "Hi");
    timers::set(&ana, "late", clock::after(HOUR * 2), b"2").unwrap();
    timers::set(&ana, "soon", clock::after(HOUR * 9), b"9").unwrap();
    timers::set(&ana, "soon", clock::after(HOUR), b"1").unwrap();
    timers::set(&ana, "never", clock::after(HOUR * 3), b"").unwrap();
    timers::move_to(&ana, "late", clock::after(HOUR * 3)).unwrap();
    timers::move_to(&ana, "unknown", clock::now()).unwrap();
    timers::cancel(&ana, "never").unwrap();
    let began = clock::now();
    let mut came = Vec::new();
    while let Some(timer) = host.next_timer() {
        assert_eq!(timer.due_at, clock::now());
        came.push((timer.key, timer.payload, (clock::now() - began) / 3_600_000));
    }
    assert_eq!(came, [("soon".into(), b"1".to_vec(), 1), ("late".into(), b"2".to_vec(), 3)]);
}

#[test]
fn contacts_are_paged() {
    let host = Host::new();
    let names = ["Ana", "Bob", "Cem"].map(|name| host.person(name).id);
    let first = contacts::page(None, 2).unwrap();
    assert_eq!(first.contacts.iter().map(|one| &one.id).collect::<Vec<_>>(), [&names[0], &names[1]]);
    let second = contacts::page(first.next.as_deref(), 2).unwrap();
    assert_eq!((second.contacts.len(), second.next), (1, None));
    assert_eq!(contacts::get(&names[2]).unwrap().unwrap().name.as_deref(), Some("Cem"));
    assert_eq!(contacts::get("con_99"), Ok(None));
}

#[test]
fn random_numbers_are_reproducible() {
    let draw = || {
        Host::new();
        (random::number(), random::bytes(3), random::below(6))
    };
    assert_eq!(draw(), draw());
    assert!(draw().2 < 6);
    assert_eq!(random::bytes(5000).len(), 4096);
}

#[test]
fn refusal_becomes_a_failure() {
    let host = Host::new();
    let failure = Failure::from(replies::send("Hi").unwrap_err());
    assert_eq!(failure, Failure::GiveUp("This event belongs to no conversation. (no-conversation)".into()));
    log::warn("no answer");
    assert_eq!(host.logged(), ["warn: no answer"]);
}

#[test]
fn word_must_be_the_whole_message() {
    let host = Host::new();
    let ana = host.person("Ana");
    for text in ["rules", " RULES! ", "«Rules»"] {
        assert!(host.text(&ana, text).is_word(&["regels", "rules"]), "{text}");
    }
    assert!(host.text(&ana, "ÜBER UNS?").is_word(&["über uns"]));
    let long = "!".repeat(100);
    for text in ["the rules", "rulesx", "", "!", &(long + "rules")] {
        assert!(!host.text(&ana, text).is_word(&["rules"]), "{text}");
    }
    assert!(!host.message(&ana, Content::Unsupported(None)).is_word(&["rules"]));
}

#[test]
fn requests_are_answered_as_the_test_says() {
    let host = Host::new();
    host.respond("GET", "https://shop.example.org/hours", 200, "9 to 5");
    host.secret("shop");
    let response = crate::http::get("https://shop.example.org/hours").header("Accept", "text/plain").send().unwrap();
    assert_eq!((response.status, &*response.text()), (200, "9 to 5"));
    let refused = crate::http::post("https://shop.example.org/hours").json(&["x"]).unwrap().send().unwrap_err();
    assert_eq!(refused.cause, crate::http::Cause::NotAllowed);
    assert!(matches!(Failure::from(refused), Failure::GiveUp(_)));
    let requests = host.requests();
    assert_eq!(
        (requests.len(), requests[1].method.as_str(), requests[1].body.as_slice()),
        (2, "POST", &b"[\"x\"]"[..])
    );
    assert!(crate::http::has_secret("shop") && !crate::http::has_secret("other"));
    assert_eq!(host.webhook("orders", "application/json", "{}").hook, "orders");
}
