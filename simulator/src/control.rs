//! The control API: what tests, the demo and the chat page turn. README.md describes it for its users.
//!
//! It has no password: it is for one's own machine. A page from elsewhere in one's browser could reach it there, so what a
//! browser marks as coming from another site is turned away.

mod events;
mod flood;
mod time;

use crate::hub::Hub;
use crate::knobs::Knobs;
use crate::letter::{Update, What};
use crate::messages::{Message, State as MessageState};
use crate::people::NewPerson;
use crate::say::{self, Say, Unsaid};
use crate::view::MessageView;
use crate::{receipts, wire};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a handler gives: JSON, or a status and what is wrong.
type Answer = Result<Json<Value>, Problem>;

/// As many messages as one answer lists; more are fetched with `after`.
const MOST_LISTED: usize = 10_000;

pub(crate) fn routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/control/people", get(people).post(add_person))
        .route("/control/say", post(speak))
        .route("/control/read", post(read))
        .route("/control/flood", post(flood::start))
        .route("/control/webhook", post(webhook))
        .route("/control/messages", get(messages))
        .route("/control/log", get(log))
        .route("/control/faults", get(faults).post(set_faults).delete(clear_faults))
        .route("/control/reset", post(reset))
        .route("/control/clock", get(time::read).post(time::turn))
        .route("/control/idle", get(time::idle))
        .route("/control/events", get(events::stream))
        .layer(from_fn(turn_away_other_sites))
}

/// Browsers say where a request comes from; programs say nothing.
async fn turn_away_other_sites(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").map(|site| site.as_bytes());
    match site {
        None | Some(b"same-origin" | b"none") => next.run(request).await,
        Some(_) => Problem(StatusCode::FORBIDDEN, "another site has no say here".to_owned()).into_response(),
    }
}

/// What went wrong, for the one who asked.
pub(crate) struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl Problem {
    fn wrong(what: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, what.into())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<Unsaid> for Problem {
    fn from(unsaid: Unsaid) -> Self {
        match unsaid {
            Unsaid::NotFound(what) => Self(StatusCode::NOT_FOUND, what),
            Unsaid::Wrong(what) => Self::wrong(what),
            Unsaid::Busy => Self(StatusCode::SERVICE_UNAVAILABLE, "the backlog of updates is full".to_owned()),
        }
    }
}

#[derive(Deserialize)]
struct PeopleQuery {
    /// Those of floods too.
    #[serde(default)]
    crowd: bool,
}

async fn people(State(hub): State<Arc<Hub>>, Query(query): Query<PeopleQuery>) -> Json<Value> {
    let world = hub.world();
    let listed: Vec<_> = world.people.iter().filter(|person| query.crowd || !person.crowd).take(MOST_LISTED).collect();
    Json(json!({"people": listed, "count": world.people.len()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddPerson {
    name: String,
    number: Option<String>,
    username: Option<String>,
    /// The business sees no number, only a user id.
    #[serde(default)]
    hidden: bool,
}

async fn add_person(State(hub): State<Arc<Hub>>, body: Result<Json<AddPerson>, JsonRejection>) -> Answer {
    let Json(AddPerson { name, number, username, hidden }) = body?;
    let mut world = hub.world();
    let new = NewPerson { name, number, username, hidden, crowd: false };
    let no = world.people.add(new).map_err(Problem::wrong)?;
    crate::view::tell_person(&hub, &world, no);
    Ok(Json(json!(world.people.get(no))))
}

async fn speak(State(hub): State<Arc<Hub>>, body: Result<Json<Say>, JsonRejection>) -> Answer {
    let Json(what) = body?;
    let mut world = hub.world();
    let seq = say::say(&hub, &mut world, what)?;
    let message = world.messages.get(seq);
    Ok(Json(json!(message.map(|message| MessageView::new(&world, message)))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    /// Whoever reads.
    from: String,
    /// Up to this message; without it, everything.
    message: Option<String>,
}

/// A person looks at the chat: what was delivered is read.
async fn read(State(hub): State<Arc<Hub>>, body: Result<Json<Read>, JsonRejection>) -> Answer {
    let Json(read) = body?;
    let mut world = hub.world();
    let no = world.people.find(&read.from);
    let no = no.ok_or_else(|| Problem(StatusCode::NOT_FOUND, format!("nobody is called `{}`", read.from)))?;
    let upto = match &read.message {
        None => u64::MAX,
        Some(id) => {
            world.messages.find(id).ok_or_else(|| Problem(StatusCode::NOT_FOUND, format!("no message `{id}`")))?
        }
    };
    let delivered =
        |message: &&Message| message.from_business && message.seq <= upto && message.state() == MessageState::Delivered;
    let mut unread: Vec<u64> = world.messages.of(no).filter(delivered).map(|message| message.seq).collect();
    unread.reverse();
    for seq in &unread {
        receipts::reach(&hub, &mut world, *seq, MessageState::Read);
    }
    Ok(Json(json!({"read": unread.len()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    field: String,
    value: Value,
}

/// Any other change: whatsapp.md 1.8 and 3.3.
async fn webhook(State(hub): State<Arc<Hub>>, body: Result<Json<Webhook>, JsonRejection>) -> Answer {
    let Json(Webhook { field, value }) = body?;
    if field.is_empty() || !field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(Problem::wrong("a field's name is of a-z and _"));
    }
    let json = wire::to_json(&value).into();
    let update = Update { lane: 0, what: What::Field(field), json, contact: None, delivers: None };
    if hub.deliver(&mut hub.world(), update) { Ok(Json(json!({}))) } else { Err(Unsaid::Busy.into()) }
}

#[derive(Deserialize)]
#[serde(default)]
struct MessagesQuery {
    /// `business` (default), `person` or `both`.
    from: String,
    person: Option<String>,
    state: Option<MessageState>,
    /// Only those with a larger `seq`.
    after: u64,
    limit: usize,
    /// Only so many of the newest.
    newest: Option<usize>,
    /// Those of floods too.
    crowd: bool,
}

impl Default for MessagesQuery {
    fn default() -> Self {
        Self {
            from: "business".to_owned(),
            person: None,
            state: None,
            after: 0,
            limit: MOST_LISTED,
            newest: None,
            crowd: true,
        }
    }
}

async fn messages(State(hub): State<Arc<Hub>>, Query(query): Query<MessagesQuery>) -> Answer {
    let world = hub.world();
    let (business, person) = match query.from.as_str() {
        "business" => (true, false),
        "person" => (false, true),
        "both" => (true, true),
        other => return Err(Problem::wrong(format!("from is business, person or both, not `{other}`"))),
    };
    let whose = match &query.person {
        None => None,
        Some(name) => {
            let nobody = || Problem(StatusCode::NOT_FOUND, format!("nobody is called `{name}`"));
            Some(world.people.find(name).ok_or_else(nobody)?)
        }
    };
    let wanted = |message: &&Message| {
        (if message.from_business { business } else { person })
            && whose.is_none_or(|no| no == message.person)
            && query.state.is_none_or(|state| state == message.state())
            && (query.crowd || world.people.get(message.person).is_some_and(|person| !person.crowd))
    };
    let all = world.messages.after(query.after).filter(wanted);
    let mut found: Vec<_> = match query.newest {
        None => all.take(query.limit.min(MOST_LISTED)).collect(),
        Some(newest) => all.rev().take(newest.min(MOST_LISTED)).collect(),
    };
    found.sort_by_key(|message| message.seq);
    let listed: Vec<_> = found.into_iter().map(|message| MessageView::new(&world, message)).collect();
    Ok(Json(json!({"messages": listed, "counts": world.counts})))
}

#[derive(Deserialize)]
#[serde(default)]
struct LogQuery {
    after: u64,
    limit: usize,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self { after: 0, limit: 100 }
    }
}

async fn log(State(hub): State<Arc<Hub>>, Query(query): Query<LogQuery>) -> Json<Value> {
    Json(json!({"entries": hub.log.after(query.after, query.limit)}))
}

async fn faults(State(hub): State<Arc<Hub>>) -> Json<Value> {
    Json(json!(hub.world().knobs))
}

/// Sets the knobs that are named, each as a whole; `null` puts one back.
async fn set_faults(State(hub): State<Arc<Hub>>, body: Result<Json<Map<String, Value>>, JsonRejection>) -> Answer {
    let Json(changes) = body?;
    let mut world = hub.world();
    let mut all = json!(world.knobs);
    if let Some(all) = all.as_object_mut() {
        for (name, value) in changes {
            if value.is_null() {
                all.remove(&name);
            } else {
                all.insert(name, value);
            }
        }
    }
    let knobs: Knobs = serde_json::from_value(all).map_err(|error| Problem::wrong(error.to_string()))?;
    knobs.check().map_err(Problem::wrong)?;
    Ok(turn(&hub, &mut world.knobs, knobs))
}

async fn clear_faults(State(hub): State<Arc<Hub>>) -> Json<Value> {
    turn(&hub, &mut hub.world().knobs, Knobs::default())
}

fn turn(hub: &Hub, knobs: &mut Knobs, to: Knobs) -> Json<Value> {
    *knobs = to;
    hub.courier.pause(knobs.webhooks_paused);
    hub.tell(|| json!({"kind": "faults", "faults": knobs}));
    Json(json!(knobs))
}

async fn reset(State(hub): State<Arc<Hub>>) -> Json<Value> {
    hub.reset();
    Json(json!({}))
}
