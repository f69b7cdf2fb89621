//! One handler's view: settings, provider, host, and the names under which state is kept.

use crate::host::{DurableRequest, Host, HostError, HostResult, Lane, Scope};
use crate::link::{Link, PendingBase};
use crate::port::{Operation, Provider, ProviderError};
use crate::settings::{MapEntry, Settings};
use crate::value::{Value, hash_text, keyed_hash};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One handler's view.
pub struct Session<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The provider.
    pub provider: &'a dyn Provider,
    /// The host.
    pub host: &'a mut dyn Host,
}

/// The key of a person's link, in the scope of the contact.
const LINK: &str = "link";
/// The key of entries for the operator, in the scope of the contact.
const QUEUE: &str = "queue/";
/// The keys of contacts with such entries.
const QUEUED: &str = "queued/";
/// The keys of contacts of the CRM that are linked.
const INDEX: &str = "crm/";
/// The key of the next number.
const NUMBER: &str = "number";
/// The keys of what was erased.
const ERASED: &str = "erased/";
/// The key of the key of their hashes.
const ERASED_KEY: &str = "erased-key";

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The schema check.
    Schema,
    /// A person.
    Person,
    /// A note.
    Note,
    /// An erasure.
    Erase,
    /// The poll.
    Poll,
    /// Contacts that the poll or a hook named.
    Look,
    /// The list of the backfill.
    Backfill,
    /// Contacts that this list named.
    BackfillLook,
}

/// Kept with a request until its response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// What it is for.
    pub purpose: Purpose,
    /// The person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
    /// The number of the request of this person.
    #[serde(default)]
    pub sequence: u32,
    /// What was asked.
    pub operation: Operation,
    /// The step of the search.
    #[serde(default)]
    pub step: usize,
    /// What follows for the fields when it is carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<PendingBase>,
    /// The share of the rate limit.
    #[serde(default)]
    pub lane: Lane,
}

/// Something that the operator should decide or know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The person.
    pub contact: String,
    /// What it is.
    pub kind: EntryKind,
    /// The contact's field, if it is about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The member's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Value>,
    /// The contact's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crm: Option<Value>,
    /// Contacts of the CRM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when.
    pub at_ms: i64,
}

/// Kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Both sides changed a field, and its rule is `manual`.
    Field,
    /// The host refused a value of the CRM.
    RefusedByHost,
    /// The CRM refused a value of the member.
    RefusedByCrm,
    /// Several contacts could be the person.
    Several,
    /// The contact is linked to another member.
    Taken,
    /// Another contact has the person's number.
    Duplicate,
    /// Given up.
    DeadLetter,
}

impl EntryKind {
    /// The last part of its key, if the entry is not about a field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Field | Self::RefusedByHost | Self::RefusedByCrm => "",
            Self::Several => "#several",
            Self::Taken => "#taken",
            Self::Duplicate => "#duplicate",
            Self::DeadLetter => "#dead-letter",
        }
    }
}

/// The key of an entry of the map in a link.
pub fn map_key(entry: &MapEntry) -> u32 {
    u32::try_from(hash_text(&entry.key()) & u64::from(u32::MAX)).unwrap_or_default()
}

impl Session<'_> {
    /// A value as JSON; what cannot be read counts as absent.
    pub fn load<T: DeserializeOwned>(&self, scope: &Scope, key: &str) -> HostResult<Option<T>> {
        Ok(self.host.get(scope, key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Sets a value as JSON.
    pub fn save<T: Serialize>(&mut self, scope: &Scope, key: &str, value: &T) -> HostResult {
        let bytes = serde_json::to_vec(value).map_err(|error| HostError(error.to_string()))?;
        self.host.set(scope, key, bytes)
    }

    /// The first of so many numbers that were never used before.
    pub fn take_numbers(&mut self, count: usize) -> HostResult<u64> {
        let first: u64 = self.load(&Scope::Plugin, NUMBER)?.unwrap_or_default();
        self.save(&Scope::Plugin, NUMBER, &(first + count as u64))?;
        Ok(first)
    }

    /// The link of a person.
    pub fn link(&self, contact: &str) -> HostResult<Link> {
        let bytes = self.host.get(&Scope::Contact(contact.to_owned()), LINK)?;
        Ok(bytes.and_then(|bytes| Link::from_bytes(&bytes)).unwrap_or_default())
    }

    /// Whether there is a link of a person.
    pub fn has_link(&self, contact: &str) -> HostResult<bool> {
        Ok(self.host.get(&Scope::Contact(contact.to_owned()), LINK)?.is_some())
    }

    /// Sets the link of a person.
    pub fn save_link(&mut self, contact: &str, link: &Link) -> HostResult {
        self.host.set(&Scope::Contact(contact.to_owned()), LINK, link.to_bytes())
    }

    /// The person to whom a contact of the CRM is linked.
    pub fn owner(&self, crm_id: &str) -> HostResult<Option<String>> {
        let Some(bytes) = self.host.get(&Scope::Plugin, &format!("{INDEX}{crm_id}"))? else { return Ok(None) };
        let id = String::from_utf8(bytes).unwrap_or_default();
        // A merged contact is found under its new id.
        let Some(member) = self.host.member(&id)? else { return Ok(None) };
        let is_linked = self.link(&member.id)?.crm_id.as_deref() == Some(crm_id);
        Ok(is_linked.then_some(member.id))
    }

    /// Remembers to whom a contact of the CRM is linked.
    pub fn set_owner(&mut self, crm_id: &str, contact: &str) -> HostResult {
        self.host.set(&Scope::Plugin, &format!("{INDEX}{crm_id}"), contact.as_bytes().to_vec())
    }

    /// Forgets to whom a contact of the CRM is linked.
    pub fn remove_owner(&mut self, crm_id: &str) -> HostResult {
        self.host.delete(&Scope::Plugin, &format!("{INDEX}{crm_id}"))
    }

    /// Adds an entry for the operator, in place of an earlier one about the same.
    pub fn enqueue(&mut self, mut entry: Entry) -> HostResult {
        let scope = Scope::Contact(entry.contact.clone());
        let key = format!("{QUEUE}{}{}", entry.field, entry.kind.name());
        if let Some(earlier) = self.load::<Entry>(&scope, &key)? {
            entry.at_ms = earlier.at_ms;
            if earlier == entry {
                return Ok(());
            }
        }
        self.save(&scope, &key, &entry)?;
        self.host.set(&Scope::Plugin, &format!("{QUEUED}{}", entry.contact), Vec::new())
    }

    /// Removes an entry: of a field, or of a kind.
    pub fn dequeue(&mut self, contact: &str, name: &str) -> HostResult {
        let scope = Scope::Contact(contact.to_owned());
        let key = format!("{QUEUE}{name}");
        if self.host.get(&scope, &key)?.is_none() {
            return Ok(());
        }
        self.host.delete(&scope, &key)?;
        if self.host.scan(&scope, QUEUE, None, 1)?.is_empty() {
            self.host.delete(&Scope::Plugin, &format!("{QUEUED}{contact}"))?;
        }
        Ok(())
    }

    /// The entries of a person.
    pub fn entries_of(&self, contact: &str) -> HostResult<Vec<Entry>> {
        // A map has at most 40 fields; the other kinds are four.
        let entries = self.host.scan(&Scope::Contact(contact.to_owned()), QUEUE, None, 50)?;
        Ok(entries.iter().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).collect())
    }

    /// Contacts with entries.
    pub fn queued(&self, after: Option<&str>, limit: usize) -> HostResult<Vec<String>> {
        let after = after.map(|after| format!("{QUEUED}{after}"));
        let keys = self.host.scan(&Scope::Plugin, QUEUED, after.as_deref(), limit)?;
        Ok(keys.iter().filter_map(|(key, _)| key.strip_prefix(QUEUED).map(str::to_owned)).collect())
    }

    /// Removes what names a person outside their own scope.
    pub fn forget_queue(&mut self, contact: &str) -> HostResult {
        let scope = Scope::Contact(contact.to_owned());
        for (key, _) in self.host.scan(&scope, QUEUE, None, 50)? {
            self.host.delete(&scope, &key)?;
        }
        self.host.delete(&scope, LINK)?;
        self.host.delete(&Scope::Plugin, &format!("{QUEUED}{contact}"))
    }

    /// Sets the key of the hashes of what was erased, once: random bytes of the host.
    pub fn set_erased_key(&mut self, key: &[u8]) -> HostResult {
        match self.host.get(&Scope::Plugin, ERASED_KEY)? {
            Some(_) => Ok(()),
            None => self.host.set(&Scope::Plugin, ERASED_KEY, key.to_vec()),
        }
    }

    fn erased_name(&self, text: &str) -> HostResult<String> {
        let key = self.host.get(&Scope::Plugin, ERASED_KEY)?.unwrap_or_default();
        Ok(format!("{ERASED}{:016x}", keyed_hash(&key, text)))
    }

    /// Remembers that something belongs to an erased person.
    pub fn set_erased(&mut self, text: &str) -> HostResult {
        let name = self.erased_name(text)?;
        self.host.set(&Scope::Plugin, &name, Vec::new())
    }

    /// Whether something belongs to an erased person.
    pub fn is_erased(&self, text: &str) -> HostResult<bool> {
        Ok(self.host.get(&Scope::Plugin, &self.erased_name(text)?)?.is_some())
    }

    /// Sends a request of a person, and remembers that it has no answer yet. `Err` inside: the
    /// provider has no such request.
    pub fn send_for(
        &mut self,
        contact: &str,
        link: &mut Link,
        operation: &Operation,
        step: usize,
        bases: Vec<PendingBase>,
        lane: Lane,
    ) -> HostResult<Result<(), ProviderError>> {
        let http = match self.provider.request(operation) {
            Ok(http) => http,
            Err(error) => return Ok(Err(error)),
        };
        link.sequence = link.sequence.wrapping_add(1).max(1);
        link.pending = link.sequence;
        let context = Context {
            purpose: Purpose::Person,
            contact: contact.to_owned(),
            sequence: link.sequence,
            operation: operation.without_content(),
            step,
            bases,
            lane,
        };
        let key = format!("person/{contact}/{}", link.sequence);
        self.send(key, format!("person/{contact}"), lane, http, &context)?;
        self.save_link(contact, link)?;
        Ok(Ok(()))
    }

    /// Sends a request.
    pub fn send(
        &mut self,
        key: String,
        order: String,
        lane: Lane,
        http: crate::http::HttpRequest,
        context: &Context,
    ) -> HostResult {
        let context = serde_json::to_vec(context).map_err(|error| HostError(error.to_string()))?;
        self.host.request(DurableRequest { key, order, lane, http, context })
    }
}
