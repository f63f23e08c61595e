//! Patterns for names: `h?llo`, `h*llo`, `h[ae]llo`, `h[^e]llo`, `h[a-b]llo`, a backslash before what is meant itself.
//!
//! They match what they match in Redis, where they are not written as they should be too: a class that does not end, a range
//! whose ends are negative as C's `char` is. Knows bytes only.

/// Stars within stars go no deeper.
const DEPTH_MAX: usize = 1000;

/// Whether all of `name` is what the pattern says.
pub(crate) fn matches(pattern: &[u8], name: &[u8], ignore_case: bool) -> bool {
    Matching { ignore_case, hopeless: false }.matches(pattern, name, 0)
}

struct Matching {
    ignore_case: bool,
    /// What follows a star is nowhere in the rest: no star before it helps.
    hopeless: bool,
}

impl Matching {
    fn matches(&mut self, mut pattern: &[u8], mut name: &[u8], depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        while let (Some((&first, after)), Some((&byte, rest))) = (pattern.split_first(), name.split_first()) {
            pattern = match first {
                b'*' => return self.matches_after_star(after, name, depth),
                b'?' => after,
                b'[' => match self.class(after, byte) {
                    (true, after) => after,
                    (false, _) => return false,
                },
                b'\\' if !after.is_empty() => {
                    if !self.is_same(after[0], byte) {
                        return false;
                    }
                    &after[1..]
                }
                _ if !self.is_same(first, byte) => return false,
                _ => after,
            };
            name = rest;
            if name.is_empty() {
                pattern = without_stars(pattern);
            }
        }
        pattern.is_empty() && name.is_empty()
    }

    /// Whether the pattern after a star matches anywhere in `name`, which is not empty.
    fn matches_after_star(&mut self, pattern: &[u8], mut name: &[u8], depth: usize) -> bool {
        let pattern = without_stars(pattern);
        if pattern.is_empty() {
            return true;
        }
        while !name.is_empty() {
            if self.matches(pattern, name, depth + 1) {
                return true;
            }
            if self.hopeless {
                return false;
            }
            name = &name[1..];
        }
        self.hopeless = true;
        false
    }

    fn fold(&self, byte: u8) -> u8 {
        if self.ignore_case { byte.to_ascii_lowercase() } else { byte }
    }

    fn is_same(&self, one: u8, other: u8) -> bool {
        self.fold(one) == self.fold(other)
    }

    /// Whether `byte` is of the class that begins here, and what comes after it.
    fn class<'a>(&self, pattern: &'a [u8], byte: u8) -> (bool, &'a [u8]) {
        let (not, mut pattern) = match pattern {
            [b'^', after @ ..] => (true, after),
            pattern => (false, pattern),
        };
        let mut found = false;
        loop {
            pattern = match *pattern {
                // In any class as it is.
                [b'\\', meant, ref after @ ..] => {
                    found |= meant == byte;
                    after
                }
                [] => return (found != not, pattern),
                [b']', ref after @ ..] => return (found != not, after),
                [one, b'-', other, ref after @ ..] => {
                    let (one, other) = (one.cast_signed(), other.cast_signed());
                    let (first, last) = (one.min(other).cast_unsigned(), one.max(other).cast_unsigned());
                    let [first, last, byte] = [first, last, byte].map(|byte| self.fold(byte).cast_signed());
                    found |= (first..=last).contains(&byte);
                    after
                }
                [one, ref after @ ..] => {
                    found |= self.is_same(one, byte);
                    after
                }
            };
        }
    }
}

fn without_stars(pattern: &[u8]) -> &[u8] {
    let stars = pattern.iter().take_while(|&&byte| byte == b'*').count();
    &pattern[stars..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_match_in_redis() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"", b"", true),
            (b"*", b"anything", true),
            (b"**", b"anything", true),
            (b"*", b"", false),
            (b"", b"a", false),
            (b"a*", b"a", true),
            (b"a**", b"a", true),
            (b"a?", b"a", false),
            (b"h?llo", b"hello", true),
            (b"h?llo", b"hllo", false),
            (b"h*llo", b"heeeello", true),
            (b"*a*b*c", b"xaxbxbxc", true),
            (b"*a*b*c", b"xaxbxbxcx", false),
            (b"h[ae]llo", b"hallo", true),
            (b"h[ae]llo", b"hillo", false),
            (b"h[^e]llo", b"hallo", true),
            (b"h[^e]llo", b"hello", false),
            (b"h[a-b]llo", b"hbllo", true),
            (b"h[b-a]llo", b"hbllo", true),
            (b"h[a-b]llo", b"hcllo", false),
            (b"[a-]", b"-", false),
            (b"[a-]", b"^", true),
            (b"[-a]", b"-", true),
            (b"[\\]]", b"]", true),
            (b"[]", b"]", false),
            (b"[^]", b"]", true),
            (b"[^]a", b"xa", true),
            (b"[abc", b"a", true),
            (b"[abc", b"ab", false),
            (b"[", b"[", false),
            (b"[^", b"x", true),
            (b"[a-", b"-", true),
            (b"[a-z", b"m", true),
            (b"a\\*", b"a*", true),
            (b"a\\*", b"ab", false),
            (b"a\\", b"a\\", true),
            (b"\\", b"\\", true),
            (b"[\x7f-\xff]", b"\x05", true),
            (b"[\xf0-\xff]", b"\xf5", true),
            ("*ü".as_bytes(), "grün ü".as_bytes(), true),
            (b"a", b"A", false),
        ];
        for &(pattern, name, matched) in cases {
            assert_eq!(matches(pattern, name, false), matched, "{} {}", pattern.escape_ascii(), name.escape_ascii());
        }
    }

    #[test]
    fn case_counts_where_it_is_to() {
        assert!(matches(b"Max[C-C]*", b"maxclients", true) && !matches(b"Max[C-C]*", b"maxclients", false));
        assert!(matches(b"m\\AX", b"max", true));
    }

    #[test]
    fn a_pattern_of_stars_takes_no_time() {
        let (pattern, name) = ("a*".repeat(50) + "b", "a".repeat(500));
        assert!(!matches(pattern.as_bytes(), name.as_bytes(), false));
        assert!(!matches("*?".repeat(2000).as_bytes(), "a".repeat(3000).as_bytes(), false));
    }
}
