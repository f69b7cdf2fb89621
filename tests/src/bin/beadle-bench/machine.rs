//! Memory and CPU time of a process, from `/proc`.

use std::fs;

/// `USER_HZ`: Linux reports CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resource usage of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory in MiB.
    pub rss_mib: f64,
    /// Peak resident memory in MiB.
    pub peak_mib: f64,
    /// User and system time of all its threads, in seconds.
    pub cpu_s: f64,
}

/// The usage of a process; zeros if it has ended.
pub fn usage(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields after the name, which may contain spaces: state is the first, utime the twelfth.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Usage { rss_mib: mib("VmRSS:"), peak_mib: mib("VmHWM:"), cpu_s: (ticks(11) + ticks(12)) / TICKS_PER_SECOND }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_usage_is_read() {
        let own = usage(std::process::id());
        assert!(own.rss_mib > 0.5 && own.peak_mib >= own.rss_mib);
        assert_eq!(usage(u32::MAX).rss_mib, 0.0);
    }
}
