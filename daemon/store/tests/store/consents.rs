//! The consent ledger: what is recorded, what follows from it, and that tampering is found.

use crate::env::*;
use beadle_model::consent::rules::{ConsentQuestion, PlannedConsent};
use beadle_model::consent::{ConsentAct, ConsentSource, NewConsent, Purpose, Wording, actor};
use beadle_model::keyword::Language;
use beadle_model::profile::ProfileEdit;
use beadle_model::{ConsentState, ContactId, EventBody, Keyword, Outgoing, Role};
use beadle_store::step::*;
use beadle_store::{ContactEdit, ImportedContact, RequestKind, StoreError};
use proptest::prelude::*;

const ANA: ContactId = ContactId(1);

fn by_operator(purpose: Purpose, act: ConsentAct) -> PlannedConsent {
    let consent = NewConsent {
        contact: ANA,
        purpose,
        act,
        source: ConsentSource::Paper,
        wording: None,
        at: NOW,
        expires_at: (act == ConsentAct::Requested).then(|| NOW.plus_ms(48 * HOUR)),
        evidence: Some("form 7".into()),
        actor: actor::OPERATOR.into(),
    };
    PlannedConsent { consent, question: None }
}

fn state(env: &TestEnv, purpose: Purpose) -> ConsentState {
    env.reader.contact(ANA).unwrap().unwrap().consent_for(&purpose).state
}

/// The entries of Ana as `purpose act actor`.
fn entries(env: &TestEnv) -> Vec<String> {
    let line = |entry: beadle_model::consent::ConsentEntry| {
        let consent = entry.consent;
        format!("{} {} {}", consent.purpose, consent.act.name(), consent.actor)
    };
    env.reader.consents_of(ANA).unwrap().into_iter().map(line).collect()
}

/// A tap on a button of Beadle's own.
fn tap(id: &str, keyword: Keyword, answer: HostAnswer) -> NewEvent {
    let matched = KeywordMatch::new(keyword, None, vec![(Language::En, text("noted"))]);
    NewEvent { keyword: Some(KeywordMatch { answer: Some(answer), ..matched }), ..from("31600000001", id) }
}

#[tokio::test]
async fn words_and_preferences_are_entries() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    assert_eq!(entries(&env), ["service granted person", "group granted person"]);
    assert_eq!(env.reader.consents_of(ANA).unwrap()[0].consent.evidence.as_deref(), Some("hello"));
    for (id, word) in [
        ("1", Keyword::StopMarketing),
        ("2", Keyword::StopMarketing),
        ("3", Keyword::Stop),
        ("4", Keyword::Stop),
        ("5", Keyword::Start),
        ("6", Keyword::Leave),
        ("7", Keyword::Join),
        ("8", Keyword::Help),
    ] {
        env.append(vec![keyword("31600000001", id, word)]).await;
    }
    let changes =
        EventBody::ContactChanged { change: "marketing-stopped".into(), merged: None, extra: serde_json::Value::Null };
    let stopped = NewEvent { body: changes, opens_window: false, ..from("31600000001", "9") };
    env.append(vec![stopped]).await;
    assert_eq!(
        entries(&env)[2..],
        [
            "marketing withdrawn person",
            "service withdrawn person",
            "service granted person",
            "group granted person",
            "group withdrawn person",
            "group granted person",
            "marketing withdrawn platform",
        ],
        "what changes nothing is no entry"
    );
    assert!(env.reader.contact(ANA).unwrap().unwrap().marketing_stopped_since.is_some());
    let env = env.reopen();
    let check = env.reader.verify_consents().unwrap();
    assert_eq!((check.rows, check.problems), (9, Vec::<String>::new()));
}

/// A word that the person says now.
async fn says(env: &TestEnv, id: &str, word: Keyword) -> Appended {
    let event = NewEvent { happened_at: env.clock.now(), ..keyword("31600000001", id, word) };
    env.append(vec![event]).await
}

#[tokio::test]
async fn word_counts_although_a_clock_was_ahead_when_the_last_one_was_said() {
    for ahead_ms in [10 * 60_000, 10 * 365 * DAY] {
        let env = TestEnv::new();
        env.append_one(from("31600000001", "hello")).await;
        // Each word and its opposite; the purpose; the state after the second one.
        let table = [
            (Keyword::Stop, Keyword::Start, Purpose::Service, ConsentState::Granted),
            (Keyword::Start, Keyword::Stop, Purpose::Service, ConsentState::Withdrawn),
            (Keyword::Leave, Keyword::Join, Purpose::Group, ConsentState::Granted),
            (Keyword::Join, Keyword::Leave, Purpose::Group, ConsentState::Withdrawn),
        ];
        for (nth, (ahead, now, purpose, wanted)) in table.into_iter().enumerate() {
            env.manual.set(NOW.plus_ms(ahead_ms));
            says(&env, &format!("ahead {nth}"), ahead).await;
            env.manual.set(NOW.plus_ms(1000));
            says(&env, &format!("now {nth}"), now).await;
            assert_eq!(state(&env, purpose), wanted, "{ahead:?} while {ahead_ms} ms ahead, then {now:?}");
        }
        says(&env, "back", Keyword::Start).await;
        assert!(env.reader.contact(ANA).unwrap().unwrap().opted_out_since.is_none());
        let env = env.reopen();
        assert_eq!(state(&env, Purpose::Service), ConsentState::Granted);
        assert_eq!(env.reader.verify_consents().unwrap().problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn stop_ends_what_was_agreed_to_while_the_clock_was_ahead() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    env.manual.set(NOW.plus_ms(2 * DAY));
    let mut ahead = by_operator(Purpose::Marketing, ConsentAct::Granted);
    ahead.consent.at = env.clock.now();
    env.store.record_consent(ahead, Interest::default()).await.unwrap().unwrap();
    env.manual.set(NOW.plus_ms(1000));
    says(&env, "stop", Keyword::Stop).await;
    says(&env, "start", Keyword::Start).await;
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Withdrawn, "STOP ended it, and START grants it not");
    // A form that was signed before is not said now.
    let signed = by_operator(Purpose::Marketing, ConsentAct::Granted);
    let signed = PlannedConsent { consent: NewConsent { at: NOW.plus_ms(-DAY), ..signed.consent }, ..signed };
    env.store.record_consent(signed, Interest::default()).await.unwrap().unwrap();
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Withdrawn);
}

#[tokio::test]
async fn question_of_a_clock_that_was_ahead_can_be_answered_and_asked_again() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    let asked = |at: beadle_model::Timestamp| {
        let mut planned = by_operator(Purpose::Marketing, ConsentAct::Requested);
        (planned.consent.at, planned.consent.expires_at) = (at, Some(at.plus_ms(48 * HOUR)));
        planned
    };
    env.manual.set(NOW.plus_ms(400 * DAY));
    env.store.record_consent(asked(env.clock.now()), Interest::default()).await.unwrap().unwrap();
    env.manual.set(NOW.plus_ms(1000));
    let again = env.store.record_consent(asked(env.clock.now()), Interest::default()).await.unwrap().unwrap();
    let known = env.store.record_consent(asked(env.clock.now()), Interest::default()).await.unwrap();
    assert_eq!(known, None, "the person is asked again once");
    env.append(vec![tap("yes", Keyword::Yes, HostAnswer::Consent(again.entry.id))]).await;
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Granted);
}

#[tokio::test]
async fn request_of_a_clock_that_was_ahead_is_not_open_for_years() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    env.manual.set(NOW.plus_ms(400 * DAY));
    says(&env, "erase", Keyword::ForgetMe).await;
    env.manual.set(NOW.plus_ms(30 * DAY));
    env.append(vec![tap("yes", Keyword::Yes, HostAnswer::Erase)]).await;
    let confirmed = || env.reader.contact_requests(10).unwrap()[0].confirmed_at.is_some();
    assert!(!confirmed(), "the time to confirm it is over");
    says(&env, "again", Keyword::ForgetMe).await;
    env.append(vec![tap("yes again", Keyword::Yes, HostAnswer::Erase)]).await;
    assert!(confirmed());
}

#[tokio::test]
async fn own_words_grant_and_withdraw_a_topic_with_its_wording() {
    let env = TestEnv::new();
    let wording =
        |language: &str| Wording { id: "news".into(), language: language.into(), version: 3, sha256: "…".into() };
    let news = Purpose::MarketingTopic("news".into());
    let topic = ConsentTopic { purpose: news.clone(), wordings: vec![wording("en"), wording("nl")] };
    let says = |id: &str, keyword| {
        let matched = KeywordMatch::new(keyword, None, vec![(Language::En, text("ok"))]);
        NewEvent { keyword: Some(KeywordMatch { topic: Some(topic.clone()), ..matched }), ..from("31600000001", id) }
    };
    env.append_one(from("31600000001", "hello")).await;
    let dutch = ContactEdit { language: Some("nl".into()), ..ContactEdit::default() };
    env.store.edit_contact(ANA, dutch).await.unwrap();
    assert_eq!(env.append(vec![says("a", Keyword::OptIn)]).await.queued.len(), 1);
    let entry = env.reader.consents_of(ANA).unwrap().pop().unwrap().consent;
    assert_eq!((entry.wording, entry.source), (Some(wording("nl")), ConsentSource::Whatsapp));
    assert_eq!(state(&env, news.clone()), ConsentState::Granted);
    env.append(vec![says("b", Keyword::OptOut)]).await;
    assert_eq!(state(&env, news), ConsentState::Withdrawn);
    assert_eq!(env.append(vec![says("c", Keyword::OptOut)]).await.queued.len(), 0, "nothing changed");
}

#[tokio::test]
async fn repeated_entry_of_a_wider_purpose_reaches_topics() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    let news = Purpose::MarketingTopic("news".into());
    let record = async |purpose: &Purpose, act, ms| {
        let mut planned = by_operator(purpose.clone(), act);
        planned.consent.at = NOW.plus_ms(ms);
        env.store.record_consent(planned, Interest::default()).await.unwrap().is_some()
    };
    use ConsentAct::{Granted, Withdrawn};
    assert!(record(&Purpose::Marketing, Withdrawn, 1).await);
    assert!(record(&news, Granted, 2).await);
    assert!(record(&Purpose::Marketing, Withdrawn, 3).await);
    assert_eq!(state(&env, news.clone()), ConsentState::Withdrawn);
    assert!(!record(&Purpose::Marketing, Withdrawn, 4).await);
    assert!(record(&Purpose::Marketing, Granted, 5).await);
    assert!(record(&news, Withdrawn, 6).await);
    assert!(record(&Purpose::Marketing, Granted, 7).await);
    assert_eq!(state(&env, news), ConsentState::Granted);
    assert!(!record(&Purpose::Marketing, Granted, 8).await);
}

#[tokio::test]
async fn report_counts_once_the_person_confirms_it() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    let question = ConsentQuestion { text: "Shop may write to me.".into(), language: "en".into(), template: None };
    let planned = PlannedConsent { question: Some(question), ..by_operator(Purpose::Marketing, ConsentAct::Requested) };
    let interest = Interest { consent_changed: true, ..Interest::default() };
    let recorded = env.store.record_consent(planned.clone(), interest.clone()).await.unwrap().unwrap();
    assert!(recorded.asked, "the window is open");
    let asked = due_sends(&env.reader, NOW, 10).pop().unwrap();
    assert_eq!((asked.plugin, asked.reply), (beadle_model::PluginNo::HOST, false));
    let Outgoing::Buttons { buttons, .. } = &asked.body else { panic!("{:?}", asked.body) };
    assert_eq!(buttons[0].id, format!("beadle:consent:{}:yes", recorded.entry.id));
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Requested);
    // The answer to another question, or of another person, counts for nothing.
    env.append(vec![tap("x", Keyword::Yes, HostAnswer::Consent(recorded.entry.id + 100))]).await;
    let stranger = NewEvent {
        keyword: tap("y", Keyword::Yes, HostAnswer::Consent(recorded.entry.id)).keyword,
        ..from("31600000002", "y")
    };
    assert_eq!(env.append(vec![stranger]).await.queued.len(), 0);
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Requested);

    env.append(vec![tap("a", Keyword::Yes, HostAnswer::Consent(recorded.entry.id))]).await;
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Granted);
    let entry = env.reader.consents_of(ANA).unwrap().pop().unwrap().consent;
    assert_eq!((entry.actor.as_str(), entry.evidence.as_deref(), entry.expires_at), ("person", Some("a"), None));
    // A question is answered once.
    env.append(vec![tap("b", Keyword::No, HostAnswer::Consent(recorded.entry.id))]).await;
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Granted);

    let again = env.store.record_consent(planned, interest).await.unwrap().unwrap();
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Granted, "who agreed stays so while asked again");
    env.manual.advance_ms(49 * HOUR);
    let late = NewEvent { happened_at: env.clock.now(), ..tap("c", Keyword::No, HostAnswer::Consent(again.entry.id)) };
    env.append(vec![late]).await;
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Granted);
    let kinds = kinds(&env.events());
    assert_eq!(kinds.iter().filter(|kind| **kind == "consent-changed").count(), 2, "{kinds:?}");
}

#[tokio::test]
async fn requests_are_open_once_and_confirmed_by_their_person() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    let open = || {
        let requests = env.reader.contact_requests(10).unwrap();
        requests.iter().map(|request| (request.kind, request.confirmed_at.is_some())).collect::<Vec<_>>()
    };
    for (id, word) in [("a", Keyword::Human), ("b", Keyword::Human), ("c", Keyword::MyData), ("d", Keyword::ForgetMe)] {
        assert_eq!(env.append(vec![keyword("31600000001", id, word)]).await.queued.len(), 1, "always answered");
    }
    assert_eq!(open(), [(RequestKind::Human, false), (RequestKind::Export, false), (RequestKind::Erase, false)]);
    env.append(vec![tap("e", Keyword::Yes, HostAnswer::Erase), tap("f", Keyword::No, HostAnswer::Export)]).await;
    assert_eq!(open(), [(RequestKind::Human, false), (RequestKind::Erase, true)]);
    // Those before it that are not confirmed do not hide it.
    let confirmed = env.reader.confirmed_requests(0, 1).unwrap();
    assert_eq!(confirmed.iter().map(|request| request.kind).collect::<Vec<_>>(), [RequestKind::Erase]);
    assert!(env.reader.confirmed_requests(confirmed[0].id, 1).unwrap().is_empty());
    assert_eq!(env.append(vec![tap("g", Keyword::No, HostAnswer::Erase)]).await.queued.len(), 0, "it was confirmed");
    let human = env.reader.contact_requests(10).unwrap()[0].id;
    env.store.close_contact_request(human).await.unwrap();
    assert!(matches!(env.store.close_contact_request(human).await, Err(StoreError::NotFound { .. })));
    assert_eq!(env.reader.contact_requests(10).unwrap().len(), 1);
}

#[tokio::test]
async fn restrictions_are_announced_for_what_is_queued() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    assert_eq!(env.store.restricted_at().0, 0);
    let next = env.store.reserve_message();
    env.manual.advance_ms(1000);
    env.append(vec![keyword("31600000001", "a", Keyword::Leave)]).await;
    assert_eq!(env.store.restricted_at(), env.clock.now());
    let contact = env.reader.contact(ANA).unwrap().unwrap();
    assert!(contact.profile().left_before.is_some_and(|before| before > next), "{:?}", contact.profile());
    env.manual.advance_ms(1000);
    let role = ProfileEdit { role: Some(Role::Banned), ..ProfileEdit::default() };
    env.store.edit_contact(ANA, ContactEdit { profile: role, ..ContactEdit::default() }).await.unwrap();
    assert_eq!(env.store.restricted_at(), env.clock.now());
    assert_eq!(env.reopen().reader.contact(ANA).unwrap().unwrap().profile().role, Role::Banned);
}

#[tokio::test]
async fn merge_keeps_the_stricter_consent_in_the_ledger() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "a")).await;
    env.append_one(from("31600000002", "b")).await;
    env.append(vec![keyword("31600000002", "c", Keyword::StopMarketing)]).await;
    env.manual.advance_ms(1000);
    let mut granted = by_operator(Purpose::Marketing, ConsentAct::Granted);
    granted.consent.at = env.clock.now();
    env.store.record_consent(granted, Interest::default()).await.unwrap();
    let before = env.reader.verify_consents().unwrap();
    env.store.merge_contacts(ANA, ContactId(2), true).await.unwrap();
    assert_eq!(env.reader.verify_consents().unwrap(), before, "a dry run records nothing");
    env.store.merge_contacts(ANA, ContactId(2), false).await.unwrap();
    assert_eq!(state(&env, Purpose::Marketing), ConsentState::Withdrawn);
    assert_eq!(state(&env, Purpose::Group), ConsentState::Granted);
    let last = env.reader.consents_of(ContactId(2)).unwrap().pop().unwrap().consent;
    assert_eq!(last.evidence.as_deref(), Some("merged with con_2"));
    let check = env.reader.verify_consents().unwrap();
    assert_eq!((check.rows, check.problems), (before.rows + 1, vec![]));
}

#[tokio::test]
async fn import_without_a_consent_is_quarantined_until_the_person_writes() {
    let env = TestEnv::new();
    let row = |phone: &str, consents| ImportedContact {
        phone: phone.into(),
        name: Some("Ana".into()),
        edit: ContactEdit {
            profile: ProfileEdit { add_tags: ["vip".to_owned()].into(), ..ProfileEdit::default() },
            ..ContactEdit::default()
        },
        consents,
    };
    let agreed = by_operator(Purpose::Marketing, ConsentAct::Granted);
    let rows = vec![row("31600000001", vec![]), row("31600000002", vec![agreed])];
    let outcomes = env.store.import_contacts("shop", rows.clone(), Interest::default()).await.unwrap();
    let imported: Vec<_> =
        outcomes.iter().map(|outcome| (outcome.contact.0, outcome.created, outcome.quarantined)).collect();
    assert_eq!(imported, [(1, true, true), (2, true, false)]);
    assert!(env.reader.conversation_with(ANA, Some("shop")).unwrap().unwrap().address.is_some());
    let again = env.store.import_contacts("shop", rows, Interest::default()).await.unwrap();
    assert!(again.iter().all(|outcome| !outcome.created) && again[0].quarantined);
    assert_eq!(env.reader.contacts(None, 10).unwrap().len(), 2);
    env.append_one(from("31600000001", "hello")).await;
    let ana = env.reader.contact(ANA).unwrap().unwrap();
    assert_eq!((ana.profile().quarantined_since, ana.member_since.is_some()), (None, true));
    assert!(ana.profile().tags.contains("vip"));
    assert_eq!(env.reader.verify_consents().unwrap().problems, Vec::<String>::new());
}

/// The question was planned before the person opted out; after that nothing may be sent to them.
#[tokio::test]
async fn nobody_is_asked_after_they_opted_out() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    let question = ConsentQuestion { text: "Shop may write to me.".into(), language: "en".into(), template: None };
    let planned = PlannedConsent { question: Some(question), ..by_operator(Purpose::Marketing, ConsentAct::Requested) };
    env.append(vec![keyword("31600000001", "b", Keyword::Stop)]).await;
    let queued = due_sends(&env.reader, NOW, 10).len();
    let recorded = env.store.record_consent(planned, Interest::default()).await.unwrap().unwrap();
    assert!(!recorded.asked);
    assert_eq!(due_sends(&env.reader, NOW, 10).len(), queued);
}

/// A ledger of some entries, closed, and its file.
async fn closed_ledger() -> (tempfile::TempDir, beadle_clock::Clock) {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _manual) = beadle_clock::Clock::manual(NOW);
    let store = beadle_store::Store::open(config(dir.path(), &clock)).unwrap();
    let batch = |events| Batch { events, ..Batch::default() };
    store.append(batch(vec![from("31600000001", "a"), keyword("31600000001", "b", Keyword::Stop)])).await.unwrap();
    store.record_consent(by_operator(Purpose::Survey, ConsentAct::Granted), Interest::default()).await.unwrap();
    store.close();
    (dir, clock)
}

/// Changes the database of a ledger; returns what a check finds then.
fn problems_after(dir: &std::path::Path, clock: &beadle_clock::Clock, sql: &str) -> Vec<String> {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("beadle.db"), copy.path().join("beadle.db")).unwrap();
    let conn = rusqlite::Connection::open(copy.path().join("beadle.db")).unwrap();
    conn.execute_batch(sql).unwrap();
    drop(conn);
    let store = beadle_store::Store::open(config(copy.path(), clock)).unwrap();
    let problems = store.reader().verify_consents().unwrap().problems;
    store.close();
    problems
}

#[tokio::test]
async fn check_finds_every_kind_of_tampering() {
    let (dir, clock) = closed_ledger().await;
    let rows: i64 = rusqlite::Connection::open(dir.path().join("beadle.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM consents", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 4);
    assert_eq!(problems_after(dir.path(), &clock, ""), Vec::<String>::new());
    for sql in [
        "DELETE FROM consents WHERE id = 2",
        "DELETE FROM consents WHERE id = 4",
        "DELETE FROM consents",
        "UPDATE consents SET contact = 9 WHERE id = 3",
        "UPDATE consents SET digest = zeroblob(32), body = NULL, salt = NULL, contact = NULL WHERE id = 2",
        "UPDATE consents SET salt = NULL WHERE id = 2",
        "UPDATE consents SET id = 40 WHERE id = 4",
        "UPDATE contacts SET profile = replace(profile, '\"withdrawn\"', '\"granted\"')",
        "UPDATE contacts SET profile = NULL",
        "UPDATE contacts SET opted_out_since = NULL",
        "UPDATE contacts SET marketing_stopped_since = 5",
        "INSERT INTO contacts (created_at, opted_out_since) VALUES (5, 5)",
        "INSERT INTO consents (id, body, salt, hash, contact) SELECT id + 3, body, salt, hash, contact FROM consents WHERE id = 2",
        "INSERT INTO consent_texts VALUES ('00', 'other words')",
    ] {
        let problems = problems_after(dir.path(), &clock, sql);
        assert!(!problems.is_empty(), "not found: {sql}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn check_finds_any_changed_byte(row in 1..=4i64, place in 0..400usize, with in 1..=255u8, column in 0..3usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (dir, clock) = runtime.block_on(closed_ledger());
        let column = ["body", "salt", "hash"][column];
        let conn = rusqlite::Connection::open(dir.path().join("beadle.db")).unwrap();
        let sql = format!("SELECT CAST({column} AS BLOB) FROM consents WHERE id = {row}");
        let mut bytes: Vec<u8> = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
        let place = place % bytes.len();
        bytes[place] ^= with;
        let kind = if column == "body" { "TEXT" } else { "BLOB" };
        // A text that is not UTF-8 cannot be read at all.
        if kind == "TEXT" && String::from_utf8(bytes.clone()).is_err() {
            return Ok(());
        }
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        drop(conn);
        let sql = format!("UPDATE consents SET {column} = CAST(x'{hex}' AS {kind}) WHERE id = {row}");
        let problems = problems_after(dir.path(), &clock, &sql);
        prop_assert!(!problems.is_empty(), "{} {} {} {}", column, row, place, with);
    }
}

#[tokio::test]
async fn late_stop_holds_and_late_start_does_not_undo_it() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    let before = |event: NewEvent| NewEvent { happened_at: NOW.plus_ms(-HOUR), ..event };
    env.append(vec![before(keyword("31600000001", "a", Keyword::Stop))]).await;
    assert_eq!(state(&env, Purpose::Service), ConsentState::Withdrawn);
    env.append(vec![before(keyword("31600000001", "b", Keyword::Start))]).await;
    assert_eq!(state(&env, Purpose::Service), ConsentState::Withdrawn, "it was sent before");
    env.append(vec![keyword("31600000001", "c", Keyword::Start)]).await;
    assert_eq!(state(&env, Purpose::Service), ConsentState::Granted);
}

#[tokio::test]
async fn answer_within_the_second_of_its_question_counts() {
    let env = TestEnv::new();
    env.append_one(from("31600000001", "hello")).await;
    // The platform reports whole seconds.
    env.manual.advance_ms(700);
    let question = ConsentQuestion { text: "…".into(), language: "en".into(), template: None };
    let mut planned = by_operator(Purpose::Survey, ConsentAct::Requested);
    (planned.consent.at, planned.question) = (env.clock.now(), Some(question));
    let recorded = env.store.record_consent(planned, Interest::default()).await.unwrap().unwrap();
    env.manual.advance_ms(200);
    env.append(vec![tap("a", Keyword::Yes, HostAnswer::Consent(recorded.entry.id))]).await;
    assert_eq!(state(&env, Purpose::Survey), ConsentState::Granted);
    env.append(vec![keyword("31600000001", "b", Keyword::Stop)]).await;
    assert_eq!(state(&env, Purpose::Survey), ConsentState::Withdrawn);
}
