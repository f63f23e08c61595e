//! Publication: readers see entries in the order of their IDs, each when its level is met, and never a gap.

use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread;
use streamlog::{Durability, StartAt, Stream, Trim};

use crate::witness::Witness;
use crate::{check, id, open, token_of};

/// What a look at the stream may show, however the writers stand; `seen` is what the last look showed.
fn look(witness: &Witness, stream: &Stream, seen: &mut Vec<String>) {
    let entries = stream.range(..).read().unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, (0..entries.len() as u64).map(id).collect::<Vec<_>>(), "a gap, or another order than that of IDs");
    let tokens: Vec<_> = entries.iter().map(token_of).collect();
    assert!(tokens.starts_with(seen), "what was seen has changed: {seen:?}, then {tokens:?}");
    for token in tokens.iter().filter(|token| token.starts_with("<always")) {
        assert!(witness.is_durable(token), "{token} was seen before it was durable");
    }
    *seen = tokens;
    let info = stream.info().unwrap();
    assert!(info.length >= seen.len() as u64);
    if info.length > 0 {
        assert_eq!(info.last_id, id(info.length - 1), "the length and the last ID are of one moment");
    }
    assert!(stream.len().unwrap() >= info.length);
}

#[test]
fn readers_see_entries_of_all_levels_in_order_and_when_their_level_is_met() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, _) = open(&witness, Durability::Os);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    look(&witness, &stream, &mut seen);
                    thread::yield_now();
                }
                look(&witness, &stream, &mut seen);
                assert_eq!(seen.len(), 6, "all writers have returned, and all was synced");
            });
            let always = [0, 1].map(|writer| {
                let stream = &stream;
                scope.spawn(move || {
                    let token = format!("<always.{writer}>");
                    let id = stream.entry(&*token).durability(Durability::Always).add().unwrap();
                    assert!(stream.get(id).unwrap().is_some());
                })
            });
            let weak = scope.spawn(|| {
                stream.add("<os.0>").unwrap();
                // A batch is seen whole: `look` would see half of it as a length that does not fit.
                let mut batch = stream.batch().durability(Durability::Always);
                batch.push("<always.2>").unwrap();
                batch.push("<always.3>").unwrap();
                batch.add().unwrap();
                stream.add("<os.1>").unwrap();
            });
            always.into_iter().for_each(|writer| writer.join().unwrap());
            weak.join().unwrap();
            broker.sync().unwrap();
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
    });
}

#[test]
fn a_batch_is_seen_whole() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = open(&witness, Durability::Always);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert_eq!(stream.add_batch(["<always.a>", "<always.b>"]).unwrap().len(), 2));
            }
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_eq!(stream.len().unwrap() % 2, 0);
                    assert_eq!(stream.range(..).read().unwrap().len() % 2, 0);
                }
            });
            let consumer = group.consumer("all");
            let messages = consumer.read_new().count(100).block_forever().next().unwrap();
            assert_eq!(messages.len() % 2, 0);
        });
    });
}

#[test]
fn a_reader_that_follows_the_end_gets_every_entry_once_and_in_order() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, _) = open(&witness, Durability::Os);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut tokens = Vec::new();
                let mut after = StartAt::Start;
                while tokens.len() < 4 {
                    for entry in stream.read(after).block_forever().next().unwrap() {
                        let token = token_of(&entry);
                        assert_eq!(entry.id, id(tokens.len() as u64));
                        assert!(!token.starts_with("<always") || witness.is_durable(&token));
                        tokens.push(token);
                        after = entry.id.into();
                    }
                }
            });
            scope.spawn(|| {
                stream.add("<os.0>").unwrap();
                stream.add("<os.1>").unwrap();
                // The last one may stand behind one that waits for its sync.
                broker.sync().unwrap();
            });
            for writer in 0..2 {
                let stream = &stream;
                scope.spawn(move || {
                    stream.entry(format!("<always.{writer}>")).durability(Durability::Always).add().unwrap()
                });
            }
            reader.join().unwrap();
        });
    });
}

#[test]
fn a_trim_is_seen_with_the_add_it_came_with() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, _) = open(&witness, Durability::Always);
        stream.add("<first>").unwrap();
        thread::scope(|scope| {
            for level in [Durability::Always, Durability::Os] {
                let stream = &stream;
                scope.spawn(move || {
                    for _ in 0..2 {
                        stream.entry("<next>").trim(Trim::max_len(1)).durability(level).add().unwrap();
                    }
                });
            }
            for _ in 0..4 {
                assert_eq!(stream.len().unwrap(), 1);
                assert_eq!(stream.range(..).read().unwrap().len(), 1);
                let info = stream.info().unwrap();
                assert_eq!((info.length, info.first_id), (1, Some(info.last_id)));
            }
        });
    });
}
