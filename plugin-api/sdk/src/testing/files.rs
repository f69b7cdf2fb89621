//! `media` and `groups` in tests: files are kept in memory; there are no groups, and changes are
//! recorded.

use super::world::World;
use crate::types::{Contact, Refusal};

type Refusable<T> = Result<T, Refusal>;

pub(crate) mod media {
    use super::*;
    use crate::bindings::imports::media::FileInfo;

    fn find<T>(id: &str, found: impl FnOnce(&(String, Option<String>, Vec<u8>)) -> T) -> Refusable<T> {
        World::with(|world| {
            world
                .files
                .get(id)
                .map(found)
                .ok_or_else(|| Refusal::new("unknown-media", format!("There is no file {id}.")))
        })
    }
    pub(crate) fn info(id: &str) -> Refusable<FileInfo> {
        find(id, |(mime_type, filename, bytes)| FileInfo {
            mime_type: mime_type.clone(),
            filename: filename.clone(),
            sha256: None,
            bytes: Some(bytes.len() as u64),
            state: "available".to_owned(),
        })
    }
    pub(crate) fn read(id: &str, offset: u64, length: u32) -> Refusable<Vec<u8>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        find(id, |(_, _, bytes)| bytes.iter().skip(offset).take(length.min(1 << 20) as usize).copied().collect())
    }
    pub(crate) fn create(mime_type: &str, filename: Option<&str>, bytes: &[u8]) -> Refusable<String> {
        if bytes.is_empty() || bytes.len() > 16 << 20 {
            return Err(Refusal::new("value-too-large", "A file must have 1 byte to 16 MiB."));
        }
        Ok(World::with(|world| {
            let id = world.number("med");
            world.files.insert(id.clone(), (mime_type.to_owned(), filename.map(str::to_owned), bytes.to_owned()));
            id
        }))
    }
}

pub(crate) mod groups {
    use super::*;
    use crate::bindings::imports::groups::{Group, JoinRequest};

    fn record(change: String) -> Refusable<String> {
        Ok(World::with(|world| {
            world.group_changes.push(change);
            world.number("msg")
        }))
    }
    pub(crate) fn list(_channel: Option<&str>) -> Refusable<Vec<Group>> {
        Ok(Vec::new())
    }
    pub(crate) fn get(_group: &str) -> Refusable<Option<Group>> {
        Ok(None)
    }
    pub(crate) fn members(_group: &str) -> Refusable<Vec<Contact>> {
        Ok(Vec::new())
    }
    pub(crate) fn join_requests(_group: &str) -> Refusable<Vec<JoinRequest>> {
        Ok(Vec::new())
    }
    pub(crate) fn create(channel: &str, subject: &str, _: Option<&str>, _: bool) -> Refusable<String> {
        record(format!("create {channel} {subject}"))
    }
    pub(crate) fn change(group: &str, subject: Option<&str>, _: Option<&str>) -> Refusable<String> {
        record(format!("change {group} {}", subject.unwrap_or_default()))
    }
    pub(crate) fn set_picture(group: &str, picture: &str) -> Refusable<String> {
        record(format!("set-picture {group} {picture}"))
    }
    pub(crate) fn delete(group: &str) -> Refusable<String> {
        record(format!("delete {group}"))
    }
    pub(crate) fn invite_link(group: &str, reset: bool) -> Refusable<String> {
        record(format!("invite-link {group} {reset}"))
    }
    pub(crate) fn answer(group: &str, requests: &[String], approve: bool) -> Refusable<String> {
        record(format!("answer {group} {} {approve}", requests.join(",")))
    }
    pub(crate) fn remove(group: &str, contacts: &[String]) -> Refusable<String> {
        record(format!("remove {group} {}", contacts.join(",")))
    }
    pub(crate) fn refresh(group: &str) -> Refusable<String> {
        record(format!("refresh {group}"))
    }
    pub(crate) fn pin(group: &str, message: &str, days: u32) -> Refusable<String> {
        record(format!("pin {group} {message} {days}"))
    }
    pub(crate) fn unpin(group: &str, message: &str) -> Refusable<String> {
        record(format!("unpin {group} {message}"))
    }
}
