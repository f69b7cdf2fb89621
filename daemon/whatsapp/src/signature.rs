//! Webhook signatures: HMAC-SHA256 over the raw bytes with the app's secret, in the header
//! `X-Hub-Signature-256`.
//!
//! Verification uses the raw bytes, because the platform signs exactly what it sends (escaped
//! slashes, `\u00e4`) and a reserialised body has another signature. It takes constant time, so
//! that the response leaks nothing.

use beadle_model::Secret;
use beadle_model::text::from_hex;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// An HMAC key whose schedule is computed once and cloned for each webhook.
pub(crate) struct Key(Option<Hmac<Sha256>>);

impl Key {
    /// Creates a key. The key of an empty secret matches nothing.
    pub(crate) fn new(secret: &Secret) -> Self {
        // HMAC accepts keys of any length, so only an empty secret gives `None`.
        Self(
            Some(secret)
                .filter(|secret| !secret.is_empty())
                .and_then(|secret| Hmac::new_from_slice(secret.expose().as_bytes()).ok()),
        )
    }

    /// Whether there is a secret.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Whether `header` is the signature of `body`: `sha256=` and 64 hex digits.
    pub(crate) fn verifies(&self, header: &str, body: &[u8]) -> bool {
        let Some(mac) = self.0.clone() else { return false };
        let Some(signature) = parse(header) else { return false };
        mac.chain_update(body).verify_slice(&signature).is_ok()
    }

    /// Whether `text` equals the secret. Takes constant time, because it compares MACs instead of
    /// the texts.
    pub(crate) fn equals(&self, text: &str) -> bool {
        let (Some(ours), Ok(theirs)) = (self.0.clone(), Hmac::<Sha256>::new_from_slice(text.as_bytes())) else {
            return false;
        };
        ours.finalize() == theirs.finalize()
    }
}

/// Whether a header has the form of a signature.
pub(crate) fn is_well_formed(header: &str) -> bool {
    parse(header).is_some()
}

fn parse(header: &str) -> Option<[u8; 32]> {
    header.trim().strip_prefix("sha256=").and_then(from_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    const HEADER: &str = "sha256=c84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384dc";

    #[test]
    fn signature_matches_the_documented_vector() {
        let key = Key::new(&Secret::new("test-app-secret\n"));
        assert!(key.verifies(HEADER, BODY));
        assert!(key.verifies(&HEADER.replace("c84a", "C84A"), BODY));
        for wrong in [
            "",
            "sha256=",
            "sha256",
            &HEADER[7..],
            &HEADER[..70],
            &format!("{HEADER}00"),
            &HEADER.replace("c84a", "c84b"),
            &HEADER.replace("c84a", "c84g"),
            &HEADER.replace("sha256=", "sha1="),
            "sha256=é84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384d",
        ] {
            assert!(!key.verifies(wrong, BODY), "{wrong}");
        }
        assert!(!key.verifies(HEADER, &BODY[1..]));
        assert!(!Key::new(&Secret::new("another")).verifies(HEADER, BODY));
    }

    #[test]
    fn empty_secret_matches_nothing() {
        let key = Key::new(&Secret::new(" \n"));
        assert!(!key.is_set());
        assert!(!key.verifies(HEADER, BODY));
        assert!(!key.equals(""));
    }

    #[test]
    fn equals_compares_the_whole_secret() {
        let key = Key::new(&Secret::new("open sesame"));
        assert!(key.equals("open sesame"));
        assert!(!key.equals("open sesam"));
        assert!(!key.equals(""));
    }
}
