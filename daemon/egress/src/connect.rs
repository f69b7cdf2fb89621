//! The HTTP library: how it is set up, and what its errors mean.
//!
//! It resolves by [`CheckedResolver`], follows no redirects, repeats nothing, and ignores the
//! environment's proxies.

use crate::address::Networks;
use crate::error::{EgressError, Phase};
use crate::resolve::{CheckedResolver, Resolve, ResolveError};
use crate::settings::{EgressLimits, EgressSettings};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// Idle connections are closed before servers close them, as for channels.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections of a plugin to a host.
const IDLE_PER_HOST: usize = 2;

/// A client whose connections go to these networks only.
pub(crate) fn build(
    settings: &EgressSettings,
    resolver: Arc<dyn Resolve>,
    networks: Networks,
) -> Result<reqwest::Client, EgressError> {
    let EgressSettings { limits, extra_roots_pem, proxy } = settings;
    let failed = |error: reqwest::Error| EgressError::Client(causes(&error));
    let resolver = CheckedResolver { resolver, networks: proxy.is_none().then_some(networks) };
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
        roots.extend(read_roots(pem)?);
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

/// Checks a file of certificate authorities.
///
/// # Errors
/// [`EgressError::Client`] if it has none that can be read.
pub fn check_roots(pem: &[u8]) -> Result<(), EgressError> {
    read_roots(pem).map(drop)
}

fn read_roots(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, EgressError> {
    let failed = |error: reqwest::Error| EgressError::Client(causes(&error));
    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?;
    if certificates.is_empty() {
        return Err(EgressError::Client("a file of certificate authorities contains no certificate".to_owned()));
    }
    Ok(certificates)
}

/// The causes of an error.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

/// The error of the resolver among the causes.
pub(crate) fn refused_address(error: &reqwest::Error) -> Option<ResolveError> {
    chain(error).find_map(|error| error.downcast_ref::<ResolveError>().cloned())
}

/// Whether an error is of rustls, or contains one: an I/O error hides what it wraps from `source`.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner))
}

/// Classifies an error of the HTTP library.
pub(crate) fn failure(error: &reqwest::Error, origin: String, limits: &EgressLimits) -> EgressError {
    let reason = causes(error);
    if !error.is_connect() {
        return EgressError::NoResponse { origin, reason };
    }
    if error.is_timeout() {
        return EgressError::Timeout { origin, phase: Phase::Connect, limit: limits.connect, may_be_sent: false };
    }
    let is_tls = chain(error).any(is_tls);
    if is_tls { EgressError::Tls { origin, reason } } else { EgressError::Connect { origin, reason } }
}

/// The causes of an error, without the URL, which may contain a secret.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    texts.dedup();
    if texts.is_empty() { "the request failed".to_owned() } else { texts.join(": ") }
}
