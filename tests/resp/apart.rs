//! A test in a process of its own, whose memory nobody else uses.

use std::process::{Command, Stdio};

const APART: &str = "STREAMLOG_APART";

/// Runs `test`, which is the test of this name, in a process of its own.
pub(crate) fn run(name: &str, test: impl FnOnce()) {
    if std::env::var_os(APART).is_some() {
        return test();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(APART, "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = format!("{}{}", crate::shown(&output.stdout), crate::shown(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Bytes of memory that this process has now, where that can be known.
pub(crate) fn memory() -> Option<usize> {
    const PAGE_BYTES: usize = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<usize>().ok()? * PAGE_BYTES)
}

/// The most that it ever had.
pub(crate) fn peak() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?;
    Some(kilobytes.parse::<usize>().ok()? << 10)
}
