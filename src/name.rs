//! Names that the broker keeps for itself. Knows which they are, and how they are shown to people; not what has them.

/// What no name of a user begins with.
pub(crate) const RESERVED: char = '\0';

/// The stream of what is scheduled.
pub(crate) const SCHEDULE: &str = "\0delayed";

/// Whether users see what has this name.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// A stream's name as a report has it.
pub(crate) fn shown(name: &str) -> &str {
    if name == SCHEDULE { "(delayed entries)" } else { name }
}
