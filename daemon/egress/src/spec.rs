//! What the operator allows a plugin, as values that can be compared: a reload replaces the
//! policies of those plugins for which they changed.

use crate::error::RuleError;
use crate::limits::RateLimit;
use crate::oauth::{Boxed, Grant, TokenSettings, TokenSource, TokenStore};
use crate::policy::{Policy, Rule};
use crate::secret_rules::unusable;
use crate::secrets::{Placement, SecretBinding, SecretValue};
use beadle_clock::Clock;
use beadle_model::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The allow-list of a plugin: `[[plugins.NAME.egress]]` and `[plugins.NAME.secrets]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySpec {
    /// The entries, in their order.
    pub rules: Vec<RuleSpec>,
    /// Its secrets by name, also those that no entry uses.
    pub secrets: BTreeMap<String, SecretSpec>,
}

/// An entry of an allow-list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// Scheme, host, and optionally port and path prefix.
    pub url: String,
    /// Without any, GET and HEAD.
    pub methods: Vec<String>,
    /// Networks that are allowed in addition to the internet.
    pub networks: Vec<String>,
    /// Secrets in its requests.
    pub bindings: Vec<BindingSpec>,
    /// How many requests the host takes.
    pub rate: Option<RateLimit>,
    /// Whether the server executes requests with the same `Idempotency-Key` once, so that POST and
    /// PATCH can be repeated.
    pub honours_idempotency_key: bool,
}

/// A secret in the requests of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingSpec {
    /// Its name.
    pub secret: String,
    /// Where it is put.
    pub placement: Placement,
}

/// A secret of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSpec {
    /// A value.
    Fixed(Secret),
    /// An access token, which the host gets and renews.
    Token(Box<TokenSettings>),
}

/// Checks what the configuration of an access token can get wrong.
///
/// # Errors
/// [`RuleError`] if the endpoint or one of the secrets cannot be used. An empty secret, which was
/// not read, is not checked.
pub fn check_token(settings: &TokenSettings) -> Result<(), RuleError> {
    Rule::for_tokens(settings)?;
    let refresh = match &settings.grant {
        Grant::RefreshToken(token) => Some(token),
        Grant::ClientCredentials => None,
    };
    let secrets = settings.client_secret.iter().chain(refresh).filter(|secret| !secret.is_empty());
    match secrets.filter_map(unusable).next() {
        Some(reason) => Err(RuleError::Secret { name: settings.name.clone(), reason }),
        None => Ok(()),
    }
}

impl RuleSpec {
    /// The entry without its secrets.
    ///
    /// # Errors
    /// [`RuleError`] if it cannot be used.
    pub fn rule(&self) -> Result<Rule, RuleError> {
        fn texts(list: &[String]) -> Vec<&str> {
            list.iter().map(String::as_str).collect()
        }
        let rule = Rule::new(&self.url, &texts(&self.methods), &texts(&self.networks))?;
        Ok(rule.with_terms(self.rate, self.honours_idempotency_key))
    }
}

impl BindingSpec {
    /// Checks a binding against the entry and the secret.
    ///
    /// # Errors
    /// [`RuleError`] if the secret cannot be put there.
    pub fn check(&self, rule: Rule, secret: &SecretSpec) -> Result<Rule, RuleError> {
        rule.with_secret(self.binding(secret.value(|settings| {
            // Gets no token: it is dropped at once.
            TokenSource::new(settings.clone(), Clock::real(), Arc::new(NoStore))
        }))?)
    }

    pub(crate) fn binding(&self, value: SecretValue) -> Result<SecretBinding, RuleError> {
        SecretBinding::new(self.secret.clone(), self.placement.clone(), value)
    }
}

impl SecretSpec {
    pub(crate) fn value(&self, token: impl FnOnce(&TokenSettings) -> Arc<TokenSource>) -> SecretValue {
        match self {
            SecretSpec::Fixed(secret) => SecretValue::Fixed(secret.clone()),
            SecretSpec::Token(settings) => SecretValue::Token(token(settings)),
        }
    }
}

impl PolicySpec {
    /// The allow-list, with tokens from `token`. Entries that cannot be used are left out, with
    /// their errors: the reader of the configuration refuses them.
    pub(crate) fn policy(
        &self,
        plugin: &str,
        token: &mut dyn FnMut(&TokenSettings) -> Arc<TokenSource>,
    ) -> (Policy, Vec<RuleError>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for spec in &self.rules {
            let rule = spec.rule().and_then(|rule| {
                spec.bindings.iter().try_fold(rule, |rule, binding| {
                    let missing = || RuleError::Secret { name: binding.secret.clone(), reason: "does not exist" };
                    let secret = self.secrets.get(&binding.secret).ok_or_else(missing)?;
                    rule.with_secret(binding.binding(secret.value(&mut *token))?)
                })
            });
            match rule {
                Ok(rule) => rules.push(rule),
                Err(error) => errors.push(error),
            }
        }
        let secrets = self.secrets.iter().map(|(name, secret)| (name.clone(), secret.value(&mut *token))).collect();
        (Policy::new(plugin, rules).with_secrets(secrets), errors)
    }
}

/// Keeps nothing.
struct NoStore;

impl TokenStore for NoStore {
    fn store(&self, _: &TokenSettings, _: &Secret) -> Boxed<Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn load(&self, _: &TokenSettings) -> Option<Secret> {
        None
    }
}
