//! Files: those that came with messages ([`MessageEvent::media`](crate::MessageEvent::media)), and
//! new ones to send. Granted by default, with a quota.

use crate::host;
use crate::types::{MediaId, Refusal};

pub use crate::bindings::imports::media::FileInfo;

/// The maximum of one read.
const READ_BYTES: u32 = 1 << 20;

/// Type, name, size and availability of a file.
pub fn info(id: &str) -> Result<FileInfo, Refusal> {
    host::media::info(id)
}

/// Up to `length` bytes (maximum 1 MiB) from `offset`; fewer at the end of the file. Waits a few
/// seconds for a file that is being fetched, then refuses with `media-pending`: return
/// [`Failure::Retry`](crate::Failure::Retry) to read it in a later attempt.
pub fn read(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
    host::media::read(id, offset, length)
}

/// A whole file of at most `max` bytes. Refused with `too-long` if it is larger.
pub fn read_all(id: &str, max: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    loop {
        let more = read(id, bytes.len() as u64, READ_BYTES)?;
        if more.is_empty() {
            return Ok(bytes);
        }
        bytes.extend(more);
        if bytes.len() > max {
            return Err(Refusal::new("too-long", format!("{id} has more than {max} bytes.")));
        }
    }
}

/// Creates a file (1 byte to 16 MiB) that can be sent any number of times.
pub fn create(mime_type: &str, filename: Option<&str>, bytes: &[u8]) -> Result<MediaId, Refusal> {
    host::media::create(mime_type, filename, bytes)
}
