//! Measures the store alone: append, commit with a reply, settle.
//!
//! `throughput [MESSAGES] [CONTACTS] [IN_FLIGHT] [RECEIPTS_PER_REPLY]` prints figures and asserts
//! none: they are for tuning, and differ between machines and profiles.

use beadle_clock::Clock;
use beadle_model::effect::SendOptions;
use beadle_model::{Alias, AliasKind, Content, Ending, Event, EventBody, Outgoing, PluginNo, StateNo, Timestamp};
use beadle_store::step::{
    Batch, Commit, EventKey, FeedItem, Interest, NewEvent, NewSend, Placement, Progress, Receipt, ReceiptFor,
    SendOutcome, SendState, Sender, Settlement,
};
use beadle_store::{Store, StoreConfig, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let mut arg = |default| args.next().transpose().map(|value| value.unwrap_or(default));
    let (messages, contacts, in_flight, receipts) = (arg(200_000)?, arg(1_000)?, arg(512)?, arg(0)?);
    let dir = tempfile::tempdir()?;
    let store = Store::open(StoreConfig::new(dir.path(), Clock::real()))?;
    let plugin = store.plugin_no("echo").await?;
    let subscriber_list = store.subscriber_list(vec![plugin]).await?;

    let (begin, cpu) = (Instant::now(), cpu_time());
    let permits = Arc::new(Semaphore::new(usize::try_from(in_flight)?));
    let handler =
        tokio::spawn(handle(store.clone(), (plugin, subscriber_list), Arc::clone(&permits), messages, receipts));
    for n in 0..messages {
        // Released when the reply is settled.
        permits.acquire().await?.forget();
        let store = store.clone();
        tokio::spawn(async move { store.append(incoming(n, n % contacts)).await });
    }
    handler.await??;

    let took = begin.elapsed();
    let health = store.health();
    let rate = |count: u64| count as f64 / took.as_secs_f64();
    println!("{messages} messages of {contacts} contacts, {in_flight} in flight, {receipts} receipts a reply");
    println!("{:>10.0} messages a second, {:.0} steps a second", rate(messages), rate(health.steps));
    println!("{:>10.1} steps a commit, {} commits", health.steps as f64 / health.commits as f64, health.commits);
    println!("{:>10} checkpoints, {} pages in the log", health.checkpoints, health.wal_pages);
    if let (Some(before), Some(after)) = (cpu, cpu_time()) {
        println!("{:>10.1} µs of CPU a message, all threads", (after - before).as_secs_f64() * 1e6 / messages as f64);
    }
    let bytes = std::fs::metadata(dir.path().join("beadle.db"))?.len();
    println!("{:>10.0} bytes of database a message", bytes as f64 / messages as f64);
    store.close();
    Ok(())
}

/// Handles events from the feed until all messages were answered.
async fn handle(
    store: Store,
    by: (PluginNo, i64),
    permits: Arc<Semaphore>,
    messages: u64,
    receipts: u64,
) -> Result<(), Failure> {
    let mut feed = store.feed().ok_or("the feed was taken already")?;
    let answered = Arc::new(Semaphore::new(0));
    let mut seen = 0;
    while seen < messages {
        for FeedItem { event, .. } in feed.next(256).await {
            let is_message = matches!(event.body, EventBody::Message { .. });
            seen += u64::from(is_message);
            let (store, permits, answered) = (store.clone(), Arc::clone(&permits), Arc::clone(&answered));
            tokio::spawn(async move {
                if let Err(error) = answer(&store, &event, by, receipts).await {
                    eprintln!("{}: {error}", event.id);
                }
                if is_message {
                    permits.add_permits(1);
                    answered.add_permits(1);
                }
            });
        }
    }
    let _all = answered.acquire_many(u32::try_from(messages)?).await?;
    Ok(())
}

async fn answer(store: &Store, event: &Event, by: (PluginNo, i64), receipts: u64) -> Result<(), StoreError> {
    let (plugin, subscriber_list) = by;
    let ending = Some(Ending::Claimed(plugin));
    let progress = Progress {
        event: event.id,
        subscriber_list,
        done: 1,
        done_overflow: vec![],
        all: 1,
        overflow_count: 0,
        ending,
    };
    let (EventBody::Message { content, .. }, Some(view)) = (&event.body, &event.conversation) else {
        return store.finish(progress, store.fence()).await;
    };
    let (message, now) = (store.reserve_message(), event.received_at);
    let body = Outgoing::Text { body: content.text().unwrap_or_default().into(), preview_url: false, quote: None };
    let send = NewSend {
        message,
        conversation: view.id,
        body,
        reply: true,
        options: SendOptions::default(),
        state: SendState::Sending,
        due_at: now,
        gate: None,
        outreach: None,
    };
    let commit = Commit {
        conversation: Some(view.id),
        sends: vec![send],
        ..Commit::empty(store.fence(), plugin, StateNo(1), now, progress)
    };
    store.commit(commit).await?;
    let platform = format!("wamid.HBgLMzE2MDAwMDAwMDAVAgARGBI5QTNDQTVCM0Q0Q0Q2RTY3RTcA{:x}", message.0);
    let outcome = SendOutcome::Accepted(Some(platform.clone()));
    store.settle(vec![Settlement { message, outcome, at: now, gate: None }], Interest::default()).await?;
    for status in ["sent", "delivered", "read"].iter().take(usize::try_from(receipts).unwrap_or(3)) {
        let message = ReceiptFor::Ours(message, platform.clone());
        let receipt = Receipt {
            message,
            status: (*status).into(),
            at: event.received_at,
            problem: None,
            further_problems: vec![],
            pricing: None,
            participant: vec![],
            recipient: vec![],
            extra: serde_json::Value::Null,
            free_entry_until: None,
        };
        store.append(Batch { receipts: vec![receipt], ..Batch::default() }).await?;
    }
    Ok(())
}

fn incoming(n: u64, contact: u64) -> Batch {
    let at = Clock::real().now();
    let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (u128::from(random) << 64 | u128::from(n)).to_be_bytes();
    let aliases = vec![
        Alias { kind: AliasKind::WaId, value: format!("316{contact:08}") },
        Alias { kind: AliasKind::UserId, value: format!("NL.{contact:020}") },
    ];
    let name = Some(format!("Person {contact}"));
    let event = NewEvent {
        key: EventKey { at: Timestamp(at.0 / 1000 * 1000), hash },
        placement: Placement::Sender(Sender { channel: "shop".into(), aliases, name, group: None, language: None }),
        happened_at: at,
        opens_window: true,
        keyword: None,
        body: EventBody::Message {
            message: format!("wamid.HBgLMzE2MDAwMDAwMDAVAgASGBQzQTdFNUQxQ0Y2RjA5RkE4NzdCMwA{n:x}"),
            content: Content::Text(format!("Is the workshop on Saturday still on? Number {n}")),
            context: None,
            referral: None,
            keyword: None,
            addressed: None,
            extra: serde_json::Value::Null,
        },
    };
    Batch { events: vec![event], ..Batch::default() }
}

/// The CPU time of this process; `None` if the system does not report it. A tick is a hundredth of
/// a second on Linux.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2);
    Some(Duration::from_millis(ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10))
}
