//! The form by which people opt in: `/opt-in/{wording}` on the public address, for the wordings of
//! `[consents.form]`.
//!
//! Anyone can type any number, so a form only *asks*: it records a request, and Beadle's question
//! in WhatsApp is what the person answers (ADR 0096). The answer to the sender is the same for
//! every number, and comes after the same time, so that it reveals neither members nor those who
//! opted out. No address is stored, and no number is logged.
//!
//! Another site cannot send the form for its visitors: `token` binds it to a page that this browser
//! was shown, and the origin is checked. `rate` bounds what a flood can cost. This module decides
//! nothing about consent; the store does.

mod page;
mod rate;
mod token;

use super::body::{BodyBudget, BodyError};
use super::finishing::Finishing;
use super::serve::Peer;
use crate::config::ConsentForm;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beadle_clock::{Clock, Thinned};
use beadle_model::Coded as _;
use beadle_model::consent::rules::{ConsentRules, PlannedConsent, ReportedConsent, WordingText, WordingTexts};
use beadle_model::consent::{ConsentSource, actor};
use beadle_model::keyword::Language;
use beadle_model::phone::WrittenNumber;
use beadle_model::text::hex;
use beadle_model::{Contact, Refusal, Timestamp, country_of_number};
use beadle_pipeline::Pipeline;
use beadle_store::{OptInOutcome, OptInRequest, Store, StoreError};
use page::{FormState, Notice, Page, STYLE};
use parking_lot::Mutex;
use rate::Rates;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use token::{Binding, FormKey, TokenError};
use tokio::time::Instant;

/// The fields of a form have some hundred bytes.
const BODY_LIMIT_BYTES: usize = 4 << 10;
/// All bodies in progress.
const BODY_BUDGET_BYTES: usize = 256 << 10;
/// Real time.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Every request that is taken is answered this long after it arrived, or later if the disk is
/// slow: how long the store takes depends on what it knows about the person. Real time.
const ANSWER_AFTER: Duration = Duration::from_millis(500);
/// Real time.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// The cookie, over HTTPS and on one's own machine. The prefix keeps other hosts of the domain from
/// setting it.
const COOKIES: (&str, &str) = ("__Host-beadle-form", "beadle-form");
/// As long as a token.
const COOKIE_SECONDS: i64 = token::LIFETIME_MS / 1000;

/// What became of a form, as the metrics count it. The first ones are those of [`OptInOutcome`].
pub const OUTCOMES: [&str; 12] = [
    "asked",
    "not-asked",
    "repeated",
    "agreed",
    "declined",
    "excluded",
    "invalid",
    "forged",
    "expired",
    "cross-site",
    "limited",
    "failed",
];

/// The form.
pub struct OptInForms {
    config: ConsentForm,
    /// What the form reports must be confirmed, whatever the configuration says about other
    /// sources.
    rules: ConsentRules,
    brand: String,
    language: Language,
    behind_proxy: bool,
    parts: OptInParts,
    key: FormKey,
    rates: Mutex<Rates>,
    bodies: BodyBudget,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    policy: HeaderValue,
    rejected: Thinned,
    failed: Thinned,
}

/// The parts of the daemon that it works with.
pub struct OptInParts {
    /// Where requests are recorded.
    pub store: Store,
    /// Sends the question, and knows who subscribes to changes of consent.
    pub pipeline: Pipeline,
    /// Civil time.
    pub clock: Clock,
}

/// What else the form shows, and how its clients are told apart.
pub struct OptInSettings<'a> {
    /// `[consents]`
    pub rules: &'a ConsentRules,
    /// `[keywords] brand`
    pub brand: &'a str,
    /// `[keywords] language`
    pub language: Language,
    /// `[http] behind_proxy`
    pub behind_proxy: bool,
}

/// A form as it was sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields {
    number: String,
    agree: String,
    token: String,
    language: String,
    version: String,
}

/// The query of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageQuery {
    lang: Option<String>,
    done: Option<String>,
}

/// Why a form is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rejection {
    status: StatusCode,
    outcome: &'static str,
    notice: Notice,
    /// Whether the sender gets the form again.
    again: bool,
}

impl Rejection {
    const LIMITED: Self = Self::last(StatusCode::TOO_MANY_REQUESTS, "limited", Notice::Busy);
    const CROSS_SITE: Self = Self::last(StatusCode::FORBIDDEN, "cross-site", Notice::Refused);
    const FAILED: Self = Self::last(StatusCode::SERVICE_UNAVAILABLE, "failed", Notice::Failed);
    const FORGED: Self = Self::again(StatusCode::FORBIDDEN, "forged", Notice::Stale);
    const EXPIRED: Self = Self::again(StatusCode::FORBIDDEN, "expired", Notice::Stale);
    const BAD_NUMBER: Self = Self::again(StatusCode::UNPROCESSABLE_ENTITY, "invalid", Notice::BadNumber);
    const NOT_AGREED: Self = Self::again(StatusCode::UNPROCESSABLE_ENTITY, "invalid", Notice::NotAgreed);

    const fn last(status: StatusCode, outcome: &'static str, notice: Notice) -> Self {
        Self { status, outcome, notice, again: false }
    }

    const fn again(status: StatusCode, outcome: &'static str, notice: Notice) -> Self {
        Self { status, outcome, notice, again: true }
    }
}

impl OptInForms {
    /// The forms of this configuration.
    pub fn new(config: ConsentForm, settings: &OptInSettings<'_>, parts: OptInParts) -> Self {
        let mut rules = settings.rules.clone();
        rules.double_opt_in.insert(ConsentSource::Web);
        let style = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        Self {
            key: FormKey::new(&parts.store.host_key()),
            rates: Mutex::new(Rates::new(config.max_per_minute, config.max_per_day)),
            bodies: BodyBudget::new(BODY_BUDGET_BYTES),
            counts: Mutex::new(OUTCOMES.map(|outcome| (outcome, 0)).into()),
            policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
            rejected: Thinned::default(),
            failed: Thinned::default(),
            brand: settings.brand.to_owned(),
            language: settings.language,
            behind_proxy: settings.behind_proxy,
            config,
            rules,
            parts,
        }
    }

    /// How many forms ended in which way.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    /// The address of a wording's form on the internet, if there is one.
    pub fn url(&self, wording: &str) -> Option<String> {
        self.wording(wording).map(|_| format!("{}/opt-in/{wording}", self.config.url))
    }

    fn wording(&self, name: &str) -> Option<&WordingTexts> {
        let is_offered = self.config.wordings.iter().any(|offered| offered == name);
        self.rules.wordings.get(name).filter(|_| is_offered)
    }

    fn count(&self, outcome: &'static str) {
        *self.counts.lock().entry(outcome).or_default() += 1;
    }

    fn page<'a>(&'a self, wording: &'a WordingTexts, text: &'a WordingText) -> Page<'a> {
        Page {
            brand: &self.brand,
            wording,
            text,
            default_language: self.language,
            privacy_url: self.config.privacy_url.as_deref(),
        }
    }

    fn is_secure(&self) -> bool {
        self.config.url.starts_with("https:")
    }

    fn cookie_name(&self) -> &'static str {
        if self.is_secure() { COOKIES.0 } else { COOKIES.1 }
    }

    /// The value of our cookie.
    fn cookie<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let value = pairs.find(|(name, _)| *name == self.cookie_name()).map(|(_, value)| value);
        value.filter(|value| value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// The address by which a client's requests are counted.
    fn client(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<Peer>().map(|Peer(address)| *address);
        if !self.behind_proxy {
            return peer;
        }
        // The nearest proxy appends the address that it sees; what is before it, the client may
        // have invented.
        let last = request.headers().get_all("x-forwarded-for").iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        last.or(peer)
    }

    /// The page with a fresh form.
    fn form(&self, name: &str, wording: &WordingTexts, shown: Shown<'_>) -> Response {
        let Shown { text, headers, number, rejection } = shown;
        let cookie = match self.cookie(headers).map(str::to_owned).map_or_else(new_cookie, Ok) {
            Ok(cookie) => cookie,
            Err(error) => {
                tracing::error!(%error, "no randomness for a form");
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
        };
        let binding = Binding { wording: name, language: &text.language, version: wording.version, cookie: &cookie };
        let token = self.key.issue(binding, self.parts.clock.now());
        let html = self
            .page(wording, text)
            .form(&FormState { token: &token, number }, rejection.map(|rejection| rejection.notice));
        let status = rejection.map_or(StatusCode::OK, |rejection| rejection.status);
        let mut response = self.html(status, html);
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let set = format!(
            "{}={cookie}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict{secure}",
            self.cookie_name()
        );
        if let Ok(set) = HeaderValue::from_str(&set) {
            response.headers_mut().insert(header::SET_COOKIE, set);
        }
        response
    }

    fn html(&self, status: StatusCode, html: String) -> Response {
        let mut response = (status, Html(html)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        // Not `no-referrer`, with which browsers send `Origin: null`.
        for (name, value) in [
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::CACHE_CONTROL, "no-store"),
            (header::VARY, "Accept-Language"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// What a page with a form shows.
struct Shown<'a> {
    text: &'a WordingText,
    headers: &'a HeaderMap,
    number: &'a str,
    rejection: Option<Rejection>,
}

fn new_cookie() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex(bytes))
}

/// `GET` and `POST /opt-in/{wording}`; every other path is 404.
pub fn router(forms: Arc<OptInForms>) -> Router {
    Router::new().route("/opt-in/{wording}", get(show).post(send)).with_state(forms)
}

fn accepted(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok())
}

async fn show(
    State(forms): State<Arc<OptInForms>>,
    Path(name): Path<String>,
    query: Result<Query<PageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let Some(wording) = forms.wording(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let Some(text) = page::choose(wording, query.lang.as_deref(), accepted(&headers)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if query.done.is_some() {
        return forms.html(StatusCode::OK, forms.page(wording, text).done());
    }
    forms.form(&name, wording, Shown { text, headers: &headers, number: "", rejection: None })
}

async fn send(
    State(forms): State<Arc<OptInForms>>,
    Path(name): Path<String>,
    query: Result<Query<PageQuery>, QueryRejection>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let Some(wording) = forms.wording(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let client = forms.client(&request);
    let (head, body) = request.into_parts();
    let lang = query.ok().and_then(|Query(query)| query.lang);
    let (fields, taken) = match read(&forms, client, &head.headers, body).await {
        Ok(fields) => {
            let taken = take(&forms, &name, wording, &head.headers, &fields).await;
            (fields, taken)
        }
        Err(rejection) => (Fields::default(), Err(rejection)),
    };
    let shown = Some(fields.language.as_str()).filter(|language| !language.is_empty()).or(lang.as_deref());
    let Some(text) = page::choose(wording, shown, accepted(&head.headers)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match taken {
        Ok(outcome) => {
            forms.count(outcome.name());
            tokio::time::sleep_until(arrived + ANSWER_AFTER).await;
            let done = format!("/opt-in/{name}?done=1&lang={}", text.language);
            let mut response = forms.html(StatusCode::SEE_OTHER, String::new());
            if let Ok(done) = HeaderValue::from_str(&done) {
                response.headers_mut().insert(header::LOCATION, done);
            }
            response
        }
        Err(rejection) => {
            forms.count(rejection.outcome);
            if rejection.outcome != "invalid"
                && let Some(suppressed) = forms.rejected.pass()
            {
                tracing::warn!(wording = name, outcome = rejection.outcome, suppressed, "opt-in form rejected");
            }
            if rejection.again {
                let (headers, number) = (&head.headers, fields.number.as_str());
                return forms.form(&name, wording, Shown { text, headers, number, rejection: Some(rejection) });
            }
            let html = forms.page(wording, text).refusal(rejection.notice);
            let mut response = forms.html(rejection.status, html);
            if rejection.status == StatusCode::TOO_MANY_REQUESTS {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(rate::CLIENT_PERIOD_MS / 1000));
            }
            response
        }
    }
}

/// Counts the client and reads the fields.
async fn read(
    forms: &OptInForms,
    client: Option<IpAddr>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Fields, Rejection> {
    let now = forms.parts.clock.monotonic();
    // Without an address, which only a test's connection lacks, the limits of all remain.
    if client.is_some_and(|client| !forms.rates.lock().admit_client(client, now)) {
        return Err(Rejection::LIMITED);
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Rejection::last(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", Notice::Refused));
    }
    let body = forms.bodies.read(body, BODY_LIMIT_BYTES, BODY_WITHIN).await.map_err(|error| match error {
        BodyError::TooLarge => Rejection::last(StatusCode::PAYLOAD_TOO_LARGE, "invalid", Notice::Refused),
        BodyError::OverBudget => Rejection::LIMITED,
        BodyError::TimedOut => Rejection::last(StatusCode::REQUEST_TIMEOUT, "invalid", Notice::Failed),
        BodyError::Broken => Rejection::last(StatusCode::BAD_REQUEST, "invalid", Notice::Failed),
    })?;
    Ok(parse(&body.bytes))
}

/// The fields of a form. Of a field that is there twice, the first counts; unknown ones are
/// ignored.
fn parse(body: &[u8]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in form_urlencoded::parse(body) {
        let field = match name.as_ref() {
            "number" => &mut fields.number,
            "agree" => &mut fields.agree,
            "token" => &mut fields.token,
            "language" => &mut fields.language,
            "version" => &mut fields.version,
            _ => continue,
        };
        if field.is_empty() {
            *field = value.into_owned();
        }
    }
    fields
}

/// Checks a form, and records its request.
async fn take(
    forms: &Arc<OptInForms>,
    name: &str,
    wording: &WordingTexts,
    headers: &HeaderMap,
    fields: &Fields,
) -> Result<OptInOutcome, Rejection> {
    let now = forms.parts.clock.now();
    let Some(text) = wording.texts.iter().find(|text| text.language == fields.language) else {
        return Err(Rejection::FORGED);
    };
    let evidence = match sender(forms, headers)? {
        Sender::OwnPage => {
            let cookie = forms.cookie(headers).ok_or(Rejection::FORGED)?;
            let binding = Binding { wording: name, language: &text.language, version: wording.version, cookie };
            let shown_at = forms.key.check(&fields.token, binding, now).map_err(|error| match error {
                TokenError::Forged => Rejection::FORGED,
                TokenError::Expired => Rejection::EXPIRED,
            })?;
            format!("form {}, shown at {}", form_id(&fields.token), shown_at.utc())
        }
        // The site shows the text itself, and says which version.
        Sender::OwnSite(origin) if fields.version == wording.version.to_string() => format!("form on {origin}"),
        Sender::OwnSite(_) => return Err(Rejection::EXPIRED),
    };
    if fields.agree != "yes" {
        return Err(Rejection::NOT_AGREED);
    }
    let number = WrittenNumber::parse(&fields.number).filter(|number| number.is_international);
    let number = number.filter(|number| country_of_number(&number.digits).is_some()).ok_or(Rejection::BAD_NUMBER)?;
    if !forms.rates.lock().admit_request(forms.parts.clock.monotonic()) {
        return Err(Rejection::LIMITED);
    }
    let planned = plan(&forms.rules, name, wording, text, evidence, now).map_err(|refusal| {
        tracing::error!(wording = name, code = %refusal.code, "opt-in form cannot ask");
        Rejection::FAILED
    })?;
    let request = OptInRequest { phone: number.digits, planned };
    // Ends in order even if the sender hangs up.
    let recording = Finishing::new({
        let forms = Arc::clone(forms);
        async move { record(&forms, request).await }
    });
    match tokio::time::timeout(STORED_WITHIN, recording).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => {
            if let Some(suppressed) = forms.failed.pass() {
                tracing::warn!(wording = name, code = error.code(), %error, suppressed, "opt-in form not stored");
            }
            Err(Rejection::FAILED)
        }
        Err(_) => Err(Rejection::FAILED),
    }
}

/// Where a form was sent from.
enum Sender {
    /// Our page.
    OwnPage,
    /// A page of the operator's other site.
    OwnSite(String),
}

/// Checks the origin. Browsers send it with every form.
fn sender(forms: &OptInForms, headers: &HeaderMap) -> Result<Sender, Rejection> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).ok_or(Rejection::CROSS_SITE)?;
    if forms.config.origins.iter().any(|known| known == origin) {
        return Ok(Sender::OwnSite(origin.to_owned()));
    }
    let site = text(HeaderName::from_static("sec-fetch-site")).unwrap_or("same-origin");
    if origin == forms.config.url && site == "same-origin" { Ok(Sender::OwnPage) } else { Err(Rejection::CROSS_SITE) }
}

/// The id of a form: enough of its token to find it again, too little to send it.
fn form_id(token: &str) -> &str {
    let mac = token.split_once('.').map_or(token, |(_, mac)| mac);
    mac.get(..16).unwrap_or(mac)
}

/// The entry and the question, for a person of whom nothing is known.
fn plan(
    rules: &ConsentRules,
    name: &str,
    wording: &WordingTexts,
    text: &WordingText,
    evidence: String,
    now: Timestamp,
) -> Result<PlannedConsent, Refusal> {
    let reported = ReportedConsent {
        purpose: wording.purpose.clone(),
        granted: true,
        source: ConsentSource::Web,
        wording: Some(name),
        in_chat: false,
        at: None,
        evidence: Some(evidence),
        actor: actor::HOST.into(),
        confirmed: false,
    };
    let mut planned = rules.entry(&Contact::unknown(), reported, now)?;
    // The text that was shown, and no other of the wording's.
    planned.consent.wording = wording.wordings(name).into_iter().find(|wording| wording.language == text.language);
    if let Some(question) = &mut planned.question {
        (question.text, question.language) = (text.text.clone(), text.language.clone());
    }
    Ok(planned)
}

async fn record(forms: &OptInForms, request: OptInRequest) -> Result<OptInOutcome, StoreError> {
    let OptInParts { store, pipeline, clock } = &forms.parts;
    let _work = clock.work();
    let interest = pipeline.watch_subscriptions().borrow().interest().clone();
    let outcome = store.opt_in(&forms.config.channel, request, interest).await?;
    if outcome == OptInOutcome::Asked {
        pipeline.outbox().rescan();
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_once_and_others_ignored() {
        let fields =
            parse(b"number=%2B31+6+12345678&agree=yes&agree=no&x=1&token=1.2&language=nl&version=2&number=%2B1");
        let expected = Fields {
            number: "+31 6 12345678".into(),
            agree: "yes".into(),
            token: "1.2".into(),
            language: "nl".into(),
            version: "2".into(),
        };
        assert_eq!(fields, expected);
        assert_eq!(parse(b"\xff&&=&number"), Fields::default());
    }

    #[test]
    fn outcomes_of_the_store_are_counted_by_name() {
        for outcome in OptInOutcome::ALL {
            assert!(OUTCOMES.contains(&outcome.name()));
        }
        for rejection in
            [Rejection::LIMITED, Rejection::CROSS_SITE, Rejection::FORGED, Rejection::EXPIRED, Rejection::FAILED]
        {
            assert!(OUTCOMES.contains(&rejection.outcome));
        }
    }
}
