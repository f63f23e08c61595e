//! What all connections share: the broker, who is connected, what was counted, what is set. Knows no socket.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::clients::Clients;
pub(crate) use super::clients::{Client, Peer};
use super::config::Settings;
use super::open_files;
use super::stats::Stats;
use crate::broker::Broker;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) clients: Clients,
    pub(crate) stats: Stats,
    pub(crate) settings: Settings,
    pub(crate) listens: Listens,
    /// How many connections the system has room for.
    connections_max: usize,
    pub(crate) started: Instant,
    /// 40 hexadecimal digits, others for every start.
    pub(crate) run_id: String,
}

/// Where the server listens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listens {
    /// The addresses, without ports.
    pub(crate) bind: Vec<String>,
    /// The first address's port; 0 if there is none.
    pub(crate) port: u16,
    pub(crate) unix: Option<String>,
}

impl Shared {
    pub(crate) fn new(broker: Broker, settings: Settings, listens: Listens) -> Shared {
        let connections_max = open_files::connections_max(broker.open_files_max()).unwrap_or(usize::MAX);
        if connections_max < settings.clients_max() {
            tracing::warn!(connections_max, "so many files may be open that there is room for so many clients only");
        }
        Shared {
            broker,
            clients: Clients::default(),
            stats: Stats::new(),
            settings,
            listens,
            connections_max,
            started: Instant::now(),
            run_id: run_id(),
        }
    }

    /// How many connections there may be: as many as are set, and no more than there is room for.
    pub(crate) fn clients_max(&self) -> usize {
        self.settings.clients_max().min(self.connections_max)
    }

    /// A connection is there: counts it; `None` if there are as many as there may be, and then it is to be told
    /// `-ERR max number of clients reached` and closed.
    pub(crate) fn admit(self: &Arc<Shared>, peer: Peer) -> Option<Admitted> {
        self.stats.connected();
        let Some(client) = self.clients.register(peer, self.clients_max()) else {
            self.stats.turned_away();
            return None;
        };
        Some(Admitted { shared: Arc::clone(self), client })
    }
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    shared: Arc<Shared>,
    pub(crate) client: Arc<Client>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.shared.clients.forget(self.client.id);
    }
}

/// Microseconds since the Unix epoch.
pub(crate) fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn run_id() -> String {
    let mut bytes = [0; 20];
    // It names a start, it guards nothing: zeros do.
    let _ = getrandom::fill(&mut bytes);
    crate::codec::hex(&bytes)
}
