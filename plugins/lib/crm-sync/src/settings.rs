//! The plugin's settings, and their check. The comments of the fields are the descriptions in the
//! schema; README.md has examples.
//!
//! Mistakes are found before anything is sent: each names the key, the nearest known name, and what
//! to write instead.

use crate::member;
use crate::names::nearest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt;

/// Settings of the CRM sync.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The system: `carddav`, `hubspot`, `pipedrive`, `espocrm`, `twenty`, `odoo` or `webhook`.
    pub provider: ProviderKind,
    /// Where it is: `https://api.hubapi.com`. Of CardDAV, the address book; of webhooks, the URL
    /// that gets them. Credentials are the operator's secrets, not settings.
    #[schemars(length(min = 1, max = 512))]
    pub base_url: String,
    /// Odoo's database, if the server has several.
    #[serde(default)]
    pub database: Option<String>,
    /// EspoCRM's entity type: `Contact` or `Lead`.
    #[serde(default = "contact")]
    pub entity: String,
    /// How members and contacts are recognised as one person, the first that finds one decides.
    #[serde(rename = "match", default = "default_match")]
    pub match_by: Vec<MatchBy>,
    /// The contact's fields that are searched, where they are not the provider's usual ones.
    #[serde(default)]
    pub search: SearchFields,
    /// A text field of your own in the CRM, in which each write leaves its number: a write whose
    /// response was lost is then recognised. CardDAV needs none.
    #[serde(default)]
    pub write_mark: Option<String>,
    /// The member's attribute with the e-mail address.
    #[serde(default)]
    pub email_attribute: Option<String>,
    /// When a member without a contact gets one.
    #[serde(default)]
    pub create: Create,
    /// The country code of national numbers in the CRM, without `+`: `31`.
    #[serde(default)]
    pub country_code: Option<String>,
    /// How often the CRM is asked for changes: `5m`.
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub poll: i64,
    /// Whether the CRM calls a hook when something changes.
    #[serde(default)]
    pub webhook: bool,
    /// Where webhooks of the generic provider have the fields.
    #[serde(default)]
    pub pointers: Option<Pointers>,
    /// The backfill.
    #[serde(default)]
    pub backfill: Backfill,
    /// What happens to the contact when a member is erased.
    #[serde(default)]
    pub on_erase: OnErase,
    /// Whether notes are written to the contact's timeline, at most one a day.
    #[serde(default)]
    pub notes: bool,
    /// The fields that are kept the same.
    #[serde(default)]
    #[schemars(length(max = 40))]
    pub map: Vec<MapEntry>,
}

/// A system that can be synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// An address book: Radicale, Nextcloud, iCloud, Fastmail.
    Carddav,
    /// HubSpot CRM.
    Hubspot,
    /// Pipedrive.
    Pipedrive,
    /// EspoCRM.
    Espocrm,
    /// Twenty.
    Twenty,
    /// Odoo 19 or later.
    Odoo,
    /// Any system that takes and sends webhooks.
    Webhook,
}

/// One way to recognise a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// The member's id, in the field `search.member_id`.
    MemberId,
    /// WhatsApp's id of the person for this business, in the field `search.user_id`.
    UserId,
    /// The phone number, in every spelling.
    Phone,
    /// The e-mail address.
    Email,
}

/// Names of the contact's fields that are searched.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SearchFields {
    /// A field of your own for the member's id; it makes creating contacts safe against repetition.
    pub member_id: Option<String>,
    /// A field of your own for WhatsApp's user id.
    pub user_id: Option<String>,
    /// The field with the phone number.
    pub phone: Option<String>,
    /// The field with the e-mail address.
    pub email: Option<String>,
}

/// When a member without a contact gets one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Create {
    /// When they join.
    OnJoin,
    /// When they agree to marketing.
    OnConsent,
    /// When they write.
    OnMessage,
    /// Never.
    #[default]
    Never,
}

/// What happens to the contact of an erased member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnErase {
    /// It is deleted, permanently where the system can.
    #[default]
    Delete,
    /// It is left alone and never linked again.
    Keep,
}

/// The backfill.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backfill {
    /// Contacts per page.
    #[schemars(range(min = 1, max = 50))]
    pub page: usize,
}

impl Default for Backfill {
    fn default() -> Self {
        // With one state entry for each contact, half of the 100 effects of an event.
        Self { page: 50 }
    }
}

/// JSON pointers (RFC 6901) into the body of a webhook.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pointers {
    /// The contact's id.
    pub id: String,
    /// When it changed.
    #[serde(default)]
    pub updated_at: Option<String>,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: Option<String>,
    /// The member's id.
    #[serde(default)]
    pub member_id: Option<String>,
    /// The object with the fields.
    pub fields: String,
}

/// Which way changes of a field go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// From the member to the CRM.
    ToCrm,
    /// From the CRM to the member.
    FromCrm,
}

/// What happens if both sides changed a field to different values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The CRM's value is kept.
    Crm,
    /// The member's value is kept.
    Wa,
    /// The value that was changed last is kept.
    #[default]
    Newest,
    /// An empty value is filled; two different values stay as they are.
    FillEmpty,
    /// Both values are kept, one after the other.
    Append,
    /// Neither side changes until the operator decides.
    Manual,
}

/// How a value is converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// As it is.
    #[default]
    None,
    /// In lower case.
    Lower,
    /// In upper case.
    Upper,
    /// A phone number: written as `+31612345678`, compared in every spelling.
    Phone,
    /// A time as a date: `2026-09-21`.
    Date,
    /// A time as RFC 3339.
    DateTime,
    /// A time as `2026-09-21 14:13:20` in UTC.
    SqlDateTime,
    /// A list as one text, separated by semicolons.
    Semicolons,
    /// A list as one text, separated by commas.
    Commas,
}

/// One field of the map.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MapEntry {
    /// The member's field: `member.name`, `member.tags`, `member.attributes.size`,
    /// `consent.marketing`.
    pub wa: String,
    /// The contact's field, as the CRM's interface calls it.
    pub crm: String,
    /// Which way changes go: `both`, `to_crm` or `from_crm`.
    #[serde(default)]
    pub dir: Direction,
    /// What happens if both sides changed it: `crm`, `wa`, `newest`, `fill_empty`, `append` or
    /// `manual`.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// How values are converted.
    #[serde(default)]
    pub transform: Transform,
    /// The CRM's word for each of ours: `{ granted = "subscribed" }`.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Only elements of a list that begin with this go to the CRM, without it.
    #[serde(default)]
    pub prefix: Option<String>,
}

impl MapEntry {
    /// The name under which its state is kept; independent of its place in the map.
    pub fn key(&self) -> String {
        format!("{}={}", self.wa, self.crm)
    }
}

fn contact() -> String {
    "Contact".to_owned()
}

fn default_match() -> Vec<MatchBy> {
    vec![MatchBy::MemberId, MatchBy::UserId, MatchBy::Phone]
}

const fn five_minutes() -> i64 {
    300_000
}

/// Reads `30s`, `5m` or `2h` as milliseconds.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let unit_ms = match text.chars().last() {
        Some('s') => 1000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        _ => 0,
    };
    let digits = text.trim_end_matches(['s', 'm', 'h']);
    let duration_ms = digits.parse::<i64>().unwrap_or_default().saturating_mul(unit_ms);
    // A poll each ten seconds is already a twentieth of HubSpot's smallest limit.
    if (10_000..=86_400_000).contains(&duration_ms) {
        return Ok(duration_ms);
    }
    Err(serde::de::Error::custom(format!("`{text}` must be between `10s` and `24h`")))
}

/// A mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The key: `map[2].transform`, the first entry being 1.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.message)
    }
}

const KEYS: &[&str] = &[
    "provider",
    "base_url",
    "database",
    "entity",
    "match",
    "search",
    "write_mark",
    "email_attribute",
    "create",
    "country_code",
    "poll",
    "webhook",
    "pointers",
    "backfill",
    "on_erase",
    "notes",
    "map",
];
const MAP_KEYS: &[&str] = &["wa", "crm", "dir", "on_conflict", "transform", "values", "prefix"];
const SEARCH_KEYS: &[&str] = &["member_id", "user_id", "phone", "email"];
const BACKFILL_KEYS: &[&str] = &["page"];
const POINTER_KEYS: &[&str] = &["id", "updated_at", "deleted", "member_id", "fields"];

impl Settings {
    /// Reads and checks settings. Returns every mistake.
    pub fn read(json: &str) -> Result<Self, Vec<SettingsError>> {
        let error = |key: &str, message: String| SettingsError { key: key.to_owned(), message };
        let json: Json = serde_json::from_str(json).map_err(|problem| vec![error("settings", problem.to_string())])?;
        let Json::Object(object) = &json else {
            return Err(vec![error("settings", "must be a table".to_owned())]);
        };
        let mut errors = unknown(object, KEYS, "");
        for (key, known) in [("search", SEARCH_KEYS), ("backfill", BACKFILL_KEYS), ("pointers", POINTER_KEYS)] {
            if let Some(Json::Object(table)) = object.get(key) {
                errors.extend(unknown(table, known, &format!("{key}.")));
            }
        }
        let mut without_map = object.clone();
        for (key, known) in [("search", SEARCH_KEYS), ("backfill", BACKFILL_KEYS), ("pointers", POINTER_KEYS)] {
            if let Some(Json::Object(table)) = without_map.get_mut(key) {
                table.retain(|key, _| known.contains(&key.as_str()));
            }
        }
        if let Some(Json::Array(entries)) = without_map.remove("map") {
            for (index, entry) in entries.iter().enumerate() {
                let place = format!("map[{}]", index + 1);
                let Json::Object(table) = entry else {
                    errors.push(error(&place, "must be a table".to_owned()));
                    continue;
                };
                errors.extend(unknown(table, MAP_KEYS, &format!("{place}.")));
                errors.extend(unreadable::<MapEntry>(table, MAP_KEYS, &place));
            }
        }
        errors.extend(unreadable::<Self>(&without_map, KEYS, "settings"));
        if !errors.is_empty() {
            return Err(errors);
        }
        let settings: Self =
            serde_json::from_value(json).map_err(|problem| vec![error("settings", problem.to_string())])?;
        let errors = settings.check();
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// Mistakes that the types allow.
    fn check(&self) -> Vec<SettingsError> {
        let mut errors = Vec::new();
        let mut add = |key: String, message: String| errors.push(SettingsError { key, message });
        if !self.base_url.starts_with("https://") && !self.base_url.starts_with("http://") {
            add("base_url".to_owned(), format!("`{}` must begin with `https://`", self.base_url));
        }
        if self.provider == ProviderKind::Webhook && self.webhook && self.pointers.is_none() {
            add(
                "pointers".to_owned(),
                "a webhook from the other side needs `pointers.id` and `pointers.fields`".into(),
            );
        }
        let is_code = |code: &String| {
            (1..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit()) && !code.starts_with('0')
        };
        if let Some(code) = self.country_code.as_ref().filter(|code| !is_code(code)) {
            add("country_code".to_owned(), format!("`{code}` must be one to three digits, such as `31`"));
        }
        if !(1..=50).contains(&self.backfill.page) {
            add("backfill.page".to_owned(), "must be between 1 and 50".to_owned());
        }
        let needs_email = self.match_by.contains(&MatchBy::Email) && self.email_attribute.is_none();
        if needs_email {
            add("match".to_owned(), "`email` needs `email_attribute`, the member's attribute with the address".into());
        }
        for (index, entry) in self.map.iter().enumerate() {
            let place = |key: &str| format!("map[{}].{key}", index + 1);
            match member::is_writable(&entry.wa) {
                None => {
                    let known = member::FIELDS.iter().map(|(name, _)| *name);
                    add(place("wa"), format!("there is no field `{}`{}", entry.wa, suggestion(&entry.wa, known)));
                }
                Some(false) if entry.dir != Direction::ToCrm => {
                    add(place("dir"), format!("the CRM cannot change `{}`; write `dir = \"to_crm\"`", entry.wa));
                }
                Some(_) => {}
            }
            if entry.crm.trim().is_empty() {
                add(place("crm"), "must not be empty".to_owned());
            }
            let earlier = self.map.iter().take(index);
            if let Some(other) = earlier.clone().position(|other| other.crm == entry.crm) {
                add(place("crm"), format!("`{}` is also in map[{}]", entry.crm, other + 1));
            }
            if let Some(other) = earlier.clone().position(|other| other.wa == entry.wa && overlaps(other, entry)) {
                add(place("wa"), format!("`{}` is changed by map[{}] too", entry.wa, other + 1));
            }
            if entry.prefix.is_some() && entry.wa != "member.tags" {
                add(place("prefix"), "is for `member.tags` only".to_owned());
            }
            let words: std::collections::BTreeSet<&String> = entry.values.values().collect();
            if words.len() < entry.values.len() && entry.dir != Direction::ToCrm {
                add(place("values"), "two of ours have the same word, which cannot be read back".to_owned());
            }
            if entry.wa.starts_with("consent.") && entry.on_conflict == OnConflict::Append {
                add(place("on_conflict"), "`append` is not for consent".to_owned());
            }
        }
        errors
    }
}

/// Whether the CRM could change one field of the member in two ways. Tags with different prefixes
/// are different fields.
fn overlaps(one: &MapEntry, other: &MapEntry) -> bool {
    let from_crm = one.dir != Direction::ToCrm && other.dir != Direction::ToCrm;
    from_crm && (one.prefix.is_none() || other.prefix.is_none() || one.prefix == other.prefix)
}

fn suggestion<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(unknown, known) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

/// Keys that do not exist.
fn unknown(table: &Map<String, Json>, known: &[&str], place: &str) -> Vec<SettingsError> {
    let unknown = table.keys().filter(|key| !known.contains(&key.as_str()));
    let error = |key: &String| SettingsError {
        key: format!("{place}{key}"),
        message: format!("unknown key{}", suggestion(key, known.iter().copied())),
    };
    unknown.map(error).collect()
}

/// Why a table cannot be read, with the key if one value is the reason.
fn unreadable<T: serde::de::DeserializeOwned>(
    table: &Map<String, Json>,
    known: &[&str],
    place: &str,
) -> Option<SettingsError> {
    let table: Map<String, Json> =
        table.iter().filter(|(key, _)| known.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let whole = serde_json::from_value::<T>(Json::Object(table.clone())).err()?;
    let prefix = if place == "settings" { String::new() } else { format!("{place}.") };
    // Without the value that is wrong, the error is another one.
    for key in table.keys() {
        let mut without = table.clone();
        without.remove(key);
        let message = serde_json::from_value::<T>(Json::Object(without)).err().map(|error| error.to_string());
        let is_missing = message.as_ref().is_some_and(|message| message == &format!("missing field `{key}`"));
        if message.is_none() || is_missing {
            return Some(SettingsError { key: format!("{prefix}{key}"), message: whole.to_string() });
        }
    }
    Some(SettingsError { key: place.to_owned(), message: whole.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(extra: Json) -> Vec<String> {
        let mut settings = json!({ "provider": "hubspot", "base_url": "https://api.hubapi.com" });
        let (Json::Object(all), Json::Object(extra)) = (&mut settings, extra) else { panic!("not a table") };
        all.extend(extra);
        match Settings::read(&settings.to_string()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn usual_settings_are_accepted() {
        let settings = json!({
            "poll": "2m", "create": "on_join", "match": ["user_id", "phone"], "country_code": "31",
            "search": { "member_id": "wa_member_id" },
            "map": [
                { "wa": "member.first_name", "crm": "firstname", "on_conflict": "crm" },
                { "wa": "member.phone", "crm": "phone", "dir": "to_crm", "transform": "phone" },
                { "wa": "consent.marketing", "crm": "marketing", "values": { "granted": "yes", "withdrawn": "no" } },
                { "wa": "member.tags", "crm": "interests", "prefix": "likes-", "transform": "semicolons" },
            ],
        });
        assert_eq!(errors(settings), [""; 0]);
    }

    #[test]
    fn mistakes_name_the_key_and_the_nearest_name() {
        let map = |entry: Json| json!({ "map": [{ "wa": "member.name", "crm": "name" }, entry] });
        for (extra, expected) in [
            (json!({ "polll": "5m" }), "`polll`: unknown key; did you mean `poll`?"),
            (json!({ "poll": "1s" }), "`poll`: `1s` must be between `10s` and `24h`"),
            (json!({ "search": { "fone": "x" } }), "`search.fone`: unknown key; did you mean `phone`?"),
            (json!({ "country_code": "+31" }), "`country_code`: `+31` must be one to three digits, such as `31`"),
            (
                map(json!({ "wa": "member.language", "crm": "lang", "direction": "both" })),
                "`map[2].direction`: unknown key",
            ),
            (
                map(json!({ "wa": "member.langauge", "crm": "lang" })),
                "`map[2].wa`: there is no field `member.langauge`; did you mean `member.language`?",
            ),
            (
                map(json!({ "wa": "member.phone", "crm": "phone" })),
                "`map[2].dir`: the CRM cannot change `member.phone`; write `dir = \"to_crm\"`",
            ),
            (map(json!({ "wa": "member.language", "crm": "name" })), "`map[2].crm`: `name` is also in map[1]"),
            (
                map(json!({ "wa": "member.name", "crm": "title" })),
                "`map[2].wa`: `member.name` is changed by map[1] too",
            ),
        ] {
            assert_eq!(errors(extra), [expected]);
        }
        let wrong = errors(map(json!({ "wa": "member.language", "crm": "lang", "dir": "up" })));
        assert!(wrong[0].starts_with("`map[2].dir`: unknown variant `up`, expected one of `both`"), "{wrong:?}");
        let wrong = errors(json!({ "provider": "hubspott" }));
        assert!(wrong[0].starts_with("`provider`: unknown variant `hubspott`"), "{wrong:?}");
        assert_eq!(errors(json!({ "base_url": 5 })).len(), 1);
    }

    #[test]
    fn known_keys_are_those_of_the_schema() {
        let keys = |schema: schemars::Schema| -> Vec<String> {
            schema.as_value()["properties"].as_object().unwrap().keys().cloned().collect()
        };
        for (schema, known) in [
            (schemars::schema_for!(Settings), KEYS),
            (schemars::schema_for!(MapEntry), MAP_KEYS),
            (schemars::schema_for!(SearchFields), SEARCH_KEYS),
            (schemars::schema_for!(Backfill), BACKFILL_KEYS),
            (schemars::schema_for!(Pointers), POINTER_KEYS),
        ] {
            let (mut keys, mut known) = (keys(schema), known.to_vec());
            keys.sort();
            known.sort_unstable();
            assert_eq!(keys, known);
        }
    }
}
