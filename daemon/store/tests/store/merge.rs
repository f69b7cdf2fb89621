//! Merging contacts: what moves, what is dropped, and that every id stays valid.

use crate::env::*;
use beadle_model::effect::{StateWrite, TimerWrite};
use beadle_model::{ContactId, ConversationId, Event, EventBody, Keyword, PluginNo, Scope};
use beadle_store::StoreError;
use beadle_store::step::*;
use beadle_store::views::{ContactDetails, EventFilter, MergeReport, OutboxFilter, Trace};

const NUMBER: &str = "31600000001";
const GROUP: &str = "Y2FwaQZD";
const ANA: ContactId = ContactId(1);
const MIA: ContactId = ContactId(2);
const MIA_AS_WELL: Scope = Scope::Contact(MIA);

fn on(channel: &str, aliases: Vec<beadle_model::Alias>) -> Sender {
    Sender { channel: channel.into(), name: None, ..sender(aliases) }
}

/// Ana wrote from her number, and later with a user id only: two contacts, con_1 and con_2.
async fn two_contacts(env: &TestEnv) -> (Event, Event) {
    let ana = env.append_one(message("a", on("shop", vec![wa(NUMBER)]), "hi")).await;
    env.manual.advance_ms(HOUR);
    let mut later = message("b", on("shop", vec![user("NL.1")]), "it is me");
    later.happened_at = env.clock.now();
    let mia = env.append_one(later).await;
    assert_eq!((ana.contact(), mia.contact()), (Some(ANA), Some(MIA)));
    (ana, mia)
}

async fn plugin(env: &TestEnv, name: &str) -> PluginNo {
    env.store.plugin_no(name).await.unwrap()
}

async fn merged(env: &TestEnv, keep: ContactId, removed: ContactId) -> MergeReport {
    let dry = env.store.merge_contacts(keep, removed, true).await.unwrap();
    let done = env.store.merge_contacts(keep, removed, false).await.unwrap();
    assert_eq!(dry, done, "what was foretold is what was done");
    done
}

fn contact(env: &TestEnv, id: ContactId) -> ContactDetails {
    env.reader.contact_details(id).unwrap().unwrap()
}

fn value(env: &TestEnv, plugin: PluginNo, scope: Scope, key: &str) -> Option<String> {
    let value = env.reader.state_get(env.reader.state_of(plugin).unwrap(), scope, key, env.clock.now()).unwrap();
    value.map(|(bytes, _)| String::from_utf8(bytes).unwrap())
}

/// The whole database as text.
fn dump(env: &TestEnv) -> String {
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    let tables: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut text = String::new();
    for table in tables {
        let mut read = conn.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = read.column_count();
        let mut rows = read.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let row: Vec<_> = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            text.push_str(&format!("{table}: {}\n", row.join(", ")));
        }
    }
    text
}

#[tokio::test]
async fn merge_moves_aliases_and_conversations() {
    let env = TestEnv::new();
    let (ana, mia) = two_contacts(&env).await;
    // Also on a channel that only she uses.
    let side = env.append_one(message("c", on("side", vec![user("NL.1")]), "and here")).await;
    let (kept, removed) = (ana.conversation.unwrap().id, mia.conversation.unwrap().id);
    let report = merged(&env, ANA, MIA).await;
    assert_eq!((report.kept, report.removed, report.aliases), (ANA, MIA, 1));
    assert_eq!(report.merged_conversations, [(removed, kept)]);
    assert_eq!(report.moved_conversations, [side.conversation.unwrap().id]);

    let details = contact(&env, ANA);
    assert_eq!(details.aliases.len(), 3, "{:?}", details.aliases);
    assert_eq!((details.conversations.len(), details.merged.as_slice()), (2, &[MIA][..]));
    // The later window, and the address of the later message.
    let view = env.reader.conversation(kept).unwrap().unwrap();
    assert_eq!(view.window_until, Some(NOW.plus_ms(25 * HOUR)));
    assert_eq!(view.address, Some(user("NL.1")));
    // The merged ids stay valid everywhere.
    assert_eq!(contact(&env, MIA), details);
    assert_eq!(env.reader.contact(MIA).unwrap().unwrap().id, ANA);
    assert_eq!(env.reader.conversation(removed).unwrap().unwrap(), view);
    assert_eq!(env.reader.conversation_with(MIA, Some("shop")).unwrap().unwrap().id, kept);
    assert_eq!(env.reader.contacts(None, 10).unwrap().len(), 1);
    let Some(Trace::Contact(traced)) = env.reader.trace("con_2").unwrap() else { panic!() };
    assert_eq!(*traced, details);
    for (contact, conversation) in [(Some(ANA), None), (Some(MIA), None), (None, Some(kept)), (None, Some(removed))] {
        let filter = EventFilter { contact, conversation, limit: 10, ..EventFilter::default() };
        let events = env.reader.events(&filter).unwrap();
        let all = if contact.is_some() { 6 } else { 5 };
        assert_eq!(events.len(), all, "{filter:?}: {events:?}");
        assert!(events.iter().all(|event| event.contact == Some(ANA)));
    }

    // Messages with either alias reach the one conversation, also after a restart.
    let env = env.reopen();
    for (id, name) in [("d", user("NL.1")), ("e", wa(NUMBER))] {
        let event = env.append_one(message(id, on("shop", vec![name]), "still me")).await;
        assert_eq!((event.contact(), event.conversation.unwrap().id), (Some(ANA), kept));
    }
    assert!(contact(&env, ANA).conflicts.is_empty());
}

#[tokio::test]
async fn merge_moves_plugin_data_and_keeps_the_kept_contacts() {
    let env = TestEnv::new();
    let (_, mia) = two_contacts(&env).await;
    let (welcome, echo) = (plugin(&env, "welcome").await, plugin(&env, "echo").await);
    let (hers, mine) = (Scope::Contact(MIA), Scope::Contact(ANA));
    let conversation = Scope::Conversation(mia.conversation.as_ref().unwrap().id);
    let at = env.clock.now().plus_ms(DAY);
    let timer_of = |scope, key: &str| TimerWrite::Set { scope, key: key.into(), due_at: at, payload: vec![] };
    let removed = StateWrite::Set { scope: mine, key: "expired".into(), value: b"x".to_vec(), expires_at: Some(NOW) };
    let state = vec![
        set(mine, "step", "asked"),
        set(hers, "step", "answered"),
        set(hers, "name", "Mia"),
        set(hers, "expired", "hers"),
        removed,
        set(conversation, "topic", "lifts"),
        StateWrite::Add { scope: hers, key: "count".into(), delta: 3 },
    ];
    let timers = vec![timer_of(mine, "nudge"), timer_of(hers, "nudge"), timer_of(hers, "later")];
    let commit = env.commit(mia.id, welcome);
    env.store
        .commit(Commit { state, timers, conversation: Some(mia.conversation.as_ref().unwrap().id), ..commit })
        .await
        .unwrap();
    env.store.commit(Commit { state: vec![set(Scope::Plugin, "p", "1")], ..env.commit(mia.id, echo) }).await.unwrap();
    let bytes = env.reader.state_bytes(env.reader.state_of(welcome).unwrap()).unwrap();

    let report = merged(&env, ANA, MIA).await;
    let [only] = &report.plugins[..] else { panic!("{report:?}") };
    assert_eq!(
        (only.plugin, only.values, only.values_dropped, only.timers, only.timers_dropped),
        (welcome, 4, 1, 1, 1)
    );
    assert_eq!(only.keys_dropped, ["step"]);
    for scope in [hers, mine] {
        let read = |key| value(&env, welcome, scope, key);
        assert_eq!(read("step").as_deref(), Some("asked"));
        assert_eq!(read("name").as_deref(), Some("Mia"));
        assert_eq!(read("expired").as_deref(), Some("hers"), "expired values displace nothing");
        assert_eq!(read("count").as_deref(), Some("3"));
        let keys =
            env.reader.state_scan(env.reader.state_of(welcome).unwrap(), scope, "", None, 10, env.clock.now()).unwrap();
        assert_eq!(keys.len(), 4);
    }
    assert_eq!(value(&env, welcome, conversation, "topic").as_deref(), Some("lifts"));
    // `step` and `expired` of one of them were dropped.
    let (step, expired) = ("stepanswered".len() as u64, "expiredx".len() as u64);
    assert_eq!(env.reader.state_bytes(env.reader.state_of(welcome).unwrap()).unwrap(), bytes - step - expired);
    assert_eq!(env.reader.state_bytes(env.reader.state_of(echo).unwrap()).unwrap(), 2);

    env.manual.advance_ms(DAY);
    let (fired, _) = env.store.fire_timers(env.clock.now(), 10).await.unwrap();
    assert_eq!(fired, 2);
    let last = env.events().pop().unwrap();
    assert_eq!((last.kind().name(), last.contact()), ("timer", Some(ANA)));
}

#[tokio::test]
async fn merged_ids_keep_working_for_plugins() {
    let env = TestEnv::new();
    let (ana, mia) = two_contacts(&env).await;
    let echo = plugin(&env, "echo").await;
    let (kept, removed) = (ana.conversation.as_ref().unwrap().id, mia.conversation.as_ref().unwrap().id);
    env.store.commit(Commit { state: vec![set(MIA_AS_WELL, "k", "old")], ..env.commit(mia.id, echo) }).await.unwrap();
    let (_, version) =
        env.reader.state_get(env.reader.state_of(echo).unwrap(), MIA_AS_WELL, "k", NOW).unwrap().unwrap();
    let queued = env.send(&mia, echo, SendState::Queued).await;
    merged(&env, ANA, MIA).await;

    // A call that read before the merge is stale …
    let reads = vec![read_of(MIA_AS_WELL, "k", Some(version))];
    let stale = env.store.commit(Commit { reads, ..env.commit(mia.id, echo) }).await;
    assert!(matches!(stale, Err(StoreError::StaleRead { .. })));
    // … and its writes under the old ids are the kept contact's.
    let (_, version) =
        env.reader.state_get(env.reader.state_of(echo).unwrap(), MIA_AS_WELL, "k", NOW).unwrap().unwrap();
    let message = env.store.reserve_message();
    let commit = Commit {
        reads: vec![read_of(MIA_AS_WELL, "k", Some(version))],
        state: vec![set(MIA_AS_WELL, "k", "new"), set(Scope::Conversation(removed), "t", "new")],
        timers: vec![TimerWrite::Set { scope: MIA_AS_WELL, key: "t".into(), due_at: NOW, payload: vec![] }],
        conversation: Some(removed),
        sends: vec![new_send(message, removed, SendState::Queued, env.clock.now())],
        ..env.commit(mia.id, echo)
    };
    env.store.commit(commit).await.unwrap();
    assert_eq!(value(&env, echo, Scope::Contact(ANA), "k").as_deref(), Some("new"));
    assert_eq!(value(&env, echo, Scope::Conversation(kept), "t").as_deref(), Some("new"));
    env.store.fire_timers(env.clock.now(), 10).await.unwrap();
    assert_eq!(env.events().last().unwrap().conversation.as_ref().unwrap().id, kept);
    // Both messages are in the one conversation, in the order of the requests.
    let due = due_sends(&env.reader, env.clock.now(), 10);
    let rows: Vec<_> = due.iter().map(|row| (row.message, row.conversation)).collect();
    assert_eq!(rows, [(queued, kept), (message, kept)]);
    let filter = OutboxFilter { conversation: Some(removed), limit: 10, ..OutboxFilter::default() };
    assert_eq!(env.reader.outbox(&filter).unwrap().len(), 2);
}

fn in_group(id: &str, aliases: Vec<beadle_model::Alias>, body: EventBody) -> NewEvent {
    let from = Sender { group: Some(GROUP.into()), ..on("shop", aliases) };
    NewEvent { opens_window: false, body, ..message(id, from, "") }
}

#[tokio::test]
async fn merge_moves_groups_requests_and_receipts() {
    let env = TestEnv::new();
    let (ana, mia) = two_contacts(&env).await;
    let joined = || EventBody::MemberJoined { reason: "invite-link".into(), again: false };
    let asks = EventBody::JoinRequest { request: "R".into(), revoked: false, extra: serde_json::Value::Null };
    for event in [
        in_group("g1", vec![wa(NUMBER)], joined()),
        in_group("g2", vec![user("NL.1")], joined()),
        in_group("g3", vec![wa(NUMBER)], EventBody::MemberLeft { reason: "left".into() }),
        in_group("g4", vec![user("NL.1")], asks),
    ] {
        env.append(vec![event]).await;
    }
    let group = env.reader.group(GROUP).unwrap().unwrap();
    let echo = plugin(&env, "echo").await;
    let message = env.store.reserve_message();
    let sends = vec![new_send(message, group.conversation, SendState::Sending, NOW)];
    env.store.commit(Commit { sends, ..env.commit(ana.id, echo) }).await.unwrap();
    let receipt_of =
        |status: &str, name: beadle_model::Alias| Receipt { participant: vec![name], ..receipt(message, status, NOW) };
    env.receipts(vec![receipt_of("delivered", wa(NUMBER)), receipt_of("read", user("NL.1"))], vec![]).await;

    let report = merged(&env, ANA, MIA).await;
    assert_eq!((report.groups, report.join_requests, report.receipts), (1, 1, 1));
    let members = env.reader.group_members(group.conversation).unwrap();
    assert_eq!(members.iter().map(|member| member.id).collect::<Vec<_>>(), [ANA], "as the other she never left");
    assert_eq!(env.reader.join_requests(group.conversation).unwrap()[0].contact.id, ANA);
    assert_eq!(number(&env, "SELECT count(*) * 10 + max(receipt) FROM group_receipts"), 14, "one row, and it is read");
    assert_eq!(number(&env, "SELECT participant FROM group_receipts"), ANA.0);
    drop(mia);
}

#[tokio::test]
async fn merge_applies_the_stricter_consent() {
    for stop_as_kept in [true, false] {
        let env = TestEnv::new();
        two_contacts(&env).await;
        let name = if stop_as_kept { wa(NUMBER) } else { user("NL.1") };
        let mut stop = message("s", on("shop", vec![name]), "STOP");
        stop.keyword = Some(KeywordMatch::new(Keyword::Stop, None, vec![]));
        env.append(vec![stop]).await;
        let report = merged(&env, ANA, MIA).await;
        assert!(report.after.opted_out_since.is_some() && report.after.member_since.is_none());
        assert_eq!(report.before.opted_out_since.is_some(), stop_as_kept);
        assert!(env.reader.contact(ANA).unwrap().unwrap().opted_out_since.is_some());
        let events = env.events();
        let [.., event, left] = &events[..] else { panic!() };
        let EventBody::ContactChanged { change, merged: Some(merged), .. } = &event.body else { panic!("{event:?}") };
        assert_eq!((change.as_str(), merged.contact, event.contact()), ("merged", MIA, Some(ANA)));
        assert_eq!(merged.conversations, report.merged_conversations);
        assert!(event.conversation.as_ref().is_some_and(|view| view.contact.opted_out_since.is_some()));
        assert!(matches!(&left.body, EventBody::MemberLeft { reason } if reason == "merged"), "{left:?}");
        // Writing with either alias does not make them a member again.
        env.append_one(message("x", on("shop", vec![user("NL.1")]), "hi")).await;
        assert_eq!(env.reader.contact(ANA).unwrap().unwrap().member_since, None);
    }
}

/// The marketing that both got counts against the caps of the one, and WhatsApp's longer refusal
/// applies.
#[tokio::test]
async fn merge_moves_the_marketing_that_was_sent() {
    let env = TestEnv::new();
    two_contacts(&env).await;
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    conn.execute_batch(
        "INSERT INTO outreach VALUES (1, 1, 'shop', 5, 1, NULL, 1, 0), (2, 2, 'shop', 6, 1, 'news', 0, 0);
         INSERT INTO marketing_refusals VALUES (1, '131049', 2, 50), (2, '131049', 1, 60);
         INSERT INTO unreachable VALUES (1, 50, '131026'), (2, 60, '131026');",
    )
    .unwrap();
    merged(&env, ANA, MIA).await;
    assert_eq!(number(&env, "SELECT count(*) FROM outreach WHERE contact = 1"), 2);
    assert_eq!(
        number(&env, "SELECT count(*) * 1000 + contact * 100 + times * 10 + until / 60 FROM marketing_refusals"),
        1121
    );
    assert_eq!(number(&env, "SELECT count(*) * 1000 + contact * 100 + at FROM unreachable"), 1160);
}

/// A new table that refers to a contact needs a decision what a merge does with its rows.
#[tokio::test]
async fn every_table_with_a_contact_takes_part_in_a_merge() {
    let env = TestEnv::new();
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    let columns: Vec<String> = conn
        .prepare(
            "SELECT tables.name || '.' || columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND columns.name IN
                 ('contact', 'last_contact', 'participant', 'holder', 'claimant', 'lower', 'higher', 'merged_into')
             ORDER BY 1",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let decided = [
        "alias_conflicts.claimant",
        "alias_conflicts.holder",
        "aliases.contact",
        "broadcast_recipients.contact",
        // The ledger says what happened; it is read for the contact and all that were merged into
        // it.
        "consents.contact",
        "contact_requests.contact",
        "contacts.merged_into",
        "conversations.contact",
        "conversations.last_contact",
        "conversations.merged_into",
        "distinct_contacts.higher",
        "distinct_contacts.lower",
        // An erasure says what happened; a contact that is being erased is not merged.
        "erasures.contact",
        // Events say what happened; the contact is looked up through `contacts.merged_into`.
        "events.contact",
        "group_members.contact",
        "group_receipts.participant",
        "join_requests.contact",
        "list_members.contact",
        "marketing_refusals.contact",
        "opt_in_contacts.contact",
        "outreach.contact",
        "refused_asks.contact",
        "unreachable.contact",
    ];
    assert_eq!(columns, decided);
}

#[tokio::test]
async fn dry_run_changes_nothing_and_errors_are_reported() {
    let env = TestEnv::new();
    let (_, mia) = two_contacts(&env).await;
    let echo = plugin(&env, "echo").await;
    env.store.commit(Commit { state: vec![set(MIA_AS_WELL, "k", "v")], ..env.commit(mia.id, echo) }).await.unwrap();
    let before = dump(&env);
    env.store.merge_contacts(ANA, MIA, true).await.unwrap();
    for (keep, removed) in [(ANA, ContactId(9)), (ContactId(9), MIA)] {
        let error = env.store.merge_contacts(keep, removed, false).await.unwrap_err();
        assert_eq!(error.to_string(), "no contact `con_9`");
    }
    assert!(matches!(env.store.merge_contacts(ANA, ANA, false).await, Err(StoreError::SameContact { .. })));
    assert_eq!(dump(&env), before);
    // The cached contacts are unchanged, too.
    assert_eq!(env.append_one(message("x", on("shop", vec![user("NL.1")]), "hi")).await.contact(), Some(MIA));
    merged(&env, ANA, MIA).await;
    let error = env.store.merge_contacts(MIA, ANA, false).await.unwrap_err();
    assert_eq!(error.to_string(), "con_2 and con_1 are the same contact, con_1: they were merged before");
}

#[tokio::test]
async fn ids_stay_valid_through_chained_merges() {
    let env = TestEnv::new();
    two_contacts(&env).await;
    let third = env.append_one(message("c", on("shop", vec![user("NL.3")]), "and a third")).await;
    let kept = third.conversation.unwrap().id;
    merged(&env, ANA, MIA).await;
    merged(&env, ContactId(3), ANA).await;
    let env = env.crashed();
    for id in 1..=3 {
        assert_eq!(env.reader.current_contact(ContactId(id)).unwrap(), ContactId(3));
        assert_eq!(env.reader.conversation(ConversationId(id)).unwrap().unwrap().id, kept);
        let event = env
            .append_one(message(
                &format!("m{id}"),
                on("shop", vec![[wa(NUMBER), user("NL.1"), user("NL.3")][id as usize - 1].clone()]),
                "hi",
            ))
            .await;
        assert_eq!((event.contact(), event.conversation.unwrap().id), (Some(ContactId(3)), kept));
    }
    assert_eq!(contact(&env, ANA).merged, [ANA, MIA]);
}

#[tokio::test]
async fn distinct_contacts_are_not_suggested_again() {
    let env = TestEnv::new();
    two_contacts(&env).await;
    // Three contacts use each other's aliases.
    env.append_one(message("c", on("shop", vec![user("NL.3")]), "hi")).await;
    for (id, names) in [("d", vec![wa(NUMBER), user("NL.1")]), ("e", vec![wa(NUMBER), user("NL.3")])] {
        env.append_one(message(id, on("shop", names), "hi")).await;
    }
    let pairs = |env: &TestEnv| {
        let mut pairs: Vec<_> = env
            .reader
            .alias_conflicts(10)
            .unwrap()
            .iter()
            .map(|(clash, _)| (clash.holder.0, clash.claimant.0))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    };
    assert_eq!(pairs(&env), [(1, 2), (1, 3)]);
    env.store.mark_contacts_distinct(ContactId(3), ANA).await.unwrap();
    assert_eq!(pairs(&env), [(1, 2)]);
    assert!(contact(&env, ContactId(3)).conflicts.is_empty());
    // A repeated conflict stays decided, also for the contact of a merge.
    env.append_one(message("f", on("shop", vec![wa(NUMBER), user("NL.3")]), "hi")).await;
    assert_eq!(pairs(&env), [(1, 2)]);
    merged(&env, MIA, ANA).await;
    assert_eq!(pairs(&env), []);
    env.append_one(message("g", on("shop", vec![wa(NUMBER), user("NL.3")]), "hi")).await;
    assert_eq!(pairs(&env), [], "the name is con_2's now, and they were kept apart");
    let error = env.store.mark_contacts_distinct(ANA, MIA).await.unwrap_err();
    assert!(matches!(error, StoreError::SameContact { .. }));
    // An operator may change their mind.
    merged(&env, MIA, ContactId(3)).await;
    assert_eq!(number(&env, "SELECT count(*) FROM distinct_contacts"), 0);
    assert_eq!(number(&env, "SELECT count(*) FROM alias_conflicts"), 0);
}

#[tokio::test]
async fn merge_does_not_repeat_window_notices() {
    let env = TestEnv::new();
    let (ana, mia) = two_contacts(&env).await;
    let (kept, removed) = (ana.conversation.unwrap().id, mia.conversation.unwrap().id);
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    for (conversation, due, until) in [(kept, 5, 50), (removed, 7, 70)] {
        conn.execute("INSERT OR REPLACE INTO windows VALUES (?1, ?2, ?3, 9)", [conversation.0, due, until]).unwrap();
    }
    merged(&env, ANA, MIA).await;
    // The later window and its last notice remain; the check is the earlier one of both.
    let event = number(&env, "SELECT count(*) * 10000 + max(due_at) * 100 + max(notified_until) FROM windows");
    assert_eq!((event, number(&env, "SELECT conversation FROM windows")), (10_570, kept.0));
}

#[tokio::test]
async fn quote_of_a_message_from_before_the_merge_goes_to_its_plugin() {
    let env = TestEnv::new();
    let (_, mia) = two_contacts(&env).await;
    let echo = plugin(&env, "echo").await;
    let sent = env.send(&mia, echo, SendState::Sending).await;
    env.settle(sent, SendOutcome::Accepted(Some("wamid.before".into()))).await;
    merged(&env, ANA, MIA).await;
    let event = env.append_one(quoting(NUMBER, "tap", "wamid.before")).await;
    let EventBody::Message { addressed, .. } = event.body else { panic!() };
    assert_eq!(addressed, Some(echo));
}
