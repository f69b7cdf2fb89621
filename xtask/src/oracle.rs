//! Schedules against an independent implementation: cronsim and Python's time zones, with the same
//! tzdata release.
//!
//! `tests/oracle/moments_test.py` says what is compared and where the two differ on purpose.

use crate::python;
use crate::shell::{self, Result, command, run as call};

/// Runs them.
pub fn test(seed: Option<u64>) -> Result {
    let tests = shell::root().join("tests").join("oracle");
    let python = python::environment("oracle", &tests.join("requirements.txt"), "cronsim")?;
    let mut test = command(&python);
    test.args(["-W", "ignore", "moments_test.py"]).current_dir(&tests);
    if let Some(seed) = seed {
        test.env("BEADLE_E2E_SEED", seed.to_string());
    }
    let moments = shell::target_dir().join("debug").join("examples").join("moments");
    call(test.env("BEADLE_MOMENTS", moments).env("PYTHONDONTWRITEBYTECODE", "1"))
}
