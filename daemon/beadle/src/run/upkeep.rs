//! Periodic work: health is reported to systemd and to the log, and data past its retention time is
//! deleted.
//!
//! The watchdog is fed while the tasks without which there is no daemon make progress. A disk that
//! is full or a task that is being restarted does not stop it: a new process would find the same
//! disk, and would lose what is kept in memory until it can be written.

use super::systemd;
use crate::web::{Admin, status_line};
use beadle_model::consent::rules::PeopleRules;
use beadle_store::{Retention, Store, StoreError};
use beadle_tasks::Heartbeat;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often health is looked at without a watchdog. Real time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often data is deleted, in civil time: an hour more or less of ninety days does not matter.
const CLEAN_EVERY_MS: i64 = 60 * 60 * 1000;
/// After a failure to write: soon enough for a disk that someone is cleaning. Real time.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Between slices of a deletion, so that other writes come between them. Real time.
const BETWEEN_SLICES: Duration = Duration::from_millis(200);

/// Feeds the watchdog, keeps systemd's status line current, and logs problems when they come and
/// go.
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
        let now = status_line(&admin).await;
        if now != line {
            systemd::status(&now);
            line = now;
        }
        heartbeat.idle(tokio::time::sleep(every)).await;
    }
}

/// Keeps the texts of the configured wordings, which the consent ledger names by their hash. On a
/// full disk it tries again until there is room.
pub async fn keep_consent_texts(people: &PeopleRules, store: &Store, heartbeat: &Heartbeat) {
    let texts = people.consents.wordings.values().flat_map(|wording| &wording.texts);
    let texts: Vec<_> = texts.map(|text| (text.sha256.clone(), text.text.clone())).collect();
    if texts.is_empty() {
        return;
    }
    while let Err(error) = store.keep_consent_texts(texts.clone()).await {
        tracing::warn!(%error, "texts of wordings not stored, retrying");
        heartbeat.idle(tokio::time::sleep(RETRY_AFTER)).await;
    }
}

/// Creates the conversation of each channel in which new groups are requested; it has no contact.
/// On a full disk it tries again until there is room.
pub async fn create_channel_conversations(channels: Vec<String>, store: Store, heartbeat: Heartbeat) {
    for name in channels {
        let mut warned = false;
        while let Err(error) = create_channel_conversation(&name, &store).await {
            if !warned {
                tracing::warn!(channel = name, %error, "conversation for new groups not created, retrying");
                warned = true;
            }
            heartbeat.idle(tokio::time::sleep(RETRY_AFTER)).await;
        }
    }
}

async fn create_channel_conversation(name: &str, store: &Store) -> Result<(), StoreError> {
    if store.reader().channel_conversation(name)?.is_none() {
        store.create_channel_conversation(name).await?;
    }
    Ok(())
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
                heartbeat.idle(tokio::time::sleep(RETRY_AFTER)).await;
            }
        }
    }
}
