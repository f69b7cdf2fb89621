//! The control API: what tests, the demo and the chat page turn. README.md describes it for its users.
//!
//! It has no password: it is for one's own machine. A page from elsewhere in one's browser could reach it there, so what a
//! browser marks as coming from another site is turned away.

mod account;
mod events;
mod files;
mod flood;
mod groups;
mod people;
mod state;
mod time;

use crate::groups::GroupNo;
use crate::hub::{Hub, World};
use crate::knobs::Knobs;
use crate::messages::{Chat, Message, State as MessageState};
use crate::people::PersonNo;
use crate::receipts;
use crate::say::{self, Say, Unsaid};
use crate::view::MessageView;
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
        .route("/control/people", get(people::list).post(people::add))
        .route("/control/people/{name}", get(people::show).post(people::change))
        .route("/control/groups", get(groups::list).post(groups::make))
        .route("/control/groups/{id}", post(groups::act))
        .route("/control/templates", get(account::templates).post(account::judge_template))
        .route("/control/account", get(account::show).post(account::change))
        .route("/control/marketing", post(account::marketing))
        .route("/control/media", post(files::add))
        .route("/control/media/{id}", get(files::show))
        .route("/control/state", get(state::save).post(state::load))
        .route("/control/say", post(speak))
        .route("/control/read", post(read))
        .route("/control/flood", post(flood::start))
        .route("/control/webhook", post(account::webhook))
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

    fn nothing(what: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, what.into())
    }

    fn conflict(what: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, what.into())
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
    /// In this group; none is the chat with the business.
    group: Option<String>,
    /// Up to this message; without it, everything.
    message: Option<String>,
    /// The voice message was heard.
    #[serde(default)]
    played: bool,
}

/// A person looks at a chat: what was delivered is read.
async fn read(State(hub): State<Arc<Hub>>, body: Result<Json<Read>, JsonRejection>) -> Answer {
    let Json(read) = body?;
    let mut world = hub.world();
    let no = person_no(&world, &read.from)?;
    let chat = match &read.group {
        None => Chat::Person(no),
        Some(id) => Chat::Group(group_no(&world, id)?),
    };
    let upto = match &read.message {
        None => u64::MAX,
        Some(id) => world.messages.find(id).ok_or_else(|| Problem::nothing(format!("no message `{id}`")))?,
    };
    let count = receipts::read_by(&hub, &mut world, chat, no, upto);
    let voice = |message: &Message| message.from_business && message.chat == chat && message.kind == "audio";
    if read.played && world.messages.get(upto).is_some_and(voice) {
        match chat {
            Chat::Person(_) => receipts::reach(&hub, &mut world, upto, MessageState::Played),
            Chat::Group(_) => receipts::reach_with(&hub, &mut world, upto, &[no], MessageState::Played),
        }
    }
    Ok(Json(json!({"read": count})))
}

/// Who is meant by a name; 404 where nobody is.
fn person_no(world: &World, name: &str) -> Result<PersonNo, Problem> {
    world.people.find(name).ok_or_else(|| Problem::nothing(format!("nobody is called `{name}`")))
}

/// Which group is meant by an id or an invite link; 404 where none is.
fn group_no(world: &World, id: &str) -> Result<GroupNo, Problem> {
    let found = world.groups.find(id).or_else(|| world.groups.find_link(id));
    found.ok_or_else(|| Problem::nothing(format!("there is no group `{id}`, and no such link")))
}

#[derive(Deserialize)]
#[serde(default)]
struct MessagesQuery {
    /// `business` (default), `person` or `both`.
    from: String,
    person: Option<String>,
    /// Those of this group; without it, those of all chats.
    group: Option<String>,
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
            group: None,
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
    let whose = query.person.as_deref().map(|name| person_no(&world, name)).transpose()?;
    let group = query.group.as_deref().map(|id| group_no(&world, id)).transpose()?;
    let wanted = |message: &&Message| {
        (if message.from_business { business } else { person })
            && whose.is_none_or(|no| message.person() == Some(no))
            && group.is_none_or(|no| message.chat == Chat::Group(no))
            && query.state.is_none_or(|state| state == message.state())
            && (query.crowd || !message.person().and_then(|no| world.people.get(no)).is_some_and(|person| person.crowd))
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
    /// Only what is about this message.
    message: Option<String>,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self { after: 0, limit: 100, message: None }
    }
}

async fn log(State(hub): State<Arc<Hub>>, Query(query): Query<LogQuery>) -> Answer {
    let entries = match query.message {
        None => hub.log.after(query.after, query.limit),
        Some(id) => {
            let seq = hub.world().messages.find(&id);
            hub.log.about(seq.ok_or_else(|| Problem::nothing(format!("no message `{id}`")))?)
        }
    };
    Ok(Json(json!({"entries": entries})))
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
