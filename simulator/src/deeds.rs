//! What the platform does by itself when its time comes: states that follow, reviews, pauses that end, the asynchronous
//! half of an operation on a group.
//!
//! Each deed says what it is about and nothing else, so that it can be saved and done after a restart.

use crate::groups::{Group, GroupNo};
use crate::hub::{Hub, World};
use crate::letter::{Update, What};
use crate::messages::{Chat, State};
use crate::people::PersonNo;
use crate::refusal::Refusal;
use crate::templates::Status;
use crate::{receipts, view, wire};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// A message reaches a state.
    Reach(u64, State),
    /// A template that was held back for its quality is let go.
    Release(u64),
    /// The review of a template ends.
    Review(String),
    /// A template's pause ends.
    Unpause(String),
    /// The second half of an operation on a group; with a code it fails.
    Group { group: GroupNo, request: String, what: GroupDeed, fails: Option<u32> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum GroupDeed {
    Create,
    Delete,
    Settings {
        subject: Option<String>,
        description: Option<String>,
        picture: Option<String>,
        picture_fails: Option<(u32, String)>,
    },
    /// As they were written, and who they are.
    Remove(Vec<(String, Option<PersonNo>)>),
    /// Those whose requests were approved.
    Approve(Vec<PersonNo>),
}

/// Does it.
pub(crate) fn perform(hub: &Hub, deed: Deed) {
    let mut world = hub.world();
    let world = &mut *world;
    match deed {
        Deed::Reach(seq, state) => receipts::reach(hub, world, seq, state),
        Deed::Release(seq) => release(hub, world, seq),
        Deed::Review(id) => review(hub, world, &id),
        Deed::Unpause(id) => {
            let now_ms = hub.clock.now_ms();
            let over = |t: &&mut crate::templates::Template| {
                t.status == Status::Paused && t.paused_until_ms.is_some_and(|at| at <= now_ms)
            };
            if let Some(template) = world.templates.get_mut(&id).filter(over) {
                template.status = Status::Approved;
                template.paused_until_ms = None;
                let value = template.status_update("APPROVED");
                tell_field(hub, world, "message_template_status_update", &value);
            }
        }
        Deed::Group { group, request, what, fails } => on_group(hub, world, group, &request, what, fails),
    }
}

/// A held template goes out, or fails where it was paused meanwhile.
fn release(hub: &Hub, world: &mut World, seq: u64) {
    let Some(message) = world.messages.get_mut(seq) else { return };
    let body: Value = serde_json::from_str(message.body.get()).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let template = world.templates.find(text("/name"), text("/language/code"));
    let stopped = template.is_some_and(|template| template.status != Status::Approved);
    if stopped {
        message.error = Some(132_015);
        message.error_details = Some("Template is paused due to low quality.".to_owned());
    }
    receipts::reach(hub, world, seq, if stopped { State::Failed } else { State::Sent });
}

fn review(hub: &Hub, world: &mut World, id: &str) {
    let rejects = world.knobs.template_review == crate::knobs::Review::Reject;
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
    tell_field(hub, world, "message_template_status_update", &value);
}

/// Sends a webhook of a field other than `messages`. That it found no room is counted by the courier.
pub(crate) fn tell_field(hub: &Hub, world: &mut World, field: &str, value: &Value) {
    let update = Update { json: wire::to_json(value).into(), ..Update::new(0, What::Field(field.to_owned())) };
    hub.deliver(world, update);
    hub.tell(|| json!({"kind": "account"}));
}

/// A webhook about a group: the event in `groups`, beside what says whose number it is.
pub(crate) fn tell_group(hub: &Hub, world: &mut World, no: GroupNo, field: &str, kind: &str, more: Value) {
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
        "metadata": {"display_phone_number": hub.letterhead.display_number, "phone_number_id": hub.letterhead.phone_number_id},
    });
    // Meta's own pages do not agree with themselves; a reader takes both.
    if world.knobs.group_variants {
        if world.chance.happens(0.5) {
            event.insert("timestamp".to_owned(), json!(seconds));
        }
        if world.chance.happens(0.5)
            && let (Some(by), Some(value)) = (event.remove("initiated_by"), value.as_object_mut())
        {
            value.insert("initiated_by".to_owned(), by);
        }
    }
    if let Some(value) = value.as_object_mut() {
        value.insert("groups".to_owned(), json!([event]));
    }
    let lane = Chat::Group(no).lane();
    let update = Update { json: wire::to_json(&value).into(), ..Update::new(lane, What::Field(field.to_owned())) };
    hub.deliver(world, update);
    view::tell_group(hub, world, no);
}

const LIFECYCLE: &str = "group_lifecycle_update";
const PARTICIPANTS: &str = "group_participants_update";

fn on_group(hub: &Hub, world: &mut World, no: GroupNo, request: &str, what: GroupDeed, fails: Option<u32>) {
    let errors = fails.map(|code| json!([Refusal::new(code, "A fault on demand.").in_status()]));
    let failed = errors.is_some();
    let Some(group) = world.groups.get_mut(no) else { return };
    match what {
        GroupDeed::Create => {
            let link = (!failed).then(|| group.invite_link());
            group.deleted = failed;
            let more = json!({"request_id": request, "subject": group.subject, "errors": errors, "invite_link": link,
                "description": (!failed).then_some(&group.description).filter(|text| !text.is_empty()),
                "join_approval_mode": (!failed).then(|| group.approval_mode())});
            tell_group(hub, world, no, LIFECYCLE, "group_create", more);
        }
        GroupDeed::Delete => {
            group.deleted = !failed;
            tell_group(hub, world, no, LIFECYCLE, "group_delete", json!({"request_id": request, "errors": errors}));
        }
        GroupDeed::Settings { subject, description, picture, picture_fails } => {
            let refused = picture_fails.map(|(code, details)| json!([Refusal::new(code, details).in_status()]));
            let more = settings(group, subject, description, picture.clone(), failed);
            let mut more = more.unwrap_or_default();
            if picture.is_some() || refused.is_some() {
                let file = picture.as_ref().and_then(|id| world.media.get(id, hub.clock.now_ms()));
                let mut about = json!({"mime_type": "image/jpeg", "update_successful": refused.is_none() && !failed});
                if let Some(about) = about.as_object_mut() {
                    about.extend(file.map(|file| ("sha256".to_owned(), json!(file.sha256_base64()))));
                    about.extend(refused.map(|errors| ("errors".to_owned(), errors)));
                }
                more.insert("profile_picture".to_owned(), about);
            }
            more.insert("request_id".to_owned(), json!(request));
            more.extend(errors.map(|errors| ("errors".to_owned(), errors)));
            tell_group(hub, world, no, "group_settings_update", "group_settings_update", Value::Object(more));
        }
        GroupDeed::Remove(wanted) => remove(hub, world, no, request, &wanted, errors),
        GroupDeed::Approve(people) => {
            let now_ms = hub.clock.now_ms();
            let added: Vec<Value> = people
                .iter()
                .filter_map(|who| world.people.get(*who))
                .map(|person| {
                    let mut named = receipts::participant(person, now_ms);
                    let input = person.wa_id(now_ms).unwrap_or(&person.user_id);
                    if let Some(named) = named.as_object_mut() {
                        named.insert("input".to_owned(), json!(input));
                    }
                    named
                })
                .collect();
            let more = json!({"reason": "invite_link", "added_participants": added});
            tell_group(hub, world, no, PARTICIPANTS, "group_participants_add", more);
        }
    }
}

fn settings(
    group: &mut Group,
    subject: Option<String>,
    description: Option<String>,
    picture: Option<String>,
    failed: bool,
) -> Option<Map<String, Value>> {
    let mut more = json!({});
    let told = more.as_object_mut()?;
    for (key, text) in [("group_subject", &subject), ("group_description", &description)] {
        told.extend(text.as_ref().map(|text| (key.to_owned(), json!({"text": text, "update_successful": !failed}))));
    }
    if !failed {
        group.subject = subject.unwrap_or_else(|| group.subject.clone());
        group.description = description.unwrap_or_else(|| group.description.clone());
        group.picture = picture.or_else(|| group.picture.clone());
    }
    Some(std::mem::take(told))
}

fn remove(
    hub: &Hub,
    world: &mut World,
    no: GroupNo,
    request: &str,
    wanted: &[(String, Option<PersonNo>)],
    errors: Option<Value>,
) {
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    for (input, who) in wanted {
        let named = json!({"input": input});
        let here = who.filter(|who| errors.is_none() && world.groups.leave(no, *who));
        if let (Some(who), Some(group)) = (here, world.groups.get_mut(no)) {
            group.removed.insert(who);
            let mut named = named;
            let about = world.people.get(who).map(|person| receipts::participant(person, hub.clock.now_ms()));
            if let (Some(named), Some(Value::Object(about))) = (named.as_object_mut(), about) {
                named.extend(about);
            }
            gone.push(named);
        } else {
            let why = Refusal::new(131_212, "The user is not a participant of the group.").in_status();
            kept.push(json!({"input": input, "errors": [why]}));
        }
    }
    let partial = (!kept.is_empty() && errors.is_none())
        .then(|| json!([Refusal::new(131_201, "Some of the participants could not be removed.").in_status()]));
    let more = json!({
        "request_id": request, "initiated_by": "business",
        "removed_participants": (!gone.is_empty()).then_some(gone),
        "failed_participants": (!kept.is_empty()).then_some(kept),
        "errors": errors.or(partial),
    });
    tell_group(hub, world, no, PARTICIPANTS, "group_participants_remove", more);
}
