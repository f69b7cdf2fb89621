//! `beadle token`: tokens for `/api/v1` on `[admin] listen`.
//!
//! A token has 256 random bits, so its SHA-256 hash, which is all that the configuration holds, does not reveal it.

use crate::exit::{Exit, print};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Marks a text as one of these tokens, for people and for scanners of leaked secrets.
const PREFIX: &str = "beadle_";

/// Creates a token and prints it with its hash.
pub fn create() -> Exit {
    let mut bytes = [0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        eprintln!("error: cannot generate a token: {error}");
        return Exit::Failed;
    }
    let token = format!("{PREFIX}{}", hex(&bytes));
    let text = format!(
        "Token (shown only once):\n\n  {token}\n\nAdd its hash to beadle.toml and restart the daemon:\n\n  \
         [admin]\n  token_sha256 = \"{}\"\n",
        hex(&hash(&token))
    );
    print(&text).err().unwrap_or(Exit::Ok)
}

/// The hash of a token.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Parses `token_sha256`.
pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<Vec<u8>>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 64).then(|| bytes.try_into().ok()).flatten()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_parsed_as_it_is_printed() {
        let hash = hash("beadle_1");
        assert_eq!(parse_hash(&hex(&hash)), Some(hash));
        for text in ["", "0", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66), &"é".repeat(32)] {
            assert_eq!(parse_hash(text), None, "{text}");
        }
    }
}
