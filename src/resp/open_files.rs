//! How many files this process may have open: connections must not take those that the broker needs to write.

/// Kept for what is opened now and then: the journal's next file, a checkpoint, a directory.
const KEPT: usize = 32;

/// How many connections there may be at a time, beside what is open now and the files that the broker keeps open; `None` where
/// the system does not tell.
pub(super) fn connections_max(brokers_files: usize) -> Option<usize> {
    let limit = limit(&std::fs::read_to_string("/proc/self/limits").ok()?)?;
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(limit.saturating_sub(open + brokers_files + KEPT).max(1))
}

/// The limit that holds, in lines of names and two limits; `None` if there is none.
fn limit(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_holds_is_the_first_of_two() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax processes  5  6  processes\nMax open files   1024    4096   files\n";
        assert_eq!(limit(text), Some(1024));
        assert_eq!(limit("Max open files  unlimited  unlimited  files"), None);
        assert_eq!(limit(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_the_limit_and_there_is_room_for_somebody() {
        assert!(connections_max(0).is_some());
        assert_eq!(connections_max(usize::MAX / 2), Some(1));
    }
}
