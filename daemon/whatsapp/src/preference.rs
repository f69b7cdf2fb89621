//! What a person told the platform about marketing (field `user_preferences`, whatsapp.md 1.8).

use crate::json::Json;
use crate::misfit::Misfit;
use crate::webhook::Origin;
use crate::{key, person};
use beadle_model::{EventBody, Timestamp};
use beadle_store::step::{NewEvent, Place, Sender};

/// A change of the contact.
pub(crate) fn read(origin: &Origin<'_>, preference: &Json<'_>, now: Timestamp) -> Result<NewEvent, Misfit> {
    let channel = origin.ours()?;
    let aliases = person::named(preference);
    let value = preference.string_of("value").ok_or(Misfit::Nonsense("a preference without a `value`"))?;
    if aliases.is_empty() {
        return Err(Misfit::Nonsense("a preference of nobody"));
    }
    let category = preference.string_of("category").unwrap_or_default();
    let change = match (category.as_str(), value.as_str()) {
        ("marketing_messages" | "", "stop") => "marketing-stopped".to_owned(),
        ("marketing_messages" | "", "resume") => "marketing-resumed".to_owned(),
        ("marketing_messages" | "", "signup") => "marketing-signup".to_owned(),
        // Another wish of another kind: told, and not taken for one of these.
        (category, value) => format!("preference-{category}-{value}").replace('_', "-"),
    };
    let at = preference.moment_of("timestamp");
    let names: Vec<&str> = aliases.iter().map(|alias| alias.value.as_str()).collect();
    let key = key::of_names(at, &["preference", origin.number, &names.join(" "), &change]);
    let used = ["wa_id", "user_id", "parent_user_id", "category", "value", "timestamp"];
    let extra = crate::webhook::object_or_null(preference.without(|name| used.contains(&name)));
    let name = person::person(origin, preference).and_then(person::shown);
    Ok(NewEvent {
        key,
        place: Place::Sender(Sender { channel: channel.to_owned(), aliases, name, group: None, language: None }),
        happened_at: at.unwrap_or(now),
        opens_window: false,
        word: None,
        body: EventBody::ContactChanged { change, merged: None, extra },
    })
}
