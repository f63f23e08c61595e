//! Names that the broker keeps for itself. Knows which they are, and how they are shown to people; not what has them.

/// What no name of a user begins with.
pub(crate) const RESERVED: char = '\0';

/// The stream of what is scheduled.
pub(crate) const SCHEDULE: &str = "\0delayed";

/// Whether users see what has this name.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Where a scan of names meets this one: spread evenly, whichever names there are, and the same for ever. Of 48 bits, for some
/// clients keep the numbers they are given as floating point.
pub(crate) fn place(name: &str) -> u64 {
    // FNV-1a, folded.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash >> 48 ^ hash) & PLACE_MAX
}

/// The last place there is.
pub(crate) const PLACE_MAX: u64 = (1 << 48) - 1;

/// A stream's name as a report has it.
pub(crate) fn shown(name: &str) -> &str {
    if name == SCHEDULE { "(delayed entries)" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client may go on with a scan after the program was started anew.
    #[test]
    fn the_places_of_names_are_pinned() {
        assert_eq!([place(""), place("orders"), place("a")], [0x9ce4_8422_e8d7, 0x5d92_50be_8b5e, 0xdc4c_8601_43ef]);
    }
}
