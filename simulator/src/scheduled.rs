//! Performs scheduled actions: message states, template reviews, the end of pauses, and the
//! asynchronous part of group operations; and sends the webhooks that report them.

use crate::action::{GroupOperation, ScheduledAction};
use crate::envelope::{Update, UpdateKind};
use crate::groups::{Group, GroupNo};
use crate::hub::{Hub, World};
use crate::messages::{Chat, MessageState};
use crate::people::PersonNo;
use crate::refusal::Refusal;
use crate::templates::Status;
use crate::{receipts, view, wire};
use serde_json::{Map, Value, json};

/// Performs an action that is due.
pub(crate) fn perform(hub: &Hub, action: ScheduledAction) {
    let mut world = hub.world();
    let world = &mut *world;
    match action {
        ScheduledAction::ReachState(seq, state) => receipts::reach(hub, world, seq, state),
        ScheduledAction::Release(seq) => release(hub, world, seq),
        ScheduledAction::Review(id) => review(hub, world, &id),
        ScheduledAction::Unpause(id) => {
            let now_ms = hub.clock.now_ms();
            let pause_over = |t: &&mut crate::templates::Template| {
                t.status == Status::Paused && t.paused_until_ms.is_some_and(|at| at <= now_ms)
            };
            if let Some(template) = world.templates.get_mut(&id).filter(pause_over) {
                template.status = Status::Approved;
                template.paused_until_ms = None;
                let value = template.status_update("APPROVED");
                send_field(hub, world, "message_template_status_update", &value);
            }
        }
        ScheduledAction::Group { group, request, operation, error_code } => {
            finish_group_operation(hub, world, group, &request, operation, error_code);
        }
    }
}

/// Releases a held template message. It fails if its template is no longer approved.
fn release(hub: &Hub, world: &mut World, seq: u64) {
    let Some(message) = world.messages.get_mut(seq) else { return };
    let body: Value = serde_json::from_str(message.body.get()).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let template = world.templates.find(text("/name"), text("/language/code"));
    let unapproved = template.is_some_and(|template| template.status != Status::Approved);
    if unapproved {
        message.error = Some(132_015);
        message.error_details = Some("Template is paused due to low quality.".to_owned());
    }
    receipts::reach(hub, world, seq, if unapproved { MessageState::Failed } else { MessageState::Sent });
}

fn review(hub: &Hub, world: &mut World, id: &str) {
    let rejects = world.faults.template_review == crate::faults::Review::Reject;
    let Some(template) = world.templates.get_mut(id).filter(|template| template.status == Status::Pending) else {
        return;
    };
    let event = if rejects {
        template.status = Status::Rejected;
        template.reason = "INVALID_FORMAT".to_owned();
        "REJECTED"
    } else {
        template.status = Status::Approved;
        "APPROVED"
    };
    let value = template.status_update(event);
    send_field(hub, world, "message_template_status_update", &value);
}

/// Sends a webhook of a field other than `messages`. If the backlog is full, the sender counts it
/// as dropped.
pub(crate) fn send_field(hub: &Hub, world: &mut World, field: &str, value: &Value) {
    let update = Update { json: wire::to_json(value).into(), ..Update::new(0, UpdateKind::Field(field.to_owned())) };
    hub.deliver(world, update);
    hub.publish(|| json!({"kind": "account"}));
}

/// Sends a webhook about a group. `more` are further members of the event; null ones are left out.
pub(crate) fn send_group_event(hub: &Hub, world: &mut World, no: GroupNo, field: &str, kind: &str, more: Value) {
    let now_ms = hub.clock.now_ms();
    let seconds = now_ms.div_euclid(1000);
    let Some(group) = world.groups.get(no) else { return };
    let mut event = Map::new();
    event.insert("timestamp".to_owned(), json!(seconds.to_string()));
    event.insert("group_id".to_owned(), json!(group.id));
    event.insert("type".to_owned(), json!(kind));
    if let Value::Object(more) = more {
        event.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": hub.envelope.display_number, "phone_number_id": hub.envelope.phone_number_id},
    });
    // Meta's documentation contradicts itself in these points.
    if world.faults.group_variants {
        if world.rng.chance(0.5) {
            event.insert("timestamp".to_owned(), json!(seconds));
        }
        if world.rng.chance(0.5)
            && let (Some(initiator), Some(value)) = (event.remove("initiated_by"), value.as_object_mut())
        {
            value.insert("initiated_by".to_owned(), initiator);
        }
    }
    if let Some(value) = value.as_object_mut() {
        value.insert("groups".to_owned(), json!([event]));
    }
    let lane = Chat::Group(no).lane();
    let update =
        Update { json: wire::to_json(&value).into(), ..Update::new(lane, UpdateKind::Field(field.to_owned())) };
    hub.deliver(world, update);
    view::publish_group(hub, world, no);
}

const LIFECYCLE: &str = "group_lifecycle_update";
const PARTICIPANTS: &str = "group_participants_update";

fn finish_group_operation(
    hub: &Hub,
    world: &mut World,
    no: GroupNo,
    request: &str,
    operation: GroupOperation,
    error_code: Option<u32>,
) {
    let errors = error_code.map(|code| json!([Refusal::new(code, "Injected fault.").in_status()]));
    let failed = errors.is_some();
    let Some(group) = world.groups.get_mut(no) else { return };
    match operation {
        GroupOperation::Create => {
            let link = (!failed).then(|| group.invite_link());
            group.deleted = failed;
            let more = json!({"request_id": request, "subject": group.subject, "errors": errors, "invite_link": link,
                "description": (!failed).then_some(&group.description).filter(|text| !text.is_empty()),
                "join_approval_mode": (!failed).then(|| group.approval_mode())});
            send_group_event(hub, world, no, LIFECYCLE, "group_create", more);
        }
        GroupOperation::Delete => {
            group.deleted = !failed;
            send_group_event(
                hub,
                world,
                no,
                LIFECYCLE,
                "group_delete",
                json!({"request_id": request, "errors": errors}),
            );
        }
        GroupOperation::Settings { subject, description, picture, picture_error } => {
            let picture_errors = picture_error.map(|(code, details)| json!([Refusal::new(code, details).in_status()]));
            let more = change_settings(group, subject, description, picture.clone(), failed);
            let mut more = more.unwrap_or_default();
            if picture.is_some() || picture_errors.is_some() {
                let file = picture.as_ref().and_then(|id| world.media.get(id, hub.clock.now_ms()));
                let successful = picture_errors.is_none() && !failed;
                let mut result = json!({"mime_type": "image/jpeg", "update_successful": successful});
                if let Some(result) = result.as_object_mut() {
                    result.extend(file.map(|file| ("sha256".to_owned(), json!(file.sha256_base64()))));
                    result.extend(picture_errors.map(|errors| ("errors".to_owned(), errors)));
                }
                more.insert("profile_picture".to_owned(), result);
            }
            more.insert("request_id".to_owned(), json!(request));
            more.extend(errors.map(|errors| ("errors".to_owned(), errors)));
            send_group_event(hub, world, no, "group_settings_update", "group_settings_update", Value::Object(more));
        }
        GroupOperation::Remove(participants) => remove(hub, world, no, request, &participants, errors),
        GroupOperation::Approve(people) => {
            let now_ms = hub.clock.now_ms();
            let added: Vec<Value> = people
                .iter()
                .filter_map(|no| world.people.get(*no))
                .map(|person| {
                    let mut participant = receipts::participant(person, now_ms);
                    let input = person.wa_id(now_ms).unwrap_or(&person.user_id);
                    if let Some(participant) = participant.as_object_mut() {
                        participant.insert("input".to_owned(), json!(input));
                    }
                    participant
                })
                .collect();
            let more = json!({"reason": "invite_link", "added_participants": added});
            send_group_event(hub, world, no, PARTICIPANTS, "group_participants_add", more);
        }
    }
}

/// Changes a group's settings unless the operation failed; returns the members of the webhook
/// event.
fn change_settings(
    group: &mut Group,
    subject: Option<String>,
    description: Option<String>,
    picture: Option<String>,
    failed: bool,
) -> Option<Map<String, Value>> {
    let mut more = json!({});
    let members = more.as_object_mut()?;
    for (key, text) in [("group_subject", &subject), ("group_description", &description)] {
        members.extend(text.as_ref().map(|text| (key.to_owned(), json!({"text": text, "update_successful": !failed}))));
    }
    if !failed {
        group.subject = subject.unwrap_or_else(|| group.subject.clone());
        group.description = description.unwrap_or_else(|| group.description.clone());
        group.picture = picture.or_else(|| group.picture.clone());
    }
    Some(std::mem::take(members))
}

fn remove(
    hub: &Hub,
    world: &mut World,
    no: GroupNo,
    request: &str,
    participants: &[(String, Option<PersonNo>)],
    errors: Option<Value>,
) {
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    for (input, person) in participants {
        let left = person.filter(|person| errors.is_none() && world.groups.leave(no, *person));
        if let (Some(person), Some(group)) = (left, world.groups.get_mut(no)) {
            group.removed.insert(person);
            let mut participant = json!({"input": input});
            let identities = world.people.get(person).map(|person| receipts::participant(person, hub.clock.now_ms()));
            if let (Some(participant), Some(Value::Object(identities))) = (participant.as_object_mut(), identities) {
                participant.extend(identities);
            }
            removed.push(participant);
        } else {
            let error = Refusal::new(131_212, "The user is not a participant of the group.").in_status();
            failed.push(json!({"input": input, "errors": [error]}));
        }
    }
    let partial = (!failed.is_empty() && errors.is_none())
        .then(|| json!([Refusal::new(131_201, "Some of the participants could not be removed.").in_status()]));
    let more = json!({
        "request_id": request, "initiated_by": "business",
        "removed_participants": (!removed.is_empty()).then_some(removed),
        "failed_participants": (!failed.is_empty()).then_some(failed),
        "errors": errors.or(partial),
    });
    send_group_event(hub, world, no, PARTICIPANTS, "group_participants_remove", more);
}
