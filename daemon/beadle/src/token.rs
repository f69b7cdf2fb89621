//! `beadle token`: tokens for `/api/v1` on `[admin] listen`.
//!
//! A token has 256 random bits, so its SHA-256 hash, which is all that the configuration holds,
//! does not reveal it.

use crate::exit::{Exit, print};
use beadle_model::text::{from_hex, hex};
use sha2::{Digest as _, Sha256};

/// Marks a text as one of these tokens, for people and for scanners of leaked secrets.
const PREFIX: &str = "beadle_";

/// Creates a token and prints it with its hash.
pub fn create() -> Exit {
    let mut bytes = [0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        eprintln!("error: cannot generate a token: {error}");
        return Exit::Failed;
    }
    let token = format!("{PREFIX}{}", hex(bytes));
    let text = format!(
        "Token (shown only once):\n\n  {token}\n\nAdd its hash to beadle.toml and restart the daemon:\n\n  \
         [admin]\n  token_sha256 = \"{}\"\n",
        hex(hash(&token))
    );
    print(&text).err().unwrap_or(Exit::Ok)
}

/// The hash of a token.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether the text has the form of a token.
pub fn is_well_formed(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|digits| parse_hash(digits).is_some())
}

/// Parses `token_sha256`.
pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
    from_hex(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_parsed_as_it_is_printed() {
        let hash = hash("beadle_1");
        assert_eq!(parse_hash(&hex(hash)), Some(hash));
        for text in ["", "0", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66), &"é".repeat(32)] {
            assert_eq!(parse_hash(text), None, "{text}");
            assert!(!is_well_formed(text) && !is_well_formed(&format!("{PREFIX}{text}")), "{text}");
        }
    }
}
