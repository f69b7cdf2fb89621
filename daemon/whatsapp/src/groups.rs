//! Turns group webhooks (docs/whatsapp.md#group-webhooks) into members joining and leaving, join
//! requests, and changes of the group.
//!
//! Meta's documentation and examples disagree about types and about where members are placed, so an
//! element's contents count as much as its type.

use crate::json::{Json, object_or_null};
use crate::origin::Origin;
use crate::unparsable::Unparsable;
use crate::{key, person, receipt};
use beadle_model::event::{GroupNotification, Problem};
use beadle_model::{Alias, EventBody, Timestamp};
use beadle_store::step::{EventKey, NewEvent, Placement, Sender};
use serde_json::{Map, Value, json};

/// One element of `groups`.
struct Element<'a> {
    origin: &'a Origin<'a>,
    group: &'a Json<'a>,
    channel: &'a str,
    /// The group's id; empty if missing.
    id: String,
    kind: String,
    at: Option<Timestamp>,
    now: Timestamp,
}

/// The webhook fields about groups.
pub(crate) const FIELDS: [&str; 4] =
    ["group_lifecycle_update", "group_participants_update", "group_settings_update", "group_status_update"];

/// Reads one element. There is at least one event.
pub(crate) fn read(origin: &Origin<'_>, group: &Json<'_>, now: Timestamp) -> Result<Vec<NewEvent>, Unparsable> {
    let channel = origin.configured_channel()?;
    let id = group.string_of("group_id").unwrap_or_default();
    let kind = group.string_of("type").unwrap_or_default();
    let element = Element { origin, group, channel, id, kind, at: group.timestamp_of("timestamp"), now };
    let field = origin.field();
    let has = |name: &str| group.get(name).and_then(Json::items).is_some();
    let events = match (field.as_ref(), element.kind.as_str()) {
        (_, "group_join_request_created") => element.join_request(false)?,
        (_, "group_join_request_revoked") => element.join_request(true)?,
        (_, "group_suspend") => element.group_changed("suspended"),
        (_, "group_suspend_cleared") => element.group_changed("restored"),
        (_, "group_settings_update") => element.settings(),
        (_, "group_participants_remove") => element.removed(),
        (_, "group_participants_add") => element.added(),
        ("group_participants_update", _) if has("removed_participants") => element.removed(),
        ("group_participants_update", _) if has("added_participants") => element.added(),
        (_, "group_create") if has("added_participants") && element.problem().is_none() => element.added(),
        (_, "group_create") => element.group_changed(if element.problem().is_some() { "failed" } else { "created" }),
        (_, "group_delete") => element.group_changed(if element.problem().is_some() { "failed" } else { "deleted" }),
        (_, "") => return Err(Unparsable::Malformed("a group event has no `type`")),
        _ => return Err(Unparsable::UnknownKind(element.kind)),
    };
    if events.is_empty() {
        return Err(Unparsable::Malformed("a group event names no member who joined or left"));
    }
    Ok(events)
}

impl Element<'_> {
    /// The deduplication key of one event of this element; `part` distinguishes it from the others.
    fn key(&self, part: &str) -> EventKey {
        let request = self.group.string_of("request_id").unwrap_or_default();
        key::of_id(self.at, &["group", &self.id, &self.kind, &request, part])
    }

    fn event(&self, part: &str, placement: Placement, body: EventBody) -> NewEvent {
        NewEvent {
            key: self.key(part),
            placement,
            happened_at: self.at.unwrap_or(self.now),
            opens_window: false,
            keyword: None,
            body,
        }
    }

    /// The place of an event about a member of this group.
    fn member(&self, aliases: Vec<Alias>, person: &Json<'_>) -> Placement {
        let (channel, group) = (self.channel.to_owned(), Some(self.id.clone()));
        Placement::Sender(Sender { channel, aliases, name: person::display_name(person), group, language: None })
    }

    fn problem(&self) -> Option<Problem> {
        receipt::errors_of(self.group).first().and_then(receipt::problem)
    }

    /// A member of the element, or else of the value or the change around it: Meta's examples place
    /// it in all three.
    fn text_anywhere(&self, name: &str) -> Option<String> {
        let at = |object: &Json<'_>| object.string_of(name);
        at(self.group).or_else(|| at(self.origin.value)).or_else(|| at(self.origin.change))
    }

    fn people(&self, name: &str) -> impl Iterator<Item = (Vec<Alias>, &Json<'_>)> {
        let people = self.group.get(name).and_then(Json::items).unwrap_or_default();
        people.iter().map(|person| (person::identities(person), person)).filter(|(aliases, _)| !aliases.is_empty())
    }

    fn added(&self) -> Vec<NewEvent> {
        let mut events: Vec<NewEvent> = self
            .people("added_participants")
            .map(|(aliases, person)| {
                // `input` is what our own request to approve them contained.
                let reason = if person.get("input").is_some() { "approved".to_owned() } else { self.reason() };
                let body = EventBody::MemberJoined { reason, again: false };
                self.event(&joined(&aliases), self.member(aliases, person), body)
            })
            .collect();
        if self.kind == "group_create" {
            events.extend(self.group_changed("created"));
        }
        events
    }

    /// The platform's reason in kebab case, such as `invite-link`.
    fn reason(&self) -> String {
        self.text_anywhere("reason").unwrap_or_else(|| "added".to_owned()).replace('_', "-")
    }

    fn removed(&self) -> Vec<NewEvent> {
        // Without `initiated_by`, a result of one of our requests was initiated by us.
        let by_business = self
            .text_anywhere("initiated_by")
            .map_or(self.group.get("request_id").is_some(), |initiator| initiator == "business");
        let reason = if by_business { "removed" } else { "left" };
        let mut events: Vec<NewEvent> = self
            .people("removed_participants")
            .map(|(aliases, person)| {
                let body = EventBody::MemberLeft { reason: reason.to_owned() };
                self.event(&joined(&aliases), self.member(aliases, person), body)
            })
            .collect();
        // The result of our own request is also a change of the group, which carries the errors.
        if self.problem().is_some() || self.group.get("request_id").is_some() {
            events.extend(self.group_changed(if events.is_empty() { "failed" } else { "removed" }));
        }
        events
    }

    fn join_request(&self, revoked: bool) -> Result<Vec<NewEvent>, Unparsable> {
        let request = self.group.string_of("join_request_id");
        let request = request.ok_or(Unparsable::Malformed("a join request has no `join_request_id`"))?;
        let aliases = person::identities(self.group);
        if aliases.is_empty() {
            return Err(Unparsable::Malformed("a join request names no person"));
        }
        let part = request.clone();
        let body = EventBody::JoinRequest { request, revoked, extra: self.extra() };
        Ok(vec![self.event(&part, self.member(aliases, self.group), body)])
    }

    fn settings(&self) -> Vec<NewEvent> {
        let part = |name: &str| self.group.get(name);
        let done = |name: &str| part(name).filter(|part| part.is_true("update_successful"));
        let parts = ["profile_picture", "group_subject", "group_description"];
        let succeeded = parts.iter().any(|name| done(name).is_some());
        let failed = parts.iter().filter_map(|name| receipt::errors_of(part(name)?).first());
        let refused =
            parts.iter().any(|name| part(name).and_then(|part| part.bool_of("update_successful")) == Some(false));
        let problem = self.problem().or_else(|| failed.into_iter().find_map(receipt::problem));
        // Without a flag only an error is a failure: one of Meta's examples has neither.
        let changed = succeeded || !(refused || problem.is_some());
        let mut notification = self.base(if changed { "changed" } else { "failed" });
        notification.problem = problem;
        notification.subject = done("group_subject").and_then(|part| part.string_of("text"));
        notification.description = done("group_description").and_then(|part| part.string_of("text"));
        vec![self.group_event(notification)]
    }

    fn group_changed(&self, change: &str) -> Vec<NewEvent> {
        let mut notification = self.base(change);
        notification.subject = self.group.string_of("subject");
        notification.description = self.group.string_of("description");
        notification.invite_link = self.group.string_of("invite_link");
        notification.approval_required =
            self.group.text_of("join_approval_mode").map(|mode| mode == "approval_required");
        vec![self.group_event(notification)]
    }

    fn base(&self, change: &str) -> GroupNotification {
        GroupNotification {
            channel: self.channel.to_owned(),
            group: Some(self.id.clone()).filter(|id| !id.is_empty()),
            change: change.to_owned(),
            request: self.group.string_of("request_id"),
            failed: self.failed().iter().map(person::identities).collect(),
            problem: self.problem(),
            extra: self.extra(),
            ..GroupNotification::default()
        }
    }

    fn group_event(&self, notification: GroupNotification) -> NewEvent {
        // A group that could not be created does not exist.
        let exists = !(self.kind == "group_create" && notification.change == "failed");
        let placement = match &notification.group {
            Some(group) if exists => Placement::Group { channel: self.channel.to_owned(), group: group.clone() },
            _ => Placement::Nowhere,
        };
        let part = format!("change {}", notification.change);
        self.event(&part, placement, EventBody::GroupChanged(Box::new(notification)))
    }

    /// Members for whom our request failed.
    fn failed(&self) -> &[Json<'_>] {
        self.group.get("failed_participants").and_then(Json::items).unwrap_or_default()
    }

    /// Members that the event does not represent. Members that identify a person are dropped.
    fn extra(&self) -> Value {
        const USED: [&str; 18] = [
            "timestamp",
            "group_id",
            "type",
            "request_id",
            "subject",
            "description",
            "invite_link",
            "join_approval_mode",
            "errors",
            "added_participants",
            "removed_participants",
            "failed_participants",
            "join_request_id",
            "wa_id",
            "user_id",
            "parent_user_id",
            "username",
            "initiated_by",
        ];
        let mut rest: Map<String, Value> = self.group.without(|name| USED.contains(&name));
        rest.extend(receipt::further_errors(self.group).map(|errors| ("errors".to_owned(), errors)));
        // Why each failed; the store adds who.
        let failed = self.failed();
        if !failed.is_empty() {
            let reasons = failed.iter().map(|failed| json!({"errors": failed.get("errors").map(Json::to_value)}));
            rest.insert("failed".to_owned(), reasons.collect());
        }
        object_or_null(rest)
    }
}

/// A person in a deduplication key: all their identities in order.
fn joined(aliases: &[Alias]) -> String {
    let mut values: Vec<&str> = aliases.iter().map(|alias| alias.value.as_str()).collect();
    values.sort_unstable();
    values.join(" ")
}
