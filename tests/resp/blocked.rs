//! Clients that wait for entries: what wakes them, what they leave behind, what they send meanwhile.

use std::io::Write;

use crate::answer::Answer;
use crate::{Served, call, expect, serve};

const ENTRY: &str = "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";

fn add(served: &Served) {
    assert_eq!(served.call("XADD s 1-1 f v"), Answer::Text(b"1-1".to_vec()));
}

#[test]
fn what_was_answered_before_is_written_before_a_client_waits_and_what_it_sends_meanwhile_comes_after() {
    let served = serve();
    let mut stream = served.raw();
    stream.write_all(b"PING before\r\nXREAD BLOCK 0 STREAMS s $\r\nPING after\r\n").unwrap();
    expect(&mut stream, "$6\r\nbefore\r\n");
    served.wait_until_blocked(1);
    stream.write_all(b"PING later\r\n").unwrap();
    add(&served);
    expect(&mut stream, &format!("{ENTRY}$5\r\nafter\r\n$5\r\nlater\r\n"));
}

#[test]
fn a_wait_that_is_over_answers_nothing_and_the_connection_goes_on() {
    let served = serve();
    assert_eq!(served.converse(b"PING\r\n"), "+PONG\r\n");
    let mut stream = served.raw();
    stream.write_all(b"XREAD BLOCK 1 STREAMS s $\r\nPING\r\nHELLO 3\r\n").unwrap();
    expect(&mut stream, "*-1\r\n+PONG\r\n%7\r\n");
}

/// The story: an entry delivered to a connection that is gone would be pending with a consumer who never saw it.
#[test]
fn a_client_that_goes_away_leaves_the_queue_and_the_next_gets_the_entry() {
    let served = serve();
    served.call("XGROUP CREATE s g $ MKSTREAM");
    let mut first = served.raw();
    first.write_all(b"XREADGROUP GROUP g first BLOCK 0 STREAMS s >\r\n").unwrap();
    served.wait_until_blocked(1);
    let mut second = served.raw();
    second.write_all(b"XREADGROUP GROUP g second BLOCK 0 STREAMS s >\r\n").unwrap();
    served.wait_until_blocked(2);
    drop(first);
    served.wait_until_blocked(1);
    add(&served);
    expect(&mut second, ENTRY);
    assert_eq!(call(&mut served.connect(), "XPENDING s g - + 10 first"), Answer::Array(vec![]));
}

#[test]
fn a_client_that_waits_can_be_unblocked_and_killed() {
    let served = serve();
    let mut client = served.connect();
    let Answer::Int(id) = call(&mut client, "CLIENT ID") else { panic!("it is a number") };
    let mut ask = |line: String| {
        client.send(b"XREAD BLOCK 0 STREAMS s $\r\n").unwrap();
        served.wait_until_blocked(1);
        assert_eq!(served.call(&line), Answer::Int(1));
        served.wait_until_blocked(0);
        assert_eq!(served.call(&format!("CLIENT UNBLOCK {id}")), Answer::Int(0));
        client.answer()
    };
    assert_eq!(ask(format!("CLIENT UNBLOCK {id}")).unwrap(), Answer::NullArray);
    let error = "UNBLOCKED client unblocked via CLIENT UNBLOCK".to_owned();
    assert_eq!(ask(format!("CLIENT UNBLOCK {id} ERROR")).unwrap(), Answer::Error(error));
    assert!(ask(format!("CLIENT KILL ID {id}")).is_err(), "it is closed");
}

#[test]
fn nothing_waits_in_a_transaction() {
    let served = serve();
    let bytes = b"XGROUP CREATE s g $ MKSTREAM\r\nMULTI\r\nXREAD BLOCK 0 STREAMS s $\r\nXREADGROUP GROUP g c BLOCK 0 STREAMS s >\r\nEXEC\r\n";
    assert_eq!(served.converse(bytes), "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*-1\r\n*-1\r\n");
}

#[test]
fn who_waits_is_woken_by_a_transaction_when_it_is_whole() {
    let served = serve();
    let mut stream = served.raw();
    stream.write_all(b"XREAD BLOCK 0 STREAMS s $\r\n").unwrap();
    served.wait_until_blocked(1);
    let gone = served.converse(b"MULTI\r\nXADD s 0-9 f v\r\nDEL s\r\nEXEC\r\n");
    assert!(gone.ends_with("*2\r\n$3\r\n0-9\r\n:1\r\n"), "{gone}");
    served.wait_until_blocked(1);
    served.converse(b"MULTI\r\nXADD s 1-1 f v\r\nXLEN s\r\nEXEC\r\n");
    expect(&mut stream, ENTRY);
}

#[test]
fn a_group_that_is_destroyed_wakes_who_waits_for_it() {
    let served = serve();
    served.call("XGROUP CREATE s g $ MKSTREAM");
    let mut stream = served.raw();
    stream.write_all(b"XREADGROUP GROUP g c BLOCK 0 STREAMS s >\r\n").unwrap();
    served.wait_until_blocked(1);
    served.call("XGROUP DESTROY s g");
    expect(&mut stream, "-NOGROUP ");
}
