//! Whether a path lies below the prefix of a rule, however a server reads it.
//!
//! A URL is compared as it is sent: `url` has already resolved dot segments (also `%2e`) and turned
//! backslashes into slashes. Some servers go on: they decode once or more often, split at encoded
//! slashes, merge repeated ones, cut parameters (`..;x`), and resolve dot segments again. A path
//! that leaves the prefix in one of these readings is ambiguous. An encoded slash that stays below
//! the prefix is not: APIs use it for names within a segment.

use percent_encoding::percent_decode;

/// Decodings after which a path must have reached its final form.
const MAX_DECODINGS: usize = 4;

/// The path prefix of a rule. `/v3` stands for `/v3`, `/v3/` and everything below, not for `/v30`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPrefix {
    /// Without a final slash; empty for the root.
    text: String,
}

/// Why a path is not below a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// It is elsewhere.
    Outside,
    /// It is below the prefix as it is sent, but not in another reading.
    Ambiguous,
}

impl PathPrefix {
    /// Of the path of a parsed URL. `None` if the path itself is ambiguous.
    pub(crate) fn new(path: &str) -> Option<Self> {
        let bytes: Vec<u8> = percent_decode(path.as_bytes()).collect();
        let decoded = std::str::from_utf8(&bytes).ok()?;
        let slashes = |text: &str| text.matches('/').count();
        let is_plain = !decoded.contains("//")
            && !decoded.contains(['%', ';', '\\', '?', '#'])
            && !decoded.contains(char::is_control)
            && slashes(decoded) == slashes(path);
        is_plain.then(|| Self { text: path.trim_end_matches('/').to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Checks the path of a parsed URL.
    pub(crate) fn check(&self, path: &str) -> Result<(), PathError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let rest = path.strip_prefix(self.text.as_str()).ok_or(PathError::Outside)?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(PathError::Outside);
        }
        if self.holds_in_every_reading(path) { Ok(()) } else { Err(PathError::Ambiguous) }
    }

    fn holds_in_every_reading(&self, path: &str) -> bool {
        let (mut path, mut prefix) = (path.as_bytes().to_vec(), self.text.as_bytes().to_vec());
        for _ in 0..=MAX_DECODINGS {
            let (Ok(text), Ok(prefix_text)) = (std::str::from_utf8(&path), std::str::from_utf8(&prefix)) else {
                return false;
            };
            if text.contains(char::is_control) || !read(text).starts_with(&read(prefix_text)) {
                return false;
            }
            let decoded: Vec<u8> = percent_decode(&path).collect();
            if decoded == path {
                return true;
            }
            prefix = percent_decode(&prefix).collect();
            path = decoded;
        }
        false
    }
}

/// The segments that the most lenient server sees.
fn read(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split(['/', '\\']) {
        // Parameters of a segment (RFC 3986, section 3.3); `?` and `#` if a server decodes first.
        match segment.split([';', '?', '#']).next().unwrap_or_default() {
            "" | "." => {}
            ".." => _ = segments.pop(),
            name => segments.push(name),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prefix_ends_at_a_segment() {
        let prefix = PathPrefix::new("/v3/").unwrap();
        for (path, result) in [
            ("/v3", Ok(())),
            ("/v3/", Ok(())),
            ("/v3/contacts", Ok(())),
            ("/v3/projects/group%2Fname", Ok(())),
            ("/v3/a%20b", Ok(())),
            ("/v3/100%25", Ok(())),
            ("/v3/a/b;v=1", Ok(())),
            ("/v3/a//b", Ok(())),
            ("/v3/a/%2e%2e%2fb", Ok(())),
            ("/v30", Err(PathError::Outside)),
            ("/V3/contacts", Err(PathError::Outside)),
            ("//v3/contacts", Err(PathError::Outside)),
            ("/", Err(PathError::Outside)),
            ("/%763/contacts", Err(PathError::Outside)),
            ("/v3/..%2fadmin", Err(PathError::Ambiguous)),
            ("/v3/%2e%2e%2Fadmin", Err(PathError::Ambiguous)),
            ("/v3/%252e%252e%252fadmin", Err(PathError::Ambiguous)),
            ("/v3/%25252e%25252e%25252fadmin", Err(PathError::Ambiguous)),
            ("/v3/%2525252525252e", Err(PathError::Ambiguous)),
            ("/v3/..%5cadmin", Err(PathError::Ambiguous)),
            ("/v3/..;/admin", Err(PathError::Ambiguous)),
            ("/v3/..;a=b/admin", Err(PathError::Ambiguous)),
            ("/v3/a//..%2f..%2fadmin", Err(PathError::Ambiguous)),
            ("/v3//..%2fadmin", Err(PathError::Ambiguous)),
            ("/v3/..%3f", Err(PathError::Ambiguous)),
            ("/v3/a%00", Err(PathError::Ambiguous)),
            ("/v3/a%0d%0aX: y", Err(PathError::Ambiguous)),
            ("/v3/%c0%ae%c0%ae/admin", Err(PathError::Ambiguous)),
        ] {
            assert_eq!(prefix.check(path), result, "{path}");
        }
    }

    #[test]
    fn root_allows_every_path() {
        let prefix = PathPrefix::new("/").unwrap();
        for path in ["/", "//", "/a%2fb", "/..;/a", "/%ff"] {
            assert_eq!(prefix.check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn ambiguous_prefix_is_refused() {
        for path in ["/v3/..%2fa", "/a//b", "/a;b", "/%00", "/%ff"] {
            assert_eq!(PathPrefix::new(path), None, "{path}");
        }
    }

    proptest! {
        /// Whatever is appended: one more round of decoding and resolving stays below the prefix.
        #[test]
        fn accepted_path_stays_below_the_prefix(rest in r"(/|%2f|%2e|\.|%25|2e|5c|;|a){0,12}") {
            let url = reqwest::Url::parse(&format!("http://h/v3/{rest}")).unwrap();
            let prefix = PathPrefix::new("/v3").unwrap();
            if prefix.check(url.path()).is_ok() {
                let decoded: Vec<u8> = percent_decode(url.path().as_bytes()).collect();
                let again = reqwest::Url::parse(&format!("http://h{}", String::from_utf8(decoded).unwrap())).unwrap();
                prop_assert!(again.path() == "/v3" || again.path().starts_with("/v3/"), "{} {}", url, again);
            }
        }
    }
}
