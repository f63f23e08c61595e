//! One client's loop: reads what is there, has it run, waits for the disk once for all of it, writes the replies, reads on.
//!
//! ```text
//!      ┌───────────────────────────────────────────────┐
//!      ↓                                               │ all that was read is run
//!    read ──→ turn: requests are run, replies gathered ──→ settle ──→ write ──┐
//!               ↑                                                             │ there is more, or one waits for entries
//!               └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! Nothing is read while a reply is not written: a client that does not read holds what one turn answered, and nobody else.
//! A turn is bounded, so that the other connections of the thread get theirs.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time;

use super::buffers::{self, Input};
use super::clients::{Client, Signal, Unblock};
use super::commands::Spec;
use super::encode;
use super::request::{Limits, Parser};
use super::runner::{Runner, Step, said};
use super::server::Running;
use super::session::Session;
use super::shared::Admitted;
use super::socket::{Socket, Unowned};
use crate::command::{Command, Reply, parse_error_text};
use crate::stream::owed::Owed;

/// Requests in one turn: so many are run in about a millisecond, and share a sync.
const TURN_REQUESTS_MAX: usize = 1024;

/// Replies of so many bytes end a turn: they are worth a write.
const TURN_OUTPUT_BYTES: usize = 64 << 10;

/// Arguments that need no list of their own.
const FEW_ARGUMENTS: usize = 16;

/// How long a client that was told why it is closed has to read it, and how much of what it still sends is read away meanwhile:
/// a socket that is closed with bytes unread takes back what was written to it.
const PARTING: Duration = Duration::from_secs(1);

/// How often it is looked whether a client is still there that waits for entries and has sent more than is read.
const LOOK: Duration = Duration::from_secs(1);

const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

struct Connection {
    socket: Socket,
    client: Arc<Client>,
    parser: Parser,
    input: Input,
    runner: Runner,
    /// Until when the password is to be given, if it is to be.
    password_until: Option<time::Instant>,
    /// So many bytes of the output owe nothing.
    settled: usize,
}

/// Why a turn ended.
enum Turn {
    /// There is no whole request any more.
    Dry,
    /// There may be; it is another's turn.
    Full,
    /// What is owed is to be settled before the next request.
    Unsettled,
    Waits(&'static Spec, Box<Command>),
    /// The connection is to end at once.
    Over,
}

/// The connection is over; what there was to say was said, or cannot be.
struct Over;

thread_local! {
    /// How many connections this thread serves.
    static SERVED: Cell<usize> = const { Cell::new(0) };
}

/// A connection that is counted until this is dropped, by the thread that serves it.
struct Served;

impl Served {
    fn one_more() -> Served {
        SERVED.set(SERVED.get() + 1);
        Served
    }

    /// Whether the connection that is asked for is not the only one.
    fn has_company() -> bool {
        SERVED.get() > 1
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        SERVED.set(SERVED.get() - 1);
    }
}

/// Serves a client until it goes or is to go.
pub(super) async fn serve(socket: Unowned, admitted: Admitted, running: Arc<Running>) {
    let _served = Served::one_more();
    let Ok(socket) = socket.adopt() else { return };
    let client = Arc::clone(&admitted.client);
    let session = Session::new(Arc::clone(&client), !running.shared.settings.has_password());
    let connection = Connection {
        socket,
        client,
        parser: Parser::default(),
        input: Input::default(),
        password_until: None,
        runner: Runner::new(running, session),
        settled: 0,
    };
    let Err(Over) = connection.go_on().await;
}

impl Connection {
    async fn go_on(mut self) -> Result<Infallible, Over> {
        loop {
            self.ask_password()?;
            self.read().await?;
            loop {
                let turn = self.turn();
                // Even for a client that is told nothing: others are to see what was done for it.
                self.settle().await;
                if matches!(turn, Turn::Over) {
                    return Err(Over);
                }
                if matches!(turn, Turn::Unsettled) && !self.runner.session.ends {
                    continue;
                }
                self.write().await?;
                if self.runner.session.ends {
                    return self.part().await;
                }
                if self.client.is_over() {
                    return Err(Over);
                }
                match turn {
                    Turn::Dry | Turn::Over => break,
                    Turn::Full | Turn::Unsettled => tokio::task::yield_now().await,
                    Turn::Waits(spec, command) => self.wait(spec, &command).await?,
                }
            }
        }
    }

    /// Gives a client that is to give the password so much time for that, and no more.
    fn ask_password(&mut self) -> Result<(), Over> {
        if !self.runner.is_stranger() {
            self.password_until = None;
            return Ok(());
        }
        let now = time::Instant::now();
        let until = *self.password_until.get_or_insert(now + self.runner.running.options.password_wait);
        if now < until { Ok(()) } else { Err(Over) }
    }

    /// Waits for more of what the client sends.
    async fn read(&mut self) -> Result<(), Over> {
        self.input.rest();
        buffers::give_back(&mut self.runner.output);
        loop {
            tokio::select! {
                biased;
                ready = poll_fn(|cx| self.socket.poll_read_ready(cx)) => ready.map_err(|_| Over)?,
                _ = self.client.signal() => return Err(Over),
                () = late(self.password_until) => return Err(Over),
            }
            if self.read_now().await? > 0 {
                return Ok(());
            }
        }
    }

    /// Reads what is there; it may be nothing.
    async fn read_now(&mut self) -> Result<usize, Over> {
        let read = {
            let mut read = pin!(self.socket.read_buf(self.input.room()));
            poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await
        };
        match read {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(0) | Err(_)) => Err(Over),
            Poll::Ready(Ok(bytes)) => {
                self.client.received(bytes);
                self.runner.running.shared.stats.received.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(bytes)
            }
        }
    }

    /// Has requests run, as long as there are whole ones and it is this connection's turn.
    fn turn(&mut self) -> Turn {
        if self.runner.output.capacity() == 0 {
            self.runner.output = buffers::take();
        }
        let mut turn = Turn::Full;
        for _ in 0..TURN_REQUESTS_MAX {
            let limits = self.limits();
            match self.parser.parse(self.input.unread(), &limits) {
                Ok(Some(len)) => {
                    let step = match self.parser.arguments() {
                        0 => Step::Done,
                        _ => with_args(&self.parser, self.input.unread(), |args| self.runner.run(args)),
                    };
                    if matches!(step, Step::Unsettled) {
                        turn = Turn::Unsettled;
                        break;
                    }
                    self.parser.forget();
                    self.input.consume(len);
                    if let Step::Waits(spec, command) = step {
                        turn = Turn::Waits(spec, command);
                        break;
                    }
                }
                Ok(None) => {
                    turn = Turn::Dry;
                    break;
                }
                Err(error) => self.runner.protocol_error(&error.to_string()),
            }
            if self.runner.is_over {
                self.runner.running.shared.stats.output_cut_off.fetch_add(1, Ordering::Relaxed);
            }
            if self.client.is_killed() || self.runner.is_over {
                return Turn::Over;
            }
            if self.runner.session.ends || self.runner.output.len() > TURN_OUTPUT_BYTES {
                break;
            }
        }
        self.show();
        turn
    }

    fn limits(&self) -> Limits {
        let options = &self.runner.running.options;
        Limits {
            arguments: options.arguments_max,
            bulk_bytes: self.runner.running.shared.settings.bulk_bytes_max(),
            request_bytes: options.request_bytes_max,
            stranger: self.runner.is_stranger(),
        }
    }

    /// Lets others see how it stands.
    fn show(&self) {
        self.runner.session.show();
        let seen = &self.client.seen;
        seen.input.store(self.input.unread().len(), Ordering::Relaxed);
        seen.input_free.store(self.input.free(), Ordering::Relaxed);
        seen.output.store(self.runner.output.len(), Ordering::Relaxed);
    }

    /// Waits until all that is answered is durable. If it cannot be, the answers are taken back, and the connection ends.
    async fn settle(&mut self) {
        if self.runner.owed == Owed::NOTHING {
            self.settled = self.runner.output.len();
            return;
        }
        match self.runner.running.shared.broker.settle(self.runner.owed, Served::has_company()).await {
            Ok(()) => self.settled = self.runner.output.len(),
            Err(error) => {
                self.runner.output.truncate(self.settled);
                encode::error(&mut self.runner.output, parse_error_text(&error).as_bytes());
                self.runner.session.ends = true;
            }
        }
        self.runner.settled();
    }

    /// Writes all that is answered.
    async fn write(&mut self) -> Result<(), Over> {
        let mut rest = self.runner.output.as_slice();
        while !rest.is_empty() {
            let written = tokio::select! {
                biased;
                written = self.socket.write(rest) => written,
                () = self.client.killed() => return Err(Over),
                () = late(self.password_until) => return Err(Over),
            };
            let bytes = written.ok().filter(|&bytes| bytes > 0).ok_or(Over)?;
            rest = &rest[bytes..];
            self.client.sent(bytes);
            self.client.seen.output.store(rest.len(), Ordering::Relaxed);
            self.runner.running.shared.stats.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.runner.output.clear();
        self.settled = 0;
        Ok(())
    }

    /// Runs a command that waits for entries. What was answered before is written.
    async fn wait(&mut self, spec: &'static Spec, command: &Command) -> Result<(), Over> {
        self.runner.begin(spec);
        let began = Instant::now();
        let running = Arc::clone(&self.runner.running);
        let mut answer = pin!(running.shared.broker.execute_async(command));
        let first = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        let took = began.elapsed();
        let reply = match first {
            Poll::Ready(result) => said(command, result),
            Poll::Pending => self.blocked(answer, command).await?,
        };
        self.runner.answer(spec, took, &reply);
        Ok(())
    }

    /// Waits until the command is answered, or somebody else ends that. What the client sends meanwhile is kept, up to a limit.
    async fn blocked(
        &mut self,
        mut answer: Pin<&mut impl Future<Output = crate::Result<Reply>>>,
        command: &Command,
    ) -> Result<Reply, Over> {
        let (client, running) = (Arc::clone(&self.client), Arc::clone(&self.runner.running));
        let _blocked = client.block(&running.shared.stats);
        loop {
            let has_room = self.input.unread().len() < running.options.backlog_bytes_max;
            tokio::select! {
                biased;
                // Before the answer: who was told that it waits no longer is to get nothing more.
                signal = client.signal() => return match signal {
                    Signal::Kill | Signal::Stop => Err(Over),
                    Signal::Unblock(Unblock::Timeout) => Ok(Reply::NullArray),
                    Signal::Unblock(Unblock::Error) => Ok(Reply::Error(UNBLOCKED.to_owned())),
                },
                result = &mut answer => return Ok(said(command, result)),
                ready = poll_fn(|cx| self.socket.poll_read_ready(cx)), if has_room => {
                    ready.map_err(|_| Over)?;
                    self.read_now().await?;
                    self.show();
                }
                () = self.gone(), if !has_room => return Err(Over),
            }
        }
    }

    /// Waits until the client is gone, without reading what it sends.
    async fn gone(&self) {
        while !self.socket.is_closed().await {
            time::sleep(LOOK).await;
        }
    }

    /// Lets the client read why it is closed, or that it is.
    async fn part<T>(&mut self) -> Result<T, Over> {
        let _ = self.socket.shutdown().await;
        let read_away = async {
            let mut bytes = [0; 4096];
            while self.socket.read(&mut bytes).await.is_ok_and(|bytes| bytes > 0) {}
        };
        tokio::select! {
            () = read_away => {}
            () = self.client.killed() => {}
            () = time::sleep(PARTING) => {}
        }
        Err(Over)
    }
}

/// Waits until then, if there is such a time.
async fn late(until: Option<time::Instant>) {
    match until {
        Some(until) => time::sleep_until(until).await,
        None => pending().await,
    }
}

/// Calls `work` with the arguments of the request that was understood.
fn with_args<T>(parser: &Parser, bytes: &[u8], work: impl FnOnce(&[&[u8]]) -> T) -> T {
    if parser.arguments() > FEW_ARGUMENTS {
        return work(&parser.args(bytes).collect::<Vec<_>>());
    }
    let mut few: [&[u8]; FEW_ARGUMENTS] = [&[]; FEW_ARGUMENTS];
    for (slot, arg) in few.iter_mut().zip(parser.args(bytes)) {
        *slot = arg;
    }
    work(&few[..parser.arguments()])
}
