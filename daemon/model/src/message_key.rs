//! The part of a platform message id that identifies the message in every spelling of the id.
//!
//! A `wamid.…` is base64 of a small record: the other side's number or scoped id, flags, and a
//! token of hexadecimal digits. The same message has different ids in different scopes, and only
//! the token is the same in all of them (`docs/whatsapp.md#identities`). Ids of another form
//! identify a message as a whole.

use std::borrow::Cow;

/// The minimum number of hexadecimal digits in a token. Phone numbers have at most 15 digits.
const MIN_TOKEN: usize = 16;

/// The identifying part of a platform message id: its token, or the whole id if it has none.
pub fn message_key(platform_id: &str) -> Cow<'_, str> {
    let token = platform_id.strip_prefix("wamid.").and_then(decode).and_then(|bytes| last_token(&bytes));
    token.map_or(Cow::Borrowed(platform_id), Cow::Owned)
}

/// The last run of upper-case hexadecimal digits that is long enough.
fn last_token(bytes: &[u8]) -> Option<String> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let run = bytes.split(|byte| !is_digit(byte)).rfind(|run| run.len() >= MIN_TOKEN)?;
    String::from_utf8(run.to_vec()).ok()
}

/// Decodes base64, standard or URL-safe, with or without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_found_in_every_scope() {
        let by_number = "wamid.HBgLMTU1NTAxMDAwMDEVAgARGCAwQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=";
        assert_eq!(message_key(by_number), "0A1B2C3D4E5F60718293A4B5C6D7E8F9");
        for whole in ["wamid.IN1", "wamid.", "wamid.not base64", "other", "", "wamid.HBgLMTU1NTAxMDAwMDE="] {
            assert_eq!(message_key(whole), whole);
        }
    }
}
