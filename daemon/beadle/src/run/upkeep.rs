//! Periodic work: health is reported to systemd and to the log, and data past its retention time is
//! deleted.
//!
//! The watchdog is fed while the tasks without which there is no daemon make progress. A disk that is
//! full or a task that is being restarted does not stop it: a new process would find the same disk, and
//! would lose what is kept in memory until it can be written.

use super::systemd;
use crate::web::Admin;
use beadle_store::Retention;
use beadle_tasks::Heartbeat;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often health is looked at without a watchdog. Real time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often data is deleted, in civil time: an hour more or less of ninety days does not matter.
const CLEAN_EVERY_MS: i64 = 60 * 60 * 1000;
/// Between slices of a deletion, so that other writes come between them. Real time.
const BETWEEN_SLICES: Duration = Duration::from_millis(200);

/// Feeds the watchdog, keeps systemd's status line current, and logs problems when they come and go.
pub async fn watch(admin: Arc<Admin>, heartbeat: Heartbeat) {
    let every = systemd::watchdog_interval().unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
    let mut reported = Vec::new();
    let mut line = String::new();
    loop {
        heartbeat.beat();
        if admin.is_alive() {
            systemd::alive();
        }
        let problems = admin.health_problems();
        for problem in problems.iter().filter(|problem| !reported.contains(&problem.code)) {
            tracing::error!(code = %problem.code, problem = %problem.message, "unhealthy");
        }
        if problems.is_empty() && !reported.is_empty() {
            tracing::info!("healthy again");
        }
        reported = problems.into_iter().map(|problem| problem.code).collect();
        let now = admin.status_line().await;
        if now != line {
            systemd::status(&now);
            line = now;
        }
        heartbeat.idle(tokio::time::sleep(every)).await;
    }
}

/// Deletes data past its retention time.
pub async fn clean(admin: Arc<Admin>, policy: watch::Receiver<Retention>, heartbeat: Heartbeat) {
    loop {
        heartbeat.beat();
        let policy = *policy.borrow();
        match admin.store.retain(policy, admin.clock.now()).await {
            Ok(removed) if removed.more => tokio::time::sleep(BETWEEN_SLICES).await,
            Ok(_) => heartbeat.idle(admin.clock.sleep_untracked_ms(CLEAN_EVERY_MS)).await,
            Err(error) => {
                tracing::warn!(%error, "retention failed, retrying later");
                heartbeat.idle(admin.clock.sleep_untracked_ms(CLEAN_EVERY_MS)).await;
            }
        }
    }
}
