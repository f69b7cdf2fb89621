//! Serialises and signs JSON as Meta does.
//!
//! The body is ASCII: `/` is written as `\/` and every non-ASCII character as `\uXXXX` in
//! lower-case hex. The signature is over exactly those bytes, so a receiver that reserialises
//! before verifying fails here as it would with Meta.

use hmac::{Hmac, Mac};
use serde::Serialize;
use serde_json::ser::Formatter;
use sha2::Sha256;
use std::io;

/// JSON as Meta writes it.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(256);
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, Escaping);
    // Cannot fail: only our own structs and `Value`s are serialised, into memory.
    if value.serialize(&mut writer).is_err() {
        bytes.clear();
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The value of the header `X-Hub-Signature-256`.
pub(crate) fn signature(secret: &[u8], body: &[u8]) -> String {
    // Cannot fail: HMAC accepts keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(body);
    format!("sha256={}", crate::ids::hex(mac.finalize().into_bytes()))
}

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| c == '/' || !c.is_ascii()) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = tail.chars();
            match chars.next() {
                Some('/') => writer.write_all(b"\\/")?,
                Some(wide) => {
                    for unit in wide.encode_utf16(&mut [0; 2]) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
                None => {}
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn signature_matches_the_documented_vector() {
        let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
        assert_eq!(body.len(), 49);
        assert_eq!(
            signature(b"test-app-secret", body),
            "sha256=c84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384dc"
        );
    }

    #[test]
    fn slashes_and_non_ascii_are_escaped() {
        let value = json!({"a/b": "ä/👍\n\"\u{1f}"});
        let wire = to_json(&value);
        assert_eq!(wire, r#"{"a\/b":"\u00e4\/\ud83d\udc4d\n\"\u001f"}"#);
        assert!(wire.is_ascii());
        assert_eq!(serde_json::from_str::<Value>(&wire).unwrap(), value);
    }
}
