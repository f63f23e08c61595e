//! Running one request: finds it in the table, refuses it, queues it or has it run, and writes the reply behind those before.
//!
//! What a command wrote is owed to the disk, and the connection waits for that once for all of them; until then others do not
//! see it, nor does this connection. So a command that looks waits for what was written before it; adds and acknowledgements
//! follow each other without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commands::{self, Control, Flags, Kind, Run, Spec};
use super::encode;
use super::server::Running;
use super::session::Session;
use crate::command::{Command, Reply, Wait, XRead, XReadGroup, parse_error_text};
use crate::error::Result;
use crate::stream::owed::Owed;

pub(super) const NO_PASSWORD: &str = "NOAUTH Authentication required.";

/// What became of a request.
#[derive(Debug)]
pub(super) enum Step {
    Done,
    /// Nothing yet: what is owed is to be settled, and the request to be run again.
    Unsettled,
    /// It waits for entries, as [`Broker::execute_async`](crate::Broker) does.
    Waits(&'static Spec, Box<Command>),
}

/// Runs the requests of one connection.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) running: Arc<Running>,
    pub(super) session: Session,
    /// Replies that are not written yet.
    pub(super) output: Vec<u8>,
    /// What must be durable before they are.
    pub(super) owed: Owed,
    /// Something was written that this connection would not see before it is.
    pub(super) hidden: bool,
    /// A reply was too large, and there are no replies any more.
    pub(super) is_over: bool,
}

/// A read of new entries takes this part of the bytes that a reply may have, and the next has the rest: IDs, lengths and ends of
/// lines come to the entries' own.
const READ_PART: usize = 4;

impl Runner {
    pub(super) fn new(running: Arc<Running>, session: Session) -> Runner {
        Runner { running, session, output: Vec::new(), owed: Owed::NOTHING, hidden: false, is_over: false }
    }

    /// Whether the client has yet to give a password.
    pub(super) fn is_stranger(&self) -> bool {
        !self.session.authenticated && self.running.shared.settings.has_password()
    }

    /// What was owed is durable.
    pub(super) fn settled(&mut self) {
        self.owed = Owed::NOTHING;
        self.hidden = false;
    }

    pub(super) fn run(&mut self, args: &[&[u8]]) -> Step {
        let spec = match commands::look_up(args) {
            Ok(spec) => spec,
            Err(refused) => {
                if refused.spec.is_none() && is_http(args[0]) {
                    self.session.ends = true;
                    return Step::Done;
                }
                return self.refuse(refused.spec, refused.text);
            }
        };
        if self.is_stranger() && !spec.flags.has(Flags::NO_AUTH) {
            return self.refuse(Some(spec), NO_PASSWORD.to_owned());
        }
        if self.session.transaction.is_some() && !is_run_in_transaction(spec) {
            return self.queue(spec, args);
        }
        match spec.kind {
            Kind::Stream => self.stream(spec, args),
            Kind::Server(run) => {
                self.begin(spec);
                let began = Instant::now();
                let reply = self.server(run, args);
                self.answer(spec, began.elapsed(), &reply);
                Step::Done
            }
            // Its commands may look.
            Kind::Control(Control::Exec) if self.hidden => Step::Unsettled,
            Kind::Control(Control::Exec) => {
                self.begin(spec);
                let began = Instant::now();
                match self.exec() {
                    Ok(replies) => self.answer_encoded(spec, began.elapsed(), &replies),
                    Err(reply) => self.answer(spec, began.elapsed(), &reply),
                }
                Step::Done
            }
            Kind::Control(control) => {
                self.begin(spec);
                let began = Instant::now();
                let reply = self.control(control, args);
                self.answer(spec, began.elapsed(), &reply);
                Step::Done
            }
            Kind::Container => unreachable!("look_up gives its subcommands"),
        }
    }

    fn stream(&mut self, spec: &'static Spec, args: &[&[u8]]) -> Step {
        let began = Instant::now();
        let bytes_max = self.running.options.output_bytes_max;
        let command = match command(args, bytes_max) {
            Ok(command) if self.hidden && !is_blind(&command) => return Step::Unsettled,
            Ok(command) if waits(&command) => return Step::Waits(spec, Box::new(command)),
            Ok(command) => command,
            Err(error) => {
                self.begin(spec);
                self.answer(spec, began.elapsed(), &Reply::Error(parse_error_text(&error)));
                return Step::Done;
            }
        };
        self.begin(spec);
        let broker = &self.running.shared.broker;
        let (result, owed) = broker.owing(|| broker.execute_within(&command, bytes_max));
        if matches!(command, Command::XAck { .. } | Command::XReadGroup(_)) {
            // What is acknowledged or delivered is so at once.
            self.owed = self.owed.max(owed);
        } else {
            self.wrote(owed);
        }
        self.answer(spec, began.elapsed(), &said(&command, result));
        Step::Done
    }

    /// Runs a command of the server's own; what it wrote is owed.
    pub(super) fn server(&mut self, run: Run, args: &[&[u8]]) -> Reply {
        let answer = run(&self.running.shared, &mut self.session, args);
        self.owed = self.owed.max(answer.owed);
        answer.reply
    }

    /// To be called before a command is run.
    pub(super) fn begin(&mut self, spec: &Spec) {
        self.session.begins_command();
        self.session.client.runs(spec);
    }

    /// To be called after it.
    pub(super) fn answer(&mut self, spec: &Spec, took: Duration, reply: &Reply) {
        let error = if let Reply::Error(text) = reply { Some(text.as_str()) } else { None };
        self.session.client.ran();
        self.running.shared.stats.note(spec, took, error);
        let before = self.output.len();
        self.reply(reply);
        // What was delivered is to be told, though there be many small entries in it: they have had their limit.
        let is_read = matches!(spec.name, "xread" | "xreadgroup");
        self.is_over |= !is_read && self.output.len() - before > self.running.options.output_bytes_max;
    }

    /// The same for what is encoded already, and is no error.
    fn answer_encoded(&mut self, spec: &Spec, took: Duration, reply: &[u8]) {
        self.session.client.ran();
        self.running.shared.stats.note(spec, took, None);
        self.is_over |= reply.len() > self.running.options.output_bytes_max;
        if !self.is_over && self.session.ends_command() {
            self.output.extend_from_slice(reply);
        }
    }

    fn reply(&mut self, reply: &Reply) {
        if self.session.ends_command() {
            encode::reply(&mut self.output, self.session.protocol, reply);
        }
    }

    /// Answers an error to a request that is not run.
    pub(super) fn refuse(&mut self, spec: Option<&Spec>, text: String) -> Step {
        let text = match spec {
            Some(spec) if spec.kind.is(Control::Exec) => self.abort(&text),
            _ => text,
        };
        if let Some(transaction) = &mut self.session.transaction {
            transaction.fail();
        }
        self.running.shared.stats.note_rejected(spec, &text);
        self.session.begins_command();
        self.reply(&Reply::Error(text));
        Step::Done
    }

    /// Answers an error to bytes that are no request; the connection ends.
    pub(super) fn protocol_error(&mut self, text: &str) {
        let text = format!("ERR Protocol error: {text}");
        self.running.shared.stats.note_error(&text);
        self.session.begins_command();
        self.reply(&Reply::Error(text));
        self.session.ends = true;
    }
}

/// A command of streams, whose reply is to have so many bytes at most.
pub(super) fn command(args: &[&[u8]], bytes_max: usize) -> Result<Command> {
    let mut command = Command::of(args)?;
    if let Command::XRead(XRead { limits, .. }) | Command::XReadGroup(XReadGroup { limits, .. }) = &mut command {
        let part = (bytes_max / READ_PART) as u64;
        limits.max_size = Some(limits.max_size.map_or(part, |size| size.min(part)));
    }
    Ok(command)
}

/// What a command of streams answered.
pub(super) fn said(command: &Command, result: Result<Reply>) -> Reply {
    result.unwrap_or_else(|error| Reply::Error(command.error_text(&error)))
}

/// Whether a command does the same whether or not it sees what is not durable yet.
fn is_blind(command: &Command) -> bool {
    matches!(command, Command::XAdd(_) | Command::XAck { .. })
}

/// Whether a command may wait for entries.
fn waits(command: &Command) -> bool {
    match command {
        Command::XRead(read) => read.wait != Wait::No,
        Command::XReadGroup(read) => read.wait != Wait::No,
        _ => false,
    }
}

/// What is run between `MULTI` and `EXEC`; all else is queued.
fn is_run_in_transaction(spec: &Spec) -> bool {
    match spec.kind {
        Kind::Control(control) => control != Control::Unwatch,
        _ => matches!(spec.name, "quit" | "reset"),
    }
}

/// A browser that was led here by somebody else's page sends these: what follows must not be run.
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}
