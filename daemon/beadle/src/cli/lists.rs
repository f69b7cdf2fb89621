//! Changes of lists of people. Many people are sent in several requests.

use super::args::{Command, ListPeople, Lists};
use super::client::Client;
use super::command::{End, write};
use super::show;
use crate::api::{List, ListChanged, ListEdit, MemberRow, NewList};
use crate::exit::Exit;
use beadle_model::ContactId;
use std::path::Path;

/// The number of people in a request.
const CHUNK: usize = 5000;
/// The maximum size of a file: a million ids.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Creates, changes or deletes a list.
pub async fn change(client: &Client, command: &Command) -> Result<(), End> {
    match command {
        Command::Lists(Lists::Create { name, description }) => {
            let list = NewList { name: name.clone(), description: description.clone() };
            write(show::people_list_created(client.post_json(&["lists"], &list).await?)?)
        }
        Command::Lists(Lists::Add { name, people }) => {
            let edit = |add: &[String]| ListEdit { add: add.to_vec(), ..ListEdit::default() };
            apply(client, name, &contacts(client, people).await?, edit).await
        }
        Command::Lists(Lists::Remove { name, people }) => {
            let edit = |remove: &[String]| ListEdit { remove: remove.to_vec(), ..ListEdit::default() };
            apply(client, name, &contacts(client, people).await?, edit).await
        }
        Command::Lists(Lists::Delete { name }) => write(show::done(client.post(&["lists", name, "delete"]).await?)?),
        _ => Ok(()),
    }
}

/// Sends the contacts in chunks and prints the sum of what changed.
async fn apply(
    client: &Client,
    name: &str,
    contacts: &[String],
    edit: impl Fn(&[String]) -> ListEdit,
) -> Result<(), End> {
    let mut sum = ListChanged::default();
    // Nobody to add is a result, too, and an unknown list an error.
    let chunks = contacts.chunks(CHUNK).chain(contacts.is_empty().then_some(contacts));
    for chunk in chunks {
        let response = client.patch(&["lists", name], &edit(chunk)).await?;
        let changed: ListChanged = serde_json::from_value(response)?;
        sum = ListChanged {
            added: sum.added + changed.added,
            removed: sum.removed + changed.removed,
            members: changed.members,
        };
    }
    write(show::people_list_changed(name, &sum))
}

/// All contacts that were named, in a file, by a segment or one by one.
async fn contacts(client: &Client, people: &ListPeople) -> Result<Vec<String>, End> {
    let mut contacts = people.contacts.clone();
    if let Some(path) = &people.file {
        contacts.extend(read(path).map_err(|message| {
            eprintln!("error: {message}");
            End::Output(Exit::Failed)
        })?);
    }
    if let Some(segment) = &people.segment {
        let mut after: Option<String> = None;
        loop {
            let params = [("limit", "1000".to_owned())];
            let params: Vec<_> = params.into_iter().chain(after.clone().map(|id| ("after", id))).collect();
            let page = client.get(&["segments", segment, "members"], &params).await?;
            let page: List<MemberRow> = serde_json::from_value(page)?;
            contacts.extend(page.items.into_iter().map(|member| member.contact));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(contacts)
}

/// The ids in a file: the first column of each line. A heading and empty lines are skipped.
fn read(path: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("{}: the file has {size} bytes, the maximum is {MAX_FILE_BYTES}", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mut contacts = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let id = line.split([',', ';', '\t']).next().unwrap_or_default().trim().trim_matches('"');
        match id.parse::<ContactId>() {
            Ok(id) => contacts.push(id.to_string()),
            Err(_) if id.is_empty() || (number == 1 && !id.starts_with("con_")) => {}
            Err(_) => return Err(format!("{}:{number}: `{id}` is not a contact id (con_…)", path.display())),
        }
    }
    Ok(contacts)
}
