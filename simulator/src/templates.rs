//! Message templates and their states (docs/whatsapp.md#templates).
//!
//! PENDING → APPROVED or REJECTED; APPROVED ⇄ PAUSED, and the third pause disables. The outcome of
//! a review is a setting or is decided through the control API. `draft` checks new templates,
//! `fill` the parameters of a message.

pub(crate) mod draft;
pub(crate) mod fill;

use crate::refusal::Refusal;
use draft::Draft;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Maximum number of templates of a verified account; an unverified one may have 250.
const MAX_TEMPLATES: usize = 6_000;

/// Maximum number of templates created per hour.
const MAX_CREATED_PER_HOUR: usize = 100;
/// Maximum number of edits of an approved template in 30 days.
const MAX_EDITS: usize = 10;
const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How long the name of a deleted template is blocked.
const NAME_BLOCKED_MS: i64 = 30 * DAY_MS;

/// Duration of the first and the second pause. The third disables the template.
const PAUSES_MS: [i64; 2] = [3 * HOUR_MS, 6 * HOUR_MS];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    Pending,
    Approved,
    Rejected,
    Paused,
    Disabled,
    /// Deleted; the platform still lists it for a while.
    PendingDeletion,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Paused => "PAUSED",
            Self::Disabled => "DISABLED",
            Self::PendingDeletion => "PENDING_DELETION",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    pub id: String,
    pub name: String,
    pub language: String,
    /// MARKETING, UTILITY or AUTHENTICATION.
    pub category: String,
    pub status: Status,
    pub components: Vec<Value>,
    /// NAMED or POSITIONAL.
    pub parameter_format: String,
    /// GREEN, YELLOW, RED or UNKNOWN.
    pub quality: String,
    /// The reason of a rejection, or NONE.
    pub reason: String,
    pub pauses: u32,
    /// When the current pause ends.
    pub paused_until_ms: Option<i64>,
    pub edited_ms: Vec<i64>,
    pub created_ms: i64,
    pub previous_category: Option<String>,
    pub ttl_seconds: Option<i64>,
}

impl Template {
    /// The template as in the management API.
    pub(crate) fn view(&self, now_ms: i64) -> Value {
        let mut view = json!({
            "id": self.id, "name": self.name, "language": self.language, "category": self.category,
            "status": self.status.name(), "components": self.components, "parameter_format": self.parameter_format,
            "rejected_reason": self.reason,
            "quality_score": {"score": self.quality, "date": now_ms.div_euclid(1000)},
        });
        if let Some(view) = view.as_object_mut() {
            view.extend(
                self.previous_category.iter().map(|previous| ("previous_category".to_owned(), json!(previous))),
            );
            view.extend(self.ttl_seconds.map(|ttl| ("message_send_ttl_seconds".to_owned(), json!(ttl))));
        }
        view
    }

    /// The members that identify the template in a webhook.
    pub(crate) fn identity(&self) -> Value {
        // Documented as a number here and as a string in the management API.
        let id: u64 = self.id.parse().unwrap_or_default();
        json!({
            "message_template_id": id,
            "message_template_name": self.name,
            "message_template_language": self.language,
        })
    }

    /// The value of a `message_template_status_update`.
    pub(crate) fn status_update(&self, event: &str) -> Value {
        let mut value = self.identity();
        if let Some(value) = value.as_object_mut() {
            value.insert("event".to_owned(), json!(event));
            value.insert("reason".to_owned(), json!(self.reason));
            value.insert("message_template_category".to_owned(), json!(self.category));
            match event {
                "PAUSED" => {
                    let (title, hours) = if self.pauses < 2 { ("FIRST_PAUSE", 3) } else { ("SECOND_PAUSE", 6) };
                    let description = format!(
                        "Your WhatsApp message template has been paused for {hours} hours until it can be sent again because it continued to have issues."
                    );
                    value.insert("other_info".to_owned(), json!({"title": title, "description": description}));
                }
                "DISABLED" => {
                    value.insert("other_info".to_owned(), json!({"title": "DISABLED", "description": "Your WhatsApp message template has been disabled because it continued to have issues."}));
                }
                "REJECTED" => {
                    value.insert(
                        "rejection_info".to_owned(),
                        json!({"reason": self.reason, "recommendation": "Edit the template and submit it again."}),
                    );
                }
                _ => {}
            }
        }
        value
    }

    /// Pauses the template, or disables it the third time. Returns the event, and the end of the
    /// pause.
    pub(crate) fn pause(&mut self, now_ms: i64) -> (&'static str, Option<i64>) {
        let duration = usize::try_from(self.pauses).ok().and_then(|n| PAUSES_MS.get(n));
        self.pauses += 1;
        match duration {
            Some(duration_ms) => {
                self.status = Status::Paused;
                self.paused_until_ms = Some(now_ms.saturating_add(*duration_ms));
                ("PAUSED", self.paused_until_ms)
            }
            None => {
                self.status = Status::Disabled;
                self.paused_until_ms = None;
                ("DISABLED", None)
            }
        }
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Templates {
    /// By id. Ids increase.
    all: BTreeMap<String, Template>,
    /// The times of recent creations.
    creations_ms: Vec<i64>,
    /// The names of deleted templates, and until when they are blocked.
    blocked_names: BTreeMap<String, i64>,
}

impl Templates {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Template> {
        self.all.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Template> {
        self.all.get_mut(id)
    }

    pub(crate) fn find(&self, name: &str, language: &str) -> Option<&Template> {
        self.all.values().find(|template| template.name == name && template.language == language)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Template> {
        self.all.values()
    }

    /// Creates a template, which is pending review.
    pub(crate) fn create(&mut self, id: u64, draft: Draft, now_ms: i64) -> Result<&Template, Refusal> {
        self.creations_ms.retain(|at_ms| now_ms - at_ms < HOUR_MS);
        if self.creations_ms.len() >= MAX_CREATED_PER_HOUR {
            return Err(Refusal::new(
                80_007,
                format!("More than {MAX_CREATED_PER_HOUR} templates were created within an hour."),
            ));
        }
        if self.all.len() >= MAX_TEMPLATES {
            return Err(Refusal::new(100, format!("The account has the maximum of {MAX_TEMPLATES} templates.")));
        }
        if self.find(&draft.name, &draft.language).is_some() {
            return Err(Refusal::new(
                100,
                format!("Content in this language already exists: '{}' in {}.", draft.name, draft.language),
            ));
        }
        if self.blocked_names.get(&draft.name).is_some_and(|until_ms| now_ms < *until_ms) {
            return Err(Refusal::new(
                100,
                format!("The name '{}' belongs to a template that was deleted less than 30 days ago.", draft.name),
            ));
        }
        self.creations_ms.push(now_ms);
        let template = Template {
            id: id.to_string(),
            name: draft.name,
            language: draft.language,
            category: draft.category,
            status: Status::Pending,
            components: draft.components,
            parameter_format: draft.parameter_format,
            quality: "UNKNOWN".to_owned(),
            reason: "NONE".to_owned(),
            pauses: 0,
            paused_until_ms: None,
            edited_ms: Vec::new(),
            created_ms: now_ms,
            previous_category: None,
            ttl_seconds: draft.ttl_seconds,
        };
        Ok(self.all.entry(id.to_string()).or_insert(template))
    }

    /// Edits a template, which is then pending review again.
    pub(crate) fn edit(
        &mut self,
        id: &str,
        change: impl FnOnce(&Template) -> Result<Draft, Refusal>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let template = self.all.get_mut(id).ok_or_else(|| Refusal::new(100, "The template does not exist."))?;
        match template.status {
            Status::Pending => return Err(Refusal::new(100, "A template in review cannot be edited.")),
            Status::Disabled | Status::PendingDeletion => {
                return Err(Refusal::new(100, "A disabled or deleted template cannot be edited."));
            }
            Status::Approved => {
                template.edited_ms.retain(|at_ms| now_ms - at_ms < 30 * DAY_MS);
                let today = template.edited_ms.last().is_some_and(|at_ms| now_ms - at_ms < DAY_MS);
                if today || template.edited_ms.len() >= MAX_EDITS {
                    return Err(Refusal::new(
                        100,
                        "An approved template can be edited once in 24 hours and 10 times in 30 days.",
                    ));
                }
                template.edited_ms.push(now_ms);
            }
            Status::Rejected | Status::Paused => {}
        }
        let draft = change(template)?;
        template.components = draft.components;
        template.category = draft.category;
        template.ttl_seconds = draft.ttl_seconds;
        template.status = Status::Pending;
        template.reason = "NONE".to_owned();
        Ok(())
    }

    /// Deletes the template with this name and id, or all with this name. Returns them.
    pub(crate) fn delete(&mut self, name: &str, id: Option<&str>, now_ms: i64) -> Vec<Template> {
        let ids: Vec<String> = self
            .all
            .values()
            .filter(|template| template.name == name && id.is_none_or(|id| id == template.id))
            .map(|template| template.id.clone())
            .collect();
        if !ids.is_empty() {
            self.blocked_names.insert(name.to_owned(), now_ms.saturating_add(NAME_BLOCKED_MS));
        }
        ids.iter().filter_map(|id| self.all.remove(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::draft::check_draft;
    use super::*;

    fn draft(name: &str) -> Draft {
        let components = json!([{"type": "BODY", "text": "Hello"}]);
        check_draft(&json!({"name": name, "language": "en", "category": "UTILITY", "components": components})).unwrap()
    }

    #[test]
    fn third_pause_disables_a_template() {
        let mut templates = Templates::default();
        let id = templates.create(7, draft("a"), 0).unwrap().id.clone();
        let template = templates.get_mut(&id).unwrap();
        assert_eq!(template.pause(0), ("PAUSED", Some(3 * HOUR_MS)));
        assert_eq!(template.status_update("PAUSED")["other_info"]["title"], "FIRST_PAUSE");
        assert_eq!(template.pause(0), ("PAUSED", Some(6 * HOUR_MS)));
        assert_eq!(template.status_update("PAUSED")["other_info"]["title"], "SECOND_PAUSE");
        assert_eq!(template.pause(0), ("DISABLED", None));
        assert_eq!(template.status, Status::Disabled);
    }

    #[test]
    fn creations_and_edits_are_limited() {
        let mut templates = Templates::default();
        for n in 0..100 {
            templates.create(n, draft(&format!("t{n}")), 0).unwrap();
        }
        assert_eq!(templates.create(100, draft("more"), 0).unwrap_err().code, 80_007);
        templates.create(101, draft("more"), HOUR_MS).unwrap();
        assert!(templates.create(102, draft("more"), HOUR_MS).unwrap_err().details.contains("already exists"));
        let edit = |templates: &mut Templates, at_ms| templates.edit("7", |_| Ok(draft("t7")), at_ms);
        assert!(edit(&mut templates, 0).is_err(), "in review");
        for day in 0..10 {
            templates.get_mut("7").unwrap().status = Status::Approved;
            edit(&mut templates, day * DAY_MS).unwrap();
            templates.get_mut("7").unwrap().status = Status::Approved;
            assert!(edit(&mut templates, day * DAY_MS + DAY_MS - 1).is_err());
        }
        assert!(edit(&mut templates, 10 * DAY_MS).is_err(), "ten in thirty days");
    }

    #[test]
    fn name_of_a_deleted_template_is_blocked_for_thirty_days() {
        let mut templates = Templates::default();
        templates.create(1, draft("a"), 0).unwrap();
        assert_eq!(templates.delete("a", Some("2"), 0).len(), 0);
        assert_eq!(templates.delete("a", None, 0).len(), 1);
        assert!(templates.create(2, draft("a"), NAME_BLOCKED_MS - 1).is_err());
        templates.create(3, draft("a"), NAME_BLOCKED_MS).unwrap();
    }
}
