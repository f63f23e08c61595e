//! What goes on behind: flushes, checkpoints, spare and new journal files, while others add, trim, delete, deliver and
//! read. Every limit is so small that each of them has something to do.

use std::collections::BTreeMap;
use std::sync::Mutex;

use shuttle::thread;
use streamlog::sim::Survival;
use streamlog::{Broker, Builder, Durability, Id, Result, Stream, Trim};

use crate::witness::Witness;
use crate::{builder, check, id, random_below, token_of};

/// A segment is closed after two entries, a journal file holds about four records, and nothing is cached.
fn tiny() -> Builder {
    let builder = builder(Durability::Os).segment_bytes(100).tail_bytes(150).cache_bytes(1).open_files_max(1);
    builder.journal_file_bytes(256).checkpoint_bytes(300).journal_bytes_max(1000)
}

fn open(witness: &Witness) -> (Broker, Stream) {
    let broker = tiny().open_on(witness.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    (broker, stream)
}

/// The background's work, once. `checkpoint` also runs wherever a writer finds the journal over its limit.
fn keep(broker: &Broker) -> Result<()> {
    broker.flush_all()?;
    broker.spare_step()?;
    broker.checkpoint()?;
    broker.trim_step()
}

fn entries(stream: &Stream) -> BTreeMap<Id, String> {
    let entries = stream.range(..).read().unwrap();
    assert!(entries.is_sorted_by(|one, next| one.id < next.id));
    entries.iter().map(|entry| (entry.id, token_of(entry))).collect()
}

fn any_survival() -> Survival {
    let seed = random_below(1000);
    let survivals = [Survival::Kill, Survival::Nothing, Survival::All, Survival::Sectors(seed), Survival::Torn(seed)];
    survivals[random_below(survivals.len() as u64) as usize]
}

/// What may be left of a broker that synced and was then not closed, opened again.
fn crashed_and_opened(witness: &Witness, broker: Broker) -> (Broker, Stream) {
    broker.sync().unwrap();
    broker.crash();
    witness.disk.restart(any_survival());
    open(witness)
}

#[test]
fn entries_stay_what_they_are_while_flushes_checkpoints_trims_and_deletes_go_on() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        stream.create().unwrap();
        let added = Mutex::new(BTreeMap::new());
        let deleted = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (writer, level) in [Durability::Always, Durability::Os].into_iter().enumerate() {
                let (stream, added, deleted) = (&stream, &added, &deleted);
                scope.spawn(move || {
                    for n in 0..4 {
                        let token = format!("<{writer}.{n}>");
                        let id = stream.entry(&*token).durability(level).add().unwrap();
                        added.lock().unwrap().insert(id, token);
                        if n == 2 && stream.delete(&[id]).unwrap() == 1 {
                            deleted.lock().unwrap().push(id);
                        }
                    }
                });
            }
            scope.spawn(|| keep(&broker).unwrap());
            scope.spawn(|| broker.checkpoint().unwrap());
            scope.spawn(|| stream.trim(Trim::min_id(id(3))).unwrap());
            scope.spawn(|| {
                let mut seen = BTreeMap::new();
                for _ in 0..3 {
                    for (id, token) in entries(&stream) {
                        let before = seen.insert(id, token.clone());
                        assert!(before.is_none_or(|before| before == token), "{id} is another entry now");
                    }
                }
            });
        });
        // Whatever came late is trimmed now.
        stream.trim(Trim::min_id(id(3))).unwrap();
        let mut left = added.into_inner().unwrap();
        left.retain(|entry, _| *entry >= id(3) && !deleted.lock().unwrap().contains(entry));
        assert_eq!(entries(&stream), left);
        drop(stream);
        let (broker, stream) = crashed_and_opened(&witness, broker);
        assert_eq!(entries(&stream), left, "after a crash");
        assert_eq!(stream.info().unwrap().last_id, id(7));
        drop(stream);
        broker.close().unwrap();
        assert_eq!(entries(&open(&witness).1), left, "after a close");
    });
}

#[test]
fn what_was_told_is_there_when_the_power_goes_at_any_moment() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        stream.create().unwrap();
        witness.disk.crash_at(witness.disk.operations() + 1 + random_below(60));
        let told = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for (writer, level) in [Durability::Always, Durability::Always, Durability::Os].into_iter().enumerate() {
                let (stream, told) = (&stream, &told);
                scope.spawn(move || {
                    for n in 0..4 {
                        let token = format!("<{writer}.{n}>");
                        let Ok(id) = stream.entry(&*token).durability(level).add() else { return };
                        if level == Durability::Always {
                            told.lock().unwrap().insert(id, token);
                        }
                    }
                });
            }
            scope.spawn(|| keep(&broker));
            scope.spawn(|| broker.checkpoint());
        });
        drop(stream);
        broker.crash();
        witness.disk.restart(any_survival());
        let (_broker, stream) = open(&witness);
        let left = if stream.exists() { entries(&stream) } else { BTreeMap::new() };
        assert!(left.keys().copied().eq((0..left.len() as u64).map(id)), "no prefix of what was added: {left:?}");
        for (id, token) in told.into_inner().unwrap() {
            assert_eq!(left.get(&id), Some(&token), "{id} is gone, or another entry");
        }
    });
}

#[test]
fn what_goes_away_under_a_reader_is_no_damage() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        let token = |id: Id| format!("<{}>", id.seq);
        for n in 0..6 {
            stream.add(token(id(n))).unwrap();
        }
        broker.flush_all().unwrap();
        let whole = random_below(2) == 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                if whole {
                    assert!(stream.delete_stream().unwrap());
                } else {
                    assert_eq!(stream.trim(Trim::min_id(id(4))).unwrap(), 4);
                }
                // Now the files go.
                broker.checkpoint().unwrap();
            });
            scope.spawn(|| {
                for _ in 0..2 {
                    let read = entries(&stream);
                    assert!(read.iter().all(|(&id, data)| *data == token(id)));
                    assert!(whole || read.contains_key(&id(4)) && read.contains_key(&id(5)));
                }
            });
        });
    });
}

#[test]
fn of_a_stream_deleted_and_made_again_only_the_new_entries_are_left() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..2 {
                    stream.add("<old>").unwrap();
                    stream.add("<old>").unwrap();
                    assert!(stream.delete_stream().unwrap());
                    stream.add(format!("<new.{n}>")).unwrap();
                    if n == 0 {
                        assert!(stream.delete_stream().unwrap());
                    }
                }
            });
            scope.spawn(|| keep(&broker).unwrap());
            scope.spawn(|| keep(&broker).unwrap());
            scope.spawn(|| {
                for _ in 0..5 {
                    // Gone meanwhile, and no damage.
                    let read = stream.range(..).read().unwrap();
                    assert!(read.iter().all(|entry| token_of(entry) == "<old>") || read.len() == 1);
                }
            });
        });
        let left: Vec<_> = entries(&stream).into_values().collect();
        assert_eq!(left, ["<new.1>"]);
        drop(stream);
        let (_broker, stream) = crashed_and_opened(&witness, broker);
        let left: Vec<_> = entries(&stream).into_values().collect();
        assert_eq!(left, ["<new.1>"], "after a crash");
    });
}

#[test]
fn what_was_delivered_and_acknowledged_stays_so_across_checkpoints_and_new_files() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        let group = stream.group("billing").from_start().create().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..6 {
                    stream.add(format!("<{n}>")).unwrap();
                }
            });
            scope.spawn(|| keep(&broker).unwrap());
            for name in ["a", "b"] {
                let consumer = group.consumer(name);
                scope.spawn(move || {
                    let kept = consumer.read_new().block_forever().next().unwrap();
                    assert_eq!(kept.len(), 1);
                    let messages = consumer.read_new().count(2).block_forever().next().unwrap();
                    assert_eq!(messages.ack_all().unwrap(), messages.len() as u64);
                });
            }
        });
        let before = (group.info().unwrap(), group.pending().unwrap(), group.pending_range(..).read().unwrap());
        assert_eq!(before.0.pending, 2);
        drop((group, stream));
        let (_broker, stream) = crashed_and_opened(&witness, broker);
        let group = stream.group("billing").existing().unwrap();
        let after = (group.info().unwrap(), group.pending().unwrap(), group.pending_range(..).read().unwrap());
        assert_eq!(after, before);
    });
}

#[test]
fn writers_who_meet_the_end_of_a_journal_file_together_lose_nothing() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        thread::scope(|scope| {
            for writer in 0..3 {
                let (witness, broker) = (&witness, &broker);
                scope.spawn(move || {
                    let stream = broker.stream(["orders", "events"][writer % 2]).unwrap();
                    for n in 0..3 {
                        // Each with a size of its own, so that files end at different places.
                        let token = format!("<{writer}.{n}>{}", "x".repeat(20 * writer));
                        stream.entry(&*token).durability(Durability::Always).add().unwrap();
                        assert!(witness.is_durable(&token[..5]));
                    }
                });
            }
            scope.spawn(|| broker.spare_step().unwrap());
        });
        let both = |broker: &Broker| ["orders", "events"].map(|name| entries(&broker.stream(name).unwrap()));
        let before = both(&broker);
        assert_eq!(before.each_ref().map(BTreeMap::len), [6, 3]);
        drop(stream);
        let (broker, _) = crashed_and_opened(&witness, broker);
        assert_eq!(both(&broker), before);
    });
}

#[test]
fn a_stream_that_many_begin_at_once_is_begun_once() {
    check(|| {
        let witness = Witness::new();
        let broker = tiny().open_on(witness.storage()).unwrap();
        let added = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for writer in 0..2 {
                let (broker, added) = (&broker, &added);
                scope.spawn(move || {
                    let token = format!("<{writer}>");
                    let id = broker.stream("orders").unwrap().add(&*token).unwrap();
                    assert!(added.lock().unwrap().insert(id, token).is_none());
                });
            }
            let group = scope.spawn(|| {
                let group = broker.stream("orders").unwrap().group("billing").from_start().ensure().unwrap();
                let first = group.consumer("a").read_new().count(2).block_forever().next().unwrap();
                assert!(!first.is_empty());
            });
            scope.spawn(|| broker.checkpoint().unwrap());
            group.join().unwrap();
        });
        let added = added.into_inner().unwrap();
        assert_eq!(added.len(), 2);
        let (_broker, stream) = crashed_and_opened(&witness, broker);
        assert_eq!(entries(&stream), added);
        assert_eq!(stream.groups().unwrap().len(), 1);
    });
}

#[test]
fn what_the_background_is_asked_to_do_is_done() {
    check(|| {
        let witness = Witness::new();
        let broker = tiny().background(true).open_on(witness.storage()).unwrap();
        let stream = broker.stream("orders").unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..2 {
                        // Too little for its writer to help.
                        stream.add("<0123456789>").unwrap();
                    }
                });
            }
            // The flush that was asked for when the tail was half full.
            scope.spawn(|| {
                while stream.info().is_ok_and(|info| info.segments == 0) {
                    thread::yield_now();
                }
            });
        });
        drop(stream);
        let closing = thread::spawn(|| broker.close().unwrap());
        closing.join().unwrap();
    });
}
