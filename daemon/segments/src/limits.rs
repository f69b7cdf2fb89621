//! The limits of segments, and the prefix of a list's name.

/// The prefix of a list's name where a segment could be named: `list:NAME`.
pub const LIST_PREFIX: &str = "list:";

/// The maximum number of segments.
pub const MAX_SEGMENTS: usize = 200;

/// The maximum length of an expression in bytes: it bounds the time to parse it.
pub const MAX_EXPRESSION_BYTES: usize = 4000;

/// The maximum number of tests in an expression.
pub const MAX_TESTS: usize = 500;

/// The maximum number of tests of a segment together with the segments that it names: it bounds the
/// time to decide about a person.
pub const MAX_TESTS_IN_ALL: usize = 2000;
