//! `requests`: requests to hosts that the operator allowed, which Beadle sends after the handling
//! and answers with `on-response`.
//!
//! A request is checked when the plugin asks for it, so that a mistake is refused at once; the
//! rules are asked again when it leaves. It is an effect: a handling that fails makes none.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, check_key, scope as scope_of};
use super::http::{denied, message_of};
use crate::bindings::latest::requests::{Host, Request, Traffic as WitTraffic};
use crate::limits;
use beadle_egress::{EgressRequest, Traffic};
use beadle_model::effect::NewRequest;
use beadle_model::{Coded as _, EventKind, Refusal, Timestamp};
use beadle_store::{MAX_REQUEST_BYTES, MAX_REQUESTS};

impl Host for HostState {
    async fn send(&mut self, request: Request) -> Answer<()> {
        self.enter()?;
        answer(self.send_later(request))
    }
}

impl HostState {
    fn send_later(&mut self, request: Request) -> Result<(), HostError> {
        let now = self.inputs.now();
        let expires_at = request.expires_at.map_or(now.plus_ms(limits::REQUEST_LIFETIME_MS), Timestamp);
        let request = NewRequest {
            scope: scope_of(request.scope)?,
            key: request.key,
            traffic: match request.traffic {
                WitTraffic::Live => Traffic::Live,
                WitTraffic::Backfill => Traffic::Backfill,
            },
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body,
            context: request.context,
            expires_at: expires_at.min(now.plus_ms(limits::REQUEST_LIFETIME_MAX_MS)),
        };
        if let Some(key) = &request.key {
            check_key(key)?;
        }
        if request.context.len() > limits::REQUEST_CONTEXT_BYTES {
            let (max, bytes) = (limits::REQUEST_CONTEXT_BYTES, request.context.len());
            let message = format!("The context of a request may have {max} bytes; this one has {bytes}.");
            return Err(Refusal::new("value-too-large", message)
                .instead("Keep the value in `state`, and its key in the context.")
                .into());
        }
        if !self.facts.subscriptions.contains(&EventKind::Response) {
            let message = "This plugin does not export `on-response`, so it would not get the answer.";
            return Err(Refusal::new("no-response-handler", message).into());
        }
        self.check_allowed(&request)?;
        self.check_left(&request)?;
        self.effect(request.bytes())?.requests.push(request);
        Ok(())
    }

    /// Whether the operator allows it. Without rules at all, as in a test, everything is.
    fn check_allowed(&self, request: &NewRequest) -> Result<(), Refusal> {
        let Some(policies) = &self.facts.egress else { return Ok(()) };
        let NewRequest { method, url, headers, .. } = request;
        let made = EgressRequest::new(method, url, headers.clone(), request.body.clone());
        let checked = made.and_then(|made| policies.terms(&self.facts.name, &made));
        checked.map(drop).map_err(|error| {
            let refusal = Refusal::new(error.code(), message_of(&error));
            match denied(&error).and_then(|denied| denied.toml.clone()) {
                Some(toml) => refusal.instead(toml),
                None => refusal,
            }
        })
    }

    /// Whether there is room. The store checks it again, since other handlings run at the same
    /// time.
    fn check_left(&self, request: &NewRequest) -> Result<(), HostError> {
        let (left, left_bytes) = self.facts.reader.requests_left(self.facts.no)?;
        let asked = &self.task.effects.requests;
        let bytes = asked.iter().chain([request]).map(NewRequest::bytes).sum::<usize>();
        let fits = i64::try_from(asked.len()).is_ok_and(|asked| asked < left)
            && i64::try_from(bytes).is_ok_and(|bytes| bytes <= left_bytes);
        if fits {
            return Ok(());
        }
        let mib = MAX_REQUEST_BYTES >> 20;
        let message = format!("{MAX_REQUESTS} requests of this plugin wait or were given up, or they have {mib} MiB.");
        Err(Refusal::new("too-many-requests", message).instead("Ask again when some were answered.").into())
    }
}
