//! From a name to addresses that may be connected to.
//!
//! The host resolves; every address of the answer is checked; the connection goes to one of the
//! addresses that were checked, without another look-up in between. So a name that changes its
//! address between check and connection (DNS rebinding) gains nothing. An answer with one address
//! that is not allowed is refused as a whole: which of its addresses is used would otherwise depend
//! on the network, and a name with a public and a private address is a mistake or an attack.

use crate::address::{Network, Networks};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

/// Addresses that are read from one answer. Large services have about 16.
const MAX_ADDRESSES: usize = 64;

/// The result of a look-up.
pub type Resolving = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Looks up names.
pub trait Resolve: Send + Sync {
    /// All addresses of a name. Literal addresses are not looked up.
    fn resolve(&self, host: String) -> Resolving;
}

/// The system's resolver, with its `/etc/hosts`, search domains and time limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.take(MAX_ADDRESSES).map(|address| address.ip()).collect())
        })
    }
}

/// Why a name cannot be connected to.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("{0}")]
    Failed(String),
    #[error("{0} is in a network that is not allowed")]
    NotAllowed(IpAddr),
}

/// The addresses of a name, if all of them are in the networks.
pub(crate) async fn resolve_checked(
    resolver: &dyn Resolve,
    host: &str,
    networks: Networks,
) -> Result<Vec<IpAddr>, ResolveError> {
    let addresses = resolver.resolve(host.to_owned()).await.map_err(|error| ResolveError::Failed(error.to_string()))?;
    if addresses.is_empty() {
        return Err(ResolveError::Failed("it has no address".into()));
    }
    match addresses.iter().find(|address| !networks.contains(Network::of(**address))) {
        Some(address) => Err(ResolveError::NotAllowed(*address)),
        None => Ok(addresses),
    }
}

/// What reqwest asks before it connects.
pub(crate) struct CheckedResolver {
    pub(crate) resolver: Arc<dyn Resolve>,
    /// `None` for the name of the operator's proxy, which may be anywhere.
    pub(crate) networks: Option<Networks>,
}

impl reqwest::dns::Resolve for CheckedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (resolver, networks) = (Arc::clone(&self.resolver), self.networks);
        Box::pin(async move {
            let addresses = match networks {
                Some(networks) => resolve_checked(&*resolver, name.as_str(), networks).await?,
                None => resolver.resolve(name.as_str().to_owned()).await?,
            };
            let addresses: reqwest::dns::Addrs =
                Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
