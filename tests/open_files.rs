//! However many streams are written to, few files are open at a time, and none that was deleted. The story: every stream
//! kept the files it had written and not synced open, so a thousand streams met the system's limit, and writing stopped.
//! Where no file at all can be opened nothing is taken for missing or damaged, and it goes on when one can be.

#![cfg(all(feature = "simulation", target_os = "linux"))]

use std::fs;
use std::path::Path;
use std::process::Command;

use streamlog::{Broker, Builder, Durability, ErrorKind};

/// Tells the child process its directory.
const CHILD: &str = "STREAMLOG_OPEN_FILES_DIRECTORY";

fn builder() -> Builder {
    Broker::builder().background(false).durability(Durability::Os)
}

/// The files below `directory` that this process has open.
fn open_below(directory: &Path) -> Vec<String> {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let paths = open.filter_map(|open| fs::read_link(open.unwrap().path()).ok());
    paths.filter(|path| path.starts_with(directory)).map(|path| path.display().to_string()).collect()
}

fn write(broker: &Broker, streams: u32, rounds: u32) {
    for round in 0..rounds {
        for n in 0..streams {
            broker.stream(&format!("s{n}")).unwrap().add([("round", round.to_string())]).unwrap();
        }
        broker.flush_all().unwrap();
    }
}

fn check(broker: &Broker, streams: u32, rounds: u32) {
    for n in 0..streams {
        let entries = broker.stream(&format!("s{n}")).unwrap().range(..).read().unwrap();
        let found: Vec<_> = entries.iter().map(|entry| entry.text("round").unwrap().to_owned()).collect();
        assert_eq!(found, (0..rounds).map(|round| round.to_string()).collect::<Vec<_>>(), "stream {n}");
    }
}

#[test]
fn streams_written_to_keep_no_more_files_open_than_the_limit() {
    const LIMIT: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    // Every entry has a segment of its own.
    for segment_bytes in [1, 1 << 20] {
        let path = directory.path().join(segment_bytes.to_string());
        let broker = builder().open_files_max(LIMIT).segment_bytes(segment_bytes).open(&path).unwrap();
        write(&broker, 100, 3);
        let mut open = open_below(&path.join("streams"));
        open.retain(|path| !path.ends_with("/streams"));
        assert!(open.len() <= LIMIT, "{open:?}");
        check(&broker, 100, 3);
        broker.checkpoint().unwrap();
        broker.crash();
        check(&builder().open(&path).unwrap(), 100, 3);
    }
}

/// Runs a test of this file in a process of its own, where few files may be open.
fn run_limited(files: u32, test: &str, directory: &Path) {
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -n {files} && exec timeout 60 \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// No test: what the child process of the next one runs.
#[test]
fn writes_to_many_streams_where_few_files_may_be_open() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let broker = builder().open(path).unwrap();
    write(&broker, 400, 2);
    check(&broker, 400, 2);
    broker.close().unwrap();
}

#[test]
fn a_thousand_files_a_process_are_not_needed() {
    let directory = tempfile::tempdir().unwrap();
    run_limited(192, "writes_to_many_streams_where_few_files_may_be_open", directory.path());
    check(&builder().open(directory.path()).unwrap(), 400, 2);
}

#[test]
fn a_deleted_streams_files_are_closed_by_the_checkpoint_that_removes_them() {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().segment_bytes(1).open(directory.path()).unwrap();
    let (kept, gone) = (broker.stream("kept").unwrap(), broker.stream("gone").unwrap());
    for n in 0..5 {
        kept.add([("n", n.to_string())]).unwrap();
        gone.add([("n", n.to_string())]).unwrap();
    }
    broker.checkpoint().unwrap();
    gone.add([("n", "written and not synced")]).unwrap();
    broker.flush_all().unwrap();
    gone.delete_stream().unwrap();
    broker.checkpoint().unwrap();
    let open = open_below(directory.path());
    assert!(open.iter().all(|path| !path.contains("(deleted)")), "{open:?}");
    assert_eq!(kept.range(..).read().unwrap().len(), 5);
}

/// No test: what the child process of the next one runs.
#[test]
fn reads_many_streams_where_few_files_may_be_open() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let broker = builder().open(path).unwrap();
    check(&broker, 200, 1);
    broker.crash();
}

#[test]
fn where_the_system_allows_fewer_files_than_the_limit_those_kept_are_closed_for_others() {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    write(&broker, 200, 1);
    broker.close().unwrap();
    run_limited(64, "reads_many_streams_where_few_files_may_be_open", directory.path());
}

/// No test: what the child process of the next one runs.
#[test]
fn writes_and_reads_where_no_more_files_may_be_open() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let broker = builder().tail_bytes(1000).open(path).unwrap();
    write(&broker, 20, 1);
    let jobs = broker.stream("jobs").unwrap();
    let worker = jobs.group("g").from_start().ensure().unwrap().consumer("w");
    for n in 0..10 {
        jobs.add([("n", n.to_string())]).unwrap();
    }
    let mut taken = Vec::new();
    let mut refused = 0;
    for n in 20..60 {
        // Each failure has the broker close what it keeps open.
        taken.extend(std::iter::from_fn(|| fs::File::open("/dev/null").ok()));
        let stream = broker.stream(&format!("s{n}")).unwrap();
        if let Err(error) = stream.add([("round", "0")]).and_then(|_| broker.flush_all()) {
            assert!(error.is_retryable() && error.kind() == ErrorKind::Io, "{error}");
            refused += 1;
        }
        if let Err(error) = broker.stream("s0").unwrap().range(..).read() {
            assert_eq!(error.kind(), ErrorKind::Io, "it is not missing: {error}");
        }
    }
    assert!(refused > 10, "{refused}");
    let batch = worker.read_new().count(2).next().unwrap();
    batch[0].ack().expect("acks go on");
    assert!(broker.checkpoint().is_err());
    drop(taken);
    jobs.add([("n", "10")]).unwrap();
    for n in 20..60 {
        let stream = broker.stream(&format!("s{n}")).unwrap();
        if stream.len().unwrap_or(0) == 0 {
            stream.add([("round", "0")]).unwrap();
        }
    }
    broker.checkpoint().unwrap();
    check(&broker, 60, 1);
    assert_eq!(jobs.range(..).read().unwrap().len(), 11);
    broker.close().unwrap();
}

#[test]
fn where_no_file_can_be_opened_nothing_is_missing_and_it_goes_on_when_one_can() {
    let directory = tempfile::tempdir().unwrap();
    run_limited(64, "writes_and_reads_where_no_more_files_may_be_open", directory.path());
    let broker = builder().open(directory.path()).unwrap();
    check(&broker, 60, 1);
    let group = broker.stream("jobs").unwrap().group("g").existing().unwrap();
    assert_eq!(group.pending().unwrap().count, 1);
}
