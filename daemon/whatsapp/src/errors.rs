//! The platform's errors, in one table: what each means and what to do about it (whatsapp.md 2.4 and 3.6).
//!
//! Decided by code, for a few by code and details, never by HTTP status or title: the platform documents throttling as
//! 400. What is not in the table is judged by its class. Where the fact sheet says "stop, alert" because the number, the
//! account or the payment is at fault, the whole channel stops, and where the token is, all channels of the app: every
//! further message would fail as well, and what waits is worth more than what failed.

use beadle_pipeline::Advice::{self, Fail, Retry, SlowApp, SlowChannel, SlowRecipient, StopApp, StopChannel};

/// "Once more": what the platform itself calls a possible slip.
const ONCE: Advice = Retry { attempts: 2 };
/// "A few": each further try of a message that may never go costs a place in the queue.
const FEW: Advice = Retry { attempts: 3 };
/// A service that is down for a while: at intervals of 4^n seconds the sixth try is about 20 minutes later.
const LONG: Advice = Retry { attempts: 6 };

/// Code, advice, what it means.
#[rustfmt::skip]
const TABLE: &[(i64, Advice, &str)] = &[
    // The token, the app's permissions, and Graph's own limits.
    (0,      StopApp,       "The access token is not valid"),
    (1,      ONCE,          "Unknown error of the platform"),
    (2,      LONG,          "The platform is down for a while"),
    (3,      StopChannel,   "The app may not use this capability"),
    (4,      SlowApp,       "The app makes too many calls"),
    (10,     StopChannel,   "A permission was not granted or was taken away"),
    (17,     SlowChannel,   "The user of the token makes too many calls"),
    (32,     SlowChannel,   "Too many calls"),
    (33,     StopChannel,   "The business number was deleted"),
    (100,    Fail,          "A parameter is wrong or unknown"),
    (102,    StopApp,       "The session of the access token is not valid"),
    (190,    StopApp,       "The access token has expired"),
    (368,    StopChannel,   "The account is blocked for violating the platform's policy"),
    (613,    SlowChannel,   "Too many calls"),
    (80007,  SlowChannel,   "The business account makes too many calls"),
    // Messages.
    (130429, SlowChannel,   "The number sends faster than its throughput"),
    (130472, Fail,          "The person takes part in an experiment and gets no marketing messages"),
    // Only for people in that country, so it stops nobody else's messages.
    (130497, Fail,          "The business may not write to people in this country"),
    (130501, Fail,          "This type of message is not supported in groups"),
    (131000, FEW,           "Something went wrong at the platform"),
    (131005, StopChannel,   "A permission was not granted or was taken away"),
    (131008, Fail,          "A parameter is missing"),
    (131009, Fail,          "The value of a parameter is not valid"),
    (131016, LONG,          "A service of the platform is down for a while"),
    (131020, Fail,          "The group is not valid or has one member only"),
    (131021, Fail,          "Sender and recipient are the same number"),
    (131026, Fail,          "It cannot be delivered: no WhatsApp, an old version of it, or its terms were not accepted"),
    (131031, StopChannel,   "The account is locked"),
    (131037, StopChannel,   "The number needs an approved display name"),
    (131041, Fail,          "The group is unknown"),
    (131042, StopChannel,   "There is a problem with the payment method"),
    (131045, StopChannel,   "The number is not registered"),
    (131047, Fail,          "More than 24 hours since the person last wrote: only a template may be sent"),
    // Each try makes it worse; a person has to look at what the number sends.
    (131048, StopChannel,   "The number is limited because people block it or report it as spam"),
    // At the earliest 24 hours later, when it may not be wanted any more.
    (131049, Fail,          "Not delivered: the person got enough marketing messages"),
    (131050, Fail,          "The person has stopped marketing messages from this business"),
    (131051, Fail,          "The type of the message is not supported"),
    (131052, Fail,          "The media could not be downloaded"),
    (131053, ONCE,          "The media could not be uploaded"),
    (131055, Fail,          "Not allowed by the Marketing Messages API"),
    // A minute at most when the throughput is raised; the sixth try is after that.
    (131057, LONG,          "The number is in maintenance"),
    (131059, Fail,          "The cursor is not valid"),
    // No back-off of this crate's: the outbox waits 4^n seconds for this recipient alone.
    (131056, SlowRecipient, "Too many messages from this number to this person"),
    (131061, Fail,          "This message cannot be sent to a user id"),
    (131062, Fail,          "This template can only be sent to a telephone number"),
    (131063, Fail,          "The template was routed elsewhere"),
    (131064, Fail,          "The number is limited because its templates were in the wrong category"),
    (131065, Fail,          "The message would cost more than the maximum price"),
    (131070, Fail,          "Another application owns the conversation"),
    // Groups.
    (131201, Fail,          "It succeeded for some participants only"),
    (131202, Fail,          "A participant is named twice"),
    (131203, Fail,          "The person has not accepted WhatsApp's terms"),
    (131204, Fail,          "Too many participants"),
    (131207, Fail,          "The group is suspended"),
    (131208, LONG,          "Too many operations on groups"),
    (131209, Fail,          "The group's picture is not square"),
    (131210, Fail,          "The group's picture is too small"),
    (131211, Fail,          "Too many groups"),
    (131212, Fail,          "The person is not in the group"),
    (131213, Fail,          "The request to join is unknown"),
    (131214, Fail,          "No groups may be made for now"),
    // Of groups alone: what is written to people goes on.
    (131215, Fail,          "The number may not use groups"),
    // Templates and flows.
    (132000, Fail,          "The number of parameters is not the template's"),
    (132001, Fail,          "The template does not exist in this language, or is not approved"),
    (132005, Fail,          "The template with its parameters is too long"),
    (132007, Fail,          "The template violates the platform's policy"),
    (132012, Fail,          "A parameter has not the format that the template wants"),
    (132015, Fail,          "The template is paused for its quality"),
    (132016, Fail,          "The template is disabled for its quality"),
    (132018, Fail,          "The template's parameters are not valid"),
    (132068, Fail,          "The flow is blocked"),
    (132069, LONG,          "The flow is throttled"),
    // Registration of the number.
    (133000, StopChannel,   "An earlier deregistration of the number is not complete"),
    (133004, LONG,          "The registration server is down for a while"),
    (133005, StopChannel,   "The two-step verification PIN is wrong"),
    (133006, StopChannel,   "The number must be verified again"),
    (133008, StopChannel,   "Too many wrong PINs for the number"),
    (133009, StopChannel,   "PINs for the number were tried too fast"),
    (133010, StopChannel,   "The number is not registered"),
    (133015, StopChannel,   "The number was deleted a short while ago"),
    (133016, StopChannel,   "The number was registered too often"),
    // Payments, and the rest.
    (134011, Fail,          "The terms of payments were not accepted"),
    (134100, Fail,          "Not allowed by the Marketing Messages API"),
    (134101, Fail,          "Not allowed by the Marketing Messages API"),
    (134102, Fail,          "Not allowed by the Marketing Messages API"),
    (135000, Fail,          "The platform names no reason"),
    (138000, Fail,          "Calls are not switched on for the number"),
];

/// What an error of the platform means, and what Beadle does about it; `None` for a number that is not in the table.
pub fn platform_error(code: &str) -> Option<(&'static str, Advice)> {
    let number: i64 = code.parse().ok()?;
    TABLE.iter().find(|(known, ..)| *known == number).map(|(_, advice, title)| (*title, *advice))
}

/// The table's words for an error, or that it is not in it.
pub(crate) fn title_of(code: &str) -> &'static str {
    platform_error(code).map_or("An error that Beadle does not know", |(title, _)| title)
}

/// What is known of an error in the answer to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) code: i64,
    /// `error.message` and `error_data.details`, in one.
    pub(crate) details: &'a str,
    /// `error.is_transient`.
    pub(crate) transient: bool,
    /// The status it came with.
    pub(crate) http: u16,
}

/// What to do after an error.
pub(crate) fn advice(failure: Failure<'_>) -> Advice {
    // A parameter may be wrong in one message; a number that does not exist for this token is wrong in all.
    if failure.code == 100 && failure.details.contains("does not exist, cannot be loaded due to missing permissions") {
        return StopChannel;
    }
    let known = TABLE.iter().find(|(code, ..)| *code == failure.code).map(|(_, advice, _)| *advice);
    known.unwrap_or(match failure {
        Failure { code: 200..=299, .. } => StopChannel,
        Failure { http: 429, .. } => SlowChannel,
        Failure { transient: true, .. } | Failure { http: 500..=599, .. } => FEW,
        _ => Fail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i64) -> Failure<'static> {
        Failure { code, details: "", transient: false, http: 400 }
    }

    #[test]
    fn no_code_stands_twice() {
        let mut codes: Vec<_> = TABLE.iter().map(|(code, ..)| code).collect();
        codes.sort();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
    }

    #[test]
    fn what_the_fact_sheet_says() {
        for (code, what) in [
            (190, StopApp),
            (4, SlowApp),
            (130429, SlowChannel),
            (131056, SlowRecipient),
            (131047, Fail),
            (131050, Fail),
            (1, Retry { attempts: 2 }),
        ] {
            assert_eq!(advice(failure(code)), what, "{code}");
            assert_eq!(platform_error(&code.to_string()).map(|(_, advice)| advice), Some(what));
        }
    }

    #[test]
    fn unknown_codes_are_judged_by_their_class() {
        assert_eq!(advice(failure(219)), StopChannel);
        assert_eq!(advice(failure(131_999)), Fail);
        assert_eq!(advice(Failure { http: 429, ..failure(131_999) }), SlowChannel);
        assert_eq!(advice(Failure { http: 500, ..failure(131_999) }), FEW);
        assert_eq!(advice(Failure { transient: true, ..failure(131_999) }), FEW);
        assert_eq!(platform_error("131999"), None);
        assert_eq!(platform_error("soon"), None);
    }

    #[test]
    fn a_known_code_is_not_judged_by_its_status() {
        for http in [200, 400, 429, 500] {
            assert_eq!(advice(Failure { http, ..failure(131_056) }), SlowRecipient);
        }
    }

    #[test]
    fn a_number_that_does_not_exist_stops_the_channel() {
        let details = "Unsupported post request. Object with ID '1' does not exist, cannot be loaded due to missing \
                       permissions, or does not support this operation.";
        assert_eq!(advice(Failure { details, ..failure(100) }), StopChannel);
        assert_eq!(advice(failure(100)), Fail);
    }
}
