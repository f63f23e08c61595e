//! The lies that a disk can be told to tell, each the loss of one promise: to see that a checker notices.

use super::{faults::FaultOp, tree::FileRef};
use crate::storage::memory::split;

/// What the disk says and does not do. Paths are matched where they contain what is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Syncs of these files do nothing.
    File(&'static str),
    /// Syncs of these files do nothing while a file in the same directory has a name of the same kind that sorts after
    /// theirs.
    OlderFile(&'static str),
    /// Syncs of these files are done only when something else is, and until then keep no more than the order of what came
    /// before and after them.
    Late {
        /// The files.
        file: &'static str,
        /// What is waited for: this operation, on a path that contains this.
        until: (FaultOp, &'static str),
    },
    /// Syncs of this directory do nothing; with `/` at its end, of those below it.
    Dir(&'static str),
    /// Syncs of this directory, or of those below it, that have nothing but removals to make durable do nothing.
    Removals(&'static str),
    /// A file that is made under the first name, to be renamed, has the second from the beginning.
    InPlace(&'static str, &'static str),
}

/// What becomes of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Truth,
    Nothing,
    Later(FaultOp, &'static str),
}

/// A sync that is still to be done.
pub(super) struct Late {
    pub(super) file: FileRef,
    pub(super) until: (FaultOp, &'static str),
}

impl Lie {
    /// What becomes of a sync of the file `path`, whose directory holds these names.
    pub(super) fn of_file(self, path: &str, names: impl FnOnce() -> Vec<String>) -> Told {
        match self {
            Lie::File(part) if path.contains(part) => Told::Nothing,
            Lie::OlderFile(part) if path.contains(part) => {
                let name = split(path).1;
                let kind = |name: &str| name.rsplit_once('.').map(|(_, kind)| kind.to_owned());
                let is_younger = |other: &String| kind(other) == kind(name) && other.as_str() > name;
                if names().iter().any(is_younger) { Told::Nothing } else { Told::Truth }
            }
            Lie::Late { file, until: (op, part) } if path.contains(file) => Told::Later(op, part),
            _ => Told::Truth,
        }
    }

    /// Whether a sync of the directory `path` does nothing. `removals`: it has nothing but those to make durable.
    pub(super) fn is_of_dir(self, path: &str, removals: bool) -> bool {
        let matches = |dir: &str| path == dir || (dir.ends_with('/') && path.starts_with(dir));
        match self {
            Lie::Dir(dir) => matches(dir),
            Lie::Removals(dir) => removals && matches(dir),
            _ => false,
        }
    }
}
