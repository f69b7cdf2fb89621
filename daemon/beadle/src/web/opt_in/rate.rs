//! How many requests the form takes: from one client, in a minute, and in a day.
//!
//! The limit of a client keeps one program from using up what all share; the limits of all bound
//! what a flood from many addresses costs, since each request may lead to a template. Addresses are
//! in memory only, for twenty minutes at most, and their number is bounded. Times are monotonic.

use beadle_model::Timestamp;
use beadle_model::time::DAY_MS;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

const MINUTE_MS: i64 = 60 * 1000;
/// The period of a client's limit.
pub const CLIENT_PERIOD_MS: i64 = 10 * MINUTE_MS;
/// A family behind one address, with mistyped numbers.
const MAX_PER_CLIENT: u32 = 10;
/// The addresses that are counted at once, in each of two periods: some hundred kilobytes.
const MAX_CLIENTS: usize = 5_000;

/// Counts requests.
#[derive(Debug)]
pub struct Rates {
    minute: Period,
    day: Period,
    /// Counts of this period and of the one before it, together a limit for each client.
    clients: [HashMap<IpAddr, u32>; 2],
    clients_since: Timestamp,
}

/// A limit for a period that begins with its first request.
#[derive(Debug)]
struct Period {
    length_ms: i64,
    max: u32,
    since: Timestamp,
    count: u32,
}

impl Period {
    fn new(length_ms: i64, max: u32) -> Self {
        Self { length_ms, max, since: Timestamp(0), count: 0 }
    }

    fn is_full(&mut self, now: Timestamp) -> bool {
        if !(0..self.length_ms).contains(&now.0.saturating_sub(self.since.0)) {
            (self.since, self.count) = (now, 0);
        }
        self.count >= self.max
    }
}

impl Rates {
    /// With these limits for all requests together.
    pub fn new(max_per_minute: u32, max_per_day: u32) -> Self {
        Self {
            minute: Period::new(MINUTE_MS, max_per_minute),
            day: Period::new(DAY_MS, max_per_day),
            clients: Default::default(),
            clients_since: Timestamp(0),
        }
    }

    /// Counts an attempt of a client, whatever it sends. False if there were too many.
    pub fn admit_client(&mut self, client: IpAddr, now: Timestamp) -> bool {
        let is_over = !(0..CLIENT_PERIOD_MS).contains(&now.0.saturating_sub(self.clients_since.0));
        let [current, earlier] = &mut self.clients;
        // When there are too many addresses, the earlier ones are forgotten: the limits of all
        // remain.
        if is_over || current.len() >= MAX_CLIENTS {
            *earlier = std::mem::take(current);
            self.clients_since = now;
        }
        let client = network(client);
        let count = current.entry(client).or_default();
        *count = count.saturating_add(1);
        count.saturating_add(earlier.get(&client).copied().unwrap_or(0)) <= MAX_PER_CLIENT
    }

    /// Counts a request that may lead to a question. False if there were too many.
    pub fn admit_request(&mut self, now: Timestamp) -> bool {
        // Both, so that both begin their periods.
        if self.minute.is_full(now) | self.day.is_full(now) {
            return false;
        }
        self.minute.count += 1;
        self.day.count += 1;
        true
    }
}

/// The address, or the network of one connection: a household has 2^64 addresses of version 6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_774_612_800_000 + ms)
    }

    #[test]
    fn clients_are_limited_one_by_one() {
        let mut rates = Rates::new(1000, 1000);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..MAX_PER_CLIENT {
            assert!(rates.admit_client(address("192.0.2.1"), at(0)));
        }
        assert!(!rates.admit_client(address("192.0.2.1"), at(0)));
        assert!(!rates.admit_client(address("::ffff:192.0.2.1"), at(0)), "the same address");
        assert!(rates.admit_client(address("192.0.2.2"), at(0)));
        assert!(!rates.admit_client(address("192.0.2.1"), at(CLIENT_PERIOD_MS)), "the period before counts too");
        assert!(rates.admit_client(address("192.0.2.1"), at(3 * CLIENT_PERIOD_MS)));
        for n in 0..MAX_PER_CLIENT {
            assert!(rates.admit_client(address(&format!("2001:db8:0:1::{n}")), at(0)));
        }
        assert!(!rates.admit_client(address("2001:db8:0:1:ffff::"), at(0)), "one network");
        assert!(rates.admit_client(address("2001:db8:0:2::1"), at(0)));
    }

    #[test]
    fn counted_addresses_are_bounded() {
        let mut rates = Rates::new(1000, 1000);
        for n in 0..4 * MAX_CLIENTS as u32 {
            assert!(rates.admit_client(IpAddr::V4(n.into()), at(0)));
        }
        assert!(rates.clients.iter().all(|clients| clients.len() <= MAX_CLIENTS));
    }

    #[test]
    fn all_requests_are_limited_by_minute_and_day() {
        let mut rates = Rates::new(2, 3);
        let admitted = [0, 1, 2, MINUTE_MS, 2 * MINUTE_MS, DAY_MS].map(|ms| rates.admit_request(at(ms)));
        assert_eq!(admitted, [true, true, false, true, false, true]);
        assert!(rates.admit_request(at(-DAY_MS)), "a time before the period begins a new one");
    }
}
