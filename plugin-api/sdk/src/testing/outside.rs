//! `http` and hooks in tests: a test says what a URL answers, and reads what was requested.

use super::Host;
use super::sent::Requested;
use super::world::World;
use crate::bindings::imports::http::{Request, Response};
use crate::bindings::imports::requests::Request as DurableRequest;
use crate::records::{RequestResponse, ResponseEvent, WebhookEvent};

impl Host {
    /// Says how requests of this method and URL are answered from now on. Others are refused, as if
    /// the operator had not allowed them.
    pub fn respond(&self, method: &str, url: &str, status: u16, body: impl Into<Vec<u8>>) {
        let response = Response { status, url: url.to_owned(), headers: Vec::new(), body: body.into() };
        World::with(|world| world.responses.insert((method.to_owned(), url.to_owned()), response));
    }

    /// Requests of the plugin since the last call, also those that were refused.
    pub fn requests(&self) -> Vec<Requested> {
        World::with(|world| std::mem::take(&mut world.requests))
    }

    /// Configures a secret, for [`crate::http::has_secret`].
    pub fn secret(&self, name: &str) {
        World::with(|world| world.secrets.insert(name.to_owned()));
    }

    /// Durable requests of the plugin since the last call, each with the event by which it is
    /// answered with this status and body.
    pub fn durable_requests(&self, status: u16, body: impl Into<Vec<u8>>) -> Vec<(Requested, ResponseEvent)> {
        let body = body.into();
        World::with(|world| {
            world.current = None;
            let made = std::mem::take(&mut world.durable);
            let answered = made.into_iter().map(|request| {
                let response =
                    RequestResponse { status, url: request.url.clone(), headers: Vec::new(), body: body.clone() };
                let DurableRequest { method, url, headers, body, context, .. } = request;
                let (info, extra) = (world.info(), "{}".to_owned());
                let event = ResponseEvent { info, context, attempts: 1, outcome: Ok(response), extra };
                (Requested { method, url, headers, body }, event)
            });
            answered.collect()
        })
    }

    /// Another program calls a hook with this body.
    pub fn webhook(&self, hook: &str, content_type: &str, body: impl Into<Vec<u8>>) -> WebhookEvent {
        World::with(|world| {
            world.current = None;
            WebhookEvent {
                info: world.info(),
                hook: hook.to_owned(),
                query: String::new(),
                headers: vec![("content-type".to_owned(), content_type.to_owned())],
                body: body.into(),
                extra: "{}".to_owned(),
            }
        })
    }
}

pub(crate) mod http {
    use super::*;
    use crate::bindings::imports::http::{Cause, RequestError};

    pub(crate) fn send(request: &Request) -> Result<Response, RequestError> {
        World::with(|world| {
            let Request { method, url, headers, body, .. } = request.clone();
            world.requests.push(Requested { method: method.clone(), url: url.clone(), headers, body });
            world.responses.get(&(method, url.clone())).cloned().ok_or_else(|| RequestError {
                cause: Cause::NotAllowed,
                code: "egress-host-not-allowed".to_owned(),
                message: format!("the test has no response for {url}"),
                instead: None,
                may_be_sent: false,
            })
        })
    }

    pub(crate) fn has_secret(name: &str) -> bool {
        World::with(|world| world.secrets.contains(name))
    }
}

pub(crate) mod requests {
    use super::*;
    use crate::bindings::imports::requests::Request;
    use crate::types::Refusal;

    pub(crate) fn send(request: &Request) -> Result<(), Refusal> {
        World::with(|world| world.durable.push(request.clone()));
        Ok(())
    }
}
