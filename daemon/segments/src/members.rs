//! The members of a segment or a list: a page of them, whether one person belongs to it, or their
//! number.
//!
//! [`Members`] keeps the definitions and the time with which it was created, so that all its pages
//! are of the same segment. People may change between two pages; each page reads one snapshot.

use crate::evaluate::{EvaluationContext, Evaluator};
use crate::explain::{Explanation, Part};
use crate::expression::{Definitions, Segment};
use crate::limits::LIST_PREFIX;
use beadle_model::{Blame, Coded, ContactId, ConversationId, Timestamp};
use beadle_store::{FACTS_PAGE, ListId, PersonFacts, Reader, StoreError, WantedFacts};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The maximum number of people that are examined for a page: it bounds the page's duration.
const SEARCHED_PEOPLE: usize = 20_000;
/// The maximum number of members of a page.
const MAX_PAGE: usize = 10_000;

/// Why a segment or list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// No segment has this name.
    #[error("unknown segment `{name}`; {}", known(segments))]
    UnknownSegment {
        /// The name.
        name: String,
        /// Those that exist.
        segments: Vec<String>,
    },
    /// No list has this name.
    #[error("unknown list `{name}`{}", used_by(segment.as_deref()))]
    UnknownList {
        /// The name.
        name: String,
        /// The segment that names it.
        segment: Option<String>,
    },
    /// No group has this subject or id.
    #[error("unknown group `{name}`{}", used_by(Some(segment)))]
    UnknownGroup {
        /// The name.
        name: String,
        /// The segment that names it.
        segment: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn known(segments: &[String]) -> String {
    if segments.is_empty() {
        return "the configuration has no segments".into();
    }
    let mut names = segments.iter().take(20).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if segments.len() > 20 {
        names.push_str(", …");
    }
    format!("the configuration has {names}; a list is named `{LIST_PREFIX}NAME`")
}

fn used_by(segment: Option<&str>) -> String {
    segment.map(|name| format!(" in segment `{name}`")).unwrap_or_default()
}

/// The codes of [`SegmentError`], without those of the store.
pub const CODES: [&str; 3] = ["segment-unknown", "list-unknown", "group-unknown"];

impl Coded for SegmentError {
    fn code(&self) -> &'static str {
        match self {
            SegmentError::UnknownSegment { .. } => "segment-unknown",
            SegmentError::UnknownList { .. } => "list-unknown",
            SegmentError::UnknownGroup { .. } => "group-unknown",
            SegmentError::Store(error) => error.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            SegmentError::Store(error) => error.blame(),
            _ => Blame::Operator,
        }
    }

    fn retried(&self) -> bool {
        matches!(self, SegmentError::Store(error) if error.retried())
    }
}

/// The segments in effect. Cheap to clone; all clones see a reload.
#[derive(Clone)]
pub struct Segments(Arc<Inner>);

struct Inner {
    reader: Reader,
    definitions: RwLock<Arc<Definitions>>,
}

impl std::fmt::Debug for Segments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Segments").field(&*self.definitions()).finish()
    }
}

impl Segments {
    /// With the segments of a configuration.
    pub fn new(reader: Reader, definitions: Definitions) -> Self {
        Self(Arc::new(Inner { reader, definitions: RwLock::new(Arc::new(definitions)) }))
    }

    /// Applies the segments of a new configuration. [`Members`] that exist keep theirs.
    pub fn configure(&self, definitions: Definitions) {
        *self.0.definitions.write() = Arc::new(definitions);
    }

    /// The segments in effect.
    pub fn definitions(&self) -> Arc<Definitions> {
        Arc::clone(&self.0.definitions.read())
    }

    /// The members of a segment, or of a list as `list:NAME`, at this time. Blocks as a read from
    /// the store does.
    ///
    /// # Errors
    /// If the segment or list is unknown, or the segment names an unknown list or group.
    pub fn members(&self, name: &str, now: Timestamp) -> Result<Members, SegmentError> {
        let definitions = self.definitions();
        let reader = self.0.reader.clone();
        let mut context = EvaluationContext { now, today: 0, lists: BTreeMap::new(), groups: BTreeMap::new() };
        let mut wanted = WantedFacts::default();
        let selected = match name.strip_prefix(LIST_PREFIX) {
            Some(list) => Selected::List { name: list.to_owned(), id: list_id(&reader, list, None)? },
            None => {
                let segment = definitions.get(name).ok_or_else(|| SegmentError::UnknownSegment {
                    name: name.to_owned(),
                    segments: definitions.segments().map(|segment| segment.name.clone()).collect(),
                })?;
                context.today = today(now, &definitions.timezone);
                resolve(&definitions, segment, &reader, &mut context, &mut wanted)?;
                Selected::Segment(name.to_owned())
            }
        };
        Ok(Members { selected, definitions, reader, context, wanted })
    }
}

/// Days since 1970 at this time in a time zone; in UTC if the zone is unknown.
fn today(now: Timestamp, timezone: &str) -> i64 {
    let at = jiff::Timestamp::from_millisecond(now.as_ms()).unwrap_or_default();
    let zone = jiff::tz::TimeZone::get(timezone).unwrap_or(jiff::tz::TimeZone::UTC);
    crate::compile::day_of(zone.to_datetime(at).date()).unwrap_or_default()
}

fn list_id(reader: &Reader, name: &str, segment: Option<&str>) -> Result<ListId, SegmentError> {
    let unknown = || SegmentError::UnknownList { name: name.to_owned(), segment: segment.map(str::to_owned) };
    Ok(reader.list(name)?.ok_or_else(unknown)?.id)
}

/// Finds what a segment and those that it names refer to.
fn resolve(
    definitions: &Definitions,
    segment: &Segment,
    reader: &Reader,
    context: &mut EvaluationContext,
    wanted: &mut WantedFacts,
) -> Result<(), SegmentError> {
    let (mut open, mut seen) = (vec![segment], BTreeSet::from([segment.name.as_str()]));
    let mut known_groups = None;
    while let Some(segment) = open.pop() {
        segment.test.note_wanted(wanted);
        for name in segment.named_lists() {
            let id = list_id(reader, &name, Some(&segment.name))?;
            context.lists.insert(name, id);
        }
        for name in segment.named_groups() {
            let known = match known_groups.take() {
                Some(known) => known,
                None => reader.named_groups()?,
            };
            let id: Option<ConversationId> = name.parse().ok();
            let is_meant =
                |group: &&beadle_store::NamedGroup| Some(group.id) == id || group.subject.as_ref() == Some(&name);
            let found: Vec<ConversationId> = known.iter().filter(is_meant).map(|group| group.id).collect();
            known_groups = Some(known);
            if found.is_empty() {
                return Err(SegmentError::UnknownGroup { name, segment: segment.name.clone() });
            }
            context.groups.insert(name, found);
        }
        for name in segment.named_segments() {
            if let Some(named) = definitions.get(&name)
                && seen.insert(named.name.as_str())
            {
                open.push(named);
            }
        }
    }
    wanted.lists = context.lists.values().copied().collect();
    let groups: BTreeSet<ConversationId> = context.groups.values().flatten().copied().collect();
    wanted.groups = groups.into_iter().collect();
    Ok(())
}

/// The members of a segment or list at a time.
pub struct Members {
    selected: Selected,
    definitions: Arc<Definitions>,
    reader: Reader,
    context: EvaluationContext,
    wanted: WantedFacts,
}

enum Selected {
    Segment(String),
    List { name: String, id: ListId },
}

/// Some members, in the order in which people became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersPage {
    /// The members.
    pub members: Vec<ContactId>,
    /// Where the next page starts; `None` after the last. A page may be shorter than its limit, and
    /// even empty, and not be the last: the search for members is bounded.
    pub next: Option<ContactId>,
}

/// How many people were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The members.
    pub members: u64,
    /// The people who were examined.
    pub people: u64,
}

impl Members {
    /// Members after `after`, at most `limit` and 10,000. Blocks for some milliseconds.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn page(&self, after: Option<ContactId>, limit: usize) -> Result<MembersPage, StoreError> {
        self.page_among(after, limit, SEARCHED_PEOPLE)
    }

    /// The same, but examines at most `people` people (rounded up to a page of the store).
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn page_among(&self, after: Option<ContactId>, limit: usize, people: usize) -> Result<MembersPage, StoreError> {
        self.search(after, limit.clamp(1, MAX_PAGE), people).map(|(page, _)| page)
    }

    /// A page, and the number of people who were examined.
    fn search(
        &self,
        mut after: Option<ContactId>,
        limit: usize,
        max_people: usize,
    ) -> Result<(MembersPage, usize), StoreError> {
        let mut members = Vec::new();
        let Some(segment) = self.segment() else {
            let Selected::List { id, .. } = self.selected else { return Ok((MembersPage { members, next: None }, 0)) };
            let limit = limit.min(1000);
            members.extend(self.reader.list_members(id, after, limit)?.into_iter().map(|member| member.contact));
            let next = members.last().copied().filter(|_| members.len() == limit);
            let people = members.len();
            return Ok((MembersPage { members, next }, people));
        };
        let evaluator = self.evaluator();
        // A few members are often found among a few hundred people.
        let mut size = limit.saturating_mul(2).clamp(200, FACTS_PAGE).min(max_people);
        let mut people = 0;
        loop {
            let page = self.reader.facts_of_people(after, size, &self.wanted)?;
            for person in &page.people {
                people += 1;
                if evaluator.holds(&segment.test, person) {
                    members.push(person.contact.id);
                    if members.len() == limit {
                        return Ok((MembersPage { next: members.last().copied(), members }, people));
                    }
                }
            }
            if page.next.is_none() || people >= max_people {
                return Ok((MembersPage { members, next: page.next }, people));
            }
            after = page.next;
            size = FACTS_PAGE.min(max_people.saturating_sub(people));
        }
    }

    /// Counts all members. Blocks for seconds if there are millions of people; no connection is
    /// held for longer than a page.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn count(&self) -> Result<Counted, StoreError> {
        let (mut counted, mut after) = (Counted::default(), None);
        loop {
            let (page, people) = self.search(after, MAX_PAGE, SEARCHED_PEOPLE)?;
            counted.members += page.members.len() as u64;
            counted.people += people as u64;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(counted),
            }
        }
    }

    /// Whether a person belongs to it; `None` if there is no such contact. A merged contact is the
    /// one that it was merged into.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn contains(&self, contact: ContactId) -> Result<Option<bool>, StoreError> {
        Ok(self.person(contact)?.map(|person| self.is_member(&person)))
    }

    /// Why a person belongs to it or not; `None` if there is no such contact.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn explain(&self, contact: ContactId) -> Result<Option<Explanation>, StoreError> {
        let Some(person) = self.person(contact)? else { return Ok(None) };
        let is_member = self.is_member(&person);
        let reason = match (&self.selected, self.segment()) {
            (Selected::List { name, .. }, _) => Part {
                text: format!("list(\"{name}\")"),
                holds: is_member,
                values: vec![(
                    format!("list {name}"),
                    if is_member { "on the list" } else { "not on the list" }.into(),
                )],
                parts: Vec::new(),
            },
            (_, Some(segment)) => self.evaluator().explain(segment, &person),
            (_, None) => return Ok(None),
        };
        Ok(Some(Explanation { contact: person.contact.id, name: person.contact.name, is_member, reason }))
    }

    fn is_member(&self, person: &PersonFacts) -> bool {
        match (&self.selected, self.segment()) {
            (Selected::List { id, .. }, _) => person.lists.contains(id),
            (_, segment) => segment.is_some_and(|segment| self.evaluator().holds(&segment.test, person)),
        }
    }

    fn person(&self, contact: ContactId) -> Result<Option<PersonFacts>, StoreError> {
        match self.selected {
            Selected::List { id, .. } => {
                let wanted = WantedFacts { lists: vec![id], ..WantedFacts::default() };
                self.reader.facts_of_person(contact, &wanted)
            }
            Selected::Segment(_) => self.reader.facts_of_person(contact, &self.wanted),
        }
    }

    fn segment(&self) -> Option<&Segment> {
        match &self.selected {
            Selected::Segment(name) => self.definitions.get(name),
            Selected::List { .. } => None,
        }
    }

    fn evaluator(&self) -> Evaluator<'_> {
        Evaluator { definitions: &self.definitions, context: &self.context }
    }
}
