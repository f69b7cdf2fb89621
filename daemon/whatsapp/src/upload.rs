//! Files on their way out: uploaded once for each number, and used again for as long as the platform keeps them.
//!
//! An upload that nobody knows the outcome of harms nobody: no person sees it, and it is gone after a month. So all its
//! failures are "did not leave" or a refusal, never a doubt.

use crate::channel::Depot;
use crate::graph::{Carries, Graph};
use crate::json::Json;
use beadle_model::event::Problem;
use beadle_model::{MediaId, Timestamp};
use beadle_pipeline::{Advice, SendResponse};
use beadle_store::{MediaRow, MediaState};
use reqwest::{Method, Url};
use std::time::Duration;

/// The platform keeps an upload for 30 days (whatsapp.md 1.5); ours is forgotten a day before.
const KEPT_MS: i64 = 29 * 24 * 60 * 60 * 1000;
/// An upload that dies within the hour is made anew: a message may wait that long for its window.
const SPARE_MS: i64 = 60 * 60 * 1000;
/// Nothing larger is taken by the platform (whatsapp.md 1.5: documents).
const MOST_BYTES: usize = 100 * 1024 * 1024;
/// 100 MB on a line of 20 Mbit/s; within what the outbox gives a channel. Real time.
const TIMEOUT: Duration = Duration::from_secs(45);
/// The line between the parts of a form. It cannot stand in a file by chance.
const BOUNDARY: &str = "beadle-3f6b0c1e9a7d4e52b8c4d1f0a9e6c7d3";

/// A form as `multipart/form-data` wants it, with its content type.
pub(crate) fn form(fields: &[(&str, &str)], file: (&str, &str, &[u8])) -> Carries {
    let (name, mime_type, bytes) = file;
    let mut body = Vec::with_capacity(bytes.len() + 1024);
    for (key, value) in fields {
        let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    // What would end the header or the quotes is not part of a name.
    let name: String = name.chars().filter(|c| !c.is_control() && !['"', '\\'].contains(c)).collect();
    let mime_type: String = mime_type.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: \
         {mime_type}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    Carries::Form(format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

/// A file of ours, whole.
pub(crate) async fn load(depot: &Depot, media: MediaId) -> Result<(MediaRow, Vec<u8>), SendResponse> {
    let store = depot.store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let Some(row) = store.reader().media(media).map_err(|error| later("store-failed", error.to_string()))? else {
            return Err(never("unknown-media", format!("there is no file {media}, or its time is over")));
        };
        match row.state {
            MediaState::Coming => return Err(later("media-pending", format!("{media} is not here yet"))),
            MediaState::Failed => {
                let why = row.error.clone().unwrap_or_default();
                return Err(never("media-unavailable", format!("{media} cannot be had: {why}")));
            }
            MediaState::Here => {}
        }
        let bytes = store.files().read(media, 0, MOST_BYTES + 1);
        match bytes {
            Ok(bytes) if bytes.len() > MOST_BYTES => {
                Err(never("media-unavailable", format!("{media} is larger than the 100 MiB that the platform takes")))
            }
            Ok(bytes) => Ok((row, bytes)),
            Err(error) => Err(never("media-unavailable", format!("{media} cannot be read: {error}"))),
        }
    });
    read.await.unwrap_or_else(|error| Err(later("media-unavailable", error.to_string())))
}

/// The platform's id of a file for this number; uploads it where it has none.
pub(crate) async fn upload(
    graph: &Graph,
    channel: &str,
    url: Url,
    depot: &Depot,
    media: MediaId,
) -> Result<String, SendResponse> {
    let now = depot.clock.now();
    let known = depot.store.reader().uploaded(media, channel, now.plus_ms(SPARE_MS));
    if let Ok(Some(platform)) = known {
        return Ok(platform);
    }
    let (row, bytes) = load(depot, media).await?;
    let mime_type = bare(&row.mime_type);
    let name = row.filename.unwrap_or_else(|| media.to_string());
    let fields = [("messaging_product", "whatsapp"), ("type", mime_type)];
    let carries = form(&fields, (&name, mime_type, &bytes));
    let heard = match graph.ask_within(Method::POST, url, carries, TIMEOUT).await {
        Ok(heard) => heard,
        // No message has left.
        Err(SendResponse::Ambiguous(why)) => return Err(SendResponse::NotSent(why)),
        Err(answer) => return Err(answer),
    };
    let id = Json::parse(&heard.text).and_then(|tree| tree.string_of("id")).filter(|_| heard.http.is_success());
    let Some(id) = id else {
        return Err(match graph.nonsense(&heard) {
            SendResponse::Ambiguous(why) => SendResponse::NotSent(why),
            other => other,
        });
    };
    remember(depot, channel, media, Some((id.clone(), now.plus_ms(KEPT_MS)))).await;
    Ok(id)
}

/// What was uploaded is not to be used again: the platform does not know it.
pub(crate) async fn forget(depot: &Depot, channel: &str, media: MediaId) {
    remember(depot, channel, media, None).await;
}

async fn remember(depot: &Depot, channel: &str, media: MediaId, uploaded: Option<(String, Timestamp)>) {
    if let Err(error) = depot.store.note_upload(media, channel, uploaded).await {
        // It is uploaded once more the next time; nothing is wrong with the message.
        tracing::warn!(%media, %error, "An upload could not be noted: {error}.");
    }
}

/// `audio/ogg; codecs=opus` without what the platform does not take at an upload.
fn bare(mime_type: &str) -> &str {
    mime_type.split(';').next().unwrap_or(mime_type).trim()
}

fn problem(code: &str, details: String) -> Problem {
    Problem {
        code: code.to_owned(),
        title: "The message's file cannot be sent".to_owned(),
        details: Some(details),
        by: "host".to_owned(),
    }
}

fn never(code: &str, details: String) -> SendResponse {
    SendResponse::Refused(problem(code, details), Advice::Fail)
}

fn later(code: &str, details: String) -> SendResponse {
    SendResponse::Refused(problem(code, details), Advice::Retry { attempts: 5 })
}
