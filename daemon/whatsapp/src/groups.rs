//! The platform's group webhooks (whatsapp.md 3.3) become members that come and go, requests, and news of the group.
//!
//! Meta's pages and examples disagree about types and places, so what an element holds counts as much as what it is called.

use crate::json::Json;
use crate::misfit::Misfit;
use crate::webhook::Origin;
use crate::{key, person, receipt};
use beadle_model::event::{GroupNews, Problem};
use beadle_model::{Alias, EventBody, Timestamp};
use beadle_store::step::{EventKey, NewEvent, Place, Sender};
use serde_json::{Map, Value};

/// One element of `groups`, on its way into events.
struct Element<'a> {
    origin: &'a Origin<'a>,
    group: &'a Json<'a>,
    channel: &'a str,
    /// The platform's id; empty where it is missing.
    id: String,
    kind: String,
    at: Option<Timestamp>,
    now: Timestamp,
}

/// The fields that are about groups.
pub(crate) const FIELDS: [&str; 4] =
    ["group_lifecycle_update", "group_participants_update", "group_settings_update", "group_status_update"];

/// The events of one element, one at least.
pub(crate) fn read(origin: &Origin<'_>, group: &Json<'_>, now: Timestamp) -> Result<Vec<NewEvent>, Misfit> {
    let channel = origin.ours()?;
    let id = group.string_of("group_id").unwrap_or_default();
    let kind = group.string_of("type").unwrap_or_default();
    let element = Element { origin, group, channel, id, kind, at: group.moment_of("timestamp"), now };
    let field = origin.field();
    let has = |name: &str| group.get(name).and_then(Json::items).is_some();
    let events = match (field.as_ref(), element.kind.as_str()) {
        (_, "group_join_request_created") => element.join_request(false)?,
        (_, "group_join_request_revoked") => element.join_request(true)?,
        (_, "group_suspend") => element.news("suspended"),
        (_, "group_suspend_cleared") => element.news("restored"),
        (_, "group_settings_update") => element.settings(),
        (_, "group_participants_remove") => element.removed(),
        (_, "group_participants_add") => element.added(),
        ("group_participants_update", _) if has("removed_participants") => element.removed(),
        ("group_participants_update", _) if has("added_participants") => element.added(),
        (_, "group_create") if has("added_participants") && element.problem().is_none() => element.added(),
        (_, "group_create") => element.news(if element.problem().is_some() { "failed" } else { "created" }),
        (_, "group_delete") => element.news(if element.problem().is_some() { "failed" } else { "deleted" }),
        (_, "") => return Err(Misfit::Nonsense("an event of a group without a `type`")),
        _ => return Err(Misfit::Unknown(element.kind)),
    };
    if events.is_empty() {
        return Err(Misfit::Nonsense("members that came or went, and nobody is named"));
    }
    Ok(events)
}

impl Element<'_> {
    /// By what it is recognised when it comes again: group, type, request or person, time.
    fn key(&self, what: &str) -> EventKey {
        let request = self.group.string_of("request_id").unwrap_or_default();
        key::of_names(self.at, &["group", &self.id, &self.kind, &request, what])
    }

    fn event(&self, what: &str, place: Place, body: EventBody) -> NewEvent {
        NewEvent {
            key: self.key(what),
            place,
            happened_at: self.at.unwrap_or(self.now),
            opens_window: false,
            word: None,
            body,
        }
    }

    /// Somebody in this group.
    fn somebody(&self, aliases: Vec<Alias>, person: &Json<'_>) -> Place {
        let (channel, group) = (self.channel.to_owned(), Some(self.id.clone()));
        Place::Sender(Sender { channel, aliases, name: person::shown(person), group, language: None })
    }

    fn problem(&self) -> Option<Problem> {
        self.group.get("errors")?.items()?.first().and_then(receipt::problem)
    }

    /// A member of the element, of the value or of the change around it: Meta prints it here and there.
    fn anywhere(&self, name: &str) -> Option<String> {
        let at = |object: &Json<'_>| object.string_of(name);
        at(self.group).or_else(|| at(self.origin.value)).or_else(|| at(self.origin.change()))
    }

    fn people(&self, name: &str) -> impl Iterator<Item = (Vec<Alias>, &Json<'_>)> {
        let people = self.group.get(name).and_then(Json::items).unwrap_or_default();
        people.iter().map(|person| (person::named(person), person)).filter(|(names, _)| !names.is_empty())
    }

    fn added(&self) -> Vec<NewEvent> {
        let mut events: Vec<NewEvent> = self
            .people("added_participants")
            .map(|(names, person)| {
                // What was let in carries what we wrote when we asked for it.
                let reason = if person.get("input").is_some() { "approved".to_owned() } else { self.reason() };
                let body = EventBody::MemberJoined { reason, again: false };
                self.event(&title(&names), self.somebody(names, person), body)
            })
            .collect();
        if self.kind == "group_create" {
            events.extend(self.news("created"));
        }
        events
    }

    /// `invite_link` as we write words: `invite-link`.
    fn reason(&self) -> String {
        self.anywhere("reason").unwrap_or_else(|| "added".to_owned()).replace('_', "-")
    }

    fn removed(&self) -> Vec<NewEvent> {
        let by = self.anywhere("initiated_by");
        // Where nobody is named, what answers a request of ours was ours.
        let by_business = by.map_or(self.group.get("request_id").is_some(), |by| by == "business");
        let reason = if by_business { "removed" } else { "left" };
        let mut events: Vec<NewEvent> = self
            .people("removed_participants")
            .map(|(names, person)| {
                let body = EventBody::MemberLeft { reason: reason.to_owned() };
                self.event(&title(&names), self.somebody(names, person), body)
            })
            .collect();
        // What we asked for is answered; what did not succeed is in it.
        if self.problem().is_some() || self.group.get("request_id").is_some() {
            events.extend(self.news(if events.is_empty() { "failed" } else { "removed" }));
        }
        events
    }

    fn join_request(&self, revoked: bool) -> Result<Vec<NewEvent>, Misfit> {
        let request = self.group.string_of("join_request_id");
        let request = request.ok_or(Misfit::Nonsense("a request to join without a `join_request_id`"))?;
        let names = person::named(self.group);
        if names.is_empty() {
            return Err(Misfit::Nonsense("a request to join from nobody"));
        }
        let what = request.clone();
        let body = EventBody::JoinRequest { request, revoked, extra: self.extra() };
        Ok(vec![self.event(&what, self.somebody(names, self.group), body)])
    }

    fn settings(&self) -> Vec<NewEvent> {
        let part = |name: &str| self.group.get(name);
        let done = |name: &str| part(name).filter(|part| part.is_true("update_successful"));
        let parts = ["profile_picture", "group_subject", "group_description"];
        let succeeded = parts.iter().any(|name| done(name).is_some());
        let failed = parts.iter().filter_map(|name| part(name)?.get("errors")?.items()?.first());
        let mut news = self.base(if succeeded { "changed" } else { "failed" });
        news.problem = news.problem.or_else(|| failed.into_iter().find_map(receipt::problem));
        news.subject = done("group_subject").and_then(|part| part.string_of("text"));
        news.description = done("group_description").and_then(|part| part.string_of("text"));
        vec![self.told(news)]
    }

    fn news(&self, change: &str) -> Vec<NewEvent> {
        let mut news = self.base(change);
        news.subject = self.group.string_of("subject");
        news.description = self.group.string_of("description");
        news.invite_link = self.group.string_of("invite_link");
        news.approval_required = self.group.text_of("join_approval_mode").map(|mode| mode == "approval_required");
        vec![self.told(news)]
    }

    fn base(&self, change: &str) -> GroupNews {
        GroupNews {
            channel: self.channel.to_owned(),
            group: Some(self.id.clone()).filter(|id| !id.is_empty()),
            change: change.to_owned(),
            request: self.group.string_of("request_id"),
            problem: self.problem(),
            extra: self.extra(),
            ..GroupNews::default()
        }
    }

    fn told(&self, news: GroupNews) -> NewEvent {
        // A group that could not be made is no place; nor is one without an id.
        let is_there = !(self.kind == "group_create" && news.change == "failed");
        let place = match &news.group {
            Some(group) if is_there => Place::Group { channel: self.channel.to_owned(), group: group.clone() },
            _ => Place::Nowhere,
        };
        let what = format!("news {}", news.change);
        self.event(&what, place, EventBody::GroupChanged(Box::new(news)))
    }

    /// What the element says besides, without people.
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
        let rest: Map<String, Value> = self.group.without(|name| USED.contains(&name));
        crate::webhook::object_or_null(rest)
    }
}

/// A person in a key: all their names, in order.
fn title(names: &[Alias]) -> String {
    let mut names: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
    names.sort_unstable();
    names.join(" ")
}
