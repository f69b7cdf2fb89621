//! The token of a form: proves that the page that was sent is one of ours, shown in this browser a
//! short time ago.
//!
//! It is an HMAC-SHA256 under a key derived from the host's, over the wording, its language and
//! version, the time, and a random value that is also in a cookie with `SameSite=Strict`. A page of
//! another site can neither read the token nor have the cookie sent, so it cannot send the form for
//! a visitor. Nothing is stored.

use beadle_model::Timestamp;
use beadle_model::text::{from_hex, hex};
use beadle_model::time::HOUR_MS;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// How long a form can be sent after it was shown: long enough to read it twice.
pub const LIFETIME_MS: i64 = HOUR_MS;

/// What a form is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The wording's name.
    pub wording: &'a str,
    /// The language of its text.
    pub language: &'a str,
    /// Its version.
    pub version: u32,
    /// The value of the cookie.
    pub cookie: &'a str,
}

/// Why a form is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The token is none of ours, or belongs to another wording, version, language or browser.
    Forged,
    /// The form was shown too long ago.
    Expired,
}

/// Signs forms.
#[derive(Clone)]
pub struct FormKey(Option<Hmac<Sha256>>);

impl FormKey {
    /// The key of this installation.
    pub fn new(host_key: &[u8; 32]) -> Self {
        let derived = keyed(host_key).map(|mac| mac.chain_update(b"opt-in form").finalize().into_bytes());
        Self(derived.and_then(|key| keyed(&key)))
    }

    /// The token of a form that is shown now. It is also the form's id, as evidence.
    pub fn issue(&self, binding: Binding<'_>, now: Timestamp) -> String {
        let mac = self.mac(binding, now).map(|mac| hex(mac.finalize().into_bytes()));
        format!("{:x}.{}", now.0, mac.unwrap_or_default())
    }

    /// Checks a token. Returns when the form was shown.
    pub fn check(&self, token: &str, binding: Binding<'_>, now: Timestamp) -> Result<Timestamp, TokenError> {
        let (text, mac) = token.split_once('.').ok_or(TokenError::Forged)?;
        let shown_at = i64::from_str_radix(text, 16).map(Timestamp).map_err(|_| TokenError::Forged)?;
        // A form has one id, which is evidence: no other spelling of the time.
        if format!("{:x}", shown_at.0) != text {
            return Err(TokenError::Forged);
        }
        let given: [u8; 32] = from_hex(mac).ok_or(TokenError::Forged)?;
        // In constant time.
        let is_ours = self.mac(binding, shown_at).is_some_and(|mac| mac.verify_slice(&given).is_ok());
        if !is_ours {
            return Err(TokenError::Forged);
        }
        // After the clock was set back, a token may be from the future: the form is shown again.
        let age_ms = now.0.saturating_sub(shown_at.0);
        if (0..=LIFETIME_MS).contains(&age_ms) { Ok(shown_at) } else { Err(TokenError::Expired) }
    }

    fn mac(&self, binding: Binding<'_>, shown_at: Timestamp) -> Option<Hmac<Sha256>> {
        let Binding { wording, language, version, cookie } = binding;
        let mut mac = self.0.clone()?;
        for part in [wording, language, cookie, &version.to_string(), &shown_at.0.to_string()] {
            // With lengths, so that no two bindings have the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }
}

/// HMAC takes keys of any length, so there always is one.
fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Binding<'_> = Binding { wording: "news", language: "nl", version: 2, cookie: "c0ffee" };
    const NOW: Timestamp = Timestamp(1_774_612_800_000);

    #[test]
    fn token_is_valid_for_an_hour_and_for_what_it_is_bound_to() {
        let (key, other) = (FormKey::new(&[1; 32]), FormKey::new(&[2; 32]));
        let token = key.issue(BOUND, NOW);
        for (binding, key, later_ms, expected) in [
            (BOUND, &key, 0, Ok(NOW)),
            (BOUND, &key, LIFETIME_MS, Ok(NOW)),
            (BOUND, &key, LIFETIME_MS + 1, Err(TokenError::Expired)),
            (BOUND, &key, -1, Err(TokenError::Expired)),
            (BOUND, &other, 0, Err(TokenError::Forged)),
            (Binding { wording: "new", ..BOUND }, &key, 0, Err(TokenError::Forged)),
            (Binding { language: "en", ..BOUND }, &key, 0, Err(TokenError::Forged)),
            (Binding { version: 3, ..BOUND }, &key, 0, Err(TokenError::Forged)),
            (Binding { cookie: "", ..BOUND }, &key, 0, Err(TokenError::Forged)),
            (Binding { wording: "newsn", language: "l", ..BOUND }, &key, 0, Err(TokenError::Forged)),
        ] {
            assert_eq!(key.check(&token, binding, NOW.plus_ms(later_ms)), expected, "{binding:?} {later_ms}");
        }
    }

    #[test]
    fn changed_tokens_are_forged() {
        let key = FormKey::new(&[1; 32]);
        let token = key.issue(BOUND, NOW);
        let (at, mac) = token.split_once('.').unwrap();
        let later = format!("{:x}.{mac}", NOW.0 + 1);
        let short = format!("{at}.{}", &mac[..62]);
        let flipped = format!("{at}.{}{}", if mac.starts_with('0') { '1' } else { '0' }, &mac[1..]);
        for token in ["", ".", mac, at, &later, &short, &flipped, &format!("+{token}"), &format!("{token}00")] {
            assert_eq!(key.check(token, BOUND, NOW), Err(TokenError::Forged), "{token}");
        }
    }
}
