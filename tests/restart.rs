//! What a broker was is what it is again: after a close, a crash, and a copy of its directory taken while it was open,
//! with a checkpoint anywhere in between. Each test is a story in steps and a picture of everything that can be seen.

#![cfg(feature = "simulation")]

#[path = "common/directory.rs"]
mod directory;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use directory::copy_dir;
use streamlog::{
    Broker, Builder, Consumer, Durability, ErrorKind, Group, Id, IdSpec, ManualClock, Retention, StartAt, Stream, Trim,
};

/// Some time in 2023: what the clock shows when a story begins.
const START_MS: u64 = 1_700_000_000_000;

/// An open broker, and its time.
struct Site {
    broker: Broker,
    clock: ManualClock,
}

impl Site {
    fn stream(&self, name: &str) -> Stream {
        self.broker.stream(name).unwrap()
    }

    fn orders(&self) -> Stream {
        self.stream("orders")
    }

    fn billing(&self) -> Group {
        self.orders().group("billing").from_start().ensure().unwrap()
    }

    fn worker(&self, name: &str) -> Consumer {
        self.billing().consumer(name)
    }

    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Adds an entry with the ID `1-seq`.
    fn put(&self, stream: &str, seq: u64) {
        self.stream(stream).entry([("n", seq.to_string())]).id(id(seq)).add().unwrap();
    }

    /// Adds entries with the IDs `1-first` to `1-last`.
    fn add(&self, first: u64, last: u64) {
        for seq in first..=last {
            self.put("orders", seq);
        }
    }
}

fn id(seq: u64) -> Id {
    Id::new(1, seq)
}

fn ids(seqs: impl IntoIterator<Item = u64>) -> Vec<Id> {
    seqs.into_iter().map(id).collect()
}

fn entry_ids(stream: &Stream) -> Vec<Id> {
    stream.range(..).read().unwrap().iter().map(|entry| entry.id).collect()
}

/// Everything that can be seen of a broker, but for when consumers last asked for something (which is written at
/// checkpoints only) and how the entries lie on the disk.
fn picture(broker: &Broker) -> String {
    let mut picture = String::new();
    for name in broker.streams().unwrap() {
        let stream = broker.stream(&name).unwrap();
        let info = stream.info().unwrap();
        writeln!(
            picture,
            "stream {name}: length {} first {:?} last {} added {} deleted {} trimmed {} bytes {} {:?}",
            info.length,
            info.first_id,
            info.last_id,
            info.entries_added,
            info.max_deleted_id,
            info.trimmed_to,
            info.bytes,
            info.retention,
        )
        .unwrap();
        for entry in stream.range(..).read().unwrap() {
            writeln!(picture, "  {} {:?}", entry.id, entry.iter().collect::<Vec<_>>()).unwrap();
        }
        for group in stream.groups().unwrap() {
            writeln!(picture, "  {group:?}").unwrap();
            let group = stream.group(&group.name).existing().unwrap();
            for consumer in group.consumers().unwrap() {
                let (name, pending, inactive) = (consumer.name, consumer.pending, consumer.inactive);
                writeln!(picture, "    consumer {name}: {pending} pending, inactive {inactive:?}").unwrap();
            }
            for pending in group.pending_range(..).read().unwrap() {
                writeln!(picture, "    {pending:?}").unwrap();
            }
        }
    }
    picture
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Close,
    Crash,
    /// The directory is copied while the broker is open: what a kill leaves.
    Copy,
}

/// At the lowest durability: a crash here is the process's, and syncs only take time.
fn builder() -> Builder {
    Broker::builder().durability(Durability::Os).background(false).segment_bytes(2 << 10).journal_file_bytes(16 << 10)
}

/// Ends the life of a broker in `path` and opens it, or its copy, again.
fn reopened(site: Site, path: &Path, ending: Ending, builder: &Builder) -> (Site, Option<tempfile::TempDir>) {
    let Site { broker, clock } = site;
    let builder = builder.clone().clock(clock.clone());
    let (broker, copy) = match ending {
        Ending::Close => {
            broker.close().unwrap();
            (builder.open(path), None)
        }
        Ending::Crash => {
            broker.crash();
            (builder.open(path), None)
        }
        Ending::Copy => {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(path, copy.path());
            broker.crash();
            (builder.open(copy.path()), Some(copy))
        }
    };
    (Site { broker: broker.unwrap(), clock }, copy)
}

/// When checkpoints are written, or tails flushed, between the steps.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    CheckpointAfter(usize),
    CheckpointAfterEach,
    FlushAfterEach,
}

/// Lives through the steps, ends in every way with checkpoints at every place, and sees to it that the broker is then
/// what it was. Goes on with `then`, and does it again.
fn survives(steps: &[fn(&Site)], then: fn(&Site)) {
    survives_with(&builder(), steps, then);
}

fn survives_with(builder: &Builder, steps: &[fn(&Site)], then: fn(&Site)) {
    let mut places: Vec<(Between, &[Ending])> = vec![
        (Between::Nothing, &[Ending::Close, Ending::Crash, Ending::Copy]),
        (Between::CheckpointAfterEach, &[Ending::Crash, Ending::Copy]),
        (Between::FlushAfterEach, &[Ending::Crash]),
    ];
    places.extend((0..steps.len()).map(|step| (Between::CheckpointAfter(step), &[Ending::Crash][..])));
    for (between, endings) in places {
        for &ending in endings {
            let story = format!("{ending:?}, {between:?}");
            let directory = tempfile::tempdir().unwrap();
            let clock = ManualClock::at(START_MS);
            let broker = builder.clone().clock(clock.clone()).open(directory.path()).unwrap();
            let site = Site { broker, clock };
            for (number, step) in steps.iter().enumerate() {
                step(&site);
                match between {
                    Between::CheckpointAfter(wanted) if wanted == number => site.broker.checkpoint().unwrap(),
                    Between::CheckpointAfterEach => site.broker.checkpoint().unwrap(),
                    Between::FlushAfterEach => site.broker.flush_all().unwrap(),
                    Between::CheckpointAfter(_) | Between::Nothing => {}
                }
            }
            let before = picture(&site.broker);
            let (site, copy) = reopened(site, directory.path(), ending, builder);
            assert_eq!(picture(&site.broker), before, "{story}");
            let path = copy.as_ref().map_or(directory.path(), tempfile::TempDir::path);
            // A second life in which nothing happens changes nothing.
            let (site, second) = reopened(site, path, ending, builder);
            assert_eq!(picture(&site.broker), before, "{story}, again");
            let path = second.as_ref().map_or(path, tempfile::TempDir::path);
            then(&site);
            let before = picture(&site.broker);
            let (site, _third) = reopened(site, path, ending, builder);
            assert_eq!(picture(&site.broker), before, "{story}, and after going on");
            site.broker.close().unwrap();
        }
    }
}

#[test]
fn entries_keep_their_bytes_their_ids_and_their_order() {
    survives(
        &[
            |site| {
                let orders = site.orders();
                orders.entry([("sku", "A1"), ("", ""), ("sku", "again")]).id(Id::new(5, 7)).add().unwrap();
                orders.entry(vec![(vec![0u8, 0xff], vec![0xfe; 300])]).id(IdSpec::AutoSeq(5)).add().unwrap();
            },
            |site| {
                assert_eq!(site.orders().add("plain").unwrap(), Id::new(START_MS, 0));
                assert_eq!(site.orders().add("plain").unwrap(), Id::new(START_MS, 1));
            },
        ],
        |site| {
            let orders = site.orders();
            let last = Id::new(START_MS, 1);
            assert_eq!(entry_ids(&orders), [Id::new(5, 7), Id::new(5, 8), Id::new(START_MS, 0), last]);
            let entries = orders.range(..).read().unwrap();
            let fields: Vec<_> = entries[0].iter().collect();
            assert_eq!(fields, [(&b"sku"[..], &b"A1"[..]), (b"", b""), (b"sku", b"again")]);
            assert_eq!(orders.entry("late").id(last).add().unwrap_err().kind(), ErrorKind::IdTooSmall);
            assert_eq!(orders.add("next").unwrap(), Id::new(START_MS, 2));
        },
    );
}

#[test]
fn automatic_ids_go_on_when_the_clock_went_back_or_the_last_id_lies_ahead_of_it() {
    survives(
        &[
            |site| assert_eq!(site.orders().add("now").unwrap(), Id::new(START_MS, 0)),
            |site| {
                site.stream("ahead").entry("x").id(Id::new(u64::MAX - 1, u64::MAX)).add().unwrap();
                site.stream("full").entry("x").id(Id::MAX).add().unwrap();
            },
            |site| site.clock.set(1000),
        ],
        |site| {
            assert_eq!(site.orders().add("then").unwrap(), Id::new(START_MS, 1));
            assert_eq!(site.stream("ahead").add("x").unwrap(), Id::new(u64::MAX, 0));
            assert_eq!(site.stream("full").add("x").unwrap_err().kind(), ErrorKind::IdsExhausted);
        },
    );
}

#[test]
fn an_id_is_not_given_again_though_its_entry_was_deleted_or_trimmed() {
    survives(
        &[
            |site| {
                site.add(1, 3);
                assert_eq!(site.orders().delete(&[id(3)]).unwrap(), 1);
            },
            |site| {
                let trimmed = site.stream("trimmed");
                trimmed.entry("x").id(id(9)).add().unwrap();
                assert_eq!(trimmed.trim(Trim::max_len(0)).unwrap(), 1);
            },
        ],
        |site| {
            for (stream, last) in [("orders", id(3)), ("trimmed", id(9))] {
                let stream = site.stream(stream);
                assert_eq!(stream.info().unwrap().last_id, last);
                assert_eq!(stream.entry("x").id(last).add().unwrap_err().kind(), ErrorKind::IdTooSmall);
                assert_eq!(stream.entry("x").id(IdSpec::AutoSeq(1)).add().unwrap(), last.next().unwrap());
            }
        },
    );
}

#[test]
fn a_group_goes_on_where_it_was_first_with_what_is_pending_then_with_what_is_new() {
    survives(
        &[
            |site| site.add(1, 10),
            |site| assert_eq!(site.worker("a").read_new().count(4).next().unwrap().ids(), ids(1..=4)),
            |site| assert_eq!(site.billing().ack(&[id(1)]).unwrap(), 1),
        ],
        |site| {
            let worker = site.worker("a");
            let again = worker.fetch().count(10).next().unwrap();
            assert_eq!(again.ids(), ids(2..=4), "its own pending first");
            assert!(again.iter().all(|message| message.deliveries() == 2));
            assert_eq!(worker.fetch().count(10).next().unwrap().ids(), ids(5..=10), "then new ones");
            assert_eq!(worker.fetch().count(10).next().unwrap().ids(), []);
        },
    );
}

#[test]
fn pending_entries_keep_their_owner_their_count_and_their_delivery_time() {
    survives(
        &[
            |site| site.add(1, 9),
            |site| drop(site.worker("a").read_new().count(4).next().unwrap()),
            |site| {
                site.pass(1000);
                assert_eq!(site.worker("b").read_new().count(3).next().unwrap().ids(), ids(5..=7));
            },
            |site| {
                site.pass(500);
                assert_eq!(site.worker("a").history(id(1)).read().unwrap().ids(), ids(2..=4));
                let taken = site.worker("b").claim(&[id(3)]).deliveries(7).idle(Duration::from_secs(60)).run().unwrap();
                assert_eq!(taken.ids(), [id(3)]);
            },
            |site| {
                site.pass(250);
                assert_eq!(site.billing().ack(&ids([2, 5, 9])).unwrap(), 2);
            },
        ],
        |site| {
            let pending = site.billing().pending_range(..).read().unwrap();
            let seen: Vec<_> = pending
                .iter()
                .map(|row| (row.id.seq, row.consumer.as_str(), row.deliveries, row.idle.as_millis()))
                .collect();
            let expected =
                [(1, "a", 1, 1750), (3, "b", 7, 60_250), (4, "a", 2, 250), (6, "b", 1, 750), (7, "b", 1, 750)];
            assert_eq!(seen, expected);
            assert_eq!(site.worker("c").read_new().count(9).next().unwrap().ids(), ids([8, 9]));
            assert_eq!(site.worker("c").auto_claim(Duration::from_secs(1)).run().unwrap().messages.ids(), ids([1, 3]));
        },
    );
}

#[test]
fn an_acknowledged_entry_stays_so_and_one_delivered_again_after_the_cursor_went_back_is_pending() {
    survives(
        &[
            |site| site.add(1, 4),
            |site| assert_eq!(site.worker("a").read_new().count(4).next().unwrap().ack_all().unwrap(), 4),
            |site| site.billing().set_cursor(id(2)).unwrap(),
            |site| assert_eq!(site.worker("b").read_new().next().unwrap().ids(), [id(3)]),
            |site| assert_eq!(site.billing().ack(&[id(3)]).unwrap(), 1),
            |site| site.billing().set_cursor(StartAt::Start).unwrap(),
            |site| assert_eq!(site.worker("b").read_new().count(2).next().unwrap().ids(), ids([1, 2])),
        ],
        |site| {
            let pending = site.billing().pending().unwrap();
            assert_eq!(pending.consumers, [("b".to_owned(), 2)]);
            assert_eq!(site.worker("b").read_new().count(9).next().unwrap().ids(), ids([3, 4]));
        },
    );
}

#[test]
fn what_was_read_as_acknowledged_is_neither_pending_nor_delivered_again() {
    survives(
        &[
            |site| site.add(1, 5),
            |site| {
                assert_eq!(site.worker("a").read_new().count(3).no_ack().next().unwrap().ids(), ids(1..=3));
            },
        ],
        |site| {
            assert_eq!(site.billing().pending().unwrap().count, 0);
            assert_eq!(site.worker("a").fetch().count(9).next().unwrap().ids(), ids([4, 5]));
        },
    );
}

#[test]
fn consumers_and_when_they_last_got_something_are_kept_and_deleted_ones_take_their_pending_with_them() {
    survives(
        &[
            |site| site.add(1, 6),
            |site| {
                assert!(site.billing().create_consumer("idle").unwrap());
                assert!(!site.billing().create_consumer("idle").unwrap());
                site.worker("a").read_new().count(2).next().unwrap();
                site.worker("gone").read_new().count(2).next().unwrap();
            },
            |site| site.pass(300),
            |site| assert_eq!(site.billing().delete_consumer("gone").unwrap(), 2),
            |site| assert!(site.billing().create_consumer("gone").unwrap()),
        ],
        |site| {
            let consumers = site.billing().consumers().unwrap();
            let seen: Vec<_> = consumers.iter().map(|c| (c.name.as_str(), c.pending, c.inactive)).collect();
            let active = Some(Duration::from_millis(300));
            assert_eq!(seen, [("a", 2, active), ("gone", 0, None), ("idle", 0, None)]);
            assert_eq!(site.worker("gone").fetch().count(9).next().unwrap().ids(), ids([5, 6]));
        },
    );
}

#[test]
fn when_a_consumer_was_last_seen_is_kept_at_a_close() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(START_MS);
    let open = || Site { broker: builder().clock(clock.clone()).open(directory.path()).unwrap(), clock: clock.clone() };
    let site = open();
    site.add(1, 1);
    site.worker("a").read_new().next().unwrap();
    site.pass(1000);
    assert!(site.worker("a").read_new().next().unwrap().is_empty());
    site.pass(10);
    site.broker.close().unwrap();
    let site = open();
    let consumer = &site.billing().consumers().unwrap()[0];
    assert_eq!((consumer.idle, consumer.inactive), (Duration::from_millis(10), Some(Duration::from_millis(1010))));
}

#[test]
fn deleted_entries_stay_deleted_wherever_they_were() {
    survives(
        &[
            |site| site.add(1, 100),
            |site| assert_eq!(site.orders().delete(&ids([1, 2, 50, 100, 7])).unwrap(), 5),
            |site| site.add(101, 105),
            |site| assert_eq!(site.orders().delete(&ids([3, 104, 50, 999])).unwrap(), 2),
        ],
        |site| {
            let gone = [1, 2, 3, 7, 50, 100, 104];
            assert_eq!(entry_ids(&site.orders()), ids((1..=105).filter(|seq| !gone.contains(seq))));
            let info = site.orders().info().unwrap();
            assert_eq!((info.length, info.max_deleted_id, info.first_id), (98, id(104), Some(id(4))));
            assert_eq!(site.orders().delete(&ids([50, 4])).unwrap(), 1);
        },
    );
}

#[test]
fn holes_that_span_whole_segments_stay_holes_and_the_stream_goes_on_around_them() {
    survives(
        &[
            |site| site.add(1, 150),
            |site| assert_eq!(site.orders().delete(&ids(2..=149)).unwrap(), 148),
            |site| site.add(151, 300),
            |site| assert_eq!(site.orders().delete(&ids(160..=250)).unwrap(), 91),
            |site| drop(site.worker("a").read_new().count(5).next().unwrap()),
        ],
        |site| {
            let left: Vec<u64> = [1].into_iter().chain(150..=159).chain(251..=300).collect();
            assert_eq!(entry_ids(&site.orders()), ids(left.iter().copied()));
            let backwards: Vec<_> = site.orders().range(..).rev().read().unwrap().iter().map(|e| e.id).collect();
            assert_eq!(backwards, ids(left.iter().rev().copied()));
            assert_eq!(site.orders().get(id(200)).unwrap(), None);
            let worker = site.worker("a");
            assert_eq!(worker.fetch().count(9).next().unwrap().ids(), ids([1, 150, 151, 152, 153]));
            assert_eq!(worker.fetch().count(9).next().unwrap().ids(), ids((154..=159).chain(251..=253)));
            assert_eq!(site.orders().trim(Trim::max_len(50)).unwrap(), 11);
            assert_eq!(entry_ids(&site.orders()), ids(251..=300));
        },
    );
}

#[test]
fn what_is_pending_of_deleted_and_trimmed_entries_is_pending_until_somebody_asks() {
    survives(
        &[
            |site| site.add(1, 6),
            |site| drop(site.worker("a").read_new().count(5).next().unwrap()),
            |site| assert_eq!(site.orders().delete(&[id(3)]).unwrap(), 1),
            |site| assert_eq!(site.orders().trim(Trim::min_id(id(2))).unwrap(), 1),
        ],
        |site| {
            assert_eq!(site.billing().pending().unwrap().count, 5);
            let batch = site.worker("a").fetch().count(9).next().unwrap();
            assert_eq!((batch.ids(), batch.deleted()), (ids([2, 4, 5]), &ids([1, 3])[..]));
            assert_eq!(site.billing().pending().unwrap().count, 3);
        },
    );
}

#[test]
fn trimmed_entries_do_not_come_back_and_the_mark_is_the_last_one_removed() {
    survives(
        &[
            |site| site.add(1, 60),
            |site| assert_eq!(site.orders().trim(Trim::min_id(Id::new(1, 20))).unwrap(), 19),
            |site| assert_eq!(site.orders().delete(&ids([25, 26])).unwrap(), 2),
            |site| assert_eq!(site.orders().trim(Trim::max_len(33)).unwrap(), 6),
            |site| site.add(61, 62),
        ],
        |site| {
            let info = site.orders().info().unwrap();
            assert_eq!((info.trimmed_to, info.first_id), (id(27), Some(id(28))));
            assert_eq!((info.max_deleted_id, info.entries_added), (id(26), 62));
            assert_eq!(entry_ids(&site.orders()), ids(28..=62));
            assert_eq!(site.orders().trim(Trim::min_id(Id::new(7, 0))).unwrap(), 35);
            assert_eq!(site.orders().info().unwrap().trimmed_to, id(62), "never the threshold");
        },
    );
}

#[test]
fn a_stream_trimmed_or_deleted_to_nothing_is_empty_and_goes_on() {
    survives(
        &[
            |site| site.add(1, 30),
            |site| assert_eq!(site.orders().trim(Trim::max_len(0)).unwrap(), 30),
            |site| site.put("deleted", 1),
            |site| assert_eq!(site.stream("deleted").delete(&[id(1)]).unwrap(), 1),
            |site| site.put("twice", 1),
            |site| assert_eq!(site.stream("twice").trim(Trim::max_len(0)).unwrap(), 1),
            |site| site.put("twice", 2),
            |site| assert_eq!(site.stream("twice").trim(Trim::max_len(0)).unwrap(), 1),
        ],
        |site| {
            assert_eq!(site.broker.streams().unwrap(), ["deleted", "orders", "twice"]);
            for name in ["orders", "deleted", "twice"] {
                let stream = site.stream(name);
                assert!(stream.is_empty().unwrap() && stream.exists(), "{name}");
                stream.entry("next").id(id(50)).add().unwrap();
                assert_eq!(entry_ids(&stream), [id(50)], "{name}");
            }
        },
    );
}

#[test]
fn retention_is_kept_and_so_is_what_it_removed() {
    survives(
        &[
            |site| site.orders().set_retention(Retention::default().max_len(5)).unwrap(),
            |site| site.add(1, 20),
            |site| site.broker.trim_step().unwrap(),
            |site| {
                let all = Retention::default().max_age(Duration::from_secs(9)).max_bytes(77).acknowledged();
                site.stream("all").set_retention(all.only_acknowledged()).unwrap();
                site.stream("reset").set_retention(all).unwrap();
            },
            |site| site.stream("reset").set_retention(Retention::default()).unwrap(),
        ],
        |site| {
            assert_eq!(entry_ids(&site.orders()), ids(16..=20));
            let all = Retention::default().max_age(Duration::from_secs(9)).max_bytes(77).acknowledged();
            assert_eq!(site.stream("all").retention().unwrap(), all.only_acknowledged());
            assert_eq!(site.stream("reset").retention().unwrap(), Retention::default());
            site.add(21, 22);
            site.broker.trim_step().unwrap();
            assert_eq!(entry_ids(&site.orders()), ids(18..=22));
        },
    );
}

#[test]
fn streams_and_groups_without_entries_are_there_and_a_group_at_the_end_gets_what_comes_after() {
    survives(
        &[
            |site| assert!(site.stream("empty").create().unwrap()),
            |site| drop(site.stream("made for a group").group("end").create().unwrap()),
            |site| drop(site.orders().group("end").create().unwrap()),
            |site| site.add(1, 3),
            |site| drop(site.orders().group("later").create().unwrap()),
            |site| drop(site.orders().group("ahead").start_at(Id::new(9_999_999_999_999, 0)).create().unwrap()),
            |site| drop(site.orders().group("counted").start_at(id(2)).entries_read(2).create().unwrap()),
        ],
        |site| {
            assert_eq!(site.broker.streams().unwrap(), ["empty", "made for a group", "orders"]);
            assert_eq!(site.orders().info().unwrap().last_id, id(3), "a cursor ahead does not move it");
            site.stream("made for a group").entry("x").id(id(1)).add().unwrap();
            site.add(4, 4);
            let read = |stream: &str, group: &str| {
                let group = site.stream(stream).group(group).existing().unwrap();
                group.consumer("c").read_new().count(9).next().unwrap().ids()
            };
            assert_eq!(read("made for a group", "end"), ids([1]));
            assert_eq!(read("orders", "end"), ids(1..=4));
            assert_eq!(read("orders", "later"), ids([4]));
            assert_eq!(read("orders", "ahead"), []);
            assert_eq!(site.orders().group("counted").existing().unwrap().info().unwrap().lag, Some(2));
            assert_eq!(read("orders", "counted"), ids([3, 4]));
        },
    );
}

#[test]
fn nothing_of_a_deleted_stream_shines_through_the_one_made_after_it() {
    survives(
        &[
            |site| {
                site.add(1, 80);
                site.orders().set_retention(Retention::default().max_len(1000)).unwrap();
            },
            |site| drop(site.worker("a").read_new().count(30).next().unwrap()),
            |site| assert_eq!(site.orders().delete(&ids([40, 41])).unwrap(), 2),
            |site| assert!(site.orders().delete_stream().unwrap()),
            |site| site.add(1, 3),
            |site| assert_eq!(site.billing().pending().unwrap().count, 0),
        ],
        |site| {
            assert_eq!(entry_ids(&site.orders()), ids(1..=3));
            let info = site.orders().info().unwrap();
            assert_eq!((info.entries_added, info.max_deleted_id, info.trimmed_to), (3, Id::MIN, Id::MIN));
            assert_eq!(info.retention, Retention::default());
            assert_eq!(site.billing().consumers().unwrap(), []);
            assert_eq!(site.worker("a").fetch().count(9).next().unwrap().ids(), ids(1..=3));
        },
    );
}

#[test]
fn a_deleted_stream_stays_deleted_with_its_groups() {
    survives(
        &[
            |site| site.add(1, 80),
            |site| drop(site.worker("a").read_new().count(3).next().unwrap()),
            |site| site.put("other", 1),
            |site| assert!(site.orders().delete_stream().unwrap()),
            |site| {
                site.stream("brief").add("x").unwrap();
                assert!(site.stream("brief").delete_stream().unwrap());
            },
        ],
        |site| {
            assert_eq!(site.broker.streams().unwrap(), ["other"]);
            assert!(!site.orders().exists() && !site.orders().delete_stream().unwrap());
            assert_eq!(site.orders().group("billing").existing().unwrap_err().kind(), ErrorKind::NoSuchGroup);
            site.add(1, 1);
        },
    );
}

#[test]
fn nothing_of_a_destroyed_group_shines_through_the_one_made_after_it() {
    survives(
        &[
            |site| site.add(1, 6),
            |site| drop(site.worker("a").read_new().count(4).next().unwrap()),
            |site| drop(site.orders().group("brief").from_start().create().unwrap()),
            |site| assert!(site.billing().destroy().unwrap()),
            |site| drop(site.orders().group("billing").start_at(id(1)).create().unwrap()),
            |site| assert!(site.orders().group("brief").existing().unwrap().destroy().unwrap()),
        ],
        |site| {
            let groups = site.orders().groups().unwrap();
            assert_eq!(groups.len(), 1);
            assert_eq!((groups[0].consumers, groups[0].pending, groups[0].last_delivered_id), (0, 0, id(1)));
            assert_eq!(site.worker("a").fetch().count(9).next().unwrap().ids(), ids(2..=6));
        },
    );
}

#[test]
fn the_counters_behind_a_groups_lag_are_kept() {
    survives(
        &[
            |site| site.add(1, 10),
            |site| drop(site.worker("a").read_new().count(4).next().unwrap()),
            |site| drop(site.orders().group("holes").from_start().create().unwrap()),
            |site| drop(site.orders().group("unknown").start_at(id(5)).create().unwrap()),
            |site| assert_eq!(site.orders().trim(Trim::max_len(8)).unwrap(), 2),
            |site| assert_eq!(site.orders().delete(&[id(8)]).unwrap(), 1),
            |site| {
                let holes = site.orders().group("holes").existing().unwrap();
                assert_eq!(holes.consumer("c").read_new().count(3).next().unwrap().ids(), ids(3..=5));
            },
            |site| site.add(11, 11),
        ],
        |site| {
            let worker = site.worker("a");
            assert_eq!(worker.read_new().count(99).next().unwrap().len(), 6);
            assert_eq!(site.billing().info().unwrap().lag, Some(0));
        },
    );
}

#[test]
fn entries_in_many_segments_are_found_by_id_from_either_end() {
    survives(
        &[
            |site| {
                for seq in 1..=200 {
                    site.orders().entry([("pad", "x".repeat(100))]).id(id(seq)).add().unwrap();
                }
            },
            |site| {
                for seq in 201..=300 {
                    site.orders().entry([("pad", "y".repeat(100))]).id(id(seq)).add().unwrap();
                }
            },
        ],
        |site| {
            let orders = site.orders();
            assert!(orders.info().unwrap().segments > 5);
            for seq in [1, 2, 100, 199, 200, 201, 299, 300] {
                assert_eq!(orders.get(id(seq)).unwrap().unwrap().id, id(seq));
                assert_eq!(orders.read(id(seq - 1)).count(1).next().unwrap()[0].id, id(seq));
            }
            let last: Vec<_> = orders.range(..).rev().count(150).read().unwrap().iter().map(|e| e.id).collect();
            assert_eq!(last, ids((151..=300).rev()));
            assert_eq!(orders.range(id(90)..id(210)).iter().map(|e| e.unwrap().id).collect::<Vec<_>>(), ids(90..210));
            assert_eq!(orders.trim(Trim::max_len(10)).unwrap(), 290);
            assert_eq!(entry_ids(&orders), ids(291..=300));
        },
    );
}

/// The bytes of a large value: no part of it like another.
fn blob() -> Vec<u8> {
    (0..3u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn an_entry_of_several_mib_goes_over_one_journal_file_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let site = |broker: Broker| Site { broker, clock: ManualClock::at(START_MS) };
    for (round, ending) in (0..).zip([Ending::Crash, Ending::Close, Ending::Copy]) {
        let now = site(builder().open(directory.path()).unwrap());
        now.add(10 * round + 1, 10 * round + 1);
        now.orders().entry(vec![("blob", blob())]).id(id(10 * round + 2)).add().unwrap();
        now.add(10 * round + 3, 10 * round + 3);
        let (again, _copy) = reopened(now, directory.path(), ending, &builder());
        for earlier in 0..=round {
            let entry = again.orders().get(id(10 * earlier + 2)).unwrap().unwrap();
            assert!(entry.get("blob").unwrap() == blob(), "{ending:?}");
        }
        assert_eq!(again.orders().len().unwrap(), 3 * (round + 1));
        again.broker.crash();
    }
}

#[test]
fn batches_are_there_whole_with_the_trim_that_came_with_them() {
    survives(
        &[
            |site| {
                let orders = site.orders();
                let mut batch = orders.batch();
                for seq in 1..=300 {
                    batch.push_with_id(id(seq), [("n", seq.to_string())]).unwrap();
                }
                assert_eq!(batch.add().unwrap(), ids(1..=300));
            },
            |site| {
                let orders = site.orders();
                let mut batch = orders.batch().trim(Trim::max_len(7));
                for seq in 301..=310 {
                    batch.push_with_id(id(seq), [("n", seq.to_string())]).unwrap();
                }
                batch.add().unwrap();
            },
            |site| {
                site.orders().entry("x").id(id(311)).trim(Trim::min_id(id(306))).add().unwrap();
            },
        ],
        |site| {
            assert_eq!(entry_ids(&site.orders()), ids(306..=311));
            assert_eq!(site.orders().info().unwrap().trimmed_to, id(305));
            assert_eq!(site.orders().add_batch(["a", "b"]).unwrap().len(), 2);
        },
    );
}

#[test]
fn many_streams_and_groups_keep_apart() {
    survives(
        &[
            |site| {
                for number in 0..40 {
                    let stream = site.stream(&format!("s{number}"));
                    stream.entry([("n", number.to_string())]).id(id(number + 1)).add().unwrap();
                }
            },
            |site| {
                for number in (0..40).step_by(3) {
                    let group = site.stream(&format!("s{number}")).group("g").from_start().create().unwrap();
                    assert_eq!(group.consumer(&format!("c{number}")).read_new().next().unwrap().len(), 1);
                }
            },
            |site| {
                for number in (0..40).step_by(4) {
                    assert!(site.stream(&format!("s{number}")).delete_stream().unwrap());
                }
            },
        ],
        |site| {
            assert_eq!(site.broker.streams().unwrap().len(), 30);
            let entry = &site.stream("s7").range(..).read().unwrap()[0];
            assert_eq!((entry.id, entry.text("n").unwrap()), (id(8), "7"));
        },
    );
}

#[test]
fn every_durability_level_outlives_the_process() {
    for level in [Durability::Always, Durability::Interval(Duration::from_secs(3600)), Durability::Os] {
        survives_with(
            &builder().durability(level),
            &[
                |site| site.add(1, 5),
                |site| drop(site.worker("a").read_new().count(3).next().unwrap()),
                |site| assert_eq!(site.billing().ack(&[id(2)]).unwrap(), 1),
                |site| assert_eq!(site.orders().trim(Trim::max_len(3)).unwrap(), 2),
            ],
            |site| assert_eq!(site.billing().pending().unwrap().count, 2),
        );
    }
}

#[test]
fn what_was_written_is_there_though_nobody_closed_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let orders = Broker::open(directory.path()).unwrap().stream("orders").unwrap();
    let group = orders.group("billing").from_start().ensure().unwrap();
    orders.add("kept").unwrap();
    let message = group.consumer("a").read_new().next().unwrap().into_vec().pop();
    drop((orders, group));
    // The last handle.
    drop(message);
    let orders = Broker::open(directory.path()).unwrap().stream("orders").unwrap();
    assert_eq!(orders.len().unwrap(), 1);
    assert_eq!(orders.group("billing").existing().unwrap().pending().unwrap().count, 1);
}

#[test]
fn a_segment_whose_entries_were_all_deleted_gives_its_space_back_though_an_older_entry_stays() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Broker::builder().segment_bytes(10_000).background(false);
    let size = || -> u64 {
        let files = std::fs::read_dir(directory.path().join("streams/1")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let broker = options().open(directory.path()).unwrap();
    let stream = broker.stream("jobs").unwrap();
    let ids: Vec<Id> = (0..500).map(|_| stream.add([("payload", "x".repeat(100))]).unwrap()).collect();
    broker.checkpoint().unwrap();
    let before = size();
    assert_eq!(stream.delete(&ids[1..499]).unwrap(), 498);
    broker.checkpoint().unwrap();
    assert!(size() < before / 2, "{} of {before} bytes are left", size());
    let check = |stream: &Stream| {
        let left: Vec<Id> = stream.range(..).read().unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(left, [ids[0], ids[499]]);
        let backwards: Vec<Id> = stream.range(..ids[400]).rev().read().unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(backwards, [ids[0]]);
        assert_eq!(stream.range(ids[250]..).read().unwrap().len(), 1);
        assert_eq!(stream.get(ids[250]).unwrap(), None);
        assert_eq!(stream.delete(&ids[1..499]).unwrap(), 0);
    };
    check(&stream);
    broker.crash();
    let broker = options().open(directory.path()).unwrap();
    let stream = broker.stream("jobs").unwrap();
    check(&stream);
    assert_eq!(stream.trim(Trim::max_bytes(20_000)).unwrap(), 1);
    assert_eq!(stream.len().unwrap(), 1);
}
