//! Under `Always` a reply says that it is on the disk.

use std::fmt::Write;

use streamlog::Broker;

use crate::serve_broker;

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn entry(id: &str) -> String {
    format!("*2\r\n{}*2\r\n$1\r\nf\r\n$1\r\nv\r\n", bulk(id))
}

/// The story: what waits for a sync is not seen before it, and a connection would not have seen its own entries.
#[test]
fn a_connection_sees_what_it_wrote_before_in_the_same_pipeline() {
    let directory = tempfile::tempdir().unwrap();
    let served = serve_broker(Broker::open(directory.path().join("data")).unwrap(), |builder| builder);
    let mut asked = "XGROUP CREATE s g $ MKSTREAM\r\n".to_owned();
    let mut said = "+OK\r\n".to_owned();
    for n in 1..=100 {
        let (one, two) = (format!("{n}-1"), format!("{n}-2"));
        write!(asked, "XADD s {one} f v\r\nXADD s {two} f v\r\nXLEN s\r\nXREADGROUP GROUP g c STREAMS s >\r\n")
            .unwrap();
        write!(said, "{}{}:{}\r\n", bulk(&one), bulk(&two), 2 * n).unwrap();
        write!(said, "*1\r\n*2\r\n$1\r\ns\r\n*2\r\n{}{}", entry(&one), entry(&two)).unwrap();
        write!(asked,
            "XACK s g {one}\r\nXACK s g {two}\r\nXPENDING s g\r\nXADD s {n}-3 f v\r\nXDEL s {n}-3\r\nXRANGE s {two} +\r\n"
        ).unwrap();
        write!(
            said,
            ":1\r\n:1\r\n*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n{}:1\r\n*1\r\n{}",
            bulk(&format!("{n}-3")),
            entry(&two)
        )
        .unwrap();
    }
    asked += "MULTI\r\nXADD t 1-1 f v\r\nXLEN t\r\nEXEC\r\nXLEN t\r\nDEL t\r\nEXISTS t\r\n";
    said += "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$3\r\n1-1\r\n:1\r\n:1\r\n:1\r\n:0\r\n";
    assert_eq!(served.converse(asked.as_bytes()), said);
}

#[cfg(feature = "simulation")]
mod failing {
    use std::io::ErrorKind;

    use streamlog::sim::{Fault, FaultOp, SimDisk};

    use super::*;
    use crate::answer::Answer;

    fn serve_on(disk: &SimDisk) -> crate::Served {
        serve_broker(Broker::builder().background(false).open_on(disk.storage()).unwrap(), |builder| builder)
    }

    #[test]
    fn what_cannot_be_made_durable_is_not_said_to_be() {
        let disk = SimDisk::new(1);
        let served = serve_on(&disk);
        assert_eq!(served.converse(b"XADD s 1-1 f v\r\n"), bulk("1-1"));
        let path_contains = Some("journal/".to_owned());
        disk.inject(Fault { op: FaultOp::Sync, path_contains, after: 0, times: 1, error: ErrorKind::Other });
        let said = served.converse(b"PING\r\nXADD s 2-1 f v\r\nXADD s 3-1 f v\r\nPING\r\n");
        assert!(said.starts_with("-ERR ") && said.lines().count() == 1, "one error and the end: {said}");
        disk.clear_faults();

        let mut client = served.connect();
        assert!(matches!(crate::call(&mut client, "XADD s 4-1 f v"), Answer::Error(_)), "it has stopped writing");
        assert_eq!(crate::call(&mut client, "PING"), Answer::Status("PONG".to_owned()));
        assert_eq!(crate::call(&mut client, "XLEN s"), Answer::Int(1), "reads go on");
    }

    #[test]
    fn what_was_answered_before_is_kept_though_a_later_sync_fails() {
        let disk = SimDisk::new(1);
        let served = serve_on(&disk);
        let path_contains = Some("journal/".to_owned());
        disk.inject(Fault { op: FaultOp::Sync, path_contains, after: 1, times: 1, error: ErrorKind::Other });
        // A look makes the first entry durable.
        let said = served.converse(b"XADD s 1-1 f v\r\nXLEN s\r\nXADD s 2-1 f v\r\nPING\r\n");
        let rest = said.strip_prefix("$3\r\n1-1\r\n").expect("the first entry is durable");
        assert!(rest.starts_with("-ERR ") && rest.lines().count() == 1, "{rest}");
    }
}
