//! Files: those that came with messages ([`MessageEvent::media`](crate::MessageEvent::media)), and new ones to send. Granted to
//! all, with a quota.

use crate::{MediaId, Refusal, host};

pub use crate::bindings::imports::media::FileInfo;

/// The most bytes that one [`host`] call gives.
const AT_ONCE: u32 = 1 << 20;

/// What is known of a file, and whether it is here.
pub fn info(id: &str) -> Result<FileInfo, Refusal> {
    host::media::info(id)
}

/// Up to `length` (1 MiB at most) bytes from `offset`; fewer at the end. What is still coming is waited for a few seconds
/// and then refused with `media-pending`, which is worth a [`Failure::Retry`](crate::Failure::Retry).
pub fn read(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
    host::media::read(id, offset, length)
}

/// The whole file, where it has `most` bytes at most; else a refusal with the code `too-long`.
pub fn read_all(id: &str, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    loop {
        let more = read(id, bytes.len() as u64, AT_ONCE)?;
        if more.is_empty() {
            return Ok(bytes);
        }
        bytes.extend(more);
        if bytes.len() > most {
            return Err(Refusal::new("too-long", format!("{id} has more than {most} bytes.")));
        }
    }
}

/// A new file (16 MiB at most), to be sent once or often.
pub fn create(mime_type: &str, filename: Option<&str>, bytes: &[u8]) -> Result<MediaId, Refusal> {
    host::media::create(mime_type, filename, bytes)
}
