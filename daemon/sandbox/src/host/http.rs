//! `http`: requests to hosts that the operator allowed, while the plugin waits.
//!
//! The policy and the client are `beadle-egress`. Here a request gets a deadline before that of the
//! call, so that the plugin can react to a time-out. A call that waits gives its permit to another
//! call of the plugin, so that a slow server does not hold up other conversations; how many of them
//! wait at a time is limited, because each keeps its memory. A dry run makes no request.

use super::host_state::HostState;
use crate::bindings::latest::http::{Cause, Host, Request, RequestError, Response};
use crate::text::shortened;
use beadle_egress::{Denied, EgressError, EgressRequest, EgressResponse};
use beadle_model::{Coded as _, Refusal};
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
        self.event().map_err(refused)?;
        let requests = Arc::clone(&self.requests);
        let admitted = requests.admit().map_err(refused)?;
        let Request { method, url, headers, body, timeout_ms } = request;
        let mut request = EgressRequest::new(&method, &url, headers, body).map_err(|error| failure(&error))?;
        requests.sign(&admitted, &mut request);
        let own = timeout_ms.map_or(Duration::MAX, |ms| Duration::from_millis(ms.into()));
        let limit = own.min(admitted.limit);
        let plugin = requests.plugin();
        let sending = tokio::time::timeout(limit, admitted.policies.send(plugin, request));
        match requests.waiting(sending).await.map_err(refused)? {
            Ok(Ok(response)) => Ok(answered(response)),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => {
                admitted.policies.count(plugin, "egress-timeout");
                let message = format!("no response within {} ms", limit.as_millis());
                let cause = Cause::TimedOut;
                Err(RequestError { cause, code: "egress-timeout".into(), message, instead: None, may_be_sent: true })
            }
        }
    }
}

fn refused(refusal: Refusal) -> RequestError {
    let Refusal { code, message, instead } = refusal;
    let cause = match code.as_str() {
        "http-request-limit" | "http-too-many-waiting" => Cause::TooMany,
        _ => Cause::Other,
    };
    RequestError { cause, code, message, instead, may_be_sent: false }
}

fn answered(response: EgressResponse) -> Response {
    let headers = response.header_texts();
    Response { status: response.status.as_u16(), url: response.url, headers, body: response.body }
}

/// The error as the plugin gets it. Secrets were removed from its text.
fn failure(error: &EgressError) -> RequestError {
    let instead = denied(error).and_then(|denied| denied.toml.clone());
    RequestError {
        cause: cause(error),
        code: error.code().to_owned(),
        message: message_of(error),
        instead: instead.map(shortened),
        may_be_sent: error.may_be_sent(),
    }
}

/// What happened, without the lines that would allow it.
pub fn message_of(error: &EgressError) -> String {
    shortened(match denied(error) {
        Some(denied) => Denied { toml: None, ..denied.clone() }.to_string(),
        None => error.to_string(),
    })
}

/// What is not allowed, if that is the error.
pub fn denied(error: &EgressError) -> Option<&Denied> {
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
        EgressError::Busy(..) | EgressError::Rate { .. } => Cause::TooMany,
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
