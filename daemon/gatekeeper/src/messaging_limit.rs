//! The messaging limit: how many people were written to outside a window in the last 24 hours.
//!
//! Kept in memory, because a campaign asks for each of its recipients; loaded once from the store.

use beadle_gate::MessagingLimitFacts;
use beadle_model::time::{CLOCK_AHEAD_MS, DAY_MS};
use beadle_model::{ContactId, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};

#[derive(Default)]
pub(crate) struct MessagingLimits {
    portfolios: Option<BTreeMap<String, People>>,
}

/// The people of one portfolio.
#[derive(Default)]
struct People {
    /// Each with the last time.
    last: HashMap<ContactId, Timestamp>,
    /// In order of time. An entry whose time is not the person's last is ignored.
    order: VecDeque<(Timestamp, ContactId)>,
    /// The latest time of all.
    latest: Timestamp,
}

impl People {
    fn add(&mut self, contact: ContactId, at: Timestamp) {
        self.last.insert(contact, at);
        self.order.push_back((at, contact));
        self.latest = self.latest.max(at);
    }

    fn forget_before(&mut self, since: Timestamp) {
        while let Some((at, contact)) = self.order.front().copied()
            && (at <= since || self.last.get(&contact) != Some(&at))
        {
            self.order.pop_front();
            if self.last.get(&contact) == Some(&at) {
                self.last.remove(&contact);
            }
        }
    }
}

impl MessagingLimits {
    /// Whether what was sent is loaded, and no clock that was ahead added to it: such entries would
    /// be the last to be forgotten, and what is right was forgotten when they were added.
    pub(crate) fn is_loaded(&self, now: Timestamp) -> bool {
        let until = now.plus_ms(CLOCK_AHEAD_MS);
        self.portfolios.as_ref().is_some_and(|all| all.values().all(|people| people.latest <= until))
    }

    /// Takes over what the store says was sent, in order of time.
    pub(crate) fn load(&mut self, sent: impl Iterator<Item = (String, ContactId, Timestamp)>) {
        let portfolios = self.portfolios.insert(BTreeMap::new());
        for (portfolio, contact, at) in sent {
            portfolios.entry(portfolio).or_default().add(contact, at);
        }
    }

    /// Counts a message to this person, if the limit permits it. Before `load`, nothing is counted
    /// here: `load` reads it from the store.
    pub(crate) fn take(
        &mut self,
        portfolio: &str,
        contact: ContactId,
        limit: u64,
        now: Timestamp,
    ) -> MessagingLimitFacts {
        let facts = self.facts(portfolio, contact, limit, now);
        if let (None, Some(portfolios)) = (facts.free_at, &mut self.portfolios) {
            portfolios.entry(portfolio.to_owned()).or_default().add(contact, now);
        }
        facts
    }

    /// The use of a limit, for one more message to this person.
    pub(crate) fn facts(
        &mut self,
        portfolio: &str,
        contact: ContactId,
        limit: u64,
        now: Timestamp,
    ) -> MessagingLimitFacts {
        let people = self.portfolios.as_mut().and_then(|portfolios| portfolios.get_mut(portfolio));
        let Some(people) = people else { return MessagingLimitFacts { limit, used: 0, free_at: None } };
        people.forget_before(now.plus_ms(-DAY_MS));
        let used = people.last.len() as u64;
        let is_over = used >= limit && !people.last.contains_key(&contact);
        let oldest = people.order.front().map_or(now, |(at, _)| *at);
        MessagingLimitFacts { limit, used, free_at: is_over.then(|| oldest.plus_ms(DAY_MS + 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_293_360_000);

    #[test]
    fn people_count_once_for_a_day_after_the_last_message() {
        let mut limits = MessagingLimits::default();
        limits.load(std::iter::empty());
        let mut take = |contact, at_ms| limits.take("main", ContactId(contact), 2, NOW.plus_ms(at_ms)).free_at;
        assert_eq!((take(1, 0), take(2, 1000), take(1, 5000)), (None, None, None));
        assert!(take(3, 6000).is_some(), "not counted");
        let mut facts = |contact, at_ms| limits.facts("main", ContactId(contact), 2, NOW.plus_ms(at_ms));
        assert_eq!(facts(3, 6000).used, 2);
        assert_eq!(facts(2, 6000).free_at, None, "one of them");
        assert_eq!(facts(3, 6000).free_at, Some(NOW.plus_ms(1000 + DAY_MS + 1)), "person 1 was written to again");
        assert_eq!(facts(3, 1000 + DAY_MS + 1).free_at, None);
        assert_eq!(limits.facts("other", ContactId(3), 2, NOW).used, 0);
    }

    #[test]
    fn what_a_clock_that_was_ahead_counted_and_forgot_is_loaded_anew() {
        let mut limits = MessagingLimits::default();
        let sent = || [("main".to_owned(), ContactId(1), NOW.plus_ms(-1000))].into_iter();
        limits.load(sent());
        limits.take("main", ContactId(2), 9, NOW.plus_ms(400 * DAY_MS));
        assert!(limits.is_loaded(NOW.plus_ms(400 * DAY_MS)));
        assert!(!limits.is_loaded(NOW));
        limits.load(sent());
        assert!(limits.is_loaded(NOW));
        assert_eq!(limits.facts("main", ContactId(3), 9, NOW).used, 1);
    }
}
