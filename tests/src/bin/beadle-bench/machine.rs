//! What the kernel says of a process: memory and processor time.

use std::fs;

/// Linux counts processor time for programs in hundredths of a second, whatever its own tick is (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident now, in MiB.
    pub rss_mib: f64,
    /// Resident at most, in MiB.
    pub peak_mib: f64,
    /// User and system time of all its threads, in seconds.
    pub cpu_s: f64,
}

/// Of the process with this id; nothing of one that has ended.
pub fn usage(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields count from behind the name, which may have spaces: state is the first, utime the twelfth.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Usage { rss_mib: mib("VmRSS:"), peak_mib: mib("VmHWM:"), cpu_s: (ticks(11) + ticks(12)) / TICKS_PER_SECOND }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_use_something_ourselves() {
        let own = usage(std::process::id());
        assert!(own.rss_mib > 0.5 && own.peak_mib >= own.rss_mib);
        assert_eq!(usage(u32::MAX).rss_mib, 0.0);
    }
}
