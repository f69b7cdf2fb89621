//! Segments: who belongs to a group of people that an operator describes by an expression, and lists of
//! people that an operator keeps by hand.
//!
//! `compile` reads an expression and checks every name and type in it, so that a mistake is an error with
//! a place and not an empty segment; `evaluate` decides about one person and cannot fail or loop;
//! `explain` says why; [`Segments`] reads the facts from the store, page by page. Expressions are a part
//! of the Common Expression Language (ADR 0092); only `compile` knows the library that parses it.
//!
//! A segment says who is meant, not who may be written to: consent, windows and opt-outs are the gate's.

mod audience;
mod compile;
mod evaluate;
mod explain;
mod expression;
mod syntax;

pub use audience::{Audience, AudiencePage, CODES, Counted, SegmentError, Segments};
pub use compile::{ExpressionError, SegmentSource, Vocabulary, compile};
pub use explain::{Explanation, Part};
pub use expression::{Definitions, Segment};

/// The prefix by which a list is named where a segment could be: `list:NAME`.
pub const LIST_PREFIX: &str = "list:";

/// The maximum number of segments.
pub const MAX_SEGMENTS: usize = 200;

/// The maximum length of an expression in bytes: it bounds the time to parse it.
pub const MAX_EXPRESSION_BYTES: usize = 4000;

/// The maximum number of tests in an expression.
pub const MAX_TESTS: usize = 500;

/// The maximum number of tests of a segment together with the segments that it names: it bounds the time
/// to decide about a person.
pub const MAX_TESTS_IN_ALL: usize = 2000;

#[cfg(test)]
mod tests;
