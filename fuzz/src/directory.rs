//! Small directories, one of a broker that was killed and one of a broker that was closed, and what may become of their files.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, Id, ManualClock, Result};

pub const ENTRIES: u64 = 40;
/// Of the entries this one was deleted, and this one acknowledged.
pub const DELETED: u64 = 3;
pub const ACKNOWLEDGED: u64 = 5;

/// Damage is done where there is something, this finely.
const BLOCK_BYTES: usize = 16;

/// A file, and the blocks of it that are not zeros.
struct Sample {
    path: String,
    bytes: Vec<u8>,
    blocks: Vec<usize>,
}

static SAMPLES: LazyLock<[Vec<Sample>; 2]> = LazyLock::new(|| [samples(false), samples(true)]);

/// How every broker is opened here.
pub fn options() -> Builder {
    Broker::builder()
        .background(false)
        .clock(ManualClock::at(1_000))
        .durability(Durability::Always)
        .segment_bytes(256)
        .journal_file_bytes(2_048)
}

fn samples(closed: bool) -> Vec<Sample> {
    let disk = SimDisk::new(1);
    work(&disk, closed).expect("nothing is damaged yet");
    let sample = |path: String| {
        let bytes = disk.read_all(&path).expect("it is there");
        let blocks = bytes.chunks(BLOCK_BYTES).enumerate().filter(|(_, block)| block.iter().any(|&byte| byte != 0));
        let blocks = blocks.map(|(number, _)| number).collect();
        Sample { path, bytes, blocks }
    };
    disk.list_all().into_iter().map(sample).collect()
}

fn work(disk: &SimDisk, closed: bool) -> Result<()> {
    let broker = options().open_on(disk.storage())?;
    let stream = broker.stream("orders")?;
    let group = stream.group("billing").from_start().ensure()?;
    for seq in 1..=ENTRIES {
        stream.entry([("seq", seq.to_string())]).id(Id::new(1, seq)).add()?;
        group.consumer("worker").read_new().next()?;
        if seq == ENTRIES / 2 {
            broker.checkpoint()?;
        }
    }
    stream.delete(&[Id::new(1, DELETED)])?;
    group.ack(&[Id::new(1, ACKNOWLEDGED)])?;
    if closed {
        return broker.close();
    }
    broker.crash();
    disk.restart(Survival::Kill);
    Ok(())
}

/// A directory that something became of.
pub struct Damaged {
    pub disk: SimDisk,
    /// Whether its broker was closed: then everything in it was durable.
    pub closed: bool,
    pub files_touched: usize,
}

impl Damaged {
    /// The first byte says which directory, then every [`STEP_BYTES`] what becomes of a file of it.
    pub fn by(input: &[u8]) -> Option<Damaged> {
        let (&choice, input) = input.split_first()?;
        let closed = choice.is_multiple_of(2);
        let samples = &SAMPLES[usize::from(closed)];
        let mut files: Vec<_> = samples.iter().map(|sample| Some(sample.bytes.clone())).collect();
        let mut touched = BTreeSet::new();
        for step in input.chunks_exact(STEP_BYTES) {
            let index = usize::from(step[0]) % files.len();
            touched.insert(index);
            files[index] = become_of(&samples[index], files[index].take(), samples, step);
        }
        let disk = SimDisk::new(2);
        for (sample, bytes) in samples.iter().zip(&files) {
            if let Some(bytes) = bytes {
                disk.write_all(&sample.path, bytes);
            }
        }
        Some(Damaged { disk, closed, files_touched: touched.len() })
    }
}

/// The bytes that say what becomes of a file: which it is, what becomes of it, a block, a byte of that, a number.
pub const STEP_BYTES: usize = 6;

fn become_of(sample: &Sample, bytes: Option<Vec<u8>>, samples: &[Sample], step: &[u8]) -> Option<Vec<u8>> {
    let &[_, kind, block_low, block_high, byte, number] = step else { unreachable!("a step has its bytes") };
    let mut bytes = bytes?;
    let block = usize::from(u16::from_le_bytes([block_low, block_high])) % sample.blocks.len().max(1);
    let at = sample.blocks.get(block).map_or(0, |block| block * BLOCK_BYTES + usize::from(byte) % BLOCK_BYTES);
    let at = at.min(bytes.len());
    let end = bytes.len().min(at + (1 << (number % 16)));
    let other = &samples[usize::from(number) % samples.len()].bytes;
    match kind % 9 {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << (number % 8),
        2 if at < bytes.len() => bytes[at] = number,
        3 => bytes.truncate(at),
        4 => bytes.extend_from_within(at..end),
        5 => bytes[at..end].fill(0),
        6 => {
            let to = usize::from(byte).min(bytes.len() - (end - at));
            bytes.copy_within(at..end, to);
        }
        7 => bytes.clone_from(other),
        8 => return None,
        _ => bytes.push(number),
    }
    Some(bytes)
}

/// The entries that can be read, or why not all of them: whatever is read is as it was written, and nothing between is left out.
pub fn entries(broker: &Broker) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in broker.stream("orders")?.range(..).iter() {
        let entry = entry?;
        assert_eq!(entry.text("seq")?, entry.id.seq.to_string());
        assert_eq!(entry.id.ms, 1);
        found.push(entry.id.seq);
    }
    Ok(found)
}
