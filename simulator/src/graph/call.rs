//! A request to the Graph API and its response: parsing, authorisation, paging, errors, logging and
//! injected faults. Shared by all endpoints.

use crate::connection::ConnectionHandle;
use crate::faults::SendFault;
use crate::hub::Hub;
use crate::ids;
use crate::log;
use crate::refusal::Refusal;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Query, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request that is never answered is held. Clients give up earlier.
const NO_RESPONSE: Duration = Duration::from_secs(3600);

/// A response, and the fault that affects it.
pub(super) struct Reply {
    pub status: u16,
    pub body: Option<Value>,
    pub fault: Option<SendFault>,
    /// The message that it made or is about, for the log.
    pub about: Option<u64>,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), fault: None, about: None }
    }

    pub(super) fn without_body(status: u16) -> Self {
        Self { status, body: None, fault: None, about: None }
    }

    pub(super) fn refused(hub: &Hub, refusal: &Refusal) -> Self {
        *hub.world().counts.refused.entry(refusal.code).or_default() += 1;
        Self { status: refusal.status(), ..Self::ok(refusal.body(&hub.ids.trace())) }
    }
}

/// A request other than sending a message.
pub(super) struct Call<'a> {
    pub hub: &'a Arc<Hub>,
    pub method: &'a Method,
    pub id: &'a str,
    /// The path segment after the id; empty for the object itself.
    pub edge: &'a str,
    pub query: BTreeMap<String, String>,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// The URL by which the client reached the simulator, for download URLs.
    pub base_url: String,
}

/// The JSON of a successful response, or a refusal.
pub(super) type CallResult = Result<Value, Refusal>;

impl Call<'_> {
    /// The body as JSON; null if it is empty.
    pub(super) fn json(&self) -> CallResult {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        parse_body(self.headers, self.body)
    }

    /// The body as JSON, which must have `messaging_product`.
    pub(super) fn product_json(&self) -> CallResult {
        let body = self.json()?;
        match body.get("messaging_product").and_then(Value::as_str) {
            Some("whatsapp") => Ok(body),
            _ => Err(Refusal::new(100, "The parameter messaging_product is required.")),
        }
    }

    /// A parameter from the query, or else from the JSON body.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let in_body = || Some(self.json().ok()?.get(name)?.as_str()?.to_owned());
        self.query.get(name).cloned().or_else(in_body)
    }

    /// The requested fields; `None` means all.
    pub(super) fn fields(&self) -> Option<Vec<&str>> {
        self.query.get("fields").map(|fields| fields.split(',').map(str::trim).collect())
    }

    /// The body as a multipart form.
    pub(super) async fn form(&self) -> Result<Form, Refusal> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.headers_mut() = self.headers.clone();
        // The limit was enforced when the body was read.
        DefaultBodyLimit::disable().apply(&mut request);
        let invalid = |error: &dyn std::fmt::Display| Refusal::new(100, format!("The form could not be read: {error}"));
        let mut parts = Multipart::from_request(request, &()).await.map_err(|error| invalid(&error))?;
        let mut form = Form::default();
        while let Some(part) = parts.next_field().await.map_err(|error| invalid(&error))? {
            let name = part.name().unwrap_or_default().to_owned();
            let filename = part.file_name().map(str::to_owned);
            let mime = part.content_type().map(str::to_owned);
            let bytes = part.bytes().await.map_err(|error| invalid(&error))?;
            match filename {
                Some(filename) => form.file = Some(Upload { filename, mime, bytes }),
                None => {
                    form.fields.insert(name, String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
        Ok(form)
    }

    /// The refusal of a method or edge that the object does not have.
    pub(super) fn unsupported(&self) -> Refusal {
        Refusal::new(
            100,
            format!("Unsupported {} request: /{}/{}.", self.method.as_str().to_lowercase(), self.id, self.edge),
        )
    }
}

/// A body as JSON. It may be form-encoded, with JSON in the values of nested members. Members that
/// are null count as missing, as the platform treats them.
pub(super) fn parse_body(headers: &HeaderMap, body: &[u8]) -> CallResult {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut value = if content_type.starts_with("application/x-www-form-urlencoded") {
        form_encoded(body).ok_or_else(|| Refusal::new(100, "The body is not form-encoded."))?
    } else {
        serde_json::from_slice(body).map_err(|_| Refusal::new(100, "The body is not JSON."))?
    };
    remove_nulls(&mut value);
    Ok(value)
}

fn form_encoded(body: &[u8]) -> Option<Value> {
    let uri: Uri = format!("http://localhost/?{}", std::str::from_utf8(body).ok()?.trim()).parse().ok()?;
    let Query(members) = Query::<BTreeMap<String, String>>::try_from_uri(&uri).ok()?;
    let value = |text: String| match text.chars().next() {
        Some('{' | '[') => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        _ => Value::String(text),
    };
    Some(Value::Object(members.into_iter().map(|(name, text)| (name, value(text))).collect()))
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// A multipart form with at most one file.
#[derive(Default)]
pub(super) struct Form {
    pub fields: BTreeMap<String, String>,
    pub file: Option<Upload>,
}

pub(super) struct Upload {
    pub filename: String,
    pub mime: Option<String>,
    pub bytes: Bytes,
}

/// Logs a request and sends its response, subject to its fault.
pub(super) async fn finish(
    hub: &Hub,
    connection: &ConnectionHandle,
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
    let no_response = matches!(
        reply.fault,
        Some(SendFault::Timeout | SendFault::TimeoutAfter | SendFault::DropBefore | SendFault::DropAfter)
    );
    let status = (!no_response).then_some(reply.status);
    hub.log.add(|| log::Entry {
        at_ms: hub.clock.now_ms(),
        direction: "in",
        method: method.to_string(),
        path: path_without_secrets(uri),
        status,
        request: log::body_text(body),
        response: if status.is_some() { log::body_text(text.as_bytes()) } else { String::new() },
        note: reply.fault.as_ref().map(|fault| format!("fault: {fault:?}")),
        duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        about: reply.about.into_iter().collect(),
        ..log::Entry::default()
    });
    match reply.fault {
        Some(SendFault::Timeout | SendFault::TimeoutAfter) => tokio::time::sleep(NO_RESPONSE).await,
        Some(SendFault::DropBefore | SendFault::DropAfter) => connection.cut(),
        _ => {}
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The path and query of a request, without parameters that are secret.
fn path_without_secrets(uri: &Uri) -> String {
    let secret =
        |pair: &str| ["access_token=", "client_secret=", "verify_token="].iter().any(|name| pair.starts_with(name));
    match uri.query() {
        None => uri.path().to_owned(),
        Some(query) => {
            let public: Vec<&str> = query.split('&').filter(|pair| !secret(pair)).collect();
            if public.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), public.join("&")) }
        }
    }
}

/// Checks the access token and the version in the path.
pub(super) fn authorise(hub: &Hub, headers: &HeaderMap, version: &str, in_query: Option<&str>) -> Result<(), Refusal> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = in_query.or_else(|| header.and_then(|token| token.strip_prefix("Bearer ")));
    if !token.is_some_and(|token| hub.accepts_token(token)) {
        return Err(Refusal::new(190, "Invalid OAuth access token - Cannot parse access token"));
    }
    if hub.world().faults.token_expired {
        return Err(Refusal::new(190, "Error validating access token: Session has expired."));
    }
    let is_version = version
        .strip_prefix('v')
        .and_then(|v| v.split_once('.'))
        .is_some_and(|(major, minor)| major.parse::<u16>().is_ok() && minor.parse::<u16>().is_ok());
    if is_version { Ok(()) } else { Err(Refusal::new(100, format!("Unknown path components: /{version}."))) }
}

/// One page of a list, with the Graph API's paging. Cursors are encoded positions.
pub(super) fn page(
    call: &Call<'_>,
    all: Vec<Value>,
    default_limit: usize,
    max_limit: usize,
) -> Result<(Vec<Value>, Value), Refusal> {
    let limit = match call.query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => default_limit,
        Some(Ok(limit)) if (1..=max_limit).contains(&limit) => limit,
        Some(_) => return Err(Refusal::new(100, format!("Param limit must be between 1 and {max_limit}."))),
    };
    let cursor = |name: &str| match call.query.get(name).filter(|cursor| !cursor.is_empty()) {
        None => Ok(None),
        Some(cursor) => {
            let position =
                ids::from_base64(cursor).and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<usize>().ok());
            position.map(Some).ok_or_else(|| Refusal::new(131_059, "The cursor is invalid."))
        }
    };
    let from = match (cursor("after")?, cursor("before")?) {
        (Some(after), _) => after,
        (None, Some(before)) => before.saturating_sub(limit),
        (None, None) => 0,
    };
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
    let end = from + page.len();
    let encode = |position: usize| ids::base64(position.to_string().as_bytes());
    let mut paging = json!({"cursors": {"before": encode(from), "after": encode(end)}});
    if let (true, Some(paging)) = (end < total, paging.as_object_mut()) {
        let path = format!("{}/{}/{}", call.base_url, call.id, call.edge);
        paging.insert("next".to_owned(), json!(format!("{path}?limit={limit}&after={}", encode(end))));
    }
    Ok((page, paging))
}

/// Reduces an object to the requested fields and `id`.
pub(super) fn only(mut object: Value, fields: Option<&[&str]>) -> Value {
    if let (Some(fields), Some(object)) = (fields, object.as_object_mut()) {
        object.retain(|key, _| key == "id" || fields.contains(&key.as_str()));
    }
    object
}
