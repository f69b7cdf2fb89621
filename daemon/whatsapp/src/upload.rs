//! Outbound files: each is uploaded once per number and reused for as long as the platform keeps
//! it.
//!
//! An upload with an unknown outcome is harmless, because it is invisible and expires after a
//! month. A failed upload is therefore "not sent" or refused, never ambiguous.

use crate::graph::{Graph, RequestBody};
use crate::json::Json;
use beadle_clock::Clock;
use beadle_model::event::Problem;
use beadle_model::{MediaId, Timestamp};
use beadle_pipeline::{Advice, SendResponse};
use beadle_store::{MediaRow, MediaState, Store};
use reqwest::{Method, Url};
use std::time::Duration;

/// How long an upload is reused. The platform keeps it for 30 days (docs/whatsapp.md#media).
const REUSED_FOR_MS: i64 = 29 * 24 * 60 * 60 * 1000;
/// An upload that expires sooner than this is repeated: the message may still wait in the outbox.
const MIN_REMAINING_MS: i64 = 60 * 60 * 1000;
/// The platform's maximum for documents (docs/whatsapp.md#media); other types have lower ones.
const MAX_BYTES: usize = 100 * 1024 * 1024;
/// Time limit of an upload: 100 MB at 20 Mbit/s, and less than the outbox's limit for a send. Real
/// time.
const TIMEOUT: Duration = Duration::from_secs(45);
/// Separates the parts of a form. Random, so that it does not occur in a file.
const BOUNDARY: &str = "beadle-3f6b0c1e9a7d4e52b8c4d1f0a9e6c7d3";

/// The store that holds files and contacts, and the clock by which uploads expire.
#[derive(Clone)]
pub struct MediaStore {
    /// Files, and the aliases of contacts.
    pub store: Store,
    /// Civil time.
    pub clock: Clock,
}

/// A `multipart/form-data` body. `file` is its name, media type and contents.
pub(crate) fn form(fields: &[(&str, &str)], file: (&str, &str, &[u8])) -> RequestBody {
    let (name, mime_type, bytes) = file;
    let mut body = Vec::with_capacity(bytes.len() + 1024);
    for (key, value) in fields {
        let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    // Characters that would end the quotes or the header are dropped.
    let name: String = name.chars().filter(|c| !c.is_control() && !['"', '\\'].contains(c)).collect();
    let mime_type: String = mime_type.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: \
         {mime_type}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    RequestBody::Form(format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

/// Loads a stored file into memory.
pub(crate) async fn load(media_store: &MediaStore, media: MediaId) -> Result<(MediaRow, Vec<u8>), SendResponse> {
    let store = media_store.store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let Some(row) = store.reader().media(media).map_err(|error| later("store-failed", error.to_string()))? else {
            return Err(never("unknown-media", format!("file {media} does not exist or has expired")));
        };
        match row.state {
            MediaState::Pending => return Err(later("media-pending", format!("{media} has not been downloaded yet"))),
            MediaState::Failed => {
                let error = row.error.clone().unwrap_or_default();
                return Err(never("media-unavailable", format!("{media} could not be downloaded: {error}")));
            }
            MediaState::Stored => {}
        }
        let bytes = store.files().read(media, 0, MAX_BYTES + 1);
        match bytes {
            Ok(bytes) if bytes.len() > MAX_BYTES => {
                Err(never("media-unavailable", format!("{media} is larger than the platform's maximum of 100 MiB")))
            }
            Ok(bytes) => Ok((row, bytes)),
            Err(error) => Err(never("media-unavailable", format!("{media} cannot be read: {error}"))),
        }
    });
    read.await.unwrap_or_else(|error| Err(later("media-unavailable", error.to_string())))
}

/// The platform's id of a file for this number; uploads the file if there is none.
pub(crate) async fn upload(
    graph: &Graph,
    channel: &str,
    url: Url,
    media_store: &MediaStore,
    media: MediaId,
) -> Result<String, SendResponse> {
    let now = media_store.clock.now();
    let (channel_name, usable_at) = (channel.to_owned(), now.plus_ms(MIN_REMAINING_MS));
    let known = media_store.store.read(move |reader| reader.uploaded(media, &channel_name, usable_at)).await;
    if let Ok(Some(platform)) = known {
        return Ok(platform);
    }
    let (row, bytes) = load(media_store, media).await?;
    let mime_type = without_parameters(&row.mime_type);
    let name = with_extension(&row.filename.unwrap_or_else(|| media.to_string()), mime_type);
    let fields = [("messaging_product", "whatsapp"), ("type", mime_type)];
    let form = form(&fields, (&name, mime_type, &bytes));
    let response = match graph.request_within(Method::POST, url, form, TIMEOUT).await {
        Ok(response) => response,
        // The message itself was not sent.
        Err(SendResponse::Ambiguous(error)) => return Err(SendResponse::NotSent(error)),
        Err(refusal) => return Err(refusal),
    };
    let id = Json::parse(&response.body).and_then(|tree| tree.string_of("id")).filter(|_| response.status.is_success());
    let Some(id) = id else {
        return Err(match graph.unexpected(&response) {
            SendResponse::Ambiguous(error) => SendResponse::NotSent(error),
            other => other,
        });
    };
    remember(media_store, channel, media, Some((id.clone(), now.plus_ms(REUSED_FOR_MS)))).await;
    Ok(id)
}

/// Forgets an upload that the platform no longer accepts, so that the next message uploads the file
/// again.
pub(crate) async fn forget(media_store: &MediaStore, channel: &str, media: MediaId) {
    remember(media_store, channel, media, None).await;
}

async fn remember(media_store: &MediaStore, channel: &str, media: MediaId, uploaded: Option<(String, Timestamp)>) {
    if let Err(error) = media_store.store.note_upload(media, channel, uploaded).await {
        // Harmless for this message: the next one uploads the file again.
        tracing::warn!(%media, %error, "upload record not stored");
    }
}

/// The extensions of media types that the platform accepts; the first one is added to names without
/// one.
const EXTENSIONS: [(&str, &[&str]); 17] = [
    ("audio/aac", &["aac"]),
    ("audio/amr", &["amr"]),
    ("audio/mp4", &["m4a", "mp4"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/ogg", &["ogg", "oga", "opus"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/webp", &["webp"]),
    ("video/3gpp", &["3gp", "3gpp"]),
    ("video/mp4", &["mp4"]),
    ("application/pdf", &["pdf"]),
    ("application/msword", &["doc"]),
    ("application/vnd.ms-excel", &["xls"]),
    ("application/vnd.ms-powerpoint", &["ppt"]),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", &["pptx"]),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["xlsx"]),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", &["docx"]),
];

/// The name of an upload, whose extension suits the media type: the platform checks a file by its
/// name. The name that the recipient of a document sees is that of the message and stays.
fn with_extension(name: &str, mime_type: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).unwrap_or((name, ""));
    match EXTENSIONS.iter().find(|(known, _)| *known == mime_type) {
        Some((_, suitable)) if suitable.contains(&extension.to_ascii_lowercase().as_str()) => name.to_owned(),
        Some((_, [first, ..])) => format!("{stem}.{first}"),
        // Plain text has many extensions.
        None if extension.is_empty() && mime_type == "text/plain" => format!("{name}.txt"),
        _ => name.to_owned(),
    }
}

/// A media type without its parameters, which the platform does not accept in an upload.
fn without_parameters(mime_type: &str) -> &str {
    mime_type.split(';').next().unwrap_or(mime_type).trim()
}

fn problem(code: &str, details: String) -> Problem {
    Problem {
        code: code.to_owned(),
        title: "Cannot send the message's file".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::with_extension;

    #[test]
    fn extension_of_an_upload_suits_its_media_type() {
        for (name, mime_type, expected) in [
            ("med_1", "audio/ogg", "med_1.ogg"),
            ("note.bin", "audio/ogg", "note.ogg"),
            ("med_3", "image/jpeg", "med_3.jpg"),
            ("quay.JPEG", "image/jpeg", "quay.JPEG"),
            ("med_4", "application/pdf", "med_4.pdf"),
            (".hidden", "application/pdf", ".hidden.pdf"),
            ("list", "text/plain", "list.txt"),
            ("list.csv", "text/plain", "list.csv"),
            ("data.xyz", "application/x-unknown", "data.xyz"),
        ] {
            assert_eq!(with_extension(name, mime_type), expected);
        }
    }
}
