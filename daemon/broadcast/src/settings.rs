//! The settings of `[broadcasts]`.

/// `[broadcasts]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The number of recipients above which a second person must approve a broadcast; 0: never.
    pub approval_above: u64,
    /// A broadcast pauses if a larger share of its messages failed, in percent.
    pub max_failed_percent: u32,
    /// A broadcast pauses if a larger share of its recipients withdrew their consent, in percent.
    pub max_opt_out_percent: u32,
    /// The number of messages, sent or failed, from which the two rules apply.
    pub min_messages: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { approval_above: 1000, max_failed_percent: 10, max_opt_out_percent: 2, min_messages: 100 }
    }
}
