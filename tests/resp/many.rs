//! Many connections, and some that are in the way.

use std::io::Write;
use std::time::Duration;

use crate::answer::Answer;
use crate::{apart, call, expect, serve, serve_with};

/// More than this process may have open, with the server's ends in it too, is not asked for.
fn room_for(files: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: limit.maximum })
            .expect("files can be opened");
    }
}

#[test]
fn a_thousand_idle_connections_and_fifty_that_wait_are_in_nobodys_way() {
    const IDLE: usize = 1000;
    const WAIT: usize = 50;
    room_for(3000);
    let served = serve();
    let mut idle: Vec<_> = (0..IDLE).map(|_| served.raw()).collect();
    let mut wait: Vec<_> = (0..WAIT).map(|_| served.raw()).collect();
    for stream in &mut wait {
        stream.write_all(b"XREAD BLOCK 0 STREAMS s $\r\n").unwrap();
    }
    served.wait_until_blocked(WAIT);
    let mut client = served.connect();
    assert_eq!(call(&mut client, "XADD s 1-1 f v"), Answer::Text(b"1-1".to_vec()));
    for stream in &mut wait {
        expect(stream, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    }
    served.wait_until_blocked(0);
    for stream in &mut idle {
        stream.write_all(b"PING\r\n").unwrap();
    }
    for stream in &mut idle {
        expect(stream, "+PONG\r\n");
    }
    drop((idle, wait, client));
    served.wait_for(
        "INFO clients",
        |answer| matches!(answer, Answer::Text(text) if crate::shown(text).contains("connected_clients:1\r")),
    );
}

#[test]
fn a_client_that_never_reads_holds_one_reply_and_nobody_else() {
    apart::run("many::a_client_that_never_reads_holds_one_reply_and_nobody_else", || {
        const ASKED: usize = 500;
        const COST_MAX: usize = 200 << 20;
        let served = serve_with(|builder| builder.threads(1));
        let mut client = served.connect();
        for _ in 0..1000 {
            let value = "x".repeat(10_000);
            client.call(&["XADD", "s", "*", "f", &value]);
        }
        call(&mut client, "XRANGE s - +");
        let before = apart::memory();
        let mut deaf = served.raw();
        deaf.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // 5 GB in all. It may not even be able to ask for all of it.
        let _ = deaf.write_all(&b"XRANGE s - +\r\n".repeat(ASKED));
        for _ in 0..2000 {
            assert_eq!(call(&mut client, "XLEN s"), Answer::Int(1000));
        }
        if let (Some(before), Some(after)) = (before, apart::memory()) {
            assert!(after.saturating_sub(before) < COST_MAX, "{before} bytes became {after}");
        }
        // Nor is it in the way of the end.
        served.server.shutdown(Duration::from_millis(50));
    });
}
