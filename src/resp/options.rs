//! What a server's builder sets: where it listens, who may use it, and a limit on everything, each with its reason.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use super::Server;
use super::config::Secret;
use crate::broker::Broker;
use crate::error::Result;

/// More do not help: the journal is one, and so is the lock of each stream.
const THREADS_MAX: usize = 4;

/// A server about to be started: [`Server::builder`].
///
/// ```
/// use std::time::Duration;
/// use streamlog::{Broker, resp::Server};
///
/// let broker = Broker::in_memory()?;
/// let server = Server::builder(&broker).bind("127.0.0.1:0").clients_max(100).start()?;
/// println!("redis-cli -p {}", server.local_addr().unwrap().port());
/// server.shutdown(Duration::from_secs(1));
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing listens before `start` is called"]
pub struct Builder {
    pub(super) broker: Broker,
    pub(super) tcp: Vec<io::Result<Vec<SocketAddr>>>,
    pub(super) unix: Vec<PathBuf>,
    pub(super) options: Options,
}

/// What a [`Builder`] sets.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) password: Option<Secret>,
    pub(super) threads: usize,
    pub(super) clients_max: usize,
    pub(super) request_bytes_max: usize,
    pub(super) arguments_max: usize,
    pub(super) bulk_bytes_max: usize,
    pub(super) backlog_bytes_max: usize,
    pub(super) output_bytes_max: usize,
    pub(super) transaction_bytes_max: usize,
    pub(super) idle_max: Option<Duration>,
    pub(super) password_wait: Duration,
}

impl Default for Options {
    fn default() -> Options {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Options {
            password: None,
            threads: threads.min(THREADS_MAX),
            clients_max: 10_000,
            request_bytes_max: 64 << 20,
            arguments_max: 1 << 20,
            bulk_bytes_max: 64 << 20,
            backlog_bytes_max: 1 << 20,
            output_bytes_max: 256 << 20,
            transaction_bytes_max: 64 << 20,
            idle_max: None,
            password_wait: Duration::from_secs(10),
        }
    }
}

impl Builder {
    pub(super) fn new(broker: &Broker) -> Builder {
        Builder { broker: broker.clone(), tcp: Vec::new(), unix: Vec::new(), options: Options::default() }
    }

    /// Listens on a TCP address, or on all that a name stands for; on one more each time this is called. Port 0 is any that is
    /// free: [`Server::local_addr`] says which. An address that is not of this machine's own (`127.0.0.1`, `::1`) needs a
    /// [`password`](Builder::password).
    pub fn bind(mut self, address: impl ToSocketAddrs) -> Builder {
        self.tcp.push(address.to_socket_addrs().map(Iterator::collect));
        self
    }

    /// Listens on a unix socket, on one more each time this is called. Only the user whose process this is can reach it (mode
    /// 0600). A socket that a server left behind is replaced; the file goes when the server does.
    #[cfg(unix)]
    pub fn bind_unix(mut self, path: impl Into<PathBuf>) -> Builder {
        self.unix.push(path.into());
        self
    }

    /// The password that a client has to give (`AUTH`, `HELLO … AUTH`), as the user `default`. None if not said, or if it is
    /// empty; then the server can only be reached from this machine. What is sent is not encrypted, the password neither.
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Builder {
        self.options.password = Secret::new(password.into());
        self
    }

    /// Threads that serve connections: as many as there are cores, 4 at most, if not said. One connection is served by one of them.
    pub fn threads(mut self, threads: usize) -> Builder {
        self.options.threads = threads.max(1);
        self
    }

    /// Connections at a time: 10,000 if not said (`maxclients`). One more is told so and closed: each takes an open file and some
    /// kilobytes.
    pub fn clients_max(mut self, clients: usize) -> Builder {
        self.options.clients_max = clients;
        self
    }

    /// Bytes of one request, all its arguments together: 64 MiB if not said, as much as a batch of the broker may have. A request is in
    /// memory as a whole before it is run; room is made for it as it comes, never for what it promises.
    pub fn request_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.request_bytes_max = bytes;
        self
    }

    /// Arguments of one request: 1,048,576 if not said. Each takes some bytes beside its own, and may take none of its own.
    pub fn arguments_max(mut self, arguments: usize) -> Builder {
        self.options.arguments_max = arguments;
        self
    }

    /// Bytes of one argument (`proto-max-bulk-len`): 64 MiB if not said, as [`request_bytes_max`](Builder::request_bytes_max), which it is
    /// part of.
    pub fn bulk_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.bulk_bytes_max = bytes;
        self
    }

    /// Bytes that are read of a connection that waits for entries (`BLOCK`): 1 MiB if not said. It may send further
    /// requests meanwhile; more than this stay in the system's buffers and then with the client.
    pub fn backlog_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.backlog_bytes_max = bytes;
        self
    }

    /// Bytes of one reply: 256 MiB if not said. A range that has more (`XRANGE`) is refused, and should say `COUNT`; a read of new
    /// entries (`XREAD`, `XREADGROUP`) takes a quarter of this at most, and the next has the rest; what else is larger closes the connection. Nothing
    /// is run for a client that has not read what it was answered, so that this, and little beside it, is what one can hold.
    pub fn output_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.output_bytes_max = bytes;
        self
    }

    /// Bytes of the commands between `MULTI` and `EXEC`, and of the names watched: 64 MiB if not said. They are in memory until `EXEC`,
    /// and become one record.
    pub fn transaction_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.transaction_bytes_max = bytes;
        self
    }

    /// How long a connection may say nothing before it is closed, unless it waits for entries (`timeout`); in whole seconds. For ever if not
    /// said: clients keep connections for later.
    pub fn idle_max(mut self, idle: Duration) -> Builder {
        self.options.idle_max = Some(idle);
        self
    }

    /// How long a connection has to give the password: 10 s if not said. Strangers must not take the places of
    /// [clients](Builder::clients_max).
    pub fn password_wait(mut self, wait: Duration) -> Builder {
        self.options.password_wait = wait;
        self
    }

    /// Listens, and serves from now on, on threads of its own.
    ///
    /// # Errors
    ///
    /// [`PasswordNeeded`](crate::ErrorKind::PasswordNeeded) for an address that others can reach, if there is no password;
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no address at all, or something that is no socket at a path;
    /// [`AddressInUse`](crate::ErrorKind::AddressInUse); what the system says.
    pub fn start(self) -> Result<Server> {
        Server::start(self)
    }
}
