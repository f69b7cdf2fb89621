//! `[[plugins.NAME.hooks]]`: addresses that other programs call, and how their requests are signed.

use super::diagnostic::{Diagnostic, Span};
use super::read::{NAME_FORM, Section, is_name, number};
use beadle_egress::{PolicySpec, SecretSpec};
use beadle_model::time::HOUR_MS;
use beadle_whatsapp::Secret;
use std::collections::BTreeSet;

/// Hooks of a plugin.
const MAX_HOOKS: usize = 20;
/// Headers that a plugin gets.
const MAX_HEADERS: usize = 10;
const SECOND_MS: i64 = 1000;

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    /// The last part of its path.
    pub name: String,
    /// How requests are signed.
    pub scheme: HookScheme,
    /// The key of the signature, or the password.
    pub secret: Secret,
    /// Headers that the plugin gets, with lower-case names.
    pub headers: Vec<String>,
    /// The header that identifies a delivery, with a lower-case name. None: its content does.
    pub id_header: Option<String>,
    /// The largest body.
    pub max_bytes: usize,
    /// The maximum number of requests in a minute.
    pub max_per_minute: u32,
}

/// How the requests of a hook are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookScheme {
    /// HMAC-SHA256 of the body in hexadecimal, as GitHub and Meta do.
    HmacHex {
        /// Lower-case name of the header.
        header: String,
        /// Before the signature.
        prefix: String,
    },
    /// HMAC-SHA256 of the body in Base64, as Shopify does.
    HmacBase64 {
        /// Lower-case name of the header.
        header: String,
        /// Before the signature.
        prefix: String,
    },
    /// `t=TIME,v1=SIGNATURE`: HMAC-SHA256 of time, dot and body, as Stripe does.
    Timestamped {
        /// Lower-case name of the header.
        header: String,
        /// How old or new a signature may be, in milliseconds.
        tolerance_ms: i64,
    },
    /// HTTP basic authentication; the secret is the password.
    Basic {
        /// The user.
        user: String,
    },
}

/// Reads the hooks of a plugin. `policy` has its secrets.
pub fn hooks(section: &mut Section<'_>, policy: &PolicySpec) -> Vec<HookSettings> {
    let mut hooks: Vec<HookSettings> = Vec::new();
    let mut names = BTreeSet::new();
    for mut table in section.tables("hooks") {
        let hook = hook(&mut table, policy);
        let span = table.span.clone().unwrap_or_default();
        table.end();
        let Some(hook) = hook else { continue };
        if hooks.len() == MAX_HOOKS {
            section.invalid(&span, format!("a plugin can have at most {MAX_HOOKS} hooks"), "remove some");
        } else if !names.insert(hook.name.clone()) {
            let message = format!("the hook `{}` is defined twice", hook.name);
            section.context.report(Diagnostic::new("config-duplicate", span, message).label("again here"));
        } else {
            hooks.push(hook);
        }
    }
    hooks
}

fn hook(table: &mut Section<'_>, policy: &PolicySpec) -> Option<HookSettings> {
    let name = table.required("name", "orders");
    if let Some((name, span)) = name.as_ref().filter(|(name, _)| !is_name(name)) {
        table.invalid(span, format!("invalid name `{name}`"), NAME_FORM);
    }
    let scheme = scheme(table);
    let names: Vec<&str> = policy.secrets.keys().map(String::as_str).collect();
    let secret = table.required("secret", names.first().unwrap_or(&"NAME"));
    let secret = secret.and_then(|(secret, span)| match policy.secrets.get(&secret) {
        Some(SecretSpec::Fixed(value)) => Some(value.clone()),
        Some(SecretSpec::Token(_)) => {
            table.invalid(&span, format!("`{secret}` is an access token, which cannot verify"), "name another secret");
            None
        }
        None => {
            table.unknown_name(span, "secret", &secret, &names);
            None
        }
    });
    let mut headers = Vec::new();
    for (header, span) in table.strings("headers").unwrap_or_default() {
        let header = checked_header(table, "headers", header, &span);
        if headers.len() == MAX_HEADERS {
            table.invalid(&span, format!("`headers` must name at most {MAX_HEADERS}"), "remove some");
        } else {
            headers.extend(header);
        }
    }
    let id_header = table.string("id_header");
    let id_header = id_header.and_then(|(header, span)| checked_header(table, "id_header", header, &span));
    let max_bytes = number(table, "max_kib", 256, 1..=1024) as usize * 1024;
    let max_per_minute = number(table, "max_per_minute", 600, 1..=100_000);
    Some(HookSettings {
        name: name?.0,
        scheme: scheme?,
        secret: secret?,
        headers,
        id_header,
        max_bytes,
        max_per_minute,
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Hex,
    Base64,
    Timestamped,
    Basic,
}

fn scheme(table: &mut Section<'_>) -> Option<HookScheme> {
    let kinds = [
        ("hmac-hex", Kind::Hex),
        ("hmac-base64", Kind::Base64),
        ("timestamped", Kind::Timestamped),
        ("basic", Kind::Basic),
    ];
    if !table.has("scheme") {
        table.missing("scheme", "hmac-hex");
    }
    let kind = table.choice("scheme", &kinds);
    let header = table.string("header");
    let header_at = header.as_ref().map(|(_, span)| span.clone());
    let header = match header {
        Some((header, span)) => Some(checked_header(table, "header", header, &span)?),
        None => None,
    };
    let prefix_at = table.get("prefix").map(|entry| entry.key.clone());
    let prefix = table.string("prefix").map(|(prefix, _)| prefix);
    let tolerance_at = table.get("tolerance").map(|entry| entry.key.clone());
    let tolerance_ms = table.duration_ms("tolerance", SECOND_MS..=HOUR_MS).unwrap_or(300 * SECOND_MS);
    let user = table.string("user");
    let user_at = user.as_ref().map(|(_, span)| span.clone());
    let kind = kind?;
    let unused = match kind {
        Kind::Hex | Kind::Base64 => [("tolerance", tolerance_at), ("user", user_at), ("", None)],
        Kind::Timestamped => [("prefix", prefix_at), ("user", user_at), ("", None)],
        Kind::Basic => [("header", header_at), ("prefix", prefix_at), ("tolerance", tolerance_at)],
    };
    for (key, span) in unused {
        let Some(span) = span else { continue };
        let diagnostic = Diagnostic::new("config-unused", span, format!("`{key}` has no effect with this `scheme`"));
        table.context.report(diagnostic.label("remove it"));
    }
    let or = |header: Option<String>, default: &str| header.unwrap_or_else(|| default.to_owned());
    Some(match kind {
        Kind::Hex => HookScheme::HmacHex {
            // Without a header, the signature is GitHub's and Meta's.
            prefix: prefix.unwrap_or_else(|| if header.is_none() { "sha256=".to_owned() } else { String::new() }),
            header: or(header, "x-hub-signature-256"),
        },
        Kind::Base64 => {
            HookScheme::HmacBase64 { header: or(header, "x-shopify-hmac-sha256"), prefix: prefix.unwrap_or_default() }
        }
        Kind::Timestamped => HookScheme::Timestamped { header: or(header, "stripe-signature"), tolerance_ms },
        Kind::Basic => match user {
            Some((user, span)) if user.is_empty() || user.contains(':') => {
                table.invalid(&span, "`user` must not be empty and must not contain `:`", "see RFC 7617");
                return None;
            }
            Some((user, _)) => HookScheme::Basic { user },
            None => {
                table.missing("user", "beadle");
                return None;
            }
        },
    })
}

/// A header's name in lower case. That of a secret in the request cannot be passed on.
fn checked_header(table: &Section<'_>, key: &str, header: String, span: &Span) -> Option<String> {
    match reqwest::header::HeaderName::try_from(header.as_str()) {
        Ok(name) if key != "headers" || !matches!(name.as_str(), "authorization" | "cookie") => {
            Some(name.as_str().to_owned())
        }
        _ => {
            let message = format!("`{header}` cannot be the name of a header in `{key}`");
            table.invalid(span, message, "such as \"X-GitHub-Event\"");
            None
        }
    }
}
