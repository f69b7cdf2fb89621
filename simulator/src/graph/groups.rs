//! Groups at the Graph API (whatsapp.md 3.2): what is asked is checked and answered at once, and done a moment later.

use super::{Call, Given, page};
use crate::deeds::{Deed, GroupDeed};
use crate::groups::{Group, GroupNo, MOST_GROUPS, MOST_MEMBERS};
use crate::hub::World;
use crate::people;
use crate::receipts;
use crate::refusal::Refusal;
use axum::http::Method;
use serde_json::{Value, json};

/// Groups and join requests on a page, unless told otherwise, and at most (whatsapp.md 3.2).
const PAGE: usize = 25;
const MOST_PAGE: usize = 1_024;

const MINUTE_MS: i64 = 60_000;

/// The largest group picture, and its smallest side.
const MOST_PICTURE_BYTES: usize = 5 * 1024 * 1024;
const LEAST_PICTURE_SIDE: u16 = 192;

/// `GET` and `POST /{PHONE_NUMBER_ID}/groups`.
pub(super) fn of_number(call: &Call<'_>) -> Given {
    match *call.method {
        Method::GET => {
            let world = call.hub.world();
            let eligible = world.knobs.groups_eligible;
            let view = |(_, group): (GroupNo, &Group)| json!({"id": group.id, "subject": group.subject, "created_at": group.created_ms.div_euclid(1000).to_string()});
            // Without eligibility the list is empty and no error (whatsapp.md 3.1).
            let all = world.groups.iter().filter(|_| eligible).map(view).collect();
            let (groups, paging) = page(call, all, PAGE, MOST_PAGE)?;
            Ok(json!({"data": {"groups": groups}, "paging": paging}))
        }
        Method::POST => create(call),
        _ => Err(call.unsupported()),
    }
}

fn create(call: &Call<'_>) -> Given {
    let body = call.product_json()?;
    let hub = call.hub;
    let subject =
        words(&body, "subject", 128)?.ok_or_else(|| Refusal::new(100, "The parameter subject is required."))?;
    let description = words(&body, "description", 2048)?;
    let approval = match body.get("join_approval_mode").map(Value::as_str) {
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
    if !world.knobs.groups_eligible {
        return Err(Refusal::new(131_215, "This phone number is not eligible for groups."));
    }
    pace(&mut world, now_ms)?;
    if world.groups.iter().count() >= MOST_GROUPS {
        return Err(Refusal::new(131_211, format!("This phone number has {MOST_GROUPS} groups already.")));
    }
    let no = world.groups.add(Group {
        id: hub.ids.group(&hub.config.display_number),
        subject,
        description: description.unwrap_or_default(),
        approval,
        created_ms: now_ms,
        link: hub.ids.link(),
        // It is there once its making was told.
        deleted: true,
        ..Group::default()
    });
    Ok(later(call, &mut world, no, GroupDeed::Create, "create", now_ms))
}

/// A text of 1 to so many characters.
fn words(body: &Value, key: &str, most: usize) -> Result<Option<String>, Refusal> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= most && !(key == "subject" && text.is_empty()) => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(Refusal::new(100, format!("Param {key} must be a string of at most {most} characters."))),
    }
}

/// So many operations a minute, where that is limited.
fn pace(world: &mut World, now_ms: i64) -> Result<(), Refusal> {
    let most = usize::try_from(world.knobs.group_operations_per_minute).unwrap_or(usize::MAX);
    world.group_operations_ms.retain(|at_ms| now_ms - at_ms < MINUTE_MS);
    if most > 0 && world.group_operations_ms.len() >= most {
        return Err(Refusal::new(131_208, "There were too many operations on groups."));
    }
    if most > 0 {
        world.group_operations_ms.push(now_ms);
    }
    Ok(())
}

/// Puts the second half on the agenda; gives the answer with the request's id.
fn later(call: &Call<'_>, world: &mut World, group: GroupNo, what: GroupDeed, kind: &str, now_ms: i64) -> Value {
    let hub = call.hub;
    let request = hub.ids.request();
    let fails = world.knobs.group_fault(&mut world.chance, kind);
    world.counts.faults += u64::from(fails.is_some());
    let answer = json!({"messaging_product": "whatsapp", "request_id": request});
    let due_ms = now_ms.saturating_add(world.knobs.group_delay_ms);
    hub.courier.later(now_ms, due_ms, Deed::Group { group, request, what, fails });
    answer
}

/// `/{GROUP_ID}` and its edges.
pub(super) async fn group(call: &Call<'_>) -> Given {
    let hub = call.hub;
    // A form has to be read before the lock is taken.
    let form = match (call.method, call.edge) {
        (&Method::POST, "") => Some(settings_form(call).await?),
        _ => None,
    };
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let no = world.groups.find(call.id).ok_or_else(|| Refusal::new(131_041, "This group does not exist."))?;
    if *call.method != Method::GET {
        if world.groups.get(no).is_some_and(|group| group.suspended) {
            return Err(Refusal::new(131_207, "This group is suspended."));
        }
        pace(&mut world, now_ms)?;
    }
    match (call.method, call.edge) {
        (&Method::GET, "") => info(call, &world, no, now_ms),
        (&Method::POST, "") => settings(call, &mut world, no, form.unwrap_or_default(), now_ms),
        (&Method::DELETE, "") => {
            let mut answer = later(call, &mut world, no, GroupDeed::Delete, "delete", now_ms);
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("success".to_owned(), json!(true));
            }
            Ok(answer)
        }
        (&Method::GET, "invite_link") => link(&world, no),
        (&Method::POST, "invite_link") => {
            call.product_json()?;
            if let Some(group) = world.groups.get_mut(no) {
                group.link = hub.ids.link();
            }
            crate::view::tell_group(hub, &world, no);
            link(&world, no)
        }
        (&Method::GET, "join_requests") => join_requests(call, &world, no, now_ms),
        (&Method::POST | &Method::DELETE, "join_requests") => judge(call, &mut world, no, now_ms),
        (&Method::DELETE, "participants") => remove(call, &mut world, no, now_ms),
        _ => Err(call.unsupported()),
    }
}

fn link(world: &World, no: GroupNo) -> Given {
    let group = world.groups.get(no).ok_or_else(Refusal::something_wrong)?;
    Ok(json!({"messaging_product": "whatsapp", "invite_link": group.invite_link()}))
}

fn info(call: &Call<'_>, world: &World, no: GroupNo, now_ms: i64) -> Given {
    let group = world.groups.get(no).ok_or_else(Refusal::something_wrong)?;
    let members = group.members.iter().filter_map(|who| world.people.get(*who));
    let members: Vec<Value> = members.map(|person| receipts::participant(person, now_ms)).collect();
    let all = json!({
        "subject": group.subject, "description": group.description, "suspended": group.suspended,
        "creation_timestamp": group.created_ms.div_euclid(1000).to_string(),
        "total_participant_count": members.len(), "participants": members,
        "join_approval_mode": group.approval_mode(),
    });
    // Without fields: the id and the product only.
    let fields = call.fields().unwrap_or_default();
    let mut answer = json!({"messaging_product": "whatsapp", "id": group.id});
    if let (Some(answer), Value::Object(all)) = (answer.as_object_mut(), all) {
        answer.extend(all.into_iter().filter(|(key, _)| fields.contains(&key.as_str())));
    }
    Ok(answer)
}

/// What is to be changed: JSON, or a form with a picture.
#[derive(Default)]
struct Settings {
    body: Value,
    picture: Option<super::Upload>,
}

async fn settings_form(call: &Call<'_>) -> Result<Settings, Refusal> {
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

fn settings(call: &Call<'_>, world: &mut World, no: GroupNo, given: Settings, now_ms: i64) -> Given {
    let subject = words(&given.body, "subject", 128)?;
    let description = words(&given.body, "description", 2048)?;
    if subject.is_none() && description.is_none() && given.picture.is_none() {
        return Err(Refusal::new(100, "There is nothing to change: give subject, description or file."));
    }
    let (mut picture, mut picture_fails) = (None, None);
    if let Some(file) = given.picture {
        match check_picture(&file.bytes) {
            Ok(()) => {
                let id = call.hub.ids.number();
                picture = Some(world.media.add(id, "image/jpeg", Some(file.filename), file.bytes, false, now_ms));
            }
            Err(refusal) => picture_fails = Some((refusal.code, refusal.details)),
        }
    }
    let what = GroupDeed::Settings { subject, description, picture, picture_fails };
    Ok(later(call, world, no, what, "settings", now_ms))
}

/// A JPEG, square, not small and not large.
fn check_picture(bytes: &[u8]) -> Result<(), Refusal> {
    let Some((width, height)) = jpeg_size(bytes).filter(|_| bytes.len() <= MOST_PICTURE_BYTES) else {
        return Err(Refusal::new(131_053, "The picture is not a JPEG of at most 5 MB."));
    };
    if width != height {
        return Err(Refusal::new(131_209, format!("The picture is {width} by {height}, and must be square.")));
    }
    if width < LEAST_PICTURE_SIDE {
        return Err(Refusal::new(
            131_210,
            format!("The picture has {width} pixels a side, and needs {LEAST_PICTURE_SIDE}."),
        ));
    }
    Ok(())
}

/// Width and height, from the frame header of a JPEG (ITU T.81).
fn jpeg_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let pair = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    if pair(0)? != 0xffd8 {
        return None;
    }
    let mut at = 2;
    loop {
        let marker = pair(at)?;
        // Start of frame, of whatever kind of coding; C4, C8 and CC are something else.
        if matches!(marker, 0xffc0..=0xffcf) && !matches!(marker, 0xffc4 | 0xffc8 | 0xffcc) {
            return Some((pair(at + 7)?, pair(at + 5)?));
        }
        if marker < 0xff01 {
            return None;
        }
        at += 2 + usize::from(pair(at + 2)?);
    }
}

fn join_requests(call: &Call<'_>, world: &World, no: GroupNo, now_ms: i64) -> Given {
    let group = world.groups.get(no).ok_or_else(Refusal::something_wrong)?;
    let view = |request: &crate::groups::JoinRequest| {
        let mut view = receipts::participant(world.people.get(request.person)?, now_ms);
        let object = view.as_object_mut()?;
        object.insert("join_request_id".to_owned(), json!(request.id));
        object.insert("creation_timestamp".to_owned(), json!(request.at_ms.div_euclid(1000).to_string()));
        Some(view)
    };
    let all = group.requests.iter().filter_map(view).collect();
    let (data, paging) = page(call, all, PAGE, MOST_PAGE)?;
    Ok(json!({"data": data, "paging": paging}))
}

/// Approves (`POST`) or rejects (`DELETE`) requests to join. Of a rejection there is no webhook.
fn judge(call: &Call<'_>, world: &mut World, no: GroupNo, now_ms: i64) -> Given {
    let body = call.product_json()?;
    let ids = body.get("join_requests").and_then(Value::as_array).filter(|ids| !ids.is_empty());
    let ids = ids.ok_or_else(|| Refusal::new(100, "The parameter join_requests is required."))?;
    let approve = *call.method == Method::POST;
    let (mut done, mut failed, mut people) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids.iter().map(|id| id.as_str().unwrap_or_default()) {
        let full = approve && world.groups.get(no).is_some_and(|group| group.members.len() >= MOST_MEMBERS);
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
            (None, false) => failed.push((id, Refusal::new(131_213, "There is no such join request."))),
        }
    }
    if !people.is_empty() {
        later(call, world, no, GroupDeed::Approve(people), "approve", now_ms);
    }
    crate::view::tell_group(call.hub, world, no);
    let mut answer = json!({"messaging_product": "whatsapp"});
    if let Some(answer) = answer.as_object_mut() {
        answer
            .insert(if approve { "approved_join_requests" } else { "rejected_join_requests" }.to_owned(), json!(done));
        if !failed.is_empty() {
            let errors: Vec<Value> = failed.iter().map(|(_, refusal)| refusal.in_status()).collect();
            let each =
                |(id, refusal): &(&str, Refusal)| json!({"join_request_id": id, "errors": [refusal.in_status()]});
            answer.insert("failed_join_requests".to_owned(), failed.iter().map(each).collect());
            answer.insert("errors".to_owned(), json!(errors));
        }
    }
    Ok(answer)
}

fn remove(call: &Call<'_>, world: &mut World, no: GroupNo, now_ms: i64) -> Given {
    let body = call.product_json()?;
    let wanted = body.get("participants").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !(1..=MOST_MEMBERS).contains(&wanted.len()) {
        return Err(Refusal::new(
            if wanted.is_empty() { 100 } else { 131_204 },
            "Param participants has 1 to 8 objects.",
        ));
    }
    let mut named = Vec::new();
    for one in wanted {
        let text = |key: &str| one.get(key).and_then(Value::as_str);
        let (input, name) = match (text("user"), text("user_id")) {
            (Some(user), _) => (user, people::digits(user).unwrap_or_default()),
            (None, Some(user_id)) => (user_id, user_id.to_owned()),
            (None, None) => return Err(Refusal::new(100, "A participant is an object with user or user_id.")),
        };
        let who = world.people.find(&name);
        if named.iter().any(|(other, found)| other == input || (who.is_some() && *found == who)) {
            return Err(Refusal::new(131_202, format!("'{input}' is named twice.")));
        }
        named.push((input.to_owned(), who));
    }
    Ok(later(call, world, no, GroupDeed::Remove(named), "remove", now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a JPEG of this size: SOI, an APP0 to skip, SOF0.
    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc0, 0, 11, 8];
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes
    }

    #[test]
    fn a_group_picture_is_a_square_jpeg() {
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
