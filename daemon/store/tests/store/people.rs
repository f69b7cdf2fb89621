//! Contacts, reserved words and windows.

use crate::env::*;
use beadle_model::keyword::Language;
use beadle_model::{AliasKind, ContactId, EventBody, Keyword, Timestamp};
use beadle_store::step::*;
use beadle_store::views::ContactDetails;
use beadle_store::{ContactEdit, StoreError};

const OLD: &str = "31600000001";
const NEW: &str = "31600000002";

fn contact(env: &TestEnv, id: i64) -> ContactDetails {
    env.reader.contact_details(ContactId(id)).unwrap().unwrap()
}

/// The contact of a message with these aliases.
async fn contact_of(env: &TestEnv, id: &str, aliases: Vec<beadle_model::Alias>) -> i64 {
    let event = env.append_one(message(id, sender(aliases), "hi")).await;
    event.contact().unwrap().0
}

#[tokio::test]
async fn contact_is_found_by_any_alias_and_gains_new_ones() {
    let env = TestEnv::new();
    let phone = |number| alias(AliasKind::Phone, number);
    assert_eq!(contact_of(&env, "a", vec![wa("31600000001")]).await, 1);
    // A WhatsApp id in digits is a phone number too.
    assert_eq!(contact_of(&env, "b", vec![phone("31600000001")]).await, 1);
    // A user id with a known number, then alone, because the number is hidden.
    assert_eq!(contact_of(&env, "c", vec![wa("31600000001"), user("NL.1")]).await, 1);
    assert_eq!(contact_of(&env, "d", vec![user("NL.1")]).await, 1);
    // A new number with a known user id, and then only the number.
    assert_eq!(contact_of(&env, "e", vec![user("NL.1"), wa("31600000009")]).await, 1);
    assert_eq!(contact_of(&env, "f", vec![wa("31600000009")]).await, 1);
    // A person without a number.
    assert_eq!(contact_of(&env, "g", vec![user("NL.2")]).await, 2);
    // A WhatsApp id that is not a number.
    assert_eq!(contact_of(&env, "h", vec![wa("abc")]).await, 3);
    assert_eq!(contact(&env, 3).aliases, [wa("abc")]);
    let values: Vec<String> = contact(&env, 1).aliases.into_iter().map(|alias| alias.value).collect();
    assert_eq!(values, ["31600000001", "31600000009", "31600000001", "31600000009", "NL.1"]);
    assert!(contact(&env, 1).conflicts.is_empty());
}

#[tokio::test]
async fn conflicting_aliases_are_recorded_without_a_merge() {
    let env = TestEnv::new();
    assert_eq!(contact_of(&env, "a", vec![wa("31600000001")]).await, 1);
    assert_eq!(contact_of(&env, "b", vec![user("NL.2")]).await, 2);
    // Aliases of two contacts: the user id decides.
    for id in ["c", "d"] {
        assert_eq!(contact_of(&env, id, vec![wa("31600000001"), user("NL.2")]).await, 2);
    }
    let conflicts = contact(&env, 2).conflicts;
    assert_eq!(conflicts.len(), 2, "the WhatsApp id and the number in it: {conflicts:?}");
    assert!(conflicts.iter().all(|clash| (clash.holder, clash.claimant) == (ContactId(1), ContactId(2))));
    assert_eq!(contact(&env, 1).conflicts, conflicts);
    assert_eq!(contact_of(&env, "e", vec![wa("31600000001")]).await, 1);
}

#[tokio::test]
async fn address_is_the_best_alias_of_the_last_message() {
    let env = TestEnv::new();
    let table = [
        ("a", vec![user("NL.1"), wa("31600000001")], wa("31600000001")),
        ("b", vec![user("NL.1")], user("NL.1")),
        ("c", vec![user("NL.1"), wa("31600000002")], wa("31600000002")),
        ("d", vec![alias(AliasKind::ParentUserId, "NL.ENT.1"), user("NL.1")], user("NL.1")),
    ];
    for (id, aliases, address) in table {
        let event = env.append_one(message(id, sender(aliases), "hi")).await;
        assert_eq!(event.conversation.unwrap().address, Some(address), "{id}");
    }
}

#[tokio::test]
async fn display_name_follows_the_platform() {
    let env = TestEnv::new();
    for (id, name, display_name) in [("a", Some("Ana"), "Ana"), ("b", None, "Ana"), ("c", Some("Anna"), "Anna")] {
        let from = Sender { name: name.map(Into::into), ..sender(vec![wa("31600000001")]) };
        let event = env.append_one(message(id, from, "hi")).await;
        assert_eq!(event.conversation.unwrap().contact.name.as_deref(), Some(display_name));
    }
    let env = env.reopen();
    assert_eq!(contact(&env, 1).contact.name.as_deref(), Some("Anna"));
}

#[tokio::test]
async fn language_from_a_better_source_wins() {
    let env = TestEnv::new();
    let speaks = async |id: &str, guess: Option<&str>, word: Option<Language>| {
        let from = Sender { language: guess.map(Into::into), ..sender(vec![wa("31600000001")]) };
        let keyword = word.map(|language| KeywordMatch::new(Keyword::Join, Some(language), vec![]));
        let event = env.append_one(NewEvent { keyword, ..message(id, from, "hi") }).await;
        event.conversation.unwrap().contact.language.clone()
    };
    assert_eq!(speaks("a", None, None).await, None);
    assert_eq!(speaks("b", Some("nl"), None).await.as_deref(), Some("nl"));
    assert_eq!(speaks("c", Some("de"), None).await.as_deref(), Some("nl"), "a guess is made once");
    assert_eq!(speaks("d", Some("nl"), Some(Language::Et)).await.as_deref(), Some("et"));
    let edit = |language: &str| ContactEdit { language: Some(language.into()), ..ContactEdit::default() };
    let set = env.store.edit_contact(ContactId(1), edit("pt-BR")).await.unwrap();
    assert_eq!((set.language.as_deref(), set.timezone.as_deref()), (Some("pt-BR"), Some("Europe/Amsterdam")));
    assert_eq!(speaks("e", Some("nl"), None).await.as_deref(), Some("pt-BR"));
    env.store.edit_contact(ContactId(1), edit("pt-BR")).await.unwrap();
    let news = kinds(&env.events()).into_iter().filter(|kind| *kind == "contact-changed").count();
    assert_eq!(news, 1, "what changes nothing is no news");
    let missing = env.store.edit_contact(ContactId(7), edit("nl")).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let env = env.reopen();
    assert_eq!(contact(&env, 1).contact.language.as_deref(), Some("pt-BR"));
}

#[tokio::test]
async fn known_event_changes_nothing() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "a")).await;
    env.manual.advance_ms(HOUR);
    let mut again = message("a", Sender { name: Some("Eve".into()), ..sender(vec![wa("31600000002")]) }, "hi");
    again.happened_at = env.clock.now();
    again.keyword = Some(KeywordMatch::new(Keyword::Stop, None, vec![(Language::En, text("bye"))]));
    assert_eq!(env.append(vec![again]).await, Appended { duplicates: 1, ..Appended::default() });
    // The same in one batch, and for a known contact.
    let twice = vec![from("31600000001", "b"), from("31600000001", "b")];
    let appended = env.append(twice).await;
    assert_eq!((appended.events, appended.duplicates), (1, 1));
    assert_eq!(env.reader.contacts(None, 10).unwrap().len(), 1);
    assert_eq!(contact(&env, 1).contact.opted_out_since, None);
    assert_eq!(kinds(&env.events()), ["member-joined", "message", "message"]);
}

#[tokio::test]
async fn window_counts_from_the_platforms_time_and_never_shrinks() {
    let env = TestEnv::new();
    let table = [
        ("a", -2 * HOUR, 22 * HOUR),
        ("b", -3 * HOUR, 22 * HOUR),
        ("c", 0, 24 * HOUR),
        // Another clock that is ahead.
        ("d", 5 * HOUR, 24 * HOUR),
        ("e", -HOUR, 24 * HOUR),
    ];
    for (id, happened, until) in table {
        let event = NewEvent { happened_at: NOW.plus_ms(happened), ..from("31600000001", id) };
        let event = env.append_one(event).await;
        assert_eq!(event.conversation.unwrap().window_until, Some(NOW.plus_ms(until)), "{id}");
    }
    let mut silent = from("31600000002", "f");
    silent.opens_window = false;
    assert_eq!(env.append_one(silent).await.conversation.unwrap().window_until, None);
}

#[tokio::test]
async fn keywords_change_membership_and_are_answered_once() {
    let env = TestEnv::new();
    // From a known contact: the events after the word's own, and whether it is replied to.
    env.append_one(from("31600000001", "hello")).await;
    let joined = |reason: &str, again| EventBody::MemberJoined { reason: reason.into(), again };
    let left = |reason: &str| EventBody::MemberLeft { reason: reason.into() };
    let table = [
        ("1", Keyword::Stop, Some(left("stop")), true),
        ("2", Keyword::Stop, None, false),
        ("3", Keyword::Start, Some(joined("start", true)), true),
        ("4", Keyword::Start, None, false),
        ("5", Keyword::Leave, Some(left("leave")), true),
        ("6", Keyword::Join, Some(joined("join", true)), true),
    ];
    for (id, text, after, answered) in table {
        let before = env.events().len();
        let appended = env.append(vec![keyword("31600000001", id, text)]).await;
        let events = env.events();
        let bodies: Vec<_> = events[before..].iter().map(|event| event.body.clone()).collect();
        assert!(matches!(bodies[0], EventBody::Message { .. }), "{text:?}");
        assert_eq!(bodies.get(1), after.as_ref(), "{text:?}");
        assert_eq!(appended.queued.len(), usize::from(answered), "{text:?}");
        for row in appended.queued {
            assert_eq!((row.event, row.state, row.reply), (Some(events[before].id), SendState::Queued, true));
            assert_eq!(due_sends(&env.reader, NOW, 100).last(), Some(&row));
        }
    }
}

#[tokio::test]
async fn first_message_that_is_a_keyword_does_not_join() {
    let env = TestEnv::new();
    let appended = env.append(vec![keyword("31600000001", "a", Keyword::Stop)]).await;
    assert_eq!((appended.events, appended.queued.len()), (1, 1));
    // Someone who declined joins only by asking, not by writing.
    env.append(vec![from("31600000001", "b")]).await;
    env.append(vec![keyword("31600000001", "c", Keyword::Start)]).await;
    env.append(vec![keyword("31600000002", "d", Keyword::Join)]).await;
    let events = env.events();
    assert_eq!(kinds(&events), ["message", "message", "message", "member-joined", "message", "member-joined"]);
    assert_eq!(events[3].body, EventBody::MemberJoined { reason: "start".into(), again: false });
    // The event of a word shows the contact after it.
    let fed = drain(&mut env.store.feed().unwrap(), 100).await;
    assert_eq!(fed[0].event.conversation.as_ref().unwrap().contact.opted_out_since, Some(NOW));
    assert_eq!(fed[2].event.conversation.as_ref().unwrap().contact.opted_out_since, None);
}

#[tokio::test]
async fn group_has_one_conversation_with_many_authors() {
    let env = TestEnv::new();
    let in_group = |number| Sender { group: Some("g1".into()), ..sender(vec![wa(number)]) };
    let first = env.append_one(message("a", in_group("31600000001"), "hi")).await;
    let second = env.append_one(message("b", in_group("31600000002"), "ho")).await;
    let (first, second) = (first.conversation.unwrap(), second.conversation.unwrap());
    assert_eq!((first.id, first.group.as_deref()), (second.id, Some("g1")));
    assert_ne!(first.contact.id, second.contact.id);
    assert_eq!(env.reader.conversation(first.id).unwrap().unwrap().contact.id, second.contact.id);
    let alone = env.append_one(from("31600000001", "c")).await.conversation.unwrap();
    assert_ne!(alone.id, first.id);
    assert_eq!(env.reader.conversation_with(alone.contact.id, None).unwrap().unwrap().id, alone.id);
    // Writing in a group does not make a member; the platform reports members.
    assert_eq!(kinds(&env.events()), ["message", "message", "member-joined", "message"]);
}

#[tokio::test]
async fn conversation_with_a_contact_is_the_latest() {
    let env = TestEnv::new();
    for (id, channel, ago) in [("a", "shop", 0), ("b", "club", -HOUR)] {
        let from = Sender { channel: channel.into(), ..sender(vec![wa("31600000001")]) };
        env.append(vec![NewEvent { happened_at: NOW.plus_ms(ago), ..message(id, from, "hi") }]).await;
    }
    let with = |channel| env.reader.conversation_with(ContactId(1), channel).unwrap().map(|view| view.channel);
    assert_eq!(with(None).as_deref(), Some("shop"));
    assert_eq!(with(Some("club")).as_deref(), Some("club"));
    assert_eq!(with(Some("elsewhere")), None);
}

#[tokio::test]
async fn event_for_an_unknown_conversation_fails_alone() {
    let env = TestEnv::new();
    let lost = NewEvent { placement: Placement::Conversation(beadle_model::ConversationId(9)), ..from("1", "x") };
    let batch = Batch { events: vec![from("31600000001", "a"), lost], ..Batch::default() };
    let error = env.store.append(batch).await.unwrap_err();
    assert_eq!(error.to_string(), "no conversation `cnv_9`");
    assert!(env.events().is_empty() && env.reader.contacts(None, 10).unwrap().is_empty());
    let nowhere = NewEvent { placement: Placement::Nowhere, ..from("1", "y") };
    assert_eq!(env.append_one(nowhere).await.conversation, None);
    assert_eq!(env.append_one(from("31600000001", "a")).await.id.0, 3, "ids have no gaps");
}

#[tokio::test]
async fn empty_alias_matches_no_contact() {
    let env = TestEnv::new();
    let missing = message("a", sender(vec![wa(""), user("")]), "hi");
    let event = env.append_one(missing).await;
    assert_eq!((event.conversation, env.reader.contacts(None, 9).unwrap().len()), (None, 0));
    env.append_one(message("b", sender(vec![wa(""), user("NL.1")]), "hi")).await;
    assert_eq!(contact(&env, 1).aliases, [user("NL.1")]);
}

#[tokio::test]
async fn uncached_contacts_are_read_from_disk() {
    // A minimal cache.
    let env = TestEnv::with(|config| config.cached_people = 0);
    for round in 0..3 {
        let numbers = 0..400;
        let events = numbers.map(|n| from(&format!("316{n:08}"), &format!("{round} {n}"))).collect();
        assert_eq!(env.append(events).await.duplicates, 0);
    }
    assert_eq!(env.reader.contacts(None, 1000).unwrap().len(), 400);
    assert_eq!(env.reader.contacts(Some(ContactId(398)), 1000).unwrap().len(), 2);
    assert_eq!(number(&env, "SELECT count(*) FROM conversations"), 400);
    assert_eq!(number(&env, "SELECT count(*) FROM events"), 4 * 400);
    let behind = env.reader.contact(ContactId(1)).unwrap().unwrap();
    assert_eq!((behind.created_at, behind.member_since), (NOW, Some(Timestamp(NOW.0))));
}

#[tokio::test]
async fn number_of_a_new_owner_inherits_nothing() {
    let env = TestEnv::new();
    let both = |id: &str| vec![wa("31600000001"), user(id)];
    let mut stop = message("a", Sender { name: Some("Ana".into()), ..sender(both("NL.1")) }, "stop");
    stop.keyword = Some(KeywordMatch::new(Keyword::Stop, None, vec![]));
    let old = env.append_one(stop).await.conversation.unwrap();
    let ivy = Sender { name: Some("Ivy".into()), ..sender(both("NL.2")) };
    let new = env.append_one(message("b", ivy, "hi")).await.conversation.unwrap();
    assert_ne!((old.id, old.contact.id), (new.id, new.contact.id));
    assert_eq!((new.contact.name.as_deref(), new.contact.opted_out_since), (Some("Ivy"), None));
    let previous = env.reader.conversation(old.id).unwrap().unwrap();
    assert_eq!((previous.contact.name.as_deref(), previous.address), (Some("Ana"), Some(user("NL.1"))));
    assert!(previous.contact.opted_out_since.is_some());
    assert_eq!(env.reader.alias_conflicts(10).unwrap()[0].0.holder, new.contact.id);
    // The number alone is the new owner's, also after a restart.
    let env = env.reopen();
    assert_eq!(env.append_one(from("31600000001", "c")).await.contact(), Some(new.contact.id));
}

#[tokio::test]
async fn message_with_another_time_stamp_is_the_same_message() {
    let env = TestEnv::new();
    let at = |ms: i64| NewEvent { key: key("a", NOW.plus_ms(ms)), ..from("31600000001", "a") };
    env.append(vec![at(0)]).await;
    assert_eq!(env.append(vec![at(1000), at(-1000)]).await.duplicates, 2);
    assert_eq!(env.reopen().append(vec![at(2000)]).await.duplicates, 1);
}

/// A report of the platform that a number or user id changed; the new identities come first.
fn changed(id: &str, change: &str, aliases: Vec<beadle_model::Alias>, at: Timestamp) -> NewEvent {
    let extra = serde_json::Value::Null;
    let body = EventBody::ContactChanged { change: change.into(), merged: None, extra };
    NewEvent { body, opens_window: false, happened_at: at, ..message(id, Sender { name: None, ..sender(aliases) }, "") }
}

fn phone(digits: &str) -> beadle_model::Alias {
    alias(AliasKind::Phone, digits)
}

fn stop(id: &str, aliases: Vec<beadle_model::Alias>) -> NewEvent {
    let matched = KeywordMatch::new(Keyword::Stop, None, vec![]);
    NewEvent { keyword: Some(matched), ..message(id, sender(aliases), "stop") }
}

#[tokio::test]
async fn stop_holds_if_the_report_of_a_change_comes_after_the_first_message() {
    let (a, one, two) = (phone(OLD), user("NL.1"), user("NL.2"));
    let by_number = ("number-changed", vec![wa(NEW), a.clone()]);
    let with_user_id = ("number-changed", vec![two.clone(), wa(NEW), a.clone(), one.clone()]);
    let of_user_id = ("id-changed", vec![two.clone(), one.clone()]);
    for (before, after, (change, reported)) in [
        (vec![a.clone()], vec![wa(NEW)], by_number.clone()),
        (vec![a.clone(), one.clone()], vec![wa(NEW), two.clone()], by_number.clone()),
        (vec![a.clone(), one.clone()], vec![wa(NEW), two.clone()], with_user_id),
        (vec![a.clone(), one.clone()], vec![wa(NEW), two.clone()], ("number-changed", vec![wa(NEW), one.clone()])),
        (vec![one.clone()], vec![two.clone()], of_user_id.clone()),
        // The new user id came with the known number, so that it was taken for a new owner.
        (vec![a.clone(), one.clone()], vec![a.clone(), two.clone()], of_user_id),
    ] {
        let env = TestEnv::new();
        let case = format!("{before:?} {after:?} {reported:?}");
        let old = env.append_one(stop("a", before)).await.conversation.unwrap();
        env.manual.advance_ms(HOUR);
        let second = env.append_one(message("b", sender(after.clone()), "hi")).await.conversation.unwrap();
        assert_ne!(old.contact.id, second.contact.id, "{case}");
        let report = changed("c", change, reported, env.clock.now());
        let appended = env.append(vec![report]).await;
        assert_eq!(appended.merged, [(second.id, old.id)], "{case}");
        let event = env.append_one(message("d", sender(after), "are you there?")).await.conversation.unwrap();
        assert_eq!((event.id, event.contact.id), (old.id, old.contact.id), "{case}");
        assert!(event.contact.opted_out_since.is_some(), "{case}");
        assert!(env.reader.conversation(second.id).unwrap().unwrap().contact.opted_out_since.is_some(), "{case}");
        assert!(
            env.reader.alias_conflicts(10).unwrap().iter().all(|(found, ..)| found.holder == old.contact.id),
            "{case}"
        );
    }
}

#[tokio::test]
async fn stop_of_the_new_identity_holds_for_the_merged_person() {
    let env = TestEnv::new();
    env.append_one(message("a", sender(vec![phone(OLD)]), "hi")).await;
    env.append_one(stop("b", vec![wa(NEW)])).await;
    env.append_one(changed("c", "number-changed", vec![wa(NEW), phone(OLD)], NOW)).await;
    let event = env.append_one(from(NEW, "d")).await.conversation.unwrap();
    assert_eq!(event.contact.id, ContactId(1));
    assert!(event.contact.opted_out_since.is_some());
}

#[tokio::test]
async fn new_user_id_of_a_changed_number_is_not_a_new_owner() {
    let env = TestEnv::new();
    env.append_one(stop("a", vec![wa(OLD), user("NL.1")])).await;
    env.append_one(changed("b", "number-changed", vec![wa(NEW), phone(OLD)], NOW)).await;
    // Repeated, and in the same webhook.
    env.append(vec![changed("c", "number-changed", vec![wa(NEW), phone(OLD)], NOW)]).await;
    let event = env.append_one(message("d", sender(vec![wa(NEW), user("NL.2")]), "hi")).await.conversation.unwrap();
    assert_eq!(event.contact.id, ContactId(1));
    assert!(event.contact.opted_out_since.is_some());
    // Each number has a user id of its own: with another one it is another person's.
    for (id, digits, user_id) in [("e", OLD, "NL.8"), ("f", NEW, "NL.9")] {
        env.manual.advance_ms(DAY);
        let event = env.append_one(message(id, sender(vec![wa(digits), user(user_id)]), "hi")).await;
        let contact = event.conversation.unwrap().contact.clone();
        assert_ne!(contact.id, ContactId(1), "{digits}");
        assert_eq!(contact.opted_out_since, None, "{digits}");
    }
}

#[tokio::test]
async fn user_id_in_the_report_belongs_to_the_new_number() {
    let env = TestEnv::new();
    env.append_one(stop("a", vec![wa(OLD), user("NL.1")])).await;
    let aliases = vec![user("NL.2"), wa(NEW), phone(OLD), user("NL.1")];
    env.append_one(changed("b", "number-changed", aliases, NOW)).await;
    assert_eq!(contact_of(&env, "c", vec![wa(NEW), user("NL.2")]).await, 1);
    assert_eq!(contact_of(&env, "d", vec![wa(NEW), user("NL.3")]).await, 2, "a new owner of the number");
    assert_eq!(contact(&env, 2).contact.opted_out_since, None);
}

#[tokio::test]
async fn user_id_learned_before_the_number_identifies_a_new_owner() {
    let env = TestEnv::new();
    assert_eq!(contact_of(&env, "a", vec![user("NL.1")]).await, 1);
    env.manual.advance_ms(DAY);
    assert_eq!(contact_of(&env, "b", vec![wa(NEW), user("NL.1")]).await, 1);
    assert_eq!(contact_of(&env, "c", vec![wa(NEW), user("NL.2")]).await, 2);
}

#[tokio::test]
async fn number_of_a_previous_owner_moves_without_their_stop() {
    let env = TestEnv::new();
    let previous = env.append_one(stop("a", vec![wa(NEW), user("NL.9")])).await.conversation.unwrap();
    env.manual.advance_ms(30 * DAY);
    let mut hello = message("b", sender(vec![wa(OLD), user("NL.1")]), "hi");
    hello.happened_at = env.clock.now();
    let ana = env.append_one(hello).await.conversation.unwrap();
    env.manual.advance_ms(30 * DAY);
    let report = changed("c", "number-changed", vec![wa(NEW), phone(OLD)], env.clock.now());
    assert_eq!(env.append(vec![report]).await.merged, []);
    let event = env.append_one(message("d", sender(vec![wa(NEW), user("NL.2")]), "hi")).await.conversation.unwrap();
    assert_eq!((event.id, event.contact.id, event.contact.opted_out_since), (ana.id, ana.contact.id, None));
    let previous = env.reader.conversation(previous.id).unwrap().unwrap();
    assert_eq!(previous.address, Some(user("NL.9")));
    assert!(previous.contact.opted_out_since.is_some());
}

/// The platform reports the change ten days after the first message of the new identity, so that it
/// may be another person's: the contacts stay two, and what either refused holds for both.
#[tokio::test]
async fn stop_and_ban_hold_for_both_contacts_of_a_late_report() {
    let refused = |env: &TestEnv, id: i64| {
        let found = contact(env, id).contact;
        (found.opted_out_since.is_some(), found.profile().role == beadle_model::Role::Banned)
    };
    let at = |env: &TestEnv, event: NewEvent| NewEvent { happened_at: env.clock.now(), ..event };
    let (old, new) = (vec![wa(OLD), user("NL.1")], vec![wa(NEW), user("NL.2")]);
    for (first_says_stop, banned) in [(true, None), (false, None), (false, Some(1)), (false, Some(2))] {
        let case = format!("{first_says_stop} {banned:?}");
        let env = TestEnv::new();
        let hello = |id: &str, aliases: &[beadle_model::Alias]| message(id, sender(aliases.to_vec()), "hi");
        env.append_one(hello("a", &old)).await;
        env.append_one(at(&env, hello("b", &new))).await;
        env.manual.advance_ms(10 * DAY);
        match banned {
            Some(id) => {
                let profile =
                    beadle_model::profile::ProfileEdit { role: Some(beadle_model::Role::Banned), ..Default::default() };
                env.store.edit_contact(ContactId(id), ContactEdit { profile, ..Default::default() }).await.unwrap();
            }
            None => {
                let opted_out = if first_says_stop { &old } else { &new };
                env.append(vec![at(&env, stop("c", opted_out.clone()))]).await;
            }
        }
        let report = changed("d", "number-changed", vec![wa(NEW), phone(OLD)], env.clock.now());
        assert_eq!(env.append(vec![report]).await.merged, [], "{case}");
        let expected = (banned.is_none(), banned.is_some());
        assert_eq!([refused(&env, 1), refused(&env, 2)], [expected; 2], "{case}");
        let (pair, _) = env.reader.alias_conflicts(10).unwrap().remove(0);
        assert_eq!((pair.holder, pair.claimant), (ContactId(1), ContactId(2)), "{case}");
        // The user id decides: it is the second contact's, whose number is now the first one's.
        let event = env.append_one(at(&env, hello("e", &new))).await.conversation.unwrap();
        assert_eq!((event.contact.id, event.contact.opted_out_since.is_some()), (ContactId(2), expected.0), "{case}");
        let env = env.reopen();
        assert_eq!([refused(&env, 1), refused(&env, 2)], [expected; 2], "{case}");
        assert_eq!(env.reader.verify_consents().unwrap().problems, Vec::<String>::new());
        // START ends it for the contact that says it.
        if banned.is_none() {
            let start = KeywordMatch::new(Keyword::Start, None, vec![]);
            env.append(vec![NewEvent { keyword: Some(start), ..at(&env, hello("f", &new)) }]).await;
            assert_eq!([refused(&env, 1).0, refused(&env, 2).0], [true, false], "{case}");
        }
    }
}

#[tokio::test]
async fn number_recorded_in_another_spelling_moves_with_a_late_report() {
    let env = TestEnv::new();
    let at = |env: &TestEnv, event: NewEvent| NewEvent { happened_at: env.clock.now(), ..event };
    env.append_one(stop("a", vec![wa(OLD)])).await;
    env.append_one(at(&env, message("b", sender(vec![wa("5511987654321")]), "hi"))).await;
    env.manual.advance_ms(10 * DAY);
    let report = changed("c", "number-changed", vec![wa("551187654321"), phone(OLD)], env.clock.now());
    env.append(vec![report]).await;
    for digits in ["5511987654321", "551187654321"] {
        assert_eq!(contact_of(&env, digits, vec![wa(digits)]).await, 1, "{digits}");
    }
    assert_eq!(env.reader.alias_conflicts(10).unwrap()[0].0.claimant, ContactId(2));
}

#[tokio::test]
async fn late_report_does_not_merge_the_next_owner_of_the_old_number() {
    let env = TestEnv::new();
    assert_eq!(contact_of(&env, "a", vec![wa(OLD), user("NL.1")]).await, 1);
    env.append_one(stop("b", vec![wa(OLD), user("NL.1")])).await;
    assert_eq!(contact_of(&env, "c", vec![wa(OLD), user("NL.9")]).await, 2);
    let report = changed("d", "number-changed", vec![wa(NEW), phone(OLD), user("NL.1")], NOW);
    assert_eq!(env.append(vec![report]).await.merged, []);
    assert_eq!(contact_of(&env, "e", vec![wa(NEW)]).await, 1);
    assert_eq!(contact(&env, 2).contact.opted_out_since, None);
}

#[tokio::test]
async fn people_who_are_marked_as_distinct_are_not_merged() {
    let env = TestEnv::new();
    assert_eq!(contact_of(&env, "a", vec![phone(OLD)]).await, 1);
    assert_eq!(contact_of(&env, "b", vec![wa(NEW)]).await, 2);
    env.store.mark_contacts_distinct(ContactId(1), ContactId(2)).await.unwrap();
    let report = changed("c", "number-changed", vec![wa(NEW), phone(OLD)], NOW);
    assert_eq!(env.append(vec![report]).await.merged, []);
    assert_eq!(contact_of(&env, "d", vec![wa(NEW)]).await, 1, "the number is the first one's now");
}
