//! Trimming by bytes: the one limit that depends on how entries are laid out, so the model test leaves it out. Here only their sizes
//! are taken from the broker; which of them go is worked out from those.
#![cfg(feature = "simulation")]

use proptest::prelude::*;
use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Id, Retention, Stream, Trim};

#[derive(Debug, Clone)]
enum Step {
    Add {
        len: usize,
    },
    AddAndTrim {
        len: usize,
        max_bytes: u64,
    },
    /// The entry so far from the first, if there is one.
    Delete {
        at: usize,
    },
    Trim {
        max_bytes: u64,
    },
    Retain {
        max_bytes: u64,
    },
    Flush,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = 0..200_usize;
    let max_bytes = 0..2000_u64;
    let step = prop_oneof![
        8 => len.clone().prop_map(|len| Step::Add { len }),
        1 => (len, max_bytes.clone()).prop_map(|(len, max_bytes)| Step::AddAndTrim { len, max_bytes }),
        3 => (0..20_usize).prop_map(|at| Step::Delete { at }),
        1 => max_bytes.clone().prop_map(|max_bytes| Step::Trim { max_bytes }),
        1 => max_bytes.prop_map(|max_bytes| Step::Retain { max_bytes }),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..80)
}

/// An entry that the stream still has, or had between others that it has.
struct Entry {
    id: Id,
    bytes: u64,
    live: bool,
}

/// Keeps the last entries that take no more than this, those deleted from between them counted; returns how many go.
fn trim(entries: &mut Vec<Entry>, max_bytes: u64) -> u64 {
    let mut left = max_bytes;
    let fits = |entry: &&Entry| left.checked_sub(entry.bytes).inspect(|rest| left = *rest).is_some();
    let kept = entries.iter().rev().take_while(fits).count();
    let gone = entries.drain(..entries.len() - kept).filter(|entry| entry.live).count();
    begin_with_a_live_one(entries);
    gone as u64
}

fn begin_with_a_live_one(entries: &mut Vec<Entry>) {
    let dead = entries.iter().take_while(|entry| !entry.live).count();
    entries.drain(..dead);
}

fn fields(len: usize) -> [(&'static str, Vec<u8>); 1] {
    [("value", vec![b'v'; len])]
}

/// What an entry takes, seen on a stream of its own.
fn bytes(broker: &Broker, len: usize) -> u64 {
    let scale = broker.stream("scale").unwrap();
    scale.delete_stream().unwrap();
    scale.add(fields(len)).unwrap();
    scale.info().unwrap().bytes
}

fn open(disk: &SimDisk) -> Broker {
    let builder = Broker::builder().segment_bytes(500).tail_bytes(800).cache_bytes(1000);
    builder.background(false).open_on(disk.storage()).unwrap()
}

fn run(steps: &[Step]) {
    let disk = SimDisk::new(1);
    let mut broker = open(&disk);
    let stream = |broker: &Broker| -> Stream { broker.stream("orders").unwrap() };
    stream(&broker).create().unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    for step in steps {
        let orders = stream(&broker);
        match *step {
            Step::Add { len } => {
                entries.push(Entry { id: orders.add(fields(len)).unwrap(), bytes: bytes(&broker, len), live: true });
            }
            Step::AddAndTrim { len, max_bytes } => {
                let id = orders.entry(fields(len)).trim(Trim::max_bytes(max_bytes)).add().unwrap();
                entries.push(Entry { id, bytes: bytes(&broker, len), live: true });
                trim(&mut entries, max_bytes);
            }
            Step::Delete { at } => {
                if let Some(entry) = entries.get_mut(at) {
                    assert_eq!(orders.delete(&[entry.id]).unwrap(), u64::from(entry.live));
                    entry.live = false;
                    begin_with_a_live_one(&mut entries);
                }
            }
            Step::Trim { max_bytes } => {
                assert_eq!(orders.trim(Trim::max_bytes(max_bytes)).unwrap(), trim(&mut entries, max_bytes));
            }
            Step::Retain { max_bytes } => {
                orders.set_retention(Retention::default().max_bytes(max_bytes)).unwrap();
                broker.trim_step().unwrap();
                trim(&mut entries, max_bytes);
                orders.set_retention(Retention::default()).unwrap();
            }
            Step::Flush => broker.flush_all().unwrap(),
            Step::Reopen => {
                drop(orders);
                broker.crash();
                disk.restart(Survival::Kill);
                broker = open(&disk);
            }
        }
        let orders = stream(&broker);
        let ids: Vec<Id> = orders.range(..).read().unwrap().iter().map(|entry| entry.id).collect();
        let live: Vec<Id> = entries.iter().filter(|entry| entry.live).map(|entry| entry.id).collect();
        assert_eq!(ids, live, "after {step:?}");
        let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        assert_eq!(orders.info().unwrap().bytes, bytes, "after {step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trimming_by_bytes_keeps_the_last_entries_that_fit(steps in steps()) {
        run(&steps);
    }
}
