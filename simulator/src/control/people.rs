//! People: listing, creating and changing them.

use super::answer::{Answer, ControlError, MAX_LISTED, person_no};
use crate::hub::Hub;
use crate::people::{NewPerson, Person, PreviousIdentity, check_username};
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
    /// Include people of floods.
    #[serde(default)]
    crowd: bool,
}

pub(super) async fn list(State(hub): State<Arc<Hub>>, Query(query): Query<PeopleQuery>) -> Json<Value> {
    let now_ms = hub.clock.now_ms();
    let world = hub.world();
    let listed = world.people.iter().filter(|person| query.crowd || !person.crowd).take(MAX_LISTED);
    let listed: Vec<Value> = listed.map(|person| view::person(person, now_ms)).collect();
    Json(json!({"people": listed, "count": world.people.len()}))
}

pub(super) async fn show(State(hub): State<Arc<Hub>>, Path(name): Path<String>) -> Answer {
    let world = hub.world();
    let no = person_no(&world, &name)?;
    let mut person = world.people.get(no).map(|person| view::person(person, hub.clock.now_ms())).unwrap_or_default();
    if let Some(members) = person.as_object_mut() {
        members.insert("groups".to_owned(), json!(world.groups.of_person(no)));
    }
    Ok(Json(person))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddPerson {
    name: String,
    number: Option<String>,
    username: Option<String>,
    parent_user_id: Option<String>,
    /// The business sees the user id only, not the number.
    #[serde(default)]
    hidden: bool,
}

pub(super) async fn add(State(hub): State<Arc<Hub>>, body: Result<Json<AddPerson>, JsonRejection>) -> Answer {
    let Json(AddPerson { name, number, username, parent_user_id, hidden }) = body?;
    let mut world = hub.world();
    let new = NewPerson { name, number, username, parent_user_id, hidden, crowd: false };
    let no = world.people.add(new).map_err(ControlError::invalid)?;
    view::publish_person(&hub, &world, no);
    Ok(Json(world.people.get(no).map(|person| view::person(person, hub.clock.now_ms())).unwrap_or_default()))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ChangePerson {
    name: Option<String>,
    /// `null` removes it.
    #[serde(deserialize_with = "nullable")]
    username: Option<Option<String>>,
    hidden: Option<bool>,
    /// Changes the number and with it the user id, which sends system messages.
    number: Option<String>,
    /// Changes only the user id, which sends a system message.
    user_id: Option<String>,
}

/// Distinguishes a null member from a missing one.
fn nullable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
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
        return Err(ControlError::invalid(
            "set either `number` or `user_id`: changing the number also changes the user id",
        ));
    }
    if let Some(username) = &change.username {
        check_username(username.as_deref()).map_err(ControlError::invalid)?;
    }
    let number_changed = change.number.is_some();
    let previous = match (&change.number, &change.user_id) {
        (Some(number), _) => Some(world.people.change_number(no, number).map_err(ControlError::invalid)?),
        (None, Some(user_id)) => Some(world.people.change_user_id(no, user_id).map_err(ControlError::invalid)?),
        (None, None) => None,
    };
    if let Some(person) = world.people.get_mut(no) {
        person.name = change.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| person.name.clone());
        person.username = change.username.unwrap_or_else(|| person.username.clone());
        person.hidden = change.hidden.unwrap_or(person.hidden);
    }
    if let (Some(previous), Some(person)) = (previous, world.people.get(no).cloned()) {
        let with_previous_ids = world.faults.previous_ids;
        for message in notices(&person, &previous, number_changed, with_previous_ids, hub.clock.now_ms()) {
            say::say(&hub, &mut world, Say { from: person.id.clone(), message: Some(message), ..Say::default() })?;
        }
    }
    view::publish_person(&hub, &world, no);
    Ok(Json(world.people.get(no).map(|person| view::person(person, hub.clock.now_ms())).unwrap_or_default()))
}

/// The system messages about a changed number and a changed user id (docs/whatsapp.md#identities).
fn notices(
    person: &Person,
    previous: &PreviousIdentity,
    number_changed: bool,
    with_previous_ids: bool,
    now_ms: i64,
) -> Vec<Map<String, Value>> {
    let mut notices = Vec::new();
    let mut add = |kind: &str, from: &str, to: &str, more: Value| {
        let mut system = json!({"body": format!("User {} changed from {from} to {to}", person.name), "type": kind, "user_id": person.user_id});
        if let (Some(system), Value::Object(more)) = (system.as_object_mut(), more) {
            system.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
        }
        // The sender of a notice is the previous identity.
        let mut message = Map::from_iter([("type".to_owned(), json!("system")), ("system".to_owned(), system)]);
        message.insert("from_user_id".to_owned(), json!(previous.user_id));
        if let Some(number) = previous.number.as_ref().filter(|_| person.wa_id(now_ms).is_some()) {
            message.insert("from".to_owned(), json!(number));
        }
        notices.push(message);
    };
    if number_changed && let (Some(number), Some(old)) = (person.wa_id(now_ms), &previous.number) {
        add("user_changed_number", old, number, json!({"wa_id": number}));
    }
    let more = json!({
        "previous_user_id": with_previous_ids.then_some(&previous.user_id), "parent_user_id": person.parent_user_id,
    });
    add("user_changed_user_id", &previous.user_id, &person.user_id, more);
    notices
}
