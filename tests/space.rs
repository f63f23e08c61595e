//! What is gone gives its disk space back.

#![cfg(feature = "simulation")]

use streamlog::{Broker, Id};

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
    let check = |stream: &streamlog::Stream| {
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
    assert_eq!(stream.trim(streamlog::Trim::max_bytes(20_000)).unwrap(), 1);
    assert_eq!(stream.len().unwrap(), 1);
}
