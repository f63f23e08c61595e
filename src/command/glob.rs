//! Patterns of names as Redis matches them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before what is to be taken as it is. Of bytes;
//! knows no names.

/// Whether a pattern matches the whole text.
///
/// In time of the order of one times the other, whatever stars it has.
pub(crate) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Behind the last star, and what of the text it has not taken yet: only the last need be tried with more.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.iter().all(|&byte| byte == b'*') {
                return true;
            }
            (pattern, star) = (rest, Some((rest, text)));
            continue;
        }
        let one = match text {
            [byte, rest @ ..] => one(pattern, *byte, ignore_case).map(|pattern| (pattern, rest)),
            [] if pattern.is_empty() => return true,
            [] => None,
        };
        if let Some(next) = one {
            (pattern, text) = next;
            continue;
        }
        match star {
            Some((behind, [_, left @ ..])) => (pattern, text, star) = (behind, left, Some((behind, left))),
            _ => return false,
        }
    }
}

/// What is left of a pattern once it has matched one byte; `None` if it does not.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<&[u8]> {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte, fold),
        [b'\\', exact, rest @ ..] | [exact, rest @ ..] => (fold(*exact) == fold(byte)).then_some(rest),
    }
}

/// The same behind a bracket. One that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<&[u8]> {
    let (negated, mut pattern) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let byte = fold(byte);
    let mut found = false;
    let rest = loop {
        pattern = match pattern {
            [] => break pattern,
            [b']', rest @ ..] => break rest,
            [b'\\', exact, rest @ ..] => {
                found |= fold(*exact) == byte;
                rest
            }
            [first, b'-', last, rest @ ..] => {
                let (first, last) = (fold(*first), fold(*last));
                found |= (first.min(last)..=first.max(last)).contains(&byte);
                rest
            }
            [exact, rest @ ..] => {
                found |= fold(*exact) == byte;
                rest
            }
        };
    };
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, is_match) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a*d", "abc", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h[", "h", false),
            ("h[a", "ha", true),
            ("h[^", "ha", true),
            ("[]a", "a", false),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[a-]", "-", true),
            ("*a*a*b", "aaaaaaaaaaaaaaaaaaaab", true),
            ("Abc", "abc", false),
            ("foo*[0-9]", "foobar7", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), is_match, "{pattern} on {text}");
        }
        assert!(matches(b"Max[C-C]*", b"maxclients", true));
    }

    #[test]
    fn many_stars_take_no_time() {
        let (pattern, text) = ("a*".repeat(50) + "b", "a".repeat(5000));
        assert!(!matches(pattern.as_bytes(), text.as_bytes(), false));
    }
}
