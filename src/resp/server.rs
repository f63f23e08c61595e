//! The server: its threads, who they serve, and how it ends.
//!
//! ```text
//! streamlog-resp      accepts, deals connections to the others in turn, closes who is idle for too long, ends the rest
//! streamlog-resp-1…   each serves its connections, one at a time: a runtime of its own, of one thread
//! ```
//!
//! Knows no request and no reply.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::config::Settings;
use super::connection;
use super::listener::{self, Bound, Listener, SocketFile};
use super::options::{Builder, Options};
use super::shared::{Admitted, Listens, Peer, Shared};
use super::socket::Unowned;
use crate::broker::Broker;
use crate::error::{Error, ErrorKind, Result};

/// How often it is looked who was idle for too long: the time is given in whole seconds.
const SWEEP: Duration = Duration::from_secs(1);

/// How long nothing is accepted after that failed: for want of open files, most likely, and trying at once would only take time.
const ACCEPT_NAP: Duration = Duration::from_millis(100);

const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// What the threads of a server share.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
}

/// A server that speaks the Redis protocol, and serves until it is [shut down](Server::shutdown) or dropped.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use streamlog::{Broker, resp::Server};
///
/// let broker = Broker::in_memory()?;
/// let server = Server::builder(&broker).bind("127.0.0.1:0").start()?;
///
/// let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
/// client.write_all(b"XADD orders 5-1 sku A1\r\n").unwrap();
/// let mut reply = [0; 9];
/// client.read_exact(&mut reply).unwrap();
/// assert_eq!(&reply, b"$3\r\n5-1\r\n");
///
/// assert_eq!(broker.stream("orders")?.len()?, 1);
/// server.shutdown(Duration::from_secs(1));
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    /// Until when connections may go on with what they are in the middle of; `None` as long as the server is to go on.
    stop: watch::Sender<Option<Instant>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: Arc<Ended>,
}

/// Whether the server has ended, for those who wait for that.
#[derive(Debug, Default)]
struct Ended {
    is: Mutex<bool>,
    bell: Condvar,
}

impl Server {
    /// A server about to be started, of the streams of this broker. It keeps the broker open as long as it serves.
    pub fn builder(broker: &Broker) -> Builder {
        Builder::new(broker)
    }

    pub(super) fn start(builder: Builder) -> Result<Server> {
        let Builder { broker, tcp, unix, options } = builder;
        if tcp.is_empty() && unix.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "a server needs an address to listen on"));
        }
        let mut bound = listener::tcp(tcp, options.password.is_some())?;
        bound.extend(listener::unix(&unix)?);
        let addresses: Vec<_> = bound.iter().filter_map(Bound::address).collect();

        let listens = Listens {
            bind: addresses.iter().map(|address| address.ip().to_string()).collect(),
            port: addresses.first().map_or(0, SocketAddr::port),
            unix: unix.first().map(|path| path.display().to_string()),
        };
        let is_local = addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
        let Options { clients_max, bulk_bytes_max, idle_max, ref password, .. } = options;
        let settings = Settings::new(clients_max, bulk_bytes_max, idle_max, password.clone(), is_local);
        let shared = Arc::new(Shared::new(broker, settings, listens));
        let running = Arc::new(Running { shared, options });

        let (stop, stopping) = watch::channel(None);
        let ended = Arc::new(Ended::default());
        let workers = (1..=running.options.threads).map(|number| Worker::start(number, &running));
        let workers = workers.collect::<Result<Vec<_>>>()?;
        let control = Control { runtime: runtime()?, running, workers, stopping };
        let bell = Arc::clone(&ended);
        let thread = spawn("streamlog-resp".to_owned(), move || {
            let _rings = Rings(bell);
            control.run(bound);
        })?;
        Ok(Server { addresses, stop, thread: Mutex::new(Some(thread)), ended })
    }

    /// The first TCP address that it listens on, with the port that it was given.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// All TCP addresses that it listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends it: accepts nobody more, ends waiting for entries, lets what is being run be answered, and closes. Connections that
    /// are not done with that after `timeout` are closed as they are; a command that holds its thread is waited for. The broker
    /// stays open.
    pub fn shutdown(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        self.stop.send_if_modified(|stop| {
            let sooner = stop.is_none_or(|before| until < before);
            if sooner {
                *stop = Some(until);
            }
            sooner
        });
        self.wait();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It has rung the bell, and has nothing more to say, a panic neither.
            let _ = thread.join();
        }
    }

    /// Waits until it has ended: [`shutdown`](Server::shutdown) was called by another thread.
    pub fn wait(&self) {
        let mut ended = self.ended.is.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            ended = self.ended.bell.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown(Duration::ZERO);
    }
}

/// Says that the server has ended, however it did.
struct Rings(Arc<Ended>);

impl Drop for Rings {
    fn drop(&mut self) {
        *self.0.is.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.bell.notify_all();
    }
}

/// A connection on its way to the thread that serves it; the sender tells whether there still are any.
type Dealt = (Unowned, Admitted, mpsc::Sender<()>);

/// A thread that serves connections.
struct Worker {
    deal: mpsc::UnboundedSender<Dealt>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(number: usize, running: &Arc<Running>) -> Result<Worker> {
        let (deal, mut dealt) = mpsc::unbounded_channel::<Dealt>();
        let (runtime, running) = (runtime()?, Arc::clone(running));
        let thread = spawn(format!("streamlog-resp-{number}"), move || {
            runtime.block_on(async {
                while let Some((socket, admitted, alive)) = dealt.recv().await {
                    let running = Arc::clone(&running);
                    tokio::spawn(async move {
                        let _alive = alive;
                        connection::serve(socket, admitted, running).await;
                    });
                }
            });
        })?;
        Ok(Worker { deal, thread })
    }
}

/// The thread that accepts.
struct Control {
    runtime: Runtime,
    running: Arc<Running>,
    workers: Vec<Worker>,
    stopping: watch::Receiver<Option<Instant>>,
}

impl Control {
    fn run(self, bound: Vec<Bound>) {
        let Control { runtime, running, workers, mut stopping } = self;
        runtime.block_on(async {
            let (alive, mut all_gone) = mpsc::channel::<()>(1);
            tokio::select! {
                () = accept_all(bound, &running, &workers, alive) => {}
                () = sweep(&running.shared) => {}
                _ = stopping.wait_for(Option::is_some) => {}
            }
            // No listener is left, and nobody is admitted any more.
            running.shared.clients.all().iter().for_each(|client| client.stop());
            loop {
                let until = stopping.borrow_and_update().unwrap_or_else(Instant::now);
                tokio::select! {
                    _ = all_gone.recv() => break,
                    () = time::sleep_until(until) => break,
                    // It may be less now.
                    Ok(()) = stopping.changed() => {}
                }
            }
        });
        let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// Accepts from all listeners for as long as it is polled; their files go with it.
async fn accept_all(bound: Vec<Bound>, running: &Arc<Running>, workers: &[Worker], alive: mpsc::Sender<()>) {
    let (accepted, mut connections) = mpsc::channel::<(Unowned, Peer)>(1);
    let mut listeners = JoinSet::new();
    let mut files: Vec<SocketFile> = Vec::new();
    for bound in bound {
        match bound.adopt() {
            Ok((listener, file)) => {
                files.extend(file);
                listeners.spawn(accept(listener, accepted.clone()));
            }
            Err(error) => tracing::error!(%error, "a socket cannot be listened on"),
        }
    }
    let mut next = workers.iter().cycle();
    while let Some((socket, peer)) = connections.recv().await {
        match running.shared.admit(peer) {
            Some(admitted) => {
                let worker = next.next().expect("there is one at least");
                // It takes all until this side hangs up.
                let _ = worker.deal.send((socket, admitted, alive.clone()));
            }
            None => socket.refuse(TOO_MANY),
        }
    }
}

async fn accept(listener: Listener, accepted: mpsc::Sender<(Unowned, Peer)>) {
    loop {
        match listener.accept().await {
            Ok(connection) => {
                if accepted.send(connection).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                time::sleep(ACCEPT_NAP).await;
            }
        }
    }
}

/// Closes who was idle for too long, for as long as it is polled.
async fn sweep(shared: &Shared) {
    let mut ticks = time::interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(idle_max) = shared.settings.idle_max() else { continue };
        for client in shared.clients.all() {
            if !client.is_blocked() && client.idle() > idle_max {
                shared.clients.kill(&client);
            }
        }
    }
}

fn runtime() -> Result<Runtime> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build();
    runtime.map_err(|error| Error::io("starting a runtime", error))
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let doing = format!("starting the thread {name}");
    thread::Builder::new().name(name).spawn(work).map_err(|error| Error::io(doing, error))
}
