//! The password. It is compared and, by whoever gave it, asked for (`CONFIG GET`); never shown by the way.

use std::fmt;

/// What a client has to say before anything else.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(Vec<u8>);

impl Password {
    /// `None` for an empty one: that is none.
    pub(crate) fn new(password: impl Into<Vec<u8>>) -> Option<Password> {
        Some(password.into()).filter(|password| !password.is_empty()).map(Password)
    }

    /// Whether this is it, in a time that depends on the length of what was said and on nothing of the secret.
    pub(crate) fn is(&self, said: &[u8]) -> bool {
        let secret = &self.0;
        let mut differ = secret.len() ^ said.len();
        for (at, byte) in said.iter().enumerate() {
            // Beyond its end the secret is compared with bytes of itself: the lengths differ then anyway.
            differ |= usize::from(std::hint::black_box(byte ^ secret[at % secret.len()]));
        }
        std::hint::black_box(differ) == 0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_that_and_nothing_else() {
        let password = Password::new("secret").unwrap();
        assert!(password.is(b"secret"));
        for other in [&b""[..], b"s", b"secre", b"secrets", b"secretsecret", b"Secret", &[0; 6]] {
            assert!(!password.is(other));
        }
        assert_eq!(Password::new(""), None);
    }

    /// `{builder:?}` in somebody's log had the password in it, byte by byte.
    #[test]
    fn what_holds_the_password_does_not_show_it_in_a_log() {
        let broker = crate::Broker::in_memory().unwrap();
        let builder = crate::resp::Server::builder(&broker).password([201, 202, 203]);
        let settings = crate::resp::config::Settings::new(1, 1, None, Password::new([201, 202, 203]), true);
        for shown in [format!("{builder:?}"), format!("{settings:?}")] {
            assert!(!shown.contains("201, 202") && shown.contains("Password(..)"), "{shown}");
        }
    }
}
