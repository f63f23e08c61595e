//! What a call that returned has survived: the three levels, and what each is called by those that have it.

use std::time::Duration;

use streamlog::Durability;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The process may be killed: the bytes are the operating system's before the call returns.
    Os,
    /// And they are synced every second.
    Interval,
    /// Power may fail: they are synced before the call returns.
    Always,
}

impl Level {
    pub(crate) const ALL: [Level; 3] = [Level::Os, Level::Interval, Level::Always];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::Os => "os",
            Level::Interval => "interval",
            Level::Always => "always",
        }
    }

    pub(crate) fn named(name: &str) -> Level {
        Level::ALL.into_iter().find(|level| level.name() == name).unwrap_or_else(|| panic!("{name} is no level"))
    }

    /// What a reader of the tables is told.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Level::Os => "survives `kill -9`",
            Level::Interval => "synced every second",
            Level::Always => "synced",
        }
    }

    pub(crate) fn durability(self) -> Durability {
        match self {
            Level::Os => Durability::Os,
            Level::Interval => Durability::Interval(Duration::from_secs(1)),
            Level::Always => Durability::Always,
        }
    }

    /// The value of Redis's `appendfsync`.
    pub(crate) fn appendfsync(self) -> &'static str {
        match self {
            Level::Os => "no",
            Level::Interval => "everysec",
            Level::Always => "always",
        }
    }
}
