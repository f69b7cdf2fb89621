//! Groups from the people's side: following a link, asking, leaving; and the platform's own hand on them.

use super::{Answer, Problem, group_no, person_no};
use crate::deeds::{self, Deed, GroupDeed};
use crate::groups::{Entry, Group, GroupNo};
use crate::hub::{Hub, World};
use crate::{receipts, view};
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
    /// Whoever follows the link has to ask.
    #[serde(default)]
    approval: bool,
    /// In it from the start; they came by the link before anybody looked.
    #[serde(default)]
    members: Vec<String>,
}

/// Makes a group as though the business had asked for it.
pub(super) async fn make(State(hub): State<Arc<Hub>>, body: Result<Json<NewGroup>, JsonRejection>) -> Answer {
    let Json(new) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    if new.subject.trim().is_empty() || new.subject.chars().count() > 128 {
        return Err(Problem::wrong("a subject has 1 to 128 characters"));
    }
    if new.members.len() > crate::groups::MOST_MEMBERS {
        return Err(Problem::wrong("a group has 8 people at most"));
    }
    let mut members = Vec::new();
    for name in &new.members {
        members.push(person_no(&world, name)?);
    }
    let no = world.groups.add(Group {
        id: hub.ids.group(&hub.config.display_number),
        subject: new.subject,
        description: new.description,
        approval: new.approval,
        created_ms: now_ms,
        link: hub.ids.link(),
        ..Group::default()
    });
    let request = hub.ids.request();
    hub.courier.later(now_ms, now_ms, Deed::Group { group: no, request, what: GroupDeed::Create, fails: None });
    if !members.is_empty() {
        if let Some(group) = world.groups.get_mut(no) {
            group.members.clone_from(&members);
        }
        let request = hub.ids.request();
        hub.courier.later(
            now_ms,
            now_ms,
            Deed::Group { group: no, request, what: GroupDeed::Approve(members), fails: None },
        );
    }
    view::tell_group(&hub, &world, no);
    Ok(Json(world.groups.get(no).map(|group| view::group(&world, group)).unwrap_or_default()))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// Follows the link: in at once, or asks.
    Join,
    Leave,
    /// Takes a request to join back.
    Revoke,
    /// The platform suspends the group, and ends that.
    Suspend,
    Clear,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Act {
    act: What,
    /// Who; not for `suspend` and `clear`.
    person: Option<String>,
}

/// Somebody does something about a group; the path has its id or its invite link (the end of it).
pub(super) async fn act(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    body: Result<Json<Act>, JsonRejection>,
) -> Answer {
    let Json(act) = body?;
    let mut world = hub.world();
    let no = group_no(&world, &id)?;
    let who = || act.person.as_deref().ok_or_else(|| Problem::wrong("give `person`"));
    match act.act {
        What::Join => join(&hub, &mut world, no, who()?)?,
        What::Leave => {
            let who = person_no(&world, who()?)?;
            if !world.groups.leave(no, who) {
                return Err(Problem::conflict("they are not in this group"));
            }
            let gone = world.people.get(who).map(|person| receipts::participant(person, hub.clock.now_ms()));
            let more = json!({"initiated_by": "participant", "removed_participants": [gone]});
            deeds::tell_group(&hub, &mut world, no, PARTICIPANTS, "group_participants_remove", more);
        }
        What::Revoke => {
            let who = person_no(&world, who()?)?;
            let request = world.groups.take_request(no, |request| request.person == who);
            let request = request.ok_or_else(|| Problem::conflict("they did not ask to join"))?;
            asked(&hub, &mut world, no, who, &request.id, "group_join_request_revoked");
        }
        What::Suspend | What::Clear => {
            let suspend = matches!(act.act, What::Suspend);
            if let Some(group) = world.groups.get_mut(no) {
                group.suspended = suspend;
            }
            let kind = if suspend { "group_suspend" } else { "group_suspend_cleared" };
            deeds::tell_group(&hub, &mut world, no, STATUS, kind, Value::Null);
        }
    }
    Ok(Json(world.groups.get(no).map(|group| view::group(&world, group)).unwrap_or_default()))
}

fn join(hub: &Hub, world: &mut World, no: GroupNo, name: &str) -> Result<(), Problem> {
    let who = person_no(world, name)?;
    let entry = world.groups.enter(no, who, hub.ids.join_request(), hub.clock.now_ms()).map_err(Problem::conflict)?;
    match entry {
        Entry::Joined => {
            let added = world.people.get(who).map(|person| receipts::participant(person, hub.clock.now_ms()));
            let more = json!({"reason": "invite_link", "added_participants": [added]});
            deeds::tell_group(hub, world, no, PARTICIPANTS, "group_participants_add", more);
        }
        Entry::Asked(request) => asked(hub, world, no, who, &request, "group_join_request_created"),
    }
    Ok(())
}

/// A request to join was made or taken back.
fn asked(hub: &Hub, world: &mut World, no: GroupNo, who: usize, request: &str, kind: &str) {
    let mut more =
        world.people.get(who).map(|person| receipts::participant(person, hub.clock.now_ms())).unwrap_or_default();
    if let Some(more) = more.as_object_mut() {
        more.insert("join_request_id".to_owned(), json!(request));
        more.insert("reason".to_owned(), json!("invite_link"));
    }
    deeds::tell_group(hub, world, no, PARTICIPANTS, kind, more);
}
