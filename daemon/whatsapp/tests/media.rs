//! Files: what comes in is fetched and can be read, what goes out is uploaded once and used again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/graph.rs"]
mod graph;

use beadle_model::effect::NewMedia;
use beadle_model::outgoing::{MediaKind, Source};
use beadle_model::{
    Alias, AliasKind, Content, EventBody, EventId, MediaId, MessageId, Outgoing, PluginNo, StateNo, content::Media,
};
use beadle_pipeline::{Advice, Channel, SendRequest, SendResponse};
use beadle_store::MediaState;
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Place, Progress, Sender};
use beadle_whatsapp::{Fetcher, http_client};
use graph::{Asked, Graph, House, NOW, NUMBER, TOKEN, channel, config, error, ok};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

const BYTES: &[u8] = b"\x89PNG not really";
const LIMIT: u64 = 1000;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A picture came; its handle.
async fn picture(house: &House, platform: &str) -> MediaId {
    let media = Media { platform: platform.into(), mime_type: "image/png".into(), ..Media::default() };
    let alias = Alias { kind: AliasKind::WaId, value: "16505551234".into() };
    let sender = Sender { channel: "shop".into(), aliases: vec![alias], name: None, group: None, language: None };
    let digest = Sha256::digest(platform);
    let event = NewEvent {
        key: EventKey { at: NOW, hash: *digest.first_chunk().unwrap() },
        place: Place::Sender(sender),
        happened_at: NOW,
        opens_window: true,
        word: None,
        body: EventBody::Message {
            message: platform.into(),
            content: Content::Image(media),
            context: None,
            referral: None,
            word: None,
            addressed: None,
            extra: json!(null),
        },
    };
    house.store.append(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
    let events = house.store.reader().events_after(EventId(0), 1000).unwrap();
    let last = events.iter().rev().find_map(|row| {
        let event = house.store.reader().event(row.id).unwrap().unwrap();
        let EventBody::Message { message, content, .. } = event.body else { return None };
        (message == platform).then(|| content.media().unwrap().handle.unwrap())
    });
    last.unwrap()
}

fn fetch(house: &House, graph: &Graph) -> tokio::task::JoinHandle<()> {
    let wanted = Arc::new(|| true);
    let fetcher = Fetcher::new([config(graph)], &http_client().unwrap(), house.depot(), LIMIT, wanted).unwrap();
    tokio::spawn(fetcher.run())
}

/// Waits until the file is in this state.
async fn until(house: &House, id: MediaId, wanted: impl Fn(&beadle_store::MediaRow) -> bool) -> beadle_store::MediaRow {
    let mut changes = house.store.files().changes();
    let waiting = async {
        loop {
            let row = house.store.reader().media(id).unwrap().unwrap();
            if wanted(&row) {
                return row;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

/// A Graph API that has one file, at an address of its own.
async fn with_file(answer: impl Fn(&Asked, usize) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static) -> Graph {
    let address = Arc::new(std::sync::OnceLock::<String>::new());
    let own = Arc::clone(&address);
    let count = std::sync::atomic::AtomicUsize::new(0);
    let graph = Graph::start(move |asked| {
        let nth = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(other) = answer(asked, nth) {
            return other;
        }
        if asked.line.contains("/bytes/") {
            return (200, BYTES.to_vec());
        }
        let url = format!("{}/bytes/1", own.get().unwrap());
        ok(json!({"url": url, "mime_type": "image/png", "sha256": hex(BYTES), "file_size": "16", "id": "5"}))
    })
    .await;
    address.set(graph.address.clone()).unwrap();
    graph
}

#[tokio::test]
async fn what_comes_in_is_fetched_at_once_with_our_token() {
    let house = House::new();
    let graph = with_file(|_, _| None).await;
    let fetching = fetch(&house, &graph);
    let id = picture(&house, "5").await;
    let row = until(&house, id, |row| row.state == MediaState::Here).await;
    assert_eq!(row.bytes, Some(BYTES.len() as i64));
    assert_eq!(house.store.files().read(id, 0, 100).unwrap(), BYTES);
    assert_eq!(house.store.files().read(id, 1, 3).unwrap(), b"PNG");
    let asked = graph.asked();
    assert_eq!(asked[0].line, format!("GET /v26.0/5?phone_number_id={NUMBER}"));
    for asked in &asked {
        assert!(asked.head.to_lowercase().contains(&format!("bearer {}", TOKEN.to_lowercase())), "{}", asked.head);
    }
    fetching.abort();
}

#[tokio::test]
async fn a_slip_is_tried_again_and_what_is_gone_or_too_large_is_not() {
    let house = House::new();
    // The first address has gone, as they do after five minutes.
    let graph = with_file(|asked, nth| (nth == 1 && asked.line.contains("/bytes/")).then(|| (404, Vec::new()))).await;
    let fetching = fetch(&house, &graph);
    let id = picture(&house, "5").await;
    until(&house, id, |row| row.attempts == 1).await;
    house.hand.advance_ms(3000);
    let row = until(&house, id, |row| row.state == MediaState::Here).await;
    assert_eq!(row.attempts, 2);
    fetching.abort();

    for (answer, why) in [
        (error(400, 100), "(100)"),
        (ok(json!({"url": "https://lookaside.fbsbx.com/x", "file_size": 1001})), "max_file_mib"),
        (ok(json!({"url": "https://evil.example/x"})), "evil.example"),
    ] {
        let house = House::new();
        let graph = Graph::start(move |_| answer.clone()).await;
        let fetching = fetch(&house, &graph);
        let id = picture(&house, "6").await;
        let row = until(&house, id, |row| row.state == MediaState::Failed).await;
        assert!(row.error.as_deref().unwrap().contains(why), "{row:?}");
        fetching.abort();
    }
}

#[tokio::test]
async fn a_file_that_is_larger_or_other_than_was_said_is_not_kept() {
    let house = House::new();
    let graph = with_file(|asked, _| asked.line.contains("/bytes/").then(|| (200, vec![b'x'; 2000]))).await;
    let fetching = fetch(&house, &graph);
    let id = picture(&house, "5").await;
    until(&house, id, |row| row.state == MediaState::Failed).await;
    assert!(!house.store.files().path(id).exists());
    fetching.abort();

    let house = House::new();
    let graph = with_file(|asked, _| asked.line.contains("/bytes/").then(|| (200, b"another picture".to_vec()))).await;
    let fetching = fetch(&house, &graph);
    let id = picture(&house, "5").await;
    let row = until(&house, id, |row| row.attempts == 1).await;
    assert_eq!(row.state, MediaState::Coming);
    assert!(row.error.unwrap().contains("hash"));
    assert!(!house.store.files().path(id).exists());
    fetching.abort();
}

/// A file that a plugin made.
async fn made(house: &House) -> MediaId {
    let media = house.store.files().reserve();
    house.store.files().write(media, BYTES).unwrap();
    let new = NewMedia {
        media,
        mime_type: "image/png; x=y".into(),
        filename: Some("a \"b\".png".into()),
        sha256: hex(BYTES),
        bytes: BYTES.len() as i64,
    };
    // A handling has an event.
    picture(house, "event").await;
    let roster = house.store.roster(vec![PluginNo(1)]).await.unwrap();
    let progress =
        Progress { event: EventId(1), roster, done: 1, done_beyond: vec![], all: 1, all_beyond: 0, ending: None };
    let commit = Commit {
        fence: house.store.fence(),
        plugin: PluginNo(1),
        kept: false,
        now: NOW,
        progress,
        conversation: None,
        reads: vec![],
        state_no: StateNo(1),
        state: vec![],
        timers: vec![],
        media: vec![new],
        sends: vec![],
    };
    house.store.commit(commit).await.unwrap();
    media
}

fn shipment(media: MediaId) -> SendRequest {
    SendRequest {
        message: MessageId(7),
        to: Alias { kind: AliasKind::WaId, value: "16505551234".into() },
        group: None,
        body: Outgoing::Media {
            media: MediaKind::Image,
            source: Source::Media(media),
            caption: Some("look".into()),
            filename: None,
            voice: false,
            quote: None,
        },
        callback: "msg_7@c0ffee11".into(),
    }
}

#[tokio::test]
async fn a_file_is_uploaded_once_and_used_until_it_expires() {
    let house = House::new();
    let graph = Graph::start(|asked| match asked.line.ends_with("/media") {
        true => ok(json!({"id": "4490709327384033"})),
        false => ok(json!({"messages": [{"id": "wamid.1"}]})),
    })
    .await;
    let channel = channel(&graph).with_depot(house.depot());
    let media = made(&house).await;
    for _ in 0..2 {
        assert_eq!(channel.send(&shipment(media)).await, SendResponse::Accepted(Some("wamid.1".into())));
    }
    let (upload, message) = (format!("POST /v26.0/{NUMBER}/media"), format!("POST /v26.0/{NUMBER}/messages"));
    assert_eq!(graph.lines(), [upload.clone(), message.clone(), message.clone()]);
    let form = graph.asked()[0].text();
    for part in [
        "name=\"messaging_product\"\r\n\r\nwhatsapp\r\n",
        "name=\"type\"\r\n\r\nimage/png\r\n",
        "name=\"file\"; filename=\"a b.png\"\r\nContent-Type: image/png\r\n\r\n",
    ] {
        assert!(form.contains(part), "{form}");
    }
    assert!(graph.asked()[0].body.windows(BYTES.len()).any(|bytes| bytes == BYTES));
    assert_eq!(graph.asked()[1].json()["image"], json!({"id": "4490709327384033", "caption": "look"}));
    house.hand.advance_ms(29 * 24 * 60 * 60 * 1000);
    assert_eq!(channel.send(&shipment(media)).await, SendResponse::Accepted(Some("wamid.1".into())));
    assert_eq!(graph.lines()[3..], [upload, message]);
}

#[tokio::test]
async fn an_upload_that_is_not_known_any_more_is_made_anew() {
    let house = House::new();
    let graph = Graph::start(|asked| match asked.line.ends_with("/media") {
        true => ok(json!({"id": "1"})),
        false => error(400, 131_053),
    })
    .await;
    let channel = channel(&graph).with_depot(house.depot());
    let media = made(&house).await;
    for _ in 0..2 {
        let SendResponse::Refused(problem, advice) = channel.send(&shipment(media)).await else { panic!() };
        assert_eq!((problem.code.as_str(), advice), ("131053", Advice::Retry { attempts: 2 }));
    }
    assert_eq!(graph.lines().iter().filter(|line| line.ends_with("/media")).count(), 2);
}

#[tokio::test]
async fn what_is_not_here_is_waited_for_and_what_never_was_is_refused() {
    let house = House::new();
    let graph = Graph::start(|_| ok(json!({}))).await;
    let channel = channel(&graph).with_depot(house.depot());
    let coming = picture(&house, "5").await;
    for (media, code, advice) in
        [(coming, "media-pending", Advice::Retry { attempts: 5 }), (MediaId(999), "unknown-media", Advice::Fail)]
    {
        let SendResponse::Refused(problem, given) = channel.send(&shipment(media)).await else { panic!() };
        assert_eq!((problem.code.as_str(), given), (code, advice));
    }
    assert!(graph.asked().is_empty());
}
