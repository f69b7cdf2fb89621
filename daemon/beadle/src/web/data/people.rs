//! Contacts: list, show, edit, merge, mark as distinct.

use super::contact_values::{check_language, check_timezone, profile_error, value_text};
use super::query::{Answer, id, optional_id, page_size, read};
use crate::api::{
    ContactEdit, ContactRow, ContactView, ConversationRow, Done, DuplicateRow, List, MergeView, MergedConversation,
    MergedPlugin, Unreachable,
};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use beadle_model::profile::{AttributeTypes, ProfileEdit, ProfileError, check_tag, parse_attribute};
use beadle_model::{Alias, Contact, ContactId, Role, Timestamp};
use beadle_store::StoreError;
use beadle_store::views::{AliasConflict, ContactDetails, MergeReport};
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /contacts`: oldest first.
pub async fn contacts(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<ContactRow>> {
    let now = admin.clock.now().as_ms();
    let (after, limit) = (optional_id(query.after.as_deref())?, page_size(query.limit));
    let list = read(&admin, move |reader, _| {
        let found = reader.contacts(after, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|contact| contact.id.to_string());
        Ok(List { now, items: found.iter().map(contact_row).collect(), next })
    });
    Ok(Json(list.await?))
}

/// `GET /contacts/duplicates`: contacts that may be one person, newest first.
pub async fn duplicates(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<DuplicateRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, _| {
        let name = |id| Ok::<_, StoreError>(reader.contact(id)?.and_then(|contact| contact.name));
        let duplicate = |(conflict, seen_at): (AliasConflict, Timestamp)| {
            Ok(DuplicateRow {
                contact: conflict.holder.to_string(),
                contact_name: name(conflict.holder)?,
                other: conflict.claimant.to_string(),
                other_name: name(conflict.claimant)?,
                alias: alias(&conflict.alias),
                seen_at: seen_at.as_ms(),
            })
        };
        let items: Result<Vec<_>, StoreError> = reader.alias_conflicts(limit)?.into_iter().map(duplicate).collect();
        Ok(List { now, items: items?, next: None })
    });
    Ok(Json(list.await?))
}

/// `GET /contacts/{id}/merge/{other}`: a dry run of a merge.
pub async fn merge_dry_run(
    State(admin): State<Arc<Admin>>,
    Path((contact, other)): Path<(String, String)>,
) -> Answer<MergeView> {
    merge_view(&admin, admin.store.merge_contacts(id(&contact)?, id(&other)?, true).await?, true).await
}

/// `POST /contacts/{id}/merge/{other}`: merges the second contact into the first.
pub async fn merge(
    State(admin): State<Arc<Admin>>,
    Path((contact, other)): Path<(String, String)>,
) -> Answer<MergeView> {
    let report = admin.store.merge_contacts(id(&contact)?, id(&other)?, false).await?;
    for (from, into) in &report.merged_conversations {
        admin.pipeline.outbox().join(*from, *into);
    }
    tracing::info!(kept = %report.kept, merged = %report.removed, "contacts merged");
    merge_view(&admin, report, false).await
}

/// `POST /contacts/{id}/mark-distinct/{other}`: they are not listed as duplicates again.
pub async fn mark_distinct(
    State(admin): State<Arc<Admin>>,
    Path((contact, other)): Path<(String, String)>,
) -> Answer<Done> {
    admin.store.mark_contacts_distinct(id(&contact)?, id(&other)?).await?;
    let message = format!("{contact} and {other} are marked as distinct.");
    Ok(Json(Done { message, warning: None }))
}

/// `PATCH /contacts/{id}`
pub async fn edit_contact(
    State(admin): State<Arc<Admin>>,
    Path(contact): Path<String>,
    edit: Result<Json<ContactEdit>, JsonRejection>,
) -> Answer<Done> {
    let Json(edit) = edit.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let edit = checked_edit(edit, &admin.people.attributes).map_err(ApiError::bad_request)?;
    let now = admin.store.edit_contact(id(&contact)?, edit).await?;
    Ok(Json(Done { message: described(&now), warning: None }))
}

/// The edit, if all its values are allowed.
pub(super) fn checked_edit(edit: ContactEdit, types: &AttributeTypes) -> Result<beadle_store::ContactEdit, String> {
    edit.language.as_deref().map_or(Ok(()), check_language)?;
    edit.timezone.as_deref().map_or(Ok(()), check_timezone)?;
    let tags = |tags: &[String]| tags.iter().map(|tag| check_tag(tag)).collect::<Result<_, _>>();
    let attributes: Result<_, ProfileError> =
        edit.attributes.iter().map(|(name, text)| Ok((name.clone(), parse_attribute(types, name, text)?))).collect();
    let role = edit.role.as_deref().map(|name| {
        let names = || Role::ALL.map(|role| format!("`{}`", role.name())).join(", ");
        Role::named(name).ok_or_else(|| format!("`{name}` is not a role; the roles are {}", names()))
    });
    let profile = ProfileEdit {
        add_tags: tags(&edit.add_tags).map_err(|error| profile_error(&error))?,
        remove_tags: tags(&edit.remove_tags).map_err(|error| profile_error(&error))?,
        attributes: attributes.map_err(|error| profile_error(&error))?,
        role: role.transpose()?,
    };
    let release = edit.release;
    Ok(beadle_store::ContactEdit { language: edit.language, timezone: edit.timezone, profile, release })
}

/// A contact after an edit, in one line.
fn described(contact: &Contact) -> String {
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    let (language, timezone) = (or_unknown(&contact.language), or_unknown(&contact.timezone));
    let mut parts = vec![format!("language {language}"), format!("time zone {timezone}")];
    let profile = contact.profile();
    if profile.role != Role::Member {
        parts.push(format!("role {}", profile.role.name()));
    }
    if !profile.tags.is_empty() {
        parts.push(format!("tags {}", profile.tags.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    parts.extend(profile.attributes.iter().map(|(name, value)| format!("{name} {}", value_text(value))));
    format!("{}: {}.", contact.id, parts.join(", "))
}

async fn merge_view(admin: &Admin, report: MergeReport, dry_run: bool) -> Answer<MergeView> {
    let view = read(admin, move |reader, names| {
        let plugin = |moved: &beadle_store::views::MergedPlugin| MergedPlugin {
            plugin: names.name(moved.plugin),
            moved_values: moved.values as u64,
            dropped_values: moved.values_dropped as u64,
            dropped_keys: moved.keys_dropped.clone(),
            moved_timers: moved.timers as u64,
            dropped_timers: moved.timers_dropped as u64,
        };
        Ok(MergeView {
            dry_run,
            kept: report.kept.to_string(),
            name: reader.contact(report.kept)?.and_then(|contact| contact.name),
            merged: report.removed.to_string(),
            aliases: report.aliases as u64,
            moved_conversations: report.moved_conversations.iter().map(ToString::to_string).collect(),
            merged_conversations: report
                .merged_conversations
                .iter()
                .map(|(from, into)| MergedConversation { from: from.to_string(), into: into.to_string() })
                .collect(),
            plugins: report.plugins.iter().map(plugin).collect(),
            group_memberships: report.groups as u64,
            join_requests: report.join_requests as u64,
            group_receipts: report.receipts as u64,
            was_member: report.before.member_since.is_some(),
            is_member: report.after.member_since.is_some(),
            opted_out_since: report.after.opted_out_since.map(|at| at.as_ms()),
            marketing_stopped_since: report.after.marketing_stopped_since.map(|at| at.as_ms()),
        })
    });
    Ok(Json(view.await?))
}

/// `GET /contacts/{id}`
pub async fn contact(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<ContactView> {
    let contact: ContactId = id(&text)?;
    let now = admin.clock.now();
    let view = read(&admin, move |reader, _| {
        let details = reader.contact_details(contact)?.ok_or_else(|| ApiError::not_found("contact", &text))?;
        let unreachable = reader.unreachable(details.contact.id, now)?;
        Ok(contact_view(now.as_ms(), &details, unreachable))
    });
    Ok(Json(view.await?))
}

fn contact_view(now: i64, details: &ContactDetails, unreachable: Option<(Timestamp, String)>) -> ContactView {
    let conversations = details.conversations.iter().map(|conversation| ConversationRow {
        id: conversation.id.to_string(),
        channel: conversation.channel.clone(),
        last_inbound_at: conversation.last_inbound_at.map(|at| at.as_ms()),
        window_until: conversation.window_until.map(|at| at.as_ms()),
    });
    ContactView {
        now,
        row: contact_row(&details.contact),
        aliases: details.aliases.iter().map(alias).collect(),
        conversations: conversations.collect(),
        unreachable: unreachable.map(|(since, code)| Unreachable { since: since.as_ms(), code }),
        possible_duplicates: details
            .conflicts
            .iter()
            .map(|conflict| {
                format!("{} was also used by {}", alias(&conflict.alias), other_contact(conflict, details.contact.id))
            })
            .collect(),
        merged: details.merged.iter().map(ToString::to_string).collect(),
    }
}

/// The other contact of an alias that two contacts used.
fn other_contact(conflict: &AliasConflict, contact: ContactId) -> ContactId {
    if conflict.holder == contact { conflict.claimant } else { conflict.holder }
}

fn contact_row(contact: &Contact) -> ContactRow {
    let profile = contact.profile();
    ContactRow {
        id: contact.id.to_string(),
        name: contact.name.clone(),
        language: contact.language.clone(),
        timezone: contact.timezone.clone(),
        created_at: contact.created_at.as_ms(),
        member_since: contact.member_since.map(|at| at.as_ms()),
        opted_out_since: contact.opted_out_since.map(|at| at.as_ms()),
        role: Some(profile.role).filter(|role| *role != Role::Member).map(|role| role.name().into()),
        tags: profile.tags.iter().cloned().collect(),
        attributes: match serde_json::to_value(&profile.attributes) {
            Ok(serde_json::Value::Object(attributes)) => attributes,
            _ => serde_json::Map::new(),
        },
        quarantined_since: profile.quarantined_since.map(|at| at.as_ms()),
    }
}

fn alias(alias: &Alias) -> String {
    format!("{} {}", alias.kind.name(), alias.value)
}
