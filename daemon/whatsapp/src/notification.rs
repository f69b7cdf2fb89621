//! Notifications about numbers, accounts and templates (docs/whatsapp.md#account-fields): what
//! changed, the new state, and the platform's JSON.
//!
//! There are many fields, and the platform adds more. They are reduced to a subject and a state, so
//! that a plugin can watch for `template-status` and `paused` without knowing the shape of each.

use crate::json::Json;
use beadle_model::event::ChannelNotification;
use beadle_model::{TemplateChange, TemplateNews, Timestamp};

/// How one field is read. `state`, `before` and `subject` are paths into the value; of `state` the
/// first that exists.
struct Field {
    field: &'static str,
    /// The name that plugins see.
    change: &'static str,
    state: &'static [&'static str],
    before: Option<&'static str>,
    subject: Option<&'static str>,
}

const fn field(
    field: &'static str,
    change: &'static str,
    state: &'static [&'static str],
    before: Option<&'static str>,
    subject: Option<&'static str>,
) -> Field {
    Field { field, change, state, before, subject }
}

const TEMPLATE: Option<&str> = Some("message_template_name");

#[rustfmt::skip]
const FIELDS: [Field; 15] = [
    field("account_update", "account", &["event"], None, None),
    field("account_review_update", "review", &["decision"], None, None),
    field("account_alerts", "alert", &["alert_info/alert_status", "alert_status", "alert_info/alert_type", "alert_type"], None, Some("alert_info/alert_type")),
    field("business_capability_update", "limits", &["max_daily_conversations_per_business", "max_daily_conversation_per_phone"], None, None),
    field("phone_number_quality_update", "quality", &["max_daily_conversations_per_business", "current_limit", "event"], Some("old_limit"), Some("event")),
    field("phone_number_name_update", "name", &["decision"], None, Some("requested_verified_name")),
    field("security", "security", &["event"], None, None),
    field("message_template_status_update", "template-status", &["event"], None, TEMPLATE),
    field("message_template_quality_update", "template-quality", &["new_quality_score"], Some("previous_quality_score"), TEMPLATE),
    field("message_template_components_update", "template-components", &["event"], None, TEMPLATE),
    field("template_category_update", "template-category", &["correct_category", "new_category"], Some("previous_category"), TEMPLATE),
    field("template_correct_category_detection", "template-category", &["correct_category"], Some("category"), TEMPLATE),
    field("business_username_updates", "username", &["status"], None, Some("username")),
    field("payment_configuration_update", "payments", &["configuration_status", "status"], None, Some("configuration_name")),
    field("partner_solutions", "partner", &["solution_status", "event"], None, None),
];

/// Reads a change; `None` if the field is not about a number, account or template.
pub(crate) fn read(name: &str, value: &Json<'_>, channel: Option<&str>) -> Option<ChannelNotification> {
    let mut found = FIELDS.iter().find(|field| field.field == name)?;
    // Meta's example of template quality has the field name of template status.
    if value.get("new_quality_score").is_some() {
        found = FIELDS.iter().find(|field| field.change == "template-quality").unwrap_or(found);
    }
    let at = |path: &str| path.split('/').try_fold(value, |object, name| object.get(name))?.text();
    let state = found.state.iter().find_map(|path| at(path));
    Some(ChannelNotification {
        channel: channel.map(str::to_owned),
        change: found.change.to_owned(),
        subject: found.subject.and_then(at).map(std::borrow::Cow::into_owned),
        state: state.map_or_else(|| "changed".to_owned(), |state| state.to_lowercase()),
        before: found.before.and_then(at).map(|before| before.to_lowercase()),
        json: value.to_value(),
    })
}

/// What a notification says about a template, by its `change`; `None` if it is about something
/// else.
pub(crate) fn template_news(change: &str, value: &Json<'_>, account: &str, at: Timestamp) -> Option<TemplateNews> {
    let lower = |key: &str| value.text_of(key).map(|text| text.to_lowercase());
    let reason = || lower("reason").filter(|reason| reason != "none");
    let change = match change {
        // These say something about a template that can still be used.
        "template-status" if matches!(lower("event").as_deref(), Some("flagged" | "locked" | "limit_exceeded")) => {
            TemplateChange::Components
        }
        "template-status" => TemplateChange::Status {
            status: lower("event").map(|event| if event == "reinstated" { "approved".to_owned() } else { event })?,
            reason: reason(),
            category: lower("message_template_category"),
        },
        "template-quality" => TemplateChange::Quality(lower("new_quality_score")?),
        // With `correct_category` the change is announced, and `new_category` is the present one.
        "template-category" => TemplateChange::Category(lower("new_category")?),
        "template-components" => TemplateChange::Components,
        _ => return None,
    };
    Some(TemplateNews {
        account: account.to_owned(),
        platform_id: value.string_of("message_template_id").unwrap_or_default(),
        name: value.string_of("message_template_name")?,
        language: value.string_of("message_template_language")?,
        at,
        change,
    })
}

/// Reads an error of the account or app; `None` if it has no code.
pub(crate) fn read_error(error: &Json<'_>, channel: Option<&str>) -> Option<ChannelNotification> {
    Some(ChannelNotification {
        channel: channel.map(str::to_owned),
        change: "error".to_owned(),
        subject: error.string_of("title").or_else(|| error.string_of("message")),
        state: error.string_of("code")?,
        before: None,
        json: error.to_value(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(name: &str, json: &str) -> (String, Option<String>, String, Option<String>) {
        let notification = read(name, &Json::parse(json.as_bytes()).unwrap(), Some("shop")).unwrap();
        (notification.change, notification.subject, notification.state, notification.before)
    }

    #[test]
    fn template_news_say_what_changed() {
        let template = r#""message_template_id":7,"message_template_name":"hi","message_template_language":"de""#;
        let status = |status: &str, reason: Option<&str>, category: Option<&str>| TemplateChange::Status {
            status: status.into(),
            reason: reason.map(str::to_owned),
            category: category.map(str::to_owned),
        };
        for (change, json, expected) in [
            ("template-status", r#""event":"PAUSED","reason":"NONE""#, Some(status("paused", None, None))),
            (
                "template-status",
                r#""event":"REJECTED","reason":"SCAM","message_template_category":"UTILITY""#,
                Some(status("rejected", Some("scam"), Some("utility"))),
            ),
            ("template-status", r#""event":"REINSTATED""#, Some(status("approved", None, None))),
            ("template-status", r#""event":"FLAGGED""#, Some(TemplateChange::Components)),
            ("template-quality", r#""new_quality_score":"RED""#, Some(TemplateChange::Quality("red".into()))),
            (
                "template-category",
                r#""previous_category":"UTILITY","new_category":"MARKETING""#,
                Some(TemplateChange::Category("marketing".into())),
            ),
            (
                "template-category",
                r#""new_category":"UTILITY","correct_category":"MARKETING""#,
                Some(TemplateChange::Category("utility".into())),
            ),
            ("template-components", r#""message_template_element":"x""#, Some(TemplateChange::Components)),
            ("limits", r#""x":1"#, None),
        ] {
            let json = format!("{{{template},{json}}}");
            let news = template_news(change, &Json::parse(json.as_bytes()).unwrap(), "102", Timestamp(5));
            assert_eq!(news.as_ref().map(|news| &news.change), expected.as_ref(), "{json}");
            if let Some(news) = news {
                let TemplateNews { account, platform_id, name, language, at, .. } = news;
                assert_eq!((&*account, &*platform_id, &*name, &*language, at), ("102", "7", "hi", "de", Timestamp(5)));
            }
        }
    }

    #[test]
    fn each_field_gives_its_subject_and_state() {
        let status = r#"{"event":"PAUSED","message_template_id":1,"message_template_name":"hi","reason":null}"#;
        assert_eq!(
            summary("message_template_status_update", status),
            ("template-status".into(), Some("hi".into()), "paused".into(), None)
        );
        let quality = r#"{"previous_quality_score":"GREEN","new_quality_score":"RED","message_template_name":"hi"}"#;
        for field in ["message_template_quality_update", "message_template_status_update"] {
            let (change, _, state, before) = summary(field, quality);
            assert_eq!(
                (change.as_str(), state.as_str(), before.as_deref()),
                ("template-quality", "red", Some("green"))
            );
        }
        let capability = r#"{"max_daily_conversations_per_business":2000}"#;
        assert_eq!(summary("business_capability_update", capability).2, "2000");
        assert_eq!(
            summary("account_alerts", r#"{"alert_info":{"alert_status":"ACTIVE","alert_type":"X"}}"#).2,
            "active"
        );
        assert_eq!(summary("account_update", "{}").2, "changed");
        assert_eq!(read("calls", &Json::Null, None), None);
    }
}
