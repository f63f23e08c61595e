//! All that can be seen of a broker through its public interface: what must be one of the states it has been in.
//!
//! Left out is what a crash may change: when consumers last asked for something (kept by checkpoints alone), and how
//! many segments there are.

use std::collections::BTreeMap;
use std::fmt::Write;

use streamlog::{Broker, DelayedId, Group, GroupInfo, Id, ManualClock, Result, Retention, Stream};

/// A time after every other: idle times counted back from it are times of delivery.
const FAR_MS: u64 = 1 << 40;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) streams: BTreeMap<String, StreamSeen>,
    /// How many entries are delayed, those of streams that are gone included.
    pub(crate) delayed: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamSeen {
    pub(crate) entries: BTreeMap<Id, Fields>,
    pub(crate) marks: Marks,
    /// When each is due.
    pub(crate) delayed: BTreeMap<DelayedId, u64>,
    pub(crate) groups: BTreeMap<String, GroupSeen>,
}

/// What `XINFO STREAM` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Marks {
    pub(crate) length: u64,
    pub(crate) first_id: Option<Id>,
    pub(crate) last_id: Id,
    pub(crate) entries_added: u64,
    pub(crate) max_deleted_id: Id,
    pub(crate) trimmed_to: Id,
    pub(crate) bytes: u64,
    pub(crate) retention: Retention,
    /// How many IDs of each producer are remembered, and how many there ever were.
    pub(crate) producers: (u32, u64),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GroupSeen {
    pub(crate) info: GroupInfo,
    /// Each consumer with what is pending with it and when it last got something.
    pub(crate) consumers: BTreeMap<String, (u64, Option<u64>)>,
    pub(crate) pending: BTreeMap<Id, Pending>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pending {
    pub(crate) consumer: String,
    pub(crate) delivered_ms: u64,
    pub(crate) deliveries: u32,
}

/// Looks at everything, with the clock put forward meanwhile.
pub(crate) fn observe(broker: &Broker, clock: &ManualClock, now_ms: u64) -> Result<Snapshot> {
    clock.set(FAR_MS);
    let seen = observe_streams(broker);
    clock.set(now_ms);
    seen
}

fn observe_streams(broker: &Broker) -> Result<Snapshot> {
    let delayed = broker.schedule_size().map_or(0, |(entries, _)| entries);
    let mut snapshot = Snapshot { delayed, ..Snapshot::default() };
    for name in broker.streams()? {
        let seen = observe_stream(&broker.stream(&name)?)?;
        snapshot.streams.insert(name, seen);
    }
    Ok(snapshot)
}

fn observe_stream(stream: &Stream) -> Result<StreamSeen> {
    let mut entries = BTreeMap::new();
    for entry in stream.range(..).read()? {
        let fields = entry.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        entries.insert(entry.id, fields);
    }
    let info = stream.info()?;
    let marks = Marks {
        length: info.length,
        first_id: info.first_id,
        last_id: info.last_id,
        entries_added: info.entries_added,
        max_deleted_id: info.max_deleted_id,
        trimmed_to: info.trimmed_to,
        bytes: info.bytes,
        retention: info.retention,
        producers: (info.producers.settings.ids_max(), info.producers.added),
    };
    let mut groups = BTreeMap::new();
    for info in stream.groups()? {
        let group = stream.group(&info.name).existing()?;
        groups.insert(info.name.clone(), observe_group(&group, info)?);
    }
    let delayed = stream.delayed()?.iter().map(|delayed| (delayed.id(), delayed.due_ms())).collect();
    Ok(StreamSeen { entries, marks, delayed, groups })
}

fn observe_group(group: &Group, info: GroupInfo) -> Result<GroupSeen> {
    let before = |ago: std::time::Duration| FAR_MS - u64::try_from(ago.as_millis()).unwrap_or(0);
    let consumers = group.consumers()?.into_iter();
    let consumers =
        consumers.map(|consumer| (consumer.name, (consumer.pending, consumer.inactive.map(before)))).collect();
    let pending = group.pending_range(..).read()?.into_iter();
    let pending = pending
        .map(|row| {
            assert!(row.released || before(row.idle) == row.since_ms);
            (row.id, Pending { consumer: row.consumer, delivered_ms: row.since_ms, deliveries: row.deliveries })
        })
        .collect();
    Ok(GroupSeen { info, consumers, pending })
}

impl Snapshot {
    pub(crate) fn group(&self, stream: &str, group: &str) -> Option<&GroupSeen> {
        self.streams.get(stream)?.groups.get(group)
    }

    /// Where `self`, which was expected, and `found` part: a line for each.
    pub(crate) fn difference(&self, found: &Snapshot) -> String {
        let mut out = String::new();
        line(&mut out, "delayed", &self.delayed, &found.delayed);
        compare(&mut out, "", &self.streams, &found.streams, |out, name, expected, found| {
            line(out, &format!("{name}: marks"), &expected.marks, &found.marks);
            line(out, &format!("{name}: delayed"), &expected.delayed, &found.delayed);
            compare(out, &format!("{name}: entry "), &expected.entries, &found.entries, |out, id, expected, found| {
                line(out, id, expected, found);
            });
            compare(out, &format!("{name}: group "), &expected.groups, &found.groups, |out, group, expected, found| {
                line(out, &format!("{group}: info"), &expected.info, &found.info);
                line(out, &format!("{group}: consumers"), &expected.consumers, &found.consumers);
                let what = format!("{group}: pending ");
                compare(out, &what, &expected.pending, &found.pending, |out, id, expected, found| {
                    line(out, id, expected, found);
                });
            });
        });
        out
    }
}

fn line<T: PartialEq + std::fmt::Debug>(out: &mut String, what: &str, expected: &T, found: &T) {
    if expected != found {
        let _ = writeln!(out, "  {what}: expected {expected:?}\n    found {found:?}");
    }
}

fn compare<K: Ord + std::fmt::Debug, V>(
    out: &mut String,
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    each: impl Fn(&mut String, &str, &V, &V),
) {
    for (key, value) in expected {
        let name = format!("{what}{key:?}");
        match found.get(key) {
            Some(other) => each(out, &name, value, other),
            None => drop(writeln!(out, "  {name}: expected, and it is not there")),
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(key)) {
        let _ = writeln!(out, "  {what}{key:?}: not expected, and it is there");
    }
}
