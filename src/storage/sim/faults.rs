//! Faults by countdown: which operation fails, when, and with what.
//!
//! Only counts and answers. What a failure leaves behind (half a write, a sync that will never be made good) is the
//! disk's to simulate.

use std::io;

/// The operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOp {
    /// Opening a file that exists.
    Open,
    /// Reading a file's bytes.
    Read,
    /// Writing a file's bytes; part of them may have been written.
    Write,
    /// Syncing a file. As on Linux, what was pending then counts as clean: no later sync makes it durable.
    Sync,
    /// Syncing a directory; what was pending is forgotten likewise.
    SyncDir,
    /// Creating a file, a directory or a lock's file.
    Create,
    /// Renaming, aimed by either name.
    Rename,
    /// Removing a file or a directory.
    Remove,
    /// Setting a file's length.
    SetLen,
}

/// A fault to come.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What fails.
    pub op: FaultOp,
    /// Only on paths that contain this; `None` for all.
    pub path_contains: Option<String>,
    /// How many such operations succeed first.
    pub after: u64,
    /// How many then fail; `u64::MAX` for all.
    pub times: u64,
    /// The kind of the error.
    pub error: io::ErrorKind,
}

/// The faults to come, each with its own countdown.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Fault>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.armed.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// Counts an operation.
    ///
    /// # Errors
    ///
    /// What the first fault due says; others due spend themselves on the same operation.
    pub(super) fn check(&mut self, op: FaultOp, paths: &[&str]) -> io::Result<()> {
        let mut result = Ok(());
        for fault in &mut self.armed {
            let aimed =
                fault.path_contains.as_ref().is_none_or(|part| paths.iter().any(|path| path.contains(part.as_str())));
            if fault.op != op || !aimed {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 {
                fault.times -= u64::from(fault.times != u64::MAX);
                if result.is_ok() {
                    result = Err(io::Error::new(fault.error, "simulated fault"));
                }
            }
        }
        self.armed.retain(|fault| fault.times > 0);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_waits_fires_and_is_spent() {
        let mut faults = Faults::default();
        faults.add(Fault {
            op: FaultOp::Write,
            path_contains: Some("journal/".into()),
            after: 1,
            times: 2,
            error: io::ErrorKind::StorageFull,
        });
        assert!(faults.check(FaultOp::Write, &["streams/1"]).is_ok());
        assert!(faults.check(FaultOp::Read, &["journal/1"]).is_ok());
        let results = [(); 4].map(|()| faults.check(FaultOp::Write, &["journal/1"]).is_ok());
        assert_eq!(results, [true, false, false, true]);
    }

    #[test]
    fn a_lasting_fault_fails_until_cleared() {
        let mut faults = Faults::default();
        faults.add(Fault {
            op: FaultOp::Sync,
            path_contains: None,
            after: 0,
            times: u64::MAX,
            error: io::ErrorKind::Other,
        });
        for _ in 0..10 {
            assert!(faults.check(FaultOp::Sync, &["f"]).is_err());
        }
        faults.clear();
        assert!(faults.check(FaultOp::Sync, &["f"]).is_ok());
    }
}
