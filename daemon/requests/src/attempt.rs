//! One attempt at a request, and what follows from it.

use beadle_egress::retry::{self, Attempt, Backoff, GiveUp, Repeatable, RetryVerdict};
use beadle_egress::{EgressError, EgressRequest, EgressResponse, Terms};
use beadle_model::event::RequestOutcome;
use beadle_model::{Coded as _, Timestamp};
use beadle_store::{RequestRow, RequestSettlement};

/// Every error code of this crate.
pub const CODES: [&str; 3] = ["request-expired", "request-interrupted", "request-outcome-unknown"];

/// A request that may leave.
pub(crate) struct Ready {
    pub row: RequestRow,
    pub request: EgressRequest,
    pub terms: Terms,
}

/// What follows from an attempt, and until when its host asked for a pause.
pub(crate) fn settle(
    ready: &Ready,
    sent: Result<EgressResponse, EgressError>,
    now: Timestamp,
) -> (RequestSettlement, Option<Timestamp>) {
    let row = &ready.row;
    let attempt = match &sent {
        Ok(response) => Attempt::Response { status: response.status.as_u16(), headers: &response.headers },
        Err(error) => Attempt::Error(error),
    };
    let repeatable = Repeatable {
        method: &ready.request.method,
        has_idempotency_key: ready.terms.honours_idempotency_key,
        expires_at: row.request.expires_at,
        failures: row.attempts.saturating_add(1),
        seed: row.id.0.unsigned_abs(),
    };
    let (code, error) = problem(&sent);
    let may_be_sent = sent.as_ref().err().is_none_or(EgressError::may_be_sent);
    let pause = match &sent {
        Ok(response) if response.status.as_u16() == 429 || response.status.as_u16() == 503 => {
            response.headers.get("retry-after").and_then(|value| retry::retry_after(value, now))
        }
        _ => None,
    };
    let given_up = |code: &str, message: String| {
        RequestSettlement::Ended(RequestOutcome::GivenUp { code: code.to_owned(), message, may_be_sent })
    };
    let settlement = match retry::decide(repeatable, attempt, Backoff::default(), now) {
        RetryVerdict::At(at) => RequestSettlement::Again { at, code, error },
        RetryVerdict::GiveUp(GiveUp::Final) => given_up(&code, error),
        RetryVerdict::GiveUp(GiveUp::Expired) => given_up("request-expired", expired(row, Some(&error))),
        RetryVerdict::GiveUp(GiveUp::OutcomeUnknown) => given_up("request-outcome-unknown", unknown(&error)),
        RetryVerdict::Deliver => match sent {
            Ok(response) => {
                let (status, headers) = (response.status.as_u16(), response.header_texts());
                let EgressResponse { url, body, .. } = response;
                RequestSettlement::Ended(RequestOutcome::Answered { status, url, headers, body: body.into() })
            }
            Err(_) => given_up(&code, error),
        },
    };
    (settlement, pause)
}

/// What follows for a request that was being sent when the daemon ended.
pub(crate) fn interrupted(row: &RequestRow, terms: Option<&Terms>, now: Timestamp) -> RequestSettlement {
    let method = row.request.method.parse().ok();
    let is_harmless = terms.is_some_and(|terms| terms.honours_idempotency_key)
        || method.is_some_and(|method| retry::is_idempotent(&method));
    let error = "Beadle ended while the request was being sent".to_owned();
    if is_harmless {
        return RequestSettlement::Again { at: now, code: "request-interrupted".into(), error };
    }
    let (code, message) = ("request-outcome-unknown".to_owned(), unknown(&error));
    RequestSettlement::Ended(RequestOutcome::GivenUp { code, message, may_be_sent: true })
}

/// What follows for a request that is not sent: it expired, or is not allowed any more.
pub(crate) fn not_sent(row: &RequestRow, error: Option<&EgressError>) -> RequestSettlement {
    let last = row.problem.as_ref().map(|(_, error)| error.as_str());
    let (code, message) = match error {
        Some(error) => (error.code().to_owned(), error.to_string()),
        None => ("request-expired".to_owned(), expired(row, last)),
    };
    RequestSettlement::Ended(RequestOutcome::GivenUp { code, message, may_be_sent: row.attempts > 0 })
}

fn problem(sent: &Result<EgressResponse, EgressError>) -> (String, String) {
    match sent {
        Ok(response) => {
            let status = response.status;
            (format!("status-{}", status.as_u16()), format!("the server answered {status}"))
        }
        Err(error) => (error.code().to_owned(), error.to_string()),
    }
}

fn expired(row: &RequestRow, last: Option<&str>) -> String {
    let until = row.request.expires_at.utc();
    match last {
        Some(last) => format!("it expired at {until} without an answer; the last attempt: {last}"),
        None => format!("it expired at {until} before it was its turn"),
    }
}

fn unknown(error: &str) -> String {
    format!("the server may have executed it, and repeating it could do so twice: {error}")
}
