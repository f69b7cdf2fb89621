//! When a durable request is repeated. Pure functions; the caller supplies the time and a seed.
//!
//! A request whose outcome is unknown is repeated only if that does no harm: its method is
//! idempotent (RFC 9110, section 9.2.2), or it carries an idempotency key that the server honours.

use crate::error::EgressError;
use beadle_model::{Coded, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use std::time::UNIX_EPOCH;

/// The header of draft-ietf-httpapi-idempotency-key-header.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The statuses after which the request was not executed: 408, 425 (RFC 8470), 429 (RFC 6585).
const NOT_EXECUTED: [u16; 3] = [408, 425, 429];

/// The statuses after which it may have been executed. Also 503: a proxy answers so when the server
/// behind it closes the connection, and a server when a part of its work was done.
const MAY_BE_EXECUTED: [u16; 4] = [500, 502, 503, 504];

/// Intervals between attempts: doubling, up to a maximum, shortened at random by up to a quarter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first interval, in milliseconds.
    pub first_ms: i64,
    /// The longest, in milliseconds.
    pub max_ms: i64,
}

impl Default for Backoff {
    /// One second, up to ten minutes: the end of an outage is noticed within ten minutes.
    fn default() -> Self {
        Self { first_ms: 1000, max_ms: 600_000 }
    }
}

impl Backoff {
    /// The interval after `failures` (from 1) failed attempts, in milliseconds. The same seed and
    /// number give the same interval.
    pub fn interval_ms(self, failures: u32, seed: u64) -> i64 {
        let doubled = 1i64.checked_shl(failures.saturating_sub(1)).filter(|factor| *factor > 0).unwrap_or(i64::MAX);
        let full_ms = self.first_ms.max(0).saturating_mul(doubled).min(self.max_ms.max(0));
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ u64::from(failures));
        let quarter_ms = u64::try_from(full_ms / 4).unwrap_or_default();
        let shorter_ms = random.next_u64() % (quarter_ms + 1);
        full_ms.saturating_sub(i64::try_from(shorter_ms).unwrap_or_default())
    }
}

/// What one attempt at a request resulted in.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    /// A response.
    Response {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: &'a HeaderMap,
    },
    /// None.
    Error(&'a EgressError),
}

/// What to do after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryVerdict {
    /// The response is for the plugin, whatever its status.
    Deliver,
    /// Try again at this time.
    At(Timestamp),
    /// Give up, with the reason: a dead letter.
    GiveUp(GiveUp),
}

/// Why a request is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// It would fail again.
    Final,
    /// It may have been executed, and repeating it could execute it twice.
    OutcomeUnknown,
    /// The next attempt would be after the deadline of the request.
    Expired,
}

/// The request as far as it matters for repeating it.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Whether the server honours the idempotency key (the operator says so in the rule).
    pub has_idempotency_key: bool,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Attempts that failed, with this one.
    pub failures: u32,
    /// For the random part of the interval.
    pub seed: u64,
}

/// Decides after an attempt that ended at `now`.
///
/// A `Retry-After` is honoured exactly: neither earlier, nor with a random part.
pub fn decide(request: Repeatable<'_>, attempt: Attempt<'_>, backoff: Backoff, now: Timestamp) -> RetryVerdict {
    let may_be_executed = match attempt {
        Attempt::Response { status, .. } if NOT_EXECUTED.contains(&status) => false,
        Attempt::Response { status, .. } if MAY_BE_EXECUTED.contains(&status) => true,
        Attempt::Response { .. } => return RetryVerdict::Deliver,
        Attempt::Error(error) if error.retried() => error.may_be_sent(),
        Attempt::Error(_) => return RetryVerdict::GiveUp(GiveUp::Final),
    };
    if may_be_executed && !request.has_idempotency_key && !is_idempotent(request.method) {
        return RetryVerdict::GiveUp(GiveUp::OutcomeUnknown);
    }
    let named = match attempt {
        Attempt::Response { headers, .. } => headers.get(RETRY_AFTER).and_then(|value| retry_after(value, now)),
        Attempt::Error(_) => None,
    };
    let at = named.unwrap_or_else(|| now.plus_ms(backoff.interval_ms(request.failures, request.seed)));
    if at > request.expires_at { RetryVerdict::GiveUp(GiveUp::Expired) } else { RetryVerdict::At(at) }
}

/// Whether executing a request twice is the same as once (RFC 9110, section 9.2.2; PROPFIND and
/// REPORT: RFC 4918 and RFC 3253).
pub fn is_idempotent(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "PROPFIND" | "REPORT")
}

/// The time that a `Retry-After` names (RFC 9110, section 10.2.3): seconds from `now`, or a date in
/// any of the three forms of HTTP. `None` if it is neither. A past date is `now`.
pub fn retry_after(value: &HeaderValue, now: Timestamp) -> Option<Timestamp> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse::<i64>().unwrap_or(i64::MAX);
        return Some(Timestamp(now.as_ms().saturating_add(seconds.saturating_mul(1000))));
    }
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp(i64::try_from(since_epoch.as_millis()).ok()?).max(now))
}

/// The idempotency key of a durable request, from its id: the same for all attempts, and of no
/// meaning to the server. `domain` is the host's secret, so that keys cannot be guessed.
pub fn idempotency_key(domain: &[u8], id: &str) -> String {
    use hmac::{Hmac, Mac as _};
    // HMAC accepts keys of any length.
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(domain) else { return id.to_owned() };
    mac.update(b"beadle idempotency key\0");
    mac.update(id.as_bytes());
    let bytes = mac.finalize().into_bytes();
    beadle_model::text::hex(bytes.get(..16).unwrap_or(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Phase;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_445_412_480_000); // Wed, 21 Oct 2015 07:28:00 GMT

    fn after(method: &Method, has_idempotency_key: bool, attempt: Attempt<'_>) -> RetryVerdict {
        let expires_at = NOW.plus_ms(3_600_000);
        let request = Repeatable { method, has_idempotency_key, expires_at, failures: 1, seed: 7 };
        decide(request, attempt, Backoff { first_ms: 1000, max_ms: 1000 }, NOW)
    }

    fn status(method: &Method, has_idempotency_key: bool, status: u16) -> RetryVerdict {
        after(method, has_idempotency_key, Attempt::Response { status, headers: &HeaderMap::new() })
    }

    #[test]
    fn only_failures_that_may_pass_are_repeated() {
        for code in [200, 201, 204, 301, 304, 400, 401, 403, 404, 409, 410, 412, 422, 501, 505, 507] {
            assert_eq!(status(&Method::GET, true, code), RetryVerdict::Deliver, "{code}");
        }
        for code in [408, 425, 429] {
            assert!(matches!(status(&Method::POST, false, code), RetryVerdict::At(_)), "{code}");
        }
        for code in [500, 502, 503, 504] {
            assert_eq!(status(&Method::POST, false, code), RetryVerdict::GiveUp(GiveUp::OutcomeUnknown), "{code}");
            assert_eq!(status(&Method::PATCH, false, code), RetryVerdict::GiveUp(GiveUp::OutcomeUnknown), "{code}");
            assert!(matches!(status(&Method::POST, true, code), RetryVerdict::At(_)), "{code}");
            assert!(matches!(status(&Method::PUT, false, code), RetryVerdict::At(_)), "{code}");
        }
    }

    #[test]
    fn errors_are_repeated_if_nothing_was_sent_or_it_does_no_harm() {
        let timeout = |may_be_sent| EgressError::Timeout {
            origin: "https://h".into(),
            phase: Phase::Whole,
            limit: Duration::from_secs(1),
            may_be_sent,
        };
        let verdict = |method, error: &EgressError| after(method, false, Attempt::Error(error));
        assert!(matches!(verdict(&Method::POST, &timeout(false)), RetryVerdict::At(_)));
        assert_eq!(verdict(&Method::POST, &timeout(true)), RetryVerdict::GiveUp(GiveUp::OutcomeUnknown));
        assert!(matches!(verdict(&Method::DELETE, &timeout(true)), RetryVerdict::At(_)));
        let denied = EgressError::TooManyRedirects(5);
        assert_eq!(verdict(&Method::GET, &denied), RetryVerdict::GiveUp(GiveUp::Final));
    }

    #[test]
    fn retry_after_is_honoured_exactly() {
        for (value, at_ms) in [
            ("0", Some(0)),
            ("120", Some(120_000)),
            (" 7 ", Some(7000)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30_000)),
            ("Wednesday, 21-Oct-15 07:28:30 GMT", Some(30_000)),
            ("Wed Oct 21 07:28:30 2015", Some(30_000)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let at = retry_after(&HeaderValue::from_str(value).unwrap(), NOW);
            assert_eq!(at, at_ms.map(|ms| NOW.plus_ms(ms)), "{value:?}");
        }
        let endless = HeaderValue::from_static("99999999999999999999");
        assert_eq!(retry_after(&endless, NOW), Some(Timestamp(i64::MAX)));

        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("120"));
        let attempt = Attempt::Response { status: 429, headers: &headers };
        assert_eq!(after(&Method::GET, false, attempt), RetryVerdict::At(NOW.plus_ms(120_000)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("3601"));
        let attempt = Attempt::Response { status: 429, headers: &headers };
        assert_eq!(after(&Method::GET, false, attempt), RetryVerdict::GiveUp(GiveUp::Expired));
    }

    #[test]
    fn idempotency_key_is_stable_and_opaque() {
        let key = idempotency_key(b"host key", "req_1");
        assert_eq!(key, idempotency_key(b"host key", "req_1"));
        assert_ne!(key, idempotency_key(b"host key", "req_2"));
        assert_ne!(key, idempotency_key(b"other key", "req_1"));
        assert_eq!(key.len(), 32);
    }

    proptest! {
        #[test]
        fn intervals_double_and_are_shortened_by_a_quarter_at_most(failures in 1..200u32, seed: u64) {
            let backoff = Backoff::default();
            let full_ms = (1000i64 << failures.min(20).saturating_sub(1)).min(600_000);
            let interval_ms = backoff.interval_ms(failures, seed);
            prop_assert!(interval_ms <= full_ms && interval_ms >= full_ms - full_ms / 4, "{interval_ms} {full_ms}");
            prop_assert_eq!(interval_ms, backoff.interval_ms(failures, seed));
        }
    }
}
