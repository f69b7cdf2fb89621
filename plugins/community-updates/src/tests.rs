//! Updates from files and settings to every member, with the plugin's own handlers.

use super::*;
use beadle_plugin::broadcasts;
use beadle_plugin::testing::Host;

fn updates(json: &str) -> Updates {
    serde_json::from_str(json).unwrap()
}

/// A member who has just written.
fn member(host: &Host, name: &str, language: Option<&str>) -> Contact {
    let contact = Contact { member: true, language: language.map(str::to_owned), ..host.person(name) };
    host.text(&contact, "hello");
    contact
}

/// A member whom the operator made an admin.
fn admin(host: &Host, name: &str, language: Option<&str>) -> Contact {
    let contact = Contact { role: "admin".to_owned(), ..member(host, name, language) };
    host.text(&contact, "hello");
    contact
}

/// The schedule fires, and all steps of the run follow.
fn fire(host: &Host, updates: &Updates, payload: &str) {
    updates.on_schedule(host.schedule("weekly", payload)).unwrap();
    while let Some(timer) = host.next_timer() {
        updates.on_timer(timer).unwrap();
    }
}

fn delivered(host: &Host) -> Vec<(String, String)> {
    host.sent().into_iter().map(|sent| (sent.to, sent.body)).collect()
}

#[test]
fn members_get_an_update_once_in_their_language() {
    let host = Host::new();
    let updates = updates(r#"{"per_step": 2}"#);
    host.document("party.md", Some("# Party\nCome **all**: [here](https://example.org)."));
    host.document("party.nl.md", Some("# Feest\nKom!"));
    let silent = Contact { member: true, ..host.person("Silent") };
    host.joins(&silent, "invite", false);
    let [ana, bram, cem] = [("Ana", Some("nl-BE")), ("Bram", Some("fr")), ("Cem", None)]
        .map(|(name, language)| member(&host, name, language));
    host.text(&Contact { member: false, ..host.person("Stranger") }, "hello");
    fire(&host, &updates, r#"{"update": "party"}"#);
    let english = "*Party*\nCome *all*: here: https://example.org.".to_owned();
    let expected = [(ana.id, "*Feest*\nKom!".to_owned()), (bram.id, english.clone()), (cem.id, english)];
    assert_eq!(delivered(&host), expected);
    let run = Run::load("run/party").unwrap().unwrap();
    assert_eq!((run.sent, run.missed.get("window-closed"), run.ended.as_deref()), (3, Some(&1), Some("sent")));
    let missed = state::scan(Scope::Plugin, "missed/party/", None, 10).unwrap();
    assert_eq!(missed[0].value::<Vec<(String, String)>>().unwrap(), [(silent.id.clone(), "window-closed".to_owned())]);
    // A second run sends nothing. A member who could not be sent to gets it once, when they write.
    fire(&host, &updates, r#"{"update": "party"}"#);
    assert_eq!(delivered(&host), []);
    for count in [1, 0] {
        assert_eq!(updates.on_message(host.text(&silent, "hi")), Ok(Disposition::Pass));
        assert_eq!(delivered(&host).len(), count);
    }
}

#[test]
fn members_outside_the_window_are_notified_by_a_template() {
    let host = Host::new();
    let updates = updates(r#"{"template": "news", "topic": "events"}"#);
    host.document("party.md", Some("# Summer  party\nCome!"));
    let silent = Contact { member: true, ..host.person("Silent") };
    host.joins(&silent, "invite", false);
    let ana = member(&host, "Ana", None);
    fire(&host, &updates, r#"{"update": "party"}"#);
    let sent: Vec<_> = host.sent().into_iter().map(|sent| (sent.to, sent.kind, sent.body)).collect();
    let expected =
        [(silent.id.clone(), "template", "news".to_owned()), (ana.id, "text", "*Summer  party*\nCome!".to_owned())];
    assert_eq!(sent, expected);
    let run = Run::load("run/party").unwrap().unwrap();
    assert_eq!((run.sent, run.announced, run.missed.len()), (2, 1, 0));
    assert_eq!(update::first_line("\n*Summer  party*\nCome!"), "Summer party");
    // They get the update itself when they write.
    updates.on_message(host.text(&silent, "tell me")).unwrap();
    assert_eq!(delivered(&host), [(silent.id, "*Summer  party*\nCome!".to_owned())]);
}

#[test]
fn longest_waiting_update_is_sent_if_none_is_named() {
    let host = Host::new();
    let updates = updates(r#"{"timezone": "Europe/Amsterdam"}"#);
    let ana = member(&host, "Ana", None);
    // It is 2026-01-05 10:00 in Amsterdam.
    host.document("b.md", Some("---\nrelease_at: 2026-01-02\n---\nfirst"));
    host.document("a.md", Some("---\nrelease_at: 2026-01-03 12:00\n---\nsecond"));
    host.document("c.md", Some("---\nrelease_at: 2026-01-05 10:01\n---\nembargo"));
    host.document("d.md", Some("---\nexpires_at: 2026-01-05 10:00\n---\nover"));
    host.document("e.md", Some("---\ndraft: true\n---\nnot yet"));
    for text in ["first", "second"] {
        fire(&host, &updates, "{}");
        assert_eq!(delivered(&host), [(ana.id.clone(), text.to_owned())]);
    }
    fire(&host, &updates, "{}");
    assert_eq!(delivered(&host), []);
    assert!(host.logged().pop().unwrap().contains("no update is waiting"));
    fire(&host, &updates, r#"{"update": "c"}"#);
    assert!(host.logged().pop().unwrap().contains("embargo"));
    host.wait(Duration::from_secs(60));
    fire(&host, &updates, r#"{"update": "c"}"#);
    assert_eq!(delivered(&host).len(), 1);
}

#[test]
fn another_edition_is_another_update() {
    let host = Host::new();
    let ana = member(&host, "Ana", None);
    for (edition, count) in [("1", 1), ("1", 0), ("2", 1)] {
        let settings = format!(r#"{{"updates": {{"digest": {{"text": {{"en": "News"}}, "edition": "{edition}"}}}}}}"#);
        fire(&host, &updates(&settings), r#"{"update": "digest"}"#);
        assert_eq!(delivered(&host), vec![(ana.id.clone(), "News".to_owned()); count]);
    }
}

#[test]
fn run_ends_when_its_update_expires_or_is_removed() {
    let host = Host::new();
    let updates = updates(r#"{"per_step": 1, "pause_seconds": 60, "timezone": "UTC"}"#);
    for name in ["Ana", "Bram", "Cem"] {
        member(&host, name, None);
    }
    host.document("short.md", Some("---\nexpires_at: 2026-01-05 09:01\n---\nnow"));
    fire(&host, &updates, r#"{"update": "short"}"#);
    assert_eq!(
        (delivered(&host).len(), Run::load("run/short").unwrap().unwrap().ended.as_deref()),
        (1, Some("expired"))
    );
    host.document("back.md", Some("oops"));
    updates.on_schedule(host.schedule("weekly", r#"{"update": "back"}"#)).unwrap();
    updates.on_timer(host.next_timer().unwrap()).unwrap();
    host.document("back.md", None);
    updates.on_timer(host.next_timer().unwrap()).unwrap();
    assert_eq!((delivered(&host).len(), host.next_timer_at()), (1, None));
    assert_eq!(Run::load("run/back").unwrap().unwrap().ended.as_deref(), Some("cancelled"));
}

#[test]
fn admins_get_reports_previews_and_an_overview() {
    let host = Host::new();
    let boss = admin(&host, "Boss", Some("nl"));
    let updates = updates("{}");
    host.document("party.md", Some("Party"));
    host.document("broken.md", Some("---\nrelase_at: 2026-01-05\n---\nx"));
    updates.on_documents_changed(host.document("more.md", Some("More"))).unwrap();
    assert!(host.logged()[0].contains("broken.md: `relase_at` is unknown"));
    for (text, expected) in [
        ("!preview party", "Party"),
        ("!preview nothing", "Die update is er niet."),
        (
            "!updates",
            "broken: draft\nmore: waiting\nparty: waiting\n⚠ broken.md: `relase_at` is unknown; use release_at, expires_at, edition, image or draft",
        ),
    ] {
        assert_eq!(updates.on_message(host.text(&boss, text)), Ok(Disposition::Claimed));
        assert_eq!(host.sent(), [expected]);
    }
    let ana = member(&host, "Ana", None);
    assert_eq!(updates.on_message(host.text(&ana, "!updates")), Ok(Disposition::Pass));
    fire(&host, &updates, r#"{"update": "party"}"#);
    assert_eq!(delivered(&host).pop().unwrap().1, "party is naar 2 leden gestuurd.");
    updates.on_message(host.text(&boss, "!updates")).unwrap();
    assert!(host.sent()[0].body.contains("party: sent to 2 members"));
}

#[test]
fn failed_message_is_listed_and_can_be_sent_again() {
    let host = Host::new();
    let updates = updates("{}");
    let ana = member(&host, "Ana", None);
    host.document("party.md", Some("Party"));
    fire(&host, &updates, "{}");
    let sent = host.sent().remove(0);
    let event = MessageStatusEvent {
        info: host.text(&ana, "x").info,
        conversation: host.text(&ana, "x").conversation,
        message: sent.id.clone(),
        handle: None,
        status: "failed".to_owned(),
        problem: Some(beadle_plugin::Problem {
            code: "131026".to_owned(),
            title: "Undeliverable".to_owned(),
            details: None,
            by: "platform".to_owned(),
        }),
        pricing: None,
        participant: None,
        extra: "{}".to_owned(),
    };
    updates.on_message_status(event).unwrap();
    let missed = state::scan(Scope::Plugin, "missed/party/", None, 10).unwrap();
    assert_eq!(missed[0].value::<Vec<(String, String)>>().unwrap(), [(ana.id.clone(), "131026".to_owned())]);
    updates.on_message(host.text(&ana, "hello again")).unwrap();
    assert_eq!(host.sent(), ["Party"]);
}

#[test]
fn preview_goes_to_admins_only_and_changes_nothing() {
    let host = Host::new();
    let (admin, member) = (admin(&host, "Admin", Some("nl")), member(&host, "Ana", None));
    let updates = updates("{}");
    host.document("party.md", Some("---\nrelease_at: 2026-01-06 09:00\n---\nParty"));
    host.document("party.nl.md", Some("Feest"));
    for payload in [r#"{"preview": true}"#, r#"{"preview": true, "update": "party"}"#] {
        fire(&host, &updates, payload);
        assert_eq!(delivered(&host), [(admin.id.clone(), "Feest".to_owned())], "before its release: {payload}");
    }
    host.wait(std::time::Duration::from_secs(24 * 60 * 60 + 1));
    for contact in [&admin, &member] {
        host.text(contact, "hello");
    }
    fire(&host, &updates, "{}");
    let to: Vec<String> = delivered(&host).into_iter().map(|(to, _)| to).collect();
    assert!(to.contains(&admin.id) && to.contains(&member.id), "{to:?}");
}

#[test]
fn update_is_sent_by_a_broadcast_whose_text_is_frozen() {
    let host = Host::new();
    let updates = updates(
        r#"{"template": "news", "broadcast": {"purpose": "marketing:events", "segment": "vip"}, "pause_seconds": 1}"#,
    );
    host.document("party.md", Some("---\nimage: https://example.org/party.jpg\n---\n# Party\nCome in { jeans }!"));
    host.document("party.nl.md", Some("# Feest\nKom!"));
    let ana = Contact { tags: vec!["vip".to_owned()], ..member(&host, "Ana", None) };
    host.text(&ana, "hello");
    let boss = admin(&host, "Boss", None);
    let bram = member(&host, "Bram", None);
    updates.on_schedule(host.schedule("weekly", r#"{"update": "party"}"#)).unwrap();
    // A file that is saved meanwhile changes nothing.
    host.document("party.md", Some("# Later"));
    let broadcasts = host.broadcasts();
    let [broadcast] = broadcasts.as_slice() else { panic!("{broadcasts:?}") };
    assert_eq!((broadcast.name.as_str(), broadcast.purpose.as_str()), ("party", "marketing:events"));
    assert_eq!(broadcast.audience, broadcasts::Audience::Segment("vip".to_owned()));
    let texts: Vec<_> = broadcast.texts.iter().map(|text| (text.language.as_str(), text.text.as_str())).collect();
    assert_eq!(texts, [("en", "*Party*\nCome in {{ jeans }}!"), ("nl", "*Feest*\nKom!")]);
    assert_eq!(broadcast.attachment.as_ref().map(|file| file.source.as_str()), Some("https://example.org/party.jpg"));
    let variables = &broadcast.template.as_ref().unwrap().variables;
    assert_eq!(variables[0].texts[1].text, "Feest");
    updates.on_timer(host.next_timer().unwrap()).unwrap();
    let run = Run::load("run/party").unwrap().unwrap();
    assert_eq!((run.sent, run.ended.as_deref()), (1, Some("sent")));
    assert_eq!(
        host.sent().pop().map(|sent| (sent.to, sent.body)),
        Some((boss.id, "party was sent to 1 members.".to_owned()))
    );
    assert_eq!(host.next_timer_at(), None);
    // Who was not meant gets nothing later either, and who got it nothing again.
    for contact in [&ana, &bram] {
        updates.on_message(host.text(contact, "hi")).unwrap();
        assert_eq!(delivered(&host), []);
    }
    // The name was used.
    updates.on_schedule(host.schedule("weekly", r#"{"update": "party"}"#)).unwrap();
    assert_eq!(host.broadcasts().len(), 1);
}
