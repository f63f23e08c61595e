//! A directory whose journal, segments or FORMAT were damaged opens with what was written, or not at all: no panic, no
//! endless allocation, and never an entry that nobody added.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streamlog::sim::SimDisk;
use streamlog::{Broker, Builder, Durability, Id, ManualClock};

const ENTRIES: u64 = 40;

/// The files of a small broker that was killed, each with its bytes.
static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let disk = SimDisk::new(1);
    let broker = options().open_on(disk.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    let group = stream.group("billing").from_start().ensure().unwrap();
    for seq in 1..=ENTRIES {
        stream.entry([("seq", seq.to_string())]).id(Id::new(1, seq)).add().unwrap();
        group.consumer("worker").read_new().next().unwrap();
        if seq == ENTRIES / 2 {
            broker.checkpoint().unwrap();
        }
    }
    stream.delete(&[Id::new(1, 3)]).unwrap();
    broker.crash();
    let read = |path: String| disk.read_all(&path).map(|bytes| (path, bytes));
    disk.list_all().into_iter().filter_map(read).collect()
});

fn options() -> Builder {
    Broker::builder()
        .background(false)
        .clock(ManualClock::at(1_000))
        .durability(Durability::Always)
        .segment_bytes(256)
        .journal_file_bytes(2_048)
}

/// The input: which file, then pairs of an offset and what to do there.
fn damage(bytes: &mut Vec<u8>, input: &[u8]) {
    for step in input.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([step[0], step[1]])) % bytes.len().max(1);
        match (step[2] % 4, bytes.is_empty()) {
            (_, true) => bytes.push(step[3]),
            (0, _) => bytes[at] ^= 1 << (step[3] % 8),
            (1, _) => bytes[at] = step[3],
            (2, _) => bytes.truncate(at),
            (_, _) => bytes.extend_from_within(at..bytes.len().min(at + usize::from(step[3]))),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else { return };
    let disk = SimDisk::new(2);
    // redb is left whole: what it does with damaged pages is for another target.
    let damageable = || FILES.iter().filter(|(path, _)| !path.contains("redb"));
    let chosen = usize::from(choice) % damageable().count();
    let chosen = damageable().nth(chosen).map(|(path, _)| path);
    for (path, bytes) in FILES.iter() {
        let mut bytes = bytes.clone();
        if Some(path) == chosen {
            damage(&mut bytes, input);
        }
        disk.write_all(path, &bytes);
    }
    let Ok(broker) = options().open_on(disk.storage()) else { return };
    let stream = broker.stream("orders").unwrap();
    let mut last = Id::MIN;
    for entry in stream.range(..).iter() {
        let Ok(entry) = entry else { return };
        assert!(entry.id > last && entry.id.seq <= ENTRIES);
        assert_eq!(entry.text("seq").unwrap(), entry.id.seq.to_string());
        last = entry.id;
    }
});
