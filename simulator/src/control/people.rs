//! People: who there are, somebody new, and what changes about them.

use super::{Answer, MOST_LISTED, Problem, person_no};
use crate::hub::Hub;
use crate::people::{Before, NewPerson, Person, check_username};
use crate::say::{self, Say};
use crate::view;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct PeopleQuery {
    /// Those of floods too.
    #[serde(default)]
    crowd: bool,
}

pub(super) async fn list(State(hub): State<Arc<Hub>>, Query(query): Query<PeopleQuery>) -> Json<Value> {
    let now_ms = hub.clock.now_ms();
    let world = hub.world();
    let listed = world.people.iter().filter(|person| query.crowd || !person.crowd).take(MOST_LISTED);
    let listed: Vec<Value> = listed.map(|person| view::person(person, now_ms)).collect();
    Json(json!({"people": listed, "count": world.people.len()}))
}

pub(super) async fn show(State(hub): State<Arc<Hub>>, Path(name): Path<String>) -> Answer {
    let world = hub.world();
    let no = person_no(&world, &name)?;
    let mut shown = world.people.get(no).map(|person| view::person(person, hub.clock.now_ms())).unwrap_or_default();
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("groups".to_owned(), json!(world.groups.of_person(no)));
    }
    Ok(Json(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddPerson {
    name: String,
    number: Option<String>,
    username: Option<String>,
    parent_user_id: Option<String>,
    /// The business sees no number, only a user id.
    #[serde(default)]
    hidden: bool,
}

pub(super) async fn add(State(hub): State<Arc<Hub>>, body: Result<Json<AddPerson>, JsonRejection>) -> Answer {
    let Json(AddPerson { name, number, username, parent_user_id, hidden }) = body?;
    let mut world = hub.world();
    let new = NewPerson { name, number, username, parent_user_id, hidden, crowd: false };
    let no = world.people.add(new).map_err(Problem::wrong)?;
    view::tell_person(&hub, &world, no);
    Ok(Json(world.people.get(no).map(|person| view::person(person, hub.clock.now_ms())).unwrap_or_default()))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ChangePerson {
    name: Option<String>,
    /// `null` takes it away.
    #[serde(deserialize_with = "given")]
    username: Option<Option<String>>,
    hidden: Option<bool>,
    /// Another number, and with it another user id: the business is told by a system message.
    number: Option<String>,
    /// Another user id alone.
    user_id: Option<String>,
}

/// Tells a member that is null from one that is not there.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

pub(super) async fn change(
    State(hub): State<Arc<Hub>>,
    Path(name): Path<String>,
    body: Result<Json<ChangePerson>, JsonRejection>,
) -> Answer {
    let Json(change) = body?;
    let mut world = hub.world();
    let no = person_no(&world, &name)?;
    if change.number.is_some() && change.user_id.is_some() {
        return Err(Problem::wrong("another number brings another user id by itself: give one of the two"));
    }
    if let Some(username) = &change.username {
        check_username(username.as_deref()).map_err(Problem::wrong)?;
    }
    let renumbered = change.number.is_some();
    let before = match (&change.number, &change.user_id) {
        (Some(number), _) => Some(world.people.renumber(no, number).map_err(Problem::wrong)?),
        (None, Some(user_id)) => Some(world.people.reidentify(no, user_id).map_err(Problem::wrong)?),
        (None, None) => None,
    };
    if let Some(person) = world.people.get_mut(no) {
        person.name = change.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| person.name.clone());
        person.username = change.username.unwrap_or_else(|| person.username.clone());
        person.hidden = change.hidden.unwrap_or(person.hidden);
    }
    if let (Some(before), Some(person)) = (before, world.people.get(no).cloned()) {
        let with_previous = world.knobs.previous_ids;
        for message in told(&person, &before, renumbered, with_previous, hub.clock.now_ms()) {
            say::say(&hub, &mut world, Say { from: person.id.clone(), message: Some(message), ..Say::default() })?;
        }
    }
    view::tell_person(&hub, &world, no);
    Ok(Json(world.people.get(no).map(|person| view::person(person, hub.clock.now_ms())).unwrap_or_default()))
}

/// The system messages of a change (whatsapp.md 1.5 and 6): of the number, and of the user id that goes with it.
fn told(
    person: &Person,
    before: &Before,
    renumbered: bool,
    with_previous: bool,
    now_ms: i64,
) -> Vec<Map<String, Value>> {
    let mut told = Vec::new();
    let mut tell = |kind: &str, from: &str, to: &str, more: Value| {
        let mut system = json!({"body": format!("User {} changed from {from} to {to}", person.name), "type": kind, "user_id": person.user_id});
        if let (Some(system), Value::Object(more)) = (system.as_object_mut(), more) {
            system.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
        }
        // It comes from who they were.
        let mut message = Map::from_iter([("type".to_owned(), json!("system")), ("system".to_owned(), system)]);
        message.insert("from_user_id".to_owned(), json!(before.user_id));
        if let Some(number) = before.number.as_ref().filter(|_| person.wa_id(now_ms).is_some()) {
            message.insert("from".to_owned(), json!(number));
        }
        told.push(message);
    };
    if renumbered && let (Some(number), Some(was)) = (person.wa_id(now_ms), &before.number) {
        tell("user_changed_number", was, number, json!({"wa_id": number}));
    }
    let more =
        json!({"previous_user_id": with_previous.then_some(&before.user_id), "parent_user_id": person.parent_user_id});
    tell("user_changed_user_id", &before.user_id, &person.user_id, more);
    told
}
