//! Erasures of people: what is left of them, what an erased person had refused, and crashes at any
//! moment.

use crate::env::*;
use beadle_model::consent::Purpose;
use beadle_model::effect::TimerWrite;
use beadle_model::{
    Audience, ConsentState, ContactId, Content, ConversationId, EventBody, EventId, Keyword, PluginNo, Role, Scope,
};
use beadle_store::step::*;
use beadle_store::{AskedBy, ContactEdit, ErasurePhase, ImportedContact, StoreError};
use proptest::prelude::*;
use std::path::Path;

const ANA: ContactId = ContactId(1);
const ANAS_NUMBER: &str = "31612345678";
const BOT: PluginNo = PluginNo(1);

/// What must not be found on disk after Ana was erased.
const TRACES: [&str; 5] = [ANAS_NUMBER, "Anastasia", "my secret plan", "only for Anastasia", "MzE2MTIzNDU2Nz"];

fn of_ana(id: &str, body: &str) -> NewEvent {
    let named = Sender { name: Some("Anastasia".into()), ..sender(vec![wa(ANAS_NUMBER), user("NL.77")]) };
    message(id, named, body)
}

/// Everything that is kept about a person: a history, consents, state, timers, a message, a
/// request.
async fn with_history(env: &TestEnv) -> (EventId, MessageIds) {
    env.store.plugin_no("bot").await.unwrap();
    env.append(vec![of_ana("wamid.1", "my secret plan")]).await;
    env.append(vec![from("31600000002", "wamid.2")]).await;
    env.append(vec![NewEvent { keyword: keyword("", "", Keyword::Stop).keyword, ..of_ana("wamid.3", "stop") }]).await;
    env.append(vec![NewEvent { keyword: keyword("", "", Keyword::MyData).keyword, ..of_ana("wamid.4", "mydata") }])
        .await;
    let first = env.events().into_iter().find(|event| matches!(event.body, EventBody::Message { .. })).unwrap();
    let conversation = first.conversation.as_ref().unwrap().id;
    let (queued, sent) = (env.store.reserve_message(), env.store.reserve_message());
    let body = text("only for Anastasia");
    let send = |message, state| NewSend { body: body.clone(), ..new_send(message, conversation, state, NOW) };
    env.store
        .commit(Commit {
            state: vec![
                set(Scope::Contact(ANA), "step", "my secret plan"),
                set(Scope::Conversation(conversation), "step", "my secret plan"),
                set(Scope::Plugin, "total", "1"),
            ],
            timers: vec![TimerWrite::Set {
                scope: Scope::Contact(ANA),
                key: "nudge".into(),
                due_at: NOW.plus_ms(HOUR),
                payload: "my secret plan".into(),
            }],
            sends: vec![send(queued, SendState::Queued), send(sent, SendState::Sending)],
            refused: crate::refused::refused(ANA, conversation, 1, "template only for Anastasia"),
            ..env.commit(first.id, BOT)
        })
        .await
        .unwrap();
    env.settle(sent, SendOutcome::Accepted(Some("wamid.HBgLMzE2MTIzNDU2NzgVAgARGBI".into()))).await;
    // Someone else's event leads to a message to her.
    let other = env.events().into_iter().find(|event| event.contact() == Some(ContactId(2))).unwrap();
    let refused = crate::refused::refused(ANA, conversation, 1, "template only for Anastasia");
    env.store.commit(Commit { refused, ..env.commit(other.id, BOT) }).await.unwrap();
    // Someone else's event mentions the number, and a webhook that could not be parsed as well.
    let mention = EventBody::Message {
        message: "wamid.9".into(),
        content: Content::Text(format!("call {ANAS_NUMBER}")),
        context: None,
        referral: None,
        keyword: None,
        addressed: None,
        extra: serde_json::json!({"quoted": "wamid.HBgLMzE2MTIzNDU2NzgVAgARGBI"}),
    };
    env.append(vec![NewEvent { body: mention, ..from("31600000002", "wamid.9") }]).await;
    let rejected = NewRejectedWebhook {
        app: "main".into(),
        code: "x".into(),
        error: "x".into(),
        body: format!("{{\"from\":\"{ANAS_NUMBER}\"}}").into_bytes(),
    };
    env.store.append(Batch { rejected: vec![rejected], ..Batch::default() }).await.unwrap();
    // A plan shows what she would get.
    let definition = crate::broadcasts::definition("news", Audience::Everyone);
    let broadcast = env.store.create_broadcast(BOT, "Bram".into(), definition).await.unwrap().unwrap();
    assert!(env.store.begin_planning(broadcast).await.unwrap());
    let sample = |contact: &str, line: &str| serde_json::json!({"kind": "text", "contact": contact, "lines": [line]});
    let samples = [sample("con_1", "only for Anastasia"), sample("con_2", "for Bram")];
    let plan = serde_json::json!({ "samples": samples }).to_string();
    env.store.finish_planning(broadcast, plan).await.unwrap();
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    conn.execute("INSERT INTO unreachable VALUES (1, 1, '131026'), (2, 1, '131026')", []).unwrap();
    (first.id, [queued, sent])
}

type MessageIds = [beadle_model::MessageId; 2];

/// Finishes every event, as the pipeline does.
async fn finish_all(env: &TestEnv) {
    for event in env.events() {
        env.store.finish(progress(event.id, 1, 1), env.store.fence()).await.unwrap();
    }
}

/// Takes the steps of the daemon's task until the erasure is complete, or for `steps` of them.
async fn advance(env: &TestEnv, erasure: i64, steps: usize) -> ErasurePhase {
    for _ in 0..steps {
        let now = env.clock.now();
        match env.reader.erasure(erasure).unwrap().unwrap().phase {
            ErasurePhase::Begun => env.store.file_erasure(erasure, now).await.unwrap(),
            ErasurePhase::Plugins => {
                env.store.plugins_erased(erasure, vec!["bot".into()], vec![], now).await.unwrap();
            }
            ErasurePhase::Rows => drop(env.store.erase_slice(erasure).await.unwrap()),
            ErasurePhase::Cleaning => drop(env.store.clean_erased(erasure, now).await.unwrap()),
            ErasurePhase::Done => break,
        }
    }
    env.reader.erasure(erasure).unwrap().unwrap().phase
}

/// Files in a folder that contain one of the traces.
fn traces(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(traces(&path));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for trace in TRACES {
            if bytes.windows(trace.len()).any(|window| window == trace.as_bytes()) {
                found.push(format!("{trace} in {}", path.display()));
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_about_the_person_is_left_on_disk() {
    let env = TestEnv::new();
    let (_, [queued, _]) = with_history(&env).await;
    assert!(!traces(env.dir.path()).is_empty());
    let erasure = env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await.unwrap();
    assert_eq!(env.state_of(queued), SendState::Dropped, "nothing is sent from now on");
    assert_eq!(number(&env, "SELECT count(*) FROM timers"), 0);
    let contact = env.reader.contact(ANA).unwrap().unwrap();
    assert_eq!((contact.profile().erased_since, contact.member_since), (Some(NOW), None));
    assert_eq!(env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await.unwrap(), erasure, "it is open");
    let event = env.events().pop().unwrap();
    let EventBody::EraseContact(ids) = &event.body else { panic!("{event:?}") };
    assert_eq!((ids.contact, ids.conversations.len()), (ANA, 1));
    finish_all(&env).await;
    assert_eq!(advance(&env, erasure, 100).await, ErasurePhase::Done);

    assert_eq!(traces(env.dir.path()), Vec::<String>::new());
    assert!(env.reader.contact(ANA).unwrap().is_none());
    assert!(env.reader.contact_details(ANA).unwrap().is_none());
    assert!(matches!(env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await, Err(StoreError::NotFound { .. })));
    let check = env.reader.verify_consents().unwrap();
    assert_eq!(check.problems, Vec::<String>::new(), "the ledger is intact");
    assert_eq!((check.rows, check.erased), (5, 3));
    let done = env.reader.erasure(erasure).unwrap().unwrap();
    let erased = |name: &str| done.report.erased.get(name).copied().unwrap_or(0);
    assert!(erased("events") >= 4, "{done:?}");
    for (name, count) in [
        ("messages", 4),
        ("values", 2),
        ("consents", 3),
        ("rejected_webhooks", 1),
        ("mentions", 1),
        ("samples", 1),
        ("refused_messages", 1),
    ] {
        assert_eq!(erased(name), count, "{name}: {done:?}");
    }
    assert_eq!((done.report.plugins.as_slice(), done.completed_at), (&["bot".to_owned()][..], Some(NOW)));
    let other = env.events().into_iter().find(|event| event.contact() == Some(ContactId(2))).unwrap();
    assert_eq!(other.conversation.as_ref().unwrap().contact.name.as_deref(), Some("Ana"), "others are untouched");
    assert_eq!(number(&env, "SELECT count(*) FROM state_values"), 1);
    assert_eq!(number(&env, "SELECT sum(contact) FROM unreachable"), 2);
    let env = env.reopen();
    assert_eq!(env.reader.verify_consents().unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn who_writes_again_is_a_new_person_and_repeated_webhooks_bring_nothing_back() {
    let env = TestEnv::new();
    with_history(&env).await;
    let erasure = env.store.begin_erasure(ANA, AskedBy::Person, NOW).await.unwrap();
    finish_all(&env).await;
    advance(&env, erasure, 100).await;
    let again = env.append(vec![of_ana("wamid.1", "my secret plan")]).await;
    assert_eq!((again.events, again.duplicates), (0, 1));
    assert_eq!(traces(env.dir.path()), Vec::<String>::new());

    let new = env.append_one(of_ana("wamid.50", "hello again")).await;
    let view = new.conversation.unwrap();
    assert!(view.contact.id != ANA && view.id != ConversationId(1));
    assert_eq!(view.contact.profile().consents.decide(&Purpose::Service).state, ConsentState::Granted);
    assert!(view.contact.opted_out_since.is_none(), "the STOP was erased with them");
    // A handling that ends late changes nothing about the erased.
    let late = env.append_one(from("31600000002", "wamid.60")).await;
    let sends = vec![new_send(env.store.reserve_message(), ConversationId(1), SendState::Queued, NOW)];
    let state = vec![set(Scope::Contact(ANA), "step", "my secret plan")];
    let refused = crate::refused::refused(ANA, ConversationId(1), 1, "text");
    env.store.commit(Commit { sends, state, refused, ..env.commit(late.id, BOT) }).await.unwrap();
    assert_eq!(number(&env, "SELECT count(*) FROM state_values"), 1);
    assert_eq!(number(&env, "SELECT count(*) FROM outbox WHERE state = 0"), 0);
    assert_eq!(number(&env, "SELECT count(*) FROM refused_asks"), 0);
}

#[tokio::test]
async fn receipt_that_comes_during_the_search_is_erased() {
    let env = TestEnv::new();
    let (_, [_, sent]) = with_history(&env).await;
    let erasure = env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await.unwrap();
    finish_all(&env).await;
    // The events were searched, the messages not yet.
    assert_eq!(advance(&env, erasure, 3).await, ErasurePhase::Rows);
    assert_eq!(number(&env, "SELECT count(*) FROM events WHERE conversation = 1"), 0);
    assert_eq!(env.receipts(vec![receipt(sent, "delivered", NOW)], vec![BOT]).await.events, 1);
    assert_eq!(number(&env, "SELECT count(*) FROM events WHERE conversation = 1"), 1);
    assert_eq!(advance(&env, erasure, 100).await, ErasurePhase::Done);
    assert_eq!(number(&env, "SELECT count(*) FROM events WHERE conversation = 1"), 0);
    assert_eq!(traces(env.dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn erasure_deletes_a_recipient() {
    let env = TestEnv::new();
    with_history(&env).await;
    let definition = crate::broadcasts::definition("offers", Audience::Everyone);
    let id = env.store.create_broadcast(BOT, "bot".into(), definition).await.unwrap().unwrap();
    let recipient = |contact| beadle_store::PlannedRecipient {
        contact,
        conversation: None,
        refused: None,
        language: None,
        parameters: vec!["Anastasia".into()],
    };
    env.store.plan_recipients(id, vec![recipient(ANA), recipient(ContactId(2))]).await.unwrap();
    let erasure = env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await.unwrap();
    finish_all(&env).await;
    assert_eq!(advance(&env, erasure, 100).await, ErasurePhase::Done);
    let done = env.reader.erasure(erasure).unwrap().unwrap();
    assert_eq!(done.report.erased.get("broadcasts"), Some(&1));
    let counts = env.reader.recipient_counts(id).unwrap();
    assert_eq!(counts.iter().map(|count| count.recipients).collect::<Vec<_>>(), [1]);
    assert!(env.reader.recipient(id, ContactId(2)).unwrap().is_some());
}

fn imported(phone: &str) -> ImportedContact {
    ImportedContact { phone: phone.into(), name: Some("Back".into()), edit: ContactEdit::default(), consents: vec![] }
}

#[tokio::test]
async fn refusals_of_an_erased_person_hold_for_an_import() {
    let env = TestEnv::new();
    with_history(&env).await;
    let ban = beadle_model::profile::ProfileEdit { role: Some(Role::Banned), ..Default::default() };
    env.append(vec![from("31600000002", "wamid.70")]).await;
    env.store.edit_contact(ContactId(2), ContactEdit { profile: ban, ..ContactEdit::default() }).await.unwrap();
    for contact in [ANA, ContactId(2)] {
        let erasure = env.store.begin_erasure(contact, AskedBy::Operator, NOW).await.unwrap();
        finish_all(&env).await;
        assert_eq!(advance(&env, erasure, 100).await, ErasurePhase::Done);
    }
    env.manual.advance_ms(DAY);
    let rows = vec![imported(ANAS_NUMBER), imported("31600000002"), imported("31600000003")];
    let outcomes = env.store.import_contacts("shop", rows.clone(), Interest::default()).await.unwrap();
    let state = |place: usize, purpose: Purpose| {
        let contact = env.reader.contact(outcomes[place].contact).unwrap().unwrap();
        contact.consent_for(&purpose).state
    };
    assert_eq!(state(0, Purpose::Marketing), ConsentState::Withdrawn);
    assert_eq!(state(0, Purpose::Service), ConsentState::Withdrawn, "STOP");
    assert_eq!(state(1, Purpose::Service), ConsentState::Missing);
    assert_eq!(state(1, Purpose::Marketing), ConsentState::Withdrawn);
    assert_eq!(state(2, Purpose::Marketing), ConsentState::Missing);
    let banned = env.reader.contact(outcomes[1].contact).unwrap().unwrap();
    assert_eq!(banned.profile().role, Role::Banned, "a ban outlasts an erasure");
    let rows_before = env.reader.verify_consents().unwrap().rows;
    env.store.import_contacts("shop", rows, Interest::default()).await.unwrap();
    assert_eq!(env.reader.verify_consents().unwrap().rows, rows_before, "a second import repeats nothing");
    // What they say themselves is newer than the erasure.
    env.append(vec![message("wamid.80", sender(vec![wa(ANAS_NUMBER)]), "hello")]).await;
    assert_eq!(state(0, Purpose::Service), ConsentState::Granted);
    assert_eq!(state(0, Purpose::Marketing), ConsentState::Withdrawn);
}

#[tokio::test]
async fn an_erasure_goes_on_after_a_crash_between_any_two_steps() {
    for steps in 0..10 {
        let env = TestEnv::new();
        with_history(&env).await;
        let erasure = env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await.unwrap();
        finish_all(&env).await;
        advance(&env, erasure, steps).await;
        let env = env.crashed();
        assert_eq!(advance(&env, erasure, 100).await, ErasurePhase::Done, "after {steps} steps");
        assert_eq!(traces(env.dir.path()), Vec::<String>::new(), "after {steps} steps");
        assert_eq!(env.reader.verify_consents().unwrap().problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_restored_database_is_corrected_at_the_start() {
    let env = TestEnv::new();
    with_history(&env).await;
    let backup = tempfile::tempdir().unwrap();
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    conn.execute("VACUUM INTO ?1", [backup.path().join("beadle.db").to_string_lossy()]).unwrap();
    drop(conn);
    let erasure = env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await.unwrap();
    finish_all(&env).await;
    advance(&env, erasure, 100).await;
    let TestEnv { dir, store, clock, manual, .. } = env;
    store.close();
    for file in ["beadle.db", "beadle.db-wal", "beadle.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    std::fs::copy(backup.path().join("beadle.db"), dir.path().join("beadle.db")).unwrap();

    let store = beadle_store::Store::open(config(dir.path(), &clock)).unwrap();
    let env = TestEnv { reader: store.reader(), dir, store, clock, manual };
    assert!(env.reader.open_erasures(1, 10).unwrap().is_empty(), "those after it");
    let open = env.reader.open_erasures(0, 10).unwrap();
    assert_eq!(
        open.iter().map(|erasure| (erasure.contact, erasure.asked_by)).collect::<Vec<_>>(),
        [(ANA, AskedBy::Restore)]
    );
    assert!(env.reader.contact(ANA).unwrap().unwrap().profile().erased_since.is_some());
    finish_all(&env).await;
    assert_eq!(advance(&env, open[0].id, 100).await, ErasurePhase::Done);
    assert_eq!(traces(env.dir.path()), Vec::<String>::new());
    // Once is enough, also if the person is not in the backup.
    let env = env.reopen();
    assert!(env.reader.open_erasures(0, 10).unwrap().is_empty());
}

#[tokio::test]
async fn plugins_are_awaited() {
    let env = TestEnv::new();
    with_history(&env).await;
    let erasure = env.store.begin_erasure(ANA, AskedBy::Operator, NOW).await.unwrap();
    let event = env.reader.erasure(erasure).unwrap().unwrap().event.unwrap();
    let states = || {
        let (plugins, finished) = env.reader.erasing_plugins(event).unwrap();
        (plugins.into_iter().map(|plugin| format!("{:?}", plugin.state)).collect::<Vec<_>>(), finished)
    };
    assert_eq!(states(), (vec![], false), "it was not dispatched");
    let bot = env.store.plugin_no("bot").await.unwrap();
    let list = env.store.subscriber_list(vec![bot]).await.unwrap();
    let unhandled = Unhandled {
        fence: env.store.fence(),
        plugin: bot,
        state: UnhandledState::DeadLetter,
        attempts: 5,
        code: "plugin-retry".into(),
        error: "not now".into(),
        at: NOW,
        progress: Progress::of_one(event, list),
        refused: Default::default(),
    };
    env.store.record_unhandled(unhandled).await.unwrap();
    let failed = format!("Failed {{ since: Timestamp({}) }}", NOW.0);
    assert_eq!(states(), (vec![failed], true));
    let commit = Commit { progress: Progress::of_one(event, list), ..env.commit(event, bot) };
    env.store.commit(Commit { was_waiting: true, ..commit }).await.unwrap();
    assert_eq!(states(), (vec!["Done".into()], true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever a person did before, nothing of it is left, and what they refused still holds.
    #[test]
    fn any_history_is_erased(words in proptest::collection::vec(0_usize..6, 0..8), steps in 0_usize..8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let env = TestEnv::new();
            env.store.plugin_no("bot").await.unwrap();
            env.append(vec![of_ana("wamid.0", "my secret plan")]).await;
            let all = [Keyword::Stop, Keyword::Start, Keyword::StopMarketing, Keyword::Leave, Keyword::Join, Keyword::Help];
            for (place, word) in words.iter().enumerate() {
                env.manual.advance_ms(2000);
                let at = env.clock.now();
                let id = format!("wamid.w{place}");
                let event = of_ana(&id, "my secret plan");
                let keyword = keyword("", "", all[*word]).keyword;
                env.append(vec![NewEvent { keyword, happened_at: at, key: key(&id, at), ..event }]).await;
            }
            let stopped = env.reader.contact(ANA).unwrap().unwrap().opted_out_since.is_some();
            let erasure = env.store.begin_erasure(ANA, AskedBy::Person, env.clock.now()).await.unwrap();
            finish_all(&env).await;
            advance(&env, erasure, steps).await;
            let env = env.crashed();
            assert_eq!(advance(&env, erasure, 100).await, ErasurePhase::Done);
            assert_eq!(traces(env.dir.path()), Vec::<String>::new());
            env.manual.advance_ms(DAY);
            let outcome = env.store.import_contacts("shop", vec![imported(ANAS_NUMBER)], Interest::default()).await.unwrap();
            let contact = env.reader.contact(outcome[0].contact).unwrap().unwrap();
            assert_eq!(contact.consent_for(&Purpose::Marketing).state, ConsentState::Withdrawn);
            assert_eq!(contact.opted_out_since.is_some(), stopped);
            assert_eq!(env.reader.verify_consents().unwrap().problems, Vec::<String>::new());
        });
    }
}
