//! Files that the business uploads and people send, with the platform's limits and expiry
//! (docs/whatsapp.md#media).
//!
//! Files are in memory, bounded by `MAX_BYTES`; the oldest are dropped. A download URL contains its
//! expiry and a keyed hash, so that no state is needed to check it.

use crate::refusal::Refusal;
use crate::wire;
use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Maximum size of all files together: a few of the largest, or thousands of photos.
const MAX_BYTES: usize = 512 * 1024 * 1024;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Lifetime of a file that the business uploaded.
const UPLOAD_LIFETIME_MS: i64 = 30 * DAY_MS;
/// Lifetime of a file that a person sent.
const INBOUND_LIFETIME_MS: i64 = 7 * DAY_MS;
/// Lifetime of a download URL.
const URL_LIFETIME_MS: i64 = 5 * 60 * 1000;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Maximum size of an upload request: the largest file (documents) and the form around it.
pub(crate) const MAX_UPLOAD_BYTES: usize = 101 * MIB;

/// Kind, media types, maximum size. All other media types are documents.
const KINDS: [(&str, &[&str], usize); 4] = [
    ("image", &["image/jpeg", "image/png"], 5 * MIB),
    ("audio", &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus"], 16 * MIB),
    ("video", &["video/mp4", "video/3gpp"], 16 * MIB),
    // Animated; the maximum for static stickers is `STATIC_STICKER_BYTES`.
    ("sticker", &["image/webp"], 500 * KIB),
];
const DOCUMENT_BYTES: usize = 100 * MIB;
const STATIC_STICKER_BYTES: usize = 100 * KIB;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct File {
    pub id: String,
    /// The media type with its parameters, such as `audio/ogg; codecs=opus`.
    pub mime: String,
    pub filename: Option<String>,
    #[serde(with = "as_base64")]
    pub bytes: Bytes,
    pub sha256: [u8; 32],
    pub expires_ms: i64,
    /// Sent by a person.
    pub inbound: bool,
}

impl File {
    /// In hex, as in `GET /{media}`.
    pub(crate) fn sha256_hex(&self) -> String {
        crate::ids::hex(self.sha256)
    }

    /// In base64, as in webhooks.
    pub(crate) fn sha256_base64(&self) -> String {
        crate::ids::base64(&self.sha256)
    }

    /// The media type without its parameters.
    pub(crate) fn essence(&self) -> &str {
        essence(&self.mime)
    }

    /// Whether this is an animated WebP: an extended header with the animation bit.
    pub(crate) fn animated(&self) -> bool {
        self.essence() == "image/webp" && is_animated(&self.bytes)
    }
}

fn essence(mime: &str) -> &str {
    mime.split(';').next().unwrap_or(mime).trim()
}

fn is_animated(webp: &[u8]) -> bool {
    webp.get(12..16) == Some(b"VP8X") && webp.get(20).is_some_and(|flags| flags & 2 != 0)
}

/// The kind of message for a file of this type.
pub(crate) fn kind_of(mime: &str) -> &'static str {
    let mime = essence(mime);
    KINDS.iter().find(|(_, mimes, _)| mimes.contains(&mime)).map_or("document", |(kind, ..)| kind)
}

/// Checks the type and the size of a file.
pub(crate) fn check(mime: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let well_formed = essence(mime).split_once('/').is_some_and(|(kind, sub)| {
        let token =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
        token(kind) && token(sub)
    });
    // Clients send `application/octet-stream` for unknown types, which the platform refuses. The
    // text is Meta's.
    if !well_formed || essence(mime) == "application/octet-stream" {
        return Err(Refusal::new(
            100,
            format!("Param file must be a file with one of the supported types. Received file of type '{mime}'."),
        ));
    }
    let kind = kind_of(mime);
    let max_bytes = KINDS.iter().find(|(name, ..)| *name == kind).map_or(DOCUMENT_BYTES, |(.., max)| *max);
    let max_bytes = if kind == "sticker" && !is_animated(bytes) { STATIC_STICKER_BYTES } else { max_bytes };
    if bytes.is_empty() {
        return Err(Refusal::new(131_053, "The file is empty."));
    }
    if bytes.len() > max_bytes {
        return Err(Refusal::new(
            131_053,
            format!("The file has {} bytes; the maximum for {kind} is {max_bytes}.", bytes.len()),
        ));
    }
    Ok(())
}

/// Checks that a file may be sent as this kind of message.
pub(crate) fn fits(kind: &str, mime: &str) -> Result<(), Refusal> {
    if kind == "document" || kind_of(mime) == kind {
        return Ok(());
    }
    let mimes = KINDS.iter().find(|(name, ..)| *name == kind).map_or(&[][..], |(_, mimes, _)| mimes);
    Err(Refusal::new(131_053, format!("Unsupported {kind} mime type {mime}. Please use one of {}.", mimes.join(", "))))
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Media {
    /// By id. Ids increase, so the first is the oldest.
    files: BTreeMap<u64, File>,
    bytes: usize,
}

impl Media {
    /// Adds a file under a new id.
    pub(crate) fn add(
        &mut self,
        id: u64,
        mime: &str,
        filename: Option<String>,
        bytes: Bytes,
        inbound: bool,
        now_ms: i64,
    ) -> String {
        self.bytes += bytes.len();
        let lifetime_ms = if inbound { INBOUND_LIFETIME_MS } else { UPLOAD_LIFETIME_MS };
        let file = File {
            id: id.to_string(),
            mime: mime.to_owned(),
            filename,
            sha256: Sha256::digest(&bytes).into(),
            bytes,
            expires_ms: now_ms.saturating_add(lifetime_ms),
            inbound,
        };
        self.files.insert(id, file);
        while self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.files.pop_first() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes.len());
        }
        id.to_string()
    }

    /// A file that has not expired.
    pub(crate) fn get(&self, id: &str, now_ms: i64) -> Option<&File> {
        self.files.get(&id.parse().ok()?).filter(|file| now_ms < file.expires_ms)
    }

    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let gone = id.parse().ok().and_then(|id: u64| self.files.remove(&id));
        self.bytes = self.bytes.saturating_sub(gone.as_ref().map_or(0, |file| file.bytes.len()));
        gone.is_some()
    }
}

/// A download URL for a file.
pub(crate) fn url(base: &str, secret: &str, id: &str, now_ms: i64) -> String {
    let ext = now_ms.saturating_add(URL_LIFETIME_MS).div_euclid(1000);
    let hash = url_hash(secret, id, ext);
    format!("{base}/whatsapp_business/attachments/?mid={id}&ext={ext}&hash={hash}")
}

/// Whether a download URL is authentic and has not expired.
pub(crate) fn url_is_valid(secret: &str, id: &str, ext: i64, hash: &str, now_ms: i64) -> bool {
    url_hash(secret, id, ext) == hash && now_ms.div_euclid(1000) <= ext
}

fn url_hash(secret: &str, id: &str, ext: i64) -> String {
    let signature = wire::signature(secret.as_bytes(), format!("{id}:{ext}").as_bytes());
    signature.trim_start_matches("sha256=").chars().take(32).collect()
}

/// Serialises bytes in a saved state.
mod as_base64 {
    use axum::body::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::ids::base64(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        crate::ids::from_base64(&text).map(Bytes::from).ok_or_else(|| D::Error::custom("invalid base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_sizes_are_checked() {
        for (mime, size, code) in [
            ("image/jpeg", 5 * MIB, None),
            ("image/jpeg", 5 * MIB + 1, Some(131_053)),
            ("audio/ogg; codecs=opus", 16 * MIB, None),
            ("image/webp", 100 * KIB + 1, Some(131_053)),
            ("application/pdf", 16 * MIB + 1, None),
            ("image/gif", 100, None),
            ("application/octet-stream", 1, Some(100)),
            ("invalid", 1, Some(100)),
            ("image/png", 0, Some(131_053)),
        ] {
            let bytes = vec![0; size];
            assert_eq!(check(mime, &bytes).err().map(|refusal| refusal.code), code, "{mime} of {size}");
        }
        let mut moving = vec![0; 200 * KIB];
        moving[12..16].copy_from_slice(b"VP8X");
        moving[20] = 2;
        assert!(check("image/webp", &moving).is_ok());
        assert!(fits("document", "image/gif").is_ok());
        assert_eq!(fits("image", "image/gif").unwrap_err().code, 131_053);
    }

    #[test]
    fn files_expire_after_seven_or_thirty_days() {
        let mut media = Media::default();
        let theirs = media.add(1, "image/png", None, Bytes::from_static(b"x"), true, 0);
        let ours = media.add(2, "image/png", None, Bytes::from_static(b"x"), false, 0);
        assert!(media.get(&theirs, 7 * DAY_MS - 1).is_some() && media.get(&theirs, 7 * DAY_MS).is_none());
        assert!(media.get(&ours, 30 * DAY_MS - 1).is_some() && media.get(&ours, 30 * DAY_MS).is_none());
        assert!(media.remove(&ours) && !media.remove(&ours));
    }

    #[test]
    fn download_url_is_valid_for_five_minutes_and_one_file() {
        let url = url("http://x", "secret", "7", 1_000_000);
        let part = |name: &str| url.split(&format!("{name}=")).nth(1).unwrap().split('&').next().unwrap().to_owned();
        let (ext, hash) = (part("ext").parse().unwrap(), part("hash"));
        assert!(url_is_valid("secret", "7", ext, &hash, 1_000_000 + URL_LIFETIME_MS));
        assert!(!url_is_valid("secret", "7", ext, &hash, 1_000_000 + URL_LIFETIME_MS + 1_000));
        assert!(!url_is_valid("secret", "8", ext, &hash, 1_000_000));
        assert!(!url_is_valid("secret", "7", ext + 60, &hash, 1_000_000));
    }
}
