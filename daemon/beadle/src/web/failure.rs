//! Errors of `/api/v1`: a status, a code and a message, in one shape.

use crate::api::{Failure, Problem};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beadle_broadcast::BroadcastError;
use beadle_catalog::CommandError;
use beadle_model::Coded as _;
use beadle_pipeline::InboxError;
use beadle_segments::SegmentError;
use beadle_store::StoreError;

/// Codes that no other crate has.
#[cfg(test)]
pub const CODES: [&str; 20] = [
    "unknown-app",
    "bad-request",
    "budget-nearly-used",
    "channel-stopped",
    "clock-differs",
    "cross-site",
    "hook-bad-signature",
    "hook-no-plugin",
    "hook-no-signature",
    "hook-rate-limit",
    "hook-stale-signature",
    "hook-too-large",
    "internal-error",
    "plugin-not-running",
    "restart-required",
    "retry-running",
    "schedule-plugin-unavailable",
    "schedule-not-exported",
    "store-not-writing",
    "unauthorized",
];

/// Why a request was refused or failed.
#[derive(Debug)]
pub struct ApiError(StatusCode, Problem);

impl ApiError {
    /// The request is malformed.
    pub fn bad_request(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    /// `what` with this id does not exist.
    pub fn not_found(noun: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("no {noun} `{id}`"))
    }

    /// The plugin exists but does not run.
    pub fn not_running(noun: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "plugin-not-running", format!("{noun} does not run; see `beadle plugins list`"))
    }

    /// The request contradicts the present state.
    pub fn conflict(code: &str, message: impl ToString) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The rules do not allow it.
    pub fn refused(refusal: &beadle_model::Refusal) -> Self {
        let instead = refusal.instead.as_ref().map(|instead| format!(" {instead}")).unwrap_or_default();
        Self::new(StatusCode::CONFLICT, &refusal.code, format!("{}{instead}", refusal.message))
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.1.message
    }

    /// A page of another site sent the request.
    pub fn cross_site(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross-site", message)
    }

    /// The API of this address needs a token, and the request has none or a wrong one.
    pub fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// A bug.
    pub fn internal(message: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", message)
    }

    fn new(status: StatusCode, code: &str, message: impl ToString) -> Self {
        Self(status, Problem { code: code.into(), message: message.to_string() })
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound { .. } => StatusCode::NOT_FOUND,
            StoreError::SameContact { .. }
            | StoreError::NotDead { .. }
            | StoreError::Profile { .. }
            | StoreError::List { .. } => StatusCode::CONFLICT,
            StoreError::Busy { .. }
            | StoreError::DiskFull { .. }
            | StoreError::DiskFullAtStart { .. }
            | StoreError::Unavailable { .. }
            | StoreError::LogTooLarge { .. }
            | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.code(), error)
    }
}

impl From<SegmentError> for ApiError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Store(error) => error.into(),
            // The segment exists, and something that it names does not.
            SegmentError::UnknownList { segment: Some(_), .. } | SegmentError::UnknownGroup { .. } => {
                Self::conflict(error.code(), error)
            }
            SegmentError::UnknownSegment { .. } | SegmentError::UnknownList { .. } => {
                Self::new(StatusCode::NOT_FOUND, error.code(), error)
            }
        }
    }
}

impl From<BroadcastError> for ApiError {
    fn from(error: BroadcastError) -> Self {
        let status = match error {
            BroadcastError::Store(error) => return error.into(),
            BroadcastError::Unknown(_) => StatusCode::NOT_FOUND,
            BroadcastError::Invalid(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::CONFLICT,
        };
        match &error {
            BroadcastError::Refused(refusal) => Self::refused(refusal),
            _ => Self::new(status, error.code(), &error),
        }
    }
}

impl From<InboxError> for ApiError {
    fn from(error: InboxError) -> Self {
        match error {
            InboxError::Store(error) => error.into(),
            InboxError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error),
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::Store(_) | CommandError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            CommandError::Unknown(_) => StatusCode::NOT_FOUND,
            CommandError::UnknownCapability(_) | CommandError::DefaultCapability(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, error.code(), error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(Failure { error: self.1 })).into_response()
    }
}
