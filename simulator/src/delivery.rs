//! The tasks that deliver webhooks: the handshake, one task per lane that packs, signs and posts
//! updates, and one that performs what the clock makes due.

use crate::envelope::Update;
use crate::hub::Hub;
use crate::webhook_sender::{Callback, Content, Lanes, Queued, SignedBody, TimedTask};
use crate::{log, receipts, scheduled, wire};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;

/// How long Meta retries (docs/whatsapp.md#delivery).
const ABANDON_AFTER_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Meta's maximum body size (3 MB), less the envelope.
const MAX_BODY_BYTES: usize = 2_900_000;

/// Time limit of the handshake. Real time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the HTTP client for webhooks.
pub(crate) fn client(lanes: usize) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(lanes)
        .tcp_nodelay(true)
        .build()
}

/// Starts the tasks. They end with the runtime.
pub(crate) fn run(hub: &Arc<Hub>, lanes: Lanes) {
    for (number, lane) in lanes.0.into_iter().enumerate() {
        tokio::spawn(run_lane(Arc::clone(hub), number, lane));
    }
    tokio::spawn(run_timers(Arc::clone(hub)));
    tokio::spawn(run_handshake(Arc::clone(hub)));
}

/// Verifies a callback (docs/whatsapp.md#handshake). The error contains no secret.
pub(crate) async fn handshake(hub: &Hub, callback: &Callback) -> Result<(), String> {
    let challenge = hub.ids.challenge();
    let query = [
        ("hub.mode", "subscribe"),
        ("hub.challenge", challenge.as_str()),
        ("hub.verify_token", callback.verify_token.as_str()),
    ];
    let url = reqwest::Url::parse_with_params(&callback.url, query).map_err(|error| error.to_string())?;
    match hub.client.get(url).timeout(HANDSHAKE_TIMEOUT).send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            match response.text().await {
                Ok(text) if status == 200 && text == challenge => Ok(()),
                _ => Err(format!("the callback responded with HTTP {status} and without the challenge")),
            }
        }
        // Without the URL, which contains the verify token.
        Err(error) => Err(error.without_url().to_string()),
    }
}

/// Repeats the handshake with the configured callback until the daemon echoes the challenge.
async fn run_handshake(hub: Arc<Hub>) {
    let mut pause = Duration::from_millis(50);
    // A client of the Graph API may have subscribed another callback meanwhile.
    while !hub.webhook_sender.status().handshake_done {
        match handshake(&hub, &hub.webhook_sender.callback()).await {
            Ok(()) => break,
            Err(error) => tracing::debug!(error, "handshake failed; will be retried"),
        }
        tokio::time::sleep(pause).await;
        // Short pauses while the daemon starts, then at most one attempt per second.
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    tracing::info!("handshake done");
    hub.webhook_sender.set_handshake_done();
    hub.publish(|| serde_json::json!({"kind": "handshake_done"}));
}

async fn run_timers(hub: Arc<Hub>) {
    loop {
        for (epoch, task) in hub.webhook_sender.take_due(hub.clock.now_ms()) {
            match task {
                TimedTask::Deliver(lane, content) => {
                    let updates = content.updates();
                    hub.webhook_sender.settle(epoch, |status| {
                        status.waiting = status.waiting.saturating_sub(updates);
                        status.in_flight += updates;
                    });
                    hub.webhook_sender.send(lane, Queued { epoch, content });
                }
                TimedTask::Perform(action, immediate) => {
                    // Updates that the action makes are counted before the action itself is
                    // settled, so that the sender never appears idle in between.
                    if hub.webhook_sender.status().epoch == epoch {
                        scheduled::perform(&hub, action);
                    }
                    hub.webhook_sender.settle(epoch, |status| {
                        let counted = if immediate { &mut status.in_flight } else { &mut status.waiting };
                        *counted = counted.saturating_sub(1);
                    });
                }
            }
        }
        let changed = hub.webhook_sender.timers_changed.notified();
        match hub.webhook_sender.next_due_ms() {
            None => changed.await,
            Some(due_ms) => tokio::select! {
                () = changed => {}
                () = hub.clock.sleep_until(due_ms) => {}
            },
        }
    }
}

/// Runs one lane: packs queued updates into bodies and posts them.
async fn run_lane(hub: Arc<Hub>, number: usize, mut lane: UnboundedReceiver<Queued>) {
    let mut status = hub.webhook_sender.watch();
    let mut held_over = None;
    loop {
        let Some(queued) = (match held_over.take() {
            Some(queued) => Some(queued),
            None => lane.recv().await,
        }) else {
            return;
        };
        // Cannot fail: the sender is in the hub, which we hold.
        let _ = status.wait_for(|status| status.handshake_done && !status.paused).await;
        let epoch = queued.epoch;
        if epoch != hub.webhook_sender.status().epoch {
            continue;
        }
        let body = match queued.content {
            Content::SignedBody(body) => body,
            Content::Update(first) => {
                let updates = gather(&hub, epoch, first, &mut lane, &mut held_over).await;
                pack(&hub, &updates)
            }
        };
        post(&hub, number, epoch, body).await;
    }
}

/// Collects the updates for one body: those that are queued or arrive within `batch_wait_ms`, up to
/// the limits.
async fn gather(
    hub: &Hub,
    epoch: u64,
    first: Update,
    lane: &mut UnboundedReceiver<Queued>,
    held_over: &mut Option<Queued>,
) -> Vec<Update> {
    let (max_updates, max_wait) = {
        let world = hub.world();
        (world.faults.max_batch_size, Duration::from_millis(world.faults.batch_wait_ms))
    };
    let mut bytes = first.json.len();
    let mut updates = vec![first];
    let deadline = tokio::time::Instant::now() + max_wait;
    while updates.len() < max_updates && bytes < MAX_BODY_BYTES {
        let next = match lane.try_recv() {
            Ok(queued) => Some(queued),
            Err(_) if max_wait.is_zero() => None,
            Err(_) => tokio::time::timeout_at(deadline, lane.recv()).await.ok().flatten(),
        };
        match next {
            Some(Queued { epoch: queued_in, content: Content::Update(update) }) if queued_in == epoch => {
                // Including its contact and separators.
                bytes += update.json.len() + 300;
                updates.push(update);
            }
            Some(queued) => {
                *held_over = Some(queued);
                break;
            }
            None => break,
        }
    }
    updates
}

fn pack(hub: &Hub, updates: &[Update]) -> SignedBody {
    let now_ms = hub.clock.now_ms();
    let body = hub.envelope.pack(updates, now_ms, &mut hub.world().rng);
    SignedBody {
        body: body.into(),
        updates: updates.len(),
        delivers: updates.iter().filter_map(|update| update.delivers).collect(),
        about: updates.iter().filter_map(|update| update.about).collect(),
        failures: 0,
        first_ms: now_ms,
        copy: false,
    }
}

async fn post(hub: &Arc<Hub>, lane: usize, epoch: u64, signed: SignedBody) {
    duplicate(hub, epoch, &signed);
    let timeout = Duration::from_millis(hub.world().faults.webhook_timeout_ms);
    let started = Instant::now();
    let callback = hub.webhook_sender.callback();
    let result = hub
        .client
        .post(&callback.url)
        .header("content-type", "application/json")
        .header("x-hub-signature-256", wire::signature(hub.config.app_secret.as_bytes(), &signed.body))
        .timeout(timeout)
        .body(signed.body.clone())
        .send()
        .await;
    let (status, text, note) = match result {
        Ok(response) => {
            let status = response.status().as_u16();
            // Read to the end, so that the connection is reused.
            (Some(status), response.text().await.unwrap_or_default(), None)
        }
        Err(error) => (None, String::new(), Some(error.without_url().to_string())),
    };
    hub.log.add(|| log::Entry {
        at_ms: hub.clock.now_ms(),
        direction: "out",
        method: "POST".to_owned(),
        path: callback.url.clone(),
        about: signed.about.clone(),
        status,
        request: log::body_text(&signed.body),
        response: log::body_text(text.as_bytes()),
        note,
        duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        ..log::Entry::default()
    });
    if status == Some(200) {
        receipts::mark_delivered(hub, &signed.delivers);
        hub.webhook_sender.settle(epoch, |status| {
            status.in_flight = status.in_flight.saturating_sub(signed.updates);
            status.deliveries += 1;
        });
    } else {
        retry_later(hub, lane, epoch, signed);
    }
}

/// The fault `webhook_duplicated`: the copy is delivered concurrently on another lane.
fn duplicate(hub: &Hub, epoch: u64, signed: &SignedBody) {
    if signed.copy || signed.failures > 0 {
        return;
    }
    let lane = {
        let mut world = hub.world();
        let world = &mut *world;
        if !world.faults.webhook_duplicated(&mut world.rng) {
            return;
        }
        crate::hub::random_lane(world)
    };
    hub.webhook_sender.settle(epoch, |status| status.in_flight += signed.updates);
    let copy = SignedBody { copy: true, ..signed.clone() };
    hub.webhook_sender.send(lane, Queued { epoch, content: Content::SignedBody(copy) });
}

fn retry_later(hub: &Hub, lane: usize, epoch: u64, mut signed: SignedBody) {
    let (initial_ms, max_ms) = {
        let world = hub.world();
        (world.faults.retry_initial_ms, world.faults.retry_max_ms)
    };
    let now_ms = hub.clock.now_ms();
    let abandoned = now_ms.saturating_sub(signed.first_ms) > ABANDON_AFTER_MS;
    // The exponent is capped to avoid overflow; the maximum delay is reached long before.
    let delay_ms = initial_ms.saturating_mul(1 << signed.failures.min(30)).min(max_ms);
    signed.failures = signed.failures.saturating_add(1);
    let updates = signed.updates;
    hub.webhook_sender.settle(epoch, |status| {
        status.in_flight = status.in_flight.saturating_sub(updates);
        status.failures += 1;
        if abandoned {
            status.abandoned += updates as u64;
        } else {
            status.waiting += updates;
        }
    });
    if !abandoned {
        let task = TimedTask::Deliver(lane, Content::SignedBody(signed));
        hub.webhook_sender.insert_timer(epoch, now_ms.saturating_add(delay_ms), task);
    }
}
