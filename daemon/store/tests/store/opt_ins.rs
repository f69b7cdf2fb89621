//! Requests from the web form: whom it asks and how often, and people whom nothing but a form has
//! named.

use crate::env::*;
use beadle_model::consent::rules::{ConsentQuestion, PlannedConsent};
use beadle_model::consent::{ConsentAct, ConsentSource, NewConsent, Purpose, actor};
use beadle_model::keyword::Language;
use beadle_model::{ConsentState, ContactId, Keyword, Role};
use beadle_store::step::*;
use beadle_store::{AskedBy, ContactEdit, ErasurePhase, OptInOutcome, OptInRequest, Retention};

const ANA: ContactId = ContactId(1);
const NUMBER: &str = "31600000001";

fn request(env: &TestEnv, number: &str, topic: &str) -> OptInRequest {
    let now = env.clock.now();
    let consent = NewConsent {
        // The store sets it.
        contact: ContactId(0),
        purpose: Purpose::MarketingTopic(topic.into()),
        act: ConsentAct::Requested,
        source: ConsentSource::Web,
        wording: None,
        at: now,
        expires_at: Some(now.plus_ms(48 * HOUR)),
        evidence: Some("form 1".into()),
        actor: actor::HOST.into(),
    };
    let question =
        ConsentQuestion { text: "Shop may write.".into(), language: "en".into(), template: Some("ask".into()) };
    OptInRequest { phone: number.into(), planned: PlannedConsent { consent, question: Some(question) } }
}

async fn form(env: &TestEnv, number: &str, topic: &str) -> OptInOutcome {
    env.store.opt_in("shop", request(env, number, topic), Interest::default()).await.unwrap()
}

/// A tap on a button of the question with this number.
fn tap(id: &str, keyword: Keyword, entry: i64) -> NewEvent {
    let matched = KeywordMatch::new(keyword, None, vec![(Language::En, text("noted"))]);
    NewEvent { keyword: Some(KeywordMatch { answer: Some(HostAnswer::Consent(entry)), ..matched }), ..from(NUMBER, id) }
}

fn state(env: &TestEnv) -> ConsentState {
    env.reader.contact(ANA).unwrap().unwrap().consent_for(&Purpose::MarketingTopic("news".into())).state
}

#[tokio::test]
async fn person_is_asked_once_a_day_and_three_times_a_month() {
    let env = TestEnv::new();
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Asked);
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Repeated);
    assert_eq!(form(&env, NUMBER, "events").await, OptInOutcome::Repeated, "whatever it is for");
    for (days, expected) in [(1, OptInOutcome::Asked), (4, OptInOutcome::Asked), (4, OptInOutcome::Repeated)] {
        env.run_days(days).await;
        assert_eq!(form(&env, NUMBER, "events").await, expected);
    }
    // The first question is 30 days old.
    env.run_days(21).await;
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Asked);
    assert_eq!(due_sends(&env.reader, env.clock.now(), 10).len(), 4);
    assert_eq!(env.reader.verify_consents().unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn person_who_said_no_is_not_asked_for_a_month() {
    let env = TestEnv::new();
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Asked);
    env.append(vec![tap("1", Keyword::No, 1)]).await;
    assert_eq!(state(&env), ConsentState::Withdrawn);
    for days in [1, 28] {
        env.run_days(days).await;
        assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Declined);
    }
    env.run_days(1).await;
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Asked);
    let entry = env.reader.consents_of(ANA).unwrap().pop().unwrap().id;
    env.append(vec![tap("2", Keyword::Yes, entry)]).await;
    assert_eq!(state(&env), ConsentState::Granted);
    env.run_days(2).await;
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Agreed);
}

#[tokio::test]
async fn person_who_opted_out_is_not_asked_not_even_after_an_erasure() {
    let env = TestEnv::new();
    env.append(vec![keyword(NUMBER, "1", Keyword::Stop)]).await;
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Excluded);
    let banned = ContactId(2);
    env.append(vec![from("31600000002", "2")]).await;
    let edit = beadle_model::profile::ProfileEdit { role: Some(Role::Banned), ..Default::default() };
    env.store.edit_contact(banned, ContactEdit { profile: edit, ..ContactEdit::default() }).await.unwrap();
    assert_eq!(form(&env, "31600000002", "news").await, OptInOutcome::Excluded);
    for contact in [ANA, banned] {
        env.store.begin_erasure(contact, AskedBy::Person, env.clock.now()).await.unwrap();
    }
    let contacts = number(&env, "SELECT count(*) FROM contacts");
    for phone in [NUMBER, "31600000002"] {
        assert_eq!(form(&env, phone, "news").await, OptInOutcome::Excluded);
    }
    assert_eq!(number(&env, "SELECT count(*) FROM contacts"), contacts, "nothing is stored");
}

#[tokio::test]
async fn person_named_by_a_form_is_quarantined_until_they_answer() {
    let env = TestEnv::new();
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Asked);
    let is_quarantined = || env.reader.contact(ANA).unwrap().unwrap().profile().quarantined_since.is_some();
    assert!(is_quarantined());
    env.append(vec![tap("1", Keyword::Yes, 1)]).await;
    assert!(!is_quarantined());
    assert_eq!(state(&env), ConsentState::Granted);
    // Who is known already stays as they are.
    env.append(vec![from("31600000002", "2")]).await;
    assert_eq!(form(&env, "31600000002", "news").await, OptInOutcome::Asked);
    assert_eq!(env.reader.contact(ContactId(2)).unwrap().unwrap().profile().quarantined_since, None);
}

async fn retain(env: &TestEnv) {
    while env.store.retain(Retention::default(), env.clock.now()).await.unwrap().more {}
}

#[tokio::test]
async fn person_who_never_answers_is_erased_and_others_are_kept() {
    let env = TestEnv::new();
    let numbers = [NUMBER, "31600000002", "31600000003", "31600000004", "31600000005"];
    for number in numbers {
        assert_eq!(form(&env, number, "news").await, OptInOutcome::Asked);
    }
    // The second writes, the third is tagged, the fourth is known by another id too.
    env.append(vec![from(numbers[1], "1")]).await;
    let edit = beadle_model::profile::ProfileEdit { add_tags: ["vip".to_owned()].into(), ..Default::default() };
    env.store.edit_contact(ContactId(3), ContactEdit { profile: edit, ..ContactEdit::default() }).await.unwrap();
    env.append(vec![message("2", sender(vec![user("NL.4")]), "hi")]).await;
    env.store.merge_contacts(ContactId(6), ContactId(4), false).await.unwrap();
    assert_eq!(number(&env, "SELECT count(*) FROM opt_in_contacts"), 4);
    env.run_days(20).await;
    // The fifth is asked again.
    assert_eq!(form(&env, numbers[4], "news").await, OptInOutcome::Asked);
    env.run_days(12).await;
    let plan = env.reader.retention_plan(&Retention::default(), env.clock.now()).unwrap();
    assert!(plan.kinds.contains(&("unanswered_people", 3, false)), "{plan:?}");
    retain(&env).await;
    let erasures = env.reader.erasures(None, 10).unwrap();
    let erased: Vec<_> = erasures.iter().map(|erasure| (erasure.contact, erasure.asked_by)).collect();
    assert_eq!(erased, [(ANA, AskedBy::Unanswered)]);
    assert_eq!(erasures[0].phase, ErasurePhase::Begun);
    assert_eq!(number(&env, "SELECT count(*) FROM erased_identities"), 0, "they have refused nothing");
    assert_eq!(number(&env, "SELECT contact FROM opt_in_contacts"), 5);
    // Whoever has the number now is a new person.
    assert_eq!(form(&env, NUMBER, "news").await, OptInOutcome::Asked);
}

#[tokio::test]
async fn erasure_deletes_that_a_form_named_the_person() {
    let env = TestEnv::new();
    form(&env, NUMBER, "news").await;
    for event in env.events() {
        env.store.finish(progress(event.id, 1, 1), env.store.fence()).await.unwrap();
    }
    let erasure = env.store.begin_erasure(ANA, AskedBy::Operator, env.clock.now()).await.unwrap();
    env.store.file_erasure(erasure, env.clock.now()).await.unwrap();
    env.store.plugins_erased(erasure, vec![], vec![], env.clock.now()).await.unwrap();
    while !env.store.erase_slice(erasure).await.unwrap() {}
    assert_eq!(number(&env, "SELECT count(*) FROM opt_in_contacts"), 0);
}
