//! Callgrind around this program: one path, one process. Knows nothing of what the path does.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The first argument of a process that only runs a path.
pub(crate) const RUN: &str = "run";

/// The function inside which instructions are counted, as callgrind's patterns name it.
const MEASURED: &str = "*paths::measured*";

/// What the figures depend on besides the code.
///
/// # Errors
///
/// What is missing, in words for whoever runs this.
pub(crate) fn tools() -> Result<String, String> {
    let valgrind = said("valgrind", "--version").ok_or(
        "valgrind is missing, and instructions are counted by its callgrind: apt-get install valgrind (Linux, FreeBSD, macOS to 13)",
    )?;
    let rustc = said("rustc", "--version").ok_or("rustc is not in the PATH, and figures depend on its version")?;
    let library = said("getconf", "GNU_LIBC_VERSION").unwrap_or_else(|| "another C library".to_owned());
    Ok(format!("{rustc}, {library}, {valgrind}, {}, {}", std::env::consts::ARCH, processor()))
}

/// The processor: the C library copies and compares by what it can do, and by how large its caches are.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let said = |name| text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name));
    let words = ["model name", "cpu family", "model", "cache size"]
        .map(|name| said(name).map_or("?", |(_, value)| value.trim()));
    words.join(" ")
}

fn said(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How many instructions the path took in all.
///
/// # Errors
///
/// What went wrong, with what the process said.
pub(crate) fn count(path: &str, keep: bool) -> Result<u64, String> {
    let scratch = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory under target");
    let out = if keep {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{}.out", path.replace([' ', ','], "-")))
    } else {
        scratch.path().join("callgrind.out")
    };
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--toggle-collect={MEASURED}")])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("this program"))
        .args([RUN, path])
        .arg(scratch.path().join("data"))
        .output()
        .expect("valgrind, which said its version");
    let text = std::fs::read_to_string(&out).unwrap_or_default();
    // `totals: 123456`, or `summary: ` where there are several parts.
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    match total {
        Some(total) if output.status.success() && total > 0 => Ok(total),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{path}: callgrind counted nothing ({}):\n{said}", output.status))
        }
    }
}
