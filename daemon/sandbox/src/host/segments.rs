//! `segments`: who belongs to segments and lists.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use crate::bindings::latest::segments::{Host, SegmentPage};
use crate::limits;
use beadle_model::{Coded as _, ContactId, Refusal};
use beadle_segments::{Members, SegmentError};

impl Host for HostState {
    async fn contains(&mut self, segment: String, contact: String) -> Answer<bool> {
        self.enter()?;
        answer(self.is_member(&segment, &contact))
    }

    async fn page(&mut self, segment: String, after: Option<String>, limit: u32) -> Answer<SegmentPage> {
        self.enter()?;
        answer(self.segment_page(&segment, after.as_deref(), limit))
    }
}

impl From<SegmentError> for HostError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Store(error) => error.into(),
            unknown => Refusal::new(unknown.code(), format!("{unknown}.")).into(),
        }
    }
}

impl HostState {
    fn members(&self, segment: &str) -> Result<Members, HostError> {
        self.event()?;
        Ok(self.facts.segments.members(segment, self.inputs.now())?)
    }

    fn is_member(&self, segment: &str, contact: &str) -> Result<bool, HostError> {
        let members = self.members(segment)?;
        let id: ContactId = contact.parse().map_err(bad_id)?;
        let unknown = || Refusal::new("unknown-contact", format!("There is no contact {id}."));
        Ok(members.contains(id)?.ok_or_else(unknown)?)
    }

    fn segment_page(&self, segment: &str, after: Option<&str>, limit: u32) -> Result<SegmentPage, HostError> {
        let members = self.members(segment)?;
        let after: Option<ContactId> = after.map(|after| after.parse().map_err(bad_id)).transpose()?;
        let limit = (limit as usize).clamp(1, limits::PAGE_CONTACTS);
        let page = members.page_among(after, limit, limits::SEARCHED_PEOPLE)?;
        let contacts = page.members.iter().map(ToString::to_string).collect();
        Ok(SegmentPage { contacts, next: page.next.map(|id| id.to_string()) })
    }
}
