//! What the configuration says about broadcasts: `[broadcasts]`.

/// `[broadcasts]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Above this number of recipients a second person must approve it; 0: never.
    pub approval_above: u64,
    /// It pauses when more of the messages failed, in percent.
    pub max_failed_percent: u32,
    /// It pauses when more of the recipients withdrew their consent, in percent.
    pub max_opt_out_percent: u32,
    /// The number of messages from which on it is judged.
    pub judge_from: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { approval_above: 1000, max_failed_percent: 10, max_opt_out_percent: 2, judge_from: 100 }
    }
}
