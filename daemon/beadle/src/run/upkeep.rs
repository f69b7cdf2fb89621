//! What is done now and then while the daemon runs: the watchdog is fed, systemd's status line is kept true, trouble is
//! told once when it comes and once when it goes, and what is past its retention is removed.

use super::systemd;
use crate::web::Admin;
use beadle_store::Retention;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Without a watchdog the state is looked at this often: soon enough for a status line. Real time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What is past its retention goes once an hour of civil time; a day more or less of ninety matters to nobody.
const CLEAN_EVERY_MS: i64 = 60 * 60 * 1000;
/// Between slices of it, so that what people wait for is written between them. Real time.
const BETWEEN_SLICES: Duration = Duration::from_millis(200);

/// Feeds the watchdog and tells how it goes, until it is dropped.
pub async fn look(admin: Arc<Admin>) {
    let every = systemd::watchdog_interval().unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
    let mut told = Vec::new();
    let mut line = String::new();
    loop {
        let problems = admin.problems();
        if problems.is_empty() {
            systemd::alive();
        }
        if problems != told {
            match problems.as_slice() {
                [] => tracing::info!("Everything makes progress again."),
                problems => tracing::error!("No progress: {}.", problems.join("; ")),
            }
            told = problems;
        }
        let now = admin.line().await;
        if now != line {
            systemd::status(&now);
            line = now;
        }
        tokio::time::sleep(every).await;
    }
}

/// Removes what is past its retention, until it is dropped.
pub async fn clean(admin: Arc<Admin>, policy: watch::Receiver<Retention>) {
    loop {
        let policy = *policy.borrow();
        match admin.store.retain(policy, admin.clock.now()).await {
            Ok(removed) if removed.more => tokio::time::sleep(BETWEEN_SLICES).await,
            Ok(_) => admin.clock.sleep_untracked_ms(CLEAN_EVERY_MS).await,
            Err(error) => {
                tracing::warn!(%error, "What is past its retention could not be removed; later again.");
                admin.clock.sleep_untracked_ms(CLEAN_EVERY_MS).await;
            }
        }
    }
}
