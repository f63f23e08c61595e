//! Requests that are small and ask for much: what they cost is limited.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;

use streamlog::{Broker, Durability};

use crate::answer::Answer;
use crate::wire::request;
use crate::{apart, call, read_all, serve_broker, serve_with};

/// What the process may come to have, beside what it had.
const COST_MAX: usize = 100 << 20;

const ENTRY: usize = 1 << 20;

/// Calls `work`, which must not cost much memory at any time.
fn costs_little(work: impl FnOnce()) {
    let before = apart::peak();
    work();
    if let (Some(before), Some(after)) = (before, apart::peak()) {
        assert!(after - before < COST_MAX, "{before} bytes became {after}");
    }
}

/// An `EXEC` was answered when all its replies were there: three hundred times `XRANGE` of a stream of ten megabytes, in a
/// request of ten kilobytes, took the memory of the machine, and then the process.
#[test]
fn a_transaction_that_reads_too_much_is_run_and_costs_no_more_than_one_reply() {
    apart::run("large::a_transaction_that_reads_too_much_is_run_and_costs_no_more_than_one_reply", || {
        let served = serve_with(|builder| builder.output_bytes_max(8 << 20));
        served.connect().call(&["XADD", "s", "1-1", "f", &"x".repeat(ENTRY)]);
        let mut bytes = request(&["MULTI"]);
        (0..300).for_each(|_| bytes.extend(request(&["XRANGE", "s", "-", "+"])));
        (0..20).for_each(|_| bytes.extend(request(&["XINFO", "STREAM", "s", "FULL"])));
        bytes.extend(request(&["XADD", "s", "1-2", "f", "v"]));
        bytes.extend(request(&["EXEC"]));
        costs_little(|| {
            let mut stream = served.raw();
            stream.write_all(&bytes).unwrap();
            let mut answers = Vec::new();
            // It may be told by force.
            let _ = stream.read_to_end(&mut answers);
            assert!(answers.len() < 8 << 20, "{} bytes", answers.len());
        });
        assert_eq!(served.call("XLEN s"), Answer::Int(2), "it was run, and all of it");
    });
}

/// `XREAD` of the same stream a thousand times gathered it a thousand times before it was found to be too much.
#[test]
fn a_read_of_one_stream_many_times_takes_no_more_than_may_be_sent() {
    apart::run("large::a_read_of_one_stream_many_times_takes_no_more_than_may_be_sent", || {
        let served = serve_with(|builder| builder.output_bytes_max(32 << 20));
        served.connect().call(&["XADD", "s", "1-1", "f", &"x".repeat(ENTRY)]);
        served.call("XGROUP CREATE s g 0");
        let read = |times: usize| {
            let mut words = vec!["XREAD", "STREAMS"];
            words.extend(std::iter::repeat_n("s", times));
            words.extend(std::iter::repeat_n("0", times));
            words.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let streams = |answer: &Answer| if let Answer::Array(streams) = answer { streams.len() } else { 0 };
        costs_little(|| {
            let mut client = served.connect();
            assert_eq!(streams(&client.call(&read(3))), 3);
            let many = streams(&client.call(&read(300)));
            assert!((1..=8).contains(&many), "{many} times a megabyte");
        });
    });
}

/// `COMMAND DOCS client client …`: three megabytes of names asked for a hundred gigabytes of documentation, and `CLIENT LIST ID 1 1 …`
/// for a line of each number, with the name in it that the client had given itself: of any size.
#[test]
fn what_is_said_of_a_name_is_not_said_of_a_million() {
    apart::run("large::what_is_said_of_a_name_is_not_said_of_a_million", || {
        let served = serve_with(|builder| builder);
        let mut client = served.connect();
        let long = "x".repeat(ENTRY);
        let too_long = Answer::Error("ERR what a client says of itself has at most 1024 bytes".to_owned());
        for words in [
            &["CLIENT", "SETNAME", &long][..],
            &["CLIENT", "SETINFO", "LIB-NAME", &long],
            &["HELLO", "3", "SETNAME", &long],
        ] {
            assert_eq!(client.call(words), too_long, "{}", words[1]);
        }
        costs_little(|| {
            for asked in [["COMMAND", "DOCS"], ["COMMAND", "INFO"]] {
                let words: Vec<_> = asked.into_iter().chain(std::iter::repeat_n("client", 20_000)).collect();
                let too_many = Answer::Error("ERR more names than there are commands".to_owned());
                assert_eq!(client.call(&words), too_many);
            }
            let id = if let Answer::Int(id) = call(&mut client, "CLIENT ID") { id.to_string() } else { unreachable!() };
            let words: Vec<_> =
                ["CLIENT", "LIST", "ID"].into_iter().chain(std::iter::repeat_n(id.as_str(), 500_000)).collect();
            let Answer::Text(list) = client.call(&words) else { panic!("a list") };
            assert_eq!(list.split_inclusive(|&byte| byte == b'\n').count(), 1);
        });
    });
}

/// Each name that was watched went through all those before it: a hundred thousand in one request held a thread for an hour.
#[test]
fn many_names_are_watched_one_after_the_other() {
    let served = serve_with(|builder| builder.threads(1));
    let mut client = served.connect();
    let names: Vec<_> = (0..200_000).map(|number| format!("name-{number}")).collect();
    let words: Vec<_> = std::iter::once("WATCH").chain(names.iter().map(String::as_str)).collect();
    assert_eq!(client.call(&words), Answer::Status("OK".to_owned()));
    served.call("XADD name-199999 1-1 f v");
    call(&mut client, "MULTI");
    assert_eq!(call(&mut client, "EXEC"), Answer::NullArray);
}

/// What a client wrote was left unsynced where the connection ended in the same turn, for a reply that was too large: it was there
/// already, and nobody saw it before somebody else wrote.
#[test]
fn what_a_client_wrote_before_it_was_closed_is_seen_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder().durability(Durability::Always).open(dir.path()).unwrap();
    let served = serve_broker(broker, |builder| builder.output_bytes_max(1000));
    let (told, tells) = mpsc::channel();
    let mut reader = served.connect();
    let waits = thread::spawn(move || {
        let answer = call(&mut reader, "XREAD BLOCK 0 STREAMS s 0");
        told.send(matches!(answer, Answer::Array(streams) if streams.len() == 1)).unwrap();
    });
    served.wait_until_blocked(1);
    let mut bytes = request(&["XADD", "s", "1-1", "f", "v"]);
    bytes.extend(request(&["ECHO", &"x".repeat(2000)]));
    let mut stream = served.raw();
    stream.write_all(&bytes).unwrap();
    assert_eq!(read_all(&mut stream), "");
    assert!(tells.recv_timeout(crate::PATIENCE).unwrap());
    waits.join().unwrap();
}

/// `RESET` forgot the watch and not that there was one: the same name watched again was taken for watched.
#[test]
fn a_name_that_is_watched_again_after_a_reset_is_watched() {
    let served = serve_with(|builder| builder);
    let mut client = served.connect();
    for line in ["WATCH s", "RESET", "WATCH s"] {
        call(&mut client, line);
    }
    served.call("XADD s 1-1 f v");
    call(&mut client, "MULTI");
    assert_eq!(call(&mut client, "EXEC"), Answer::NullArray);
}
