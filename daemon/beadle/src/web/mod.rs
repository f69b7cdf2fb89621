//! HTTP: webhooks from platforms, and the admin API for this machine.
//!
//! Two routers that share nothing. The public one takes webhooks, requests to hooks of plugins, and
//! the form for consent if it is on. The admin one, on its own address and on the socket, reports
//! health (`/healthz`, `/readyz`, `/metrics`) and serves the command line (`/api/v1`). `guard`
//! decides which requests it answers.
//!
//! This module knows nothing of how the daemon starts and stops; `run` builds an [`Admin`] and
//! serves the routers.

pub mod admin;
mod body;
mod context;
mod data;
pub mod failure;
mod finishing;
mod guard;
pub mod hooks;
mod metrics;
pub mod opt_in;
mod outcome;
pub mod serve;
mod summary;
mod thin;
pub mod webhooks;
mod why;

pub use context::{Admin, ConfigState, Phase, channels};
pub use data::{PageError, page, status_line};
#[cfg(test)]
pub use failure::CODES;
