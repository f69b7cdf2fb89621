//! Segments and lists of people.

use super::query::{Answer, id, optional_id, page_size, read};
use crate::api::{
    Done, List, ListChanged, ListEdit, MemberRow, NamedValue, NewList, PeopleListRow, Problem, ReasonPart,
    SegmentCount, SegmentExplanation, SegmentRow,
};
use crate::config::{NAME_FORM, is_name};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use beadle_model::text::counted;
use beadle_model::{Coded as _, ContactId};
use beadle_segments::{Definitions, Part};
use beadle_store::ListRow;
use serde::Deserialize;
use std::sync::Arc;

/// The maximum number of contacts in one edit of a list: it bounds the transaction.
const MAX_EDITED: usize = 10_000;
/// The maximum length of a description in characters.
const MAX_DESCRIPTION: usize = 500;

/// A page.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /segments`: by name.
pub async fn segments(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<SegmentRow>> {
    let (now, limit) = (admin.clock.now(), page_size(query.limit));
    let segments = admin.segments.clone();
    let list = read(&admin, move |_, _| {
        let definitions = segments.definitions();
        let after = query.after.unwrap_or_default();
        let mut rest = definitions.segments().filter(|segment| segment.name > after);
        let items: Vec<SegmentRow> = rest
            .by_ref()
            .take(limit)
            .map(|segment| SegmentRow {
                name: segment.name.clone(),
                description: segment.description.clone(),
                expression: segment.source.clone(),
                segments: segment.named_segments().into_iter().collect(),
                lists: segment.named_lists().into_iter().collect(),
                problem: segments
                    .members(&segment.name, now)
                    .err()
                    .map(|error| Problem { code: error.code().into(), message: error.to_string() }),
            })
            .collect();
        let next = items.last().filter(|_| rest.next().is_some()).map(|row| row.name.clone());
        Ok(List { now: now.as_ms(), items, next })
    });
    Ok(Json(list.await?))
}

/// `GET /segments/{name}/count`: also of a list, as `list:NAME`.
pub async fn count_segment(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<SegmentCount> {
    let (now, segments) = (admin.clock.now(), admin.segments.clone());
    let count = read(&admin, move |_, _| {
        let counted = segments.members(&name, now)?.count()?;
        Ok(SegmentCount { now: now.as_ms(), name, members: counted.members, people: counted.people })
    });
    Ok(Json(count.await?))
}

/// `GET /segments/{name}/members`: in the order in which they became known.
pub async fn segment_members(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<List<MemberRow>> {
    let now = admin.clock.now();
    let (mut after, limit) = (optional_id(query.after.as_deref())?, page_size(query.limit));
    let segments = admin.segments.clone();
    let list = read(&admin, move |reader, _| {
        let selected = segments.members(&name, now)?;
        let mut members = Vec::new();
        // A page of them may be short, which would look like the end to a person.
        loop {
            let page = selected.page(after, limit - members.len())?;
            members.extend(page.members);
            after = page.next;
            if after.is_none() || members.len() >= limit {
                break;
            }
        }
        let row = |contact: ContactId| {
            let name = reader.contact(contact)?.and_then(|contact| contact.name);
            Ok(MemberRow { contact: contact.to_string(), name, added_at: None })
        };
        let items = members.into_iter().map(row).collect::<Result<_, ApiError>>()?;
        Ok(List { now: now.as_ms(), items, next: after.map(|id| id.to_string()) })
    });
    Ok(Json(list.await?))
}

/// `GET /segments/{name}/explain/{contact}`
pub async fn explain_segment(
    State(admin): State<Arc<Admin>>,
    Path((name, contact)): Path<(String, String)>,
) -> Answer<SegmentExplanation> {
    let (now, person, segments) = (admin.clock.now(), id::<ContactId>(&contact)?, admin.segments.clone());
    let view = read(&admin, move |_, _| {
        let found = segments.members(&name, now)?.explain(person)?;
        let explained = found.ok_or_else(|| ApiError::not_found("contact", &contact))?;
        Ok(SegmentExplanation {
            now: now.as_ms(),
            segment: name,
            contact: explained.contact.to_string(),
            name: explained.name,
            member: explained.is_member,
            reason: reason(explained.reason),
        })
    });
    Ok(Json(view.await?))
}

fn reason(part: Part) -> ReasonPart {
    ReasonPart {
        text: part.text,
        holds: part.holds,
        values: part.values.into_iter().map(|(name, value)| NamedValue { name, value }).collect(),
        parts: part.parts.into_iter().map(reason).collect(),
    }
}

/// `GET /lists`: by name.
pub async fn lists(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<PeopleListRow>> {
    let (now, limit) = (admin.clock.now().as_ms(), page_size(query.limit));
    let definitions = admin.segments.definitions();
    let list = read(&admin, move |reader, _| {
        let after = query.after.unwrap_or_default();
        let mut rest = reader.lists()?.into_iter().filter(|list| list.name > after);
        let items: Vec<PeopleListRow> = rest.by_ref().take(limit).map(|list| list_row(list, &definitions)).collect();
        let next = items.last().filter(|_| rest.next().is_some()).map(|row| row.name.clone());
        Ok(List { now, items, next })
    });
    Ok(Json(list.await?))
}

fn list_row(list: ListRow, definitions: &Definitions) -> PeopleListRow {
    PeopleListRow {
        segments: users_of(&list.name, definitions),
        name: list.name,
        description: list.description,
        created_at: list.created_at.as_ms(),
        members: list.members,
    }
}

/// The segments that name a list.
fn users_of(list: &str, definitions: &Definitions) -> Vec<String> {
    let users = definitions.segments().filter(|segment| segment.named_lists().contains(list));
    users.map(|segment| segment.name.clone()).collect()
}

/// `POST /lists`
pub async fn create_list(
    State(admin): State<Arc<Admin>>,
    list: Result<Json<NewList>, JsonRejection>,
) -> Answer<PeopleListRow> {
    let Json(NewList { name, description }) = list.map_err(|error| ApiError::bad_request(error.body_text()))?;
    if !is_name(&name) {
        return Err(ApiError::bad_request(format!("invalid name `{name}`: a list's name {NAME_FORM}")));
    }
    if description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        return Err(ApiError::bad_request(format!("a description may have {MAX_DESCRIPTION} characters")));
    }
    let created = admin.store.create_list(&name, description.filter(|text| !text.is_empty())).await?;
    tracing::info!(list = name, "list created");
    Ok(Json(list_row(created, &admin.segments.definitions())))
}

/// `GET /lists/{name}`
pub async fn list(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<PeopleListRow> {
    let definitions = admin.segments.definitions();
    let row = read(&admin, move |reader, _| {
        let found = reader.list(&name)?.ok_or_else(|| ApiError::not_found("list", &name))?;
        Ok(list_row(found, &definitions))
    });
    Ok(Json(row.await?))
}

/// `GET /lists/{name}/members`: in the order in which the people became known.
pub async fn list_members(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<List<MemberRow>> {
    let now = admin.clock.now().as_ms();
    let (after, limit) = (optional_id(query.after.as_deref())?, page_size(query.limit));
    let list = read(&admin, move |reader, _| {
        let list = reader.list(&name)?.ok_or_else(|| ApiError::not_found("list", &name))?;
        let found = reader.list_members(list.id, after, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|member| member.contact.to_string());
        let row = |member: beadle_store::ListMember| MemberRow {
            contact: member.contact.to_string(),
            name: member.name,
            added_at: Some(member.added_at.as_ms()),
        };
        Ok(List { now, items: found.into_iter().map(row).collect(), next })
    });
    Ok(Json(list.await?))
}

/// `PATCH /lists/{name}`
pub async fn edit_list(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    edit: Result<Json<ListEdit>, JsonRejection>,
) -> Answer<ListChanged> {
    let Json(edit) = edit.map_err(|error| ApiError::bad_request(error.body_text()))?;
    if edit.add.len() + edit.remove.len() > MAX_EDITED {
        return Err(ApiError::bad_request(format!("at most {MAX_EDITED} contacts can be added or removed at once")));
    }
    let ids = |texts: &[String]| texts.iter().map(|text| id::<ContactId>(text)).collect::<Result<Vec<_>, _>>();
    let changed = admin.store.edit_list(&name, ids(&edit.add)?, ids(&edit.remove)?).await?;
    let (added, removed) = (changed.added as u64, changed.removed as u64);
    tracing::info!(list = name, added, removed, "list changed");
    Ok(Json(ListChanged { added, removed, members: changed.members }))
}

/// `POST /lists/{name}/delete`: refused while a segment names it.
pub async fn delete_list(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Answer<Done> {
    let users = users_of(&name, &admin.segments.definitions());
    if !users.is_empty() {
        let segments = users.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = format!("list `{name}` is named by {segments}; change the configuration first");
        return Err(ApiError::conflict("list-refused", message));
    }
    let deleted = admin.store.delete_list(&name).await?;
    tracing::info!(list = name, members = deleted.members, "list deleted");
    let members = counted(deleted.members, "member", "members");
    Ok(Json(Done { message: format!("Deleted list {name} with {members}."), warning: None }))
}
