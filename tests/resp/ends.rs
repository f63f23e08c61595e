//! How a server ends, and a connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use streamlog::{Broker, ErrorKind};

use crate::answer::Answer;
use crate::{PATIENCE, call, expect, read_all, serve, serve_broker, serve_with};

#[test]
fn a_shutdown_ends_those_who_wait_and_those_who_do_not_and_the_broker_stays_open() {
    let served = serve();
    let address = served.address();
    let mut idle = served.raw();
    let mut waits = served.raw();
    waits.write_all(b"PING\r\nXREAD BLOCK 0 STREAMS s $\r\n").unwrap();
    expect(&mut waits, "+PONG\r\n");
    served.wait_until_blocked(1);
    served.server.shutdown(PATIENCE);
    assert_eq!(read_all(&mut idle), "");
    assert_eq!(read_all(&mut waits), "");
    assert!(TcpStream::connect(address).is_err());
    served.server.wait();
    served.server.shutdown(PATIENCE);
    served.broker.stream("s").unwrap().add([("f", "v")]).unwrap();
    served.broker.close().unwrap();
}

#[test]
fn what_is_answered_is_sent_before_the_end() {
    let served = serve();
    let mut client = served.connect();
    for _ in 0..200 {
        let large = "x".repeat(100_000);
        client.call(&["XADD", "s", "*", "f", &large]);
    }
    let mut asks = served.raw();
    asks.write_all(b"XRANGE s - +\r\n").unwrap();
    expect(&mut asks, "*200\r\n");
    let both = Arc::new(served.server);
    let ending = thread::spawn({
        let both = Arc::clone(&both);
        move || both.shutdown(PATIENCE)
    });
    assert!(read_all(&mut asks).len() > 20_000_000);
    drop(client);
    ending.join().unwrap();
}

#[test]
fn who_does_not_read_is_not_waited_for_longer_than_is_said() {
    let served = serve();
    let mut client = served.connect();
    for _ in 0..200 {
        let large = "x".repeat(100_000);
        client.call(&["XADD", "s", "*", "f", &large]);
    }
    let mut deaf = served.raw();
    deaf.write_all(b"XRANGE s - +\r\n").unwrap();
    expect(&mut deaf, "*200\r\n");
    served.server.shutdown(Duration::from_millis(20));
    let mut left = 0;
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = deaf.read(&mut bytes) {
        left += read;
    }
    assert!(left < 20_000_000);
}

#[test]
fn a_server_that_is_dropped_lets_go_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let served = serve_broker(Broker::open(&path).unwrap(), |builder| builder);
    let mut waits = served.raw();
    waits.write_all(b"XREAD BLOCK 0 STREAMS s $\r\n").unwrap();
    served.wait_until_blocked(1);
    drop(served.broker);
    assert_eq!(Broker::open(&path).unwrap_err().kind(), ErrorKind::Locked, "the server has it");
    drop(served.server);
    Broker::open(&path).unwrap().close().unwrap();
}

#[test]
fn a_broker_that_is_closed_under_the_server_answers_errors() {
    let served = serve();
    let mut waits = served.raw();
    waits.write_all(b"XREAD BLOCK 0 STREAMS s $\r\n").unwrap();
    served.wait_until_blocked(1);
    let mut client = served.connect();
    served.broker.close().unwrap();
    expect(&mut waits, "-ERR ");
    assert!(matches!(call(&mut client, "XLEN s"), Answer::Error(_)));
    assert_eq!(call(&mut client, "PING"), Answer::Status("PONG".to_owned()));
}

#[test]
fn nothing_after_quit_is_run() {
    let served = serve();
    assert_eq!(served.converse(b"PING\r\nQUIT\r\nXADD s * f v\r\n"), "+PONG\r\n+OK\r\n");
    assert_eq!(served.call("EXISTS s"), Answer::Int(0));
}

#[test]
fn replies_are_left_out_as_long_as_the_client_wants_none() {
    let served = serve();
    let bytes = "PING 1\r\nCLIENT REPLY SKIP\r\nPING 2\r\nPING 3\r\nCLIENT REPLY OFF\r\nPING 4\r\nNOSUCH x\r\nXADD s 1-1 f v\r\nMULTI\r\nPING\r\nEXEC\r\n\
                 CLIENT REPLY ON\r\nPING 5\r\nCLIENT REPLY SKIP\r\nPING\r\nXLEN s\r\n";
    let said = "$1\r\n1\r\n$1\r\n3\r\n+OK\r\n$1\r\n5\r\n:1\r\n";
    assert_eq!(served.converse(bytes.as_bytes()), said);
}

#[test]
fn a_server_of_one_thread_serves_all() {
    let served = serve_with(|builder| builder.threads(1));
    let mut clients: Vec<_> = (0..20).map(|_| served.connect()).collect();
    for _ in 0..50 {
        for client in &mut clients {
            assert!(matches!(call(client, "XADD s * f v"), Answer::Text(_)));
        }
    }
    assert_eq!(served.call("XLEN s"), Answer::Int(1000));
}
