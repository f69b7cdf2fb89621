//! What is kept about a person: the contact that they are linked to, and hashes of the values that
//! were last the same on both sides. About 30 bytes, and 13 for most fields.

use serde::{Deserialize, Serialize};

/// The state of a link. Whether a side has changed is in `is_member_changed` and `is_crm_changed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// No contact is known.
    #[default]
    Unlinked,
    /// The CRM is being searched.
    Candidate,
    /// Linked.
    Linked,
    /// Several contacts could be the person; nothing is written until the operator decides.
    Conflict,
    /// The contact was deleted in the CRM; nothing is created again.
    CrmDeleted,
    /// Given up after `MAX_TRIES`; a dead letter.
    Failed,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Unlinked, Self::Candidate, Self::Linked, Self::Conflict, Self::CrmDeleted, Self::Failed];

    /// Its name for operators.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlinked => "unlinked",
            Self::Candidate => "candidate",
            Self::Linked => "linked",
            Self::Conflict => "conflict",
            Self::CrmDeleted => "crm_deleted",
            Self::Failed => "failed",
        }
    }
}

/// Tries after which a person's synchronisation is given up.
pub const MAX_TRIES: u8 = 8;

/// The hashes of one field when both sides were last synchronised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The hash of the entry of the map.
    pub key: u32,
    /// Of the member's value, in the CRM's form.
    pub member: u64,
    /// Of the contact's value; differs where a direction or rule leaves both as they are.
    pub crm: u64,
    /// Of each element of a list.
    pub elements: Vec<u64>,
}

/// The base of a field after a write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingBase {
    /// The hash of the entry of the map.
    pub key: u32,
    /// The hash of the member's value.
    pub member: u64,
    /// The hash of what is written.
    pub crm: u64,
    /// The hash of what was there.
    pub before: u64,
    /// The hashes of elements of a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<u64>,
}

impl PendingBase {
    /// The base if the write was carried out; `returned` is the hash of what the CRM made of it.
    pub fn written(&self, returned: Option<u64>) -> Base {
        let crm = returned.unwrap_or(self.crm);
        Base { key: self.key, member: self.member, crm, elements: self.elements.clone() }
    }

    /// The base if the CRM refused the value: nothing happens until a side changes again.
    pub fn refused(&self) -> Base {
        Base { key: self.key, member: self.member, crm: self.before, elements: self.elements.clone() }
    }
}

/// A write of which it is not known whether it was carried out; the next time that the contact is
/// read decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The number of the request.
    pub sequence: u32,
    /// Its fields.
    pub bases: Vec<PendingBase>,
}

/// The link of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its state.
    pub status: Status,
    /// The contact's id.
    pub crm_id: Option<String>,
    /// The hash of the contact's revision that was last seen or written; 0 if there is none.
    pub revision: u64,
    /// The contact's time of change that was last seen or written.
    pub seen_ms: i64,
    /// The number of the last request.
    pub sequence: u32,
    /// The number of the request that has no answer yet; 0 if there is none.
    pub pending: u32,
    /// Whether the member changed since.
    pub is_member_changed: bool,
    /// Whether the contact is said to have changed since.
    pub is_crm_changed: bool,
    /// The write whose outcome is unknown.
    pub sent: Option<Sent>,
    /// Whether a request to create may have been carried out.
    pub may_be_created: bool,
    /// Whether a contact is to be created if none is found.
    pub may_create: bool,
    /// Failed tries in a row.
    pub tries: u8,
    /// When the member last changed.
    pub changed_ms: i64,
    /// The day of the last note.
    pub note_day: u32,
    /// The fields.
    pub fields: Vec<Base>,
}

/// The first byte of the form that this revision writes.
const VERSION: u8 = 1;

impl Link {
    /// The hashes of a field.
    pub fn base(&self, key: u32) -> Option<&Base> {
        self.fields.iter().find(|base| base.key == key)
    }

    /// Replaces the hashes of a field.
    pub fn set_base(&mut self, base: Base) {
        match self.fields.iter_mut().find(|known| known.key == base.key) {
            Some(known) => *known = base,
            None => self.fields.push(base),
        }
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let status = Status::ALL.iter().position(|status| *status == self.status).unwrap_or_default();
        bytes.push(u8::try_from(status).unwrap_or_default());
        let flags =
            [self.is_member_changed, self.is_crm_changed, self.may_be_created, self.may_create, self.sent.is_some()];
        bytes.push(flags.iter().rev().fold(0, |sum, flag| sum << 1 | u8::from(*flag)));
        bytes.push(self.tries);
        for number in [
            u64::from(self.sequence),
            u64::from(self.pending),
            u64::try_from(self.seen_ms).unwrap_or_default(),
            u64::try_from(self.changed_ms).unwrap_or_default(),
            u64::from(self.note_day),
        ] {
            write_number(&mut bytes, number);
        }
        bytes.extend(self.revision.to_le_bytes());
        let id = self.crm_id.as_deref().unwrap_or_default();
        write_number(&mut bytes, id.len() as u64);
        bytes.extend(id.as_bytes());
        if let Some(sent) = &self.sent {
            write_number(&mut bytes, u64::from(sent.sequence));
            write_number(&mut bytes, sent.bases.len() as u64);
            for base in &sent.bases {
                bytes.extend(base.key.to_le_bytes());
                for hash in [base.member, base.crm, base.before] {
                    bytes.extend(hash.to_le_bytes());
                }
                write_number(&mut bytes, base.elements.len() as u64);
                for element in &base.elements {
                    bytes.extend(element.to_le_bytes());
                }
            }
        }
        for base in &self.fields {
            bytes.extend(base.key.to_le_bytes());
            // Most fields are equal on both sides: one hash.
            let is_equal = base.member == base.crm;
            write_number(&mut bytes, (base.elements.len() as u64) << 1 | u64::from(is_equal));
            bytes.extend(base.member.to_le_bytes());
            if !is_equal {
                bytes.extend(base.crm.to_le_bytes());
            }
            for element in &base.elements {
                bytes.extend(element.to_le_bytes());
            }
        }
        bytes
    }

    /// From bytes; `None` if they are of another form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        if take(&mut rest, 1)? != [VERSION] {
            return None;
        }
        let [status, flags, tries] = take(&mut rest, 3)? else { return None };
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let sequence = u32::try_from(read_number(&mut rest)?).ok()?;
        let pending = u32::try_from(read_number(&mut rest)?).ok()?;
        let seen_ms = i64::try_from(read_number(&mut rest)?).ok()?;
        let changed_ms = i64::try_from(read_number(&mut rest)?).ok()?;
        let note_day = u32::try_from(read_number(&mut rest)?).ok()?;
        let revision = read_u64(&mut rest)?;
        let length = usize::try_from(read_number(&mut rest)?).ok()?;
        let id = String::from_utf8(take(&mut rest, length)?.to_vec()).ok()?;
        let sent = if flag(4) { Some(read_sent(&mut rest)?) } else { None };
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
            let head = read_number(&mut rest)?;
            let member = read_u64(&mut rest)?;
            let crm = if head & 1 == 1 { member } else { read_u64(&mut rest)? };
            let mut elements = Vec::new();
            for _ in 0..head >> 1 {
                elements.push(read_u64(&mut rest)?);
            }
            fields.push(Base { key, member, crm, elements });
        }
        Some(Self {
            status: *Status::ALL.get(usize::from(*status))?,
            crm_id: (!id.is_empty()).then_some(id),
            revision,
            seen_ms,
            sequence,
            pending,
            is_member_changed: flag(0),
            is_crm_changed: flag(1),
            sent,
            may_be_created: flag(2),
            may_create: flag(3),
            tries: *tries,
            changed_ms,
            note_day,
            fields,
        })
    }
}

fn read_sent(rest: &mut &[u8]) -> Option<Sent> {
    let mut sent = Sent { sequence: u32::try_from(read_number(rest)?).ok()?, bases: Vec::new() };
    for _ in 0..read_number(rest)? {
        let key = u32::from_le_bytes(take(rest, 4)?.try_into().ok()?);
        let (member, crm, before) = (read_u64(rest)?, read_u64(rest)?, read_u64(rest)?);
        let mut elements = Vec::new();
        for _ in 0..read_number(rest)? {
            elements.push(read_u64(rest)?);
        }
        sent.bases.push(PendingBase { key, member, crm, before, elements });
    }
    Some(sent)
}

/// LEB128: small numbers take one byte.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest, 1)? else { return None };
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn read_u64(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usual() -> Link {
        let base = |key: u32| Base { key, member: u64::MAX - 1, crm: u64::MAX - 1, elements: vec![] };
        Link {
            status: Status::Linked,
            crm_id: Some("512001234".into()),
            sequence: 200,
            seen_ms: 1_790_000_000_000,
            revision: 7,
            fields: (0..10).map(base).collect(),
            ..Link::default()
        }
    }

    #[test]
    fn ten_fields_take_less_than_200_bytes() {
        assert!(usual().to_bytes().len() < 200, "{}", usual().to_bytes().len());
    }

    #[test]
    fn other_bytes_are_no_link() {
        assert_eq!(Link::from_bytes(&[]), None);
        assert_eq!(Link::from_bytes(&[9, 0, 0, 0]), None);
        let bytes = usual().to_bytes();
        for length in 1..bytes.len() {
            if let Some(link) = Link::from_bytes(&bytes[..length]) {
                assert!(link.fields.len() < 10, "{length}");
            }
        }
    }

    proptest! {
        #[test]
        fn links_survive_their_bytes(
            status in 0..6usize,
            numbers in any::<(u32, u32, u64, u32)>(),
            times in (0..i64::MAX, 0..i64::MAX),
            flags in any::<(bool, bool, bool, bool)>(),
            tries in any::<u8>(),
            id in proptest::option::of("[a-zé/]{1,300}"),
            fields in proptest::collection::vec((any::<u32>(), any::<u64>(), any::<u64>(), proptest::collection::vec(any::<u64>(), 0..4)), 0..5),
        ) {
            let link = Link {
                status: Status::ALL[status],
                crm_id: id,
                revision: numbers.2,
                seen_ms: times.0,
                sequence: numbers.0,
                pending: numbers.1,
                is_member_changed: flags.0,
                is_crm_changed: flags.1,
                sent: flags.0.then(|| Sent {
                    sequence: numbers.0,
                    bases: vec![PendingBase { key: 1, member: 2, crm: 3, before: numbers.2, elements: vec![4, 5] }],
                }),
                may_be_created: flags.2,
                may_create: flags.3,
                tries,
                changed_ms: times.1,
                note_day: numbers.3,
                fields: fields.into_iter().map(|(key, member, crm, elements)| Base { key, member, crm, elements }).collect(),
            };
            prop_assert_eq!(Link::from_bytes(&link.to_bytes()), Some(link));
        }
    }
}
