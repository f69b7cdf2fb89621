//! Groups as the official API has them (whatsapp.md 3): few people, no administrators but the business, no adding.
//!
//! Here is who is in them and who may come in; the calls are in `graph/groups.rs`, what follows from them in `deeds`.
//! The business is not counted among the eight, as its participant count excludes it; Meta does not say.

use crate::people::PersonNo;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// People in a group (whatsapp.md 3.1).
pub(crate) const MOST_MEMBERS: usize = 8;

/// Groups of a number (whatsapp.md 3.1).
pub(crate) const MOST_GROUPS: usize = 10_000;

/// Pinned messages; the oldest gives way (whatsapp.md 2.2).
const MOST_PINS: usize = 3;

/// Index of a group, stable until a reset; deleted ones keep theirs.
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
    /// Whoever follows the link asks to be let in.
    pub approval: bool,
    pub created_ms: i64,
    pub suspended: bool,
    pub deleted: bool,
    /// What stands behind `https://chat.whatsapp.com/`.
    pub link: String,
    pub members: Vec<PersonNo>,
    /// Removed by the business: the link lets them in no more.
    pub removed: BTreeSet<PersonNo>,
    pub requests: Vec<JoinRequest>,
    /// One window between the business and all of them.
    pub window_until_ms: Option<i64>,
    /// Message ids, the oldest first.
    pub pins: Vec<String>,
    /// The id of the picture's media.
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
        if self.approval { "approval_required" } else { "auto_approve" }
    }

    pub(crate) fn pin(&mut self, message: &str, on: bool) {
        self.pins.retain(|pinned| pinned != message);
        if on {
            self.pins.push(message.to_owned());
            if self.pins.len() > MOST_PINS {
                self.pins.remove(0);
            }
        }
    }
}

/// What came of following the link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Joined,
    /// Asked to be let in; the request's id.
    Asked(String),
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    all: Vec<Group>,
    by_id: HashMap<String, GroupNo>,
}

impl Groups {
    /// A group that is there, by its id.
    pub(crate) fn find(&self, id: &str) -> Option<GroupNo> {
        self.by_id.get(id).copied().filter(|no| self.get(*no).is_some_and(|group| !group.deleted))
    }

    /// By its invite link, whole or its end; links that were reset are nobody's.
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

    /// Those that are there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (GroupNo, &Group)> {
        self.all.iter().enumerate().filter(|(_, group)| !group.deleted)
    }

    pub(crate) fn add(&mut self, group: Group) -> GroupNo {
        let no = self.all.len();
        self.by_id.insert(group.id.clone(), no);
        self.all.push(group);
        no
    }

    /// Somebody follows the link. `request_id` names the request, where one is made.
    pub(crate) fn enter(
        &mut self,
        no: GroupNo,
        who: PersonNo,
        request_id: String,
        now_ms: i64,
    ) -> Result<Entry, String> {
        let group = self.all.get_mut(no).ok_or("there is no such group")?;
        if group.members.contains(&who) {
            return Err("they are in this group already".to_owned());
        }
        if group.removed.contains(&who) {
            return Err("they were removed from this group: its link lets them in no more".to_owned());
        }
        if group.suspended {
            return Err("this group is suspended".to_owned());
        }
        if group.members.len() >= MOST_MEMBERS {
            return Err(format!("this group is full: {MOST_MEMBERS} people"));
        }
        if !group.approval {
            group.members.push(who);
            return Ok(Entry::Joined);
        }
        if group.requests.iter().any(|request| request.person == who) {
            return Err("they have asked already".to_owned());
        }
        group.requests.push(JoinRequest { id: request_id.clone(), person: who, at_ms: now_ms });
        Ok(Entry::Asked(request_id))
    }

    /// Somebody leaves by themselves; false where they were not in it.
    pub(crate) fn leave(&mut self, no: GroupNo, who: PersonNo) -> bool {
        let Some(group) = self.all.get_mut(no) else { return false };
        let before = group.members.len();
        group.members.retain(|member| *member != who);
        group.members.len() < before
    }

    /// Takes a join request back, or answers it.
    pub(crate) fn take_request(&mut self, no: GroupNo, wanted: impl Fn(&JoinRequest) -> bool) -> Option<JoinRequest> {
        let group = self.all.get_mut(no)?;
        let at = group.requests.iter().position(wanted)?;
        Some(group.requests.remove(at))
    }

    /// How many groups each person is in, by name of the group: for the page.
    pub(crate) fn of_person(&self, who: PersonNo) -> BTreeMap<&str, &str> {
        let theirs = self.iter().filter(|(_, group)| group.members.contains(&who));
        theirs.map(|(_, group)| (group.id.as_str(), group.subject.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(approval: bool) -> (Groups, GroupNo) {
        let mut groups = Groups::default();
        let group = Group { id: "g".to_owned(), link: "abc".to_owned(), approval, ..Group::default() };
        let no = groups.add(group);
        (groups, no)
    }

    #[test]
    fn eight_come_in_and_the_ninth_stays_out() {
        let (mut groups, no) = groups(false);
        for who in 0..MOST_MEMBERS {
            assert_eq!(groups.enter(no, who, String::new(), 0), Ok(Entry::Joined));
        }
        assert!(groups.enter(no, 8, String::new(), 0).is_err_and(|why| why.contains("full")));
        assert!(groups.leave(no, 3));
        assert!(!groups.leave(no, 3));
        assert_eq!(groups.enter(no, 8, String::new(), 0), Ok(Entry::Joined));
        assert_eq!(groups.of_person(8).len(), 1);
    }

    #[test]
    fn one_asks_once_and_the_removed_stay_out() {
        let (mut groups, no) = groups(true);
        assert_eq!(groups.enter(no, 1, "r1".to_owned(), 0), Ok(Entry::Asked("r1".to_owned())));
        assert!(groups.enter(no, 1, "r2".to_owned(), 0).is_err());
        assert_eq!(groups.take_request(no, |request| request.person == 1).unwrap().id, "r1");
        groups.get_mut(no).unwrap().removed.insert(2);
        assert!(groups.enter(no, 2, "r3".to_owned(), 0).is_err_and(|why| why.contains("removed")));
    }

    #[test]
    fn a_group_is_found_by_its_newest_link_and_not_when_deleted() {
        let (mut groups, no) = groups(false);
        assert_eq!(groups.find_link("https://chat.whatsapp.com/abc"), Some(no));
        groups.get_mut(no).unwrap().link = "def".to_owned();
        assert_eq!((groups.find_link("abc"), groups.find_link("def")), (None, Some(no)));
        groups.get_mut(no).unwrap().deleted = true;
        assert_eq!((groups.find("g"), groups.find_link("def")), (None, None));
    }

    #[test]
    fn the_fourth_pin_takes_the_oldest_away() {
        let mut group = Group::default();
        for id in ["a", "b", "c", "d"] {
            group.pin(id, true);
        }
        group.pin("c", false);
        assert_eq!(group.pins, ["b", "d"]);
    }
}
