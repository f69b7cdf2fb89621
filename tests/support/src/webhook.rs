//! Webhooks as Meta sends them, written without the daemon's types: for the bench's load, and for
//! scenarios that send what the simulator would not.

use crate::http;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// The app secret that [`signed_request`] uses.
pub const APP_SECRET: &str = "e2e-app-secret";
/// The token that the daemon sends with.
pub const ACCESS_TOKEN: &str = "e2e-access-token";
/// The token of the handshake.
pub const VERIFY_TOKEN: &str = "e2e-verify-token";
/// The business number's id.
pub const PHONE_NUMBER_ID: &str = "106540352242922";
/// The business account's id.
pub const BUSINESS_ID: &str = "102290129340398";
/// The path of the webhook; the app is called `main`.
pub const PATH: &str = "/webhooks/main";

/// The value of `X-Hub-Signature-256` for a body: `sha256=…`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    // Digits from a table: the bench signs every webhook of its load.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut header = String::with_capacity(71);
    header.push_str("sha256=");
    // HMAC takes keys of any length, so this is always `Ok`.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            for nibble in [byte >> 4, byte & 15] {
                header.push(DIGITS.get(usize::from(nibble)).map_or('?', |digit| char::from(*digit)));
            }
        }
    }
    header
}

/// An app secret whose key schedule is computed once, to verify many signatures.
pub struct Key(Option<Hmac<Sha256>>);

impl Key {
    /// The key of a secret.
    pub fn new(secret: &str) -> Self {
        // HMAC takes keys of any length, so there always is one.
        Self(Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok())
    }

    /// Whether a header is the signature of a body.
    pub fn verifies(&self, header: &[u8], body: &[u8]) -> bool {
        let Some(digits) = header.strip_prefix(b"sha256=").filter(|digits| digits.len() == 64) else { return false };
        let mut signature = [0; 32];
        for (byte, pair) in signature.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |index: usize| pair.get(index).and_then(|digit| char::from(*digit).to_digit(16));
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return false };
            *byte = u8::try_from(high << 4 | low).unwrap_or_default();
        }
        self.0.clone().is_some_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok())
    }
}

/// A webhook as a complete HTTP request, signed with [`APP_SECRET`].
pub fn signed_request(body: &str) -> Vec<u8> {
    let header = format!("X-Hub-Signature-256: {}\r\n", signature(APP_SECRET, body.as_bytes()));
    http::request("POST", PATH, &header, body.as_bytes())
}

/// The time for time stamps of webhooks, in Unix seconds.
#[expect(clippy::disallowed_methods, reason = "a webhook carries the real time, as the platform's does")]
pub fn unix_time_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A text message. `id` and `text` must need no escaping.
pub fn text_message(from: &str, id: &str, at_s: u64, text: &str) -> String {
    text_messages(&[TextMessage { from: from.into(), id: id.into(), at_s, text: text.into() }])
}

/// One of several messages in a webhook. No text may need escaping.
#[derive(Clone, Debug)]
pub struct TextMessage {
    /// The sender's number.
    pub from: String,
    /// Its id.
    pub id: String,
    /// Its time stamp in Unix seconds.
    pub at_s: u64,
    /// Its text.
    pub text: String,
}

/// Several text messages in one webhook, as the platform sends them when it is behind.
pub fn text_messages(messages: &[TextMessage]) -> String {
    let join = |parts: Vec<String>| parts.join(",");
    let contact = |message: &TextMessage| {
        let from = &message.from;
        format!(r#"{{"profile":{{"name":"Member {from}"}},"wa_id":"{from}"}}"#)
    };
    let element = |message: &TextMessage| {
        let TextMessage { from, id, at_s, text } = message;
        format!(r#"{{"from":"{from}","id":"{id}","timestamp":"{at_s}","type":"text","text":{{"body":"{text}"}}}}"#)
    };
    let contacts = join(messages.iter().map(contact).collect());
    let messages = join(messages.iter().map(element).collect());
    envelope(&format!(r#""contacts":[{contacts}],"messages":[{messages}]"#))
}

/// A receipt for a sent message. No argument may need escaping.
pub fn receipt(message: &str, status: &str, at_s: u64, to: &str, callback: &str) -> String {
    envelope(&format!(
        r#""statuses":[{{"id":"{message}","status":"{status}","timestamp":"{at_s}","recipient_id":"{to}","biz_opaque_callback_data":"{callback}","pricing":{{"billable":false,"pricing_model":"PMP","type":"free_customer_service","category":"service"}}}}]"#
    ))
}

fn envelope(parts: &str) -> String {
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{BUSINESS_ID}","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"{PHONE_NUMBER_ID}"}},{parts}}}}}]}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn bodies_are_valid_json() {
        for body in
            [text_message("31600000001", "wamid.A", 1, "hi"), receipt("wamid.B", "sent", 2, "31600000001", "msg_1")]
        {
            let value: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(value["entry"][0]["changes"][0]["field"], "messages");
        }
    }

    #[test]
    fn key_verifies_what_it_signed() {
        let (key, body) = (Key::new(APP_SECRET), b"body");
        assert!(key.verifies(signature(APP_SECRET, body).as_bytes(), body));
        assert!(!key.verifies(signature(APP_SECRET, b"other").as_bytes(), body));
        assert!(!key.verifies(b"sha256=00", body));
    }

    #[test]
    fn signature_matches_the_published_vector() {
        // The vector of docs/whatsapp.md#signature.
        let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
        let expected = "sha256=c84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384dc";
        assert_eq!(signature("test-app-secret", body), expected);
    }
}
