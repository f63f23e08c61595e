//! What becomes of pending lists when entries go, and of entries that somebody needs still; and trims that save work.

use std::time::Duration;

use streamlog::{Broker, Group, Id, References, Removal, Stream, Trim};

fn id(seq: u64) -> Id {
    Id::new(1, seq)
}

/// A stream with entries `1-1` to `1-last`, and a group that was delivered the first `delivered` and acknowledged `acked`.
fn story(last: u64, delivered: usize, acked: &[u64]) -> (Broker, Stream, Group) {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    (1..=last).for_each(|seq| assert!(orders.entry([("n", "")]).id(id(seq)).add().is_ok()));
    let group = orders.group("billing").from_start().ensure().unwrap();
    group.consumer("ann").read_new().count(delivered).next().unwrap();
    group.ack(&acked.iter().map(|&seq| id(seq)).collect::<Vec<_>>()).unwrap();
    (broker, orders, group)
}

fn left(stream: &Stream) -> Vec<u64> {
    stream.range(..).read().unwrap().iter().map(|entry| entry.id.seq).collect()
}

fn pending(group: &Group) -> Vec<u64> {
    group.pending_range(..).read().unwrap().iter().map(|row| row.id.seq).collect()
}

#[test]
fn a_trim_passes_over_what_is_referenced_and_takes_what_lies_behind() {
    let (_broker, orders, group) = story(9, 6, &[2, 3, 5]);
    let trim = |max| orders.trim(Trim::max_len(max).references(References::Acknowledged)).unwrap();
    assert_eq!(trim(7), 2);
    assert_eq!(left(&orders), [1, 4, 5, 6, 7, 8, 9]);
    assert_eq!(trim(0), 1, "only what was delivered and acknowledged");
    assert_eq!(left(&orders), [1, 4, 6, 7, 8, 9]);
    let info = orders.info().unwrap();
    assert_eq!((info.max_deleted_id, info.trimmed_to, info.first_id), (Id::MIN, Id::MIN, Some(id(1))));
    group.ack(&[id(1)]).unwrap();
    assert_eq!(trim(0), 1);
    assert_eq!(orders.info().unwrap().trimmed_to, id(1));
    assert_eq!(left(&orders), [4, 6, 7, 8, 9]);
}

#[test]
fn a_trim_takes_its_entries_out_of_the_pending_lists_if_asked_to() {
    let (_broker, orders, group) = story(6, 6, &[2]);
    orders.delete(&[id(1)]).unwrap();
    let trim = Trim::min_id(id(5));
    assert_eq!(orders.trim(trim.references(References::Delete)).unwrap(), 3);
    assert_eq!(pending(&group), [1, 5, 6], "what was deleted before stays pending");
    assert_eq!(orders.entry([("n", "")]).id(id(7)).trim(Trim::max_len(1)).add().unwrap(), id(7));
    assert_eq!((pending(&group), left(&orders)), (vec![1, 5, 6], vec![7]), "as it does without");
}

#[test]
fn deleting_and_acknowledging_say_what_became_of_each() {
    use Removal::{Missing, Referenced, Removed};

    let (_broker, orders, group) = story(6, 4, &[1]);
    let ids = |seqs: &[u64]| seqs.iter().map(|&seq| id(seq)).collect::<Vec<_>>();
    let removed = orders.remove(&ids(&[1, 1, 2, 5, 50]), References::Acknowledged).unwrap();
    assert_eq!(removed, [Removed, Missing, Referenced, Referenced, Referenced]);
    assert_eq!(orders.remove(&ids(&[2, 50]), References::Delete).unwrap(), [Removed, Missing]);
    assert_eq!(pending(&group), [3, 4]);
    let other = orders.group("audit").from_start().ensure().unwrap();
    other.consumer("eve").read_new().count(1).next().unwrap();
    assert_eq!(pending(&other), [3]);
    let acked = group.ack_and_delete(&ids(&[3, 3, 2]), References::Acknowledged).unwrap();
    assert_eq!(acked, [Referenced, Missing, Missing]);
    assert_eq!(group.ack_and_delete(&ids(&[4]), References::Keep).unwrap(), [Removed]);
    assert_eq!((pending(&group), left(&orders)), (vec![], vec![3, 5, 6]));
    assert_eq!(other.ack_and_delete(&ids(&[3]), References::Delete).unwrap(), [Removed]);
}

/// As Redis does with nodes of 100 entries: `MAXLEN ~ 555` over 1000 adds leaves 600.
#[test]
fn an_approximate_trim_takes_whole_nodes_and_no_more_than_its_limit() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    for seq in 1..=1000 {
        let entry = orders.entry([("n", "")]).id(id(seq));
        entry.trim(Trim::max_len(555).approximately()).add().unwrap();
    }
    assert_eq!(orders.len().unwrap(), 600);
    assert_eq!(orders.trim(Trim::max_len(1).approximately_at_most(250)).unwrap(), 200);
    assert_eq!(orders.trim(Trim::min_id(id(700)).approximately_at_most(0)).unwrap(), 0);
    assert_eq!(orders.trim(Trim::min_id(id(701)).approximately_at_most(0)).unwrap(), 100);
    assert_eq!(orders.trim(Trim::max_len(250).approximately()).unwrap(), 0);
    // Entries that are looked at one by one go one by one: so Redis 8.6.3 has it.
    assert_eq!(orders.trim(Trim::max_len(250).approximately().references(References::Acknowledged)).unwrap(), 50);
    assert_eq!(orders.trim(Trim::max_len(0).approximately()).unwrap(), 250);
    let many = broker.stream("many").unwrap();
    many.add_batch((0..20_000).map(|_| [("n", "")])).unwrap();
    assert_eq!(many.trim(Trim::max_len(0).approximately()).unwrap(), 10_000, "without a limit of one's own");
}

#[test]
fn a_trim_by_age_with_references_is_planned_together_with_the_entry_added() {
    let (_broker, orders, group) = story(3, 3, &[1, 3]);
    let trim = Trim::max_age(Duration::ZERO).references(References::Acknowledged);
    orders.entry([("n", "")]).id(id(4)).trim(trim).add().unwrap();
    assert_eq!((left(&orders), pending(&group)), (vec![2, 4], vec![2]));
}
