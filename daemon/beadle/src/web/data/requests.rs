//! What people asked the operator for: to talk to a person, a copy of their data, or its erasure.

use super::query::{Answer, page_size, read};
use crate::api::{Done, List, RequestRow};
use crate::web::context::Admin;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::Timestamp;
use serde::Deserialize;
use std::sync::Arc;

/// The length of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    limit: Option<usize>,
}

/// `GET /contacts/requests`: open ones, oldest first.
pub async fn requests(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<RequestRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, _| {
        let mut items = Vec::new();
        for request in reader.contact_requests(limit)? {
            items.push(RequestRow {
                id: request.id,
                kind: request.kind.name().into(),
                name: reader.contact(request.contact)?.and_then(|contact| contact.name),
                contact: request.contact.to_string(),
                conversation: request.conversation.map(|id| id.to_string()),
                asked_at: request.asked_at.as_ms(),
                confirmed_at: request.confirmed_at.map(Timestamp::as_ms),
            });
        }
        Ok(List { now, items, next: None })
    });
    Ok(Json(list.await?))
}

/// `POST /contacts/requests/{id}/close`
pub async fn close_request(State(admin): State<Arc<Admin>>, Path(request): Path<i64>) -> Answer<Done> {
    admin.store.close_contact_request(request).await?;
    Ok(Json(Done { message: format!("Request {request} is closed."), warning: None }))
}
