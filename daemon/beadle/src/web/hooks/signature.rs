//! Whether a request to a hook comes from who knows its secret.
//!
//! Pure: functions of header, body, secret and time. Comparisons take the same time whatever
//! differs.

use crate::config::HookScheme;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beadle_model::text::from_hex;
use beadle_model::{Blame, Coded, Timestamp};
use beadle_whatsapp::Secret;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;
/// Fields of a header with a time stamp that are read. Stripe sends a few while a secret is
/// changed.
const MAX_FIELDS: usize = 16;

/// Why a request is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("the header `{0}` is missing")]
    Missing(String),
    /// It does not have the form of the scheme.
    #[error("the header `{header}` {reason}")]
    Form {
        /// The header.
        header: String,
        /// Completes the sentence.
        reason: &'static str,
    },
    /// It does not match.
    #[error("the signature in `{0}` does not match: the secret differs, or the body was changed on the way")]
    Wrong(String),
    /// The password does not match.
    #[error("the user or password is wrong")]
    WrongPassword,
    /// It matches, and was made too long ago, or by a clock that is ahead.
    #[error("the signature was made {off_secs} s {direction}, and may be at most {tolerance_secs} s off")]
    Stale {
        /// The difference.
        off_secs: u64,
        /// `ago` or `in the future`.
        direction: &'static str,
        /// The limit.
        tolerance_secs: i64,
    },
}

impl Coded for SignatureError {
    fn code(&self) -> &'static str {
        match self {
            SignatureError::Missing(_) | SignatureError::Form { .. } => "hook-no-signature",
            SignatureError::Wrong(_) | SignatureError::WrongPassword => "hook-bad-signature",
            SignatureError::Stale { .. } => "hook-stale-signature",
        }
    }

    fn blame(&self) -> Blame {
        Blame::Operator
    }
}

/// The signature of a request, read but not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Of the body.
    Body([u8; SIGNATURE_BYTES]),
    /// Of time and body, in seconds since 1970; one of several.
    Timed(i64, Vec<[u8; SIGNATURE_BYTES]>),
    /// It was a password, which is right.
    Password,
}

/// The header in which a scheme has its signature.
pub fn header(scheme: &HookScheme) -> &str {
    match scheme {
        HookScheme::HmacHex { header, .. }
        | HookScheme::HmacBase64 { header, .. }
        | HookScheme::Timestamped { header, .. } => header,
        HookScheme::Basic { .. } => "authorization",
    }
}

/// Reads the signature, before the body is read.
///
/// # Errors
/// If there is none of the scheme's form, or if the password is wrong.
pub fn claim(scheme: &HookScheme, secret: &Secret, value: Option<&str>) -> Result<Claim, SignatureError> {
    let header = header(scheme);
    let value = value.ok_or_else(|| SignatureError::Missing(header.to_owned()))?.trim();
    let form = |reason| SignatureError::Form { header: header.to_owned(), reason };
    match scheme {
        HookScheme::HmacHex { prefix, .. } => {
            let digits = value.strip_prefix(prefix.as_str()).ok_or_else(|| form("does not begin with the prefix"))?;
            from_hex(digits).map(Claim::Body).ok_or_else(|| form("is not 64 hexadecimal digits"))
        }
        HookScheme::HmacBase64 { prefix, .. } => {
            let text = value.strip_prefix(prefix.as_str()).ok_or_else(|| form("does not begin with the prefix"))?;
            let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
            bytes.map(Claim::Body).ok_or_else(|| form("is not the Base64 of 32 bytes"))
        }
        HookScheme::Timestamped { .. } => {
            let fields = || value.split(',').take(MAX_FIELDS).filter_map(|field| field.trim().split_once('='));
            let seconds = fields().find(|(name, _)| *name == "t").and_then(|(_, time)| time.parse().ok());
            let signatures: Vec<_> =
                fields().filter(|(name, _)| *name == "v1").filter_map(|(_, hex)| from_hex(hex)).collect();
            match seconds {
                Some(seconds) if !signatures.is_empty() => Ok(Claim::Timed(seconds, signatures)),
                _ => Err(form("is not like `t=1700000000,v1=…`")),
            }
        }
        HookScheme::Basic { user } => {
            let encoded = value.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("basic"));
            let (_, encoded) = encoded.ok_or_else(|| form("is not basic authentication"))?;
            let given = STANDARD.decode(encoded.trim()).map_err(|_| form("is not Base64"))?;
            let wanted = format!("{user}:{}", secret.expose());
            // Hashes, so that the comparison says nothing about the text.
            match Sha256::digest(&given) == Sha256::digest(&wanted) {
                true => Ok(Claim::Password),
                false => Err(SignatureError::WrongPassword),
            }
        }
    }
}

/// Compares the signature.
///
/// # Errors
/// If it does not match, or is too old.
pub fn verify(
    scheme: &HookScheme,
    secret: &Secret,
    claim: &Claim,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let wrong = || SignatureError::Wrong(header(scheme).to_owned());
    match claim {
        Claim::Password => Ok(()),
        Claim::Body(signature) => {
            mac(secret, &[body]).and_then(|mac| mac.verify_slice(signature).ok()).ok_or_else(wrong)
        }
        Claim::Timed(seconds, signatures) => {
            let time = seconds.to_string();
            let parts = [time.as_bytes(), b".", body];
            // Hashed once, however many signatures there are.
            let mac = mac(secret, &parts).ok_or_else(wrong)?;
            let is_one = |signature: &[u8; SIGNATURE_BYTES]| mac.clone().verify_slice(signature).is_ok();
            if !signatures.iter().fold(false, |is_right, signature| is_one(signature) | is_right) {
                return Err(wrong());
            }
            let HookScheme::Timestamped { tolerance_ms, .. } = scheme else { return Ok(()) };
            let off_ms = now.as_ms().saturating_sub(seconds.saturating_mul(1000));
            if off_ms.saturating_abs() <= *tolerance_ms {
                return Ok(());
            }
            let direction = if off_ms > 0 { "ago" } else { "in the future" };
            let (off_secs, tolerance_secs) = (off_ms.unsigned_abs() / 1000, tolerance_ms / 1000);
            Err(SignatureError::Stale { off_secs, direction, tolerance_secs })
        }
    }
}

/// None cannot occur: HMAC accepts keys of any length.
fn mac(secret: &Secret, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scheme: &HookScheme, secret: &str, value: &str, body: &str, now_ms: i64) -> Result<(), SignatureError> {
        let secret = Secret::new(secret);
        let claim = claim(scheme, &secret, Some(value))?;
        verify(scheme, &secret, &claim, body.as_bytes(), Timestamp(now_ms))
    }

    fn code(result: Result<(), SignatureError>) -> &'static str {
        result.map_or_else(|error| error.code(), |()| "ok")
    }

    /// GitHub's own example, of the page "Validating webhook deliveries".
    #[test]
    fn hexadecimal_signature_of_the_body() {
        let scheme = HookScheme::HmacHex { header: "x-hub-signature-256".into(), prefix: "sha256=".into() };
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let check = |value: &str, body: &str| code(check(&scheme, "It's a Secret to Everybody", value, body, 0));
        assert_eq!(check(right, "Hello, World!"), "ok");
        assert_eq!(check(right, "Hello, World?"), "hook-bad-signature");
        assert_eq!(check(right.trim_start_matches("sha256="), "Hello, World!"), "hook-no-signature");
        assert_eq!(check("sha256=7571", "Hello, World!"), "hook-no-signature");
    }

    #[test]
    fn base64_signature_of_the_body() {
        let scheme = HookScheme::HmacBase64 { header: "x-shopify-hmac-sha256".into(), prefix: String::new() };
        // The same as GitHub's example.
        let right = "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=";
        let check = |value: &str, body: &str| code(check(&scheme, "It's a Secret to Everybody", value, body, 0));
        assert_eq!(check(right, "Hello, World!"), "ok");
        assert_eq!(check(right, "hello"), "hook-bad-signature");
        assert_eq!(check("dXEH", "Hello, World!"), "hook-no-signature");
    }

    #[test]
    fn signature_of_time_and_body_expires() {
        let scheme = HookScheme::Timestamped { header: "stripe-signature".into(), tolerance_ms: 300_000 };
        // Made with OpenSSL: `printf '1700000000.{"id":1}' | openssl dgst -sha256 -hmac
        // whsec_test_secret`.
        let right = "t=1700000000,v1=c8810ddf0d0867928eb98da07f9baa91f6a359ac782696745bbce454bfb45e6f";
        let check =
            |value: &str, body: &str, secs: i64| code(check(&scheme, "whsec_test_secret", value, body, secs * 1000));
        let at = 1_700_000_000;
        assert_eq!(check(right, "{\"id\":1}", at + 300), "ok");
        assert_eq!(check(right, "{\"id\":1}", at - 299), "ok");
        assert_eq!(check(right, "{\"id\":1}", at + 301), "hook-stale-signature");
        assert_eq!(check(right, "{\"id\":1}", at - 301), "hook-stale-signature");
        assert_eq!(check(right, "{\"id\":2}", at), "hook-bad-signature");
        assert_eq!(check(&right.replace("t=17", "t=18"), "{\"id\":1}", at), "hook-bad-signature");
        // While a secret is changed there are several.
        let two = right.replace("v1=", &format!("v0=00,v1={},v1=", "0".repeat(64)));
        assert_eq!(check(&two, "{\"id\":1}", at), "ok");
        for value in ["", "t=1700000000", "v1=00", "t=x,v1=00", &right.replace("v1", "v0")] {
            assert_eq!(check(value, "{\"id\":1}", at), "hook-no-signature", "{value}");
        }
    }

    /// RFC 7617, section 2.
    #[test]
    fn password_is_compared_before_the_body_is_read() {
        let scheme = HookScheme::Basic { user: "Aladdin".into() };
        let check = |value: &str| code(check(&scheme, "open sesame", value, "any", 0));
        assert_eq!(check("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "ok");
        assert_eq!(check("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "ok");
        assert_eq!(check("Basic QWxhZGRpbjpvcGVu"), "hook-bad-signature");
        assert_eq!(check("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "hook-no-signature");
        assert_eq!(check("Basic ***"), "hook-no-signature");
    }

    #[test]
    fn missing_header_is_named() {
        let scheme = HookScheme::Timestamped { header: "stripe-signature".into(), tolerance_ms: 1000 };
        let error = claim(&scheme, &Secret::new("any"), None).unwrap_err();
        assert_eq!(error.to_string(), "the header `stripe-signature` is missing");
    }
}
