//! What a process had the system read and write, as Linux counts it: `/proc/<id>/io`.

use std::fs;
use std::ops::Sub;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Io {
    /// Bytes handed over to be written, to files, pipes and sockets.
    pub(crate) written_bytes: u64,
    /// Calls that wrote.
    pub(crate) write_calls: u64,
    pub(crate) read_bytes: u64,
    pub(crate) read_calls: u64,
    /// Bytes of pages made dirty that belong to a disk: a page counts again when it is written to after it was cleaned. What was
    /// dropped before it was written counts too, and is in `cancelled_bytes`.
    pub(crate) disk_written_bytes: u64,
    pub(crate) disk_read_bytes: u64,
    pub(crate) cancelled_bytes: u64,
}

impl Io {
    /// Since this process began; zeros where the system does not tell.
    pub(crate) fn of_self() -> Io {
        Io::of("self")
    }

    /// Since the process with this number began.
    pub(crate) fn of_process(id: u32) -> Io {
        Io::of(&id.to_string())
    }

    fn of(process: &str) -> Io {
        let text = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Io {
            written_bytes: field("wchar"),
            write_calls: field("syscw"),
            read_bytes: field("rchar"),
            read_calls: field("syscr"),
            disk_written_bytes: field("write_bytes"),
            disk_read_bytes: field("read_bytes"),
            cancelled_bytes: field("cancelled_write_bytes"),
        }
    }
}

impl Sub for Io {
    type Output = Io;

    /// What was done since `before`.
    fn sub(self, before: Io) -> Io {
        Io {
            written_bytes: self.written_bytes - before.written_bytes,
            write_calls: self.write_calls - before.write_calls,
            read_bytes: self.read_bytes - before.read_bytes,
            read_calls: self.read_calls - before.read_calls,
            disk_written_bytes: self.disk_written_bytes - before.disk_written_bytes,
            disk_read_bytes: self.disk_read_bytes - before.disk_read_bytes,
            cancelled_bytes: self.cancelled_bytes - before.cancelled_bytes,
        }
    }
}
