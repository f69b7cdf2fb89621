//! Numbers and ids of erased people, which cannot be read back: HMAC-SHA256 under the host's key.
//!
//! They have one purpose: what an erased person had refused still holds if their number is imported
//! again, and a ban still holds if they write again. See ADR 0093.

use crate::error::StoreError;
use crate::tx::Tx;
use beadle_model::consent::{ConsentAct, ConsentSource, NewConsent, Purpose, actor};
use beadle_model::phone::other_spelling;
use beadle_model::{Alias, AliasKind, Contact, ContactId, Role, Timestamp};
use hmac::{Hmac, Mac as _};
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeSet;

/// The HMAC of a number or id.
pub(crate) type IdentityHash = [u8; 32];

/// What an erased person refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused(pub(crate) i64);

impl Refused {
    const MARKETING: i64 = 1;
    const SERVICE: i64 = 2;
    const BANNED: i64 = 4;

    /// The refusals of a contact that is erased. An erasure always refuses marketing.
    pub(crate) fn of(contact: &Contact) -> Self {
        let service = if contact.opted_out_since.is_some() { Self::SERVICE } else { 0 };
        let banned = if contact.profile().role == Role::Banned { Self::BANNED } else { 0 };
        Self(Self::MARKETING | service | banned)
    }

    /// The refusals of both.
    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the person was banned.
    pub(crate) fn is_banned(self) -> bool {
        self.0 & Self::BANNED != 0
    }

    /// Whether nothing may be sent to them, not even a question.
    pub(crate) fn is_of_everything(self) -> bool {
        self.0 & (Self::SERVICE | Self::BANNED) != 0
    }

    /// The purposes for which they had refused messages.
    pub(crate) fn purposes(self) -> Vec<Purpose> {
        let marketing = (self.0 & Self::MARKETING != 0).then_some(Purpose::Marketing);
        let service = (self.0 & Self::SERVICE != 0).then_some(Purpose::Service);
        marketing.into_iter().chain(service).collect()
    }
}

/// The hash of a number or id. A WhatsApp id in digits is the number, and both spellings of a
/// number have one hash.
pub(crate) fn identity_hash(key: &[u8; 32], alias: &Alias) -> IdentityHash {
    let is_number = matches!(alias.kind, AliasKind::Phone | AliasKind::WaId)
        && alias.value.bytes().all(|byte| byte.is_ascii_digit());
    let other = if is_number { other_spelling(&alias.value) } else { None };
    let value = other.filter(|other| *other < alias.value).unwrap_or_else(|| alias.value.clone());
    let kind = if is_number { AliasKind::Phone } else { alias.kind };
    // A key of any length is accepted.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    let mac = mac.chain_update(b"erased-identity\0").chain_update(kind.name()).chain_update([0]).chain_update(value);
    mac.finalize().into_bytes().into()
}

/// The hashes of all aliases.
pub(crate) fn identity_hashes(key: &[u8; 32], aliases: &[Alias]) -> BTreeSet<IdentityHash> {
    aliases.iter().map(|alias| identity_hash(key, alias)).collect()
}

impl Tx<'_> {
    /// Keeps what an erased person refused.
    pub(crate) fn keep_identities(
        &self,
        hashes: &BTreeSet<IdentityHash>,
        refused: Refused,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        for hash in hashes {
            self.conn
                .prepare_cached(
                    "INSERT INTO erased_identities (hash, erased_at, refused) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET erased_at = max(erased_at, excluded.erased_at),
                         refused = refused | excluded.refused",
                )?
                .execute(params![&hash[..], at.0, refused.0])?;
        }
        Ok(())
    }

    /// What someone with one of these aliases refused before they were erased, and when they were.
    pub(crate) fn refused_before(&self, aliases: &[Alias]) -> Result<Option<(Refused, Timestamp)>, StoreError> {
        let mut found: Option<(Refused, Timestamp)> = None;
        for hash in identity_hashes(&self.shared.host_key, aliases) {
            let mut read =
                self.conn.prepare_cached("SELECT refused, erased_at FROM erased_identities WHERE hash = ?1")?;
            let row =
                read.query_row([&hash[..]], |row| Ok((Refused(row.get(0)?), Timestamp(row.get(1)?)))).optional()?;
            found = match (found, row) {
                (Some((a, at)), Some((b, later))) => Some((a.and(b), at.max(later))),
                (one, other) => one.or(other),
            };
        }
        Ok(found)
    }

    /// Entries for the ledger that apply the refusals of an erased person to an imported contact.
    /// They have the time of the erasure, so that a consent from before it does not count.
    pub(crate) fn refusals_of(refused: Refused, contact: ContactId, at: Timestamp) -> Vec<NewConsent> {
        let withdrawal = |purpose| NewConsent {
            contact,
            purpose,
            act: ConsentAct::Withdrawn,
            source: ConsentSource::Import,
            wording: None,
            at,
            expires_at: None,
            evidence: Some("refused before an erasure".into()),
            actor: actor::HOST.into(),
        };
        refused.purposes().into_iter().map(withdrawal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn alias(kind: AliasKind, value: &str) -> Alias {
        Alias { kind, value: value.into() }
    }

    #[test]
    fn both_spellings_and_the_whatsapp_id_have_one_hash() {
        let hash = |kind, value: &str| identity_hash(&[7; 32], &alias(kind, value));
        let one = hash(AliasKind::Phone, "5511987654321");
        assert_eq!(one, hash(AliasKind::Phone, "551187654321"));
        assert_eq!(one, hash(AliasKind::WaId, "551187654321"));
        assert_ne!(one, hash(AliasKind::UserId, "5511987654321"));
        assert_ne!(one, identity_hash(&[8; 32], &alias(AliasKind::Phone, "5511987654321")));
    }

    proptest! {
        #[test]
        fn hashes_depend_on_the_number_and_the_key(
            a in "[1-9][0-9]{7,14}", b in "[1-9][0-9]{7,14}", key in any::<[u8; 32]>(), other in any::<[u8; 32]>(),
        ) {
            let (first, second) = (alias(AliasKind::Phone, &a), alias(AliasKind::Phone, &b));
            let same = a == b || other_spelling(&a).as_deref() == Some(&b);
            prop_assert_eq!(identity_hash(&key, &first) == identity_hash(&key, &second), same);
            prop_assert_eq!(identity_hash(&key, &first) == identity_hash(&other, &first), key == other);
            // The number cannot be seen in it.
            let hash = identity_hash(&key, &first);
            prop_assert!(!hash.windows(a.len()).any(|window| window == a.as_bytes()));
        }

        #[test]
        fn refusals_only_grow(a in 0_i64..8, b in 0_i64..8) {
            let both = Refused(a).and(Refused(b));
            for one in [Refused(a), Refused(b)] {
                prop_assert!(one.purposes().iter().all(|purpose| both.purposes().contains(purpose)));
                prop_assert!(!one.is_banned() || both.is_banned());
            }
        }
    }
}
