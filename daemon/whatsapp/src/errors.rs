//! The platform's error codes: the meaning of each and the advice to the outbox
//! (docs/whatsapp.md#errors and docs/whatsapp.md#group-errors).
//!
//! The advice depends on the code, for a few codes also on the details, and never on the HTTP
//! status or the title: the platform documents throttling as HTTP 400. Unknown codes are classified
//! by their range and status. An error about the number, the account or the payment stops the
//! channel, and one about the token stops all channels of the app: every further message would fail
//! too, and it is better that messages wait.

use beadle_model::Blame::{self, Host, Operator, Plugin, Remote};
use beadle_model::event::Problem;
use beadle_pipeline::Advice::{
    self, Fail, Retry, SlowApp, SlowChannel, SlowRecipient, StopApp, StopChannel, StopOutreach,
};

/// One retry, for what the platform describes as a possible glitch.
const ONCE: Advice = Retry { attempts: 2 };
/// Few retries, because a message that may never be accepted occupies a place in the queue.
const FEW: Advice = Retry { attempts: 3 };
/// For outages: with delays of 4^n seconds the sixth attempt is about 20 minutes after the first.
const LONG: Advice = Retry { attempts: 6 };

/// Code, advice, who can act, meaning.
#[rustfmt::skip]
const TABLE: &[(i64, Advice, Blame, &str)] = &[
    // The token, the app's permissions, and Graph's own limits.
    (0,      StopApp,       Operator, "The access token is invalid"),
    (1,      ONCE,          Remote,   "Unknown platform error"),
    (2,      LONG,          Remote,   "The platform is temporarily unavailable"),
    (3,      StopChannel,   Operator, "The app may not use this feature"),
    (4,      SlowApp,       Remote,   "Too many calls by the app"),
    (10,     StopChannel,   Operator, "A permission is missing or was revoked"),
    (17,     SlowChannel,   Remote,   "Too many calls by the token's user"),
    (32,     SlowChannel,   Remote,   "Too many calls"),
    (33,     StopChannel,   Operator, "The business number was deleted"),
    (100,    Fail,          Plugin,   "A parameter is invalid or unknown"),
    (102,    StopApp,       Operator, "The access token's session is invalid"),
    (190,    StopApp,       Operator, "The access token is not valid any more"),
    (368,    StopChannel,   Operator, "The account is blocked for a policy violation"),
    (613,    SlowChannel,   Remote,   "Too many calls"),
    (80007,  SlowChannel,   Remote,   "Too many calls by the business account"),
    // Messages.
    (130429, SlowChannel,   Remote,   "The number exceeds its throughput"),
    (130472, Fail,          Remote,   "The person is in an experiment and receives no marketing messages"),
    // Applies to people in one country, so messages to others continue.
    (130497, Fail,          Operator, "The business may not send to people in this country"),
    (130501, Fail,          Plugin,   "This message type is not supported in groups"),
    (131000, FEW,           Remote,   "Something went wrong at the platform"),
    (131005, StopChannel,   Operator, "A permission is missing or was revoked"),
    (131008, Fail,          Plugin,   "A required parameter is missing"),
    (131009, Fail,          Plugin,   "A parameter value is invalid"),
    (131016, LONG,          Remote,   "A platform service is temporarily unavailable"),
    (131020, Fail,          Remote,   "The group is invalid or has only one member"),
    (131021, Fail,          Plugin,   "Sender and recipient are the same number"),
    (131026, Fail,          Remote,   "Undeliverable: no WhatsApp, an old version, or its terms were not accepted"),
    (131030, Fail,          Operator, "A test number can send only to its list of recipients: add the recipient in the app's dashboard under WhatsApp, API setup"),
    (131031, StopChannel,   Operator, "The account is locked"),
    (131037, StopChannel,   Operator, "The number needs an approved display name"),
    (131041, Fail,          Remote,   "The group is unknown"),
    (131042, StopChannel,   Operator, "There is a problem with the payment method"),
    (131045, StopChannel,   Operator, "The number is not registered"),
    (131047, Fail,          Plugin,   "More than 24 hours since the person last wrote: only a template can be sent"),
    // Every attempt makes it worse; a person has to review what the number sends. Answers are not
    // limited.
    (131048, StopOutreach,  Operator, "The number is limited because people block or report it"),
    // A retry would be possible after 24 hours at the earliest, when the message may be obsolete.
    (131049, Fail,          Remote,   "Not delivered: the person received too many marketing messages"),
    (131050, Fail,          Remote,   "The person has opted out of marketing messages from this business"),
    (131051, Fail,          Plugin,   "The message type is not supported"),
    (131052, Fail,          Plugin,   "The media could not be downloaded"),
    (131053, ONCE,          Remote,   "The media could not be uploaded"),
    (131055, Fail,          Operator, "Not allowed by the Marketing Messages API"),
    // Lasts at most a minute when throughput is raised; the sixth attempt is later than that.
    (131057, LONG,          Remote,   "The number is in maintenance"),
    (131059, Fail,          Host,     "The cursor is invalid"),
    // The outbox delays messages to this recipient by 4^n seconds.
    (131056, SlowRecipient, Remote,   "Too many messages from this number to this person"),
    (131061, Fail,          Plugin,   "This message cannot be sent to a user id"),
    (131062, Fail,          Plugin,   "This template can be sent only to a phone number"),
    (131063, Fail,          Operator, "The template was routed elsewhere"),
    (131064, Fail,          Operator, "The number is limited because its templates had the wrong category"),
    (131065, Fail,          Operator, "The message would exceed the maximum price"),
    (131070, Fail,          Operator, "Another app owns the conversation"),
    // Groups.
    (131201, Fail,          Remote,   "The request succeeded for some participants only"),
    (131202, Fail,          Plugin,   "A participant is listed twice"),
    (131203, Fail,          Remote,   "The person has not accepted WhatsApp's terms"),
    (131204, Fail,          Plugin,   "Too many participants"),
    (131207, Fail,          Operator, "The group is suspended"),
    (131208, LONG,          Remote,   "Too many operations on groups"),
    (131209, Fail,          Plugin,   "The group's picture is not square"),
    (131210, Fail,          Plugin,   "The group's picture is too small"),
    (131211, Fail,          Operator, "Too many groups"),
    (131212, Fail,          Plugin,   "The person is not in the group"),
    (131213, Fail,          Remote,   "The join request is unknown"),
    (131214, Fail,          Operator, "Creating groups is temporarily disabled"),
    // Applies to groups only; messages to people continue.
    (131215, Fail,          Operator, "The number may not use groups"),
    // Templates and flows.
    (132000, Fail,          Plugin,   "The number of parameters does not match the template"),
    (132001, Fail,          Operator, "The template does not exist in this language or is not approved"),
    (132005, Fail,          Plugin,   "The template is too long with its parameters filled in"),
    (132007, Fail,          Operator, "The template violates the platform's policy"),
    (132012, Fail,          Plugin,   "A parameter's format does not match the template"),
    (132015, Fail,          Operator, "The template is paused because of its quality"),
    (132016, Fail,          Operator, "The template is disabled because of its quality"),
    (132018, Fail,          Plugin,   "The template's parameters are invalid"),
    (132068, Fail,          Operator, "The flow is blocked"),
    (132069, LONG,          Remote,   "The flow is throttled"),
    // Registration of the number.
    (133000, StopChannel,   Operator, "An earlier deregistration of the number is incomplete"),
    (133004, LONG,          Remote,   "The registration server is temporarily unavailable"),
    (133005, StopChannel,   Operator, "The two-step verification PIN is wrong"),
    (133006, StopChannel,   Operator, "The number must be verified again"),
    (133008, StopChannel,   Operator, "Too many wrong PINs for the number"),
    (133009, StopChannel,   Operator, "PINs for the number were entered too fast"),
    (133010, StopChannel,   Operator, "The number is not registered"),
    (133015, StopChannel,   Operator, "The number was deleted recently"),
    (133016, StopChannel,   Operator, "The number was registered too often"),
    // Payments and others.
    (134011, Fail,          Operator, "The payment terms were not accepted"),
    (134100, Fail,          Operator, "Not allowed by the Marketing Messages API"),
    (134101, Fail,          Operator, "Not allowed by the Marketing Messages API"),
    (134102, Fail,          Operator, "Not allowed by the Marketing Messages API"),
    (135000, Fail,          Remote,   "The platform gives no reason"),
    (138000, Fail,          Operator, "Calling is not enabled for the number"),
];

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformError {
    /// The meaning.
    pub title: &'static str,
    /// What the outbox does, whether the code is in a response or in a receipt.
    pub advice: Advice,
    /// Who can act.
    pub blame: Blame,
}

/// The meaning of a platform error and Beadle's reaction to it; `None` if the code is not in the
/// table.
pub fn platform_error(code: &str) -> Option<PlatformError> {
    find(code.parse().ok()?)
}

fn find(code: i64) -> Option<PlatformError> {
    let (_, advice, blame, title) = TABLE.iter().find(|(known, ..)| *known == code)?;
    Some(PlatformError { title, advice: *advice, blame: *blame })
}

/// The meaning of an error code, for titles.
pub(crate) fn title_of(code: &str) -> &'static str {
    platform_error(code).map_or("Unknown error code", |error| error.title)
}

/// What the problem of a receipt means, by the same table as a response.
pub(crate) fn assess(problem: &Problem) -> (Advice, Blame) {
    let Ok(code) = problem.code.parse() else { return (Fail, Remote) };
    let details = problem.details.as_deref().unwrap_or_default();
    // A receipt has no status of its own: 200 says nothing about an unknown code.
    let advice = advice(Failure { code, details, transient: false, status: 200 });
    let blame = match advice {
        // Also for a code that is not in the table.
        StopChannel | StopApp => Operator,
        _ => find(code).map_or(Remote, |error| error.blame),
    };
    (advice, blame)
}

/// The meaning of an error in a response. For a rejected token, the subcode and the message tell an
/// expired one from one that the platform does not know.
pub(crate) fn title(code: &str, subcode: Option<&str>, message: &str) -> &'static str {
    match (code, subcode) {
        ("190", Some("463")) => "The access token has expired",
        ("190", _) if message.contains("has expired") => "The access token has expired",
        ("190", None) => "The access token is malformed or unknown",
        _ => title_of(code),
    }
}

/// An error in a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) code: i64,
    /// `error.message` and `error_data.details`.
    pub(crate) details: &'a str,
    /// `error.is_transient`.
    pub(crate) transient: bool,
    /// The HTTP status.
    pub(crate) status: u16,
}

/// The advice to the outbox after an error.
pub(crate) fn advice(failure: Failure<'_>) -> Advice {
    // An invalid parameter concerns one message; a number that does not exist for this token
    // concerns all.
    if failure.code == 100 && failure.details.contains("does not exist, cannot be loaded due to missing permissions") {
        return StopChannel;
    }
    find(failure.code).map(|error| error.advice).unwrap_or(match failure {
        Failure { code: 200..=299, .. } => StopChannel,
        Failure { status: 429, .. } => SlowChannel,
        Failure { transient: true, .. } | Failure { status: 500..=599, .. } => FEW,
        _ => Fail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_of(code: i64) -> Advice {
        advice(failure(code))
    }

    fn failure(code: i64) -> Failure<'static> {
        Failure { code, details: "", transient: false, status: 400 }
    }

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<_> = TABLE.iter().map(|(code, ..)| code).collect();
        codes.sort();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
    }

    #[test]
    fn documented_codes_have_their_advice() {
        for (code, expected) in [
            (190, StopApp),
            (4, SlowApp),
            (130429, SlowChannel),
            (131056, SlowRecipient),
            (131047, Fail),
            (131050, Fail),
            (1, Retry { attempts: 2 }),
        ] {
            assert_eq!(advice(failure(code)), expected, "{code}");
            assert_eq!(platform_error(&code.to_string()).map(|error| error.advice), Some(expected));
        }
    }

    #[test]
    fn rejected_tokens_are_expired_unknown_or_revoked() {
        let title = |subcode, message| title("190", subcode, message);
        let (expired, unknown) = ("The access token has expired", "The access token is malformed or unknown");
        assert_eq!(title(Some("463"), "Error validating access token"), expired);
        assert_eq!(title(None, "Error validating access token: Session has expired."), expired);
        assert_eq!(title(None, "Invalid OAuth access token - Cannot parse access token"), unknown);
        assert_eq!(title(None, "Malformed access token ***"), unknown);
        assert_eq!(title(Some("460"), "The session was invalidated"), "The access token is not valid any more");
    }

    #[test]
    fn unknown_codes_are_classified_by_range_and_status() {
        assert_eq!(advice(failure(219)), StopChannel);
        assert_eq!(advice(failure(131_999)), Fail);
        assert_eq!(advice(Failure { status: 429, ..failure(131_999) }), SlowChannel);
        assert_eq!(advice(Failure { status: 500, ..failure(131_999) }), FEW);
        assert_eq!(advice(Failure { transient: true, ..failure(131_999) }), FEW);
        assert_eq!(platform_error("131999"), None);
        assert_eq!(platform_error("soon"), None);
    }

    #[test]
    fn receipts_and_responses_are_classified_alike() {
        for (code, expected) in [
            ("131042", (StopChannel, Operator)),
            ("131031", (StopChannel, Operator)),
            ("131048", (StopOutreach, Operator)),
            ("368", (StopChannel, Operator)),
            ("190", (StopApp, Operator)),
            ("130429", (SlowChannel, Remote)),
            ("131056", (SlowRecipient, Remote)),
            ("131030", (Fail, Operator)),
            ("131026", (Fail, Remote)),
            ("132012", (Fail, Plugin)),
            ("219", (StopChannel, Operator)),
            ("131999", (Fail, Remote)),
            ("soon", (Fail, Remote)),
        ] {
            let problem = Problem { code: code.into(), title: String::new(), details: None, by: "platform".into() };
            assert_eq!(assess(&problem), expected, "{code}");
        }
        for (code, advice, ..) in TABLE {
            let problem =
                Problem { code: code.to_string(), title: String::new(), details: None, by: "platform".into() };
            assert_eq!(assess(&problem).0, *advice);
            assert_eq!(advice_of(*code), *advice);
        }
    }

    #[test]
    fn stopping_a_channel_is_the_operators_problem() {
        for (code, advice, blame, _) in TABLE {
            assert!(!matches!(advice, StopChannel | StopApp) || *blame == Operator, "{code}");
        }
    }

    #[test]
    fn status_does_not_affect_known_codes() {
        for status in [200, 400, 429, 500] {
            assert_eq!(advice(Failure { status, ..failure(131_056) }), SlowRecipient);
        }
    }

    #[test]
    fn unknown_phone_number_id_stops_the_channel() {
        let details = "Unsupported post request. Object with ID '1' does not exist, cannot be loaded due to missing \
                       permissions, or does not support this operation.";
        assert_eq!(advice(Failure { details, ..failure(100) }), StopChannel);
        assert_eq!(advice(failure(100)), Fail);
    }
}
