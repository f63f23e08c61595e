//! What can be set while the server runs (`CONFIG`), and the password.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// What can be set while the server runs. The fields begin as the server's builder says.
#[derive(Debug)]
pub(crate) struct Settings {
    clients_max: AtomicUsize,
    bulk_bytes_max: AtomicUsize,
    /// 0: none.
    idle_seconds_max: AtomicU64,
    password: RwLock<Option<Vec<u8>>>,
    /// Whether there may be no password: the server is to be reached from this machine only.
    local: bool,
}

impl Settings {
    /// `local`: the server is to be reached from this machine only, so that the password can be taken away.
    pub(crate) fn new(
        clients_max: usize,
        bulk_bytes_max: usize,
        idle_max: Option<Duration>,
        password: Option<Vec<u8>>,
        local: bool,
    ) -> Settings {
        Settings {
            clients_max: AtomicUsize::new(clients_max),
            bulk_bytes_max: AtomicUsize::new(bulk_bytes_max),
            idle_seconds_max: AtomicU64::new(idle_max.map_or(0, |idle| idle.as_secs().max(1))),
            password: RwLock::new(password.filter(|password| !password.is_empty())),
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

    /// Whether this is the password; takes as long for any that is as long. `true` if there is none.
    pub(crate) fn is_password(&self, said: &[u8]) -> bool {
        let password = self.password.read().unwrap_or_else(PoisonError::into_inner);
        password.as_ref().is_none_or(|password| same(password, said))
    }
}

/// Whether two are equal, in a time that tells nothing but the length of what was said.
fn same(secret: &[u8], said: &[u8]) -> bool {
    let mut differ = u8::from(secret.len() != said.len());
    for (at, byte) in said.iter().enumerate() {
        differ |= byte ^ secret.get(at % secret.len().max(1)).copied().unwrap_or_default();
    }
    std::hint::black_box(differ) == 0
}
