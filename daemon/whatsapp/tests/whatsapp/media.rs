//! Files: inbound ones are downloaded, outbound ones uploaded once and reused.

use crate::channel_env::{NOW, NUMBER, StoreEnv, TOKEN, channel, config, send_request};
use beadle_clock::Clock;
use beadle_model::effect::NewMedia;
use beadle_model::outgoing::{MediaKind, Source};
use beadle_model::text::hex;
use beadle_model::{
    Alias, AliasKind, Content, EventBody, EventId, MediaId, Outgoing, PluginNo, StateNo, content::Media,
};
use beadle_pipeline::{Advice, Channel, SendRequest, SendResponse};
use beadle_store::MediaState;
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Placement, Progress, Sender};
use beadle_test_support::graph::{FakeGraph, ReceivedRequest, error, ok};
use beadle_whatsapp::{Fetcher, HttpClient};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

const BYTES: &[u8] = b"\x89PNG not really";
const LIMIT: u64 = 1000;
/// Much longer than any step of these tests takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The SHA-256 of these bytes in hex.
fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// Stores an inbound picture and returns its id.
async fn receive_picture(env: &StoreEnv, platform: &str) -> MediaId {
    let media = Media { platform: platform.into(), mime_type: "image/png".into(), ..Media::default() };
    let alias = Alias { kind: AliasKind::WaId, value: "16505551234".into() };
    let sender = Sender { channel: "shop".into(), aliases: vec![alias], name: None, group: None, language: None };
    let digest = Sha256::digest(platform);
    let event = NewEvent {
        key: EventKey { at: NOW, hash: *digest.first_chunk().unwrap() },
        placement: Placement::Sender(sender),
        happened_at: NOW,
        opens_window: true,
        keyword: None,
        body: EventBody::Message {
            message: platform.into(),
            content: Content::Image(media),
            context: None,
            referral: None,
            keyword: None,
            addressed: None,
            extra: json!(null),
        },
    };
    env.store.append(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
    let events = env.store.reader().events_after(EventId(0), 1000).unwrap();
    let last = events.iter().rev().find_map(|row| {
        let event = env.store.reader().event(row.id).unwrap().unwrap();
        let EventBody::Message { message, content, .. } = event.body else { return None };
        (message == platform).then(|| content.media().unwrap().handle.unwrap())
    });
    last.unwrap()
}

fn fetch(env: &StoreEnv, graph: &FakeGraph) -> tokio::task::JoinHandle<()> {
    let wanted = Arc::new(|| true);
    let fetcher =
        Fetcher::new([config(&graph.url)], &HttpClient::new(&Clock::real()).unwrap(), env.media_store(), LIMIT, wanted)
            .unwrap();
    tokio::spawn(std::sync::Arc::new(fetcher).run(beadle_tasks::Heartbeat::unwatched(beadle_tasks::TaskKind::Media)))
}

/// Waits until the file's row satisfies a condition.
async fn until(
    env: &StoreEnv,
    id: MediaId,
    wanted: impl Fn(&beadle_store::MediaRow) -> bool,
) -> beadle_store::MediaRow {
    let mut changes = env.store.files().changes();
    let waiting = async {
        loop {
            let row = env.store.reader().media(id).unwrap().unwrap();
            if wanted(&row) {
                return row;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(TIMEOUT, waiting).await.unwrap()
}

/// A fake that has one file. `answer` may override the response to the n-th request.
async fn with_file(
    answer: impl Fn(&ReceivedRequest, usize) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static,
) -> FakeGraph {
    let address = Arc::new(std::sync::OnceLock::<String>::new());
    let own = Arc::clone(&address);
    let count = std::sync::atomic::AtomicUsize::new(0);
    let graph = FakeGraph::start(move |request| {
        let nth = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(other) = answer(request, nth) {
            return other;
        }
        if request.line.contains("/bytes/") {
            return (200, BYTES.to_vec());
        }
        let url = format!("{}/bytes/1", own.get().unwrap());
        ok(json!({"url": url, "mime_type": "image/png", "sha256": sha256(BYTES), "file_size": "16", "id": "5"}))
    })
    .await;
    address.set(graph.url.clone()).unwrap();
    graph
}

#[tokio::test]
async fn inbound_file_is_downloaded_with_the_token() {
    let env = StoreEnv::new();
    let graph = with_file(|_, _| None).await;
    let fetching = fetch(&env, &graph);
    let id = receive_picture(&env, "5").await;
    let row = until(&env, id, |row| row.state == MediaState::Stored).await;
    assert_eq!(row.bytes, Some(BYTES.len() as i64));
    assert_eq!(env.store.files().read(id, 0, 100).unwrap(), BYTES);
    assert_eq!(env.store.files().read(id, 1, 3).unwrap(), b"PNG");
    let requests = graph.requests();
    assert_eq!(requests[0].line, format!("GET /v26.0/5?phone_number_id={NUMBER}"));
    for request in &requests {
        assert_eq!(request.header("authorization"), format!("Bearer {TOKEN}"));
    }
    fetching.abort();
}

#[tokio::test]
async fn temporary_failure_is_retried_and_permanent_one_is_not() {
    let env = StoreEnv::new();
    // The first URL has expired.
    let graph =
        with_file(|request, nth| (nth == 1 && request.line.contains("/bytes/")).then(|| (404, Vec::new()))).await;
    let fetching = fetch(&env, &graph);
    let id = receive_picture(&env, "5").await;
    until(&env, id, |row| row.attempts == 1).await;
    env.manual_clock.advance_ms(3000);
    let row = until(&env, id, |row| row.state == MediaState::Stored).await;
    assert_eq!(row.attempts, 2);
    fetching.abort();

    for (answer, expected) in [
        (error(400, 100), "(100)"),
        (ok(json!({"url": "https://lookaside.fbsbx.com/x", "file_size": 1001})), "max_file_mib"),
        (ok(json!({"url": "https://evil.example/x"})), "evil.example"),
    ] {
        let env = StoreEnv::new();
        let graph = FakeGraph::start(move |_| answer.clone()).await;
        let fetching = fetch(&env, &graph);
        let id = receive_picture(&env, "6").await;
        let row = until(&env, id, |row| row.state == MediaState::Failed).await;
        assert!(row.error.as_deref().unwrap().contains(expected), "{row:?}");
        fetching.abort();
    }
}

#[tokio::test]
async fn file_with_wrong_size_or_hash_is_discarded() {
    let env = StoreEnv::new();
    let graph = with_file(|request, _| request.line.contains("/bytes/").then(|| (200, vec![b'x'; 2000]))).await;
    let fetching = fetch(&env, &graph);
    let id = receive_picture(&env, "5").await;
    until(&env, id, |row| row.state == MediaState::Failed).await;
    assert!(!env.store.files().path(id).exists());
    fetching.abort();

    let env = StoreEnv::new();
    let graph =
        with_file(|request, _| request.line.contains("/bytes/").then(|| (200, b"another picture".to_vec()))).await;
    let fetching = fetch(&env, &graph);
    let id = receive_picture(&env, "5").await;
    let row = until(&env, id, |row| row.attempts == 1).await;
    assert_eq!(row.state, MediaState::Pending);
    assert!(row.error.unwrap().contains("hash"));
    assert!(!env.store.files().path(id).exists());
    fetching.abort();
}

/// Stores a file that a plugin created.
async fn create_file(env: &StoreEnv) -> MediaId {
    let media = env.store.files().reserve();
    env.store.files().write(media, BYTES).unwrap();
    let new = NewMedia {
        media,
        mime_type: "image/png; x=y".into(),
        filename: Some("a \"b\".png".into()),
        sha256: sha256(BYTES),
        bytes: BYTES.len() as i64,
    };
    // A commit needs an event.
    receive_picture(env, "event").await;
    let subscriber_list = env.store.subscriber_list(vec![PluginNo(1)]).await.unwrap();
    let progress = Progress::of_one(EventId(1), subscriber_list);
    let commit =
        Commit { media: vec![new], ..Commit::empty(env.store.fence(), PluginNo(1), StateNo(1), NOW, progress) };
    env.store.commit(commit).await.unwrap();
    media
}

fn image(media: MediaId) -> SendRequest {
    send_request(Outgoing::Media {
        media: MediaKind::Image,
        source: Source::Media(media),
        caption: Some("look".into()),
        filename: None,
        voice: false,
        quote: None,
    })
}

#[tokio::test]
async fn upload_is_reused_until_it_expires() {
    let env = StoreEnv::new();
    let graph = FakeGraph::start(|request| match request.line.ends_with("/media") {
        true => ok(json!({"id": "4490709327384033"})),
        false => ok(json!({"messages": [{"id": "wamid.1"}]})),
    })
    .await;
    let channel = channel(&graph).with_media_store(env.media_store());
    let media = create_file(&env).await;
    for _ in 0..2 {
        assert_eq!(channel.send(&image(media)).await, SendResponse::accepted(Some("wamid.1".into())));
    }
    let (upload, message) = (format!("POST /v26.0/{NUMBER}/media"), format!("POST /v26.0/{NUMBER}/messages"));
    assert_eq!(graph.lines(), [upload.clone(), message.clone(), message.clone()]);
    let form = graph.requests()[0].text();
    for part in [
        "name=\"messaging_product\"\r\n\r\nwhatsapp\r\n",
        "name=\"type\"\r\n\r\nimage/png\r\n",
        "name=\"file\"; filename=\"a b.png\"\r\nContent-Type: image/png\r\n\r\n",
    ] {
        assert!(form.contains(part), "{form}");
    }
    assert!(graph.requests()[0].body.windows(BYTES.len()).any(|bytes| bytes == BYTES));
    assert_eq!(graph.requests()[1].json()["image"], json!({"id": "4490709327384033", "caption": "look"}));
    env.manual_clock.advance_ms(29 * 24 * 60 * 60 * 1000);
    assert_eq!(channel.send(&image(media)).await, SendResponse::accepted(Some("wamid.1".into())));
    assert_eq!(graph.lines()[3..], [upload, message]);
}

#[tokio::test]
async fn rejected_upload_is_repeated() {
    let env = StoreEnv::new();
    let graph = FakeGraph::start(|request| match request.line.ends_with("/media") {
        true => ok(json!({"id": "1"})),
        false => error(400, 131_053),
    })
    .await;
    let channel = channel(&graph).with_media_store(env.media_store());
    let media = create_file(&env).await;
    for _ in 0..2 {
        let SendResponse::Refused(problem, advice) = channel.send(&image(media)).await else { panic!() };
        assert_eq!((problem.code.as_str(), advice), ("131053", Advice::Retry { attempts: 2 }));
    }
    assert_eq!(graph.lines().iter().filter(|line| line.ends_with("/media")).count(), 2);
}

#[tokio::test]
async fn pending_file_is_retried_and_unknown_file_refused() {
    let env = StoreEnv::new();
    let graph = FakeGraph::start(|_| ok(json!({}))).await;
    let channel = channel(&graph).with_media_store(env.media_store());
    let pending = receive_picture(&env, "5").await;
    for (media, code, advice) in
        [(pending, "media-pending", Advice::Retry { attempts: 5 }), (MediaId(999), "unknown-media", Advice::Fail)]
    {
        let SendResponse::Refused(problem, hint) = channel.send(&image(media)).await else { panic!() };
        assert_eq!((problem.code.as_str(), hint), (code, advice));
    }
    assert!(graph.requests().is_empty());
}
