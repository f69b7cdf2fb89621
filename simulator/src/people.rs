//! The people who have this WhatsApp: who they are to the business, and until when it may write to them.

use crate::ids;
use serde::Serialize;
use std::collections::HashMap;

/// A person takes about 400 bytes with their place in the maps; this many fit in half a gigabyte, and a bench over a
/// million contacts still has room.
const MOST_PEOPLE: usize = 1_200_000;

/// A customer service window: 24 hours from the last inbound message (whatsapp.md 5.1).
pub(crate) const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// Index of a person, stable until a reset.
pub(crate) type PersonNo = usize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Person {
    /// What the control API calls them.
    pub id: String,
    pub name: String,
    pub username: Option<String>,
    /// Digits; nobody's business where the person hides it.
    pub wa_id: Option<String>,
    pub user_id: String,
    /// The business may write freely until then.
    pub window_until_ms: Option<i64>,
    /// Made by a flood: not shown on the page.
    pub crowd: bool,
    /// Pair rate: the moment from which the next message conforms (GCRA).
    #[serde(skip)]
    pub pair_free_ms: i64,
}

impl Person {
    /// The number, or the user id where there is none: what ids and lanes are made from.
    pub(crate) fn address(&self) -> &str {
        self.wa_id.as_deref().unwrap_or(&self.user_id)
    }

    pub(crate) fn window_open(&self, now_ms: i64) -> bool {
        self.window_until_ms.is_some_and(|until| now_ms < until)
    }
}

/// What is told to make a person.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewPerson {
    pub name: String,
    pub number: Option<String>,
    pub username: Option<String>,
    pub hidden: bool,
    pub crowd: bool,
}

#[derive(Default)]
pub(crate) struct People {
    all: Vec<Person>,
    /// By id, number and user id.
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

    /// Adds somebody. Numbers and ids are made up where none is given; a number belongs to one person.
    pub(crate) fn add(&mut self, new: NewPerson) -> Result<PersonNo, String> {
        let no = self.all.len();
        if no >= MOST_PEOPLE {
            return Err(format!("there are {MOST_PEOPLE} people already, as many as this WhatsApp holds"));
        }
        if new.name.trim().is_empty() || new.name.chars().count() > 100 {
            return Err("a name has 1 to 100 characters".to_owned());
        }
        let number = match (new.hidden, new.number) {
            (true, _) => None,
            (false, Some(number)) => Some(digits(&number).ok_or_else(|| format!("`{number}` is not a phone number"))?),
            // 1 650 555 xxxx is nobody's.
            (false, None) => Some(format!("1650555{:04}", 1000 + no)),
        };
        if let Some(number) = number.as_ref().filter(|number| self.names.contains_key(*number)) {
            return Err(format!("{number} belongs to somebody already"));
        }
        self.hidden += u64::from(number.is_none());
        let person = Person {
            id: self.free_id(&new.name),
            user_id: ids::user_id(number.as_deref(), self.hidden),
            username: new.username,
            name: new.name,
            wa_id: number,
            window_until_ms: None,
            crowd: new.crowd,
            pair_free_ms: 0,
        };
        for name in [Some(&person.id), person.wa_id.as_ref(), Some(&person.user_id)].into_iter().flatten() {
            self.names.insert(name.clone(), no);
        }
        self.all.push(person);
        Ok(no)
    }

    /// The name in lower case, with a number behind it where it is taken.
    fn free_id(&self, name: &str) -> String {
        let slug: String = name.to_lowercase().split(|c: char| !c.is_alphanumeric()).collect::<Vec<_>>().join("-");
        let slug = slug.trim_matches('-');
        let slug = if slug.is_empty() { "person" } else { slug };
        if !self.names.contains_key(slug) {
            return slug.to_owned();
        }
        // Starting at the count of people finds a free one at once also in a crowd of namesakes.
        let taken = |n: &usize| self.names.contains_key(&format!("{slug}-{n}"));
        let first = if self.all.len() < 100 { 2 } else { self.all.len() };
        let free = (first..).find(|n| !taken(n)).unwrap_or(first);
        format!("{slug}-{free}")
    }
}

/// A phone number as the platform takes it: digits, with `+ - ( )` and spaces between; 5 to 15 of them (E.164).
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
    fn people_are_found_by_each_of_their_names() {
        let mut people = People::default();
        let ana = people.add(NewPerson { number: Some("+351 (910) 000-101".to_owned()), ..named("Ana") }).unwrap();
        let twin = people.add(named("ana")).unwrap();
        let hidden = people.add(NewPerson { hidden: true, ..named("Éva 👋") }).unwrap();
        assert_eq!(people.find("ana"), Some(ana));
        assert_eq!(people.find("351910000101"), Some(ana));
        assert_eq!(people.find("ana-2"), Some(twin));
        assert_eq!(people.find("éva"), Some(hidden));
        let eva = people.get(hidden).unwrap();
        assert_eq!((eva.wa_id.as_deref(), people.find(&eva.user_id)), (None, Some(hidden)));
        assert!(people.add(NewPerson { number: Some("351910000101".to_owned()), ..named("Thief") }).is_err());
        assert!(people.add(NewPerson { number: Some("hello".to_owned()), ..named("X") }).is_err());
        assert!(people.add(named(" ")).is_err());
    }

    #[test]
    fn a_window_is_open_to_its_last_millisecond() {
        let mut people = People::default();
        let no = people.add(named("Ana")).unwrap();
        let ana = people.get_mut(no).unwrap();
        assert!(!ana.window_open(0));
        ana.window_until_ms = Some(1000 + WINDOW_MS);
        assert!(ana.window_open(999 + WINDOW_MS));
        assert!(!ana.window_open(1000 + WINDOW_MS));
    }
}
