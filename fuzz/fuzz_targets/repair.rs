//! A damaged directory: what a check calls whole can be read; what could be read before a repair can be read after it, unless
//! the repair said that it gives it up; and a directory that was repaired is whole.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use streamlog::sim::SimDisk;
use streamlog::{Broker, Id, Storage, check_on, repair_on};
use streamlog_fuzz::directory::{Damaged, ENTRIES, entries, options};

/// The entries that can be read one by one. Opening may change the disk, so this takes one of its own.
fn readable(disk: &SimDisk) -> Vec<u64> {
    let Ok(broker) = options().open_on(disk.storage()) else { return Vec::new() };
    let is_readable = |&seq: &u64| entry_is_readable(&broker, seq);
    let readable = (1..=ENTRIES).filter(is_readable).collect();
    broker.crash();
    readable
}

fn entry_is_readable(broker: &Broker, seq: u64) -> bool {
    let id = Id::new(1, seq);
    let read = broker.stream("orders").and_then(|stream| stream.range(id..=id).read());
    read.is_ok_and(|found| !found.is_empty())
}

fn is_whole(storage: Arc<dyn Storage>) -> bool {
    check_on(storage).is_ok_and(|report| report.is_ok())
}

fuzz_target!(init: streamlog_fuzz::let_redb_panic(), |input: &[u8]| {
    let disk = || Damaged::by(input).map(|damaged| damaged.disk);
    let (Some(damaged), Some(repaired), Some(before)) = (disk(), disk(), disk()) else { return };
    let before = readable(&before);
    if is_whole(damaged.storage()) {
        let broker = options().open_on(damaged.storage()).expect("it is whole");
        assert_eq!(entries(&broker).expect("it is whole"), before);
    }
    let Ok(repair) = repair_on(repaired.storage(), false) else {
        assert_eq!(readable(&repaired), before);
        return;
    };
    let whole = check_on(repaired.storage());
    assert!(whole.as_ref().is_ok_and(streamlog::Report::is_ok), "{repair:?} left {whole:?}");
    let again = repair_on(repaired.storage(), false).expect("it is whole");
    assert!(again.originals.is_none(), "{again:?}");
    let broker = match options().open_on(repaired.storage()) {
        Ok(broker) => broker,
        Err(error) => panic!("{error} after {repair:?}"),
    };
    let after = entries(&broker).expect("it is whole");
    let given_up = |seq: u64| {
        let mut ids = repair.problems.iter().filter_map(|problem| problem.loss.ids.as_ref());
        ids.any(|ids| ids.contains(&Id::new(1, seq)))
    };
    let lost = before.iter().find(|&&seq| !after.contains(&seq) && !given_up(seq));
    assert_eq!(lost, None, "{before:?} could be read, {after:?} can now: {repair:?}");
});
