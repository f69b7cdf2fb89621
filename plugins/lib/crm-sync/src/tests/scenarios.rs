//! One behaviour each.

use super::systems::{Crm, Dav, System};
use super::world::{Fate, World};
use crate::engine::Side;
use crate::host::{Host, Scope};
use crate::member::{Consent, Member};
use crate::session::EntryKind;
use crate::value::Value;
use serde_json::{Value as Json, json};

fn crm_settings() -> Json {
    json!({
        "provider": "hubspot", "base_url": Crm::URL, "create": "on_join", "notes": true, "poll": "5m",
        "map": [
            { "wa": "member.first_name", "crm": "firstname", "on_conflict": "crm" },
            { "wa": "member.last_name", "crm": "lastname", "on_conflict": "crm" },
            { "wa": "member.phone", "crm": "phone", "dir": "to_crm", "transform": "phone" },
            { "wa": "member.attributes.a", "crm": "a", "on_conflict": "newest" },
            { "wa": "member.attributes.c", "crm": "c", "on_conflict": "manual" },
            { "wa": "consent.marketing", "crm": "optout", "values": { "granted": "false", "withdrawn": "true" } },
        ],
    })
}

fn dav_settings() -> Json {
    json!({
        "provider": "carddav", "base_url": Dav::URL, "create": "on_join",
        "map": [
            { "wa": "member.name", "crm": "FN", "on_conflict": "crm" },
            { "wa": "member.phone", "crm": "TEL", "dir": "to_crm", "transform": "phone" },
            { "wa": "member.tags", "crm": "CATEGORIES" },
        ],
    })
}

fn crm() -> World<Crm> {
    World::new(&crm_settings(), Crm::default())
}

fn member(id: &str, name: &str, phone: &str) -> Member {
    let (name, phones) = (Some(name.to_owned()), vec![phone.to_owned()]);
    Member { id: id.to_owned(), name, phones, is_member: true, ..Member::default() }
}

fn ana() -> Member {
    member("con_1", "Ana de Vries", "31612345678")
}

fn text(text: &str) -> Option<Value> {
    Value::text(text)
}

fn status<S: System>(world: &mut World<S>, id: &str) -> &'static str {
    world.ask(|engine, host| engine.link(host, id)).status
}

fn kinds<S: System>(world: &mut World<S>) -> Vec<EntryKind> {
    world.ask(|engine, host| engine.queue(host, None, 100)).iter().map(|entry| entry.kind).collect()
}

#[test]
fn a_member_who_joins_gets_a_contact_and_both_stay_the_same() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    let ids = world.system.with_phone("31612345678");
    assert_eq!(ids.len(), 1);
    assert_eq!(world.system.field(&ids[0], "lastname"), text("de Vries"));
    world.edit("con_1", |member| member.name = Some("Anna de Vries".into()));
    let now_ms = world.host.now_ms;
    world.system.edit(now_ms, &ids[0], "lastname", text("Bakker"));
    world.settle();
    assert_eq!(world.host.members["con_1"].name.as_deref(), Some("Anna Bakker"));
    assert_eq!(world.system.field(&ids[0], "firstname"), text("Anna"));
    // Nothing is left to say.
    let requests = world.host.keys.iter().filter(|key| key.starts_with("person/")).count();
    world.settle();
    assert_eq!(world.host.keys.iter().filter(|key| key.starts_with("person/")).count(), requests);
}

#[test]
fn numbers_in_every_spelling_are_linked_and_not_rewritten() {
    for (member_phone, crm_phone) in [
        ("5511987654321", "+55 11 8765-4321"),
        ("5215512345678", "+52 55 1234 5678"),
        ("541123456789", "+54 9 11 2345-6789"),
        ("31612345678", "0031 6 12345678"),
    ] {
        let mut world = crm();
        let now_ms = world.host.now_ms;
        let id = world.system.add(now_ms, "Ana", crm_phone);
        world.host.now_ms += 60_000;
        world.join(member("con_1", "Ana", member_phone));
        world.settle();
        assert_eq!(status(&mut world, "con_1"), "linked", "{member_phone}");
        assert_eq!(world.system.contacts.len(), 1, "{member_phone}");
        assert_eq!(world.system.field(&id, "phone"), text(crm_phone));
    }
}

#[test]
fn several_contacts_are_a_conflict_that_the_operator_decides() {
    let mut world = crm();
    let now_ms = world.host.now_ms;
    world.system.add(now_ms, "Ana", "+31612345678");
    let id = world.system.add(now_ms, "Ana", "+31 6-12345678");
    world.host.now_ms += 60_000;
    world.join(ana());
    world.settle();
    assert_eq!((status(&mut world, "con_1"), kinds(&mut world)), ("conflict", vec![EntryKind::Several]));
    assert_eq!(world.system.field(&id, "lastname"), None);
    assert_eq!(world.ask(|engine, host| engine.relink(host, "con_1", Some(&id))), Ok(()));
    world.settle();
    assert_eq!(status(&mut world, "con_1"), "linked");
    assert_eq!(world.system.field(&id, "lastname"), text("de Vries"));
    assert_eq!(world.host.members["con_1"].name.as_deref(), Some("Ana de Vries"));
}

#[test]
fn a_manual_conflict_shows_both_values_until_it_is_decided() {
    for keep in [Side::Member, Side::Crm] {
        let mut world = crm();
        world.join(ana());
        world.settle();
        let id = world.system.with_phone("31612345678").remove(0);
        world.edit("con_1", |member| drop(member.attributes.insert("c".into(), Value::Text("ours".into()))));
        let now_ms = world.host.now_ms;
        world.system.edit(now_ms, &id, "c", text("theirs"));
        world.settle();
        let entries = world.ask(|engine, host| engine.queue(host, None, 10));
        assert_eq!(entries.len(), 1);
        assert_eq!((&entries[0].member, &entries[0].crm), (&text("ours"), &text("theirs")));
        let unknown = world.ask(|engine, host| engine.resolve(host, "con_1", "x", keep));
        assert!(unknown.is_err());
        assert_eq!(world.ask(|engine, host| engine.resolve(host, "con_1", "c", keep)), Ok(()));
        world.settle();
        let kept = if keep == Side::Member { text("ours") } else { text("theirs") };
        assert_eq!(world.system.field(&id, "c"), kept);
        assert_eq!(world.host.members["con_1"].attributes.get("c"), kept.as_ref());
        assert!(kinds(&mut world).is_empty());
    }
}

#[test]
fn stop_reaches_the_crm_and_the_crm_cannot_undo_it() {
    let mut world = crm();
    world.join(Member { consents: [("marketing".to_owned(), Consent::Granted)].into(), ..ana() });
    world.settle();
    let id = world.system.with_phone("31612345678").remove(0);
    assert_eq!(world.system.field(&id, "optout"), text("false"));
    world.edit("con_1", |member| member.opted_out = true);
    world.settle();
    assert_eq!(world.system.field(&id, "optout"), text("true"));
    let now_ms = world.host.now_ms;
    world.system.edit(now_ms, &id, "optout", text("false"));
    world.settle();
    assert_eq!(world.system.field(&id, "optout"), text("true"));
}

#[test]
fn an_opt_out_in_the_crm_withdraws_the_consent() {
    let mut world = crm();
    world.join(Member { consents: [("marketing".to_owned(), Consent::Granted)].into(), ..ana() });
    world.settle();
    let id = world.system.with_phone("31612345678").remove(0);
    let now_ms = world.host.now_ms;
    world.system.edit(now_ms, &id, "optout", text("true"));
    world.settle();
    assert_eq!(world.host.members["con_1"].consents["marketing"], Consent::Withdrawn);
}

#[test]
fn a_deleted_contact_is_unlinked_and_not_created_again() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    let id = world.system.with_phone("31612345678").remove(0);
    let now_ms = world.host.now_ms;
    world.system.remove(now_ms, &id);
    for hook in world.system.take_hooks() {
        world.hook(&hook);
    }
    world.settle();
    world.edit("con_1", |member| member.name = Some("Anna".into()));
    world.settle();
    assert_eq!((status(&mut world, "con_1"), world.system.contacts.len()), ("crm_deleted", 0));
    assert!(world.host.members.contains_key("con_1"));
}

#[test]
fn a_contact_that_was_merged_in_the_crm_is_followed() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    let old = world.system.with_phone("31612345678").remove(0);
    let new = world.system.next_id + 1;
    world.system.next_id = new;
    let contact = world.system.contacts.remove(&old.parse().unwrap()).unwrap();
    world.system.contacts.insert(new, contact);
    world.system.merged.insert(old.parse().unwrap(), new);
    world.edit("con_1", |member| member.name = Some("Anna Smit".into()));
    world.settle();
    assert_eq!(world.ask(|engine, host| engine.link(host, "con_1")).crm_id, Some(new.to_string()));
    assert_eq!(world.system.field(&new.to_string(), "lastname"), text("Smit"));
}

fn erase<S: System>(world: &mut World<S>, id: &str) {
    world.handle(|engine, host| {
        let member = host.members.remove(id);
        engine.member_erased(host, &[id.to_owned()], member.as_ref())?;
        host.state.retain(|(scope, _), _| *scope != Scope::Contact(id.to_owned()));
        Ok(())
    });
}

#[test]
fn an_erased_person_stays_erased() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    erase(&mut world, "con_1");
    world.settle();
    assert!(world.system.contacts.is_empty());
    let names_them = |((_, key), value): (&(Scope, String), &Vec<u8>)| {
        key.contains("con_1") || String::from_utf8_lossy(value).contains("con_1")
    };
    assert_eq!(world.host.state.iter().filter(|entry| names_them(*entry)).count(), 0);
}

#[test]
fn a_contact_created_for_someone_erased_meanwhile_is_deleted() {
    for fate in [Fate::Answered, Fate::Lost] {
        let mut settings = crm_settings();
        settings["search"] = json!({ "member_id": "wa_id" });
        let mut world = World::new(&settings, Crm::default());
        world.settle();
        world.join(ana());
        world.deliver();
        world.pass(5_000);
        // The searches, by member id and phone.
        for _ in 0..2 {
            world.send(0, Fate::Answered);
            world.deliver();
        }
        assert!(world.host.outbox[0].http.url.ends_with("upsert"));
        erase(&mut world, "con_1");
        world.send(0, fate);
        assert_eq!(world.system.contacts.len(), 1);
        world.settle();
        assert_eq!(world.system.contacts.len(), 0, "{fate:?}");
    }
}

#[test]
fn a_refused_value_waits_and_the_others_are_written() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    let id = world.system.with_phone("31612345678").remove(0);
    world.edit("con_1", |member| {
        member.attributes.insert("a".into(), Value::Text("invalid".into()));
        member.name = Some("Ana Smit".into());
    });
    world.settle();
    assert_eq!(world.system.field(&id, "lastname"), text("Smit"));
    assert_eq!(world.system.field(&id, "a"), None);
    assert_eq!(kinds(&mut world), [EntryKind::RefusedByCrm]);
    world.edit("con_1", |member| drop(member.attributes.insert("a".into(), Value::Text("good".into()))));
    world.settle();
    assert_eq!((world.system.field(&id, "a"), kinds(&mut world)), (text("good"), vec![]));
    let now_ms = world.host.now_ms;
    world.system.edit(now_ms, &id, "a", text("refuse-me"));
    world.settle();
    assert_eq!(kinds(&mut world), [EntryKind::RefusedByHost]);
}

#[test]
fn what_fails_eight_times_is_a_dead_letter_that_can_be_tried_again() {
    let mut world = crm();
    world.join(ana());
    for _ in 0..2000 {
        while world.deliver() || world.send(0, Fate::Failing) {}
        world.pass(60_000);
    }
    assert_eq!((status(&mut world, "con_1"), kinds(&mut world)), ("failed", vec![EntryKind::DeadLetter]));
    assert_eq!(world.ask(|engine, host| engine.retry(host, "con_1")), Ok(()));
    world.settle();
    assert_eq!((status(&mut world, "con_1"), world.system.contacts.len()), ("linked", 1));
}

#[test]
fn a_note_is_written_once_a_day() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    for line in ["first", "second"] {
        world.handle(|engine, host| engine.add_note(host, "con_1", line));
    }
    world.settle();
    world.handle(|engine, host| engine.add_note(host, "con_1", "third"));
    world.settle();
    assert_eq!(world.system.notes, ["first\nsecond"]);
    world.host.now_ms += 86_400_000;
    world.settle();
    assert_eq!(world.system.notes, ["first\nsecond", "third"]);
}

#[test]
fn a_missing_field_disables_its_entry_only() {
    let mut settings = crm_settings();
    settings["map"][3]["crm"] = json!("aa");
    let mut world = World::new(&settings, Crm::default());
    world.settle();
    let schema = world.ask(|engine, host| engine.status(host)).schema;
    assert_eq!(schema.len(), 1);
    assert!(schema[0].message.contains("the CRM has no field `aa`; did you mean `a`?"), "{schema:?}");
    world.join(Member { attributes: [("a".to_owned(), Value::Text("x".into()))].into(), ..ana() });
    world.settle();
    let id = world.system.with_phone("31612345678").remove(0);
    assert_eq!((world.system.field(&id, "aa"), world.system.field(&id, "firstname")), (None, text("Ana")));
}

#[test]
fn a_dry_backfill_reports_and_changes_nothing_and_a_real_one_does_it() {
    let mut settings = crm_settings();
    settings["create"] = json!("on_consent");
    settings["backfill"] = json!({ "page": 2 });
    let mut world = World::new(&settings, Crm::default());
    world.settle();
    let now_ms = world.host.now_ms;
    for phone in ["+31600000001", "+31600000002", "+31600000002", "+31600000009", "+31600000008"] {
        world.system.add(now_ms, "X", phone);
    }
    // As if the plugin had been installed later: older than the first poll looks back.
    world.host.state.clear();
    world.host.keys.clear();
    world.host.now_ms += 3_600_000;
    for number in 1..=4 {
        let id = format!("con_{number}");
        let mut member = member(&id, "Y", &format!("3160000000{number}"));
        if number == 4 {
            member.consents.insert("marketing".into(), Consent::Granted);
        }
        world.host.members.insert(id, member);
    }
    for is_dry_run in [true, false] {
        assert_eq!(world.ask(|engine, host| engine.start_backfill(host, is_dry_run)), Ok(()));
        assert!(world.ask(|engine, host| engine.start_backfill(host, is_dry_run)).is_err());
        // Stopped and continued in the middle.
        world.send(0, Fate::Answered);
        world.deliver();
        world.handle(|engine, host| engine.stop_backfill(host));
        world.settle();
        world.handle(|engine, host| engine.resume_backfill(host));
        world.settle();
        let backfill = world.ask(|engine, host| engine.status(host)).backfill;
        let counts = (
            backfill.contacts,
            backfill.members,
            backfill.create,
            backfill.link,
            backfill.conflict,
            backfill.skip_no_consent,
        );
        assert_eq!(counts, (5, 4, 1, 1, 1, 1), "{is_dry_run}");
        if is_dry_run {
            assert_eq!(world.system.contacts.len(), 5);
            assert_eq!(status(&mut world, "con_1"), "unlinked");
        }
    }
    let states = ["con_1", "con_2", "con_3", "con_4"].map(|id| status(&mut world, id));
    assert_eq!(states, ["linked", "conflict", "unlinked", "linked"]);
    assert_eq!(world.system.contacts.len(), 6);
}

#[test]
fn a_card_keeps_what_other_programs_wrote() {
    let mut world = World::new(&dav_settings(), Dav::default());
    let id = world.system.add(0, "Ana", "+31 6 12 34 56 78");
    world.join(Member { tags: vec!["vip".into()], ..ana() });
    world.settle();
    assert_eq!((status(&mut world, "con_1"), world.system.cards.len()), ("linked", 1));
    let card = &world.system.cards[&id].1;
    for kept in ["X-KEEP:me", "TEL;TYPE=home:+31 6 12 34 56 78", "CATEGORIES:vip", "X-BEADLE-ID:con_1"] {
        assert!(card.contains(kept), "{card}");
    }
    // The rule of the name is `crm`.
    assert_eq!(world.host.members["con_1"].name.as_deref(), Some("Ana"));
}

#[test]
fn an_element_removed_while_it_is_written_stays_removed() {
    let mut world = World::new(&dav_settings(), Dav::default());
    world.join(ana());
    world.settle();
    let id = world.system.with_phone("31612345678").remove(0);
    world.edit("con_1", |member| member.tags = vec!["ours".into()]);
    world.system.edit(0, &id, "CATEGORIES", Value::list(["theirs"]));
    world.deliver();
    world.pass(5_000);
    world.send(0, Fate::Answered);
    world.deliver();
    // Merged; the member has both, and the card is to be written.
    assert_eq!(world.host.members["con_1"].tags, ["ours", "theirs"]);
    assert_eq!(world.host.outbox[0].http.method, "PUT");
    world.system.edit(0, &id, "CATEGORIES", None);
    world.settle();
    assert_eq!(world.host.members["con_1"].tags, ["ours"]);
    assert_eq!(world.system.field(&id, "CATEGORIES"), Value::list(["ours"]));
}

#[test]
fn a_large_address_book_is_read_in_steps() {
    for is_backfill in [false, true] {
        let mut settings = dav_settings();
        settings["create"] = json!("never");
        let mut world = World::new(&settings, Dav::default());
        if is_backfill {
            world.settle();
            world.host.timers.remove("poll");
        }
        for number in 0..1130 {
            world.system.add(0, "X", &format!("+3161{number:07}"));
        }
        for number in 0..3 {
            let id = format!("con_{number}");
            world.host.members.insert(id.clone(), member(&id, "Y", &format!("3161{:07}", number * 500)));
        }
        if is_backfill {
            assert_eq!(world.ask(|engine, host| engine.start_backfill(host, false)), Ok(()));
        }
        world.settle();
        for number in 0..3 {
            assert_eq!(status(&mut world, &format!("con_{number}")), "linked", "{number} {is_backfill}");
        }
        assert_eq!(world.system.cards.len(), 1130);
    }
}

#[test]
fn an_expired_token_loses_nothing() {
    let mut world = World::new(&dav_settings(), Dav::default());
    world.join(ana());
    world.settle();
    let id = world.system.with_phone("31612345678").remove(0);
    world.system.edit(0, &id, "FN", text("Anna"));
    world.system.oldest_token = world.system.changes.len() + 1;
    world.pass(300_000);
    world.send(0, Fate::Answered);
    world.deliver();
    world.system.oldest_token = 0;
    world.settle();
    assert_eq!(world.host.members["con_1"].name.as_deref(), Some("Anna"));
}

#[test]
fn members_that_become_one_keep_one_contact() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    let now_ms = world.host.now_ms;
    world.host.members.insert("con_0".into(), member("con_0", "Ana de Vries", "31600000000"));
    // The host moves the state of the removed contact, and its numbers.
    world.handle(|engine, host| {
        let mut removed = host.members.remove("con_1").unwrap();
        host.members.get_mut("con_0").unwrap().phones.append(&mut removed.phones);
        host.removed.insert("con_1".into(), "con_0".into());
        let moved: Vec<_> =
            host.state.keys().filter(|(scope, _)| *scope == Scope::Contact("con_1".into())).cloned().collect();
        for key in moved {
            let value = host.state.remove(&key).unwrap();
            host.state.insert((Scope::Contact("con_0".into()), key.1), value);
        }
        engine.member_merged(host, "con_0", "con_1")
    });
    world.system.edit(now_ms, "1", "lastname", text("Smit"));
    world.settle();
    assert_eq!((status(&mut world, "con_0"), world.system.contacts.len()), ("linked", 1));
    assert_eq!(world.host.members["con_0"].name.as_deref(), Some("Ana Smit"));
}

#[test]
fn a_system_with_webhooks_only_gets_and_sends_changes() {
    #[derive(Default)]
    struct Receiver(Vec<Json>);
    impl System for Receiver {
        fn serve(&mut self, _: i64, request: &crate::http::HttpRequest) -> crate::http::HttpResponse {
            self.0.push(serde_json::from_slice(&request.body).unwrap());
            crate::http::HttpResponse { status: 200, ..Default::default() }
        }
        fn with_phone(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
        fn field(&self, _: &str, _: &str) -> Option<Value> {
            None
        }
        fn edit(&mut self, _: i64, _: &str, _: &str, _: Option<Value>) {}
        fn add(&mut self, _: i64, _: &str, _: &str) -> String {
            String::new()
        }
        fn remove(&mut self, _: i64, _: &str) {}
        fn take_hooks(&mut self) -> Vec<Vec<u8>> {
            Vec::new()
        }
    }
    let settings = json!({
        "provider": "webhook", "base_url": "https://x.example.org/in", "create": "on_join", "webhook": true,
        "pointers": { "id": "/id", "updated_at": "/at", "fields": "/fields" },
        "map": [{ "wa": "member.name", "crm": "name" }],
    });
    let mut world = World::new(&settings, Receiver::default());
    world.join(ana());
    world.settle();
    assert_eq!(world.system.0.last().unwrap()["fields"]["name"], "Ana de Vries");
    let hook = |name: &str, at: i64| json!({ "id": "con_1", "at": at, "fields": { "name": name } }).to_string();
    world.hook(hook("Anna", 200).as_bytes());
    // An older call that comes later, and one that makes no sense.
    world.hook(hook("Old", 100).as_bytes());
    world.hook(b"nonsense");
    world.settle();
    assert_eq!(world.host.members["con_1"].name.as_deref(), Some("Anna"));
    assert_eq!(world.system.0.len(), 1);
    world.edit("con_1", |member| member.name = Some("Ana".into()));
    world.settle();
    assert_eq!(world.system.0.last().unwrap()["event"], "contact.changed");
}

#[test]
fn the_state_of_a_person_is_small() {
    let mut world = crm();
    world.join(ana());
    world.settle();
    let of_person = |((scope, key), value): (&(Scope, String), &Vec<u8>)| {
        (*scope == Scope::Contact("con_1".into()) || key.starts_with("crm/")).then_some(key.len() + value.len())
    };
    let bytes: usize = world.host.state.iter().filter_map(of_person).sum();
    assert!(bytes < 200, "{bytes}");
    assert!(world.host.get(&Scope::Plugin, "crm/1").unwrap().is_some());
}
