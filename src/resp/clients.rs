//! Who is connected: what others see of a connection (`CLIENT LIST`), and what they can ask of it (`CLIENT KILL`, `CLIENT UNBLOCK`).
//!
//! A connection writes down what it does in atomics, for others to look at; what is asked of it, it waits for. Knows no socket
//! and no command.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::commands::{self, Spec};
use super::stats::Stats;

/// Where a connection comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// `127.0.0.1:40000`, or the path of a unix socket and `:0`.
    pub(crate) address: String,
    /// The server's end of it.
    pub(crate) local: String,
    pub(crate) unix: bool,
    /// The file descriptor's number, for people; -1 where there is none.
    pub(crate) fd: i64,
}

/// What others see of a connection, and what they can ask of it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    connected: Instant,
    pub(crate) words: Mutex<Words>,
    pub(crate) seen: Seen,
    waiting: AtomicU8,
    killed: AtomicBool,
    stops: AtomicBool,
    asked: Notify,
}

/// What a client says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    pub(crate) name: Vec<u8>,
    pub(crate) library: Vec<u8>,
    pub(crate) library_version: Vec<u8>,
}

/// What a connection writes down of itself, now and then.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Milliseconds between the connection's beginning and the last bytes from it.
    last_ms: AtomicU64,
    /// The row of the last command; `usize::MAX` before the first.
    pub(crate) command: AtomicUsize,
    pub(crate) commands: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// Bytes read that are not executed yet, and the room that is allocated behind them.
    pub(crate) input: AtomicUsize,
    pub(crate) input_free: AtomicUsize,
    /// Bytes of replies that are not written yet.
    pub(crate) output: AtomicUsize,
    /// 2 or 3.
    pub(crate) protocol: AtomicU8,
    /// Commands since `MULTI`; -1 outside.
    pub(crate) queued: AtomicI64,
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) watched: AtomicUsize,
    pub(crate) no_evict: AtomicBool,
    pub(crate) no_touch: AtomicBool,
}

/// How a client that waits is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unblock {
    /// As if its time were over: a null array.
    Timeout,
    /// `-UNBLOCKED client unblocked via CLIENT UNBLOCK`.
    Error,
}

/// What others ask of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// To end at once.
    Kill,
    /// To end when what is being run is answered: the server goes.
    Stop,
    /// To wait no longer.
    Unblock(Unblock),
}

const RUNNING: u8 = 0;
const BLOCKED: u8 = 1;
const TIMED_OUT: u8 = 2;
const BROKEN_OFF: u8 = 3;

impl Client {
    fn new(id: u64, peer: Peer) -> Client {
        let seen = Seen {
            last_ms: AtomicU64::new(0),
            command: AtomicUsize::new(usize::MAX),
            commands: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            input: AtomicUsize::new(0),
            input_free: AtomicUsize::new(0),
            output: AtomicUsize::new(0),
            protocol: AtomicU8::new(2),
            queued: AtomicI64::new(-1),
            queued_bytes: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
        };
        Client {
            id,
            peer,
            connected: Instant::now(),
            words: Mutex::default(),
            seen,
            waiting: AtomicU8::new(RUNNING),
            killed: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            asked: Notify::new(),
        }
    }

    pub(crate) fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes bytes that came: once for each read.
    pub(crate) fn received(&self, bytes: usize) {
        self.seen.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.seen.last_ms.store(self.age().as_millis() as u64, Ordering::Relaxed);
    }

    /// Notes bytes that went: once for each write.
    pub(crate) fn sent(&self, bytes: usize) {
        self.seen.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes a command that is run.
    pub(crate) fn runs(&self, spec: &Spec) {
        self.seen.command.store(spec.row, Ordering::Relaxed);
    }

    /// Notes that it was run; one that waits for entries has not been yet.
    pub(crate) fn ran(&self) {
        self.seen.commands.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn age(&self) -> Duration {
        self.connected.elapsed()
    }

    /// Since when nothing came from it.
    pub(crate) fn idle(&self) -> Duration {
        self.age().saturating_sub(Duration::from_millis(self.seen.last_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_no_evict(&self, on: bool) {
        self.seen.no_evict.store(on, Ordering::Relaxed);
    }

    pub(crate) fn set_no_touch(&self, on: bool) {
        self.seen.no_touch.store(on, Ordering::Relaxed);
    }

    /// Its line of `CLIENT LIST`: Redis's fields in Redis's order, for whoever reads them by name.
    pub(crate) fn line(&self) -> String {
        let seen = &self.seen;
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let queued = seen.queued.load(Ordering::Relaxed);
        let flags = [
            (queued >= 0, 'x'),
            (self.is_blocked(), 'b'),
            (self.is_killed(), 'A'),
            (self.peer.unix, 'U'),
            (seen.no_evict.load(Ordering::Relaxed), 'e'),
            (seen.no_touch.load(Ordering::Relaxed), 'T'),
        ];
        let mut flags: String = flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).collect();
        if flags.is_empty() {
            flags.push('N');
        }
        let words = self.words().clone();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (input, output) = (of(&seen.input), of(&seen.output));
        let memory = input + of(&seen.input_free) + output + of(&seen.queued_bytes);
        let command = commands::by_row(of(&seen.command)).map_or("NULL", |spec| spec.name);
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 multi={queued} \
             watch={} qbuf={input} qbuf-free={} argv-mem=0 multi-mem={} rbs=0 rbp=0 obl={output} oll=0 omem={output} \
             tot-mem={memory} events={} cmd={command} user=default redir=-1 resp={} lib-name={} lib-ver={} io-thread=0 \
             tot-net-in={} tot-net-out={} tot-cmds={}",
            self.id,
            self.peer.address,
            self.peer.local,
            self.peer.fd,
            text(&words.name),
            self.age().as_secs(),
            self.idle().as_secs(),
            of(&seen.watched),
            of(&seen.input_free),
            of(&seen.queued_bytes),
            if output > 0 { "rw" } else { "r" },
            seen.protocol.load(Ordering::Relaxed),
            text(&words.library),
            text(&words.library_version),
            seen.received.load(Ordering::Relaxed),
            seen.sent.load(Ordering::Relaxed),
            seen.commands.load(Ordering::Relaxed),
        )
    }

    /// Has the connection end.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.asked.notify_one();
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Has the connection end when what is being run is answered.
    pub(crate) fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        self.asked.notify_one();
    }

    /// Whether the connection is to begin with nothing more.
    pub(crate) fn is_over(&self) -> bool {
        self.stops.load(Ordering::Acquire) || self.is_killed()
    }

    /// Waits until the connection is to end at once. As [`signal`](Client::signal), and not to be waited for beside it.
    pub(crate) async fn killed(&self) {
        while !self.is_killed() {
            self.asked.notified().await;
        }
    }

    /// Has the connection wait no longer; `false` if it does not wait.
    pub(crate) fn unblock(&self, how: Unblock) -> bool {
        let state = if how == Unblock::Timeout { TIMED_OUT } else { BROKEN_OFF };
        let waited = self.waiting.compare_exchange(BLOCKED, state, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if waited {
            self.asked.notify_one();
        }
        waited
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == BLOCKED
    }

    /// The connection waits for entries until what this returns is dropped.
    pub(crate) fn block<'a>(&'a self, stats: &'a Stats) -> Blocked<'a> {
        self.waiting.store(BLOCKED, Ordering::Release);
        stats.blocked.fetch_add(1, Ordering::Relaxed);
        Blocked { client: self, stats }
    }

    /// Waits for what others ask; `Unblock` only while [blocked](Client::block). Nothing is lost if this is dropped. One
    /// task at a time can wait: the connection's own.
    pub(crate) async fn signal(&self) -> Signal {
        loop {
            if self.is_killed() {
                return Signal::Kill;
            }
            if self.stops.load(Ordering::Acquire) {
                return Signal::Stop;
            }
            match self.waiting.load(Ordering::Acquire) {
                TIMED_OUT => return Signal::Unblock(Unblock::Timeout),
                BROKEN_OFF => return Signal::Unblock(Unblock::Error),
                _ => self.asked.notified().await,
            }
        }
    }
}

/// A connection waits for entries.
#[derive(Debug)]
pub(crate) struct Blocked<'a> {
    client: &'a Client,
    stats: &'a Stats,
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.client.waiting.store(RUNNING, Ordering::Release);
        self.stats.blocked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everybody who is connected.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last_id: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

impl Clients {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more; `None` if there are `clients_max` already.
    pub(super) fn register(&self, peer: Peer, clients_max: usize) -> Option<Arc<Client>> {
        let mut known = self.known();
        if known.clients.len() >= clients_max {
            return None;
        }
        known.last_id += 1;
        let client = Arc::new(Client::new(known.last_id, peer));
        known.clients.insert(client.id, Arc::clone(&client));
        Some(client)
    }

    /// Takes one from the list; it may have been taken before, by whoever killed it.
    pub(super) fn forget(&self, id: u64) {
        self.known().clients.remove(&id);
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.known().clients.get(&id).cloned()
    }

    /// All, by ID.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.known().clients.values().cloned().collect()
    }

    /// Has a connection end; it is on no list from now on.
    pub(crate) fn kill(&self, client: &Client) {
        self.forget(client.id);
        client.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_registered_than_may_be_and_one_that_goes_makes_room() {
        let clients = Clients::default();
        let first = clients.register(Peer::default(), 1).unwrap();
        assert!(clients.register(Peer::default(), 1).is_none());
        clients.forget(first.id);
        assert_eq!(clients.register(Peer::default(), 1).unwrap().id, first.id + 1);
    }

    #[test]
    fn who_is_killed_is_told_even_if_it_looks_later_and_is_on_no_list() {
        let clients = Clients::default();
        let client = clients.register(Peer::default(), 1).unwrap();
        clients.kill(&client);
        assert_eq!(clients.all().len(), 0);
        assert_eq!(now(client.signal()), Some(Signal::Kill));
    }

    #[test]
    fn only_who_waits_can_be_unblocked_and_once() {
        let (clients, stats) = (Clients::default(), Stats::new());
        let client = clients.register(Peer::default(), 1).unwrap();
        assert!(!client.unblock(Unblock::Timeout));
        let blocked = client.block(&stats);
        assert_eq!(stats.blocked.load(Ordering::Relaxed), 1);
        assert_eq!(now(client.signal()), None);
        assert!(client.unblock(Unblock::Error));
        assert!(!client.unblock(Unblock::Timeout));
        assert_eq!(now(client.signal()), Some(Signal::Unblock(Unblock::Error)));
        drop(blocked);
        assert_eq!(stats.blocked.load(Ordering::Relaxed), 0);
        assert_eq!(now(client.signal()), None);
    }

    /// What a future is now, if it is ready.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}
