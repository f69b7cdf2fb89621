//! Planning: who is a recipient, why others are not, and what is frozen.

use crate::env::*;
use beadle_gate::costs::{Money, RateList, Rates};
use beadle_gatekeeper::{MarketingCaps, Policy, QuietHours, TimeOfDay};
use beadle_model::broadcast::{BroadcastDefinition, Texts};
use beadle_model::effect::PriceKey;
use beadle_model::profile::ProfileEdit;
use beadle_model::{Audience, ContactId, Day, Purpose, RecipientState, Role, TemplateDefinition};
use beadle_store::ContactEdit;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn edit(profile: ProfileEdit) -> ContactEdit {
    ContactEdit { profile, ..ContactEdit::default() }
}

fn in_language(language: &str) -> ContactEdit {
    ContactEdit { language: Some(language.into()), ..ContactEdit::default() }
}

#[tokio::test]
async fn each_person_is_a_recipient_or_excluded_with_a_reason() {
    let env = TestEnv::new().await;
    let both = [Purpose::Service, topic("news")];
    env.person(1, &both, ContactEdit::default()).await;
    env.person(2, &[Purpose::Service], ContactEdit::default()).await;
    env.person(3, &both, edit(ProfileEdit { role: Some(Role::Banned), ..ProfileEdit::default() })).await;
    env.person(4, &[], ContactEdit::default()).await;
    env.person(5, &both, in_language("nl")).await;
    let text = Some(Texts::One("Dear {first_name|friend}".into()));
    for (name, definition, expected) in [
        (
            "by template",
            news("template"),
            [
                (1, None),
                (2, Some("not-opted-in")),
                (3, Some("banned")),
                (4, Some("quarantined")),
                // There is none in Dutch, and no other language is set.
                (5, Some("template-unknown")),
            ],
        ),
        (
            "by text only, while no window is open",
            BroadcastDefinition { template: None, text: text.clone(), ..news("text") },
            [
                (1, Some("window-closed")),
                (2, Some("not-opted-in")),
                (3, Some("banned")),
                (4, Some("quarantined")),
                (5, Some("window-closed")),
            ],
        ),
    ] {
        let id = env.create(definition).await.unwrap();
        let plan = env.broadcasts.plan(id).await.unwrap();
        for (person, reason) in expected {
            let state = reason.map_or(RecipientState::Planned, |_| RecipientState::Refused);
            assert_eq!(env.state(id, person), (state, reason.map(str::to_owned)), "{name}: {person}");
        }
        let recipients = expected.iter().filter(|(_, reason)| reason.is_none()).count() as u64;
        assert_eq!((plan.audience, plan.recipients), (5, recipients), "{name}");
        assert_eq!(plan.excluded.values().sum::<u64>(), 5 - recipients, "{name}");
    }
    assert!(env.channel.counts().is_empty(), "planning sends nothing");
}

#[tokio::test]
async fn language_values_samples_and_costs_are_those_of_each_person() {
    let env = TestEnv::new().await;
    env.set_templates(vec![template("en", "Hello {{1}}"), template("nl", "Dag {{1}}")]).await;
    let key = |country: &str, category: &str| PriceKey { country: country.into(), category: category.into() };
    let rates = [(key("NL", "marketing"), Money(100_000))].into();
    let lists = [(Day(0), RateList { source: "test".into(), rates })].into();
    let rates = Rates { currency: "EUR".into(), free_service_messages: None, lists };
    env.gatekeeper.configure(Policy { rates, template_language: Some("en".into()), ..Policy::default() });
    let both = [Purpose::Service, topic("news")];
    for person in 1..=8 {
        env.person(person, &both, in_language(if person == 8 { "nl-BE" } else { "et" })).await;
    }
    // Their window is open, so that they get the text.
    env.write(1, "hello").await;
    let text = Some(Texts::One("Dear {first_name|friend}".into()));
    let id = env.create(BroadcastDefinition { text, ..news("news") }).await.unwrap();
    let plan = env.broadcasts.plan(id).await.unwrap();
    assert_eq!(plan.languages, [("en".to_owned(), 7), ("nl".to_owned(), 1)].into());
    assert_eq!(plan.open_windows, 1);
    let rows = env.recipients(id);
    assert!(rows.iter().all(|row| row.parameters == ["Person", "Person"]), "{rows:?}");
    let samples = |kind: &str| plan.samples.iter().filter(|sample| sample.kind == kind).count();
    assert_eq!((samples("template in en"), samples("template in nl"), samples("text in en")), (5, 1, 1));
    let sample = plan.samples.iter().find(|sample| sample.kind == "template in nl").unwrap();
    assert_eq!((sample.contact, sample.lines.as_slice()), (ContactId(8), &["Dag Person".to_owned()][..]));
    let cost = |category: &str| plan.costs.iter().find(|cost| cost.category == category).unwrap();
    assert_eq!((cost("marketing").recipients, cost("marketing").amount), (7, Some(700_000)));
    assert_eq!((cost("service").recipients, cost("service").amount), (1, Some(0)));
    assert_eq!(plan.templates.len(), 2, "both definitions are frozen");
}

#[tokio::test]
async fn deferred_people_are_recipients_and_counted() {
    let env = TestEnv::new().await;
    env.people(3).await;
    let hour = |hour| TimeOfDay { hour, minute: 0 };
    let quiet_hours = Some(QuietHours { from: hour(20), to: hour(7) });
    env.gatekeeper.configure(Policy { quiet_hours, ..Policy::default() });
    let id = env.create(news("news")).await.unwrap();
    let plan = env.broadcasts.plan(id).await.unwrap();
    assert_eq!((plan.recipients, plan.deferred), (3, [("quiet-hours".to_owned(), 3)].into()));
}

#[tokio::test]
async fn cap_excludes_unless_the_broadcast_expires_after_it_is_free() {
    let env = TestEnv::new().await;
    env.run();
    env.people(2).await;
    let first = env.send(news("first")).await;
    env.until("the first is sent", || env.count(first, RecipientState::Sent) == 2).await;
    let caps = MarketingCaps { per_day: Some(1), per_week: Some(1), ..MarketingCaps::default() };
    env.gatekeeper.configure(Policy { caps, ..Policy::default() });
    for (name, expires_after_hours, recipients) in [("never", None, 0), ("soon", Some(30), 0), ("late", Some(200), 2)] {
        let expires = expires_after_hours.map(|hours| NOW.plus_ms(hours * HOUR_MS));
        let id = env.create(BroadcastDefinition { expires, ..news(name) }).await.unwrap();
        let plan = env.broadcasts.plan(id).await.unwrap();
        assert_eq!(plan.recipients, recipients, "{name}: the weekly cap is free after 168 hours");
        let counted = if recipients == 0 { plan.excluded } else { plan.deferred };
        assert_eq!(counted, [("frequency-cap".to_owned(), 2)].into(), "{name}");
    }
}

#[tokio::test]
async fn template_that_fits_nobody_is_refused() {
    let env = TestEnv::new().await;
    env.people(1).await;
    let status = |status: &str| TemplateDefinition { status: status.into(), ..template("en", "Hello {{1}}") };
    let purpose = Purpose::Service;
    for (name, templates, definition, expected) in [
        ("unknown", vec![], news("unknown"), "template-unknown"),
        ("paused", vec![status("paused")], news("paused"), "template-paused"),
        ("rejected", vec![status("rejected")], news("rejected"), "template-not-approved"),
        ("parameters", vec![template("en", "Hello {{1}} {{2}}")], news("parameters"), "template-parameters"),
        (
            "category",
            vec![template("en", "Hello {{1}}")],
            BroadcastDefinition { purpose, ..news("category") },
            "broadcast-template",
        ),
    ] {
        env.set_templates(templates).await;
        let id = env.create(definition).await.unwrap();
        assert_eq!(code(env.broadcasts.plan(id).await), expected, "{name}");
        assert!(env.recipients(id).is_empty(), "{name}");
        assert_eq!(code(env.broadcasts.start(id).await), "broadcast-state", "{name}: it is not planned");
    }
}

#[tokio::test]
async fn planning_again_keeps_who_was_handed_over() {
    let env = TestEnv::with(beadle_broadcast::Settings::default(), 4).await;
    env.run();
    env.people(30).await;
    let id = env.send(news("news")).await;
    env.until("some are sent", || env.count(id, RecipientState::Sent) >= 3).await;
    env.broadcasts.pause(id).await.unwrap();
    env.until("nothing is in the outbox", || env.count(id, RecipientState::Queued) == 0).await;
    let sent = env.count(id, RecipientState::Sent);
    env.set_templates(vec![template("en", "Good morning {{1}}")]).await;
    assert_eq!(code(env.broadcasts.resume(id, false).await), "broadcast-template-changed");
    env.withdraw(30).await;
    env.person(31, &[Purpose::Service, topic("news")], ContactEdit::default()).await;
    env.broadcasts.plan(id).await.unwrap();
    assert_eq!(env.count(id, RecipientState::Sent), sent, "they keep their row");
    assert_eq!(env.state(id, 30), (RecipientState::Refused, Some("not-opted-in".into())));
    assert_eq!(env.state(id, 31).0, RecipientState::Planned);
    env.broadcasts.resume(id, false).await.unwrap();
    env.until("all have it", || env.count(id, RecipientState::Sent) == 30).await;
    assert!(env.channel.counts().values().all(|count| *count == 1), "{:?}", env.channel.counts());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// However many people there are and in whatever order they are listed: each is planned once.
    #[test]
    fn each_person_is_planned_once(people in 1..1200i64, listed in prop::collection::vec(1..1300i64, 0..1500)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let env = TestEnv::new().await;
            env.people(people).await;
            let everyone = env.create(news("everyone")).await.unwrap();
            let plan = env.broadcasts.plan(everyone).await.unwrap();
            assert_eq!((plan.audience, plan.recipients), (people.unsigned_abs(), people.unsigned_abs()));
            assert_eq!(env.recipients(everyone).len(), usize::try_from(people).unwrap());
            if !listed.is_empty() {
                let audience = Audience::Contacts(listed.iter().copied().map(ContactId).collect());
                let some = env.create(BroadcastDefinition { audience, ..news("some") }).await.unwrap();
                env.broadcasts.plan(some).await.unwrap();
                let rows = env.recipients(some);
                let listed: BTreeSet<i64> = listed.into_iter().collect();
                assert!(rows.iter().map(|row| row.contact.0).eq(listed.iter().copied()), "each listed person once");
                for row in rows {
                    let expected = if row.contact.0 <= people { None } else { Some("no-recipient") };
                    assert_eq!(row.code.as_deref(), expected, "{}", row.contact);
                }
            }
        });
    }
}
