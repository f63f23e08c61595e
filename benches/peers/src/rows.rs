//! The rows of the table of speed: what is done in each, by how many threads, at which level; and its doing, on any system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::level::Level;
use crate::system::{Consumer, Producer, System};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Add,
    AddBatch,
    AddSynced,
    AddBatchSynced,
    AddManySynced,
    Work,
    WorkBatch,
    WorkSynced,
    Mixed,
    MixedSynced,
    Scan,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// So many threads add, so many messages at a time.
    Add { producers: usize, batch: usize },
    /// One takes and acknowledges so many at a time, of what is there.
    Work { batch: usize },
    /// Producers add one by one, while consumers take and acknowledge up to so many at a time.
    Mixed { producers: usize, consumers: usize, batch: usize },
    /// A backlog is read through.
    Scan,
}

/// How many messages are one batch.
const BATCH: usize = 100;
/// How many are added at a time for what is measured afterwards.
const FILL_BATCH: usize = 1000;
/// How long a consumer waits for the first message before it looks whether all is done.
const WAIT: Duration = Duration::from_millis(5);

impl Row {
    pub(crate) const ALL: [Row; 11] = [
        Row::Add,
        Row::AddBatch,
        Row::AddSynced,
        Row::AddBatchSynced,
        Row::AddManySynced,
        Row::Work,
        Row::WorkBatch,
        Row::WorkSynced,
        Row::Mixed,
        Row::MixedSynced,
        Row::Scan,
    ];

    /// As it is asked for on the command line, and in the figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Row::Add => "add",
            Row::AddBatch => "add-batch",
            Row::AddSynced => "add-synced",
            Row::AddBatchSynced => "add-batch-synced",
            Row::AddManySynced => "add-16-synced",
            Row::Work => "work",
            Row::WorkBatch => "work-batch",
            Row::WorkSynced => "work-synced",
            Row::Mixed => "mixed",
            Row::MixedSynced => "mixed-synced",
            Row::Scan => "scan",
        }
    }

    /// As the table shows it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Row::Add => "add one by one, survives `kill -9`",
            Row::AddBatch => "add by 100, survives `kill -9`",
            Row::AddSynced => "add one by one, synced",
            Row::AddBatchSynced => "add by 100, synced",
            Row::AddManySynced => "16 threads add to one stream, synced",
            Row::Work => "read and ack one by one, survives `kill -9`",
            Row::WorkBatch => "read and ack by 100, survives `kill -9`",
            Row::WorkSynced => "read and ack one by one, ack synced",
            Row::Mixed => "4 threads add, 4 read and ack, survives `kill -9`",
            Row::MixedSynced => "4 threads add, 4 read and ack, synced",
            Row::Scan => "read a backlog through",
        }
    }

    pub(crate) fn level(self) -> Level {
        match self {
            Row::Add | Row::AddBatch | Row::Work | Row::WorkBatch | Row::Mixed | Row::Scan => Level::Os,
            Row::AddSynced | Row::AddBatchSynced | Row::AddManySynced | Row::WorkSynced | Row::MixedSynced => {
                Level::Always
            }
        }
    }

    pub(crate) fn task(self) -> Task {
        match self {
            Row::Add | Row::AddSynced => Task::Add { producers: 1, batch: 1 },
            Row::AddBatch | Row::AddBatchSynced => Task::Add { producers: 1, batch: BATCH },
            Row::AddManySynced => Task::Add { producers: 16, batch: 1 },
            Row::Work | Row::WorkSynced => Task::Work { batch: 1 },
            Row::WorkBatch => Task::Work { batch: BATCH },
            Row::Mixed | Row::MixedSynced => Task::Mixed { producers: 4, consumers: 4, batch: BATCH },
            Row::Scan => Task::Scan,
        }
    }
}

/// A row's task on a system that was opened for it, and stays open over all rounds.
pub(crate) struct Doing<'a> {
    task: Task,
    payload: &'a [u8],
    /// How many messages are read through, for a scan.
    backlog: u64,
    producers: Vec<Box<dyn Producer>>,
    consumers: Vec<Box<dyn Consumer>>,
    system: Box<dyn System>,
}

impl<'a> Doing<'a> {
    pub(crate) fn new(system: Box<dyn System>, task: Task, payload: &'a [u8], backlog: u64) -> Doing<'a> {
        let (producers, consumers) = match task {
            Task::Add { producers, .. } => (producers, 0),
            Task::Work { .. } => (1, 1),
            Task::Mixed { producers, consumers, .. } => (producers, consumers),
            Task::Scan => (1, 0),
        };
        let mut producers: Vec<_> = (0..producers).map(|_| system.producer()).collect();
        if task == Task::Scan {
            fill(&mut *producers[0], payload, backlog);
            producers.clear();
        }
        let consumers = (0..consumers).map(|number| system.consumer(number).expect("it is a queue")).collect();
        Doing { task, payload, backlog, producers, consumers, system }
    }

    /// As many messages as one call takes: what is measured is a multiple of it.
    pub(crate) fn unit(&self) -> u64 {
        match self.task {
            Task::Add { producers, batch } => (producers * batch) as u64,
            Task::Work { batch } => batch as u64,
            Task::Mixed { producers, .. } => producers as u64,
            Task::Scan => BATCH as u64,
        }
    }

    /// Does it with so many messages, a multiple of [`unit`](Doing::unit); returns how long it took.
    pub(crate) fn run(&mut self, messages: u64) -> Duration {
        let payload = self.payload;
        if let Task::Work { .. } = self.task {
            fill(&mut *self.producers[0], payload, messages);
        }
        let began = Instant::now();
        match self.task {
            Task::Add { batch, .. } => add(&mut self.producers, payload, batch, messages),
            Task::Work { batch } => {
                let (consumer, mut done) = (&mut self.consumers[0], 0);
                while done < messages {
                    let taken = consumer.take(batch, None);
                    assert_ne!(taken, 0, "they were added");
                    consumer.acknowledge();
                    done += taken;
                }
            }
            Task::Mixed { batch, .. } => {
                return mixed(&mut self.producers, &mut self.consumers, payload, batch, messages);
            }
            Task::Scan => {
                let mut done = 0;
                while done < messages {
                    let wanted = self.backlog.min(messages - done);
                    let read = self.system.scan(wanted).expect("it can be read through");
                    assert!(read >= wanted, "they were added");
                    done += wanted;
                }
            }
        }
        began.elapsed()
    }
}

/// Adds so many messages, as fast as it goes.
pub(crate) fn fill(producer: &mut dyn Producer, payload: &[u8], messages: u64) {
    let mut left = messages as usize;
    while left > 0 {
        let batch = left.min(FILL_BATCH);
        producer.add_batch(&vec![payload; batch]);
        left -= batch;
    }
}

fn add(producers: &mut [Box<dyn Producer>], payload: &[u8], batch: usize, messages: u64) {
    let calls = messages / (producers.len() * batch) as u64;
    let payloads = vec![payload; batch];
    let work = |producer: &mut Box<dyn Producer>| {
        for _ in 0..calls {
            if batch == 1 { producer.add(payload) } else { producer.add_batch(&payloads) }
        }
    };
    match producers {
        [producer] => work(producer),
        producers => thread::scope(|scope| {
            for producer in producers {
                scope.spawn(|| work(producer));
            }
        }),
    }
}

/// Until the last message is acknowledged.
fn mixed(
    producers: &mut [Box<dyn Producer>],
    consumers: &mut [Box<dyn Consumer>],
    payload: &[u8],
    batch: usize,
    messages: u64,
) -> Duration {
    let done = AtomicU64::new(0);
    let took_ns = AtomicU64::new(0);
    let each = messages / producers.len() as u64;
    let began = Instant::now();
    thread::scope(|scope| {
        for producer in producers {
            scope.spawn(move || (0..each).for_each(|_| producer.add(payload)));
        }
        for consumer in consumers {
            let (done, took_ns) = (&done, &took_ns);
            scope.spawn(move || {
                while done.load(Ordering::Relaxed) < messages {
                    let taken = consumer.take(batch, Some(WAIT));
                    consumer.acknowledge();
                    if taken > 0 && done.fetch_add(taken, Ordering::Relaxed) + taken == messages {
                        took_ns.store(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Duration::from_nanos(took_ns.into_inner())
}
