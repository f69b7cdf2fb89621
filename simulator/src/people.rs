//! The simulated people: their identities, and their windows with the business.

use crate::ids;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Maximum number of people. A person takes about 400 bytes including the maps, so this many take
/// half a gigabyte; a benchmark with a million contacts fits.
const MAX_PEOPLE: usize = 1_200_000;

/// The customer service window: 24 hours from the last inbound message (docs/whatsapp.md#windows).
pub(crate) const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// The index of a person. It does not change until a reset.
pub(crate) type PersonNo = usize;

/// How long a hidden number remains visible after the business wrote to it
/// (docs/whatsapp.md#identities).
const NUMBER_KNOWN_MS: i64 = 30 * 24 * 60 * 60 * 1000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Person {
    /// The id in the control API.
    pub id: String,
    pub name: String,
    pub username: Option<String>,
    /// Digits; `None` if the person has no number.
    pub number: Option<String>,
    /// The business does not see the number, unless it wrote to it recently.
    pub hidden: bool,
    pub number_known_until_ms: i64,
    pub user_id: String,
    pub parent_user_id: Option<String>,
    /// The end of the 24-hour window.
    pub window_until_ms: Option<i64>,
    /// Created by a flood, and not shown on the chat page.
    pub crowd: bool,
    /// Has opted out of marketing messages.
    pub marketing_stopped: bool,
    /// Blocked by the business: their messages are not delivered.
    pub blocked: bool,
    /// After a message from an ad: a reply before this time opens a free entry point.
    pub entry_offered_until_ms: i64,
    /// The end of the free entry point.
    pub free_until_ms: i64,
    /// When the business last wrote first, for the messaging limit.
    pub initiated_ms: Option<i64>,
    /// The time from which the next message conforms to the pair rate (GCRA).
    pub pair_free_ms: i64,
}

impl Person {
    /// The number, or else the user id, for message ids.
    pub(crate) fn address(&self) -> &str {
        self.number.as_deref().unwrap_or(&self.user_id)
    }

    /// The number, if the business sees it.
    pub(crate) fn wa_id(&self, now_ms: i64) -> Option<&str> {
        self.number.as_deref().filter(|_| !self.hidden || now_ms < self.number_known_until_ms)
    }

    /// Records that the business wrote to the number, which makes it visible.
    pub(crate) fn reveal_number(&mut self, now_ms: i64) {
        self.number_known_until_ms = now_ms.saturating_add(NUMBER_KNOWN_MS);
    }

    pub(crate) fn window_open(&self, now_ms: i64) -> bool {
        self.window_until_ms.is_some_and(|until| now_ms < until)
    }
}

/// The attributes of a person to be created.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewPerson {
    pub name: String,
    pub number: Option<String>,
    pub username: Option<String>,
    pub parent_user_id: Option<String>,
    pub hidden: bool,
    pub crowd: bool,
}

/// The number and the user id of a person before a change.
#[derive(Clone, Debug)]
pub(crate) struct PreviousIdentity {
    pub number: Option<String>,
    pub user_id: String,
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct People {
    all: Vec<Person>,
    /// By id, number, user id and parent user id.
    names: HashMap<String, PersonNo>,
    hidden: u64,
}

impl People {
    pub(crate) fn get(&self, no: PersonNo) -> Option<&Person> {
        self.all.get(no)
    }

    pub(crate) fn get_mut(&mut self, no: PersonNo) -> Option<&mut Person> {
        self.all.get_mut(no)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// By id, number (digits) or user id.
    pub(crate) fn find(&self, name: &str) -> Option<PersonNo> {
        self.names.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Person> {
        self.all.iter()
    }

    /// The id in the control API.
    pub(crate) fn id(&self, no: PersonNo) -> &str {
        self.get(no).map_or("", |person| person.id.as_str())
    }

    /// Adds a person. A missing number or id is generated; a number belongs to one person.
    pub(crate) fn add(&mut self, new: NewPerson) -> Result<PersonNo, String> {
        let no = self.all.len();
        if no >= MAX_PEOPLE {
            return Err(format!("the maximum of {MAX_PEOPLE} people is reached"));
        }
        if new.name.trim().is_empty() || new.name.chars().count() > 100 {
            return Err("a name must have 1 to 100 characters".to_owned());
        }
        check_username(new.username.as_deref())?;
        let number = match (new.hidden, new.number) {
            (_, Some(number)) => Some(digits(&number).ok_or_else(|| format!("`{number}` must be a phone number"))?),
            (true, None) => None,
            // 1 650 555 xxxx is unassigned.
            (false, None) => Some(format!("1650555{:04}", 1000 + no)),
        };
        self.is_free(number.as_deref())?;
        self.hidden += u64::from(number.is_none());
        let person = Person {
            id: self.free_id(&new.name),
            user_id: ids::user_id(number.as_deref(), self.hidden),
            username: new.username,
            name: new.name,
            number,
            hidden: new.hidden,
            parent_user_id: new.parent_user_id,
            crowd: new.crowd,
            ..Person::default()
        };
        let names = [Some(&person.id), person.number.as_ref(), Some(&person.user_id), person.parent_user_id.as_ref()];
        for name in names.into_iter().flatten() {
            // A parent user id that another person has already stays with that person.
            self.names.entry(name.clone()).or_insert(no);
        }
        self.all.push(person);
        Ok(no)
    }

    /// Changes a person's number, and with it the user id, as on the platform.
    pub(crate) fn change_number(&mut self, no: PersonNo, number: &str) -> Result<PreviousIdentity, String> {
        let number = digits(number).ok_or_else(|| format!("`{number}` must be a phone number"))?;
        self.is_free(Some(&number))?;
        let user_id = ids::user_id(Some(&number), 0);
        let previous = self.change_user_id(no, &user_id)?;
        let old = self.all.get_mut(no).and_then(|person| person.number.replace(number.clone()));
        if let Some(old) = &old {
            self.names.remove(old);
        }
        self.names.insert(number, no);
        Ok(PreviousIdentity { number: old, ..previous })
    }

    /// Changes a person's user id.
    pub(crate) fn change_user_id(&mut self, no: PersonNo, user_id: &str) -> Result<PreviousIdentity, String> {
        if user_id.is_empty() || self.names.contains_key(user_id) {
            return Err(format!("the user id `{user_id}` must be unique and not empty"));
        }
        let person = self.all.get_mut(no).ok_or("unknown person")?;
        let old = std::mem::replace(&mut person.user_id, user_id.to_owned());
        let number = person.number.clone();
        self.names.remove(&old);
        self.names.insert(user_id.to_owned(), no);
        Ok(PreviousIdentity { number, user_id: old })
    }

    fn is_free(&self, number: Option<&str>) -> Result<(), String> {
        match number.filter(|number| self.names.contains_key(*number)) {
            Some(number) => Err(format!("the number {number} belongs to another person")),
            None => Ok(()),
        }
    }

    /// An unused id: the name in lower case, with a number if it is taken.
    fn free_id(&self, name: &str) -> String {
        let slug: String = name.to_lowercase().split(|c: char| !c.is_alphanumeric()).collect::<Vec<_>>().join("-");
        let slug = slug.trim_matches('-');
        let slug = if slug.is_empty() { "person" } else { slug };
        if !self.names.contains_key(slug) {
            return slug.to_owned();
        }
        // Starting at the number of people finds a free id immediately even among many people of
        // the same name.
        let taken = |n: &usize| self.names.contains_key(&format!("{slug}-{n}"));
        let first = if self.all.len() < 100 { 2 } else { self.all.len() };
        let free = (first..).find(|n| !taken(n)).unwrap_or(first);
        format!("{slug}-{free}")
    }
}

/// Checks the format of a username (docs/whatsapp.md#identities).
pub(crate) fn check_username(username: Option<&str>) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_';
    match username {
        Some(name) if !(3..=35).contains(&name.len()) || !name.chars().all(fits) => {
            Err(format!("the username `{name}` must have 3 to 35 characters from a-z, 0-9, `.` and `_`"))
        }
        _ => Ok(()),
    }
}

/// The digits of a phone number, which may contain `+ - ( ) .` and spaces; `None` unless there are
/// 5 to 15 (E.164).
pub(crate) fn digits(number: &str) -> Option<String> {
    let digits: String = number.chars().filter(|c| !matches!(c, '+' | '-' | '(' | ')' | ' ' | '.')).collect();
    let fits = (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> NewPerson {
        NewPerson { name: name.to_owned(), ..NewPerson::default() }
    }

    #[test]
    fn people_are_found_by_each_identity() {
        let mut people = People::default();
        let ana = people.add(NewPerson { number: Some("+351 (910) 000-101".to_owned()), ..named("Ana") }).unwrap();
        let twin = people.add(named("ana")).unwrap();
        let hidden = people.add(NewPerson { hidden: true, ..named("Éva 👋") }).unwrap();
        assert_eq!(people.find("ana"), Some(ana));
        assert_eq!(people.find("351910000101"), Some(ana));
        assert_eq!(people.find("ana-2"), Some(twin));
        assert_eq!(people.find("éva"), Some(hidden));
        let eva = people.get(hidden).unwrap();
        assert_eq!((eva.wa_id(0), people.find(&eva.user_id)), (None, Some(hidden)));
        assert!(people.add(NewPerson { number: Some("351910000101".to_owned()), ..named("Thief") }).is_err());
        assert!(people.add(NewPerson { number: Some("hello".to_owned()), ..named("X") }).is_err());
        assert!(people.add(named(" ")).is_err());
    }

    #[test]
    fn hidden_number_is_visible_for_thirty_days_after_a_message_to_it() {
        let mut people = People::default();
        let new = NewPerson { number: Some("351910000101".to_owned()), hidden: true, ..named("Ana") };
        let no = people.add(new).unwrap();
        assert_eq!(people.get(no).unwrap().wa_id(0), None);
        people.get_mut(no).unwrap().reveal_number(1000);
        assert_eq!(people.get(no).unwrap().wa_id(1000), Some("351910000101"));
        assert_eq!(people.get(no).unwrap().wa_id(1000 + NUMBER_KNOWN_MS), None);
    }

    #[test]
    fn changing_the_number_changes_the_user_id_and_frees_the_old_identities() {
        let mut people = People::default();
        let no = people.add(NewPerson { number: Some("351910000101".to_owned()), ..named("Ana") }).unwrap();
        let old = people.get(no).unwrap().user_id.clone();
        let before = people.change_number(no, "+31 6 1000 0102").unwrap();
        assert_eq!((before.number.as_deref(), before.user_id.as_str()), (Some("351910000101"), old.as_str()));
        assert_eq!((people.find("351910000101"), people.find(&old)), (None, None));
        assert_eq!(people.find("31610000102"), Some(no));
        assert_eq!(people.find(&people.get(no).unwrap().user_id), Some(no));
        assert!(people.change_number(no, "31610000102").is_err(), "the number is unchanged");
    }

    #[test]
    fn window_is_open_until_its_last_millisecond() {
        let mut people = People::default();
        let no = people.add(named("Ana")).unwrap();
        let ana = people.get_mut(no).unwrap();
        assert!(!ana.window_open(0));
        ana.window_until_ms = Some(1000 + WINDOW_MS);
        assert!(ana.window_open(999 + WINDOW_MS));
        assert!(!ana.window_open(1000 + WINDOW_MS));
    }
}
