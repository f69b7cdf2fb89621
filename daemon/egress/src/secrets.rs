//! Secrets that the host puts into requests: which one, and where.
//!
//! A binding belongs to a rule, hence to one scheme, host, port and path prefix. The host puts the
//! secret in just before a request leaves. A plugin cannot choose the place, cannot set a header of
//! the same name, and never reads the value; [`crate::scrub`] removes it from what comes back.

use crate::error::RuleError;
use crate::oauth::TokenSource;
use crate::request::is_reserved;
use crate::secret_rules::unusable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beadle_model::Secret;
use hmac::{Hmac, Mac};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use std::sync::Arc;

/// What stands for the secret in the `value` of a header.
const PLACEHOLDER: &str = "{secret}";

/// A secret in the requests of a rule.
#[derive(Clone, Debug)]
pub struct SecretBinding {
    name: String,
    placement: Placement,
    value: SecretValue,
}

/// Where the secret is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A header whose value contains `{secret}`, such as `Bearer {secret}`.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A parameter of the query. It replaces parameters of this name.
    Query {
        /// Its name.
        name: String,
    },
    /// Basic authentication (RFC 7617); the secret is the password.
    BasicAuth {
        /// The user.
        user: String,
    },
    /// A header with the HMAC-SHA256 (RFC 2104) of the body under the secret.
    HmacSha256 {
        /// Its name.
        header: String,
        /// Before the signature, such as `sha256=`.
        prefix: String,
        /// The form of the signature.
        encoding: SignatureEncoding,
    },
}

/// The form of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// Lower-case hexadecimal digits.
    Hex,
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
}

/// Where the value comes from.
#[derive(Clone, Debug)]
pub enum SecretValue {
    /// From the configuration.
    Fixed(Secret),
    /// An access token, which the host gets and renews.
    Token(Arc<TokenSource>),
}

/// A kind of secret, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// From the configuration.
    Fixed,
    /// An access token.
    AccessToken,
}

impl SecretBinding {
    /// Binds a secret to a place. `name` is what a plugin may ask for.
    ///
    /// # Errors
    /// [`RuleError::Secret`] if the secret or the place cannot be sent.
    pub fn new(name: impl Into<String>, placement: Placement, value: SecretValue) -> Result<Self, RuleError> {
        let binding = Self { name: name.into(), placement, value };
        match binding.refusal() {
            Some(reason) => Err(RuleError::Secret { name: binding.name, reason }),
            None => Ok(binding),
        }
    }

    fn refusal(&self) -> Option<&'static str> {
        if let SecretValue::Fixed(secret) = &self.value
            && let Some(reason) = unusable(secret)
        {
            return Some(reason);
        }
        let is_header = |name: &str| HeaderName::try_from(name).is_ok_and(|name| !is_reserved(&name));
        let is_text = |text: &str| HeaderValue::from_str(text).is_ok();
        match &self.placement {
            Placement::Header { name, .. } if !is_header(name) => Some("cannot be put into a header of this name"),
            Placement::Header { value, .. } if !is_text(value) || !value.contains(PLACEHOLDER) => {
                Some("needs a header value that contains `{secret}`")
            }
            Placement::Query { name } if name.is_empty() => Some("needs the name of a query parameter"),
            Placement::BasicAuth { user } if user.contains(':') || user.chars().any(char::is_control) => {
                Some("needs a user name without `:` (RFC 7617)")
            }
            Placement::HmacSha256 { header, .. } if !is_header(header) => {
                Some("cannot sign with a header of this name")
            }
            Placement::HmacSha256 { prefix, .. } if !is_text(prefix) => Some("needs a prefix that a header can have"),
            Placement::HmacSha256 { .. } if matches!(self.value, SecretValue::Token(_)) => {
                Some("is an access token, which cannot sign")
            }
            _ => None,
        }
    }

    /// The name by which a plugin may ask whether it exists.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is put.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Where its value comes from.
    pub fn value(&self) -> &SecretValue {
        &self.value
    }

    /// The header that it sets, which a plugin must not set.
    pub(crate) fn header(&self) -> Option<HeaderName> {
        match &self.placement {
            Placement::Header { name, .. } | Placement::HmacSha256 { header: name, .. } => {
                HeaderName::try_from(name.as_str()).ok()
            }
            Placement::BasicAuth { .. } => Some(AUTHORIZATION),
            Placement::Query { .. } => None,
        }
    }

    /// Puts the secret into a request.
    pub(crate) fn put(&self, secret: &Secret, url: &mut Url, headers: &mut HeaderMap, body: &[u8]) {
        let text = match &self.placement {
            Placement::Query { name } => return put_into_query(url, name, secret.expose()),
            Placement::Header { value, .. } => value.replace(PLACEHOLDER, secret.expose()),
            Placement::BasicAuth { user } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", secret.expose())))
            }
            Placement::HmacSha256 { prefix, encoding, .. } => {
                format!("{prefix}{}", signature(secret, body, *encoding))
            }
        };
        // Both were checked when the secret was bound.
        if let (Some(name), Ok(mut value)) = (self.header(), HeaderValue::try_from(text)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
}

fn put_into_query(url: &mut Url, name: &str, secret: &str) {
    // Other parameters keep their bytes: a server may have its own idea of their encoding.
    let is_other = |pair: &&str| {
        let parsed = Url::parse(&format!("http://h/?{pair}"));
        !parsed.is_ok_and(|parsed| parsed.query_pairs().any(|(key, _)| key == name))
    };
    let others: Vec<String> =
        url.query().unwrap_or_default().split('&').filter(is_other).map(ToOwned::to_owned).collect();
    let others = others.join("&");
    url.set_query((!others.is_empty()).then_some(&others));
    url.query_pairs_mut().append_pair(name, secret);
}

fn signature(secret: &Secret, body: &[u8], encoding: SignatureEncoding) -> String {
    // HMAC accepts keys of any length, so there is always one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return String::new() };
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    match encoding {
        SignatureEncoding::Hex => beadle_model::text::hex(bytes),
        SignatureEncoding::Base64 => STANDARD.encode(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Rule;

    fn bind(placement: Placement, secret: &str) -> Result<SecretBinding, RuleError> {
        SecretBinding::new("crm", placement, SecretValue::Fixed(Secret::new(secret)))
    }

    fn put(placement: Placement, secret: &str, url: &str, body: &[u8]) -> (String, HeaderMap) {
        let (mut url, mut headers) = (Url::parse(url).unwrap(), HeaderMap::new());
        bind(placement, secret).unwrap().put(&Secret::new(secret), &mut url, &mut headers, body);
        (url.into(), headers)
    }

    #[test]
    fn every_place_gets_the_secret() {
        let bearer = Placement::Header { name: "X-Api-Key".into(), value: "Bearer {secret}".into() };
        let (_, headers) = put(bearer, "s3cret-s3cret", "https://h/", b"");
        assert_eq!(headers["x-api-key"], "Bearer s3cret-s3cret");
        assert!(headers["x-api-key"].is_sensitive());

        // RFC 7617, section 2.
        let (_, headers) = put(Placement::BasicAuth { user: "Aladdin".into() }, "open sesame", "https://h/", b"");
        assert_eq!(headers["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");

        let query = Placement::Query { name: "key".into() };
        let (url, _) = put(query, "a&b=c d+é", "https://h/p?a=%7E&k%65y=x&key=y&&b", b"");
        assert_eq!(url, "https://h/p?a=%7E&&b&key=a%26b%3Dc+d%2B%C3%A9");
        let query = Placement::Query { name: "key".into() };
        assert_eq!(put(query, "12345678", "https://h/", b"").0, "https://h/?key=12345678");
    }

    /// RFC 4231 has no key that is printable and long enough; these were made with OpenSSL.
    #[test]
    fn body_is_signed() {
        let place = |encoding| Placement::HmacSha256 { header: "X-Signature".into(), prefix: "v=".into(), encoding };
        let body = b"what do ya want for nothing?";
        let (_, headers) = put(place(SignatureEncoding::Hex), "JefeJefe", "https://h/", body);
        assert_eq!(headers["x-signature"], "v=315bced3a44cef7cdf2a7f137b8ebfae2cf2a7466fb34497d9257dd0321fd8de");
        let (_, headers) = put(place(SignatureEncoding::Base64), "JefeJefe", "https://h/", body);
        assert_eq!(headers["x-signature"], "v=MVvO06RM73zfKn8Te46/rizyp0Zvs0SX2SV90DIf2N4=");
    }

    #[test]
    fn unusable_bindings_are_refused() {
        let header = |name: &str, value: &str| Placement::Header { name: name.into(), value: value.into() };
        for (placement, secret, reason) in [
            (header("X-Key", "{secret}"), "short", "8 bytes"),
            (header("X-Key", "{secret}"), "new\nlineline", "control"),
            (header("X-Key", "secret"), "long-enough", "contains `{secret}`"),
            (header("X-Key", "{secret}\n"), "long-enough", "contains `{secret}`"),
            (header("X Key", "{secret}"), "long-enough", "header of this name"),
            (header("Host", "{secret}"), "long-enough", "header of this name"),
            (Placement::Query { name: String::new() }, "long-enough", "query parameter"),
            (Placement::BasicAuth { user: "a:b".into() }, "long-enough", "RFC 7617"),
        ] {
            let message = bind(placement, secret).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
            assert!(!message.contains(secret), "{message}");
        }
    }

    #[test]
    fn secret_needs_one_host_and_https_or_a_named_network() {
        let binding = || bind(Placement::BasicAuth { user: "u".into() }, "long-enough").unwrap();
        for (url, networks, works) in [
            ("https://api.example.org", &[][..], true),
            ("https://*.example.org", &[], false),
            ("http://api.example.org", &[], false),
            ("http://crm.internal", &["private"], true),
        ] {
            let rule = Rule::new(url, &[], networks).unwrap().with_secret(binding());
            assert_eq!(rule.is_ok(), works, "{url}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", bind(Placement::BasicAuth { user: "u".into() }, "long-enough").unwrap());
        assert!(!text.contains("long-enough"), "{text}");
    }
}
