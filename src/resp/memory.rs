//! The memory of this process and of the machine, as far as the system tells: from `/proc`, where there is one.

/// In bytes; 0 where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Memory {
    /// What the process has of it.
    pub(crate) resident: u64,
    /// The most that it ever had.
    pub(crate) resident_peak: u64,
    /// What the machine has.
    pub(crate) system: u64,
}

impl Memory {
    pub(crate) fn now() -> Memory {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (process, system) = (read("/proc/self/status"), read("/proc/meminfo"));
        Memory {
            resident: field(&process, "VmRSS:"),
            resident_peak: field(&process, "VmHWM:"),
            system: field(&system, "MemTotal:"),
        }
    }
}

/// A field of lines like `VmRSS:    1234 kB`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_in_kilobytes_and_none_is_zero() {
        let text = "Name:\tx\nVmRSS:\t  12 kB\n";
        assert_eq!(field(text, "VmRSS:"), 12 << 10);
        assert_eq!(field(text, "VmHWM:"), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_all_of_it() {
        let memory = Memory::now();
        assert!(
            memory.resident > 1 << 20 && memory.resident_peak >= memory.resident && memory.system > memory.resident
        );
    }
}
