//! Responses of the control API, and the lookup of people and groups by name. Shared by its
//! endpoints.

use crate::groups::GroupNo;
use crate::hub::World;
use crate::people::PersonNo;
use crate::say::SayError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The JSON of a successful response, or an error.
pub(super) type Answer = Result<Json<Value>, ControlError>;

/// Maximum number of elements in a list. Further messages can be requested with `after`.
pub(super) const MAX_LISTED: usize = 10_000;

/// An error response: `{"error": "…"}`.
pub(super) struct ControlError(pub StatusCode, pub String);

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl ControlError {
    pub(super) fn invalid(error: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, error.into())
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, error.into())
    }

    pub(super) fn conflict(error: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, error.into())
    }
}

impl From<JsonRejection> for ControlError {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<SayError> for ControlError {
    fn from(error: SayError) -> Self {
        match error {
            SayError::NotFound(error) => Self::not_found(error),
            SayError::Invalid(error) => Self::invalid(error),
            SayError::Busy => Self(StatusCode::SERVICE_UNAVAILABLE, "the backlog of updates is full".to_owned()),
        }
    }
}

/// Finds a person by id, number or user id.
pub(super) fn person_no(world: &World, name: &str) -> Result<PersonNo, ControlError> {
    world.people.find(name).ok_or_else(|| ControlError::not_found(format!("unknown person `{name}`")))
}

/// Finds a group by id or invite link.
pub(super) fn group_no(world: &World, id: &str) -> Result<GroupNo, ControlError> {
    let found = world.groups.find(id).or_else(|| world.groups.find_link(id));
    found.ok_or_else(|| ControlError::not_found(format!("unknown group or invite link `{id}`")))
}
