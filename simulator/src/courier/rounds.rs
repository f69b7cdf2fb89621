//! The courier's rounds: the tasks that greet, pack, post, and wait for what is due.

use super::{Content, Errand, Lanes, Letter, Parcel, Target};
use crate::hub::Hub;
use crate::letter::Update;
use crate::{deeds, log, receipts, wire};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;

/// How long Meta keeps trying (whatsapp.md 1.3).
const GIVE_UP_AFTER_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The largest body Meta sends (3 MB), with room for the envelope.
const MOST_BODY_BYTES: usize = 2_900_000;

/// How long the callback has for the handshake; real time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The client for webhooks.
pub(crate) fn client(lanes: usize) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(lanes)
        .tcp_nodelay(true)
        .build()
}

/// Starts the lanes and the agenda; they end with the runtime.
pub(crate) fn run(hub: &Arc<Hub>, lanes: Lanes) {
    for (number, lane) in lanes.0.into_iter().enumerate() {
        tokio::spawn(drive(Arc::clone(hub), number, lane));
    }
    tokio::spawn(keep_agenda(Arc::clone(hub)));
    tokio::spawn(greet(Arc::clone(hub)));
}

/// Asks a callback whether it is the business's (whatsapp.md 1.1); an error says what is wrong, and no secret.
pub(crate) async fn handshake(hub: &Hub, target: &Target) -> Result<(), String> {
    let challenge = hub.ids.challenge();
    let query = [
        ("hub.mode", "subscribe"),
        ("hub.challenge", challenge.as_str()),
        ("hub.verify_token", target.verify_token.as_str()),
    ];
    let url = reqwest::Url::parse_with_params(&target.url, query).map_err(|error| error.to_string())?;
    match hub.client.get(url).timeout(HANDSHAKE_TIMEOUT).send().await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            match answer.text().await {
                Ok(text) if status == 200 && text == challenge => Ok(()),
                _ => Err(format!("the callback answered {status}, and not with the challenge")),
            }
        }
        // Without the address, which holds the verify token.
        Err(error) => Err(error.without_url().to_string()),
    }
}

/// The handshake with the first callback, until the daemon is there and echoes the challenge.
async fn greet(hub: Arc<Hub>) {
    let mut pause = Duration::from_millis(50);
    // A client of the Graph API may have subscribed another callback meanwhile.
    while !hub.courier.load().greeted {
        match handshake(&hub, &hub.courier.target()).await {
            Ok(()) => break,
            Err(problem) => tracing::debug!(problem, "handshake not done yet"),
        }
        tokio::time::sleep(pause).await;
        // A daemon takes a moment to start; one that is wrong is not asked more often than every second.
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    tracing::info!("handshake done");
    hub.courier.greeted();
    hub.tell(|| serde_json::json!({"kind": "greeted"}));
}

async fn keep_agenda(hub: Arc<Hub>) {
    loop {
        for (epoch, errand) in hub.courier.take_due(hub.clock.now_ms()) {
            match errand {
                Errand::Deliver(lane, content) => {
                    let updates = content.updates();
                    hub.courier.settle(epoch, |load| {
                        load.waiting = load.waiting.saturating_sub(updates);
                        load.open += updates;
                    });
                    hub.courier.send(lane, Parcel { epoch, content });
                }
                Errand::Do(deed, at_once) => {
                    // What it tells is counted before the wait for it ends, so that it never looks idle in between.
                    if hub.courier.load().epoch == epoch {
                        deeds::perform(&hub, deed);
                    }
                    hub.courier.settle(epoch, |load| {
                        let counted = if at_once { &mut load.open } else { &mut load.waiting };
                        *counted = counted.saturating_sub(1);
                    });
                }
            }
        }
        let changed = hub.courier.agenda_changed.notified();
        match hub.courier.next_due_ms() {
            None => changed.await,
            Some(due_ms) => tokio::select! {
                () = changed => {}
                () = hub.clock.sleep_until(due_ms) => {}
            },
        }
    }
}

/// One lane: takes what comes, packs it, posts it.
async fn drive(hub: Arc<Hub>, number: usize, mut lane: UnboundedReceiver<Parcel>) {
    let mut load = hub.courier.watch();
    let mut held_over = None;
    loop {
        let Some(parcel) = (match held_over.take() {
            Some(parcel) => Some(parcel),
            None => lane.recv().await,
        }) else {
            return;
        };
        // The sender is in the hub, which we hold.
        let _ = load.wait_for(|load| load.greeted && !load.paused).await;
        let epoch = parcel.epoch;
        if epoch != hub.courier.load().epoch {
            continue;
        }
        let letter = match parcel.content {
            Content::Letter(letter) => letter,
            Content::Update(first) => {
                let updates = gather(&hub, epoch, first, &mut lane, &mut held_over).await;
                seal(&hub, &updates)
            }
        };
        post(&hub, number, epoch, letter).await;
    }
}

/// As many updates as may share a body and are there, or come in time.
async fn gather(
    hub: &Hub,
    epoch: u64,
    first: Update,
    lane: &mut UnboundedReceiver<Parcel>,
    held_over: &mut Option<Parcel>,
) -> Vec<Update> {
    let (most, patience) = {
        let world = hub.world();
        (world.knobs.batch_most, Duration::from_millis(world.knobs.batch_gather_ms))
    };
    let mut bytes = first.json.len();
    let mut updates = vec![first];
    let until = tokio::time::Instant::now() + patience;
    while updates.len() < most && bytes < MOST_BODY_BYTES {
        let next = match lane.try_recv() {
            Ok(parcel) => Some(parcel),
            Err(_) if patience.is_zero() => None,
            Err(_) => tokio::time::timeout_at(until, lane.recv()).await.ok().flatten(),
        };
        match next {
            Some(Parcel { epoch: of, content: Content::Update(update) }) if of == epoch => {
                // With its contact and commas.
                bytes += update.json.len() + 300;
                updates.push(update);
            }
            Some(parcel) => {
                *held_over = Some(parcel);
                break;
            }
            None => break,
        }
    }
    updates
}

fn seal(hub: &Hub, updates: &[Update]) -> Letter {
    let now_ms = hub.clock.now_ms();
    let body = hub.letterhead.pack(updates, now_ms, &mut hub.world().chance);
    Letter {
        body: body.into(),
        updates: updates.len(),
        delivers: updates.iter().filter_map(|update| update.delivers).collect(),
        about: updates.iter().filter_map(|update| update.about).collect(),
        failures: 0,
        first_ms: now_ms,
        copy: false,
    }
}

async fn post(hub: &Arc<Hub>, lane: usize, epoch: u64, letter: Letter) {
    double(hub, epoch, &letter);
    let timeout = Duration::from_millis(hub.world().knobs.webhook_timeout_ms);
    let started = Instant::now();
    let target = hub.courier.target();
    let answer = hub
        .client
        .post(&target.url)
        .header("content-type", "application/json")
        .header("x-hub-signature-256", wire::signature(hub.config.app_secret.as_bytes(), &letter.body))
        .timeout(timeout)
        .body(letter.body.clone())
        .send()
        .await;
    let (status, text, note) = match answer {
        Ok(answer) => {
            let status = answer.status().as_u16();
            // Read to its end, so that the connection is used again; what it says only the log wants.
            (Some(status), answer.text().await.unwrap_or_default(), None)
        }
        Err(error) => (None, String::new(), Some(error.without_url().to_string())),
    };
    hub.log.add(|| log::Entry {
        at_ms: hub.clock.now_ms(),
        direction: "out",
        method: "POST".to_owned(),
        path: target.url.clone(),
        about: letter.about.clone(),
        status,
        request: log::shown(&letter.body),
        response: log::shown(text.as_bytes()),
        note,
        took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        ..log::Entry::default()
    });
    if status == Some(200) {
        receipts::arrived(hub, &letter.delivers);
        hub.courier.settle(epoch, |load| {
            load.open = load.open.saturating_sub(letter.updates);
            load.deliveries += 1;
        });
    } else {
        try_again(hub, lane, epoch, letter);
    }
}

/// The fault that delivers the same bytes twice: the copy goes by another lane, side by side with the first.
fn double(hub: &Hub, epoch: u64, letter: &Letter) {
    if letter.copy || letter.failures > 0 {
        return;
    }
    let lane = {
        let mut world = hub.world();
        let world = &mut *world;
        if !world.knobs.same_bytes_again(&mut world.chance) {
            return;
        }
        crate::hub::random_lane(world)
    };
    hub.courier.settle(epoch, |load| load.open += letter.updates);
    let copy = Letter { copy: true, ..letter.clone() };
    hub.courier.send(lane, Parcel { epoch, content: Content::Letter(copy) });
}

fn try_again(hub: &Hub, lane: usize, epoch: u64, mut letter: Letter) {
    let (first_ms, most_ms) = {
        let world = hub.world();
        (world.knobs.retry_first_ms, world.knobs.retry_most_ms)
    };
    let now_ms = hub.clock.now_ms();
    let given_up = now_ms.saturating_sub(letter.first_ms) > GIVE_UP_AFTER_MS;
    // 2^30 half seconds are 17 years: the largest wait is long reached, and nothing overflows.
    let wait_ms = first_ms.saturating_mul(1 << letter.failures.min(30)).min(most_ms);
    letter.failures = letter.failures.saturating_add(1);
    let updates = letter.updates;
    hub.courier.settle(epoch, |load| {
        load.open = load.open.saturating_sub(updates);
        load.failures += 1;
        if given_up {
            load.abandoned += updates as u64;
        } else {
            load.waiting += updates;
        }
    });
    if !given_up {
        hub.courier.enter(epoch, now_ms.saturating_add(wait_ms), Errand::Deliver(lane, Content::Letter(letter)));
    }
}
