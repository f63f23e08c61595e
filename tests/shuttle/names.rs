//! Names that change and streams that are made anew, while others add to them, read them and checkpoint.

use std::collections::BTreeSet;

use shuttle::thread;
use streamlog::sim::Survival;
use streamlog::{Broker, Durability, Id, Stream, Trim};

use crate::witness::Witness;
use crate::{check, id, open, token_of};

fn named(broker: &Broker, name: &str) -> Stream {
    broker.stream(name).unwrap()
}

fn tokens(stream: &Stream) -> BTreeSet<String> {
    stream.range(..).read().unwrap().iter().map(token_of).collect()
}

/// Whoever found the stream by its old name and comes after the rename must not add to it any more.
#[test]
fn a_renamed_stream_gets_no_entry_of_those_who_add_by_its_old_name() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, _) = open(&witness, Durability::Os);
        stream.add("<first>").unwrap();
        let after = thread::scope(|scope| {
            for writer in 0..2 {
                let (stream, level) = (&stream, [Durability::Always, Durability::Os][writer]);
                scope.spawn(move || {
                    for n in 0..2 {
                        stream.entry(&*format!("<{writer}.{n}>")).durability(level).add().unwrap();
                    }
                });
            }
            scope.spawn(|| broker.checkpoint().unwrap());
            stream.rename_to("away").unwrap();
            broker.sync().unwrap();
            tokens(&named(&broker, "away"))
        });
        broker.sync().unwrap();
        let [here, away] = [&stream, &named(&broker, "away")].map(tokens);
        assert_eq!(away, after);
        assert!(here.is_disjoint(&away));
        assert_eq!(here.len() + away.len(), 5, "{here:?}, {away:?}");
        broker.crash();
        witness.disk.restart(Survival::Nothing);
        let broker = crate::builder(Durability::Os).open_on(witness.storage()).unwrap();
        assert_eq!(["orders", "away"].map(|name| tokens(&named(&broker, name))), [here, away]);
    });
}

#[test]
fn two_who_swap_names_leave_each_stream_with_one() {
    check(|| {
        let witness = Witness::new();
        let (broker, ..) = open(&witness, Durability::Os);
        for name in ["a", "b"] {
            named(&broker, name).add(&*format!("<{name}>")).unwrap();
        }
        thread::scope(|scope| {
            scope.spawn(|| drop(named(&broker, "a").rename_to_new("c")));
            scope.spawn(|| drop(named(&broker, "b").rename_to_new("a")));
            scope.spawn(|| drop(named(&broker, "c").rename_to_new("b")));
            scope.spawn(|| broker.checkpoint().unwrap());
        });
        let seen = |broker: &Broker| -> Vec<_> {
            ["a", "b", "c"].iter().flat_map(|name| tokens(&named(broker, name))).collect()
        };
        let mut all = seen(&broker);
        assert_eq!(broker.streams().unwrap().len(), 3, "one of them is `orders`");
        broker.checkpoint().unwrap();
        broker.crash();
        witness.disk.restart(Survival::Nothing);
        let broker = crate::builder(Durability::Os).open_on(witness.storage()).unwrap();
        assert_eq!(seen(&broker), all);
        all.sort_unstable();
        assert_eq!(all, ["<a>", "<b>"]);
    });
}

/// A copy is written under the gate and the catalog's lock, and waits there for a sync that others lead.
#[test]
fn a_copy_is_seen_whole_while_others_wait_for_syncs() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, _) = open(&witness, Durability::Always);
        stream.add("<first>").unwrap();
        stream.copy_to("copy").unwrap();
        let copy = named(&broker, "copy");
        thread::scope(|scope| {
            scope.spawn(|| {
                stream.add("<a>").unwrap();
                named(&broker, "other").add("<b>").unwrap();
            });
            scope.spawn(|| {
                for _ in 0..2 {
                    assert!(tokens(&copy).contains("<first>"));
                }
            });
            scope.spawn(|| broker.checkpoint().unwrap());
            stream.copy_to("copy").unwrap();
            assert!(tokens(&copy).iter().all(|token| witness.is_durable(token)));
        });
    });
}

#[test]
fn a_stream_made_anew_is_never_seen_without_its_entries() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, group) = open(&witness, Durability::Always);
        for n in 0..4 {
            stream.entry(&*format!("<{n}>")).id(Id::new(1, n + 1)).add().unwrap();
        }
        stream.trim(Trim::max_len(4)).unwrap();
        stream.delete(&[id(4)]).unwrap();
        stream.set_last_id(id(4)).max_deleted_id(id(1)).set().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| assert!(stream.len().unwrap() >= 3));
            scope.spawn(|| assert!(stream.range(..).read().unwrap().len() >= 3));
            scope.spawn(|| assert_eq!(group.consumer("c").read_new().count(2).next().unwrap().len(), 2));
            scope.spawn(|| broker.checkpoint().unwrap());
            stream.set_last_id(id(3)).set().unwrap();
            stream.entry("<again>").id(id(4)).add().unwrap();
        });
        assert_eq!(tokens(&stream).len(), 4);
        assert_eq!(group.pending().unwrap().count, 2);
        broker.close().unwrap();
    });
}
