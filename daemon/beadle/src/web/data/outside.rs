//! What plugins request, their secrets, and their hooks: for `beadle plugins show`, problems in the
//! status, and metrics.

use super::query::read;
use crate::api::{EgressRow, HookRow, PluginRow, Problem, RequestCount, SecretRow};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use crate::web::hooks::HookView;
use beadle_egress::{RefusedRequest, SecretKind, TokenStatus};
use beadle_model::Coded as _;
use beadle_model::text::counted;
use beadle_model::time::DAY_MS;
use std::collections::BTreeMap;

/// Adds what concerns requests and hooks to the view of a plugin.
pub fn describe(admin: &Admin, row: &mut PluginRow) {
    let policy = admin.policies.of(&row.name);
    let rules = policy.rules().iter().map(|rule| EgressRow {
        url: rule.to_string(),
        methods: rule.methods().map(str::to_owned).collect(),
        networks: rule.networks().allowed_names().map(str::to_owned).collect(),
        secrets: rule.secrets().iter().map(|binding| binding.name().to_owned()).collect(),
    });
    row.egress = rules.collect();
    let counts = admin.policies.counts().into_iter().filter(|(plugin, ..)| *plugin == row.name);
    row.requests = counts.map(|(_, outcome, count)| RequestCount { outcome: outcome.into(), count }).collect();
    row.refused_request = admin.policies.refused().remove(&row.name).map(|refused| refusal(&refused));
    let mut tokens: BTreeMap<String, TokenStatus> = admin
        .policies
        .tokens()
        .into_iter()
        .filter(|(plugin, ..)| *plugin == row.name)
        .map(|(_, name, status)| (name, status))
        .collect();
    let secrets = policy.secret_kinds().map(|(name, kind)| {
        let status = tokens.remove(name);
        SecretRow {
            name: name.to_owned(),
            kind: match kind {
                SecretKind::Fixed => "fixed",
                SecretKind::AccessToken => "access-token",
            }
            .into(),
            expires_at: status.as_ref().and_then(|status| status.expires_at).map(|at| at.as_ms()),
            problem: status.as_ref().and_then(token_problem),
        }
    });
    row.secrets = secrets.collect();
    let hooks = admin.hooks.views().into_iter().filter(|hook| hook.plugin == row.name);
    row.hooks = hooks
        .map(|hook| HookRow {
            path: path(&hook),
            accepted: hook.accepted,
            refused: hook.refused,
            problem: hook.last_refusal.map(|refusal| Problem { code: refusal.code.into(), message: refusal.message }),
        })
        .collect();
}

fn path(hook: &HookView) -> String {
    format!("/hooks/{}/{}", hook.plugin, hook.name)
}

fn refusal(refused: &RefusedRequest) -> Problem {
    let allow = refused.toml.as_ref().map(|toml| format!("; to allow it, set\n{toml}")).unwrap_or_default();
    Problem { code: refused.code.into(), message: format!("{}{allow}", refused.message) }
}

fn token_problem(status: &TokenStatus) -> Option<Problem> {
    if let Some(error) = &status.error {
        return Some(Problem { code: error.code().into(), message: error.to_string() });
    }
    let reason = status.not_stored.as_ref()?;
    let message = format!("the rotated refresh token was not stored, and is lost when the daemon stops: {reason}");
    Some(Problem { code: "oauth-not-stored".into(), message })
}

/// What an operator should look at: requests that were refused and could be allowed, access tokens
/// that cannot be renewed, and hooks that refused a request. Each for a day, or until the
/// configuration changes.
pub fn problems(admin: &Admin) -> Vec<Problem> {
    let now = admin.clock.now();
    let refused = admin.policies.refused().into_iter().filter(|(_, refused)| now.since_ms(refused.at) < DAY_MS);
    let refused = refused.map(|(plugin, refused)| {
        let Problem { code, message } = refusal(&refused);
        let count = counted(refused.count, "request refused", "requests refused");
        Problem { code, message: format!("plugin `{plugin}`: {count}, the last because {message}") }
    });
    let tokens = admin.policies.tokens().into_iter().filter_map(|(plugin, name, status)| {
        let Problem { code, message } = token_problem(&status)?;
        Some(Problem { code, message: format!("plugin `{plugin}`, secret `{name}`: {message}") })
    });
    let hooks = admin.hooks.views().into_iter().filter_map(|hook| {
        let refusal = hook.last_refusal.clone()?;
        let count = counted(hook.refused, "request refused", "requests refused");
        let message = format!("{}: {count}, the last at {}: {}", path(&hook), refusal.at.utc(), refusal.message);
        Some(Problem { code: refusal.code.into(), message })
    });
    refused.chain(tokens).chain(hooks).collect()
}

/// Requests of all plugins by outcome.
pub fn request_counts(admin: &Admin) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, outcome, count) in admin.policies.counts() {
        *counts.entry(outcome.to_owned()).or_default() += count;
    }
    counts
}

/// Durable requests that wait or are being sent, by plugin.
pub async fn durable_requests(admin: &Admin) -> Result<BTreeMap<String, u64>, ApiError> {
    let counts = read(admin, |reader, names| {
        let open = reader.request_counts()?.into_iter().filter(|(_, counts)| counts.open > 0);
        Ok(open.map(|(plugin, counts)| (names.name(plugin), counts.open)).collect())
    });
    counts.await
}

/// Access tokens by state; empty if there are none.
pub fn token_counts(admin: &Admin) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, _, status) in admin.policies.tokens() {
        let state = match (&status.error, &status.not_stored, status.expires_at) {
            (Some(_), ..) => "failing",
            (None, Some(_), _) => "not-stored",
            (None, None, Some(_)) => "valid",
            (None, None, None) => "unused",
        };
        *counts.entry(state.to_owned()).or_default() += 1;
    }
    counts
}
