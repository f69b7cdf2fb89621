//! Answers the callers of a group of jobs.
//!
//! Waking a task from outside its runtime takes a lock that all of its threads share. So the writer wakes
//! one task for a group, and that task the callers.

use crate::error::StoreError;
use crate::queue::Job;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, error::SendError, unbounded_channel};

/// Jobs that ran, and why one failed.
type Group = Vec<(Box<dyn Job>, Option<StoreError>)>;

/// The writer's end. Groups in the channel are bounded by their callers, who wait.
pub(crate) struct Answers(Option<UnboundedSender<Group>>);

impl Answers {
    /// With a task in the current runtime; without a runtime, callers are answered on the writer's thread.
    pub(crate) fn new() -> Self {
        let Ok(runtime) = Handle::try_current() else { return Self(None) };
        let (sender, mut groups) = unbounded_channel();
        runtime.spawn(async move {
            while let Some(group) = groups.recv().await {
                answer(group);
            }
        });
        Self(Some(sender))
    }

    /// Answers each job.
    pub(crate) fn give(&self, group: Group) {
        match &self.0 {
            // The runtime may have ended before the store.
            Some(sender) if group.len() > 1 => {
                if let Err(SendError(group)) = sender.send(group) {
                    answer(group);
                }
            }
            _ => answer(group),
        }
    }
}

fn answer(group: Group) {
    group.into_iter().for_each(|(job, failed)| job.answer(failed));
}
