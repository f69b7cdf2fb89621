//! Every path through the plugin, with its own handlers and the Beadle in memory of the SDK.

use super::*;
use beadle_plugin::settings::Span;
use beadle_plugin::testing::{Host, Sent};
use settings::Texts;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn welcome() -> Welcome {
    Welcome {
        brand: "Tulip".into(),
        purpose: "News from the bakery.".into(),
        rules: "Be kind.".into(),
        rules_link: "https://tulip.example/rules".into(),
        ..Welcome::default()
    }
}

const GREETING: &str = "Hi Ana, welcome to Tulip! News from the bakery.\n\n\
                        Our rules:\nBe kind.\nhttps://tulip.example/rules";

/// Ana joins with her first message and is greeted.
fn joined(host: &Host, welcome: &Welcome) -> (Contact, Sent) {
    let ana = host.person("Ana Souza");
    assert_eq!(welcome.on_member_joined(host.joins(&ana, "first-message", false)), Ok(Disposition::Claimed));
    let sent = host.sent();
    assert_eq!(sent.len(), 1, "every message costs money");
    (ana, sent[0].clone())
}

fn step(contact: &Contact) -> Step {
    Progress::load(contact).unwrap().unwrap().step
}

/// A contact writes. Returns the disposition and the messages sent.
fn says(host: &Host, welcome: &Welcome, contact: &Contact, text: &str) -> (Disposition, Vec<Sent>) {
    let disposition = welcome.on_message(host.text(contact, text)).unwrap();
    (disposition, host.sent())
}

fn taps(host: &Host, welcome: &Welcome, contact: &Contact, on: &Sent) -> (Disposition, Vec<Sent>) {
    let title = on.buttons[0].title.clone();
    let disposition = welcome.on_message(host.tap(contact, on, &title)).unwrap();
    (disposition, host.sent())
}

#[test]
fn one_message_greets_and_asks_and_a_tap_agrees() {
    let (host, welcome) = (Host::new(), welcome());
    let (ana, asked) = joined(&host, &welcome);
    assert_eq!(asked, GREETING);
    assert_eq!(asked.buttons[0].title, "I agree");
    assert_eq!(asked.footer.as_deref(), Some("Write STOP to leave."));
    assert_eq!(step(&ana), Step::RulesSent);

    let (disposition, sent) = taps(&host, &welcome, &ana, &asked);
    assert_eq!(disposition, Disposition::Claimed);
    assert_eq!(sent, ["Thank you, that is noted. Write RULES to read them again."]);
    assert_eq!(step(&ana), Step::Acknowledged);
    assert_eq!(host.next_timer_at(), None, "there is nothing to remind");

    let (disposition, sent) = taps(&host, &welcome, &ana, &asked);
    assert_eq!((disposition, sent.len()), (Disposition::Claimed, 0), "a second tap gets no message");
}

#[test]
fn member_is_greeted_once() {
    let (host, welcome) = (Host::new(), welcome());
    let (ana, _) = joined(&host, &welcome);
    assert_eq!(welcome.on_member_joined(host.joins(&ana, "join", false)), Ok(Disposition::Pass));
    assert_eq!(says(&host, &welcome, &ana, "Are you open today?"), (Disposition::Pass, vec![]));
}

#[test]
fn greeting_outside_the_window_waits_for_a_message() {
    let (host, welcome) = (Host::new(), welcome());
    let ana = host.person("Ana");
    assert_eq!(welcome.on_member_joined(host.joins(&ana, "invite", false)), Ok(Disposition::Pass));
    assert_eq!((host.sent().len(), step(&ana)), (0, Step::Waiting));
    host.wait(HOUR);
    let (disposition, sent) = says(&host, &welcome, &ana, "Are you open today?");
    assert_eq!(sent, [GREETING]);
    assert_eq!(disposition, Disposition::Pass, "another plugin may answer the question");
    assert_eq!(step(&ana), Step::RulesSent);
}

#[test]
fn one_reminder_is_sent_in_the_window() {
    let (host, welcome) = (Host::new(), welcome());
    let (ana, _) = joined(&host, &welcome);
    let began = host.now();
    assert_eq!(welcome.on_timer(host.next_timer().unwrap()), Ok(Disposition::Claimed));
    assert_eq!(host.now() - began, 3 * 3_600_000);
    let reminder = host.sent().remove(0);
    assert!(reminder.body.starts_with("Hi Ana, a quick reminder"), "{}", reminder.body);
    assert_eq!(step(&ana), Step::Reminded(1));

    assert_eq!(welcome.on_timer(host.next_timer().unwrap()), Ok(Disposition::Claimed));
    assert_eq!((host.sent().len(), step(&ana)), (0, Step::TimedOut));
    assert_eq!(host.next_timer_at(), None);
    assert_eq!(says(&host, &welcome, &ana, "Hello?"), (Disposition::Pass, vec![]), "no further reminder");

    taps(&host, &welcome, &ana, &reminder);
    assert_eq!(step(&ana), Step::Acknowledged, "a late agreement counts");
}

#[test]
fn reminder_outside_the_window_waits_for_a_message() {
    let welcome = Welcome { remind_after: Span::hours(30), ..welcome() };
    let host = Host::new();
    let (ana, _) = joined(&host, &welcome);
    welcome.on_timer(host.next_timer().unwrap()).unwrap();
    assert_eq!((host.sent().len(), step(&ana)), (0, Step::RulesSent));
    let (disposition, sent) = says(&host, &welcome, &ana, "Good morning");
    assert_eq!((disposition, sent.len(), step(&ana)), (Disposition::Pass, 1, Step::Reminded(1)));
    assert_eq!(says(&host, &welcome, &ana, "Thanks").1.len(), 0, "once");
}

#[test]
fn request_times_out_without_reminders() {
    let welcome = Welcome { reminders: 0, ..welcome() };
    let host = Host::new();
    let (ana, _) = joined(&host, &welcome);
    welcome.on_timer(host.next_timer().unwrap()).unwrap();
    assert_eq!((host.sent().len(), step(&ana)), (0, Step::TimedOut));
}

#[test]
fn returning_member_is_asked_only_for_a_missing_agreement() {
    let (host, welcome) = (Host::new(), welcome());
    let (ana, asked) = joined(&host, &welcome);
    taps(&host, &welcome, &ana, &asked);
    assert_eq!(welcome.on_member_left(host.leaves(&ana, "stop")), Ok(Disposition::Pass));
    assert_eq!(host.sent().len(), 0, "no goodbye");
    welcome.on_member_joined(host.joins(&ana, "start", true)).unwrap();
    assert_eq!(host.sent(), ["Hi Ana, welcome back to Tulip!"]);
    assert_eq!(step(&ana), Step::Acknowledged);

    let bob = host.person("Bob");
    welcome.on_member_joined(host.joins(&bob, "first-message", false)).unwrap();
    welcome.on_member_left(host.leaves(&bob, "leave")).unwrap();
    assert_eq!(host.next_timer_at(), None, "no reminder after leaving");
    assert_eq!(says(&host, &welcome, &bob, "bye").1.len(), 1, "only the greeting");
    welcome.on_member_joined(host.joins(&bob, "join", true)).unwrap();
    let back = host.sent().remove(0);
    assert!(back.body.starts_with("Hi Bob, welcome back to Tulip!\n\nOur rules:"), "{}", back.body);
    assert_eq!(back.buttons.len(), 1);
}

#[test]
fn nothing_is_sent_after_leaving_until_rejoining() {
    let (host, welcome) = (Host::new(), welcome());
    let bob = host.person("Bob");
    welcome.on_member_joined(host.joins(&bob, "invite", false)).unwrap();
    welcome.on_member_left(host.leaves(&bob, "leave")).unwrap();
    assert_eq!(says(&host, &welcome, &bob, "bye"), (Disposition::Pass, vec![]), "no greeting after leaving");

    let (ana, _) = joined(&host, &welcome);
    let due = host.next_timer().unwrap();
    welcome.on_member_left(host.leaves(&ana, "leave")).unwrap();
    assert_eq!(welcome.on_timer(due), Ok(Disposition::Pass), "a timer that was already due");
    let new = Welcome { rules_version: 2, ..welcome };
    assert_eq!(says(&host, &new, &ana, "one more thing"), (Disposition::Pass, vec![]));

    // Without `rejoined` in the event, the plugin still knows that they had left.
    new.on_member_joined(host.joins(&ana, "join", false)).unwrap();
    assert!(host.sent()[0].body.starts_with("Hi Ana, welcome back"));
    let newer = Welcome { rules_version: 3, ..new };
    assert_eq!(says(&host, &newer, &ana, "hi").1.len(), 1, "they are a member again");
}

#[test]
fn changed_rules_are_shown_at_the_next_message() {
    let host = Host::new();
    let old = welcome();
    let (ana, asked) = joined(&host, &old);
    taps(&host, &old, &ana, &asked);
    let new = Welcome { rules_version: 2, ..welcome() };
    let (disposition, sent) = says(&host, &new, &ana, "Hi");
    assert_eq!(disposition, Disposition::Pass);
    assert!(sent[0].body.starts_with("Our rules have changed."), "{}", sent[0].body);
    assert_eq!(says(&host, &new, &ana, "Hi again").1.len(), 0, "asked once");

    // The old button does not agree to the new rules.
    let bob = host.person("Bob");
    old.on_member_joined(host.joins(&bob, "first-message", false)).unwrap();
    let old_button = host.sent().remove(0);
    let (_, sent) = taps(&host, &new, &bob, &old_button);
    assert!(sent[0].body.starts_with("Our rules have changed."), "{}", sent[0].body);
    let (_, sent) = taps(&host, &new, &bob, &sent[0]);
    assert!(sent[0].body.starts_with("Thank you"));
    assert_eq!(Progress::load(&bob).unwrap().unwrap().agreed, 2);
}

#[test]
fn commands_are_answered_for_everyone() {
    let (host, welcome) = (Host::new(), welcome());
    let old_member = host.person("Bob");
    assert_eq!(says(&host, &welcome, &old_member, "Hi"), (Disposition::Pass, vec![]), "an old member is not greeted");
    let (disposition, sent) = says(&host, &welcome, &old_member, "about?");
    assert_eq!((disposition, sent.len()), (Disposition::Claimed, 1));
    assert_eq!(sent, ["This is Tulip. News from the bakery."]);
    assert_eq!(says(&host, &welcome, &old_member, "Hi"), (Disposition::Pass, vec![]), "nor after a question");
    let (disposition, sent) = says(&host, &welcome, &old_member, "RULES!");
    assert_eq!((disposition, sent[0].buttons.len()), (Disposition::Claimed, 1));
    taps(&host, &welcome, &old_member, &sent[0]);
    let (_, sent) = says(&host, &welcome, &old_member, "Regels");
    assert_eq!((sent[0].body.as_str(), sent[0].buttons.len()), (&GREETING[49..], 0));
    assert_eq!(says(&host, &welcome, &old_member, "what are the rules").0, Disposition::Pass);
}

#[test]
fn command_answered_by_the_greeting_is_not_answered_again() {
    let (host, welcome) = (Host::new(), welcome());
    let (ana, _) = joined(&host, &welcome);
    // The message with which she joined follows, with the same time.
    assert_eq!(says(&host, &welcome, &ana, "rules"), (Disposition::Claimed, vec![]));
    assert_eq!(says(&host, &welcome, &ana, "rules").1.len(), 1, "a second question is answered");

    let bob = host.person("Bob");
    welcome.on_member_joined(host.joins(&bob, "invite", false)).unwrap();
    let (disposition, sent) = says(&host, &welcome, &bob, "rules");
    assert_eq!((disposition, sent.len()), (Disposition::Claimed, 1), "the pending greeting is the answer");
}

#[test]
fn texts_are_in_the_members_language() {
    let host = Host::new();
    let mut welcome = welcome();
    welcome.language = "nl".into();
    welcome.texts.insert("fr".into(), Texts { greeting: Some("Bonjour {name|à vous} !".into()), ..Texts::default() });
    welcome.texts.insert("pt".into(), Texts { rules: Some("Gentileza.".into()), ..Texts::default() });
    let greeting = |language: Option<&str>| {
        let mut contact = host.person("Ana");
        contact.language = language.map(Into::into);
        welcome.on_member_joined(host.joins(&contact, "first-message", false)).unwrap();
        let sent = host.sent().remove(0);
        (sent.body.lines().next().unwrap_or_default().to_owned(), sent.body)
    };
    assert_eq!(greeting(Some("en-GB")).0, "Hi Ana, welcome to Tulip! News from the bakery.");
    assert_eq!(greeting(Some("de")).0, "Willkommen bei Tulip, Ana! News from the bakery.");
    assert_eq!(greeting(Some("et")).0, "Tere, Ana! Siin on Tulip, tere tulemast. News from the bakery.");
    assert!(greeting(Some("pt_BR")).1.contains("\n\nNossas regras:\nGentileza.\n"));
    assert_eq!(greeting(Some("fr")).0, "Bonjour Ana !");
    for unavailable in [None, Some("sw"), Some("")] {
        assert_eq!(greeting(unavailable).0, "Hoi Ana, welkom bij Tulip! News from the bakery.", "{unavailable:?}");
    }
}

#[test]
fn greeting_without_a_name_uses_the_fallback() {
    let (host, welcome) = (Host::new(), Welcome::default());
    for name in ["", "✨", "123", "Thisisnofirstnamebutanovelofone"] {
        let contact = host.person(name);
        welcome.on_member_joined(host.joins(&contact, "first-message", false)).unwrap();
        assert_eq!(host.sent(), ["Hi there, welcome to our community!"], "{name:?}");
        assert_eq!(step(&contact), Step::Greeted, "without rules there is nothing to agree to");
    }
}

#[test]
fn rules_added_later_are_shown_at_the_next_message() {
    let host = Host::new();
    let ana = host.person("Ana");
    Welcome::default().on_member_joined(host.joins(&ana, "first-message", false)).unwrap();
    host.sent();
    let (disposition, sent) = says(&host, &welcome(), &ana, "Hi");
    assert_eq!((disposition, sent[0].buttons.len(), step(&ana)), (Disposition::Pass, 1, Step::RulesSent));
}

#[test]
fn long_rules_are_sent_before_the_button() {
    let host = Host::new();
    let welcome = Welcome { rules: "Be kind. ".repeat(200), ..welcome() };
    let ana = host.person("Ana");
    welcome.on_member_joined(host.joins(&ana, "first-message", false)).unwrap();
    let sent = host.sent();
    assert_eq!((sent.len(), sent[0].buttons.len(), sent[1].buttons.len()), (2, 0, 1));
    assert_eq!(sent[1], "Please tap the button if you agree.");
}

#[test]
fn longest_texts_of_the_schema_can_be_sent() {
    let long = |characters: usize| Some("ä".repeat(characters));
    let words = Texts { greeting: long(400), agree: long(20), footer: long(60), thanks: long(400), ..Texts::default() };
    let mut welcome = Welcome { rules: "r".repeat(2000), rules_link: "l".repeat(400), ..welcome() };
    welcome.texts.insert("en".into(), words);
    let host = Host::new();
    let ana = host.person("Ana");
    assert_eq!(welcome.on_member_joined(host.joins(&ana, "first-message", false)), Ok(Disposition::Claimed));
}

#[test]
fn buttons_of_other_plugins_are_passed() {
    let (host, welcome) = (Host::new(), welcome());
    let (ana, asked) = joined(&host, &welcome);
    let mut of_another = asked.clone();
    of_another.buttons[0].id = "poll:1".into();
    assert_eq!(taps(&host, &welcome, &ana, &of_another), (Disposition::Pass, vec![]));
    of_another.buttons[0].id = format!("{AGREE}soon");
    assert_eq!(taps(&host, &welcome, &ana, &of_another), (Disposition::Pass, vec![]));
    assert_eq!(step(&ana), Step::RulesSent);
}

#[test]
fn message_that_changes_nothing_writes_nothing() {
    let (host, welcome) = (Host::new(), welcome());
    let (ana, _) = joined(&host, &welcome);
    says(&host, &welcome, &ana, "hello");
    // A write would drop this field.
    let mut kept: serde_json::Value = state::get(&ana, "progress").unwrap().unwrap();
    kept["mark"] = true.into();
    state::set(&ana, "progress", &kept).unwrap();
    says(&host, &welcome, &ana, "are you open?");
    assert_eq!(state::get::<serde_json::Value>(&ana, "progress").unwrap(), Some(kept));
}

#[test]
fn unknown_placeholders_stay() {
    let welcome = Welcome { brand: "{name}".into(), ..welcome() };
    let host = Host::new();
    let ana = host.person("Ana");
    let mut odd = welcome.clone();
    odd.texts.insert("en".into(), Texts { greeting: Some("{brand} {what|ever} {} {name".into()), ..Texts::default() });
    assert_eq!(odd.speech(&ana).greeting(false), "{name} {what|ever} {} {name");
}

#[test]
fn settings_are_read_from_json() {
    let host = Host::new();
    host.settings(r#"{ "brand": "Tulip", "remind_after": "90m", "texts": { "nl": { "agree": "Ja" } } }"#);
    let welcome: Welcome = beadle_plugin::settings::load().unwrap();
    assert_eq!(welcome.remind_after, Span::minutes(90));
    assert_eq!(welcome.texts["nl"].agree.as_deref(), Some("Ja"));
    host.settings(r#"{ "brnd": "Tulip" }"#);
    let failure = beadle_plugin::settings::load::<Welcome>().unwrap_err();
    assert!(matches!(&failure, Failure::GiveUp(reason) if reason.contains("brnd")), "{failure:?}");
}

#[test]
fn readme_documents_every_setting() {
    let schema: serde_json::Value = serde_json::from_str(&beadle_plugin::settings::schema::<Welcome>()).unwrap();
    assert_eq!(schema["properties"]["remind_after"]["default"], "3h");
    assert_eq!(schema["$defs"]["Texts"]["properties"]["agree"]["maxLength"], 20);
    let readme = include_str!("../README.md");
    for settings in [&schema["properties"], &schema["$defs"]["Texts"]["properties"]] {
        for name in settings.as_object().unwrap().keys() {
            assert!(readme.contains(&format!("`{name}`")), "README.md does not document `{name}`");
        }
    }
}
