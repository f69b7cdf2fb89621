//! `[egress]`, `[[plugins.NAME.egress]]` and `[plugins.NAME.secrets]`: what plugins may request,
//! and by which secrets.
//!
//! Every entry is checked here as it will be used, so that a configuration that was accepted can be
//! applied.

use super::diagnostic::{Diagnostic, Span};
use super::read::{Section, Text, number};
use super::tree::{Entry, Value};
use beadle_egress::{
    BindingSpec, ClientAuth, EgressLimits, EgressSettings, Grant, MAX_RULES, Placement, PolicySpec, ProxySettings,
    RateLimit, RuleError, RuleSpec, SecretSpec, SignatureEncoding, TokenSettings, check_roots, check_token,
};
use beadle_whatsapp::Secret;
use std::collections::BTreeMap;
use std::time::Duration;

/// More are a mistake: each is looked for in every response.
const MAX_SECRETS: usize = 32;

const SECOND_MS: i64 = 1000;

/// What stands for a secret that could not be read here, so that the rest is checked.
const UNCHECKED: &str = "not-checked-here";

/// Reads `[egress]`.
pub fn egress(mut section: Section<'_>) -> EgressSettings {
    let default = EgressLimits::default();
    let mut time = |key: &'static str, default: Duration, max_ms: i64| {
        let ms = section.duration_ms(key, 100..=max_ms).and_then(|ms| u64::try_from(ms).ok());
        ms.map_or(default, Duration::from_millis)
    };
    let connect = time("connect_timeout", default.connect, 60 * SECOND_MS);
    let first_byte = time("response_timeout", default.first_byte, 600 * SECOND_MS);
    let whole = time("timeout", default.whole, 600 * SECOND_MS);
    let mut size = |key: &'static str, default: usize, max: u32| {
        let kib = number(&mut section, key, u32::try_from(default / 1024).unwrap_or(max), 1..=max);
        kib as usize * 1024
    };
    let limits = EgressLimits {
        connect,
        first_byte,
        whole,
        // Requests that wait are limited in number, for these sizes.
        request_bytes: size("request_kib", default.request_bytes, 1024),
        response_bytes: size("response_kib", default.response_bytes, 1024),
        header_bytes: default.header_bytes,
        redirects: number(&mut section, "max_redirects", 5, 0..=20) as usize,
        per_plugin: number(&mut section, "per_plugin", 4, 1..=32) as usize,
        per_host: number(&mut section, "per_host", 8, 1..=64) as usize,
    };
    let extra_roots_pem = authorities(&mut section);
    let proxy = proxy(&mut section);
    section.end();
    EgressSettings { limits, extra_roots_pem, proxy }
}

fn authorities(section: &mut Section<'_>) -> Vec<Vec<u8>> {
    let mut roots = Vec::new();
    for (file, span) in section.strings("ca_files").unwrap_or_default() {
        let path = section.context.base.join(&file);
        section.context.note_input(&path);
        let read = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
        match read.and_then(|pem| check_roots(&pem).map(|()| pem).map_err(|error| error.to_string())) {
            Ok(pem) => roots.push(pem),
            Err(reason) => section.invalid(&span, "`ca_files` must name files of certificates in PEM", reason),
        }
    }
    roots
}

fn proxy(section: &mut Section<'_>) -> Option<ProxySettings> {
    let url = section.string("proxy");
    let (user, password) = (section.string("proxy_user"), section.optional_secret("proxy_password"));
    let Some((text, span)) = url else {
        if let Some((_, span)) = user {
            let diagnostic = Diagnostic::new("config-unused", span, "`proxy_user` has no effect without `proxy`");
            section.context.report(diagnostic.label("remove it, or add `proxy`"));
        }
        return None;
    };
    let parsed = reqwest::Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.path() == "/"
    });
    let Some(url) = parsed else {
        let label = "such as \"http://proxy.example.org:3128\"";
        section.invalid(&span, "`proxy` must be an http or https URL without a user and path", label);
        return None;
    };
    let basic_auth = match (user, password) {
        (Some((user, _)), Some(password)) => Some((user, password)),
        (Some((_, span)), None) => {
            section.invalid(&span, "`proxy_user` needs `proxy_password`", "add `proxy_password = { file = \"…\" }`");
            None
        }
        (None, _) => None,
    };
    Some(ProxySettings { url, basic_auth })
}

/// Reads what a plugin may request, and its secrets.
pub fn policy(section: &mut Section<'_>, plugin: &str) -> PolicySpec {
    let secrets = secrets(section, plugin);
    let mut rules = Vec::new();
    for mut table in section.tables("egress") {
        let rule = rule(&mut table, &secrets);
        if rules.len() == MAX_RULES
            && let Some(span) = table.span.clone()
        {
            section.invalid(&span, format!("a plugin can have at most {MAX_RULES} egress rules"), "remove some");
        }
        table.end();
        rules.extend(rule);
    }
    rules.truncate(MAX_RULES);
    PolicySpec { rules, secrets }
}

fn rule(table: &mut Section<'_>, secrets: &BTreeMap<String, SecretSpec>) -> Option<RuleSpec> {
    let url = table.required("url", "https://api.example.org");
    let methods = table.strings("methods").unwrap_or_default();
    let networks = table.strings("networks").unwrap_or_default();
    let bindings = bindings(table, secrets);
    let rate = rate(table);
    let honours_idempotency_key = table.boolean("honours_idempotency_key", false);
    let (url, url_span) = url?;
    let texts = |list: &[Text]| list.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>();
    let mut spec = RuleSpec {
        url,
        methods: texts(&methods),
        networks: texts(&networks),
        bindings: Vec::new(),
        rate,
        honours_idempotency_key,
    };
    let place = |error: &RuleError| {
        let of = |list: &[Text], text: &str| list.iter().find(|(other, _)| other == text).map(|(_, span)| span.clone());
        match error {
            RuleError::Method(method) => of(&methods, method),
            RuleError::Network(network) => of(&networks, network),
            _ => None,
        }
        .unwrap_or_else(|| url_span.clone())
    };
    let mut rule = match spec.rule() {
        Ok(rule) => rule,
        Err(error) => {
            table.invalid(&place(&error), error.to_string(), "cannot be allowed");
            return None;
        }
    };
    for (binding, span) in bindings {
        let Some(secret) = secrets.get(&binding.secret) else { continue };
        match binding.check(rule.clone(), &checkable(secret)) {
            Ok(with_secret) => rule = with_secret,
            Err(error) => table.invalid(&span, error.to_string(), "cannot be bound here"),
        }
        spec.bindings.push(binding);
    }
    Some(spec)
}

/// How many requests the host takes: `{ requests = 100, per = "10s" }`.
fn rate(table: &mut Section<'_>) -> Option<RateLimit> {
    if !table.has("rate") {
        note_keys(table.section("rate"), &["requests", "per"]);
        return None;
    }
    let mut section = table.section("rate");
    let requests = number(&mut section, "requests", 100, 1..=1_000_000);
    let window_ms = section.duration_ms("per", 100..=24 * 60 * 60 * SECOND_MS).unwrap_or(SECOND_MS);
    section.end();
    Some(RateLimit { requests, window_ms: u32::try_from(window_ms).unwrap_or(u32::MAX) })
}

/// The secret, or one that can be checked if it was not read here.
fn checkable(secret: &SecretSpec) -> SecretSpec {
    match secret {
        SecretSpec::Fixed(value) if value.is_empty() => SecretSpec::Fixed(Secret::new(UNCHECKED)),
        other => other.clone(),
    }
}

/// The secrets that an entry puts into requests, with their places.
fn bindings(table: &mut Section<'_>, secrets: &BTreeMap<String, SecretSpec>) -> Vec<(BindingSpec, Span)> {
    let mut found = Vec::new();
    let mut bind = |section: &mut Section<'_>, placement: Option<Placement>| {
        let names: Vec<&str> = secrets.keys().map(String::as_str).collect();
        let Some((secret, span)) = section.required("secret", names.first().unwrap_or(&"NAME")) else { return };
        if !secrets.contains_key(&secret) {
            section.unknown_name(span, "secret", &secret, &names);
        } else if let Some(placement) = placement {
            found.push((BindingSpec { secret, placement }, span));
        }
    };
    if table.has("header") {
        let mut section = table.section("header");
        let name = section.required("name", "Authorization");
        let value = section.string("value").map_or_else(|| "{secret}".to_owned(), |(value, _)| value);
        bind(&mut section, name.map(|(name, _)| Placement::Header { name, value }));
        section.end();
    } else {
        note_keys(table.section("header"), &["name", "value", "secret"]);
    }
    if table.has("query") {
        let mut section = table.section("query");
        let name = section.required("name", "api_key");
        bind(&mut section, name.map(|(name, _)| Placement::Query { name }));
        section.end();
    } else {
        note_keys(table.section("query"), &["name", "secret"]);
    }
    if table.has("basic_auth") {
        let mut section = table.section("basic_auth");
        let user = section.required("user", "beadle");
        bind(&mut section, user.map(|(user, _)| Placement::BasicAuth { user }));
        section.end();
    } else {
        note_keys(table.section("basic_auth"), &["user", "secret"]);
    }
    if table.has("hmac") {
        let mut section = table.section("hmac");
        let header = section.required("header", "X-Signature");
        let prefix = section.string("prefix").map(|(prefix, _)| prefix).unwrap_or_default();
        let encodings = [("hex", SignatureEncoding::Hex), ("base64", SignatureEncoding::Base64)];
        let encoding = section.choice("encoding", &encodings).unwrap_or(SignatureEncoding::Hex);
        bind(&mut section, header.map(|(header, _)| Placement::HmacSha256 { header, prefix, encoding }));
        section.end();
    } else {
        note_keys(table.section("hmac"), &["header", "prefix", "encoding", "secret"]);
    }
    found
}

/// Makes keys of a missing table known.
fn note_keys(mut section: Section<'_>, keys: &[&'static str]) {
    for key in keys {
        section.get(key);
    }
}

fn secrets(section: &mut Section<'_>, plugin: &str) -> BTreeMap<String, SecretSpec> {
    let mut secrets = BTreeMap::new();
    for (name, entry, table) in section.mixed("secrets") {
        if secrets.len() == MAX_SECRETS {
            section.invalid(&entry.key, format!("a plugin can have at most {MAX_SECRETS} secrets"), "remove some");
            break;
        }
        let secret = match table {
            Some(mut table) if !is_reference(entry) => {
                let token = token(&mut table, plugin, &name);
                table.end();
                token.map(|token| SecretSpec::Token(Box::new(token)))
            }
            _ => section
                .secret_at(&name, &entry.node)
                .filter(|secret| is_usable(section, secret, entry))
                .map(SecretSpec::Fixed),
        };
        secrets.extend(secret.map(|secret| (name, secret)));
    }
    secrets
}

/// `{ file = "…" }` and the like, in contrast to the table of an access token.
fn is_reference(entry: &Entry) -> bool {
    let Value::Table(table) = &entry.node.value else { return true };
    !table.0.contains_key("token_url") && table.0.len() <= 1
}

fn is_usable(section: &Section<'_>, secret: &Secret, entry: &Entry) -> bool {
    // One that was not read, as outside of systemd.
    if secret.is_empty() {
        return true;
    }
    let reason = beadle_egress::unusable_secret(secret);
    if let Some(reason) = reason {
        let diagnostic = Diagnostic::new("config-secret", entry.node.span.clone(), format!("the secret {reason}"));
        section.context.report(diagnostic.label("cannot be used"));
    }
    reason.is_none()
}

fn token(table: &mut Section<'_>, plugin: &str, name: &str) -> Option<TokenSettings> {
    let url = table.required("token_url", "https://login.example.org/oauth/token");
    let networks = table.strings("networks").unwrap_or_default();
    let client_id = table.required("client_id", "beadle");
    let client_secret = table.optional_secret("client_secret");
    let refresh_token = table.optional_secret("refresh_token");
    let auths = [("basic", ClientAuth::Basic), ("body", ClientAuth::Body)];
    let client_auth = table.choice("client_auth", &auths).unwrap_or(ClientAuth::Basic);
    let scope = table.string("scope").map(|(scope, _)| scope);
    let (url, span) = url?;
    let networks: Vec<String> = networks.into_iter().map(|(network, _)| network).collect();
    let grant = refresh_token.map_or(Grant::ClientCredentials, Grant::RefreshToken);
    if matches!(grant, Grant::ClientCredentials) && client_secret.is_none() {
        let message = "an access token needs a `client_secret`, a `refresh_token`, or both";
        table.invalid(&span, message, "add one, such as `client_secret = { credential = \"…\" }`");
        return None;
    }
    let settings = TokenSettings {
        plugin: plugin.to_owned(),
        name: name.to_owned(),
        url,
        networks,
        grant,
        client_id: client_id?.0,
        client_secret,
        client_auth,
        scope,
    };
    if let Err(error) = check_token(&settings) {
        table.invalid(&span, error.to_string(), "cannot be used for `token_url`");
        return None;
    }
    Some(settings)
}
