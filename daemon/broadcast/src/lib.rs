//! Broadcasts: one message to many people, each of whom gets it at most once, at an operator's or a
//! plugin's command.
//!
//! A definition becomes a plan (`planner`): who gets it, in which language, with which values, and
//! what that would cost. What was planned is frozen. Then a task (`sender`) hands messages to the
//! outbox in small batches, in the transaction that marks the recipient, so that no crash sends one
//! twice; slowly enough that live traffic keeps at least half of the throughput; and pauses when
//! too many fail or withdraw (`rules`).
//!
//! The gate is asked three times: when it is planned, when a message is handed over, and when it
//! leaves. It knows no SQL (`store`), sends nothing itself (`pipeline`), and reads no
//! configuration.

mod broadcasts;
mod commands;
mod context;
mod error;
mod plan;
mod planner;
mod rules;
mod segments;
mod sender;
mod settings;
mod templates;

pub use broadcasts::{Broadcasts, Parts, Progress};
pub use context::OPERATOR;
pub use error::{BroadcastError, CODES};
pub use plan::{Plan, PlanCost, Sample};
pub use segments::{SegmentPage, SegmentProblem, SegmentReader};
pub use settings::Settings;
