//! The Graph API: routes a request to its object. Every path is `/{version}/{id}/{edge}`.
//!
//! Sending messages has a route of its own, because it is the path that carries load.

mod account;
mod call;
mod groups;
mod media;
mod send;
mod templates;

pub(crate) use media::download;
pub(crate) use send::messages;

use crate::connection::ConnectionHandle;
use crate::hub::Hub;
use crate::refusal::Refusal;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use call::{Call, CallResult, Reply, authorise, finish};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// `/{version}/{id}` and `/{version}/{id}/{edge}`.
#[expect(clippy::too_many_arguments, reason = "axum's extractors are arguments")]
pub(crate) async fn object(
    Shared(hub): Shared<Arc<Hub>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    Path(path): Path<BTreeMap<String, String>>,
    Query(query): Query<BTreeMap<String, String>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let part = |name: &str| path.get(name).map_or("", String::as_str);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let call = Call {
        hub: &hub,
        method: &method,
        id: part("id"),
        edge: part("edge"),
        base_url: format!("http://{host}"),
        query,
        headers: &headers,
        body: &body,
    };
    let reply = match dispatch(&call, part("version")).await {
        Ok(body) => Reply::ok(body),
        Err(refusal) => Reply::refused(&hub, &refusal),
    };
    // Uploads are not text.
    let logged = if body.len() > 64 * 1024 || call.body.first().is_some_and(|b| *b == b'-') {
        Bytes::from(format!("({} bytes)", body.len()))
    } else {
        body.clone()
    };
    finish(&hub, &connection, &method, &uri, &logged, started, reply).await
}

async fn dispatch(call: &Call<'_>, version: &str) -> CallResult {
    let hub = call.hub;
    // The app requests its own token with its secret instead of a token.
    if call.id == "oauth" && call.edge == "access_token" {
        return account::app_token(call);
    }
    authorise(hub, call.headers, version, call.query.get("access_token").map(String::as_str))?;
    let area = match (call.id, call.edge) {
        (_, "media" | "uploads") => "media",
        (_, "groups" | "participants" | "join_requests" | "invite_link") => "groups",
        (_, "message_templates" | "unpause") => "templates",
        (id, _) if hub.world().groups.find(id).is_some() => "groups",
        (id, _) if hub.world().templates.get(id).is_some() => "templates",
        _ => "account",
    };
    let fault = {
        let mut world = hub.world();
        let world = &mut *world;
        world.faults.call_fault(&mut world.rng, area)
    };
    if let Some(code) = fault {
        hub.world().counts.faults += 1;
        return Err(Refusal::new(code, "Injected fault."));
    }
    match (call.id, call.edge) {
        (_, "uploads") => media::start_upload(call),
        (id, "") if id.starts_with("upload:") => media::upload_part(call),
        (_, "subscriptions") => account::subscribe(call).await,
        (id, edge) if id == hub.config.phone_number_id => match edge {
            "media" => media::upload(call).await,
            "groups" => groups::of_number(call),
            _ => account::number(call).await,
        },
        (id, edge) if id == hub.config.business_account_id => match edge {
            "message_templates" => templates::of_account(call),
            _ => account::business(call).await,
        },
        ("message_template_library", "") => templates::library(call),
        (id, _) if hub.world().groups.find(id).is_some() => groups::group(call).await,
        (id, _) if hub.world().templates.get(id).is_some() => templates::template(call),
        (_, "") => media::file(call),
        (id, _) => Err(Refusal::unknown_object(call.method, id)),
    }
}

/// All other paths.
pub(crate) async fn unknown_path(Shared(hub): Shared<Arc<Hub>>, uri: Uri) -> Response {
    let refusal = Refusal::new(100, format!("Unsupported request: the simulator does not implement {}.", uri.path()));
    (StatusCode::BAD_REQUEST, axum::Json(refusal.body(&hub.ids.trace()))).into_response()
}
