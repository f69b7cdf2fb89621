//! The public side: what a platform posts, and nothing else.
//!
//! A webhook is answered 200 when what it brought is durable, never before. What cannot be taken now gets 503 and the
//! platform keeps it; what is not authentic gets 403 and is forgotten. The body is read whole, up to the platform's own
//! limit and within a deadline, since the signature is over all of it.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use beadle_clock::Clock;
use beadle_model::Coded as _;
use beadle_pipeline::{Delivery, Inbox};
use beadle_whatsapp::{App, BODY_LIMIT_BYTES};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A body of 3 MB takes half a second on a slow line; who takes longer holds a place for nothing. Real time.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// A group commit takes milliseconds. On a disk that is stuck the platform keeps the event and not a connection; should it
/// be kept here after all, the repeat is recognised. Real time.
const KEPT_WITHIN: Duration = Duration::from_secs(5);
/// What a refused sender is asked to wait, in seconds; the platform has its own growing intervals.
const RETRY_AFTER_SECS: &str = "5";
/// The signature over the raw body.
const SIGNATURE: &str = "x-hub-signature-256";

/// What the public side needs.
pub struct Webhooks {
    /// By their names in the configuration.
    pub apps: BTreeMap<String, App>,
    /// Where events go.
    pub inbox: Inbox,
    /// Civil time.
    pub clock: Clock,
    /// How many of what.
    pub counts: WebhookCounts,
}

/// Webhooks so far; they only grow.
#[derive(Debug, Default)]
pub struct WebhookCounts {
    /// Answered 200.
    pub taken: AtomicU64,
    /// Answered 503.
    pub put_off: AtomicU64,
    /// Answered 4xx.
    pub refused: AtomicU64,
    /// Messages of a type that is not understood yet; kept whole.
    pub others: AtomicU64,
    /// Anything else that no plugin can export yet; kept whole.
    pub unrouted: AtomicU64,
    /// What came for a number that is not configured; kept whole.
    pub unknown_number: AtomicU64,
    /// Authentic bodies, and parts of them, that make no sense; kept as dead letters.
    pub unreadable: AtomicU64,
}

/// `GET` and `POST /webhooks/{app}`; everything else is 404.
pub fn router(webhooks: Arc<Webhooks>) -> Router {
    Router::new()
        .route("/webhooks/{app}", get(handshake).post(receive))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(webhooks)
}

/// The platform asks, when the address is entered, whether it is ours.
async fn handshake(
    State(webhooks): State<Arc<Webhooks>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(app) = webhooks.apps.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    match app.handshake(query.as_deref().unwrap_or_default()) {
        Ok(challenge) => {
            tracing::info!(app = name, "The platform verified the callback address.");
            ([(header::CONTENT_TYPE, "text/plain")], challenge).into_response()
        }
        Err(why) => {
            tracing::warn!(app = name, code = why.code(), "{why}");
            StatusCode::FORBIDDEN.into_response()
        }
    }
}

async fn receive(State(webhooks): State<Arc<Webhooks>>, Path(name): Path<String>, request: Request) -> Response {
    let Some(app) = webhooks.apps.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let counts = &webhooks.counts;
    let signature = request.headers().get(SIGNATURE).cloned();
    let signature = signature.as_ref().and_then(|value| value.to_str().ok());
    let body = match tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => {
            counts.refused.fetch_add(1, Relaxed);
            return refused.into_response();
        }
        Err(_) => {
            counts.refused.fetch_add(1, Relaxed);
            return StatusCode::REQUEST_TIMEOUT.into_response();
        }
    };
    let parsed = match app.receive(signature, &body, webhooks.clock.now()) {
        Ok(parsed) => parsed,
        Err(why) => {
            // Anyone can post here: the first is told, then every thousandth, so that nobody fills the log.
            if counts.refused.fetch_add(1, Relaxed) % 1000 == 0 {
                tracing::warn!(app = name, code = why.code(), "{why}");
            }
            return StatusCode::from_u16(why.status()).unwrap_or(StatusCode::FORBIDDEN).into_response();
        }
    };
    let add = |counter: &AtomicU64, number: usize| counter.fetch_add(number as u64, Relaxed);
    add(&counts.others, parsed.counts.other_content);
    add(&counts.unrouted, parsed.counts.unrouted);
    add(&counts.unreadable, parsed.counts.rejected);
    if let Some(number) = &parsed.unknown_number
        && counts.unknown_number.fetch_add(parsed.counts.unknown_number as u64, Relaxed).is_multiple_of(1000)
    {
        tracing::warn!(
            app = name,
            number,
            "Something came for a number that is not configured: it is kept (`beadle events list`), and no plugin gets it. \
             Add a channel with this phone_number_id."
        );
    }
    // In a task of its own, which ends as it should also where the platform hangs up or is sent away.
    let inbox = webhooks.inbox.clone();
    let senseless = parsed.rejected.first().map(|letter| letter.error.clone());
    let delivery =
        Delivery { events: parsed.events, receipts: parsed.receipts, letters: parsed.rejected, ..Delivery::default() };
    let keeping = tokio::spawn(async move { inbox.receive(delivery).await });
    match tokio::time::timeout(KEPT_WITHIN, keeping).await {
        Ok(Ok(Ok(appended))) => {
            counts.taken.fetch_add(1, Relaxed);
            if let (Some(letter), Some(why)) = (appended.rejected.first(), senseless) {
                let letters = appended.rejected.len();
                tracing::warn!(app = name, %letter, letters, "A webhook is not understood, and is kept: {why}. See `beadle dead-letters list`.");
            }
            return StatusCode::OK.into_response();
        }
        Ok(Ok(Err(why))) => tracing::debug!(app = name, code = why.code(), "{why}"),
        Ok(Err(_)) | Err(_) => tracing::debug!(app = name, "The disk took too long for a webhook."),
    }
    counts.put_off.fetch_add(1, Relaxed);
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_SECS)]).into_response()
}
