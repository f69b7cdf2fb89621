//! `http`: requests to hosts that the operator allowed, while the plugin waits.
//!
//! The policy and the client are `beadle-egress`. Here a request gets a deadline before that of the
//! call, so that the plugin can react to a time-out. A call that waits gives its permit to another
//! call of the plugin, so that a slow server does not hold up other conversations; how many of them
//! wait at a time is limited, because each keeps its memory. A dry run makes no request.

use super::host_state::HostState;
use crate::bindings::latest::http::{Cause, Host, Request, RequestError, Response};
use crate::handles::derive_key;
use crate::limits;
use crate::text::shortened;
use beadle_egress::{Denied, EgressError, EgressRequest, EgressResponse};
use beadle_model::{Coded as _, Refusal};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

impl Host for HostState {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, RequestError>> {
        self.enter()?;
        Ok(self.request(request).await)
    }

    async fn has_secret(&mut self, name: String) -> wasmtime::Result<bool> {
        self.enter()?;
        Ok(self.facts.egress.as_ref().is_some_and(|egress| egress.of(&self.facts.name).has_secret(&name)))
    }
}

impl HostState {
    async fn request(&mut self, request: Request) -> Result<Response, RequestError> {
        let event = self.event().map_err(|refusal| refused(Cause::Other, refusal))?.id;
        let Some(egress) = self.facts.egress.clone().filter(|_| !self.task.dry) else {
            let message = "No request is made in a dry run or a test; the plugin continues without an answer.";
            return Err(refused(Cause::Other, Refusal::new("http-dry-run", message)));
        };
        self.task.requests += 1;
        if self.task.requests > limits::HTTP_REQUESTS {
            let message = format!("A handling may make {} requests.", limits::HTTP_REQUESTS);
            return Err(refused(Cause::TooMany, Refusal::new("http-request-limit", message)));
        }
        let Request { method, url, headers, body, timeout_ms } = request;
        let key = {
            let number = self.task.requests.to_be_bytes();
            let digest = Sha256::new().chain_update(&url).chain_update([0]).chain_update(&body).finalize();
            let parts = [&event.0.to_be_bytes()[..], self.facts.name.as_bytes(), &number, method.as_bytes(), &digest];
            beadle_model::text::hex(derive_key(&self.facts.host_key, &parts).get(..16).unwrap_or_default())
        };
        let mut request = EgressRequest::new(&method, &url, headers, body).map_err(|error| failure(&error))?;
        request.set_idempotency_key(&key);
        let Ok(waiting) = Arc::clone(&self.facts.waiting).try_acquire_owned() else {
            let message = format!("{} calls of this plugin wait for responses.", limits::HTTP_WAITING_CALLS);
            return Err(refused(Cause::TooMany, Refusal::new("http-too-many-waiting", message)));
        };
        let own = timeout_ms.map_or(Duration::MAX, |ms| Duration::from_millis(ms.into()));
        let limit = own.min(self.time_for_request());
        self.permit = None;
        let sent = tokio::time::timeout(limit, egress.send(&self.facts.name, request)).await;
        // Dropped before the call may continue: another call waits for one of them, never for both.
        drop(waiting);
        self.permit = Arc::clone(&self.facts.permits).acquire_owned().await.ok();
        match sent {
            Ok(Ok(response)) => Ok(answered(response)),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => {
                egress.count(&self.facts.name, "egress-timeout");
                let message = format!("no response within {} ms", limit.as_millis());
                let cause = Cause::TimedOut;
                Err(RequestError { cause, code: "egress-timeout".into(), message, instead: None, may_be_sent: true })
            }
        }
    }

    /// The rest of the call's elapsed time without a tenth of the whole, which is left for what the
    /// plugin does with the answer.
    fn time_for_request(&self) -> Duration {
        let whole = Duration::from_millis(self.facts.limits.wall_ms.into());
        let used = self.task.started.map_or(Duration::ZERO, |started| started.elapsed());
        whole.saturating_sub(used).saturating_sub(whole / 10)
    }
}

fn refused(cause: Cause, refusal: Refusal) -> RequestError {
    let Refusal { code, message, instead } = refusal;
    RequestError { cause, code, message, instead, may_be_sent: false }
}

fn answered(response: EgressResponse) -> Response {
    let headers = response.header_texts();
    Response { status: response.status.as_u16(), url: response.url, headers, body: response.body }
}

/// The error as the plugin gets it. Secrets were removed from its text.
fn failure(error: &EgressError) -> RequestError {
    let instead = denied(error).and_then(|denied| denied.toml.clone());
    let message = match denied(error) {
        Some(denied) => Denied { toml: None, ..denied.clone() }.to_string(),
        None => error.to_string(),
    };
    RequestError {
        cause: cause(error),
        code: error.code().to_owned(),
        message: shortened(message),
        instead: instead.map(shortened),
        may_be_sent: error.may_be_sent(),
    }
}

fn denied(error: &EgressError) -> Option<&Denied> {
    match error {
        EgressError::Denied(denied) => Some(denied),
        EgressError::Redirected(error) => denied(error),
        _ => None,
    }
}

fn cause(error: &EgressError) -> Cause {
    match error {
        EgressError::Denied(denied) => match denied.code {
            "egress-url-invalid" | "egress-scheme-unknown" | "egress-user-info" | "egress-method-invalid" => {
                Cause::InvalidRequest
            }
            _ => Cause::NotAllowed,
        },
        EgressError::Header { .. } => Cause::InvalidRequest,
        EgressError::RequestTooLarge { .. } | EgressError::ResponseTooLarge { .. } => Cause::TooLarge,
        EgressError::Busy(..) => Cause::TooMany,
        EgressError::Dns { .. }
        | EgressError::Connect { .. }
        | EgressError::Tls { .. }
        | EgressError::NoResponse { .. } => Cause::Unreachable,
        EgressError::Timeout { .. } => Cause::TimedOut,
        EgressError::TooManyRedirects(_) | EgressError::ResponseEncoded { .. } => Cause::InvalidResponse,
        EgressError::Token(_) => Cause::NoToken,
        EgressError::Redirected(error) => cause(error),
        EgressError::Client(_) => Cause::Other,
    }
}
