//! Limits and settings of the client.

use beadle_model::Secret;
use reqwest::Url;
use std::time::Duration;

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
#[derive(Clone, Debug, Default, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySettings {
    /// `http://proxy.example.org:3128`. Its own address is not checked.
    pub url: Url,
    /// User and password.
    pub basic_auth: Option<(String, Secret)>,
}
