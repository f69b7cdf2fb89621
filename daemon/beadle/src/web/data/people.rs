//! Contacts: listed and shown.

use super::{Admin, Answer, ask, id, maybe_id, most};
use crate::api::{ContactRow, ContactView, ConversationRow, List, MergeProposal};
use crate::web::failure::No;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::{Alias, AliasKind, Contact, ContactId, Timestamp};
use beadle_store::shown::{AliasClash, ContactShown};
use serde::Deserialize;
use std::sync::Arc;

/// Which contacts.
#[derive(Debug, Deserialize)]
pub struct Which {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /contacts`: the longest known first.
pub async fn contacts(State(admin): State<Arc<Admin>>, Query(which): Query<Which>) -> Answer<List<ContactRow>> {
    let now = admin.clock.now().as_ms();
    let (after, most) = (maybe_id(which.after.as_deref())?, most(which.limit));
    let list = ask(&admin, move |reader, _| {
        let found = reader.contacts(after, most)?;
        let next = found.last().filter(|_| found.len() == most).map(|contact| contact.id.to_string());
        Ok(List { now, items: found.iter().map(contact_row).collect(), next })
    });
    Ok(Json(list.await?))
}

/// `GET /contacts/proposals`: who may be here twice, the latest first.
pub async fn proposals(State(admin): State<Arc<Admin>>, Query(which): Query<Which>) -> Answer<List<MergeProposal>> {
    let now = admin.clock.now().as_ms();
    let most = most(which.limit);
    let list = ask(&admin, move |reader, _| {
        let proposal = |(clash, seen_at): (AliasClash, Timestamp)| MergeProposal {
            claimed: clash.claimed.to_string(),
            holder: clash.holder.to_string(),
            alias: alias(&clash.alias),
            seen_at: seen_at.as_ms(),
        };
        Ok(List { now, items: reader.alias_clashes(most)?.into_iter().map(proposal).collect(), next: None })
    });
    Ok(Json(list.await?))
}

/// `GET /contacts/{id}`
pub async fn contact(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<ContactView> {
    let contact: ContactId = id(&text)?;
    let now = admin.clock.now().as_ms();
    let view = ask(&admin, move |reader, _| {
        let shown = reader.contact_shown(contact)?.ok_or_else(|| No::not_found("contact", &text))?;
        Ok(contact_view(now, &shown))
    });
    Ok(Json(view.await?))
}

fn contact_view(now: i64, shown: &ContactShown) -> ContactView {
    let conversations = shown.conversations.iter().map(|it| ConversationRow {
        id: it.id.to_string(),
        channel: it.channel.clone(),
        last_inbound_at: it.last_inbound_at.map(|at| at.as_ms()),
        window_until: it.window_until.map(|at| at.as_ms()),
    });
    ContactView {
        now,
        row: contact_row(&shown.contact),
        aliases: shown.aliases.iter().map(alias).collect(),
        conversations: conversations.collect(),
        clashes: shown
            .clashes
            .iter()
            .map(|clash| format!("{} is also a name of {}", alias(&clash.alias), other(clash, shown.contact.id)))
            .collect(),
    }
}

/// The other contact of a name that two came under.
fn other(clash: &beadle_store::shown::AliasClash, this: ContactId) -> ContactId {
    if clash.holder == this { clash.claimed } else { clash.holder }
}

fn contact_row(contact: &Contact) -> ContactRow {
    ContactRow {
        id: contact.id.to_string(),
        name: contact.name.clone(),
        language: contact.language.clone(),
        created_at: contact.created_at.as_ms(),
        member_since: contact.member_since.map(|at| at.as_ms()),
        opted_out_since: contact.opted_out_since.map(|at| at.as_ms()),
    }
}

fn alias(alias: &Alias) -> String {
    let kind = match alias.kind {
        AliasKind::Phone => "phone",
        AliasKind::WaId => "wa-id",
        AliasKind::UserId => "user-id",
        AliasKind::ParentUserId => "parent-user-id",
    };
    format!("{kind} {}", alias.value)
}
