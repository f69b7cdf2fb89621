//! The platform's errors (docs/whatsapp.md#errors) and their JSON.
//!
//! Titles are Meta's where they are documented, otherwise in the same style; clients should branch
//! on `code` and `details`. The HTTP status is the documented one, which is 400 even for
//! throttling.

use axum::http::Method;
use serde_json::{Value, json};

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: u32,
    pub subcode: Option<u32>,
    pub details: String,
}

/// The subcode of code 100 for an unknown id.
const UNKNOWN_OBJECT: u32 = 33;

/// Code, HTTP status, title.
const TABLE: &[(u32, u16, &str)] = &[
    (0, 401, "AuthException"),
    (1, 400, "API Unknown"),
    (2, 503, "API Service"),
    (3, 500, "API Method"),
    (4, 400, "API Too Many Calls"),
    (10, 403, "Permission Denied"),
    (33, 400, "Parameter value is not valid"),
    (100, 400, "Invalid parameter"),
    (190, 401, "Access token has expired"),
    (368, 403, "Temporarily blocked for policies violations"),
    (80007, 400, "Rate limit issues"),
    (130_429, 400, "Rate limit hit"),
    (130_472, 400, "User's number is part of an experiment"),
    (130_497, 403, "Business account is restricted from messaging users in this country"),
    (131_000, 500, "Something went wrong"),
    (131_005, 403, "Access denied"),
    (131_008, 400, "Required parameter is missing"),
    (131_009, 400, "Parameter value is not valid"),
    (131_016, 500, "Service unavailable"),
    (131_020, 400, "Invalid group"),
    (131_021, 400, "Recipient cannot be sender"),
    (131_026, 400, "Message undeliverable"),
    (131_031, 403, "Account has been locked"),
    (131_037, 400, "Display name approval needed"),
    (131_041, 400, "Unknown group"),
    (131_042, 400, "Business eligibility payment issue"),
    (131_045, 500, "Incorrect certificate"),
    (131_047, 400, "Re-engagement message"),
    (131_048, 400, "Spam rate limit hit"),
    (131_049, 400, "Meta chose not to deliver"),
    (131_050, 400, "User has stopped receiving marketing messages"),
    (131_051, 400, "Unsupported message type"),
    (131_052, 400, "Media download error"),
    (131_053, 400, "Media upload error"),
    (131_056, 400, "(Business Account, Consumer Account) pair rate limit hit"),
    (131_057, 500, "Account in maintenance mode"),
    (131_059, 400, "Invalid cursor"),
    (131_062, 400, "Business-scoped user id recipients are not supported for this message"),
    (131_201, 206, "Not All Participants Remove Succeeded"),
    (131_202, 400, "Duplicate participant"),
    (131_203, 400, "User has not accepted the Terms of Service"),
    (131_204, 400, "Too many participants"),
    (131_207, 403, "Group is suspended"),
    (131_208, 429, "Group operation rate limit hit"),
    (131_209, 400, "Invalid aspect ratio of the group picture"),
    (131_210, 400, "Group picture is too small"),
    (131_211, 400, "Group creation limit reached"),
    (131_212, 400, "User is not a participant"),
    (131_213, 400, "Join request not found"),
    (131_214, 400, "Group creation is disabled"),
    (131_215, 400, "Not eligible for groups"),
    (132_000, 400, "Number of parameters does not match the expected number of params"),
    (132_001, 404, "Template name does not exist in the translation"),
    (132_005, 400, "Translated text too long"),
    (132_007, 400, "Template format character policy violated"),
    (132_012, 400, "Parameter format does not match format in the created template"),
    (132_015, 400, "Template is paused"),
    (132_016, 400, "Template is disabled"),
    (132_018, 400, "Invalid template parameters"),
    (132_068, 400, "Flow is in blocked state"),
    (132_069, 400, "Flow is in throttled state"),
    (133_004, 503, "Server is temporarily unavailable"),
    (133_010, 400, "Phone number not registered"),
    (138_000, 400, "Calling is not enabled"),
];

impl Refusal {
    pub(crate) fn new(code: u32, details: impl Into<String>) -> Self {
        Self { code, subcode: None, details: details.into() }
    }

    /// 131008: a parameter is missing.
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(131_008, format!("Parameter '{parameter}' is mandatory"))
    }

    /// 131009: a parameter is invalid.
    pub(crate) fn invalid(details: impl Into<String>) -> Self {
        Self::new(131_009, details)
    }

    fn row(&self) -> (u16, &'static str) {
        let row = TABLE.iter().find(|(code, ..)| *code == self.code);
        row.map_or((400, "Generic user error"), |(_, status, title)| (*status, title))
    }

    pub(crate) fn status(&self) -> u16 {
        self.row().0
    }

    /// The body of an error response.
    pub(crate) fn body(&self, trace: &str) -> Value {
        let kind = if self.subcode == Some(UNKNOWN_OBJECT) { "GraphMethodException" } else { "OAuthException" };
        if let Some(subcode) = self.subcode {
            return json!({"error": {
                "message": self.details,
                "type": kind,
                "code": self.code,
                "error_subcode": subcode,
                "fbtrace_id": trace,
            }});
        }
        if self.code == 190 {
            // Token errors have no further members.
            return json!({"error": {"message": self.details, "type": kind, "code": 190, "fbtrace_id": trace}});
        }
        json!({"error": {
            "message": format!("(#{}) {}", self.code, self.row().1),
            "type": kind,
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": trace,
        }})
    }

    /// The same error in the `errors` of a status or an event.
    pub(crate) fn in_status(&self) -> Value {
        let title = self.row().1;
        json!({
            "code": self.code,
            "title": title,
            "message": title,
            "error_data": {"details": self.details},
            "href": "/documentation/business-messaging/whatsapp/support/error-codes",
        })
    }

    // Refusals that are used in several places, with Meta's details.

    pub(crate) fn window_closed() -> Self {
        Self::new(
            131_047,
            "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
        )
    }

    pub(crate) fn undeliverable() -> Self {
        Self::new(131_026, "Message Undeliverable.")
    }

    pub(crate) fn not_healthy() -> Self {
        Self::new(131_049, "This message was not delivered to maintain healthy ecosystem engagement.")
    }

    pub(crate) fn stopped_marketing() -> Self {
        Self::new(
            131_050,
            "Message was not delivered because the recipient has chosen to stop receiving marketing messages on WhatsApp from your business.",
        )
    }

    /// An unknown id.
    pub(crate) fn unknown_object(method: &Method, id: &str) -> Self {
        let method = method.as_str().to_lowercase();
        let details = format!(
            "Unsupported {method} request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api"
        );
        Self { subcode: Some(UNKNOWN_OBJECT), ..Self::new(100, details) }
    }

    pub(crate) fn unknown_error() -> Self {
        Self::new(131_000, "Message failed to send due to an unknown error.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_object_is_code_100_with_a_subcode() {
        let error = &Refusal::unknown_object(&Method::POST, "1").body("A")["error"];
        assert_eq!((&error["code"], &error["error_subcode"]), (&json!(100), &json!(33)));
        assert_eq!(error["type"], "GraphMethodException");
        assert!(error["message"].as_str().unwrap().starts_with("Unsupported post request. Object with ID '1'"));
    }

    #[test]
    fn error_body_has_the_documented_form() {
        let refusal = Refusal::new(130_429, "Cloud API message throughput has been reached.");
        assert_eq!(refusal.status(), 400);
        assert_eq!(
            refusal.body("Az8or2yhqkZfEZ-_4Qn_Bam"),
            json!({"error":{"message":"(#130429) Rate limit hit","type":"OAuthException","code":130_429,
              "error_data":{"messaging_product":"whatsapp","details":"Cloud API message throughput has been reached."},
              "fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}})
        );
    }

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
    }
}
