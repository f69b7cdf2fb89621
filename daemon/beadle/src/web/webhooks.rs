//! The public side: webhooks of platforms, and nothing else.
//!
//! A webhook is answered 200 once what it brought is durable, never before. What cannot be stored
//! now gets 503 and the platform sends it again; what is not authentic gets 403 and is forgotten. A
//! request without a well-formed signature is refused before its body is read. The body is read
//! whole, within the platform's own limit, a deadline and a budget, because the signature covers
//! all of it.

use super::body::{BodyBudget, BodyError, WholeBody};
use super::finishing::Finishing;
use super::metrics::Histogram;
use super::thin::cut;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use beadle_clock::{Clock, Thinned};
use beadle_model::{Coded as _, EventBody};
use beadle_pipeline::{Delivery, Inbox, InboxError};
use beadle_store::step::{Appended, NewEvent, SourceWebhook};
use beadle_whatsapp::{App, BODY_LIMIT_BYTES, HostClock, Parsed, TemplateSync, WebhookError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A body of 3 MB takes half a second on a slow line. Real time.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// All bodies in progress: twenty of the largest, or thousands of the usual size.
const BODY_BUDGET_BYTES: usize = 64 << 20;
/// A group commit takes milliseconds. When the disk is stuck, the platform keeps the event instead
/// of a connection being held; if it is stored after all, the repetition is recognised. Real time.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// In seconds. The platform has its own growing intervals.
const RETRY_AFTER_SECS: &str = "5";
/// The signature over the raw body.
const SIGNATURE: &str = "x-hub-signature-256";

/// The public side.
pub struct Webhooks {
    /// By their names in the configuration.
    pub apps: BTreeMap<String, App>,
    /// Where events go.
    pub inbox: Inbox,
    /// Civil time.
    pub clock: Clock,
    /// Fetches templates, when there is news about them.
    pub templates: Arc<TemplateSync>,
    /// Whether the host's clock agrees with the platform's.
    pub host_clock: Arc<HostClock>,
    /// Memory for bodies.
    pub bodies: BodyBudget,
    /// Counters.
    pub counts: WebhookCounts,
    /// Log lines that unauthenticated requests can cause.
    pub lines: Lines,
}

/// Counters; they only grow.
#[derive(Debug, Default)]
pub struct WebhookCounts {
    /// Answered 200.
    pub accepted: AtomicU64,
    /// Answered 503.
    pub deferred: AtomicU64,
    /// Answered 4xx.
    pub rejected: AtomicU64,
    /// Messages of an unknown type, stored whole.
    pub others: AtomicU64,
    /// Anything else that no plugin can subscribe to yet, stored whole.
    pub unrouted: AtomicU64,
    /// Input for a number that is not configured, stored whole.
    pub unknown_number: AtomicU64,
    /// Authentic bodies, and parts of them, that cannot be read; stored as rejected webhooks.
    pub malformed: AtomicU64,
    /// Webhooks of other products of Meta, ignored.
    pub other_products: AtomicU64,
    /// Time from the head of a webhook to its answer.
    pub duration: Histogram,
}

/// Log lines that are thinned, by kind.
#[derive(Debug, Default)]
pub struct Lines {
    rejected: Thinned,
    handshake: Thinned,
    unknown_number: Thinned,
    malformed: Thinned,
    other_product: Thinned,
}

impl Webhooks {
    /// For these apps.
    pub fn new(
        apps: BTreeMap<String, App>,
        inbox: Inbox,
        templates: Arc<TemplateSync>,
        clock: Clock,
        host_clock: Arc<HostClock>,
    ) -> Self {
        let bodies = BodyBudget::new(BODY_BUDGET_BYTES);
        let (counts, lines) = (WebhookCounts::default(), Lines::default());
        Self { apps, inbox, clock, templates, host_clock, bodies, counts, lines }
    }

    /// Counts a refusal and logs it, thinned.
    fn reject(&self, app: &str, error: &WebhookError) -> StatusCode {
        self.counts.rejected.fetch_add(1, Relaxed);
        if let Some(suppressed) = self.lines.rejected.pass() {
            tracing::warn!(app, code = error.code(), %error, suppressed, "webhook rejected");
        }
        StatusCode::from_u16(error.status()).unwrap_or(StatusCode::FORBIDDEN)
    }

    fn count(&self, app: &str, parsed: &Parsed) {
        let add = |counter: &AtomicU64, number: usize| counter.fetch_add(number as u64, Relaxed);
        add(&self.counts.others, parsed.counts.other_content);
        add(&self.counts.unrouted, parsed.counts.unrouted);
        add(&self.counts.malformed, parsed.counts.rejected);
        if let Some(object) = &parsed.other_product {
            add(&self.counts.other_products, 1);
            if let Some(suppressed) = self.lines.other_product.pass() {
                tracing::warn!(app, object = cut(object), suppressed, "webhook of another product ignored");
            }
        }
        add(&self.counts.unknown_number, parsed.counts.unknown_number);
        if let Some(number) = &parsed.unknown_number
            && let Some(suppressed) = self.lines.unknown_number.pass()
        {
            let phone_number_id = cut(number);
            tracing::warn!(app, phone_number_id, suppressed, "webhook for a number that is not configured");
        }
    }
}

/// `GET` and `POST /webhooks/{app}`; everything else is 404.
pub fn router(webhooks: Arc<Webhooks>) -> Router {
    Router::new().route("/webhooks/{app}", get(handshake).post(receive)).with_state(webhooks)
}

/// The platform checks the callback address when it is entered.
async fn handshake(
    State(webhooks): State<Arc<Webhooks>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(app) = webhooks.apps.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    match app.handshake(query.as_deref().unwrap_or_default()) {
        Ok(challenge) => {
            tracing::info!(app = name, "callback address verified");
            ([(header::CONTENT_TYPE, "text/plain")], challenge).into_response()
        }
        Err(error) => {
            if let Some(suppressed) = webhooks.lines.handshake.pass() {
                tracing::warn!(app = name, code = error.code(), %error, suppressed, "handshake rejected");
            }
            StatusCode::FORBIDDEN.into_response()
        }
    }
}

async fn receive(State(webhooks): State<Arc<Webhooks>>, Path(name): Path<String>, request: Request) -> Response {
    let began = Instant::now();
    let Some(app) = webhooks.apps.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let (head, body) = request.into_parts();
    let answer = match authentic(&webhooks, app, &head.headers, body).await {
        Ok((parsed, body)) => store(&webhooks, &name, parsed, body).await,
        Err(refused) => refused,
    };
    webhooks.counts.duration.observe(began.elapsed());
    answer
}

/// Reads the body and checks its signature.
async fn authentic(
    webhooks: &Webhooks,
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Parsed, WholeBody), Response> {
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let reject = |error: WebhookError| webhooks.reject(app.name(), &error).into_response();
    app.check_signature_form(signature).map_err(reject)?;
    let body = match webhooks.bodies.read(body, BODY_LIMIT_BYTES, BODY_WITHIN).await {
        Ok(body) => body,
        Err(BodyError::OverBudget) => return Err(deferred(webhooks)),
        Err(error) => {
            webhooks.counts.rejected.fetch_add(1, Relaxed);
            let status = match error {
                BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
                _ => StatusCode::BAD_REQUEST,
            };
            return Err(status.into_response());
        }
    };
    let parsed = app.receive(signature, &body.bytes, webhooks.clock.now()).map_err(reject)?;
    Ok((parsed, body))
}

/// Stores what a webhook brought, and answers.
async fn store(webhooks: &Arc<Webhooks>, app: &str, parsed: Parsed, body: WholeBody) -> Response {
    webhooks.count(app, &parsed);
    if let Some(latest) = parsed.events.iter().filter(|event| event.opens_window).map(|event| event.happened_at).max() {
        webhooks.host_clock.consider(latest);
    }
    let problem = parsed.rejected.first().map(|rejected| cut(&rejected.error));
    let is_about_number = |event: &NewEvent| match &event.body {
        EventBody::ChannelChanged(changed) => matches!(&*changed.change, "limits" | "quality"),
        _ => false,
    };
    let has_account_news = !parsed.templates.is_empty() || parsed.events.iter().any(is_about_number);
    // Ends in order even if the platform hangs up.
    let storing = Finishing::new({
        let (webhooks, app) = (Arc::clone(webhooks), app.to_owned());
        async move { take_in(&webhooks, app, parsed, body).await }
    });
    match tokio::time::timeout(STORED_WITHIN, storing).await {
        Ok(Ok(appended)) => {
            webhooks.counts.accepted.fetch_add(1, Relaxed);
            if has_account_news {
                // News say that something changed, and not all of what it is now.
                webhooks.templates.request();
            }
            if let (Some(id), Some(error)) = (appended.rejected.first(), problem)
                && let Some(suppressed) = webhooks.lines.malformed.pass()
            {
                tracing::warn!(app, webhook = %id, error, suppressed, "webhook could not be parsed, kept as a dead letter");
            }
            return StatusCode::OK.into_response();
        }
        Ok(Err(error)) => tracing::debug!(app, code = error.code(), %error, "webhook deferred"),
        Err(_) => tracing::debug!(app, "webhook deferred, the disk is slow"),
    }
    deferred(webhooks)
}

/// Appends all of a webhook. If the store refuses one of its parts, which it would at each
/// repetition, the others are appended, and the whole webhook is kept as a rejected one.
async fn take_in(webhooks: &Webhooks, name: String, parsed: Parsed, body: WholeBody) -> Result<Appended, InboxError> {
    let delivery = |parsed: Parsed, source| Delivery {
        events: parsed.events,
        receipts: parsed.receipts,
        rejected: parsed.rejected,
        templates: parsed.templates,
        read_from: None,
        source,
    };
    let refused = match webhooks.inbox.receive(delivery(parsed, None)).await {
        Err(error) if error.is_refusal() => error,
        outcome => return outcome,
    };
    let Some(app) = webhooks.apps.get(&name) else { return Err(refused) };
    let parsed = app.parse(&body.bytes, webhooks.clock.now());
    let source = SourceWebhook { app: name, body: body.bytes.to_vec() };
    webhooks.inbox.receive(delivery(parsed, Some(source))).await
}

fn deferred(webhooks: &Webhooks) -> Response {
    webhooks.counts.deferred.fetch_add(1, Relaxed);
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_SECS)]).into_response()
}
