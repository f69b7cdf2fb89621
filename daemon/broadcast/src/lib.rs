//! Broadcasts: one message to many people, each of whom gets it at most once, at an operator's or a
//! plugin's command.
//!
//! Planning (`planner`) freezes who gets it, in which language and with which values, and estimates
//! the cost. A task (`sender`) hands messages to the outbox in small batches, in the transaction
//! that marks the recipient, so that a crash sends none twice. It leaves live messages at least
//! half of the throughput. Rules (`rules`) pause a broadcast when too many messages fail or too
//! many people withdraw.
//!
//! The gate is asked at planning, when a message is handed over, and when it is sent. This crate
//! contains no SQL (`store`), sends nothing itself (`pipeline`), and reads no configuration.

mod broadcasts;
mod commands;
mod context;
mod error;
mod plan;
mod planner;
mod rules;
mod sender;
mod settings;
mod templates;

pub use broadcasts::{Broadcasts, Parts, Progress};
pub use context::OPERATOR;
pub use error::{BroadcastError, CODES};
pub use plan::{Plan, PlanCost, Sample};
pub use settings::Settings;
