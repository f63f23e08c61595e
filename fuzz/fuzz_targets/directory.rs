//! A directory with damaged files opens with what was written, or not at all: no panic, no endless allocation, never an
//! entry that nobody added, and none left out without a word.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use streamlog::{Broker, Id, Result};
use streamlog_fuzz::directory::{ACKNOWLEDGED, DELETED, Damaged, ENTRIES, entries, options};

/// Whether these are all that were added up to the last of them, but for those that were deleted.
fn no_gap(found: &[u64]) -> bool {
    let last = found.last().copied().unwrap_or_default();
    let mut gaps = (1..=last).filter(|seq| !found.contains(seq));
    gaps.all(|seq| seq == DELETED) && found.is_sorted()
}

/// Those that the group's worker has, or gets: every entry that it did not acknowledge.
fn work(broker: &Broker) -> Result<BTreeSet<u64>> {
    let group = broker.stream("orders")?.group("billing").existing()?;
    let worker = group.consumer("worker");
    let (pending, new) = (worker.history(Id::MIN).read()?, worker.read_new().count(usize::MAX).next()?);
    Ok(pending.iter().chain(new.iter()).map(|message| message.id().seq).collect())
}

fuzz_target!(init: streamlog_fuzz::let_redb_panic(), |input: &[u8]| {
    let Some(damaged) = Damaged::by(input) else { return };
    let Ok(broker) = options().open_on(damaged.disk.storage()) else { return };
    let Ok(found) = entries(&broker) else { return };
    assert!(no_gap(&found), "{found:?}");
    // What a closed broker had, no single file takes with it.
    let all = damaged.closed && damaged.files_touched <= 1;
    if all {
        assert_eq!(found.len() as u64, ENTRIES - 1);
    }
    match work(&broker) {
        Ok(got) => {
            let lost = found.iter().find(|&seq| *seq != ACKNOWLEDGED && !got.contains(seq));
            assert_eq!(lost, None, "the group gets {got:?} of {found:?}");
        }
        Err(error) => assert!(!all, "{error}"),
    }
    if broker.close().is_ok() {
        let broker = options().open_on(damaged.disk.storage()).expect("it was closed");
        assert_eq!(entries(&broker).expect("they were read before"), found);
    }
});
