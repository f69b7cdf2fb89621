//! Turns one element of `user_preferences` into a change of a contact: whether a person accepts
//! marketing messages (docs/whatsapp.md#account-fields).

use crate::json::{Json, object_or_null};
use crate::origin::Origin;
use crate::unparsable::Unparsable;
use crate::{key, person};
use beadle_model::{EventBody, Timestamp};
use beadle_store::step::{NewEvent, Placement, Sender};

/// Reads one preference.
pub(crate) fn read(origin: &Origin<'_>, preference: &Json<'_>, now: Timestamp) -> Result<NewEvent, Unparsable> {
    let channel = origin.configured_channel()?;
    let aliases = person::identities(preference);
    let value = preference.string_of("value").ok_or(Unparsable::Malformed("a preference has no `value`"))?;
    if aliases.is_empty() {
        return Err(Unparsable::Malformed("a preference names no person"));
    }
    let category = preference.string_of("category").unwrap_or_default();
    let change = match (category.as_str(), value.as_str()) {
        ("marketing_messages" | "", "stop") => "marketing-stopped".to_owned(),
        ("marketing_messages" | "", "resume") => "marketing-resumed".to_owned(),
        ("marketing_messages" | "", "signup") => "marketing-signup".to_owned(),
        // Reported as it is; it must not be mistaken for a marketing preference.
        (category, value) => format!("preference-{category}-{value}").replace('_', "-"),
    };
    let at = preference.timestamp_of("timestamp");
    let identities: Vec<&str> = aliases.iter().map(|alias| alias.value.as_str()).collect();
    let key = key::of_id(at, &["preference", origin.number, &identities.join(" "), &change]);
    let used = ["wa_id", "user_id", "parent_user_id", "category", "value", "timestamp"];
    let extra = object_or_null(preference.without(|name| used.contains(&name)));
    let name = person::preference_owner(origin, preference).and_then(person::display_name);
    Ok(NewEvent {
        key,
        placement: Placement::Sender(Sender {
            channel: channel.to_owned(),
            aliases,
            name,
            group: None,
            language: None,
        }),
        happened_at: at.unwrap_or(now),
        opens_window: false,
        keyword: None,
        body: EventBody::ContactChanged { change, merged: None, extra },
    })
}
