//! The requests of plugins to the outside: what is allowed, and how it is sent.
//!
//! [`Policy`] is the allow-list of a plugin; [`Network`] says where an address leads; [`Egress`]
//! resolves, checks, connects to what was checked, and follows redirects under the same rules.
//! [`SecretBinding`] puts secrets in, [`Scrubber`] removes them from what comes back,
//! [`TokenSource`] renews access tokens. [`Policies`] has the allow-lists of all plugins, made from
//! [`PolicySpec`]s, which a reload replaces. [`retry`] decides when a durable request is repeated,
//! [`Paces`] how fast. See ADR 0098.
//!
//! Invariant: a plugin names a URL and nothing else. It sees no socket, no address and no secret.
//! Without a proxy, no connection is made to an address that was not checked for the rule that
//! allows it; with one, the proxy resolves (see [`ProxySettings`]).
//!
//! This crate neither stores requests nor knows plugins' code or the configuration's files.

mod address;
mod client;
mod connect;
mod error;
mod limits;
mod oauth;
mod pace;
mod path;
mod policies;
mod policy;
mod redirect;
mod request;
mod resolve;
pub mod retry;
mod scrub;
mod secret_rules;
mod secrets;
mod settings;
mod slots;
mod spec;

pub use address::{Network, Networks};
pub use beadle_model::effect::Traffic;
pub use client::Egress;
pub use connect::check_roots;
pub use error::{CODES, Denied, EgressError, Phase, RuleError, TokenError};
pub use limits::RateLimit;
pub use oauth::{Boxed, ClientAuth, Grant, TokenSettings, TokenSource, TokenStatus, TokenStore, TokenTransport};
pub use pace::{Paces, Terms};
pub use policies::{Policies, RefusedRequest};
pub use policy::{MAX_RULES, MAX_URL_BYTES, Policy, Rule, parse_url};
pub use request::{EgressRequest, EgressResponse};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use scrub::Scrubber;
pub use secret_rules::{MAX_SECRET_BYTES, MIN_SECRET_BYTES, unusable as unusable_secret};
pub use secrets::{Placement, SecretBinding, SecretKind, SecretValue, SignatureEncoding};
pub use settings::{EgressLimits, EgressSettings, ProxySettings};
pub use spec::{BindingSpec, PolicySpec, RuleSpec, SecretSpec, check_token};
