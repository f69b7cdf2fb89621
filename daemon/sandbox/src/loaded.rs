//! A loaded plugin as its calls see it.

use crate::first_calls::RunningFirstCalls;
use crate::host::Facts;
use crate::instance::Code;
use crate::pool::Pool;
use crate::runtime::Runtime;
use std::sync::Arc;

/// What a call needs of its plugin.
pub struct Loaded {
    pub facts: Arc<Facts>,
    pub code: Code,
    pub pool: Arc<Pool>,
    /// Instances handle more than one event.
    pub is_warm: bool,
    /// Reports the first calls of fresh instances.
    pub first_calls: RunningFirstCalls,
    pub runtime: Arc<Runtime>,
}
