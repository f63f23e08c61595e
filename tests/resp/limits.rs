//! Each limit, one by one: what is over it is refused, and the rest goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use crate::answer::Answer;
use crate::{call, expect, read_all, serve_with};

fn error(text: &str) -> Answer {
    Answer::Error(text.to_owned())
}

#[test]
fn one_client_too_many_is_told_so_and_there_is_room_when_another_goes() {
    let served = serve_with(|builder| builder.clients_max(2));
    let (mut first, mut second) = (served.connect(), served.connect());
    call(&mut first, "PING");
    call(&mut second, "PING");
    assert_eq!(read_all(&mut served.raw()), "-ERR max number of clients reached\r\n");
    drop(first);
    while !matches!(call(&mut second, "INFO clients"), Answer::Text(text) if crate::shown(&text).contains("connected_clients:1\r"))
    {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(served.call("PING"), Answer::Status("PONG".to_owned()));
}

#[test]
fn arguments_and_their_bytes_are_limited_one_by_one_and_together() {
    let served = serve_with(|builder| builder.arguments_max(10).bulk_bytes_max(1000).request_bytes_max(5000));
    let refused = |bytes: &str| {
        let mut stream = served.raw();
        stream.write_all(bytes.as_bytes()).unwrap();
        read_all(&mut stream)
    };
    let bulk = |len: usize| format!("${len}\r\n{}\r\n", "x".repeat(len));
    assert_eq!(refused("*11\r\n"), "-ERR Protocol error: invalid multibulk length\r\n");
    assert_eq!(refused("*1\r\n$1001\r\n"), "-ERR Protocol error: invalid bulk length\r\n");
    let full = format!("*6\r\n{}$1000\r\n", bulk(980).repeat(5));
    assert_eq!(refused(&full), "-ERR Protocol error: invalid bulk length\r\n");
    let fits = format!("*2\r\n$4\r\nPING\r\n{}", bulk(1000));
    assert_eq!(served.converse(fits.as_bytes()), bulk(1000));
}

#[test]
fn a_client_that_asks_for_more_than_may_wait_to_be_sent_is_refused() {
    let served = serve_with(|builder| builder.output_bytes_max(100_000).threads(1));
    let (mut asks, mut other) = (served.connect(), served.connect());
    for _ in 0..20 {
        let large = "x".repeat(10_000);
        assert!(matches!(asks.call(&["XADD", "s", "*", "f", &large]), Answer::Text(_)));
    }
    assert!(matches!(call(&mut asks, "XRANGE s - + COUNT 5"), Answer::Array(_)));
    let refused = "-ERR the range is too large for one reply; COUNT takes less of it\r\n";
    assert_eq!(served.converse(b"XRANGE s - +\r\nXREVRANGE s + -\r\n"), refused.repeat(2));
    assert_eq!(call(&mut other, "XLEN s"), Answer::Int(20));
    // What waits for the rest gets a part.
    let part = |read: &str| served.converse(format!("{read}\r\n").as_bytes()).matches("$10000\r\n").count();
    assert_eq!(part("XREAD STREAMS s 0"), 2);
    assert_eq!(call(&mut other, "XGROUP CREATE s g 0"), Answer::Status("OK".to_owned()));
    assert_eq!(part("XREADGROUP GROUP g c STREAMS s >"), 2);
    // Several are as one.
    let exec = served.converse(format!("MULTI\r\n{}EXEC\r\n", "XRANGE s - + COUNT 4\r\n".repeat(4)).as_bytes());
    assert_eq!((exec.matches("$10000\r\n").count(), exec.matches("-ERR the range").count()), (8, 2));
    // What is neither closes the connection.
    let large = format!("PING {}\r\nPING\r\n", "x".repeat(60_000));
    assert_eq!(served.converse(large.as_bytes()).len(), 60_000 + "$60000\r\n\r\n+PONG\r\n".len());
    let large = crate::wire::request(&["PING", &"x".repeat(100_000)]);
    let said = served.converse(&[&b"XADD t 1-1 f v\r\n"[..], &large].concat());
    assert!(["", "$3\r\n1-1\r\n"].contains(&said.as_str()), "{said}");
    // What it asked before was done all the same, and others see it.
    assert_eq!(call(&mut other, "XLEN t"), Answer::Int(1));
    // In pieces it may be any amount.
    let all = b"XRANGE s - + COUNT 5\r\n".repeat(100);
    assert!(served.converse(&all).len() > 5_000_000);
}

#[test]
fn what_is_queued_in_a_transaction_is_limited_and_so_is_what_is_watched() {
    let served = serve_with(|builder| builder.transaction_bytes_max(2_000));
    let mut client = served.connect();
    call(&mut client, "MULTI");
    let large = "x".repeat(1_500);
    assert_eq!(client.call(&["XADD", "s", "*", "f", &large]), Answer::Status("QUEUED".to_owned()));
    let over = "ERR the commands of a transaction are at most 2000 bytes";
    assert_eq!(client.call(&["XADD", "s", "*", "f", &large]), error(over));
    assert_eq!(call(&mut client, "PING"), Answer::Status("QUEUED".to_owned()));
    let aborted = "EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(call(&mut client, "EXEC"), error(aborted));
    assert_eq!(call(&mut client, "EXISTS s"), Answer::Int(0));

    for _ in 0..1_000 {
        assert_eq!(call(&mut client, "WATCH same"), Answer::Status("OK".to_owned()), "once is enough");
    }
    let names: Vec<_> = (0..100).map(|n| format!("name-{n}")).collect();
    let mut watch = vec!["WATCH"];
    watch.extend(names.iter().map(String::as_str));
    assert_eq!(client.call(&watch), error("ERR the names watched are at most 2000 bytes"));
    assert_eq!(call(&mut client, "UNWATCH"), Answer::Status("OK".to_owned()));
    assert_eq!(call(&mut client, "WATCH another"), Answer::Status("OK".to_owned()));
}

#[test]
fn of_a_client_that_waits_only_so_much_is_read_and_all_of_it_is_answered_afterwards() {
    const FAR_TOO_MUCH: usize = 256 << 20;
    let served = serve_with(|builder| builder.backlog_bytes_max(64 << 10));
    let mut client = served.raw();
    client.write_all(b"XREAD BLOCK 0 STREAMS s $\r\n").unwrap();
    served.wait_until_blocked(1);
    // What the system's buffers take is not known; that it ends is the point.
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    let pings = b"PING\r\n".repeat(10_000);
    loop {
        match client.write(&pings[sent % 6..]) {
            Ok(bytes) => sent += bytes,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                break;
            }
        }
        assert!(sent < FAR_TOO_MUCH, "all is read");
    }
    assert_eq!(served.call("XADD s 1-1 f v"), Answer::Text(b"1-1".to_vec()));
    let mut writes = client.try_clone().unwrap();
    let last = thread::spawn(move || {
        writes.set_write_timeout(None).unwrap();
        writes.write_all(&b"PING\r\n"[sent % 6..][..(6 - sent % 6) % 6]).unwrap();
        writes.shutdown(Shutdown::Write).unwrap();
    });
    expect(&mut client, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    let answered = read_all(&mut client);
    assert_eq!(answered.len(), sent.div_ceil(6) * 7);
    assert_eq!(answered.matches("+PONG\r\n").count(), sent.div_ceil(6));
    last.join().unwrap();
}

#[test]
fn who_says_nothing_for_too_long_is_closed_unless_it_waits_for_entries() {
    let served = serve_with(|builder| builder.idle_max(Duration::from_secs(1)));
    let mut waits = served.raw();
    waits.write_all(b"XREAD BLOCK 0 STREAMS s $\r\n").unwrap();
    served.wait_until_blocked(1);
    let mut idle = served.raw();
    idle.write_all(b"PING\r\n").unwrap();
    assert_eq!(read_all(&mut idle), "+PONG\r\n");
    let mut silent = served.raw();
    assert_eq!(read_all(&mut silent), "");
    served.call("XADD s 1-1 f v");
    expect(&mut waits, "*1\r\n*2\r\n$1\r\ns\r\n");
}

#[test]
fn who_does_not_give_the_password_in_time_is_closed_and_who_did_is_not() {
    let served = serve_with(|builder| builder.password("secret").password_wait(Duration::from_millis(100)));
    let mut stranger = served.raw();
    stranger.write_all(b"PING\r\n").unwrap();
    assert_eq!(read_all(&mut stranger), "-NOAUTH Authentication required.\r\n");
    let mut friend = served.connect();
    assert_eq!(call(&mut friend, "AUTH secret"), Answer::Status("OK".to_owned()));
    assert_eq!(read_all(&mut served.raw()), "");
    assert_eq!(call(&mut friend, "PING"), Answer::Status("PONG".to_owned()));
    // Who is a stranger again has as much time again.
    call(&mut friend, "RESET");
    assert_eq!(call(&mut friend, "AUTH secret"), Answer::Status("OK".to_owned()));
    // Nor is it any use to say something else all the time.
    let mut stranger = served.raw();
    while stranger.write_all(b"PING\r\n").is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_stranger_is_believed_less_than_who_gave_the_password() {
    let served = serve_with(|builder| builder.password("secret"));
    let told = |bytes: &str| {
        let mut stream = served.raw();
        stream.write_all(bytes.as_bytes()).unwrap();
        read_all(&mut stream)
    };
    assert_eq!(told("*11\r\n"), "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_eq!(told("*1\r\n$16385\r\n"), "-ERR Protocol error: unauthenticated bulk length\r\n");
    let mut friend = served.connect();
    call(&mut friend, "AUTH secret");
    let large = "x".repeat(20_000);
    assert_eq!(friend.call(&["PING", &large]), Answer::Text(large.into_bytes()));
}

/// A client reads slowly what it asked for: it gets all of it.
#[test]
fn slow_is_not_too_slow() {
    let served = serve_with(|builder| builder.threads(1));
    let mut client = served.connect();
    for _ in 0..100 {
        let large = "x".repeat(100_000);
        client.call(&["XADD", "s", "*", "f", &large]);
    }
    let mut slow = served.raw();
    slow.write_all(b"XRANGE s - +\r\n").unwrap();
    slow.shutdown(Shutdown::Write).unwrap();
    let mut got = 0;
    let mut bytes = vec![0; 64 << 10];
    loop {
        assert_eq!(call(&mut client, "XLEN s"), Answer::Int(100));
        match slow.read(&mut bytes).unwrap() {
            0 => break,
            read => got += read,
        }
    }
    assert!(got > 10_000_000);
}
