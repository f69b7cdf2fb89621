//! How fast requests may leave, by host: the rate that the operator set for it, shared by all
//! plugins, and the pauses that it asked for by `Retry-After`.

use crate::limits::{HostPace, RateLimit};
use beadle_clock::Clock;
use beadle_model::Timestamp;
use beadle_model::effect::Traffic;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Hosts of which the pace is kept; without requests for as long as its window, a host's pace is
/// that of a new one.
const KEPT_HOSTS: usize = 1000;

/// What the rule for a request says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Host and port.
    pub host: String,
    /// How many requests the host takes.
    pub rate: Option<RateLimit>,
    /// Whether the server executes requests with the same `Idempotency-Key` once.
    pub honours_idempotency_key: bool,
}

/// The pace of every host. Time is monotonic.
#[derive(Debug)]
pub struct Paces {
    clock: Clock,
    hosts: Mutex<BTreeMap<String, Host>>,
}

#[derive(Debug, Default)]
struct Host {
    /// By limit: rules may differ, and each keeps its own.
    paces: BTreeMap<RateLimit, HostPace>,
    paused_until_ms: i64,
    used_at_ms: i64,
}

impl Paces {
    /// Without a host.
    pub fn new(clock: Clock) -> Self {
        Self { clock, hosts: Mutex::default() }
    }

    /// Takes a request to a host now, or says how long to wait before asking again.
    ///
    /// # Errors
    /// The time to wait, in milliseconds, at least 1.
    pub fn take(&self, terms: &Terms, traffic: Traffic) -> Result<(), i64> {
        let now_ms = self.clock.monotonic().as_ms();
        let mut hosts = self.hosts.lock();
        if hosts.len() >= KEPT_HOSTS && !hosts.contains_key(&terms.host) {
            hosts.retain(|_, host| host.is_needed(now_ms));
        }
        let host = hosts.entry(terms.host.clone()).or_default();
        host.used_at_ms = now_ms;
        if now_ms < host.paused_until_ms {
            return Err(host.paused_until_ms.saturating_sub(now_ms));
        }
        let Some(limit) = terms.rate else { return Ok(()) };
        host.paces.entry(limit).or_insert_with(|| HostPace::new(limit)).take(traffic, now_ms)
    }

    /// Sends nothing to a host before this civil time.
    pub fn pause(&self, terms: &Terms, until: Timestamp) {
        let (now, now_ms) = (self.clock.now(), self.clock.monotonic().as_ms());
        let until_ms = now_ms.saturating_add(until.since_ms(now).max(0));
        let mut hosts = self.hosts.lock();
        let host = hosts.entry(terms.host.clone()).or_default();
        host.used_at_ms = now_ms;
        host.paused_until_ms = host.paused_until_ms.max(until_ms);
    }
}

impl Host {
    fn is_needed(&self, now_ms: i64) -> bool {
        let longest_ms = self.paces.keys().map(|limit| i64::from(limit.window_ms)).max().unwrap_or(0);
        now_ms < self.paused_until_ms || now_ms.saturating_sub(self.used_at_ms) < longest_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(host: &str, requests: u32) -> Terms {
        let rate = (requests > 0).then_some(RateLimit { requests, window_ms: 1000 });
        Terms { host: host.into(), rate, honours_idempotency_key: false }
    }

    #[test]
    fn hosts_are_paced_and_paused_one_by_one() {
        let (clock, control) = Clock::manual(Timestamp(1_000_000));
        let paces = Paces::new(clock.clone());
        let (slow, other) = (terms("slow:443", 2), terms("other:443", 0));
        assert_eq!(paces.take(&slow, Traffic::Live), Ok(()));
        let wait_ms = paces.take(&slow, Traffic::Live).unwrap_err();
        assert!(wait_ms > 0 && wait_ms <= 1000, "{wait_ms}");
        assert_eq!(paces.take(&other, Traffic::Live), Ok(()));
        paces.pause(&other, clock.now().plus_ms(5000));
        paces.pause(&other, clock.now().plus_ms(1000));
        assert_eq!(paces.take(&other, Traffic::Live), Err(5000));
        control.advance_ms(5000);
        assert_eq!(paces.take(&other, Traffic::Live), Ok(()));
        assert_eq!(paces.take(&slow, Traffic::Live), Ok(()));
    }

    #[test]
    fn idle_hosts_are_forgotten() {
        let (clock, control) = Clock::manual(Timestamp(1_000_000));
        let paces = Paces::new(clock.clone());
        paces.pause(&terms("paused:443", 0), clock.now().plus_ms(3_600_000));
        for number in 0..KEPT_HOSTS {
            assert_eq!(paces.take(&terms(&format!("h{number}:443"), 1), Traffic::Live), Ok(()));
        }
        control.advance_ms(2000);
        assert_eq!(paces.take(&terms("new:443", 1), Traffic::Live), Ok(()));
        assert_eq!(paces.hosts.lock().len(), 2);
        assert!(paces.take(&terms("paused:443", 0), Traffic::Live).is_err());
    }
}
