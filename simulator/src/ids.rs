//! Ids in the shapes that the platform uses, different in every run.

use std::sync::atomic::{AtomicU64, Ordering};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Makes ids. The nonce keeps those of two runs apart, the counter those of one.
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

    /// `wamid.` and base64 of a small structure that holds the other side's number, as in Meta's examples.
    pub(crate) fn message(&self, person: &str, from_person: bool) -> String {
        let length = u8::try_from(person.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![0x1c, 0x18, length];
        bytes.extend_from_slice(person.as_bytes());
        bytes.extend_from_slice(&[0x15, 0x02, 0x00, if from_person { 0x12 } else { 0x11 }, 0x18, 0x20]);
        bytes.extend_from_slice(format!("{:016X}{:016X}", self.nonce, self.serial()).as_bytes());
        bytes.push(0);
        format!("wamid.{}", base64(&bytes))
    }

    /// The id that support would ask for.
    pub(crate) fn trace(&self) -> String {
        let mut bytes = self.nonce.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.serial().to_be_bytes());
        format!("A{}", base64(&bytes).trim_end_matches('=').replace('+', "-").replace('/', "_"))
    }

    /// A challenge for the handshake: decimal digits.
    pub(crate) fn challenge(&self) -> String {
        (self.nonce.rotate_left(17) ^ self.serial()).to_string()
    }
}

/// A business-scoped user id: the country, and digits that are the same for the same person in every run.
pub(crate) fn user_id(number: Option<&str>, serial: u64) -> String {
    let digits = number.map_or_else(|| serial.to_string(), str::to_owned);
    format!("{}.1349120865{digits:0>10}", number.map_or("NL", country))
}

/// The country of a number, where the demo's people come from. Everybody else is taken for an American.
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

fn base64(bytes: &[u8]) -> String {
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
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn ids_have_the_platforms_shapes() {
        let ids = Ids::new().unwrap();
        let (a, b) = (ids.message("16505551234", true), ids.message("16505551234", true));
        assert_ne!(a, b);
        assert!(a.starts_with("wamid.HBgLMTY1MDU1NTEyMzQVAgAS"), "{a}");
        assert!(ids.message("16505551234", false).starts_with("wamid.HBgLMTY1MDU1NTEyMzQVAgAR"));
        assert!(ids.challenge().bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(user_id(Some("31610000102"), 1), "NL.134912086531610000102");
        assert_eq!(user_id(None, 7), "NL.13491208650000000007");
    }
}
