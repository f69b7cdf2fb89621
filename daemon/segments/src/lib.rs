//! Segments: who belongs to a group of people that an operator describes by an expression, and
//! lists of people that an operator keeps by hand.
//!
//! `compile` reads an expression and checks every name and type in it, so that a mistake is an
//! error with a place and not an empty segment; `evaluate` decides about one person and cannot fail
//! or loop; `explain` says why; [`Segments`] reads the facts from the store, page by page.
//! Expressions are a part of the Common Expression Language (ADR 0092); only `compile` knows the
//! library that parses it.
//!
//! A segment selects people. It does not decide who may be written to: consent, windows and
//! opt-outs are checked by the gate.

mod compile;
mod error;
mod evaluate;
mod explain;
mod expression;
mod limits;
mod members;
mod syntax;

pub use compile::{SegmentSource, Vocabulary, compile};
pub use error::ExpressionError;
pub use explain::{Explanation, Part};
pub use expression::{Definitions, Segment};
pub use limits::{LIST_PREFIX, MAX_EXPRESSION_BYTES, MAX_SEGMENTS, MAX_TESTS, MAX_TESTS_IN_ALL};
pub use members::{CODES, Counted, Members, MembersPage, SegmentError, Segments};

#[cfg(test)]
mod tests;
