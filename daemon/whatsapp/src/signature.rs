//! Who sent a webhook: HMAC-SHA256 over the raw bytes with the app's secret, as `X-Hub-Signature-256` carries it.
//!
//! Over the raw bytes, because the platform signs what it sends (escaped slashes, `\u00e4`), and a body that was parsed
//! and written again has another signature. In constant time, so that the answer tells nothing about the right one.

use crate::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A key that is ready for use: its schedule is computed once and cloned for each webhook.
pub(crate) struct Key(Option<Hmac<Sha256>>);

impl Key {
    /// An empty secret makes a key that matches nothing.
    pub(crate) fn new(secret: &Secret) -> Self {
        // HMAC takes keys of any length, so this is `None` only for the empty secret.
        Self(
            Some(secret)
                .filter(|secret| !secret.is_empty())
                .and_then(|secret| Hmac::new_from_slice(secret.expose().as_bytes()).ok()),
        )
    }

    /// There is a secret.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// `header` is `sha256=` and the right 64 hex digits for `body`.
    pub(crate) fn signed(&self, header: &str, body: &[u8]) -> bool {
        let Some(mac) = self.0.clone() else { return false };
        let Some(signature) = header.trim().strip_prefix("sha256=").and_then(unhex) else { return false };
        mac.chain_update(body).verify_slice(&signature).is_ok()
    }

    /// `word` is the secret itself; in constant time, by the code that both have under a fixed key.
    pub(crate) fn is(&self, word: &str) -> bool {
        let (Some(ours), Ok(theirs)) = (self.0.clone(), Hmac::<Sha256>::new_from_slice(word.as_bytes())) else {
            return false;
        };
        ours.finalize() == theirs.finalize()
    }
}

/// 32 bytes from 64 hex digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())?;
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    const HEADER: &str = "sha256=c84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384dc";

    #[test]
    fn the_vector_of_the_fact_sheet() {
        let key = Key::new(&Secret::new("test-app-secret\n"));
        assert!(key.signed(HEADER, BODY));
        assert!(key.signed(&HEADER.replace("c84a", "C84A"), BODY));
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
            assert!(!key.signed(wrong, BODY), "{wrong}");
        }
        assert!(!key.signed(HEADER, &BODY[1..]));
        assert!(!Key::new(&Secret::new("another")).signed(HEADER, BODY));
    }

    #[test]
    fn no_secret_matches_nothing() {
        let key = Key::new(&Secret::new(" \n"));
        assert!(!key.is_set());
        assert!(!key.signed(HEADER, BODY));
        assert!(!key.is(""));
    }

    #[test]
    fn a_word_is_the_secret_or_not() {
        let key = Key::new(&Secret::new("open sesame"));
        assert!(key.is("open sesame"));
        assert!(!key.is("open sesam"));
        assert!(!key.is(""));
    }
}
