//! The control API, for tests, the demo and the chat page. README.md documents it.
//!
//! It has no authentication and is meant for the local machine. A web page of another site could
//! reach it through the browser, so requests that the browser marks as cross-site are refused.

mod account;
mod answer;
mod clock;
mod events;
mod files;
mod flood;
mod groups;
mod people;
mod state;

use crate::faults::Faults;
use crate::hub::Hub;
use crate::messages::{Chat, Message, MessageState};
use crate::receipts;
use crate::say::{self, Say};
use crate::view::MessageView;
use answer::{Answer, ControlError, MAX_LISTED, group_no, person_no};
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

pub(crate) fn routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/control/people", get(people::list).post(people::add))
        .route("/control/people/{name}", get(people::show).post(people::change))
        .route("/control/groups", get(groups::list).post(groups::create))
        .route("/control/groups/{id}", post(groups::act))
        .route("/control/templates", get(account::templates).post(account::change_template))
        .route("/control/account", get(account::show).post(account::change))
        .route("/control/marketing", post(account::marketing))
        .route("/control/media", post(files::add))
        .route("/control/media/{id}", get(files::show))
        .route("/control/state", get(state::save).post(state::load))
        .route("/control/say", post(say_message))
        .route("/control/read", post(read))
        .route("/control/flood", post(flood::start))
        .route("/control/webhook", post(account::webhook))
        .route("/control/messages", get(messages))
        .route("/control/log", get(log))
        .route("/control/faults", get(faults).post(set_faults).delete(clear_faults))
        .route("/control/reset", post(reset))
        .route("/control/clock", get(clock::read).post(clock::change))
        .route("/control/idle", get(clock::idle))
        .route("/control/events", get(events::stream))
        .layer(from_fn(refuse_cross_site))
}

/// Refuses requests that a browser sends for a page of another site. Other clients do not send the
/// header.
async fn refuse_cross_site(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").map(|site| site.as_bytes());
    match site {
        None | Some(b"same-origin" | b"none") => next.run(request).await,
        Some(_) => {
            ControlError(StatusCode::FORBIDDEN, "cross-site requests are not allowed".to_owned()).into_response()
        }
    }
}

async fn say_message(State(hub): State<Arc<Hub>>, body: Result<Json<Say>, JsonRejection>) -> Answer {
    let Json(request) = body?;
    let mut world = hub.world();
    let seq = say::say(&hub, &mut world, request)?;
    let message = world.messages.get(seq);
    Ok(Json(json!(message.map(|message| MessageView::new(&world, message)))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    /// The reader.
    from: String,
    /// The group; without it, the chat with the business.
    group: Option<String>,
    /// The last message that is read; without it, all.
    message: Option<String>,
    /// The voice message was played.
    #[serde(default)]
    played: bool,
}

/// A person reads a chat.
async fn read(State(hub): State<Arc<Hub>>, body: Result<Json<Read>, JsonRejection>) -> Answer {
    let Json(read) = body?;
    let mut world = hub.world();
    let no = person_no(&world, &read.from)?;
    let chat = match &read.group {
        None => Chat::Person(no),
        Some(id) => Chat::Group(group_no(&world, id)?),
    };
    let last = match &read.message {
        None => u64::MAX,
        Some(id) => world.messages.find(id).ok_or_else(|| unknown_message(id))?,
    };
    let count = receipts::read_by(&hub, &mut world, chat, no, last);
    let voice = |message: &Message| message.from_business && message.chat == chat && message.kind == "audio";
    if read.played && world.messages.get(last).is_some_and(voice) {
        match chat {
            Chat::Person(_) => receipts::reach(&hub, &mut world, last, MessageState::Played),
            Chat::Group(_) => receipts::reach_in_group(&hub, &mut world, last, &[no], MessageState::Played),
        }
    }
    Ok(Json(json!({"read": count})))
}

fn unknown_message(id: &str) -> ControlError {
    ControlError::not_found(format!("unknown message `{id}`"))
}

#[derive(Deserialize)]
#[serde(default)]
struct MessagesQuery {
    /// `business` (default), `person` or `both`.
    from: String,
    person: Option<String>,
    /// Only messages of this group.
    group: Option<String>,
    state: Option<MessageState>,
    /// Only messages with a larger `seq`.
    after: u64,
    limit: usize,
    /// Only this number of the newest messages.
    newest: Option<usize>,
    /// Include messages of floods.
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
            limit: MAX_LISTED,
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
        other => {
            return Err(ControlError::invalid(format!("`from` must be business, person or both, but is `{other}`")));
        }
    };
    let by_person = query.person.as_deref().map(|name| person_no(&world, name)).transpose()?;
    let group = query.group.as_deref().map(|id| group_no(&world, id)).transpose()?;
    let wanted = |message: &&Message| {
        (if message.from_business { business } else { person })
            && by_person.is_none_or(|no| message.person() == Some(no))
            && group.is_none_or(|no| message.chat == Chat::Group(no))
            && query.state.is_none_or(|state| state == message.state())
            && (query.crowd || !message.person().and_then(|no| world.people.get(no)).is_some_and(|person| person.crowd))
    };
    let all = world.messages.after(query.after).filter(wanted);
    let mut found: Vec<_> = match query.newest {
        None => all.take(query.limit.min(MAX_LISTED)).collect(),
        Some(newest) => all.rev().take(newest.min(MAX_LISTED)).collect(),
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
    /// Only entries about this message.
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
            hub.log.about(seq.ok_or_else(|| unknown_message(&id))?)
        }
    };
    Ok(Json(json!({"entries": entries})))
}

async fn faults(State(hub): State<Arc<Hub>>) -> Json<Value> {
    Json(json!(hub.world().faults))
}

/// Replaces the named faults and settings; `null` restores the default.
async fn set_faults(State(hub): State<Arc<Hub>>, body: Result<Json<Map<String, Value>>, JsonRejection>) -> Answer {
    let Json(changes) = body?;
    let mut world = hub.world();
    let mut all = json!(world.faults);
    if let Some(all) = all.as_object_mut() {
        for (name, value) in changes {
            if value.is_null() {
                all.remove(&name);
            } else {
                all.insert(name, value);
            }
        }
    }
    let faults: Faults = serde_json::from_value(all).map_err(|error| ControlError::invalid(error.to_string()))?;
    faults.check().map_err(ControlError::invalid)?;
    Ok(replace_faults(&hub, &mut world.faults, faults))
}

async fn clear_faults(State(hub): State<Arc<Hub>>) -> Json<Value> {
    replace_faults(&hub, &mut hub.world().faults, Faults::default())
}

fn replace_faults(hub: &Hub, faults: &mut Faults, new: Faults) -> Json<Value> {
    *faults = new;
    hub.webhook_sender.pause(faults.webhooks_paused);
    hub.publish(|| json!({"kind": "faults", "faults": faults}));
    Json(json!(faults))
}

async fn reset(State(hub): State<Arc<Hub>>) -> Json<Value> {
    hub.reset();
    Json(json!({}))
}
