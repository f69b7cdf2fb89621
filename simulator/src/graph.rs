//! The Graph API: who may call, what the call is about, what is answered and what goes wrong with the answer.
//!
//! Sending has a module of its own and is the path that load takes; everything else is an object by its id, and an edge of
//! it: `/{version}/{id}/{edge}`.

mod account;
mod groups;
mod media;
mod send;
mod templates;

pub(crate) use media::download;
pub(crate) use send::messages;

use crate::hub::Hub;
use crate::knobs::SendFault;
use crate::line::Line;
use crate::log;
use crate::refusal::Refusal;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Multipart, Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that a request which is never answered is kept; any client has given up by then.
const NEVER: Duration = Duration::from_secs(3600);

/// What is to be answered, and what goes wrong with the answer.
pub(crate) struct Reply {
    status: u16,
    body: Option<Value>,
    fault: Option<SendFault>,
    /// The message it made or is about.
    about: Option<u64>,
}

impl Reply {
    fn good(body: Value) -> Self {
        Self { status: 200, body: Some(body), fault: None, about: None }
    }

    fn bare(status: u16) -> Self {
        Self { status, body: None, fault: None, about: None }
    }

    fn refused(hub: &Hub, refusal: &Refusal) -> Self {
        *hub.world().counts.refused.entry(refusal.code).or_default() += 1;
        Self { status: refusal.status(), ..Self::good(refusal.answer(&hub.ids.trace())) }
    }
}

/// A call that is not a message.
pub(crate) struct Call<'a> {
    pub hub: &'a Arc<Hub>,
    pub method: &'a Method,
    pub id: &'a str,
    /// What comes after the id; empty where it is about the object itself.
    pub edge: &'a str,
    pub query: BTreeMap<String, String>,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// Where the caller reached us: what addresses of files begin with.
    pub base: String,
}

/// What a call gives: JSON with 200, or a "no".
pub(crate) type Given = Result<Value, Refusal>;

impl Call<'_> {
    /// The body as JSON, null where there is none.
    fn json(&self) -> Given {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(self.body).map_err(|_| Refusal::new(100, "The body is not JSON."))
    }

    /// The body as JSON that says `messaging_product`.
    fn product_json(&self) -> Given {
        let body = self.json()?;
        match body.get("messaging_product").and_then(Value::as_str) {
            Some("whatsapp") => Ok(body),
            _ => Err(Refusal::new(100, "The parameter messaging_product is required.")),
        }
    }

    /// Of the query, or else of the JSON body.
    fn parameter(&self, name: &str) -> Option<String> {
        let in_body = || Some(self.json().ok()?.get(name)?.as_str()?.to_owned());
        self.query.get(name).cloned().or_else(in_body)
    }

    /// The fields that are asked for; none is all of them.
    fn fields(&self) -> Option<Vec<&str>> {
        self.query.get("fields").map(|fields| fields.split(',').map(str::trim).collect())
    }

    /// A form with a file.
    async fn form(&self) -> Result<Form, Refusal> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.headers_mut() = self.headers.clone();
        // It was held to the limit when it was read.
        DefaultBodyLimit::disable().apply(&mut request);
        let wrong = |error: &dyn std::fmt::Display| Refusal::new(100, format!("The form could not be read: {error}"));
        let mut parts = Multipart::from_request(request, &()).await.map_err(|error| wrong(&error))?;
        let mut form = Form::default();
        while let Some(part) = parts.next_field().await.map_err(|error| wrong(&error))? {
            let name = part.name().unwrap_or_default().to_owned();
            let filename = part.file_name().map(str::to_owned);
            let mime = part.content_type().map(str::to_owned);
            let bytes = part.bytes().await.map_err(|error| wrong(&error))?;
            match filename {
                Some(filename) => form.file = Some(Upload { filename, mime, bytes }),
                None => {
                    form.fields.insert(name, String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
        Ok(form)
    }

    /// What an object of this kind does not do.
    fn unsupported(&self) -> Refusal {
        Refusal::new(
            100,
            format!("Unsupported {} request: /{}/{}.", self.method.as_str().to_lowercase(), self.id, self.edge),
        )
    }
}

/// A multipart form: its fields, and the file in it.
#[derive(Default)]
pub(crate) struct Form {
    fields: BTreeMap<String, String>,
    file: Option<Upload>,
}

pub(crate) struct Upload {
    filename: String,
    mime: Option<String>,
    bytes: Bytes,
}

/// `/{version}/{id}`, `/{version}/{id}/{edge}`.
#[expect(clippy::too_many_arguments, reason = "axum's extractors are arguments")]
pub(crate) async fn object(
    Shared(hub): Shared<Arc<Hub>>,
    ConnectInfo(line): ConnectInfo<Line>,
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
        base: format!("http://{host}"),
        query,
        headers: &headers,
        body: &body,
    };
    let reply = match answer(&call, part("version")).await {
        Ok(body) => Reply::good(body),
        Err(refusal) => Reply::refused(&hub, &refusal),
    };
    // What is uploaded is no text.
    let shown = if body.len() > 64 * 1024 || call.body.first().is_some_and(|b| *b == b'-') {
        Bytes::from(format!("({} bytes)", body.len()))
    } else {
        body.clone()
    };
    finish(&hub, &line, &method, &uri, &shown, started, reply).await
}

async fn answer(call: &Call<'_>, version: &str) -> Given {
    let hub = call.hub;
    // An app asks for its own token with its secret.
    if call.id == "oauth" && call.edge == "access_token" {
        return account::app_token(call);
    }
    authorise(hub, call.headers, version, call.query.get("access_token").map(String::as_str))?;
    let what = match (call.id, call.edge) {
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
        world.knobs.call_fault(&mut world.chance, what)
    };
    if let Some(code) = fault {
        hub.world().counts.faults += 1;
        return Err(Refusal::new(code, "A fault on demand."));
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
        (id, _) => Err(Refusal::no_such(id)),
    }
}

/// Logs the call, and answers it as its fault has it.
async fn finish(
    hub: &Hub,
    line: &Line,
    method: &Method,
    uri: &Uri,
    body: &[u8],
    started: Instant,
    reply: Reply,
) -> Response {
    let text = reply.body.map_or_else(String::new, |body| body.to_string());
    if let Some(SendFault::Slow(ms)) = reply.fault {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let never = matches!(
        reply.fault,
        Some(SendFault::Timeout | SendFault::TimeoutAfter | SendFault::DropBefore | SendFault::DropAfter)
    );
    let answered = (!never).then_some(reply.status);
    hub.log.add(|| log::Entry {
        at_ms: hub.clock.now_ms(),
        direction: "in",
        method: method.to_string(),
        path: path_shown(uri),
        status: answered,
        request: log::shown(body),
        response: if answered.is_some() { log::shown(text.as_bytes()) } else { String::new() },
        note: reply.fault.as_ref().map(|fault| format!("fault: {fault:?}")),
        took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        about: reply.about.into_iter().collect(),
        ..log::Entry::default()
    });
    match reply.fault {
        Some(SendFault::Timeout | SendFault::TimeoutAfter) => tokio::time::sleep(NEVER).await,
        Some(SendFault::DropBefore | SendFault::DropAfter) => line.cut(),
        _ => {}
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The path with its query, without what is secret in that.
fn path_shown(uri: &Uri) -> String {
    let secret =
        |pair: &str| ["access_token=", "client_secret=", "verify_token="].iter().any(|name| pair.starts_with(name));
    match uri.query() {
        None => uri.path().to_owned(),
        Some(query) => {
            let shown: Vec<&str> = query.split('&').filter(|pair| !secret(pair)).collect();
            if shown.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), shown.join("&")) }
        }
    }
}

/// Any other path.
pub(crate) async fn elsewhere(Shared(hub): Shared<Arc<Hub>>, uri: Uri) -> Response {
    let refusal = Refusal::new(100, format!("Unsupported request: this local WhatsApp does not have {}.", uri.path()));
    (StatusCode::BAD_REQUEST, axum::Json(refusal.answer(&hub.ids.trace()))).into_response()
}

/// The token, and a version in the path.
fn authorise(hub: &Hub, headers: &HeaderMap, version: &str, in_query: Option<&str>) -> Result<(), Refusal> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = in_query.or_else(|| header.and_then(|token| token.strip_prefix("Bearer ")));
    if !token.is_some_and(|token| hub.knows_token(token)) {
        return Err(Refusal::new(190, "Invalid OAuth access token - Cannot parse access token"));
    }
    if hub.world().knobs.token_expired {
        return Err(Refusal::new(190, "Error validating access token: Session has expired."));
    }
    let is_version = version
        .strip_prefix('v')
        .and_then(|v| v.split_once('.'))
        .is_some_and(|(major, minor)| major.parse::<u16>().is_ok() && minor.parse::<u16>().is_ok());
    if is_version { Ok(()) } else { Err(Refusal::new(100, format!("Unknown path components: /{version}."))) }
}

/// A page of a list, as Graph pages them: cursors are positions.
fn page(call: &Call<'_>, all: Vec<Value>, default: usize, most: usize) -> Result<(Vec<Value>, Value), Refusal> {
    let limit = match call.query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => default,
        Some(Ok(limit)) if (1..=most).contains(&limit) => limit,
        Some(_) => return Err(Refusal::new(100, format!("Param limit must be between 1 and {most}."))),
    };
    let cursor = |name: &str| match call.query.get(name).filter(|cursor| !cursor.is_empty()) {
        None => Ok(None),
        Some(cursor) => {
            let position =
                crate::ids::from_base64(cursor).and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<usize>().ok());
            position.map(Some).ok_or_else(|| Refusal::new(131_059, "The cursor is not one of ours."))
        }
    };
    let from = match (cursor("after")?, cursor("before")?) {
        (Some(after), _) => after,
        (None, Some(before)) => before.saturating_sub(limit),
        (None, None) => 0,
    };
    let total = all.len();
    let shown: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
    let end = from + shown.len();
    let coded = |position: usize| crate::ids::base64(position.to_string().as_bytes());
    let mut paging = serde_json::json!({"cursors": {"before": coded(from), "after": coded(end)}});
    if let (true, Some(paging)) = (end < total, paging.as_object_mut()) {
        let path = format!("{}/{}/{}", call.base, call.id, call.edge);
        paging.insert("next".to_owned(), serde_json::json!(format!("{path}?limit={limit}&after={}", coded(end))));
    }
    Ok((shown, paging))
}

/// Only these members of an object; `id` always.
fn only(mut object: Value, fields: Option<&[&str]>) -> Value {
    if let (Some(fields), Some(object)) = (fields, object.as_object_mut()) {
        object.retain(|key, _| key == "id" || fields.contains(&key.as_str()));
    }
    object
}
