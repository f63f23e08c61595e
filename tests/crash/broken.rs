//! What may be broken while a trial runs: normally nothing.

use streamlog::Sabotage;
use streamlog::sim::{Lie, SimDisk};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    Disk(Lie),
    Engine(Sabotage),
}

impl Broken {
    pub(crate) fn engine(self) -> Option<Sabotage> {
        match self {
            Broken::Engine(rule) => Some(rule),
            Broken::Nothing | Broken::Disk(_) => None,
        }
    }

    pub(crate) fn lie_on(self, disk: &SimDisk) {
        if let Broken::Disk(lie) = self {
            disk.lie(lie);
        }
    }
}
