//! Writes a data directory with one of everything: `fixture DIRECTORY`.
//!
//! Its `beadle.db` is stored under `tests/fixtures` for every released schema version (`v1.db` and
//! so on), and the test `released_versions` opens it and checks its content.

use beadle_clock::Clock;
use beadle_model::effect::{SendOptions, StateWrite, TimerWrite};
use beadle_model::event::Problem;
use beadle_model::keyword::Language;
use beadle_model::{Alias, AliasKind, Content, Ending, EventBody, EventId, Keyword, Outgoing, Scope, Timestamp};
use beadle_store::schedules::{Firing, FiringOutcome, ScheduleDecision, ScheduleEntry};
use beadle_store::step::{
    Batch, Commit, EventKey, FailedAttempt, Interest, KeywordMatch, NewEvent, NewSend, Placement, Progress, Receipt,
    ReceiptFor, SendOutcome, SendState, Sender, Settlement, Unhandled, UnhandledState,
};
use beadle_store::{Store, StoreConfig};

/// 2026-11-21T20:36:00Z.
const NOW: Timestamp = Timestamp(1_795_293_360_000);

fn message(n: u8, number: &str, keyword: Option<Keyword>) -> NewEvent {
    let reply = Outgoing::Text { body: "Noted.".into(), preview_url: false, quote: None };
    let aliases = vec![
        Alias { kind: AliasKind::WaId, value: number.into() },
        Alias { kind: AliasKind::UserId, value: format!("NL.{number}") },
    ];
    NewEvent {
        key: EventKey { at: NOW, hash: [n; 16] },
        placement: Placement::Sender(Sender {
            channel: "shop".into(),
            aliases,
            name: Some("Ana".into()),
            group: None,
            language: None,
        }),
        happened_at: NOW,
        opens_window: true,
        keyword: keyword.map(|keyword| KeywordMatch::new(keyword, None, vec![(Language::En, reply.clone())])),
        body: EventBody::Message {
            message: format!("wamid.in.{n}"),
            content: Content::Text("hello".into()),
            context: None,
            referral: None,
            keyword,
            addressed: None,
            extra: serde_json::Value::Null,
        },
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("name a directory")?;
    let (clock, _manual) = Clock::manual(NOW);
    let store = Store::open(StoreConfig { ballast_bytes: 0, ..StoreConfig::new(&dir, clock) })?;
    let plugin = store.plugin_no("welcome").await?;
    let subscriber_list = store.subscriber_list(vec![plugin]).await?;
    let events = vec![message(1, "31600000001", None), message(2, "31600000002", Some(Keyword::Stop))];
    store.append(Batch { events, ..Batch::default() }).await?;

    let ending = Some(Ending::Claimed(plugin));
    let through = |event, ending| Progress {
        event: EventId(event),
        subscriber_list,
        done: 1,
        done_overflow: vec![],
        all: 1,
        overflow_count: 0,
        ending,
    };
    let conversation =
        store.reader().event(EventId(2))?.and_then(|event| event.conversation).ok_or("no conversation")?;
    let (reply, doubtful) = (store.reserve_message(), store.reserve_message());
    let send = |message| NewSend {
        message,
        conversation: conversation.id,
        body: Outgoing::Text { body: "Welcome!".into(), preview_url: false, quote: None },
        reply: true,
        options: SendOptions::default(),
        state: SendState::Sending,
        due_at: NOW,
        gate: None,
        outreach: None,
    };
    let (scope, key) = (Scope::Contact(conversation.contact.id), "greeted".to_owned());
    let counter = StateWrite::Add { scope: Scope::Plugin, key: "greetings".into(), delta: 7 };
    store
        .commit(Commit {
            conversation: Some(conversation.id),
            state: vec![StateWrite::Set { scope, key, value: b"yes".to_vec(), expires_at: None }, counter],
            timers: vec![TimerWrite::Set { scope, key: "rules".into(), due_at: NOW, payload: b"later".to_vec() }],
            sends: vec![send(reply), send(doubtful)],
            ..Commit::empty(store.fence(), plugin, store.reader().state_of(plugin)?, NOW, through(2, ending))
        })
        .await?;
    let problem =
        Problem { code: "outcome-unknown".into(), title: "No answer".into(), details: None, by: "host".into() };
    let settled = [(reply, SendOutcome::Accepted(Some("wamid.out".into()))), (doubtful, SendOutcome::Dead(problem))];
    let settlements = settled.map(|(message, outcome)| Settlement { message, outcome, at: NOW, gate: None });
    store.settle(settlements.to_vec(), Interest::default()).await?;
    let message = ReceiptFor::Ours(reply, "wamid.out".into());
    let receipt = Receipt {
        message,
        status: "read".into(),
        at: NOW,
        problem: None,
        further_problems: vec![],
        pricing: None,
        participant: vec![],
        recipient: vec![],
        extra: serde_json::Value::Null,
        free_entry_until: None,
    };
    store.append(Batch { receipts: vec![receipt], ..Batch::default() }).await?;
    let (code, error) = ("trap".to_owned(), "unreachable".to_owned());
    store
        .record_failed_attempt(FailedAttempt {
            event: EventId(3),
            plugin,
            is_waiting: false,
            attempts: 1,
            code: code.clone(),
            error: error.clone(),
            next_at: NOW,
        })
        .await?;
    let (fence, state, progress) = (store.fence(), UnhandledState::DeadLetter, through(1, None));
    let (at, refused) = (NOW, Default::default());
    store.record_unhandled(Unhandled { fence, plugin, state, attempts: 3, code, error, at, progress, refused }).await?;
    store.finished_below(EventId(3)).await?;
    let entry = ScheduleEntry { name: "digest".into(), renamed_from: None, plan: [7; 16], plugins: vec![plugin] };
    let schedules = store.configure_schedules(vec![entry], NOW).await?;
    let schedule = schedules.first().ok_or("no schedule")?.no;
    let outcome = FiringOutcome::Missed;
    let firing =
        Firing { planned_at: NOW, due_at: NOW, zone: "Europe/Amsterdam".into(), outcome, moments: 3, event: None };
    let decision = ScheduleDecision { schedule, plugin, until: NOW, firings: vec![firing], skip_overlap: false };
    store.fire_schedules(vec![decision], NOW).await?;
    store.close();
    Ok(())
}
