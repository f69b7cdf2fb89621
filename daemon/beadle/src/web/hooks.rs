//! Hooks of plugins: `POST /hooks/{plugin}/{name}` on the public address, for other programs.
//!
//! A request is answered with 200 once it is durable, never before. The form of its signature is
//! checked before its body is read; the signature, before anything is stored. A repetition is
//! stored once: with the sender's id for as long as events are kept, without one for some minutes.
//! What is refused is counted and forgotten. Hooks are replaced by a reload; those that did not
//! change keep their counts.

mod signature;

use super::body::{BodyBudget, BodyError, WholeBody};
use super::finishing::Finishing;
use crate::config::HookSettings;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use beadle_clock::{Clock, Thinned};
use beadle_model::time::DAY_MS;
use beadle_model::{Coded as _, EventBody, EventKind, Timestamp};
use beadle_pipeline::{Delivery, Inbox, SubscriptionsReceiver};
use beadle_store::Store;
use beadle_store::step::{EventKey, NewEvent, Placement};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};
use signature::SignatureError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// As for webhooks of the platform.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Sixteen of the largest bodies.
const BODY_BUDGET_BYTES: usize = 16 << 20;
/// As for webhooks of the platform: the sender keeps what is not stored in this time.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// In seconds. Senders have their own intervals.
const RETRY_AFTER_SECS: &str = "5";
/// The longest value of a header that a plugin gets, and the longest query.
const HEADER_BYTES: usize = 1024;
const QUERY_BYTES: usize = 2048;
const MINUTE_MS: i64 = 60 * 1000;
/// Without an id of the sender, the same content within this time is a repetition.
const REPEATED_WITHIN_MS: i64 = 5 * MINUTE_MS;
/// How long `beadle status` shows that a request was refused. Civil time.
const SHOWN_MS: i64 = DAY_MS;

/// What became of requests to hooks, by the names of the metric.
pub const OUTCOMES: [&str; 5] = ["accepted", "repeated", "rejected", "limited", "deferred"];

/// The hooks of all plugins.
pub struct Hooks {
    store: Store,
    inbox: Inbox,
    clock: Clock,
    subscriptions: SubscriptionsReceiver,
    bodies: BodyBudget,
    /// By plugin and name.
    hooks: RwLock<BTreeMap<(String, String), Arc<Hook>>>,
    /// In the order of [`OUTCOMES`].
    counts: [AtomicU64; OUTCOMES.len()],
    rejected: Thinned,
}

#[derive(Clone, Copy)]
enum Outcome {
    Accepted,
    Repeated,
    Rejected,
    Limited,
    Deferred,
}

/// One hook, and what happened to it.
struct Hook {
    settings: HookSettings,
    minute: Mutex<Minute>,
    accepted: AtomicU64,
    refused: AtomicU64,
    last_refusal: Mutex<Option<HookRefusal>>,
}

/// Requests since a point in time, which is at most a minute ago.
#[derive(Default)]
struct Minute {
    since: Timestamp,
    count: u32,
}

/// The last request that a hook refused.
#[derive(Clone, Debug)]
pub struct HookRefusal {
    /// Why.
    pub code: &'static str,
    /// The same in words.
    pub message: String,
    /// When, in civil time.
    pub at: Timestamp,
}

/// A hook for operators.
#[derive(Clone, Debug)]
pub struct HookView {
    /// Its plugin.
    pub plugin: String,
    /// Its name.
    pub name: String,
    /// Requests that were stored since it was configured.
    pub accepted: u64,
    /// Requests that were refused since then.
    pub refused: u64,
    /// The last of them, if it is not long ago.
    pub last_refusal: Option<HookRefusal>,
}

impl Hooks {
    /// Without hooks.
    pub fn new(store: Store, inbox: Inbox, clock: Clock, subscriptions: SubscriptionsReceiver) -> Self {
        Self {
            store,
            inbox,
            clock,
            subscriptions,
            bodies: BodyBudget::new(BODY_BUDGET_BYTES),
            hooks: RwLock::default(),
            counts: Default::default(),
            rejected: Thinned::default(),
        }
    }

    /// Replaces the hooks. Those that did not change keep their counts.
    pub fn configure(&self, settings: &BTreeMap<String, Vec<HookSettings>>) {
        let mut hooks = self.hooks.write();
        let all = settings.iter().flat_map(|(plugin, hooks)| hooks.iter().map(move |hook| (plugin, hook)));
        let next = all.map(|(plugin, settings)| {
            let key = (plugin.clone(), settings.name.clone());
            let known = hooks.get(&key).filter(|hook| hook.settings == *settings).cloned();
            let hook = known.unwrap_or_else(|| {
                Arc::new(Hook {
                    settings: settings.clone(),
                    minute: Mutex::default(),
                    accepted: AtomicU64::new(0),
                    refused: AtomicU64::new(0),
                    last_refusal: Mutex::default(),
                })
            });
            (key, hook)
        });
        *hooks = next.collect();
    }

    /// All hooks, by plugin and name.
    pub fn views(&self) -> Vec<HookView> {
        let now = self.clock.now();
        let view = |((plugin, name), hook): (&(String, String), &Arc<Hook>)| HookView {
            plugin: plugin.clone(),
            name: name.clone(),
            accepted: hook.accepted.load(Relaxed),
            refused: hook.refused.load(Relaxed),
            last_refusal: hook.last_refusal.lock().clone().filter(|refusal| now.since_ms(refusal.at) < SHOWN_MS),
        };
        self.hooks.read().iter().map(view).collect()
    }

    /// Requests by outcome; empty if there are no hooks.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let counts: BTreeMap<String, u64> = OUTCOMES
            .into_iter()
            .zip(&self.counts)
            .map(|(name, count)| (name.to_owned(), count.load(Relaxed)))
            .collect();
        let is_used = !self.hooks.read().is_empty() || counts.values().any(|count| *count > 0);
        if is_used { counts } else { BTreeMap::new() }
    }

    fn count(&self, outcome: Outcome) {
        if let Some(count) = self.counts.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts, keeps and logs a refusal, and answers it.
    fn refuse(&self, request: &HookRequest, code: &'static str, message: String, status: StatusCode) -> Response {
        self.count(Outcome::Rejected);
        let HookRequest { plugin, hook } = request;
        hook.refused.fetch_add(1, Relaxed);
        let name = &hook.settings.name;
        if let Some(suppressed) = self.rejected.pass() {
            tracing::warn!(plugin, hook = name, code, reason = message, suppressed, "request to a hook rejected");
        }
        // For the sender's log.
        let answer = (status, format!("{code}: {message}\n")).into_response();
        *hook.last_refusal.lock() = Some(HookRefusal { code, message, at: self.clock.now() });
        answer
    }

    fn refuse_signature(&self, request: &HookRequest, error: &SignatureError) -> Response {
        let status =
            if *error == SignatureError::WrongPassword { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        self.refuse(request, error.code(), error.to_string(), status)
    }

    fn deferred(&self) -> Response {
        self.count(Outcome::Deferred);
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_SECS)]).into_response()
    }
}

impl Hook {
    /// Counts a request. False if there were too many in this minute.
    fn admit(&self, now: Timestamp) -> bool {
        let mut minute = self.minute.lock();
        if !(0..MINUTE_MS).contains(&now.since_ms(minute.since)) {
            *minute = Minute { since: now, count: 0 };
        }
        minute.count = minute.count.saturating_add(1);
        minute.count <= self.settings.max_per_minute
    }
}

/// What a request is for.
struct HookRequest {
    plugin: String,
    hook: Arc<Hook>,
}

/// `POST /hooks/{plugin}/{name}`.
pub fn router(hooks: Arc<Hooks>) -> Router {
    Router::new().route("/hooks/{plugin}/{name}", post(receive)).with_state(hooks)
}

async fn receive(
    State(hooks): State<Arc<Hooks>>,
    Path((plugin, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let key = (plugin, name);
    let Some(hook) = hooks.hooks.read().get(&key).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let to = HookRequest { plugin: key.0, hook };
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default().to_owned();
    if query.len() > QUERY_BYTES {
        hooks.count(Outcome::Rejected);
        return StatusCode::URI_TOO_LONG.into_response();
    }
    let body = match authentic(&hooks, &to, &head.headers, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    if !to.hook.admit(hooks.clock.monotonic()) {
        hooks.count(Outcome::Limited);
        to.hook.refused.fetch_add(1, Relaxed);
        let message = format!("more than {} requests in a minute", to.hook.settings.max_per_minute);
        let answer = format!("hook-rate-limit: {message}\n");
        *to.hook.last_refusal.lock() = Some(HookRefusal { code: "hook-rate-limit", message, at: hooks.clock.now() });
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")], answer).into_response();
    }
    store(&hooks, to, query, &head.headers, body).await
}

/// Reads the body and checks its signature.
async fn authentic(hooks: &Hooks, to: &HookRequest, headers: &HeaderMap, body: Body) -> Result<WholeBody, Response> {
    let HookSettings { scheme, secret, max_bytes, .. } = &to.hook.settings;
    let value = headers.get(signature::header(scheme)).and_then(|value| value.to_str().ok());
    let claim = signature::claim(scheme, secret, value).map_err(|error| hooks.refuse_signature(to, &error))?;
    let body = match hooks.bodies.read(body, *max_bytes, BODY_WITHIN).await {
        Ok(body) => body,
        Err(BodyError::OverBudget) => return Err(hooks.deferred()),
        Err(BodyError::TooLarge) => {
            let message = format!("the body has more than {} KiB (`max_kib`)", max_bytes / 1024);
            return Err(hooks.refuse(to, "hook-too-large", message, StatusCode::PAYLOAD_TOO_LARGE));
        }
        Err(error) => {
            hooks.count(Outcome::Rejected);
            let is_late = error == BodyError::TimedOut;
            let status = if is_late { StatusCode::REQUEST_TIMEOUT } else { StatusCode::BAD_REQUEST };
            return Err(status.into_response());
        }
    };
    let verified = signature::verify(scheme, secret, &claim, &body.bytes, hooks.clock.now());
    verified.map_err(|error| hooks.refuse_signature(to, &error))?;
    Ok(body)
}

/// Stores a request for its plugin, and answers.
async fn store(hooks: &Arc<Hooks>, to: HookRequest, query: String, headers: &HeaderMap, body: WholeBody) -> Response {
    let settings = &to.hook.settings;
    // Without a plugin that takes it, the event would end unhandled. The sender keeps it.
    let is_taken = {
        let subscriptions = hooks.subscriptions.borrow();
        !subscriptions.is_known()
            || subscriptions.of_kind(EventKind::Webhook).any(|one| **one.slot.name() == *to.plugin)
    };
    if !is_taken {
        let message = format!("the plugin `{}` is not loaded, or does not export `on-webhook`", to.plugin);
        let mut answer = hooks.refuse(&to, "hook-no-plugin", message, StatusCode::SERVICE_UNAVAILABLE);
        answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER_SECS));
        return answer;
    }
    let Ok(no) = hooks.store.plugin_no(&to.plugin).await else { return hooks.deferred() };
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let id = settings.id_header.as_deref().and_then(text);
    let now = hooks.clock.now();
    // A repetition has the same key. Without an id the content is all there is, and a sender that
    // reports the same change twice, such as a value that was set back, means it: such a key is
    // that of some minutes.
    let at = if id.is_some() { 0 } else { now.0 - now.0.rem_euclid(REPEATED_WITHIN_MS) };
    let key = EventKey {
        at: Timestamp(at),
        hash: delivery_hash(&to.plugin, &settings.name, &query, id.as_deref(), &body.bytes),
    };
    let chosen = std::iter::once("content-type").chain(settings.headers.iter().map(String::as_str));
    let headers = chosen.filter_map(|name| Some((name.to_owned(), cut(text(name)?)))).collect();
    let event = NewEvent {
        key,
        placement: Placement::Nowhere,
        happened_at: now,
        opens_window: false,
        keyword: None,
        body: EventBody::Webhook {
            plugin: no,
            hook: settings.name.clone(),
            query,
            headers,
            body: body.bytes.to_vec().into(),
        },
    };
    let delivery = Delivery {
        events: vec![event],
        receipts: vec![],
        rejected: vec![],
        templates: vec![],
        read_from: None,
        source: None,
    };
    let inbox = hooks.inbox.clone();
    // Ends in order even if the sender hangs up.
    let storing = Finishing::new(async move { inbox.receive(delivery).await });
    match tokio::time::timeout(STORED_WITHIN, storing).await {
        Ok(Ok(appended)) => {
            let outcome = if appended.events > 0 { Outcome::Accepted } else { Outcome::Repeated };
            hooks.count(outcome);
            to.hook.accepted.fetch_add(appended.events as u64, Relaxed);
            StatusCode::OK.into_response()
        }
        Ok(Err(error)) if error.is_refusal() => {
            hooks.refuse(&to, error.code(), error.to_string(), StatusCode::UNPROCESSABLE_ENTITY)
        }
        Ok(Err(error)) => {
            tracing::debug!(plugin = to.plugin, code = error.code(), %error, "request to a hook deferred");
            hooks.deferred()
        }
        Err(_) => {
            tracing::debug!(plugin = to.plugin, "request to a hook deferred, the disk is slow");
            hooks.deferred()
        }
    }
}

/// What identifies a delivery: the sender's id, else its content.
fn delivery_hash(plugin: &str, hook: &str, query: &str, id: Option<&str>, body: &[u8]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [b"hook", plugin.as_bytes(), hook.as_bytes()] {
        hash.update(part);
        hash.update([0]);
    }
    match id {
        Some(id) => hash.update(id),
        None => {
            hash.update([0]);
            hash.update(query);
            hash.update([0]);
            hash.update(body);
        }
    }
    let digest = hash.finalize();
    digest.first_chunk::<16>().copied().unwrap_or_default()
}

fn cut(mut value: String) -> String {
    let mut end = value.len().min(HEADER_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.truncate(end);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HookScheme;
    use beadle_whatsapp::Secret;

    #[test]
    fn delivery_is_identified_by_its_id_or_its_content() {
        let hash = |hook: &str, id: Option<&str>, body: &str| delivery_hash("crm", hook, "a=1", id, body.as_bytes());
        assert_eq!(hash("a", None, "x"), hash("a", None, "x"));
        assert_ne!(hash("a", None, "x"), hash("a", None, "y"));
        assert_ne!(hash("a", None, "x"), hash("b", None, "x"));
        assert_eq!(hash("a", Some("1"), "x"), hash("a", Some("1"), "y"));
        assert_ne!(hash("a", Some("1"), "x"), hash("a", Some("2"), "x"));
    }

    #[test]
    fn long_header_is_cut_between_characters() {
        assert_eq!(cut("short".into()), "short");
        let long = cut(format!("x{}", "é".repeat(HEADER_BYTES)));
        assert_eq!((long.len(), long.chars().count()), (HEADER_BYTES - 1, HEADER_BYTES / 2));
    }

    #[test]
    fn requests_of_a_minute_are_limited() {
        let settings = HookSettings {
            name: "orders".into(),
            scheme: HookScheme::Basic { user: "u".into() },
            secret: Secret::new("any"),
            headers: vec![],
            id_header: None,
            max_bytes: 1,
            max_per_minute: 2,
        };
        let hook = Hook {
            settings,
            minute: Mutex::default(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last_refusal: Mutex::default(),
        };
        let admitted = [0, 1, 2, 59_999, 60_000, 60_001, 60_002].map(|ms| hook.admit(Timestamp(ms)));
        assert_eq!(admitted, [true, true, false, false, true, true, false]);
        // A clock that was set back begins a new minute.
        assert!(hook.admit(Timestamp(5)));
    }
}
