//! Retention, where not everything is as it should be.

#![cfg(feature = "simulation")]

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, ErrorKind, Retention};

fn open(disk: &SimDisk) -> Broker {
    Broker::builder().background(false).open_on(disk.storage()).unwrap()
}

/// The story: retention went from stream to stream and stopped at one whose segment was missing. Those with names after it
/// grew without end.
#[test]
fn a_damaged_stream_has_no_other_grow() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    for name in ["a", "b"] {
        let stream = broker.stream(name).unwrap();
        (0..100).for_each(|n| assert!(stream.add([("payload", [n; 100])]).is_ok()));
        stream.set_retention(Retention::default().max_len(10)).unwrap();
    }
    broker.close().unwrap();
    disk.restart(Survival::Kill);
    let segments = disk.list_all().into_iter().filter(|path| path.starts_with("streams/1/"));
    segments.for_each(|path| assert!(disk.remove(&path)));
    let broker = open(&disk);
    assert_eq!(broker.trim_step().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(broker.stream("a").unwrap().len().unwrap(), 100);
    assert_eq!(broker.stream("b").unwrap().len().unwrap(), 10);
}
