//! What is set of a server, and can be while it runs (`CONFIG`); and the password. Knows what may be said of each setting, in
//! Redis's words; not how it is asked.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::shared::Shared;
use crate::idempotency::Idempotency;
use crate::options::Durability;

/// What the server's builder says, and what can be set while it runs.
#[derive(Debug)]
pub(crate) struct Settings {
    clients_max: AtomicUsize,
    bulk_bytes_max: AtomicUsize,
    /// 0: none.
    idle_seconds_max: AtomicU64,
    /// Told when asked, and nothing else: nodes here have as many entries as are set, however large.
    node_bytes_max: AtomicU64,
    password: RwLock<Option<Secret>>,
    /// Whether there may be no password: the server is to be reached from this machine only.
    local: bool,
}

impl Settings {
    /// `local`: the server is to be reached from this machine only, so that the password can be taken away.
    pub(crate) fn new(
        clients_max: usize,
        bulk_bytes_max: usize,
        idle_max: Option<Duration>,
        password: Option<Secret>,
        local: bool,
    ) -> Settings {
        Settings {
            clients_max: AtomicUsize::new(clients_max),
            bulk_bytes_max: AtomicUsize::new(bulk_bytes_max),
            idle_seconds_max: AtomicU64::new(idle_max.map_or(0, |idle| idle.as_secs().max(1))),
            node_bytes_max: AtomicU64::new(4096),
            password: RwLock::new(password),
            local,
        }
    }

    /// How many connections there may be (`maxclients`).
    pub(crate) fn clients_max(&self) -> usize {
        self.clients_max.load(Ordering::Relaxed)
    }

    /// How long an argument may be (`proto-max-bulk-len`).
    pub(crate) fn bulk_bytes_max(&self) -> usize {
        self.bulk_bytes_max.load(Ordering::Relaxed)
    }

    /// For how long a connection that does not wait for entries may say nothing (`timeout`).
    pub(crate) fn idle_max(&self) -> Option<Duration> {
        Some(self.idle_seconds_max.load(Ordering::Relaxed)).filter(|&seconds| seconds > 0).map(Duration::from_secs)
    }

    /// Whether a connection has to say a password before anything else.
    pub(crate) fn has_password(&self) -> bool {
        self.password.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether this is the password, in a time that tells nothing of it; `true` if there is none.
    pub(crate) fn is_password(&self, said: &[u8]) -> bool {
        let password = self.password.read().unwrap_or_else(PoisonError::into_inner);
        password.as_ref().is_none_or(|Secret(password)| same(password, said))
    }

    fn password(&self) -> String {
        let password = self.password.read().unwrap_or_else(PoisonError::into_inner);
        password.as_ref().map_or_else(String::new, |Secret(bytes)| String::from_utf8_lossy(bytes).into_owned())
    }

    fn set_password(&self, password: &[u8]) {
        *self.password.write().unwrap_or_else(PoisonError::into_inner) = Secret::new(password.to_vec());
    }
}

/// A password: nothing that is written for people shows it.
#[derive(Clone)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// An empty one is none.
    pub(crate) fn new(password: Vec<u8>) -> Option<Secret> {
        Some(password).filter(|password| !password.is_empty()).map(Secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a password)")
    }
}

/// Whether two are equal, in a time that depends on the length of what was said and on nothing of the secret.
fn same(secret: &[u8], said: &[u8]) -> bool {
    let mut differ = secret.len() ^ said.len();
    for (at, byte) in said.iter().enumerate() {
        // Beyond its end the secret is compared with bytes of itself: the lengths differ then anyway.
        let other = secret.get(at % secret.len().max(1)).copied().unwrap_or_default();
        differ |= usize::from(std::hint::black_box(byte ^ other));
    }
    std::hint::black_box(differ) == 0
}

/// One setting.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) get: fn(&Shared) -> String,
    pub(crate) may_be: MayBe,
}

/// What a setting can be set to, and how.
pub(crate) enum MayBe {
    /// What it is: it cannot be set.
    Fixed,
    /// A number from the first to the second.
    Number(u64, u64, fn(&Shared, u64)),
    /// The same, in bytes: `512mb` will do.
    Bytes(u64, u64, fn(&Shared, u64)),
    /// What it is: that can be said again. Otherwise Redis would take one of these words, and nothing but them.
    ///
    /// It is what the broker was opened with, or the server started.
    Same(&'static [&'static str]),
    /// Any bytes, if this has nothing against it.
    Any(fn(&Shared, &[u8]) -> Result<(), String>, fn(&Shared, &[u8])),
}

/// A setting that is to be set: what to call once nothing speaks against any of them.
pub(crate) type Apply<'a> = Box<dyn FnOnce() + 'a>;

impl Setting {
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.may_be, MayBe::Fixed)
    }

    /// # Errors
    ///
    /// What Redis says of such a value.
    pub(crate) fn prepare<'a>(&'a self, shared: &'a Shared, value: &'a [u8]) -> Result<Apply<'a>, String> {
        let number = |number: Option<u64>, least: u64, most: u64, kind: &str| match number {
            None => Err(kind.to_owned()),
            Some(number) if (least..=most).contains(&number) => Ok(number),
            Some(_) => Err(format!("argument must be between {least} and {most} inclusive")),
        };
        match self.may_be {
            MayBe::Fixed => Err("can't set immutable config".to_owned()),
            MayBe::Number(least, most, set) => {
                let Some(value) = super::commands::integer(value) else {
                    return Err("argument couldn't be parsed into an integer".to_owned());
                };
                // One below zero is a number, and out of any range.
                let outside = u64::MAX;
                let value = number(Some(u64::try_from(value).unwrap_or(outside)), least, most, "")?;
                Ok(Box::new(move || set(shared, value)))
            }
            MayBe::Bytes(least, most, set) => {
                let value = number(bytes(value), least, most, "argument must be a memory value")?;
                Ok(Box::new(move || set(shared, value)))
            }
            MayBe::Same(words) => {
                if (self.get)(shared).as_bytes().eq_ignore_ascii_case(value) {
                    return Ok(Box::new(|| ()));
                }
                Err(match words {
                    [""] => "Invalid save parameters".to_owned(),
                    ["yes", "no"] if !is_one_of(value, words) => "argument must be 'yes' or 'no'".to_owned(),
                    _ if !is_one_of(value, words) && words.len() > 1 => {
                        format!("argument(s) must be one of the following: {}", words.join(", "))
                    }
                    _ => "it cannot be set while the server runs".to_owned(),
                })
            }
            MayBe::Any(check, set) => {
                check(shared, value)?;
                Ok(Box::new(move || set(shared, value)))
            }
        }
    }
}

fn is_one_of(value: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// So many bytes: a number, and a unit of thousands (`k`, `m`, `g`) or of 1,024 (`kb`, `mb`, `gb`).
fn bytes(value: &[u8]) -> Option<u64> {
    let value = std::str::from_utf8(value).ok()?;
    let digits = value.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(value.len());
    let unit = match value[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    value[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// The setting of this name, in whatever case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| name.eq_ignore_ascii_case(setting.name.as_bytes()))
}

/// The level of the broker in Redis's words.
pub(crate) fn appendfsync(durability: Durability) -> &'static str {
    match durability {
        Durability::Always => "always",
        Durability::Interval(_) => "everysec",
        Durability::Os => "no",
    }
}

const I64_MAX: u64 = i64::MAX as u64;

/// All settings, sorted.
pub(crate) static SETTINGS: &[Setting] = &[
    Setting {
        name: "appendfsync",
        get: |shared| appendfsync(shared.broker.durability()).to_owned(),
        may_be: MayBe::Same(&["everysec", "always", "no"]),
    },
    Setting { name: "appendonly", get: |_| "yes".to_owned(), may_be: MayBe::Same(&["yes", "no"]) },
    Setting { name: "bind", get: |shared| shared.listens.bind.join(" "), may_be: MayBe::Same(&[]) },
    Setting { name: "databases", get: |_| "1".to_owned(), may_be: MayBe::Fixed },
    Setting {
        name: "maxclients",
        get: |shared| shared.settings.clients_max().to_string(),
        may_be: MayBe::Number(1, u32::MAX as u64, |shared, clients| {
            shared.settings.clients_max.store(clients as usize, Ordering::Relaxed);
        }),
    },
    Setting { name: "maxmemory", get: |_| "0".to_owned(), may_be: MayBe::Same(&["0"]) },
    Setting { name: "maxmemory-policy", get: |_| "noeviction".to_owned(), may_be: MayBe::Same(&["noeviction"]) },
    Setting { name: "port", get: |shared| shared.listens.port.to_string(), may_be: MayBe::Same(&[]) },
    Setting {
        name: "proto-max-bulk-len",
        get: |shared| shared.settings.bulk_bytes_max().to_string(),
        may_be: MayBe::Bytes(1 << 20, I64_MAX, |shared, bytes| {
            shared.settings.bulk_bytes_max.store(bytes as usize, Ordering::Relaxed);
        }),
    },
    Setting {
        name: "requirepass",
        get: |shared| shared.settings.password(),
        may_be: MayBe::Any(
            |shared, password| {
                if password.is_empty() && !shared.settings.local {
                    return Err("other machines can reach this server: it needs a password".to_owned());
                }
                Ok(())
            },
            |shared, password| shared.settings.set_password(password),
        ),
    },
    Setting { name: "save", get: |_| String::new(), may_be: MayBe::Same(&[""]) },
    Setting {
        name: "stream-idmp-duration",
        get: |shared| shared.broker.adjustable().idempotency().seconds.to_string(),
        may_be: MayBe::Number(1, Idempotency::SECONDS_MAX as u64, |shared, seconds| {
            let settings = shared.broker.adjustable();
            settings.set_idempotency(Idempotency { seconds: seconds as u32, ..settings.idempotency() });
        }),
    },
    Setting {
        name: "stream-idmp-maxsize",
        get: |shared| shared.broker.adjustable().idempotency().ids_max.to_string(),
        may_be: MayBe::Number(1, Idempotency::IDS_MAX as u64, |shared, ids| {
            let settings = shared.broker.adjustable();
            settings.set_idempotency(Idempotency { ids_max: ids as u32, ..settings.idempotency() });
        }),
    },
    Setting {
        name: "stream-node-max-bytes",
        get: |shared| shared.settings.node_bytes_max.load(Ordering::Relaxed).to_string(),
        may_be: MayBe::Bytes(0, I64_MAX, |shared, bytes| {
            shared.settings.node_bytes_max.store(bytes, Ordering::Relaxed);
        }),
    },
    Setting {
        name: "stream-node-max-entries",
        get: |shared| shared.broker.adjustable().node_entries().to_string(),
        may_be: MayBe::Number(0, I64_MAX, |shared, entries| shared.broker.adjustable().set_node_entries(entries)),
    },
    Setting {
        name: "timeout",
        get: |shared| shared.settings.idle_max().map_or(0, |idle| idle.as_secs()).to_string(),
        may_be: MayBe::Number(0, i32::MAX as u64, |shared, seconds| {
            shared.settings.idle_seconds_max.store(seconds, Ordering::Relaxed);
        }),
    },
    Setting { name: "unixsocket", get: |shared| shared.listens.unix.clone().unwrap_or_default(), may_be: MayBe::Fixed },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_that_and_nothing_else() {
        let settings = Settings::new(1, 1, None, Secret::new(b"secret".to_vec()), true);
        assert!(settings.is_password(b"secret"));
        // Not as text, nor byte by byte.
        let shown = format!("{settings:?}");
        assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
        for other in [&b""[..], b"s", b"secre", b"secrets", b"secretsecret", b"Secret", &[0; 6]] {
            assert!(!settings.is_password(other));
        }
        let none = Settings::new(1, 1, None, Secret::new(Vec::new()), true);
        assert!(!none.has_password() && none.is_password(b"anything"));
    }

    #[test]
    fn bytes_have_units_as_in_redis() {
        for (text, count) in [
            ("0", 0),
            ("17", 17),
            ("1b", 1),
            ("1k", 1000),
            ("2KB", 2048),
            ("1m", 1_000_000),
            ("512mb", 512 << 20),
            ("1g", 1_000_000_000),
        ] {
            assert_eq!(bytes(text.as_bytes()), Some(count), "{text}");
        }
        for text in ["", "k", "-1", "1 k", "1kib", "99999999999gb", "\u{fffd}"] {
            assert_eq!(bytes(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn settings_are_sorted_by_name() {
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
    }
}
