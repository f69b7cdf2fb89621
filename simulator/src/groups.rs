//! Groups of the official API (docs/whatsapp.md#groups): at most eight people, invited by link,
//! administered by the business.
//!
//! This module holds membership; the requests are in `graph/groups.rs`, their effects in
//! `scheduled`. The business does not count among the eight, as the participant count excludes it;
//! Meta's documentation does not say.

use crate::people::PersonNo;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Maximum number of people in a group.
pub(crate) const MAX_MEMBERS: usize = 8;

/// Maximum number of groups of a number.
pub(crate) const MAX_GROUPS: usize = 10_000;

/// Maximum number of pinned messages; the oldest is unpinned.
const MAX_PINS: usize = 3;

/// The index of a group. It does not change until a reset, even if the group is deleted.
pub(crate) type GroupNo = usize;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinRequest {
    pub id: String,
    pub person: PersonNo,
    pub at_ms: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Group {
    pub id: String,
    pub subject: String,
    pub description: String,
    /// People who follow the link have to be approved.
    pub approval_required: bool,
    pub created_ms: i64,
    pub suspended: bool,
    pub deleted: bool,
    /// The last segment of the invite link.
    pub link: String,
    pub members: Vec<PersonNo>,
    /// People removed by the business, who cannot join by the link again.
    pub removed: BTreeSet<PersonNo>,
    pub requests: Vec<JoinRequest>,
    /// The end of the window, which the group has as a whole.
    pub window_until_ms: Option<i64>,
    /// Message ids, oldest first.
    pub pins: Vec<String>,
    /// The media id of the picture.
    pub picture: Option<String>,
}

impl Group {
    pub(crate) fn window_open(&self, now_ms: i64) -> bool {
        self.window_until_ms.is_some_and(|until| now_ms < until)
    }

    pub(crate) fn invite_link(&self) -> String {
        format!("https://chat.whatsapp.com/{}", self.link)
    }

    pub(crate) fn approval_mode(&self) -> &'static str {
        if self.approval_required { "approval_required" } else { "auto_approve" }
    }

    pub(crate) fn pin(&mut self, message: &str, on: bool) {
        self.pins.retain(|pinned| pinned != message);
        if on {
            self.pins.push(message.to_owned());
            if self.pins.len() > MAX_PINS {
                self.pins.remove(0);
            }
        }
    }
}

/// The result of following an invite link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JoinOutcome {
    Joined,
    /// The id of a join request.
    Requested(String),
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    all: Vec<Group>,
    by_id: HashMap<String, GroupNo>,
}

impl Groups {
    /// Finds a group that is not deleted.
    pub(crate) fn find(&self, id: &str) -> Option<GroupNo> {
        self.by_id.get(id).copied().filter(|no| self.get(*no).is_some_and(|group| !group.deleted))
    }

    /// Finds a group by its current invite link or that link's last segment.
    pub(crate) fn find_link(&self, link: &str) -> Option<GroupNo> {
        let end = link.rsplit('/').next().unwrap_or(link);
        self.all.iter().position(|group| !group.deleted && group.link == end)
    }

    pub(crate) fn get(&self, no: GroupNo) -> Option<&Group> {
        self.all.get(no)
    }

    pub(crate) fn get_mut(&mut self, no: GroupNo) -> Option<&mut Group> {
        self.all.get_mut(no)
    }

    /// The groups that are not deleted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (GroupNo, &Group)> {
        self.all.iter().enumerate().filter(|(_, group)| !group.deleted)
    }

    pub(crate) fn add(&mut self, group: Group) -> GroupNo {
        let no = self.all.len();
        self.by_id.insert(group.id.clone(), no);
        self.all.push(group);
        no
    }

    /// A person follows the invite link. `request_id` is used if a join request is made.
    pub(crate) fn join(
        &mut self,
        no: GroupNo,
        person: PersonNo,
        request_id: String,
        now_ms: i64,
    ) -> Result<JoinOutcome, String> {
        let group = self.all.get_mut(no).ok_or("unknown group")?;
        if group.members.contains(&person) {
            return Err("the person is already in this group".to_owned());
        }
        if group.removed.contains(&person) {
            return Err("the person was removed from this group and cannot join by its link".to_owned());
        }
        if group.suspended {
            return Err("the group is suspended".to_owned());
        }
        if group.members.len() >= MAX_MEMBERS {
            return Err(format!("the group is full ({MAX_MEMBERS} people)"));
        }
        if !group.approval_required {
            group.members.push(person);
            return Ok(JoinOutcome::Joined);
        }
        if group.requests.iter().any(|request| request.person == person) {
            return Err("the person has already requested to join".to_owned());
        }
        group.requests.push(JoinRequest { id: request_id.clone(), person, at_ms: now_ms });
        Ok(JoinOutcome::Requested(request_id))
    }

    /// Removes a member. Returns `false` if the person is not in the group.
    pub(crate) fn leave(&mut self, no: GroupNo, person: PersonNo) -> bool {
        let Some(group) = self.all.get_mut(no) else { return false };
        let before = group.members.len();
        group.members.retain(|member| *member != person);
        group.members.len() < before
    }

    /// Removes and returns a join request.
    pub(crate) fn take_request(&mut self, no: GroupNo, wanted: impl Fn(&JoinRequest) -> bool) -> Option<JoinRequest> {
        let group = self.all.get_mut(no)?;
        let at = group.requests.iter().position(wanted)?;
        Some(group.requests.remove(at))
    }

    /// The subjects of a person's groups by group id, for the chat page.
    pub(crate) fn of_person(&self, person: PersonNo) -> BTreeMap<&str, &str> {
        let groups = self.iter().filter(|(_, group)| group.members.contains(&person));
        groups.map(|(_, group)| (group.id.as_str(), group.subject.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(approval_required: bool) -> (Groups, GroupNo) {
        let mut groups = Groups::default();
        let group = Group { id: "g".to_owned(), link: "abc".to_owned(), approval_required, ..Group::default() };
        let no = groups.add(group);
        (groups, no)
    }

    #[test]
    fn ninth_person_cannot_join() {
        let (mut groups, no) = groups(false);
        for person in 0..MAX_MEMBERS {
            assert_eq!(groups.join(no, person, String::new(), 0), Ok(JoinOutcome::Joined));
        }
        assert!(groups.join(no, 8, String::new(), 0).is_err_and(|error| error.contains("full")));
        assert!(groups.leave(no, 3));
        assert!(!groups.leave(no, 3));
        assert_eq!(groups.join(no, 8, String::new(), 0), Ok(JoinOutcome::Joined));
        assert_eq!(groups.of_person(8).len(), 1);
    }

    #[test]
    fn second_join_request_and_removed_person_are_refused() {
        let (mut groups, no) = groups(true);
        assert_eq!(groups.join(no, 1, "r1".to_owned(), 0), Ok(JoinOutcome::Requested("r1".to_owned())));
        assert!(groups.join(no, 1, "r2".to_owned(), 0).is_err());
        assert_eq!(groups.take_request(no, |request| request.person == 1).unwrap().id, "r1");
        groups.get_mut(no).unwrap().removed.insert(2);
        assert!(groups.join(no, 2, "r3".to_owned(), 0).is_err_and(|error| error.contains("removed")));
    }

    #[test]
    fn group_is_found_by_its_current_link_unless_deleted() {
        let (mut groups, no) = groups(false);
        assert_eq!(groups.find_link("https://chat.whatsapp.com/abc"), Some(no));
        groups.get_mut(no).unwrap().link = "def".to_owned();
        assert_eq!((groups.find_link("abc"), groups.find_link("def")), (None, Some(no)));
        groups.get_mut(no).unwrap().deleted = true;
        assert_eq!((groups.find("g"), groups.find_link("def")), (None, None));
    }

    #[test]
    fn fourth_pin_replaces_the_oldest() {
        let mut group = Group::default();
        for id in ["a", "b", "c", "d"] {
            group.pin(id, true);
        }
        group.pin("c", false);
        assert_eq!(group.pins, ["b", "d"]);
    }
}
