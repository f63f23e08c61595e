//! Bytes that are no requests: the error that Redis has for them, the end of their connection, and nothing else.

use std::io::Write;
use std::net::Shutdown;

use crate::answer::Answer;
use crate::{Random, apart, read_all, serve, serve_with};

const LINE_BYTES_MAX: usize = 64 << 10;

/// One mistake, and what Redis calls it.
fn mistake(random: &mut Random) -> (Vec<u8>, String) {
    let number = random.below(1_000_000);
    let letter =
        ["x", "+1", " 1", "01", "-0", "1 ", "1.0", "0x1", "", "--1", "9999999999999999999999"][random.below(11)];
    let expected = [b'*', b':', b'+', b'-', b'3', b'a', b' ', 0xff][random.below(8)];
    let long = || vec![b'1'; LINE_BYTES_MAX + 1];
    let text = |text: String| text.into_bytes();
    match random.below(12) {
        0 => (text(format!("*{letter}\r\n")), "invalid multibulk length".to_owned()),
        1 => (text(format!("*{}\r\n", 1_048_577 + number)), "invalid multibulk length".to_owned()),
        2 => (text(format!("*2\r\n$4\r\nPING\r\n${letter}\r\n")), "invalid bulk length".to_owned()),
        3 => (text(format!("*1\r\n$-{}\r\n", number + 1)), "invalid bulk length".to_owned()),
        4 => (text(format!("*3\r\n${}\r\n", 600_000_000 + number)), "invalid bulk length".to_owned()),
        5 => (
            [b"*1\r\n", &[expected][..], b"4\r\nPING\r\n"].concat(),
            format!("expected '$', got '{}'", char::from(expected)),
        ),
        // What follows an argument is not looked at; what follows that is.
        6 => (b"*2\r\n$4\r\nPINGxx4\r\nPING\r\n".to_vec(), "expected '$', got '4'".to_owned()),
        7 => (text(format!("PING \"{number}\r\n")), "unbalanced quotes in request".to_owned()),
        8 => (text(format!("PING '{number}'{number}\r\n")), "unbalanced quotes in request".to_owned()),
        9 => ([b"*", &long()[..]].concat(), "too big mbulk count string".to_owned()),
        10 => ([b"*1\r\n$", &long()[..]].concat(), "too big bulk count string".to_owned()),
        _ => ([b"P", &long()[..]].concat(), "too big inline request".to_owned()),
    }
}

#[test]
fn a_thousand_malformed_requests_lose_their_connections_and_nothing_else() {
    let served = serve();
    let mut other = served.connect();
    for seed in 0..1000 {
        let mut random = Random(seed);
        let before = random.below(4);
        let (mistake, text) = mistake(&mut random);
        let mut bytes = b"PING\r\n".repeat(before);
        bytes.extend(&mistake);
        if random.below(2) == 0 {
            bytes.extend(b"\r\nPING\r\nXADD gone * f v\r\n");
        }
        let mut stream = served.raw();
        stream.write_all(&bytes).unwrap();
        // The server closes it: nothing was said about an end here.
        let expected = format!("{}-ERR Protocol error: {text}\r\n", "+PONG\r\n".repeat(before));
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut got).unwrap();
        let got: String = got.iter().map(|&byte| char::from(byte)).collect();
        assert_eq!(got.replace("got 'Ã¿'", "got 'ÿ'"), expected, "seed {seed}");
    }
    assert_eq!(crate::call(&mut other, "EXISTS gone"), Answer::Int(0));
}

#[test]
fn bytes_at_random_harm_nobody() {
    let served = serve();
    let mut other = served.connect();
    let pieces = [
        "*1\r\n",
        "*2\r\n",
        "*3\r\n",
        "$4\r\n",
        "$-1\r\n",
        "\r\n",
        "PING",
        "XADD",
        "MULTI",
        "EXEC",
        "XREAD BLOCK 1 STREAMS a $\r\n",
        "HELLO 3\r\n",
        "\"",
        "'",
        "\\x",
        "\0",
        "*",
        "$",
        "CLIENT REPLY OFF\r\n",
        "XRANGE a - +\r\n",
        "XADD a * b c\r\n",
        "\u{ff}",
        "WATCH a\r\n",
    ];
    for seed in 0..500 {
        let mut random = Random(seed);
        let bytes: String = (0..random.below(60)).map(|_| pieces[random.below(pieces.len())]).collect();
        let mut stream = served.raw();
        // It may be closed before it has all.
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    }
    assert_eq!(crate::call(&mut other, "PING"), Answer::Status("PONG".to_owned()));
}

/// The story: a browser can be led to send a form anywhere; its headers would be inline commands.
#[test]
fn what_a_browser_sends_is_not_run() {
    let served = serve();
    for first in ["POST / HTTP/1.1\r\n", "Host: localhost\r\n", "post x\r\n"] {
        let mut stream = served.raw();
        stream.write_all(format!("{first}XADD from-a-browser * f v\r\n").as_bytes()).unwrap();
        assert_eq!(read_all(&mut stream), "", "{first}");
    }
    assert_eq!(served.call("EXISTS from-a-browser"), Answer::Int(0));
}

#[test]
fn lengths_that_are_only_promised_cost_no_memory() {
    apart::run("hostile::lengths_that_are_only_promised_cost_no_memory", || {
        const LIARS: usize = 200;
        const COST_MAX: usize = 32 << 20;
        let served = serve_with(|builder| builder.bulk_bytes_max(512 << 20).request_bytes_max(1 << 30));
        let promise = b"*1048576\r\n$4\r\nXADD\r\n$536870912\r\n";
        served.raw().write_all(promise).unwrap();
        let before = apart::memory();
        let liars: Vec<_> = (0..LIARS).map(|_| served.raw()).collect();
        for mut liar in &liars {
            liar.write_all(promise).unwrap();
            liar.write_all(b"the first of them").unwrap();
        }
        let waits = |answer: &Answer| matches!(answer, Answer::Text(text) if crate::shown(text).matches("qbuf=49 ").count() >= LIARS);
        served.wait_for("CLIENT LIST", waits);
        if let (Some(before), Some(after)) = (before, apart::memory()) {
            assert!(after.saturating_sub(before) < COST_MAX, "{before} bytes became {after}");
        }
    });
}
