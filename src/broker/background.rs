//! The background: what is done without being waited for. Each piece of work is a step, a function that does a bounded
//! amount of it; the threads here only call steps, and a simulation calls them instead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::stream::cell::StreamCell;
use crate::stream::core::Core;
use crate::stream::work::Work;
use crate::sync::thread::{self, JoinHandle};

/// How long one sleeps who does nothing unless he is asked.
const FAR: Duration = Duration::from_secs(3600);

impl Core {
    /// Writes tails to segments, those that hold the most first, until little of the budget is used.
    pub(crate) fn flush_step(&self) -> Result<()> {
        let held = |cell: &StreamCell| cell.lock().state.log.tail_bytes();
        let mut tails: Vec<_> = self.cells().into_iter().map(|cell| (held(&cell), cell)).collect();
        tails.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut left: usize = tails.iter().map(|(bytes, _)| bytes).sum();
        for (bytes, cell) in tails {
            if left <= self.options.tail_bytes / 8 {
                break;
            }
            self.flush(&cell)?;
            left -= bytes;
        }
        Ok(())
    }

    /// Has the threads end.
    pub(super) fn stop_background(&self) {
        for work in [&self.work, &self.flush_work, &self.sync_work] {
            work.want(Work::STOP);
        }
    }

    /// Does what is wanted: each thing, whatever became of the others. Returns what could not be done, and why.
    fn work(&self, wanted: u32) -> std::result::Result<(), (u32, Error)> {
        let spares = || {
            while self.journal.prepare_spare()? {}
            Ok(())
        };
        let works: [(u32, &dyn Fn() -> Result<()>); 5] = [
            (Work::DUE, &|| self.due_step().map(drop)),
            (Work::SPARE, &spares),
            (Work::FLUSH, &|| if self.is_short_of_room() { self.make_room() } else { self.flush_step() }),
            (Work::TRIM, &|| self.apply_retention()),
            (Work::CHECKPOINT, &|| self.checkpoint()),
        ];
        let mut done = Ok(());
        for (kind, work) in works.into_iter().filter(|(kind, _)| wanted & kind != 0) {
            if let Err(error) = work() {
                let failed = done.as_ref().map_or_else(|(failed, _): &(u32, Error)| *failed, |()| 0);
                done = Err((failed | kind, error));
            }
        }
        done
    }
}

/// Starts the threads. What keeps those who add from waiting waits for no checkpoint: it has a thread of its own.
///
/// # Errors
///
/// If one cannot be started; then none runs.
pub(super) fn start(core: &Arc<Core>) -> Result<Vec<JoinHandle<()>>> {
    let mut started = Vec::new();
    let mut start = |name, run: fn(&Core)| spawn(name, core, run).map(|thread| started.push(thread));
    let all = start("streamlog-work", keep)
        .and_then(|()| start("streamlog-flush", flush_on_demand))
        .and_then(|()| start("streamlog-sync", sync_on_time));
    if let Err(error) = all {
        // The directory is unlocked next, and another may open it.
        core.stop_background();
        started.into_iter().for_each(|thread| drop(thread.join()));
        return Err(error);
    }
    Ok(started)
}

fn spawn(name: &str, core: &Arc<Core>, run: impl FnOnce(&Core) + Send + 'static) -> Result<JoinHandle<()>> {
    let core = Arc::clone(core);
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run(&core))
        .map_err(|error| Error::io("starting a thread", error))
}

/// Does what one thread is asked to, again and again.
struct Worker<'a> {
    core: &'a Core,
    asked: &'a Work,
    failed: bool,
}

impl<'a> Worker<'a> {
    fn new(core: &'a Core, asked: &'a Work) -> Worker<'a> {
        Worker { core, asked, failed: false }
    }

    fn work(&mut self, wanted: u32) {
        match self.core.work(wanted) {
            Ok(()) => self.failed = false,
            // Closed in the middle of it: what is left is done after the next opening.
            Err((_, error)) if error.kind() == ErrorKind::Closed => {}
            Err((not_done, error)) => {
                // Once, not every second; whoever writes is told each time.
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!(%error, "background work failed");
                }
                if self.core.journal.check().is_ok() {
                    // Retention and what is due come again by themselves; a damaged stream would have it tried without end.
                    self.asked.want(not_done & !(Work::TRIM | Work::DUE));
                }
            }
        }
        if self.failed {
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn keep(core: &Core) {
    let mut worker = Worker::new(core, &core.work);
    let mut told = false;
    let mut trimmed = Instant::now();
    loop {
        let due = core.until_due();
        let interval = core.options.retention_interval;
        let mut wanted = core.work.take(due.map_or(interval, |due| due.min(interval)));
        if wanted & Work::STOP != 0 {
            return;
        }
        if !told && core.journal.check().is_err() {
            // Whoever waits for new entries would wait for ever.
            told = true;
            core.wake_everybody();
        }
        // One step each time, so that the rest has its turn where much is due.
        wanted |= due.map_or(0, |_| Work::DUE);
        if trimmed.elapsed() >= core.options.retention_interval {
            trimmed = Instant::now();
            wanted |= Work::TRIM;
        }
        worker.work(wanted);
    }
}

fn flush_on_demand(core: &Core) {
    let mut worker = Worker::new(core, &core.flush_work);
    loop {
        match core.flush_work.take(FAR) {
            wanted if wanted & Work::STOP != 0 => return,
            wanted => worker.work(wanted),
        }
    }
}

fn sync_on_time(core: &Core) {
    loop {
        let interval = core.sync_interval();
        match core.sync_work.take(interval.unwrap_or(FAR)) {
            0 if interval.is_some() => {
                // A failure stops all writing, and whoever writes is told.
                let _ = core.sync();
            }
            wanted if wanted & Work::STOP != 0 => return,
            // Whoever waits for what this does not cover has asked again by the time that it is done, or asks then.
            wanted if wanted & Work::SYNC != 0 => core.sync_asked(),
            _ => {}
        }
    }
}
