//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`: commands that are queued, and then run as one change.

use std::time::Instant;

use super::commands::{self, Control, Kind, Spec};
use super::encode;
use super::runner::{Runner, Step, command, said};
use super::session::Transaction;
use crate::command::{Command, Reply, Wait, parse_error_text};
use crate::stream::owed::Owed;

/// What an argument costs in memory beside its bytes, and what a watch does.
const OVERHEAD_BYTES: usize = 48;

impl Transaction {
    /// A command was refused: there will be no `EXEC`, so nothing is kept for it.
    pub(super) fn fail(&mut self) {
        *self = Transaction { failed: true, ..Transaction::default() };
    }
}

impl Kind {
    pub(super) fn is(self, control: Control) -> bool {
        matches!(self, Kind::Control(this) if this == control)
    }
}

impl Runner {
    pub(super) fn control(&mut self, control: Control, args: &[&[u8]]) -> Reply {
        let is_inside = self.session.transaction.is_some();
        match control {
            Control::Multi if is_inside => error("MULTI calls can not be nested"),
            Control::Multi => {
                self.session.transaction = Some(Transaction::default());
                Reply::OK
            }
            Control::Discard if !is_inside => error("DISCARD without MULTI"),
            Control::Discard => {
                self.session.forget_transaction();
                Reply::OK
            }
            Control::Watch if is_inside => error("WATCH inside MULTI is not allowed"),
            Control::Watch => args[1..].iter().find_map(|name| self.watch(name).err()).unwrap_or(Reply::OK),
            Control::Unwatch => {
                self.session.unwatch();
                Reply::OK
            }
            Control::Exec => unreachable!("it is run by itself"),
        }
    }

    /// Queues a command for `EXEC`.
    pub(super) fn queue(&mut self, spec: &'static Spec, args: &[&[u8]]) -> Step {
        let limit = self.running.options.transaction_bytes_max;
        let transaction = self.session.transaction.as_mut().expect("it is why this is queued");
        if !transaction.failed {
            let bytes: usize = args.iter().map(|arg| arg.len() + OVERHEAD_BYTES).sum();
            if transaction.bytes + bytes > limit {
                return self.refuse(Some(spec), format!("ERR the commands of a transaction are at most {limit} bytes"));
            }
            transaction.bytes += bytes;
            transaction.queued.push(args.iter().map(|arg| arg.to_vec()).collect());
        }
        self.begin(spec);
        if self.session.ends_command() {
            self.output.extend_from_slice(b"+QUEUED\r\n");
        }
        Step::Done
    }

    fn watch(&mut self, name: &[u8]) -> Result<(), Reply> {
        let Ok(name) = std::str::from_utf8(name) else {
            // What cannot be there does not change.
            return Ok(());
        };
        if self.session.watched.contains(name) {
            return Ok(());
        }
        let limit = self.running.options.transaction_bytes_max;
        let bytes = self.session.watched_bytes + name.len() + OVERHEAD_BYTES;
        if bytes > limit {
            return Err(error(&format!("the names watched are at most {limit} bytes")));
        }
        let watch = self.running.shared.broker.watch(name).map_err(|error| Reply::Error(parse_error_text(&error)))?;
        self.session.watches.push(watch);
        self.session.watched.insert(name.to_owned());
        self.session.watched_bytes = bytes;
        Ok(())
    }

    /// An `EXEC` that is refused ends the transaction too; says why.
    pub(super) fn abort(&mut self, text: &str) -> String {
        self.session.forget_transaction();
        format!("EXECABORT Transaction discarded because of: {}", text.strip_prefix("ERR ").unwrap_or(text))
    }

    /// Returns all the replies, as bytes: each takes several times as much memory before, and there may be many.
    ///
    /// # Errors
    ///
    /// What is answered where nothing was run.
    pub(super) fn exec(&mut self) -> Result<Vec<u8>, Reply> {
        let Some(transaction) = self.session.transaction.take() else { return Err(error("EXEC without MULTI")) };
        let watches = std::mem::take(&mut self.session.watches);
        self.session.unwatch();
        if transaction.failed {
            return Err(Reply::Error("EXECABORT Transaction discarded because of previous errors.".to_owned()));
        }
        let broker = self.running.shared.broker.clone();
        let (done, owed) = broker.owing(|| broker.alone(&watches, || self.run_all(&transaction.queued)));
        self.wrote(owed);
        match done {
            Ok(Some(replies)) => Ok(replies),
            Ok(None) => Err(Reply::NullArray),
            Err(error) => Err(Reply::Error(parse_error_text(&error))),
        }
    }

    /// Runs all commands of an `EXEC`, whatever becomes of the client: one whose replies are too large is told nothing.
    fn run_all(&mut self, queued: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let bytes_max = self.running.options.output_bytes_max;
        let mut replies = Vec::new();
        encode::array(&mut replies, queued.len());
        for args in queued {
            let reply = self.run_queued(args, bytes_max.saturating_sub(replies.len()));
            if replies.len() <= bytes_max {
                encode::reply(&mut replies, self.session.protocol, &reply);
            }
        }
        replies
    }

    /// One command of an `EXEC`, with so much room for its reply; others see nothing of it yet. None waits.
    fn run_queued(&mut self, args: &[Vec<u8>], bytes_max: usize) -> Reply {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let began = Instant::now();
        let spec = match commands::look_up(&args) {
            Ok(spec) => spec,
            Err(refused) => return Reply::Error(refused.text),
        };
        self.session.client.runs(spec);
        let reply = match spec.kind {
            Kind::Stream => match command(&args, bytes_max) {
                Ok(mut command) => {
                    match &mut command {
                        Command::XRead(read) => read.wait = Wait::No,
                        Command::XReadGroup(read) => read.wait = Wait::No,
                        _ => {}
                    }
                    said(&command, self.running.shared.broker.execute_within(&command, bytes_max))
                }
                Err(error) => Reply::Error(parse_error_text(&error)),
            },
            Kind::Server(run) => self.server(run, &args),
            Kind::Control(control) => self.control(control, &args),
            Kind::Container => unreachable!("look_up gives its subcommands"),
        };
        let text = if let Reply::Error(text) = &reply { Some(text.as_str()) } else { None };
        self.session.client.ran();
        self.running.shared.stats.note(spec, began.elapsed(), text);
        reply
    }

    /// What was written is owed, and not seen by this connection before it is durable.
    pub(super) fn wrote(&mut self, owed: Owed) {
        self.hidden |= owed != Owed::NOTHING;
        self.owed = self.owed.max(owed);
    }
}

fn error(text: &str) -> Reply {
    Reply::Error(format!("ERR {text}"))
}
