//! Groups as people and the platform change them: joining, requesting, leaving, suspending.

use super::answer::{Answer, ControlError, group_no, person_no};
use crate::action::{GroupOperation, ScheduledAction};
use crate::groups::{Group, GroupNo, JoinOutcome};
use crate::hub::{Hub, World};
use crate::people::PersonNo;
use crate::{receipts, scheduled, view};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const PARTICIPANTS: &str = "group_participants_update";
const STATUS: &str = "group_status_update";

pub(super) async fn list(State(hub): State<Arc<Hub>>) -> Json<Value> {
    let world = hub.world();
    let groups: Vec<Value> = world.groups.iter().map(|(_, group)| view::group(&world, group)).collect();
    Json(json!({"groups": groups}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroup {
    subject: String,
    #[serde(default)]
    description: String,
    /// People who follow the link have to be approved.
    #[serde(default)]
    approval_required: bool,
    /// Initial members.
    #[serde(default)]
    members: Vec<String>,
}

/// Creates a group as if the business had requested it.
pub(super) async fn create(State(hub): State<Arc<Hub>>, body: Result<Json<NewGroup>, JsonRejection>) -> Answer {
    let Json(new) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    if new.subject.trim().is_empty() || new.subject.chars().count() > 128 {
        return Err(ControlError::invalid("`subject` must have 1 to 128 characters"));
    }
    if new.members.len() > crate::groups::MAX_MEMBERS {
        return Err(ControlError::invalid("a group must have at most 8 people"));
    }
    let mut members = Vec::new();
    for name in &new.members {
        members.push(person_no(&world, name)?);
    }
    let no = world.groups.add(Group {
        id: hub.ids.group(&hub.config.display_number),
        subject: new.subject,
        description: new.description,
        approval_required: new.approval_required,
        created_ms: now_ms,
        link: hub.ids.link(),
        ..Group::default()
    });
    let request = hub.ids.request();
    schedule(&hub, no, request, GroupOperation::Create, now_ms);
    if !members.is_empty() {
        if let Some(group) = world.groups.get_mut(no) {
            group.members.clone_from(&members);
        }
        schedule(&hub, no, hub.ids.request(), GroupOperation::Approve(members), now_ms);
    }
    view::publish_group(&hub, &world, no);
    Ok(Json(world.groups.get(no).map(|group| view::group(&world, group)).unwrap_or_default()))
}

fn schedule(hub: &Hub, group: GroupNo, request: String, operation: GroupOperation, now_ms: i64) {
    let action = ScheduledAction::Group { group, request, operation, error_code: None };
    hub.webhook_sender.schedule(now_ms, now_ms, action);
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GroupAction {
    /// A person follows the invite link and joins, or requests to join.
    Join,
    Leave,
    /// A person revokes their join request.
    Revoke,
    /// The platform suspends the group.
    Suspend,
    /// The platform ends the suspension.
    Unsuspend,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActRequest {
    action: GroupAction,
    /// Required except for `suspend` and `unsuspend`.
    person: Option<String>,
}

/// Performs an action on a group; the path has its id or its invite link.
pub(super) async fn act(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    body: Result<Json<ActRequest>, JsonRejection>,
) -> Answer {
    let Json(request) = body?;
    let mut world = hub.world();
    let no = group_no(&world, &id)?;
    let person = || request.person.as_deref().ok_or_else(|| ControlError::invalid("`person` is required"));
    match request.action {
        GroupAction::Join => join(&hub, &mut world, no, person()?)?,
        GroupAction::Leave => {
            let person = person_no(&world, person()?)?;
            if !world.groups.leave(no, person) {
                return Err(ControlError::conflict("the person is not in this group"));
            }
            let removed = world.people.get(person).map(|person| receipts::participant(person, hub.clock.now_ms()));
            let more = json!({"initiated_by": "participant", "removed_participants": [removed]});
            scheduled::send_group_event(&hub, &mut world, no, PARTICIPANTS, "group_participants_remove", more);
        }
        GroupAction::Revoke => {
            let person = person_no(&world, person()?)?;
            let request = world.groups.take_request(no, |request| request.person == person);
            let request = request.ok_or_else(|| ControlError::conflict("the person has not requested to join"))?;
            send_join_request(&hub, &mut world, no, person, &request.id, "group_join_request_revoked");
        }
        GroupAction::Suspend | GroupAction::Unsuspend => {
            let suspend = matches!(request.action, GroupAction::Suspend);
            if let Some(group) = world.groups.get_mut(no) {
                group.suspended = suspend;
            }
            let kind = if suspend { "group_suspend" } else { "group_suspend_cleared" };
            scheduled::send_group_event(&hub, &mut world, no, STATUS, kind, Value::Null);
        }
    }
    Ok(Json(world.groups.get(no).map(|group| view::group(&world, group)).unwrap_or_default()))
}

fn join(hub: &Hub, world: &mut World, no: GroupNo, name: &str) -> Result<(), ControlError> {
    let person = person_no(world, name)?;
    let request_id = hub.ids.join_request();
    let outcome = world.groups.join(no, person, request_id, hub.clock.now_ms()).map_err(ControlError::conflict)?;
    match outcome {
        JoinOutcome::Joined => {
            let added = world.people.get(person).map(|person| receipts::participant(person, hub.clock.now_ms()));
            let more = json!({"reason": "invite_link", "added_participants": [added]});
            scheduled::send_group_event(hub, world, no, PARTICIPANTS, "group_participants_add", more);
        }
        JoinOutcome::Requested(request) => {
            send_join_request(hub, world, no, person, &request, "group_join_request_created");
        }
    }
    Ok(())
}

/// Sends the webhook of a join request that was created or revoked.
fn send_join_request(hub: &Hub, world: &mut World, no: GroupNo, person: PersonNo, request: &str, kind: &str) {
    let mut more =
        world.people.get(person).map(|person| receipts::participant(person, hub.clock.now_ms())).unwrap_or_default();
    if let Some(more) = more.as_object_mut() {
        more.insert("join_request_id".to_owned(), json!(request));
        more.insert("reason".to_owned(), json!("invite_link"));
    }
    scheduled::send_group_event(hub, world, no, PARTICIPANTS, kind, more);
}
