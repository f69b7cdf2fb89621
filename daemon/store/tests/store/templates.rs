//! Templates: fetched as a whole, changed by news in the platform's order; and what the business
//! sends first.

use crate::env::*;
use beadle_model::effect::Outreach;
use beadle_model::event::Problem;
use beadle_model::{ContactId, MessageId, TemplateChange, TemplateDefinition, TemplateNews, Timestamp};
use beadle_store::step::*;
use beadle_store::{KnownTemplates, MarketingSends, TemplateFilter};
use serde_json::json;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn definition(name: &str, language: &str) -> TemplateDefinition {
    TemplateDefinition {
        platform_id: format!("id-{name}-{language}"),
        name: name.into(),
        language: language.into(),
        category: "utility".into(),
        status: "approved".into(),
        quality: None,
        reason: None,
        is_named: false,
        components: json!([{"type": "BODY", "text": "Hello"}]),
        changed_at: NOW,
    }
}

fn news(name: &str, at: Timestamp, change: TemplateChange) -> Batch {
    let (account, platform_id, language) = ("102".into(), "1".into(), "en".into());
    let news = TemplateNews { account, platform_id, name: name.into(), language, at, change };
    Batch { templates: vec![news], ..Batch::default() }
}

fn status(status: &str) -> TemplateChange {
    TemplateChange::Status { status: status.into(), reason: None, category: None }
}

/// The status, category and quality of the only language of a template.
fn state(env: &TestEnv, name: &str) -> (String, String, Option<String>) {
    match env.store.reader().templates_named("shop", name).unwrap() {
        KnownTemplates::Known(found) if found.len() == 1 => {
            (found[0].status.clone(), found[0].category.clone(), found[0].quality.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn unknown_templates_are_not_absent_ones() {
    let env = TestEnv::new();
    let named = |name: &str| env.store.reader().templates_named("shop", name).unwrap();
    assert_eq!(named("order"), KnownTemplates::Unknown);
    env.store.set_channel_accounts(vec![("shop".into(), "102".into())]).await.unwrap();
    assert_eq!(named("order"), KnownTemplates::Unknown);
    env.store.record_template_fetch_error("102".into(), "no connection".into()).await.unwrap();
    assert_eq!(named("order"), KnownTemplates::Unknown);
    assert_eq!(env.store.reader().accounts().unwrap()[0].error.as_ref().unwrap().0, "no connection");
    env.store.replace_templates("102".into(), vec![definition("news", "en")], NOW).await.unwrap();
    assert_eq!(named("order"), KnownTemplates::Known(vec![]));
    assert_eq!(named("news"), KnownTemplates::Known(vec![definition("news", "en")]));
    assert_eq!(env.store.reader().templates_named("other", "news").unwrap(), KnownTemplates::Unknown);
    let account = env.store.reader().accounts().unwrap().remove(0);
    assert_eq!((account.fetched_at, account.error, account.templates), (Some(NOW), None, 1));

    // An account without a channel is forgotten.
    env.store.set_channel_accounts(vec![("shop".into(), "103".into())]).await.unwrap();
    assert_eq!(env.store.reader().templates(&TemplateFilter { limit: 9, ..TemplateFilter::default() }).unwrap(), []);
}

#[tokio::test]
async fn newest_news_of_a_template_counts() {
    let env = TestEnv::new();
    env.store.set_channel_accounts(vec![("shop".into(), "102".into())]).await.unwrap();
    let fetched = || vec![definition("order", "en"), definition("news", "en")];
    env.store.replace_templates("102".into(), fetched(), NOW).await.unwrap();
    let at = |secs: i64| NOW.plus_ms(secs * 1000);
    env.store.append(news("order", at(10), status("paused"))).await.unwrap();
    assert_eq!(state(&env, "order").0, "paused");
    // A webhook that is delivered late.
    env.store.append(news("order", at(5), status("approved"))).await.unwrap();
    assert_eq!(state(&env, "order").0, "paused");
    env.store.append(news("order", at(20), TemplateChange::Category("marketing".into()))).await.unwrap();
    env.store.append(news("order", at(21), TemplateChange::Quality("red".into()))).await.unwrap();
    assert_eq!(state(&env, "order"), ("paused".into(), "marketing".into(), Some("red".into())));
    // A fetch that began before the news knows less about the status, and all about the parts.
    env.store.replace_templates("102".into(), fetched(), at(15)).await.unwrap();
    assert_eq!(state(&env, "order").1, "marketing");
    env.store.replace_templates("102".into(), fetched(), at(30)).await.unwrap();
    assert_eq!(state(&env, "order"), ("approved".into(), "utility".into(), None));
    env.store.append(news("news", at(40), status("deleted"))).await.unwrap();
    assert_eq!(env.store.reader().templates_named("shop", "news").unwrap(), KnownTemplates::Known(vec![]));
    // News of a template that is not known changes nothing.
    env.store.append(news("fresh", at(40), status("approved"))).await.unwrap();
    assert_eq!(env.store.reader().templates_named("shop", "fresh").unwrap(), KnownTemplates::Known(vec![]));
}

#[tokio::test]
async fn templates_are_paged_by_name_and_language() {
    let env = TestEnv::new();
    env.store.set_channel_accounts(vec![("shop".into(), "102".into())]).await.unwrap();
    let all = vec![definition("b", "en"), definition("a", "nl"), definition("a", "de")];
    env.store.replace_templates("102".into(), all, NOW).await.unwrap();
    let page = |after: Option<(&str, &str)>| {
        let after = after.map(|(name, language)| (name.to_owned(), language.to_owned()));
        let filter = TemplateFilter { channel: Some("shop".into()), after, limit: 2, ..TemplateFilter::default() };
        let found = env.store.reader().templates(&filter).unwrap();
        found.into_iter().map(|(_, template)| format!("{}/{}", template.name, template.language)).collect::<Vec<_>>()
    };
    assert_eq!(page(None), ["a/de", "a/nl"]);
    assert_eq!(page(Some(("a", "nl"))), ["b/en"]);
}

fn refused(code: &str) -> SendOutcome {
    SendOutcome::Failed(Problem { code: code.into(), title: "x".into(), details: None, by: "platform".into() })
}

#[tokio::test]
async fn marketing_is_counted_until_it_fails() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "a")).await;
    let conversation = event.conversation.as_ref().unwrap();
    let (contact, conversation) = (conversation.contact.id, conversation.id);
    let marketing = |topic: Option<&str>| {
        Some(Outreach {
            is_marketing: true,
            topic: topic.map(str::to_owned),
            is_outside_window: true,
            ..Outreach::default()
        })
    };
    let send =
        |message: MessageId, outreach| NewSend { outreach, ..new_send(message, conversation, SendState::Sending, NOW) };
    let ids: Vec<MessageId> = (0..5).map(|_| env.store.reserve_message()).collect();
    let sends = vec![
        send(ids[0], marketing(Some("cats"))),
        send(ids[1], marketing(None)),
        send(ids[2], Some(Outreach { is_outside_window: true, ..Outreach::default() })),
        send(ids[3], None),
        send(ids[4], Some(Outreach { is_outside_window: true, ..Outreach::default() })),
    ];
    let plugin = env.store.plugin_no("a").await.unwrap();
    env.store.commit(Commit { sends, ..env.commit(event.id, plugin) }).await.unwrap();
    let sent = |topic: Option<&str>, before| {
        let sends = MarketingSends { contact, topic, since: NOW.plus_ms(-DAY_MS), until: NOW, before };
        env.store.reader().marketing_sent(&sends).unwrap().len()
    };
    assert_eq!((sent(None, None), sent(Some("cats"), None), sent(Some("dogs"), None)), (2, 1, 0));
    assert_eq!((sent(None, Some(ids[0])), sent(None, Some(ids[1]))), (1, 1), "the other one of both");
    let outreach = || env.store.reader().outreach_since(NOW.plus_ms(-1), NOW).unwrap();
    assert_eq!(outreach(), [], "what is in flight counts when it asks the gate");
    env.settle(ids[4], SendOutcome::Accepted(Some("wamid.4".into()))).await;
    assert_eq!(outreach(), [("shop".into(), contact, NOW)]);

    // The platform caps marketing to the person: not for a day, then for two.
    let until =
        || env.store.reader().marketing_refused(contact, NOW).unwrap().map(|(until, _)| until.since_ms(NOW) / DAY_MS);
    env.settle(ids[0], refused("131049")).await;
    assert_eq!((sent(None, None), until()), (1, Some(1)));
    env.settle(ids[1], refused("131049")).await;
    assert_eq!((sent(None, None), until()), (0, Some(2)));
    assert_eq!(env.store.reader().marketing_refused(contact, NOW.plus_ms(3 * DAY_MS)).unwrap(), None);
    assert_eq!(env.store.reader().contact(contact).unwrap().unwrap().marketing_stopped_since, None);

    // A person who stopped marketing.
    env.settle(ids[2], refused("131050")).await;
    assert_eq!(env.store.reader().contact(contact).unwrap().unwrap().marketing_stopped_since, Some(NOW));
    assert_eq!(env.store.reader().marketing_refused(ContactId(99), NOW).unwrap(), None);
}

#[tokio::test]
async fn counts_and_refusals_of_a_clock_that_was_ahead_end_with_its_correction() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "a")).await;
    let conversation = event.conversation.as_ref().unwrap();
    let (contact, conversation) = (conversation.contact.id, conversation.id);
    let outreach = || Some(Outreach { is_marketing: true, is_outside_window: true, ..Outreach::default() });
    let ids = [env.store.reserve_message(), env.store.reserve_message()];
    let ahead = NOW.plus_ms(400 * DAY_MS);
    env.manual.set(ahead);
    let send = |id| NewSend { outreach: outreach(), ..new_send(id, conversation, SendState::Sending, ahead) };
    let plugin = env.store.plugin_no("a").await.unwrap();
    let commit = Commit { sends: ids.map(send).into(), now: ahead, ..env.commit(event.id, plugin) };
    env.store.commit(commit).await.unwrap();
    env.settle(ids[0], SendOutcome::Accepted(Some("wamid.0".into()))).await;
    env.settle(ids[1], refused("131049")).await;
    let counts = |now: beadle_model::Timestamp| {
        let (since, until) = (now.plus_ms(-DAY_MS), now);
        let sends = MarketingSends { contact, topic: None, since, until, before: None };
        let reader = env.store.reader();
        let refused = reader.marketing_refused(contact, now).unwrap().is_some();
        (reader.marketing_sent(&sends).unwrap().len(), reader.outreach_since(since, until).unwrap().len(), refused)
    };
    assert_eq!(counts(ahead), (1, 1, true));
    assert_eq!(counts(NOW), (0, 0, false));
}

#[tokio::test]
async fn failed_delivery_counts_until_the_person_writes() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "a")).await;
    let conversation = event.conversation.as_ref().unwrap();
    let (contact, conversation) = (conversation.contact.id, conversation.id);
    let plugin = env.store.plugin_no("a").await.unwrap();
    let ids: Vec<MessageId> = (0..4).map(|_| env.store.reserve_message()).collect();
    let sends = ids.iter().map(|id| new_send(*id, conversation, SendState::Sending, NOW)).collect();
    env.store.commit(Commit { sends, ..env.commit(event.id, plugin) }).await.unwrap();
    let unreachable = |now: Timestamp| env.store.reader().unreachable(contact, now).unwrap();
    let marked = |at: Timestamp| Some((at, "131026".to_owned()));
    env.settle(ids[0], refused("131049")).await;
    env.settle(ids[1], refused("131026")).await;
    assert_eq!(unreachable(NOW), None, "they wrote just now");

    // A response, then a later receipt.
    let (hour, two_hours) = (NOW.plus_ms(3_600_000), NOW.plus_ms(7_200_000));
    env.manual.set(hour);
    env.settle(ids[2], refused("131026")).await;
    assert_eq!(unreachable(hour), marked(hour));
    env.manual.set(two_hours);
    env.settle(ids[3], SendOutcome::Accepted(Some("wamid.3".into()))).await;
    env.receipts(vec![receipt(ids[3], "failed", two_hours)], vec![]).await;
    assert_eq!(unreachable(two_hours), marked(two_hours));
    assert_eq!(unreachable(NOW.plus_ms(-400 * DAY_MS)), None, "the clock was ahead");
    assert_eq!(env.store.reader().unreachable(ContactId(99), NOW).unwrap(), None);

    let later = two_hours.plus_ms(60_000);
    env.manual.set(later);
    env.append_one(beadle_store::step::NewEvent { happened_at: later, ..from("31600000001", "b") }).await;
    assert_eq!(unreachable(later), None);
    assert_eq!(env.store.reader().person_undelivered(contact).unwrap(), marked(two_hours), "the export shows it");
}

#[tokio::test]
async fn gate_trace_is_replaced_by_a_later_one() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "a")).await;
    let conversation = event.conversation.as_ref().unwrap().id;
    let message = env.store.reserve_message();
    let trace = |check: &str| format!(r#"{{"at":1,"steps":[{{"check":"{check}","outcome":"pass","reason":"so"}}]}}"#);
    let send = NewSend { gate: Some(trace("window")), ..new_send(message, conversation, SendState::Queued, NOW) };
    let plugin = env.store.plugin_no("a").await.unwrap();
    env.store.commit(Commit { sends: vec![send], ..env.commit(event.id, plugin) }).await.unwrap();
    let check =
        || env.store.reader().message_details(message).unwrap().unwrap().gate.unwrap().steps[0].check.to_string();
    assert_eq!(check(), "window");
    let later = SendOutcome::Later { due_at: NOW.plus_ms(5), counted: false, possibly_duplicate: false };
    let settlement = Settlement { message, outcome: later, at: NOW, gate: Some(trace("quiet-hours")) };
    env.store.settle(vec![settlement], Interest::default()).await.unwrap();
    assert_eq!(check(), "quiet-hours");
}

#[tokio::test]
async fn every_reason_of_a_failed_receipt_counts() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "a")).await;
    let contact = event.contact().unwrap();
    let conversation = event.conversation.as_ref().unwrap().id;
    let message = env.store.reserve_message();
    let outreach = Some(Outreach { is_outside_window: true, ..Outreach::default() });
    let send = NewSend { outreach, ..new_send(message, conversation, SendState::Sending, NOW) };
    let plugin = env.store.plugin_no("a").await.unwrap();
    env.store.commit(Commit { sends: vec![send], ..env.commit(event.id, plugin) }).await.unwrap();
    env.settle(message, SendOutcome::Accepted(Some("wamid.1".into()))).await;
    let further_problems = vec![problem("131049"), problem("131050")];
    let failed = Receipt { further_problems, ..receipt(message, "failed", NOW) };
    let appended = env.receipts(vec![failed], vec![]).await;
    let codes: Vec<_> = appended.failed[0].further_problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["131049", "131050"]);
    assert!(env.store.reader().marketing_refused(contact, NOW).unwrap().is_some());
    assert_eq!(env.store.reader().contact(contact).unwrap().unwrap().marketing_stopped_since, Some(NOW));
}
