//! Ids in the platform's formats, different in every run.

use std::sync::atomic::{AtomicU64, Ordering};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Generates ids. The nonce distinguishes runs, the counter the ids of one run.
pub(crate) struct Ids {
    nonce: u64,
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce)?;
        Ok(Self { nonce: u64::from_ne_bytes(nonce), next: AtomicU64::new(1) })
    }

    fn serial(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A message id: `wamid.` and base64 of a structure that contains the other party's number, as
    /// in Meta's examples.
    pub(crate) fn message(&self, person: &str, from_person: bool) -> String {
        let length = u8::try_from(person.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![0x1c, 0x18, length];
        bytes.extend_from_slice(person.as_bytes());
        bytes.extend_from_slice(&[0x15, 0x02, 0x00, if from_person { 0x12 } else { 0x11 }, 0x18, 0x20]);
        bytes.extend_from_slice(format!("{:016X}{:016X}", self.nonce, self.serial()).as_bytes());
        bytes.push(0);
        format!("wamid.{}", base64(&bytes))
    }

    /// A trace id, as in error responses.
    pub(crate) fn trace(&self) -> String {
        let mut bytes = self.nonce.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.serial().to_be_bytes());
        format!("A{}", base64(&bytes).trim_end_matches('=').replace('+', "-").replace('/', "_"))
    }

    /// The id of a file or a template: sixteen decimal digits, increasing.
    pub(crate) fn number(&self) -> u64 {
        1_000_000_000_000_000 + (self.nonce % 1_000_000_000) * 1_000_000 + self.serial()
    }

    /// A group id: base64 of a structure that contains the business's number, as in Meta's
    /// examples.
    pub(crate) fn group(&self, display_number: &str) -> String {
        let digits = self.nonce % 1_000_000 * 1_000_000 + self.serial() % 1_000_000;
        let mut bytes = format!("capi_group:{display_number}:120363{digits:012}").into_bytes();
        bytes.push(0x19);
        format!("{}D", base64(&bytes).trim_end_matches('='))
    }

    /// The id of a group operation: 32 hex digits, as in Meta's examples.
    pub(crate) fn request(&self) -> String {
        format!("{:016X}{:016X}", self.nonce.rotate_left(29), self.serial())
    }

    /// The id of a join request.
    pub(crate) fn join_request(&self) -> String {
        base64(format!("{}:{}", self.nonce, self.serial()).as_bytes()).trim_end_matches('=').to_owned()
    }

    /// The last segment of an invite link: letters and digits.
    pub(crate) fn link(&self) -> String {
        let coded = base64(format!("{:x}{:04x}", self.nonce, self.serial()).as_bytes());
        coded.chars().filter(char::is_ascii_alphanumeric).collect()
    }

    /// A challenge for the handshake: decimal digits.
    pub(crate) fn challenge(&self) -> String {
        (self.nonce.rotate_left(17) ^ self.serial()).to_string()
    }
}

/// A business-scoped user id: the country, and digits that are the same for the same number in
/// every run.
pub(crate) fn user_id(number: Option<&str>, serial: u64) -> String {
    let digits = number.map_or_else(|| serial.to_string(), str::to_owned);
    format!("{}.1349120865{digits:0>10}", number.map_or("NL", country))
}

/// The id of a template that the platform makes of a message itself: sixteen digits, the same for
/// the same text.
pub(crate) fn derived_template(text: &str) -> String {
    // FNV-1a; collisions are harmless here.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (1_000_000_000_000_000 + hash % 1_000_000_000_000_000).to_string()
}

/// The country of a number, for the countries that occur in demos; `US` for all others.
fn country(number: &str) -> &'static str {
    const COUNTRIES: [(&str, &str); 9] = [
        ("351", "PT"),
        ("372", "EE"),
        ("31", "NL"),
        ("32", "BE"),
        ("44", "GB"),
        ("49", "DE"),
        ("55", "BR"),
        ("34", "ES"),
        ("91", "IN"),
    ];
    COUNTRIES.iter().find(|(prefix, _)| number.starts_with(prefix)).map_or("US", |(_, name)| name)
}

/// Decodes base64 with padding (RFC 4648); `None` if it is invalid.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(bits.to_be_bytes().get(1..group.len())?);
    }
    Some(bytes)
}

/// The bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encodes base64 with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0_u8; 4];
        for (to, from) in group.iter_mut().skip(1).zip(chunk) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(group);
        for position in 0..4 {
            let sextet = usize::try_from((bits >> (18 - 6 * position)) & 63).unwrap_or(0);
            let letter = if position <= chunk.len() { BASE64.get(sextet).copied() } else { None };
            text.push(letter.map_or('=', char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_rfc_4648() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
            assert_eq!(from_base64(coded).as_deref(), Some(plain.as_bytes()));
        }
        for wrong in ["Zg", "Zg=", "Z===", "Zm9*"] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_have_the_platforms_formats() {
        let ids = Ids::new().unwrap();
        let (a, b) = (ids.message("16505551234", true), ids.message("16505551234", true));
        assert_ne!(a, b);
        assert!(a.starts_with("wamid.HBgLMTY1MDU1NTEyMzQVAgAS"), "{a}");
        assert!(ids.message("16505551234", false).starts_with("wamid.HBgLMTY1MDU1NTEyMzQVAgAR"));
        let group = ids.group("15550783881");
        assert!(group.starts_with("Y2FwaV9ncm91cDoxNTU1MDc4Mzg4MToxMjAzNj") && group.ends_with("ZD"), "{group}");
        assert_eq!((ids.request().len(), ids.number().to_string().len()), (32, 16));
        assert!(ids.link().len() > 20 && ids.link() != ids.link());
        assert!(ids.challenge().bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(user_id(Some("31610000102"), 1), "NL.134912086531610000102");
        assert_eq!(user_id(None, 7), "NL.13491208650000000007");
    }
}
