//! The allow-lists of all plugins, which a reload replaces, and the client that sends under them.
//!
//! An access token outlives a reload that does not change its settings. Requests in progress go on
//! under the policy with which they began. Requests are counted by plugin and outcome; of each
//! plugin, the last request that the operator could allow is kept, for `beadle status`.
//!
//! Requests run on the runtime that was current when this was created, not on the caller's: a
//! plugin pays neither for TLS nor for scrubbing with its CPU time.

use crate::client::Egress;
use crate::error::{Denied, EgressError};
use crate::oauth::{TokenSettings, TokenSource, TokenStatus, TokenStore};
use crate::pace::{Paces, Terms};
use crate::policy::Policy;
use crate::request::{EgressRequest, EgressResponse};
use crate::spec::PolicySpec;
use beadle_clock::Clock;
use beadle_model::effect::Traffic;
use beadle_model::{Coded as _, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Refusals that are logged only once each, as long as the configuration stays.
const LOGGED: usize = 1000;

/// The allow-lists of all plugins. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    egress: Egress,
    clock: Clock,
    store: Arc<dyn TokenStore>,
    runtime: Handle,
    current: RwLock<Current>,
    paces: Paces,
    counts: Mutex<BTreeMap<(String, &'static str), u64>>,
    refused: Mutex<Refused>,
}

#[derive(Default)]
struct Current {
    specs: BTreeMap<String, PolicySpec>,
    policies: BTreeMap<String, Arc<Policy>>,
    /// By plugin and name.
    tokens: BTreeMap<(String, String), Arc<TokenSource>>,
}

#[derive(Default)]
struct Refused {
    last: BTreeMap<String, RefusedRequest>,
    /// Plugin, code and host.
    logged: BTreeSet<(String, &'static str, String)>,
}

/// The last request of a plugin that the operator could allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRequest {
    /// Why it was refused.
    pub code: &'static str,
    /// What is not allowed, without the path of the URL, which may contain personal data.
    pub message: String,
    /// The lines of TOML that would allow it, without the path.
    pub toml: Option<String>,
    /// When it was refused, in civil time.
    pub at: Timestamp,
    /// Such requests of the plugin since its rules changed.
    pub count: u64,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Policies").field(&self.0.current.read().policies).finish()
    }
}

impl Policies {
    /// No plugin may request anything. Requests run on `runtime`.
    pub fn new(egress: Egress, clock: Clock, store: Arc<dyn TokenStore>, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            egress,
            paces: Paces::new(clock.clone()),
            clock,
            store,
            runtime,
            current: RwLock::default(),
            counts: Mutex::default(),
            refused: Mutex::default(),
        }))
    }

    /// Replaces the allow-lists. Those of plugins for which nothing changed stay, with their
    /// connections and tokens.
    pub fn configure(&self, specs: &BTreeMap<String, PolicySpec>) {
        let mut current = self.0.current.write();
        let names: BTreeSet<&String> = current.specs.keys().chain(specs.keys()).collect();
        let is_changed = |name: &&String| current.specs.get(*name) != specs.get(*name);
        let changed: Vec<String> = names.into_iter().filter(is_changed).cloned().collect();
        for name in changed {
            let empty = PolicySpec::default();
            let spec = specs.get(&name).unwrap_or(&empty);
            let mut tokens = BTreeMap::new();
            let (policy, errors) = {
                let mut token = |settings: &TokenSettings| {
                    let known = current.tokens.get(&(name.clone(), settings.name.clone()));
                    let known = known.filter(|source| source.settings() == settings).cloned();
                    let made = tokens.entry((name.clone(), settings.name.clone())).or_insert_with(|| {
                        known.unwrap_or_else(|| {
                            TokenSource::new(settings.clone(), self.0.clock.clone(), Arc::clone(&self.0.store))
                        })
                    });
                    Arc::clone(made)
                };
                spec.policy(&name, &mut token)
            };
            for error in errors {
                warn!(plugin = name, %error, "egress rule left out");
            }
            info!(plugin = name, rules = policy.rules().len(), "egress rules changed");
            current.tokens.retain(|(plugin, _), _| *plugin != name);
            current.tokens.append(&mut tokens);
            current.policies.insert(name.clone(), Arc::new(policy));
            let mut refused = self.0.refused.lock();
            refused.last.remove(&name);
            refused.logged.retain(|(plugin, ..)| *plugin != name);
            drop(refused);
            self.0.egress.forget(&name);
        }
        current.specs.clone_from(specs);
    }

    /// The allow-list of a plugin; without one, an empty one.
    pub fn of(&self, plugin: &str) -> Arc<Policy> {
        let policy = self.0.current.read().policies.get(plugin).cloned();
        policy.unwrap_or_else(|| Arc::new(Policy::new(plugin, Vec::new())))
    }

    /// What the rule that allows a request says about it. A refusal is noted as if it had been
    /// sent.
    ///
    /// # Errors
    /// Those of [`Egress::check`].
    pub fn terms(&self, plugin: &str, request: &EgressRequest) -> Result<Terms, EgressError> {
        self.0.egress.check(&self.of(plugin), request).inspect_err(|error| {
            self.count(plugin, error.code());
            self.note(plugin, request.host(), error);
        })
    }

    /// How fast requests may leave.
    pub fn paces(&self) -> &Paces {
        &self.0.paces
    }

    /// Sends a request of a plugin at once. Dropping the future ends the request.
    ///
    /// # Errors
    /// Those of [`Egress::send`]; [`EgressError::Rate`] if the host takes no more at the moment.
    pub async fn send(&self, plugin: &str, request: EgressRequest) -> Result<EgressResponse, EgressError> {
        let terms = self.terms(plugin, &request)?;
        if let Err(wait_ms) = self.0.paces.take(&terms, Traffic::Live) {
            let error = EgressError::Rate { host: terms.host, wait_ms };
            self.count(plugin, error.code());
            return Err(error);
        }
        self.send_paced(plugin, request).await
    }

    /// Sends a request for which [`Paces::take`] was asked. Dropping the future ends the request.
    ///
    /// # Errors
    /// Those of [`Egress::send`].
    pub async fn send_paced(&self, plugin: &str, request: EgressRequest) -> Result<EgressResponse, EgressError> {
        let (policy, egress) = (self.of(plugin), self.0.egress.clone());
        let host = request.host();
        let mut sending = JoinSet::new();
        sending.spawn_on(async move { egress.send(&policy, request).await }, &self.0.runtime);
        let sent = match sending.join_next().await {
            Some(Ok(sent)) => sent,
            // It may have been sent, and the text of a panic was not searched for secrets.
            Some(Err(_)) | None => {
                Err(EgressError::NoResponse { origin: host.clone(), reason: "the request ended".to_owned() })
            }
        };
        self.count(plugin, outcome(&sent));
        if let Err(error) = &sent {
            self.note(plugin, host, error);
        }
        sent
    }

    /// Counts a request of a plugin that ended outside, such as one that was given up.
    pub fn count(&self, plugin: &str, outcome: &'static str) {
        *self.0.counts.lock().entry((plugin.to_owned(), outcome)).or_default() += 1;
    }

    fn note(&self, plugin: &str, host: String, error: &EgressError) {
        let Some(denied) = denied(error).filter(|denied| denied.toml.is_some()) else { return };
        let (message, toml) = public(denied);
        let mut refused = self.0.refused.lock();
        let at = self.0.clock.now();
        let count = refused.last.get(plugin).map_or(0, |last| last.count) + 1;
        if refused.logged.len() < LOGGED && refused.logged.insert((plugin.to_owned(), denied.code, host)) {
            let allow = toml.as_deref().map(|toml| toml.replace('\n', "; "));
            warn!(plugin, code = denied.code, reason = message, allow, "request of a plugin refused");
        }
        refused.last.insert(plugin.to_owned(), RefusedRequest { code: denied.code, message, toml, at, count });
    }

    /// Requests by plugin and outcome: a class of status codes such as `2xx`, or an error code.
    pub fn counts(&self) -> Vec<(String, &'static str, u64)> {
        let counts = self.0.counts.lock();
        counts.iter().map(|((plugin, outcome), count)| (plugin.clone(), *outcome, *count)).collect()
    }

    /// The last refused request of each plugin whose rules have not changed since.
    pub fn refused(&self) -> BTreeMap<String, RefusedRequest> {
        self.0.refused.lock().last.clone()
    }

    /// The state of every access token, by plugin and name of the secret.
    pub fn tokens(&self) -> Vec<(String, String, TokenStatus)> {
        let tokens = self.0.current.read().tokens.clone();
        tokens.into_iter().map(|((plugin, name), source)| (plugin, name, source.status())).collect()
    }
}

fn outcome(sent: &Result<EgressResponse, EgressError>) -> &'static str {
    match sent {
        Ok(response) => match response.status.as_u16() {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        },
        Err(error) => error.code(),
    }
}

fn denied(error: &EgressError) -> Option<&Denied> {
    match error {
        EgressError::Denied(denied) => Some(denied),
        EgressError::Redirected(error) => denied(error),
        _ => None,
    }
}

/// Message and TOML without the path of the URL.
fn public(denied: &Denied) -> (String, Option<String>) {
    let message = |text: &str| text.to_owned();
    match denied.code {
        "egress-path-not-allowed" => (message("no egress rule for this host allows the path"), None),
        "egress-port-not-allowed" => (message("no egress rule for this host allows the port"), denied.toml.clone()),
        _ => (Denied { toml: None, ..denied.clone() }.to_string(), denied.toml.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{Boxed, ClientAuth, Grant};
    use crate::resolve::SystemResolver;
    use crate::secrets::Placement;
    use crate::settings::EgressSettings;
    use crate::spec::{BindingSpec, RuleSpec, SecretSpec};
    use beadle_model::Secret;

    struct Rotated;

    impl TokenStore for Rotated {
        fn store(&self, _: &TokenSettings, _: &Secret) -> Boxed<Result<(), String>> {
            Box::pin(async { Ok(()) })
        }

        fn load(&self, _: &TokenSettings) -> Option<Secret> {
            Some(Secret::new("rotated-refresh-token"))
        }
    }

    fn policies() -> Policies {
        let egress = Egress::new(EgressSettings::default(), Arc::new(SystemResolver)).unwrap();
        Policies::new(egress, Clock::real(), Arc::new(Rotated), Handle::current())
    }

    fn spec(url: &str, client_id: &str) -> BTreeMap<String, PolicySpec> {
        let token = TokenSettings {
            plugin: "crm".into(),
            name: "token".into(),
            url: "https://login.example.org".into(),
            networks: Vec::new(),
            grant: Grant::RefreshToken(Secret::new("configured-token")),
            client_id: client_id.into(),
            client_secret: None,
            client_auth: ClientAuth::Body,
            scope: None,
        };
        let placement = Placement::Header { name: "Authorization".into(), value: "Bearer {secret}".into() };
        let binding = BindingSpec { secret: "token".into(), placement };
        let rule = RuleSpec { url: url.into(), bindings: vec![binding], ..RuleSpec::default() };
        let unbound = SecretSpec::Fixed(Secret::new("of-a-hook-only"));
        let secrets = [("token".into(), SecretSpec::Token(Box::new(token))), ("hook".into(), unbound)].into();
        [("crm".into(), PolicySpec { rules: vec![rule], secrets })].into()
    }

    fn request(url: &str) -> EgressRequest {
        EgressRequest::new("GET", url, Vec::new(), Vec::new()).unwrap()
    }

    #[tokio::test]
    async fn only_changed_policies_are_replaced() {
        let policies = policies();
        let source = |policies: &Policies| policies.0.current.read().tokens.values().next().cloned().unwrap();
        policies.configure(&spec("https://api.example.org", "id"));
        let (policy, token) = (policies.of("crm"), source(&policies));
        assert!(token.secrets().contains(&Secret::new("rotated-refresh-token")));
        policies.configure(&spec("https://api.example.org", "id"));
        assert!(Arc::ptr_eq(&policy, &policies.of("crm")));
        // Another rule: the token stays. Another client: it does not.
        policies.configure(&spec("https://api.example.org/v2", "id"));
        assert!(!Arc::ptr_eq(&policy, &policies.of("crm")) && Arc::ptr_eq(&token, &source(&policies)));
        policies.configure(&spec("https://api.example.org/v2", "other"));
        assert!(!Arc::ptr_eq(&token, &source(&policies)));
        assert!(policies.of("crm").has_secret("token") && policies.of("crm").has_secret("hook"));
        policies.configure(&BTreeMap::new());
        assert!(policies.of("crm").rules().is_empty() && policies.tokens().is_empty());
        assert!(!policies.of("crm").has_secret("hook"));
    }

    #[tokio::test]
    async fn refusals_are_counted_and_kept_without_the_path() {
        let policies = policies();
        policies.configure(&spec("https://api.example.org/v2", "id"));
        for url in ["https://other.example.org/people/31612345678", "https://api.example.org/people/31612345678"] {
            policies.send("crm", request(url)).await.unwrap_err();
            let refused = policies.refused().remove("crm").unwrap();
            assert!(!format!("{refused:?}").contains("31612345678"), "{refused:?}");
        }
        let refused = policies.refused().remove("crm").unwrap();
        assert_eq!((refused.code, refused.count), ("egress-path-not-allowed", 2));
        policies.send("other", request("https://api.example.org/")).await.unwrap_err();
        let toml = policies.refused().remove("other").unwrap().toml.unwrap();
        assert_eq!(toml, "[[plugins.other.egress]]\nurl = \"https://api.example.org\"\nmethods = [\"GET\"]");
        let counts = policies.counts();
        assert!(counts.contains(&("crm".into(), "egress-host-not-allowed", 1)), "{counts:?}");
        // The operator did something: what was refused before is forgotten.
        policies.configure(&spec("https://api.example.org", "id"));
        assert!(!policies.refused().contains_key("crm"));
    }
}
