//! The same bytes are answered the same, however they come.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use crate::wire::request;
use crate::{Random, read_all, serve};

/// A conversation that begins with nothing, in every way to ask.
fn conversation() -> Vec<u8> {
    let large = "x".repeat(100_000);
    let many: Vec<String> = (1..200).map(|n| format!("{n}-1")).collect();
    let mut ack = vec!["XACK", "s", "g"];
    ack.extend(many.iter().map(String::as_str));
    let mut bytes = b"DEL s\r\nPING\nPING \"a b\"\r\n\r\n*0\r\n*-1\r\n".to_vec();
    for words in [
        &["XADD", "s", "1-1", "f", "v"][..],
        &["XLEN", "s"],
        &["XADD", "s", "1-2", "large", &large],
        &["XRANGE", "s", "-", "+"],
        &["XGROUP", "CREATE", "s", "g", "0"],
        &["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">"],
        &ack,
        &["MULTI"],
        &["XADD", "s", "2-1", "f", "v"],
        &["XLEN", "s"],
        &["EXEC"],
        &["NOSUCH", "a\r\nb"],
        &["XADD", "s", "1-1", "f", "v"],
        &["CLIENT", "REPLY", "SKIP"],
        &["PING"],
        &["XREAD", "STREAMS", "s", "1-2"],
        &["XINFO", "GROUPS", "s"],
        &["RESET"],
        &["DEL", "s"],
        &["QUIT"],
    ] {
        bytes.extend(request(words));
    }
    bytes
}

#[test]
fn a_pipeline_is_answered_the_same_in_whatever_pieces_it_comes() {
    let served = serve();
    let bytes = conversation();
    let whole = served.converse(&bytes);
    assert!(whole.ends_with("+RESET\r\n:1\r\n+OK\r\n"), "{whole}");
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut stream = served.raw();
        let mut writes = stream.try_clone().unwrap();
        let bytes = bytes.clone();
        let sender = thread::spawn(move || {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let most = [3, 50, 5_000, 100_000][random.below(4)];
                let (piece, after) = rest.split_at(rest.len().min(1 + random.below(most)));
                writes.write_all(piece).unwrap();
                rest = after;
                thread::yield_now();
            }
        });
        let short = |said: &str| said.replace(&"x".repeat(100_000), "…");
        assert_eq!(short(&read_all(&mut stream)), short(&whole), "seed {seed}");
        sender.join().unwrap();
    }
}

#[test]
fn a_client_that_reads_only_at_the_end_gets_every_reply_in_order() {
    const REQUESTS: usize = 100_000;
    let served = serve();
    let mut stream = served.raw();
    let mut reads = stream.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut got = String::new();
        reads.read_to_string(&mut got).unwrap();
        got
    });
    let asked: Vec<u8> = (0..REQUESTS).flat_map(|n| format!("PING {n}\r\n").into_bytes()).collect();
    stream.write_all(&asked).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let expected = (0..REQUESTS).map(|n| n.to_string()).map(|n| format!("${}\r\n{n}\r\n", n.len()));
    assert_eq!(reader.join().unwrap(), expected.collect::<String>());
}
