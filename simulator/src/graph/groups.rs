//! Groups (docs/whatsapp.md#group-endpoints). A change is checked and answered immediately with a
//! request id, and performed later by a scheduled action.

use super::call::{Call, CallResult, Upload, page};
use crate::action::{GroupOperation, ScheduledAction};
use crate::groups::{Group, GroupNo, MAX_GROUPS, MAX_MEMBERS};
use crate::hub::World;
use crate::people;
use crate::refusal::Refusal;
use crate::{receipts, view};
use axum::http::Method;
use serde_json::{Value, json};

/// Default and maximum page size of groups and join requests.
const PAGE: usize = 25;
const MAX_PAGE: usize = 1_024;

const MINUTE_MS: i64 = 60_000;

/// Maximum size of a group picture in bytes, and the minimum length of its sides in pixels.
const MAX_PICTURE_BYTES: usize = 5 * 1024 * 1024;
const MIN_PICTURE_SIDE: u16 = 192;

/// `GET` and `POST /{PHONE_NUMBER_ID}/groups`.
pub(super) fn of_number(call: &Call<'_>) -> CallResult {
    match *call.method {
        Method::GET => {
            let world = call.hub.world();
            let eligible = world.faults.groups_eligible;
            let view = |(_, group): (GroupNo, &Group)| json!({"id": group.id, "subject": group.subject, "created_at": group.created_ms.div_euclid(1000).to_string()});
            // For a number that is not eligible the list is empty; it is not an error.
            let all = world.groups.iter().filter(|_| eligible).map(view).collect();
            let (groups, paging) = page(call, all, PAGE, MAX_PAGE)?;
            Ok(json!({"data": {"groups": groups}, "paging": paging}))
        }
        Method::POST => create(call),
        _ => Err(call.unsupported()),
    }
}

fn create(call: &Call<'_>) -> CallResult {
    let body = call.product_json()?;
    let hub = call.hub;
    let subject =
        optional_text(&body, "subject", 128)?.ok_or_else(|| Refusal::new(100, "The parameter subject is required."))?;
    let description = optional_text(&body, "description", 2048)?;
    let approval_required = match body.get("join_approval_mode").map(Value::as_str) {
        None | Some(Some("auto_approve")) => false,
        Some(Some("approval_required")) => true,
        Some(_) => {
            return Err(Refusal::new(
                100,
                "Param join_approval_mode must be one of {auto_approve, approval_required}.",
            ));
        }
    };
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    if !world.faults.groups_eligible {
        return Err(Refusal::new(131_215, "This phone number is not eligible for groups."));
    }
    limit_operations(&mut world, now_ms)?;
    if world.groups.iter().count() >= MAX_GROUPS {
        return Err(Refusal::new(131_211, format!("This phone number has the maximum of {MAX_GROUPS} groups.")));
    }
    let no = world.groups.add(Group {
        id: hub.ids.group(&hub.config.display_number),
        subject,
        description: description.unwrap_or_default(),
        approval_required,
        created_ms: now_ms,
        link: hub.ids.link(),
        // It exists once the scheduled action has reported it.
        deleted: true,
        ..Group::default()
    });
    Ok(schedule(call, &mut world, no, GroupOperation::Create, "create", now_ms))
}

/// An optional string of limited length. A subject must not be empty.
fn optional_text(body: &Value, key: &str, max: usize) -> Result<Option<String>, Refusal> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= max && !(key == "subject" && text.is_empty()) => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(Refusal::new(100, format!("Param {key} must be a string of at most {max} characters."))),
    }
}

/// Enforces the limit of group operations per minute, if there is one.
fn limit_operations(world: &mut World, now_ms: i64) -> Result<(), Refusal> {
    let limit = usize::try_from(world.faults.group_operations_per_minute).unwrap_or(usize::MAX);
    world.group_operations_ms.retain(|at_ms| now_ms - at_ms < MINUTE_MS);
    if limit > 0 && world.group_operations_ms.len() >= limit {
        return Err(Refusal::new(131_208, "There were too many group operations."));
    }
    if limit > 0 {
        world.group_operations_ms.push(now_ms);
    }
    Ok(())
}

/// Schedules the asynchronous part of an operation; returns the response with the request id.
fn schedule(
    call: &Call<'_>,
    world: &mut World,
    group: GroupNo,
    operation: GroupOperation,
    name: &str,
    now_ms: i64,
) -> Value {
    let hub = call.hub;
    let request = hub.ids.request();
    let error_code = world.faults.group_fault(&mut world.rng, name);
    world.counts.faults += u64::from(error_code.is_some());
    let response = json!({"messaging_product": "whatsapp", "request_id": request});
    let due_ms = now_ms.saturating_add(world.faults.group_delay_ms);
    let action = ScheduledAction::Group { group, request, operation, error_code };
    hub.webhook_sender.schedule(now_ms, due_ms, action);
    response
}

/// `/{GROUP_ID}` and its edges.
pub(super) async fn group(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    // A form is read asynchronously, so before the lock is taken.
    let change = match (call.method, call.edge) {
        (&Method::POST, "") => Some(read_settings(call).await?),
        _ => None,
    };
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let no = world.groups.find(call.id).ok_or_else(|| Refusal::new(131_041, "This group does not exist."))?;
    if *call.method != Method::GET {
        if world.groups.get(no).is_some_and(|group| group.suspended) {
            return Err(Refusal::new(131_207, "This group is suspended."));
        }
        limit_operations(&mut world, now_ms)?;
    }
    match (call.method, call.edge) {
        (&Method::GET, "") => info(call, &world, no, now_ms),
        (&Method::POST, "") => change_settings(call, &mut world, no, change.unwrap_or_default(), now_ms),
        (&Method::DELETE, "") => {
            let mut response = schedule(call, &mut world, no, GroupOperation::Delete, "delete", now_ms);
            if let Some(response) = response.as_object_mut() {
                response.insert("success".to_owned(), json!(true));
            }
            Ok(response)
        }
        (&Method::GET, "invite_link") => link(&world, no),
        (&Method::POST, "invite_link") => {
            call.product_json()?;
            if let Some(group) = world.groups.get_mut(no) {
                group.link = hub.ids.link();
            }
            view::publish_group(hub, &world, no);
            link(&world, no)
        }
        (&Method::GET, "join_requests") => join_requests(call, &world, no, now_ms),
        (&Method::POST | &Method::DELETE, "join_requests") => answer_requests(call, &mut world, no, now_ms),
        (&Method::DELETE, "participants") => remove(call, &mut world, no, now_ms),
        _ => Err(call.unsupported()),
    }
}

fn link(world: &World, no: GroupNo) -> CallResult {
    let group = world.groups.get(no).ok_or_else(Refusal::unknown_error)?;
    Ok(json!({"messaging_product": "whatsapp", "invite_link": group.invite_link()}))
}

fn info(call: &Call<'_>, world: &World, no: GroupNo, now_ms: i64) -> CallResult {
    let group = world.groups.get(no).ok_or_else(Refusal::unknown_error)?;
    let members = group.members.iter().filter_map(|person| world.people.get(*person));
    let members: Vec<Value> = members.map(|person| receipts::participant(person, now_ms)).collect();
    let all = json!({
        "subject": group.subject, "description": group.description, "suspended": group.suspended,
        "creation_timestamp": group.created_ms.div_euclid(1000).to_string(),
        "total_participant_count": members.len(), "participants": members,
        "join_approval_mode": group.approval_mode(),
    });
    // Without `fields` there are only the id and the product.
    let fields = call.fields().unwrap_or_default();
    let mut response = json!({"messaging_product": "whatsapp", "id": group.id});
    if let (Some(response), Value::Object(all)) = (response.as_object_mut(), all) {
        response.extend(all.into_iter().filter(|(key, _)| fields.contains(&key.as_str())));
    }
    Ok(response)
}

/// A change of settings: JSON, or a form with a picture.
#[derive(Default)]
struct Settings {
    body: Value,
    picture: Option<Upload>,
}

async fn read_settings(call: &Call<'_>) -> Result<Settings, Refusal> {
    let kind = call.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        return Ok(Settings { body: call.product_json()?, picture: None });
    }
    let form = call.form().await?;
    if form.fields.get("messaging_product").map(String::as_str) != Some("whatsapp") {
        return Err(Refusal::new(100, "The parameter messaging_product is required."));
    }
    Ok(Settings { body: json!(form.fields), picture: form.file })
}

fn change_settings(call: &Call<'_>, world: &mut World, no: GroupNo, change: Settings, now_ms: i64) -> CallResult {
    let subject = optional_text(&change.body, "subject", 128)?;
    let description = optional_text(&change.body, "description", 2048)?;
    if subject.is_none() && description.is_none() && change.picture.is_none() {
        return Err(Refusal::new(100, "One of subject, description and file is required."));
    }
    let (mut picture, mut picture_error) = (None, None);
    if let Some(file) = change.picture {
        match check_picture(&file.bytes) {
            Ok(()) => {
                let id = call.hub.ids.number();
                picture = Some(world.media.add(id, "image/jpeg", Some(file.filename), file.bytes, false, now_ms));
            }
            Err(refusal) => picture_error = Some((refusal.code, refusal.details)),
        }
    }
    let operation = GroupOperation::Settings { subject, description, picture, picture_error };
    Ok(schedule(call, world, no, operation, "settings", now_ms))
}

/// Checks that a picture is a square JPEG of acceptable size.
fn check_picture(bytes: &[u8]) -> Result<(), Refusal> {
    let Some((width, height)) = jpeg_size(bytes).filter(|_| bytes.len() <= MAX_PICTURE_BYTES) else {
        return Err(Refusal::new(131_053, "The picture must be a JPEG of at most 5 MB."));
    };
    if width != height {
        return Err(Refusal::new(131_209, format!("The picture must be square, but is {width} by {height}.")));
    }
    if width < MIN_PICTURE_SIDE {
        return Err(Refusal::new(
            131_210,
            format!("The sides of the picture must have at least {MIN_PICTURE_SIDE} pixels, but have {width}."),
        ));
    }
    Ok(())
}

/// The width and height in the frame header of a JPEG (ITU T.81).
fn jpeg_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let pair = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    if pair(0)? != 0xffd8 {
        return None;
    }
    let mut at = 2;
    loop {
        let marker = pair(at)?;
        // Start of frame, for any coding. C4, C8 and CC are other segments.
        if matches!(marker, 0xffc0..=0xffcf) && !matches!(marker, 0xffc4 | 0xffc8 | 0xffcc) {
            return Some((pair(at + 7)?, pair(at + 5)?));
        }
        if marker < 0xff01 {
            return None;
        }
        at += 2 + usize::from(pair(at + 2)?);
    }
}

fn join_requests(call: &Call<'_>, world: &World, no: GroupNo, now_ms: i64) -> CallResult {
    let group = world.groups.get(no).ok_or_else(Refusal::unknown_error)?;
    let view = |request: &crate::groups::JoinRequest| {
        let mut view = receipts::participant(world.people.get(request.person)?, now_ms);
        let object = view.as_object_mut()?;
        object.insert("join_request_id".to_owned(), json!(request.id));
        object.insert("creation_timestamp".to_owned(), json!(request.at_ms.div_euclid(1000).to_string()));
        Some(view)
    };
    let all = group.requests.iter().filter_map(view).collect();
    let (data, paging) = page(call, all, PAGE, MAX_PAGE)?;
    Ok(json!({"data": data, "paging": paging}))
}

/// Approves (`POST`) or rejects (`DELETE`) join requests. A rejection has no webhook.
fn answer_requests(call: &Call<'_>, world: &mut World, no: GroupNo, now_ms: i64) -> CallResult {
    let body = call.product_json()?;
    let ids = body.get("join_requests").and_then(Value::as_array).filter(|ids| !ids.is_empty());
    let ids = ids.ok_or_else(|| Refusal::new(100, "The parameter join_requests is required."))?;
    let approve = *call.method == Method::POST;
    let (mut done, mut failed, mut people) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids.iter().map(|id| id.as_str().unwrap_or_default()) {
        let full = approve && world.groups.get(no).is_some_and(|group| group.members.len() >= MAX_MEMBERS);
        let taken = if full { None } else { world.groups.take_request(no, |request| request.id == id) };
        match (taken, full) {
            (Some(request), _) => {
                if let (true, Some(group)) = (approve, world.groups.get_mut(no)) {
                    group.members.push(request.person);
                    people.push(request.person);
                }
                done.push(id.to_owned());
            }
            (None, true) => failed.push((id, Refusal::new(131_204, "The group is full."))),
            (None, false) => failed.push((id, Refusal::new(131_213, "The join request does not exist."))),
        }
    }
    if !people.is_empty() {
        schedule(call, world, no, GroupOperation::Approve(people), "approve", now_ms);
    }
    view::publish_group(call.hub, world, no);
    let mut response = json!({"messaging_product": "whatsapp"});
    if let Some(response) = response.as_object_mut() {
        response
            .insert(if approve { "approved_join_requests" } else { "rejected_join_requests" }.to_owned(), json!(done));
        if !failed.is_empty() {
            let errors: Vec<Value> = failed.iter().map(|(_, refusal)| refusal.in_status()).collect();
            let each =
                |(id, refusal): &(&str, Refusal)| json!({"join_request_id": id, "errors": [refusal.in_status()]});
            response.insert("failed_join_requests".to_owned(), failed.iter().map(each).collect());
            response.insert("errors".to_owned(), json!(errors));
        }
    }
    Ok(response)
}

fn remove(call: &Call<'_>, world: &mut World, no: GroupNo, now_ms: i64) -> CallResult {
    let body = call.product_json()?;
    let participants = body.get("participants").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !(1..=MAX_MEMBERS).contains(&participants.len()) {
        return Err(Refusal::new(
            if participants.is_empty() { 100 } else { 131_204 },
            "Param participants must have 1 to 8 objects.",
        ));
    }
    let mut found = Vec::new();
    for participant in participants {
        let text = |key: &str| participant.get(key).and_then(Value::as_str);
        let (input, name) = match (text("user"), text("user_id")) {
            (Some(user), _) => (user, people::digits(user).unwrap_or_default()),
            (None, Some(user_id)) => (user_id, user_id.to_owned()),
            (None, None) => return Err(Refusal::new(100, "A participant must be an object with user or user_id.")),
        };
        let person = world.people.find(&name);
        if found.iter().any(|(other, same)| other == input || (person.is_some() && *same == person)) {
            return Err(Refusal::new(131_202, format!("'{input}' is listed twice.")));
        }
        found.push((input.to_owned(), person));
    }
    Ok(schedule(call, world, no, GroupOperation::Remove(found), "remove", now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a JPEG of this size: SOI, an APP0 to skip, SOF0.
    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc0, 0, 11, 8];
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes
    }

    #[test]
    fn group_picture_must_be_a_square_jpeg() {
        assert_eq!(jpeg_size(&jpeg(640, 480)), Some((640, 480)));
        for (bytes, code) in [
            (jpeg(640, 640), None),
            (jpeg(640, 480), Some(131_209)),
            (jpeg(191, 191), Some(131_210)),
            (b"GIF89a".to_vec(), Some(131_053)),
            (vec![0xff, 0xd8, 0, 0, 0, 0], Some(131_053)),
        ] {
            assert_eq!(check_picture(&bytes).err().map(|refusal| refusal.code), code);
        }
    }
}
