//! Sends the requests of plugins.
//!
//! A request passes the policy, its address is checked when the connection is made, and each
//! redirect passes both again. Secrets are put in for the rule of the request only, never for
//! another that a redirect leads to. Sizes, times and the number of requests are limited. Nothing
//! is repeated, except once after a refused access token.
//!
//! Connections are kept per plugin and set of allowed networks: a connection to an address that one
//! rule allows is never used for a rule that does not.

use crate::address::Networks;
use crate::connect;
use crate::error::{Denied, EgressError, Phase};
use crate::oauth::{Boxed, TokenSettings, TokenTransport};
use crate::pace::Terms;
use crate::policy::{Policy, Rule, parse_url, quote};
use crate::redirect::{self, Hop};
use crate::request::{EgressRequest, EgressResponse, is_reserved, size_bytes};
use crate::resolve::{Resolve, ResolveError, resolve_checked};
use crate::scrub::Scrubber;
use crate::secrets::SecretValue;
use crate::settings::{EgressLimits, EgressSettings};
use crate::slots::Slots;
use beadle_model::Secret;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{StatusCode, Url};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Sends requests. Cheap to clone; clones share connections and limits.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    settings: EgressSettings,
    resolver: Arc<dyn Resolve>,
    clients: Mutex<HashMap<(String, Networks), reqwest::Client>>,
    plugin_slots: Slots,
    host_slots: Slots,
}

/// A response whose body is not read yet.
struct Received {
    response: reqwest::Response,
    slot: OwnedSemaphorePermit,
}

/// How far a request got, for the error when its time is over.
#[derive(Default)]
struct Progress {
    stage: AtomicU8,
    /// Access tokens that were sent. Another request may discard one before it is scrubbed.
    tokens: Mutex<Vec<Secret>>,
}

impl Progress {
    const WAITS_FOR_PLUGIN: u8 = 0;
    const PREPARES: u8 = 1;
    const WAITS_FOR_HOST: u8 = 2;
    const MAY_BE_SENT: u8 = 3;

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Acquire)
    }

    fn set(&self, stage: u8) {
        // What may have been sent stays so, whatever a redirect waits for.
        self.stage.fetch_max(stage, Ordering::AcqRel);
    }
}

impl Egress {
    /// Creates a client with these settings. Connections are made when they are needed.
    ///
    /// # Errors
    /// [`EgressError::Client`] if a certificate authority or the proxy cannot be used.
    pub fn new(settings: EgressSettings, resolver: Arc<dyn Resolve>) -> Result<Self, EgressError> {
        // A process has one TLS provider. If another one is installed already, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let egress = Self(Arc::new(Inner {
            plugin_slots: Slots::new(settings.limits.per_plugin),
            host_slots: Slots::new(settings.limits.per_host),
            clients: Mutex::default(),
            settings,
            resolver,
        }));
        egress.build(Networks::PUBLIC)?;
        Ok(egress)
    }

    /// Sends a request of the plugin to which the policy belongs, and returns the response without
    /// the plugin's secrets.
    ///
    /// # Errors
    /// [`EgressError`], whose text contains no secret either. A response with any status is not an
    /// error.
    pub async fn send(&self, policy: &Policy, request: EgressRequest) -> Result<EgressResponse, EgressError> {
        let limits = &self.0.settings.limits;
        let (progress, redirects) = (Progress::default(), limits.redirects);
        let busy_plugin = || EgressError::Busy(limits.per_plugin, "for this plugin");
        let sent = async {
            // Before it waits: what waits is limited in size.
            let first = self.prepare(policy, request)?;
            let _slot = self.0.plugin_slots.take(policy.plugin()).await.ok_or_else(busy_plugin)?;
            progress.set(Progress::PREPARES);
            self.exchange(policy, first, redirects, &progress).await
        };
        let result = match timeout(limits.whole, sent).await {
            Ok(result) => result,
            Err(_) => Err(match progress.stage() {
                Progress::WAITS_FOR_PLUGIN => busy_plugin(),
                Progress::WAITS_FOR_HOST => busy_host(limits),
                stage => EgressError::Timeout {
                    origin: "the server".into(),
                    phase: Phase::Whole,
                    limit: limits.whole,
                    may_be_sent: stage == Progress::MAY_BE_SENT,
                },
            }),
        };
        let scrubber = scrubber(policy, &progress);
        match result {
            Ok(response) => Ok(scrubbed(response, &scrubber)),
            Err(error) if progress.stage() == Progress::MAY_BE_SENT => {
                Err(error.map_text(|text| scrubber.scrub_text(text)))
            }
            // Its text is the plugin's own: a mask would confirm a guess without a request.
            Err(error) => Err(error),
        }
    }

    /// Checks a request of the plugin to which the policy belongs as [`Egress::send`] does before
    /// it connects.
    ///
    /// # Errors
    /// [`EgressError`] if it would be refused.
    pub fn check(&self, policy: &Policy, request: &EgressRequest) -> Result<Terms, EgressError> {
        let limits = &self.0.settings.limits;
        let url = parse_url(&request.url)?;
        check_size(&request.body, limits)?;
        let rule = policy.check(&request.method, &url)?;
        check_headers(&request.headers, rule, limits.header_bytes)?;
        Ok(rule.terms(&url))
    }

    /// Closes the connections of a plugin, for one that was removed or whose rules changed.
    pub fn forget(&self, plugin: &str) {
        self.0.clients.lock().retain(|(other, _), _| other != plugin);
    }

    /// Checks a request and its size, without the addresses of its host.
    fn prepare<'a>(&self, policy: &'a Policy, request: EgressRequest) -> Result<(Hop, &'a Rule), EgressError> {
        let limits = &self.0.settings.limits;
        let hop =
            Hop { method: request.method, url: parse_url(&request.url)?, headers: request.headers, body: request.body };
        check_size(&hop.body, limits)?;
        let rule = policy.check(&hop.method, &hop.url)?;
        check_headers(&hop.headers, rule, limits.header_bytes)?;
        Ok((hop, rule))
    }

    async fn exchange(
        &self,
        policy: &Policy,
        first: (Hop, &Rule),
        max_redirects: usize,
        progress: &Progress,
    ) -> Result<EgressResponse, EgressError> {
        let mut redirects = 0;
        let result = self.follow(policy, first, max_redirects, &mut redirects, progress).await;
        result.map_err(|error| if redirects > 0 { EgressError::Redirected(Box::new(error)) } else { error })
    }

    /// Sends a request and those to which it is redirected, and counts the redirects.
    async fn follow(
        &self,
        policy: &Policy,
        (mut hop, first_rule): (Hop, &Rule),
        max_redirects: usize,
        redirects: &mut usize,
        progress: &Progress,
    ) -> Result<EgressResponse, EgressError> {
        let mut with_secrets = true;
        loop {
            let rule = policy.check(&hop.method, &hop.url)?;
            // Also not after a way back: another server must not choose what is done with them.
            with_secrets &= std::ptr::eq(rule, first_rule);
            let received = self.send_hop(policy, rule, &hop, with_secrets, progress).await?;
            let status = received.response.status();
            let target = redirect::target(status, received.response.headers()).filter(|_| max_redirects > 0);
            let Some(target) = target else { return self.read(&hop.url, received).await };
            // Its slot is free for the next request.
            drop(received);
            *redirects += 1;
            if *redirects > max_redirects {
                return Err(EgressError::TooManyRedirects(max_redirects));
            }
            let next = redirect::follow(&hop, status, &target)?;
            let is_same_rule = policy.check(&next.method, &next.url).is_ok_and(|rule| std::ptr::eq(rule, first_rule));
            if !is_same_rule && scrubber(policy, progress).finds(&target) {
                let message = format!("{} redirects to another rule, with a secret in the URL", quote(&hop.url));
                return Err(Denied { code: "egress-secret-redirected", message, toml: None }.into());
            }
            hop = next;
        }
    }

    /// Sends one request; after a refused access token, once more with a new one.
    async fn send_hop(
        &self,
        policy: &Policy,
        rule: &Rule,
        hop: &Hop,
        with_secrets: bool,
        progress: &Progress,
    ) -> Result<Received, EgressError> {
        let transport: Arc<dyn TokenTransport> = Arc::new(self.clone());
        let mut is_second = false;
        loop {
            let (mut url, mut headers, mut token) = (hop.url.clone(), hop.headers.clone(), None);
            url.set_fragment(None);
            for binding in rule.secrets().iter().filter(|_| with_secrets) {
                let secret = match binding.value() {
                    SecretValue::Fixed(secret) => secret.clone(),
                    SecretValue::Token(source) => {
                        let secret = source.token(&transport).await?;
                        progress.tokens.lock().push(secret.clone());
                        token = Some((source, secret.clone()));
                        secret
                    }
                };
                binding.put(&secret, &mut url, &mut headers, &hop.body);
            }
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            headers
                .entry(USER_AGENT)
                .or_insert(HeaderValue::from_static(concat!("beadle/", env!("CARGO_PKG_VERSION"))));
            let received = self.send_once(policy, rule, hop, (url, headers), progress).await?;
            match token {
                Some((source, secret)) if received.response.status() == StatusCode::UNAUTHORIZED && !is_second => {
                    source.invalidate(&secret);
                    is_second = true;
                }
                _ => return Ok(received),
            }
        }
    }

    async fn send_once(
        &self,
        policy: &Policy,
        rule: &Rule,
        hop: &Hop,
        (url, headers): (Url, HeaderMap),
        progress: &Progress,
    ) -> Result<Received, EgressError> {
        let limits = &self.0.settings.limits;
        let (host, networks) = (url.host_str().unwrap_or_default().to_owned(), rule.networks());
        // The HTTP library resolves names only, so a literal address is checked here.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            policy.check_address(rule, networks, &host, address)?;
        } else if self.0.settings.proxy.is_some()
            && let Err(ResolveError::NotAllowed(address)) =
                timeout(limits.connect, resolve_checked(&*self.0.resolver, &host, networks)).await.unwrap_or(Ok(vec![]))
        {
            policy.check_address(rule, networks, &host, address)?;
        }
        progress.set(Progress::WAITS_FOR_HOST);
        let host_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let slot = self.0.host_slots.take(&host_port).await.ok_or_else(|| busy_host(limits))?;
        let client = self.client(policy.plugin(), networks)?;
        let origin = url.origin().ascii_serialization();
        let mut request = reqwest::Request::new(hop.method.clone(), url);
        *request.headers_mut() = headers;
        if !hop.body.is_empty() {
            *request.body_mut() = Some(hop.body.clone().into());
        }
        progress.set(Progress::MAY_BE_SENT);
        match timeout(limits.first_byte, client.execute(request)).await {
            Ok(Ok(response)) => Ok(Received { response, slot }),
            Ok(Err(error)) => Err(match connect::refused_address(&error) {
                Some(ResolveError::NotAllowed(address)) => match policy.check_address(rule, networks, &host, address) {
                    Err(denied) => denied.into(),
                    Ok(()) => EgressError::Dns { host, reason: "the answer changed".into() },
                },
                Some(ResolveError::Failed(reason)) => EgressError::Dns { host, reason },
                None => connect::failure(&error, origin, limits),
            }),
            Err(_) => Err(EgressError::Timeout {
                origin,
                phase: Phase::FirstByte,
                limit: limits.first_byte,
                may_be_sent: true,
            }),
        }
    }

    /// Reads a response within the limits.
    async fn read(&self, url: &Url, received: Received) -> Result<EgressResponse, EgressError> {
        let limits = &self.0.settings.limits;
        let Received { mut response, slot: _slot } = received;
        let origin = || url.origin().ascii_serialization();
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let too_large = |part, limit_bytes| EgressError::ResponseTooLarge { origin: origin(), part, limit_bytes };
        if size_bytes(&headers) > limits.header_bytes {
            return Err(too_large("headers", limits.header_bytes));
        }
        let encoding =
            headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if let Some(encoding) = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(EgressError::ResponseEncoded { origin: origin(), encoding });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| connect::failure(&error, origin(), limits))? {
            if body.len() + chunk.len() > limits.response_bytes {
                return Err(too_large("body", limits.response_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        let mut url = url.clone();
        url.set_fragment(None);
        Ok(EgressResponse { status, url: url.into(), headers, body })
    }

    fn client(&self, plugin: &str, networks: Networks) -> Result<reqwest::Client, EgressError> {
        let key = (plugin.to_owned(), networks);
        if let Some(client) = self.0.clients.lock().get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(networks)?;
        Ok(self.0.clients.lock().entry(key).or_insert(client).clone())
    }

    fn build(&self, networks: Networks) -> Result<reqwest::Client, EgressError> {
        connect::build(&self.0.settings, Arc::clone(&self.0.resolver), networks)
    }
}

impl TokenTransport for Egress {
    /// No slot of the plugin, since a request that has one waits for the token; no redirects.
    fn send(&self, settings: &TokenSettings, request: EgressRequest) -> Boxed<Result<EgressResponse, EgressError>> {
        let (egress, limit) = (self.clone(), self.0.settings.limits.first_byte);
        let rule = Rule::for_tokens(settings).map_err(|error| EgressError::Client(error.to_string()));
        let plugin = settings.plugin.clone();
        Box::pin(async move {
            let policy = Policy::new(plugin, vec![rule?]);
            let progress = Progress::default();
            let first = egress.prepare(&policy, request)?;
            let sent = timeout(limit, egress.exchange(&policy, first, 0, &progress)).await;
            sent.unwrap_or_else(|_| {
                let origin = "the authorization server".to_owned();
                Err(EgressError::Timeout { origin, phase: Phase::Whole, limit, may_be_sent: true })
            })
        })
    }
}

fn busy_host(limits: &EgressLimits) -> EgressError {
    EgressError::Busy(limits.per_host, "to this host")
}

fn check_size(body: &[u8], limits: &EgressLimits) -> Result<(), EgressError> {
    match body.len() > limits.request_bytes {
        true => Err(EgressError::RequestTooLarge { size_bytes: body.len(), limit_bytes: limits.request_bytes }),
        false => Ok(()),
    }
}

fn check_headers(headers: &HeaderMap, rule: &Rule, limit_bytes: usize) -> Result<(), EgressError> {
    for name in headers.keys() {
        let reason = if is_reserved(name) {
            "is set by the host"
        } else if rule.secrets().iter().any(|binding| binding.header().as_ref() == Some(name)) {
            "is set by the host, with a secret"
        } else {
            continue;
        };
        return Err(EgressError::Header { name: name.to_string(), reason });
    }
    let size_bytes = size_bytes(headers);
    if size_bytes > limit_bytes {
        return Err(EgressError::RequestTooLarge { size_bytes, limit_bytes });
    }
    Ok(())
}

/// Finds every secret of a plugin, also those of other rules.
fn scrubber(policy: &Policy, progress: &Progress) -> Scrubber {
    let mut secrets = progress.tokens.lock().clone();
    for value in policy.secrets() {
        match value {
            SecretValue::Fixed(secret) => secrets.push(secret.clone()),
            SecretValue::Token(source) => secrets.extend(source.secrets()),
        }
    }
    // A bound secret comes twice.
    secrets.sort_by(|one, other| one.expose().cmp(other.expose()));
    secrets.dedup();
    Scrubber::new(&secrets)
}

fn scrubbed(mut response: EgressResponse, scrubber: &Scrubber) -> EgressResponse {
    for value in response.headers.values_mut() {
        let clean = scrubber.scrub(value.as_bytes().to_vec());
        if clean != value.as_bytes() {
            *value = HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static("***"));
        }
    }
    response.url = scrubber.scrub_text(&response.url);
    response.body = scrubber.scrub(response.body);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::MAX_WAITING;
    use beadle_model::Coded as _;
    use std::time::Duration;

    #[tokio::test]
    async fn request_that_finds_no_slot_was_not_sent() {
        // The time is over as soon as the request waits.
        let limits = EgressLimits { whole: Duration::ZERO, per_plugin: 1, per_host: 1, ..Default::default() };
        let settings = EgressSettings { limits, ..Default::default() };
        let egress = Egress::new(settings, Arc::new(crate::resolve::SystemResolver)).unwrap();
        let policy = Policy::new("crm", vec![Rule::new("http://127.0.0.1:9", &[], &["loopback"]).unwrap()]);
        for (slots, name) in [(&egress.0.plugin_slots, "crm"), (&egress.0.host_slots, "127.0.0.1:9")] {
            let _slot = slots.take(name).await.unwrap();
            let error = egress.send(&policy, request(b"")).await.unwrap_err();
            assert_eq!(error.code(), "egress-busy");
            assert!(!error.may_be_sent() && error.retried(), "{error}");
        }
    }

    fn request(body: &[u8]) -> EgressRequest {
        EgressRequest {
            method: reqwest::Method::GET,
            url: "http://127.0.0.1:9/".into(),
            headers: HeaderMap::new(),
            body: body.to_vec(),
        }
    }

    #[tokio::test]
    async fn requests_that_wait_are_measured_and_limited() {
        let limits = EgressLimits { request_bytes: 3, per_plugin: 1, per_host: 1, ..Default::default() };
        let settings = EgressSettings { limits, ..Default::default() };
        let egress = Egress::new(settings, Arc::new(crate::resolve::SystemResolver)).unwrap();
        let policy = Policy::new("crm", vec![Rule::new("http://127.0.0.1:9", &[], &["loopback"]).unwrap()]);
        for (slots, name) in [(&egress.0.plugin_slots, "crm"), (&egress.0.host_slots, "127.0.0.1:9")] {
            let _slot = slots.take(name).await.unwrap();
            let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(slots.take(name))).collect();
            for one in &mut waiting {
                assert!(timeout(Duration::ZERO, one).await.is_err(), "it waits");
            }
            // At once, not when the time is over, which is a minute here.
            let error = egress.send(&policy, request(b"abc")).await.unwrap_err();
            assert_eq!(error.code(), "egress-busy");
            assert!(!error.may_be_sent() && error.retried(), "{error}");
            let error = egress.send(&policy, request(b"abcd")).await.unwrap_err();
            assert_eq!(error.code(), "egress-request-too-large");
            // Who gives up makes room.
            waiting.pop();
            assert!(timeout(Duration::ZERO, slots.take(name)).await.is_err(), "it waits");
        }
    }
}
