//! Sends the requests of plugins.
//!
//! A request passes the policy, its address is checked when the connection is made, and each
//! redirect passes both again. Secrets are put in for the rule of the request only, never for
//! another that a redirect leads to. Sizes, times and the number of requests are limited. Nothing is
//! repeated, except once after a refused access token.
//!
//! Connections are kept per plugin and set of allowed networks: a connection to an address that one
//! rule allows is never used for a rule that does not.

use crate::address::Networks;
use crate::error::{Denied, EgressError, Phase};
use crate::oauth::{Boxed, TokenSettings, TokenTransport};
use crate::policy::{Policy, Rule, parse_url, quote};
use crate::redirect::{self, Hop};
use crate::request::{EgressRequest, EgressResponse, is_reserved, size_bytes};
use crate::resolve::{CheckedResolver, Resolve, ResolveError, resolve_checked};
use crate::scrub::Scrubber;
use crate::secrets::SecretValue;
use crate::slots::Slots;
use beadle_model::Secret;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{StatusCode, Url};
use std::collections::HashMap;
use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Idle connections are closed before servers close them, as for channels.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections of a plugin to a host.
const IDLE_PER_HOST: usize = 2;

/// Limits of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressLimits {
    /// Body of a request.
    pub request_bytes: usize,
    /// Body of a response.
    pub response_bytes: usize,
    /// Headers of a request, and of a response.
    pub header_bytes: usize,
    /// Name resolution, TCP and TLS.
    pub connect: Duration,
    /// Until a response begins, for each redirect.
    pub first_byte: Duration,
    /// Everything, also waiting for other requests of the plugin.
    pub whole: Duration,
    /// Redirects that are followed.
    pub redirects: usize,
    /// Requests of a plugin at a time.
    pub per_plugin: usize,
    /// Requests to a host at a time, of all plugins.
    pub per_host: usize,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            request_bytes: 1024 * 1024,
            response_bytes: 1024 * 1024,
            header_bytes: 64 * 1024,
            // One lost SYN (1 s) and its retransmission (3 s), as for channels.
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            whole: Duration::from_secs(60),
            redirects: 5,
            per_plugin: 4,
            // As many as browsers open to one host over HTTP/1.1, and two more.
            per_host: 8,
        }
    }
}

/// The operator's settings.
#[derive(Clone, Debug, Default)]
pub struct EgressSettings {
    /// Limits of every request.
    pub limits: EgressLimits,
    /// Certificate authorities in PEM, in addition to the system's.
    pub extra_roots_pem: Vec<Vec<u8>>,
    /// A proxy for all requests. The environment (`HTTPS_PROXY`) is ignored.
    pub proxy: Option<ProxySettings>,
}

/// An HTTP proxy.
///
/// It resolves names itself, so a name that changes its address in between reaches what the proxy
/// can reach: the proxy must refuse internal addresses. Beadle still refuses literal addresses, and
/// names that it can resolve and whose addresses are not allowed.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// `http://proxy.example.org:3128`. Its own address is not checked.
    pub url: Url,
    /// User and password.
    pub basic_auth: Option<(String, Secret)>,
}

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
    slot: Option<OwnedSemaphorePermit>,
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
        egress.build_client(Networks::PUBLIC)?;
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
        let sent = async {
            let _slot = self.0.plugin_slots.take(policy.plugin()).await;
            progress.set(Progress::PREPARES);
            self.exchange(policy, request, redirects, &progress).await
        };
        let result = match timeout(limits.whole, sent).await {
            Ok(result) => result,
            Err(_) => Err(match progress.stage.load(Ordering::Acquire) {
                Progress::WAITS_FOR_PLUGIN => EgressError::Busy(limits.per_plugin, "for this plugin"),
                Progress::WAITS_FOR_HOST => EgressError::Busy(limits.per_host, "to this host"),
                stage => EgressError::Timeout {
                    origin: "the server".into(),
                    phase: Phase::Whole,
                    limit: limits.whole,
                    may_be_sent: stage == Progress::MAY_BE_SENT,
                },
            }),
        };
        let scrubber = scrubber(policy, &progress);
        result
            .map(|response| scrubbed(response, &scrubber))
            .map_err(|error| error.map_text(|text| scrubber.scrub_text(text)))
    }

    /// Closes the connections of a plugin, for one that was removed or whose rules changed.
    pub fn forget(&self, plugin: &str) {
        self.0.clients.lock().retain(|(other, _), _| other != plugin);
    }

    async fn exchange(
        &self,
        policy: &Policy,
        request: EgressRequest,
        max_redirects: usize,
        progress: &Progress,
    ) -> Result<EgressResponse, EgressError> {
        let limits = &self.0.settings.limits;
        let mut hop =
            Hop { method: request.method, url: parse_url(&request.url)?, headers: request.headers, body: request.body };
        if hop.body.len() > limits.request_bytes {
            return Err(EgressError::RequestTooLarge { size_bytes: hop.body.len(), limit_bytes: limits.request_bytes });
        }
        let first_rule = policy.check(&hop.method, &hop.url)?;
        check_headers(&hop.headers, first_rule, limits.header_bytes)?;
        let (mut redirects, mut with_secrets) = (0, true);
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
            redirects += 1;
            if redirects > max_redirects {
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
        let slot = self.0.host_slots.take(&format!("{host}:{}", url.port_or_known_default().unwrap_or_default())).await;
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
            Ok(Err(error)) => Err(match refused_address(&error) {
                Some(ResolveError::NotAllowed(address)) => match policy.check_address(rule, networks, &host, address) {
                    Err(denied) => denied.into(),
                    Ok(()) => EgressError::Dns { host, reason: "the answer changed".into() },
                },
                Some(ResolveError::Failed(reason)) => EgressError::Dns { host, reason },
                None => failure(&error, origin, limits),
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
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error, origin(), limits))? {
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
        let client = self.build_client(networks)?;
        Ok(self.0.clients.lock().entry(key).or_insert(client).clone())
    }

    fn build_client(&self, networks: Networks) -> Result<reqwest::Client, EgressError> {
        let EgressSettings { limits, extra_roots_pem, proxy } = &self.0.settings;
        let failed = |error: reqwest::Error| EgressError::Client(causes(&error));
        let resolver =
            CheckedResolver { resolver: Arc::clone(&self.0.resolver), networks: proxy.is_none().then_some(networks) };
        let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(limits.connect)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http2_max_header_list_size(header_bytes)
            .dns_resolver(Arc::new(resolver));
        let mut roots = Vec::new();
        for pem in extra_roots_pem {
            roots.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?);
        }
        if !roots.is_empty() {
            builder = builder.tls_certs_merge(roots);
        }
        if let Some(settings) = proxy {
            let mut proxy = reqwest::Proxy::all(settings.url.clone()).map_err(failed)?;
            if let Some((user, password)) = &settings.basic_auth {
                proxy = proxy.basic_auth(user, password.expose());
            }
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(failed)
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
            let sent = timeout(limit, egress.exchange(&policy, request, 0, &progress)).await;
            sent.unwrap_or_else(|_| {
                let origin = "the authorization server".to_owned();
                Err(EgressError::Timeout { origin, phase: Phase::Whole, limit, may_be_sent: true })
            })
        })
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
    for binding in policy.secrets() {
        match binding.value() {
            SecretValue::Fixed(secret) => secrets.push(secret.clone()),
            SecretValue::Token(source) => secrets.extend(source.secrets()),
        }
    }
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

/// The causes of an error.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

/// The error of the resolver among the causes.
fn refused_address(error: &reqwest::Error) -> Option<ResolveError> {
    chain(error).find_map(|error| error.downcast_ref::<ResolveError>().cloned())
}

/// Classifies an error of the HTTP library.
fn failure(error: &reqwest::Error, origin: String, limits: &EgressLimits) -> EgressError {
    let reason = causes(error);
    if !error.is_connect() {
        return EgressError::NoResponse { origin, reason };
    }
    if error.is_timeout() {
        return EgressError::Timeout { origin, phase: Phase::Connect, limit: limits.connect, may_be_sent: false };
    }
    let is_tls = chain(error).any(|error| {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        error.is::<rustls::Error>() || inner.is_some_and(|error| error.is::<rustls::Error>())
    });
    if is_tls { EgressError::Tls { origin, reason } } else { EgressError::Connect { origin, reason } }
}

/// The causes of an error, without the URL, which may contain a secret.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    texts.dedup();
    if texts.is_empty() { "the request failed".to_owned() } else { texts.join(": ") }
}
