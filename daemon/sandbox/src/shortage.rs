//! Whether the machine is short of something: memory, address space, threads, open files or disk.
//! That is no fault of a plugin, and it passes.

use rustix::io::Errno;
use std::io;

/// The code of every error and fault that has this cause.
pub const CODE: &str = "host-resources-exhausted";

/// What the system answers when it is short of something.
const SHORTAGES: [Errno; 5] = [Errno::NOMEM, Errno::AGAIN, Errno::NFILE, Errno::MFILE, Errno::NOSPC];

/// Whether the system's answer to a request of the runtime is the cause. Only the system's own
/// words count, because a message may also contain names from the plugin.
pub fn is_shortage(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        let code = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        let is_one = |shortage: Errno| {
            let number = shortage.raw_os_error();
            // wasmtime's own version of rustix has an error type that cannot be named here.
            code == Some(number) || cause.to_string() == io::Error::from_raw_os_error(number).to_string()
        };
        SHORTAGES.into_iter().any(is_one)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_recognized_by_the_systems_own_words() {
        for number in [11, 12, 23, 24, 28] {
            let refused = wasmtime::Error::from(io::Error::from_raw_os_error(number)).context("mmap failed");
            assert!(is_shortage(&refused), "{number}");
            assert!(is_shortage(&wasmtime::Error::msg(io::Error::from_raw_os_error(number).to_string())), "{number}");
        }
        let others = ["memory minimum size exceeds the limit", "no export `Cannot allocate memory (os error 12)`"];
        for other in others {
            assert!(!is_shortage(&wasmtime::Error::msg(other)), "{other}");
        }
        assert!(!is_shortage(&io::Error::from_raw_os_error(2).into()));
    }
}
