//! Opaque handles for the platform's ids.
//!
//! Ids of messages, and of requests to join a group, contain phone numbers in base64. Plugins get
//! them encrypted instead: a synthetic IV (HMAC-SHA-256 of the id) followed by the id XORed with a
//! ChaCha20 stream under that IV. So the same id always has the same handle, the host needs no
//! table to turn it back, and a guest can neither read a handle nor make one.
//!
//! Keys derive from the host key: handles are valid as long as it is, on this installation only.

use crate::limits;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac as _};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::Sha256;

/// The synthetic IV. 128 bits: no two ids share one by chance, and none can be guessed.
const IV_BYTES: usize = 16;

/// What a handle stands for. The names are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message on the platform.
    Message,
    /// A request to join a group.
    JoinRequest,
    /// Anything else that contains a number, in raw JSON. No function accepts it.
    Other,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Kind::Message => "pm_",
            Kind::JoinRequest => "jr_",
            Kind::Other => "px_",
        }
    }
}

/// Makes handles and reads them.
pub struct Handles {
    /// Keyed and cloned for each handle, which saves deriving the key schedule each time.
    iv: Hmac<Sha256>,
    stream: Hmac<Sha256>,
}

impl Handles {
    /// With keys derived from the host key.
    pub fn new(host_key: &[u8; 32]) -> Self {
        Self {
            iv: keyed(&derive_key(host_key, &[b"handle iv"])),
            stream: keyed(&derive_key(host_key, &[b"handle stream"])),
        }
    }

    /// The handle of an id.
    pub fn seal(&self, kind: Kind, id: &str) -> String {
        let iv = self.iv(kind, id.as_bytes());
        let mut sealed = iv.to_vec();
        sealed.extend_from_slice(id.as_bytes());
        if let Some((_, body)) = sealed.split_at_mut_checked(IV_BYTES) {
            self.apply_stream(&iv, body);
        }
        let mut handle = kind.prefix().to_owned();
        BASE64.encode_string(sealed, &mut handle);
        handle
    }

    /// The id of a handle that this host made.
    pub fn open(&self, kind: Kind, handle: &str) -> Option<String> {
        if handle.len() > limits::ID_HANDLE_BYTES {
            return None;
        }
        let mut sealed = BASE64.decode(handle.strip_prefix(kind.prefix())?).ok()?;
        let (iv, body) = sealed.split_at_mut_checked(IV_BYTES)?;
        let iv: [u8; IV_BYTES] = (&*iv).try_into().ok()?;
        self.apply_stream(&iv, body);
        // A handle is not a secret of the guest's to find out by timing: it has no way to forge
        // one.
        if self.iv(kind, body) != iv {
            return None;
        }
        String::from_utf8(body.to_vec()).ok()
    }

    fn iv(&self, kind: Kind, id: &[u8]) -> [u8; IV_BYTES] {
        let whole = digest(self.iv.clone(), &[kind.prefix().as_bytes(), id]);
        let mut iv = [0; IV_BYTES];
        iv.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        iv
    }

    fn apply_stream(&self, iv: &[u8; IV_BYTES], body: &mut [u8]) {
        let mut stream = vec![0; body.len()];
        ChaCha20Rng::from_seed(digest(self.stream.clone(), &[iv])).fill_bytes(&mut stream);
        body.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// A key for one purpose: HMAC-SHA-256 of the concatenation of `parts` under the host key.
pub fn derive_key(host_key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    digest(keyed(host_key), parts)
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key as long as the block of SHA-256 or shorter is padded, so this is HMAC with that key.
    let mut padded = [0; 64];
    padded.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    <Hmac<Sha256> as KeyInit>::new(&padded.into())
}

fn digest(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQTdCNzlDOTZBNjg3QzhGMEVGNAA=";

    fn handles(key: u8) -> Handles {
        Handles::new(&[key; 32])
    }

    #[test]
    fn handle_opens_to_its_id_on_this_host_only() {
        let handle = handles(1).seal(Kind::Message, ID);
        assert!(handle.starts_with("pm_") && !handle.contains("HBgL"), "{handle}");
        assert_eq!(handles(1).open(Kind::Message, &handle).as_deref(), Some(ID));
        assert_eq!(handles(2).open(Kind::Message, &handle), None);
        assert_eq!(handles(1).open(Kind::JoinRequest, &handle.replace("pm_", "jr_")), None);
    }

    #[test]
    fn handle_of_an_id_never_changes() {
        assert_eq!(handles(1).seal(Kind::Message, ID), handles(1).seal(Kind::Message, ID));
        assert_ne!(handles(1).seal(Kind::Message, ID), handles(1).seal(Kind::Message, "wamid.1"));
    }

    #[test]
    fn handle_longer_than_any_platform_id_is_rejected_unread() {
        let handle = handles(1).seal(Kind::Message, &"1".repeat(limits::ID_HANDLE_BYTES));
        assert_eq!(handles(1).open(Kind::Message, &handle), None);
    }

    #[test]
    fn forged_handle_is_rejected() {
        let handle = handles(1).seal(Kind::Message, ID);
        for at in 3..handle.len() {
            let mut forged = handle.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(handles(1).open(Kind::Message, str::from_utf8(&forged).unwrap()), None, "{at}");
        }
        for forged in ["", "pm_", "pm_AAAA", ID, "msg_1"] {
            assert_eq!(handles(1).open(Kind::Message, forged), None, "{forged}");
        }
    }
}
