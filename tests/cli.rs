//! The program, run as a user runs it: `streamlog add`, `read`, `info`, `backup` and `demo`.

#![cfg(feature = "cli")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use streamlog::Broker;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamlog"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program with this input, which must not be so much that both ends wait.
fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args).spawn().unwrap();
    // One that has ended early has closed its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Runs it, and expects it to end well; returns what it wrote to standard output and standard error.
fn ok(args: &[&str], input: &[u8]) -> (String, String) {
    let output = run(args, input);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

/// Runs it, and expects it to fail with this code; returns its one line on standard error.
fn fails(code: i32, args: &[&str], input: &[u8]) -> String {
    let output = run(args, input);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
    if code == 1 {
        assert_eq!(err.lines().count(), 1, "one line: {err}");
    }
    err
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A new directory, and the path in it for the streams.
fn new() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory.path().join("data")).to_owned();
    (directory, path)
}

fn objects(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn plain_lines_become_entries_with_one_field_and_are_read_back_in_both_directions() {
    let (_directory, dir) = new();
    let (out, err) = ok(&["add", &dir, "log"], b"first\nsecond line\n\nlast, without an end");
    assert_eq!(out, "");
    assert!(err.starts_with("added 4 entries to `log` in ") && err.contains("last one is "), "{err}");

    let values = |jsonl: &str| -> Vec<String> {
        objects(jsonl).iter().map(|object| object["fields"]["data"].as_str().unwrap().to_owned()).collect()
    };
    let (all, _) = ok(&["read", &dir, "log", "--jsonl"], b"");
    assert_eq!(values(&all), ["first", "second line", "", "last, without an end"]);
    let (last, _) = ok(&["read", &dir, "log", "--jsonl", "--rev", "--count", "1"], b"");
    assert_eq!(values(&last), ["last, without an end"]);

    let ids: Vec<_> = objects(&all).iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect();
    let (middle, _) = ok(&["read", &dir, "log", "--jsonl", "--from", &ids[1], "--to", &ids[2]], b"");
    assert_eq!(values(&middle), ["second line", ""]);
    let (plain, _) = ok(&["read", &dir, "log", "--count", "2"], b"");
    assert_eq!(plain, format!("{}  data=first\n{}  data=\"second line\"\n", ids[0], ids[1]));
}

#[test]
fn a_field_of_another_name_and_each_durability_are_taken() {
    let (_directory, dir) = new();
    for level in ["always", "interval:50ms", "os"] {
        ok(&["add", &dir, "log", "--field", "line", "--durability", level, "--batch", "1"], b"x\ny\n");
    }
    let broker = Broker::open(&dir).unwrap();
    let entries = broker.stream("log").unwrap().range(..).read().unwrap();
    assert_eq!(entries.len(), 6);
    assert!(entries.iter().all(|entry| entry.get("line").is_some()));
}

#[test]
fn json_lines_are_read_back_equal() {
    let originals: Vec<Value> = (0..2500)
        .map(|n| {
            json!({
                "event": format!("order.{}", if n % 2 == 0 { "created" } else { "paid" }),
                "number": n,
                "amount": f64::from(n) / 8.0,
                "note": "quotes \" and \\ and \n lines, and ünïcode \u{1F980}",
                "payload": { "z": [1, 2, { "deep": null }], "a": { "text": " blanks  stay \" here " } },
                "flag": n % 3 == 0,
                "nothing": null,
            })
        })
        .collect();
    // With blanks between the tokens, as people write it.
    let input: String = originals.iter().map(|object| object.to_string().replace("\":", "\" :  ") + "\n").collect();
    let (_directory, dir) = new();
    ok(&["add", &dir, "hooks", "--jsonl"], input.as_bytes());
    let (out, _) = ok(&["read", &dir, "hooks", "--jsonl"], b"");
    let entries = objects(&out);
    assert_eq!(entries.len(), originals.len());
    for (entry, original) in entries.iter().zip(&originals) {
        let fields = entry["fields"].as_object().unwrap();
        let original = original.as_object().unwrap();
        assert!(fields.keys().eq(original.keys()), "the order of the keys");
        for (name, value) in original {
            let stored = fields[name].as_str().unwrap();
            match value {
                Value::String(text) => assert_eq!(stored, text),
                other => assert_eq!(stored, other.to_string(), "as compact JSON"),
            }
        }
    }
    let (array, _) = ok(&["read", &dir, "hooks", "--json"], b"");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&array).unwrap(), entries, "the same as one array");
    let (none, _) = ok(&["read", &dir, "hooks", "--json", "--from", "99999999999999"], b"");
    assert_eq!(none, "[]\n");
}

#[test]
fn a_bad_line_stops_with_its_number_after_everything_before_it() {
    let (_directory, dir) = new();
    let input = b"{\"n\":1}\n\n{\"n\":2}\n{\"n\":}\n{\"n\":4}\n";
    for (batch, length) in [("1", 2), ("2", 4), ("1000", 6)] {
        let err = fails(1, &["add", &dir, "hooks", "--jsonl", "--batch", batch], input);
        assert!(err.contains("line 4") && err.contains("2 entries were added before it"), "{err}");
        let broker = Broker::open(&dir).unwrap();
        assert_eq!(broker.stream("hooks").unwrap().len().unwrap(), length);
    }
    for bad in ["[1]\n", "{}\n", "7\n", "{\"a\":1} {\"a\":2}\n"] {
        let err = fails(1, &["add", &dir, "hooks", "--jsonl"], bad.as_bytes());
        assert!(err.contains("line 1") && err.contains("0 entries were added"), "{err}");
    }
}

#[test]
fn a_line_over_the_limit_of_an_entry_is_a_bad_line() {
    let (_directory, dir) = new();
    let mut input = b"short\n".to_vec();
    input.resize(input.len() + (17 << 20), b'x');
    let err = fails(1, &["add", &dir, "log"], &input);
    assert!(err.contains("line 2") && err.contains("over the limit") && err.contains("1 entry was added"), "{err}");
}

#[test]
fn lines_larger_together_than_a_batch_may_be_are_all_added() {
    let (_directory, dir) = new();
    let mut line = vec![b'x'; 10 << 20];
    line.push(b'\n');
    ok(&["add", &dir, "log", "--durability", "os"], &line.repeat(8));
    assert_eq!(Broker::open(&dir).unwrap().stream("log").unwrap().len().unwrap(), 8);
}

#[test]
fn a_line_is_added_without_waiting_for_the_next() {
    let (directory, dir) = new();
    let mut child = command(&["add", &dir, "log"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"hello\nhalf a li").unwrap();
    // A kill shows what is there by then, without the program's closing.
    let journal = directory.path().join("data/journal");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let files = std::fs::read_dir(&journal).into_iter().flatten().flatten();
        let found = files.into_iter().any(|file| {
            let mut bytes = Vec::new();
            let read = std::fs::File::open(file.path()).and_then(|mut file| file.read_to_end(&mut bytes));
            read.is_ok() && bytes.windows(5).any(|window| window == b"hello")
        });
        if found {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the line was not added");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let entries = Broker::open(&dir).unwrap().stream("log").unwrap().range(..).read().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].text("data").unwrap(), "hello");
}

#[test]
fn bytes_that_are_no_text_and_fields_that_occur_twice_lose_nothing() {
    let (_directory, dir) = new();
    ok(&["add", &dir, "raw"], b"\xff\x00a\n");
    ok(&["add", &dir, "twice", "--jsonl"], br#"{"a":"1","b":2,"a":[3]}"#);
    let fields = |stream| objects(&ok(&["read", &dir, stream, "--jsonl"], b"").0)[0]["fields"].clone();
    assert_eq!(fields("raw"), json!({ "data": { "hex": "ff0061" } }));
    assert_eq!(fields("twice"), json!([["a", "1"], ["b", "2"], ["a", "[3]"]]));
}

#[test]
fn a_reader_that_has_read_enough_ends_it_quietly() {
    let (_directory, dir) = new();
    ok(&["add", &dir, "log", "--durability", "os"], &b"one of many lines\n".repeat(50_000));
    for form in [&[][..], &["--json"], &["--jsonl"]] {
        let mut child = command(&[&["read", &dir, "log"], form].concat()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{form:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{form:?}");
    }
}

#[test]
fn info_tells_of_streams_groups_and_consumers() {
    let (_directory, dir) = new();
    {
        let broker = Broker::open(&dir).unwrap();
        let orders = broker.stream("orders").unwrap();
        orders.add_batch((0..5).map(|n| [("n", n.to_string())])).unwrap();
        let billing = orders.group("billing").from_start().ensure().unwrap();
        let got = billing.consumer("worker").read_new().count(3).next().unwrap();
        got[0].ack().unwrap();
        billing.create_consumer("idler").unwrap();
        broker.stream("empty").unwrap().create().unwrap();
        broker.close().unwrap();
    }
    let (table, _) = ok(&["info", &dir], b"");
    assert!(table.contains("orders") && table.contains("empty") && !table.contains("billing"), "{table}");
    let (table, _) = ok(&["info", &dir, "orders"], b"");
    assert!(table.contains("billing") && table.contains("worker") && table.contains("never"), "{table}");

    let (text, _) = ok(&["info", &dir, "--json"], b"");
    let all: Value = serde_json::from_str(&text).unwrap();
    let streams = all["streams"].as_array().unwrap();
    assert_eq!(streams[0]["name"], "empty");
    assert_eq!(streams[0]["first_id"], Value::Null);
    assert_eq!(streams[0]["groups"], json!([]));
    let (text, _) = ok(&["info", &dir, "orders", "--json"], b"");
    let orders: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(orders["length"], 5);
    assert_eq!(orders["entries_added"], 5);
    let billing = &orders["groups"][0];
    assert_eq!((&billing["name"], &billing["pending"], &billing["lag"]), (&json!("billing"), &json!(2), &json!(2)));
    assert_eq!(billing["consumers"][0]["name"], "idler");
    assert_eq!(billing["consumers"][0]["inactive_ms"], Value::Null);
    assert_eq!(billing["consumers"][1]["pending"], 2);
}

#[test]
fn looking_at_a_directory_begins_nothing_there() {
    let (directory, dir) = new();
    let target = text(&directory.path().join("backup")).to_owned();
    for args in [&["read", &dir, "s"][..], &["info", &dir], &["backup", &dir, &target]] {
        let err = fails(1, args, b"");
        assert!(err.contains("no streamlog here"), "{err}");
        assert!(!Path::new(&dir).exists());
        let empty = text(directory.path());
        fails(1, &[&[args[0], empty], &args[2..]].concat(), b"");
        assert_eq!(std::fs::read_dir(empty).unwrap().count(), 0);
    }
    ok(&["add", &dir, "orders"], b"x\n");
    let err = fails(1, &["read", &dir, "order"], b"");
    assert!(err.contains("no stream `order`") && err.contains("`orders`"), "{err}");
    fails(1, &["info", &dir, "order"], b"");
}

#[test]
fn a_backup_is_read_as_the_directory_was() {
    let (directory, dir) = new();
    ok(&["add", &dir, "log"], b"one\ntwo\n");
    let backup = text(&directory.path().join("backups/monday")).to_owned();
    let (out, err) = ok(&["backup", &dir, &backup], b"");
    assert_eq!(out, "");
    assert!(err.starts_with(&format!("backed up {dir} to {backup} in ")) && err.contains(" files copied"), "{err}");
    let (before, _) = ok(&["read", &dir, "log", "--jsonl"], b"");
    ok(&["add", &dir, "log"], b"three\n");
    assert_eq!(ok(&["read", &backup, "log", "--jsonl"], b"").0, before);
    let err = fails(1, &["backup", &dir, &backup], b"");
    assert!(err.contains(&backup) && err.contains("not empty"), "{err}");
    let (help, _) = ok(&["backup", "--help"], b"");
    assert!(help.contains("hard links") && help.contains("backup_to"), "{help}");
}

#[test]
fn errors_say_what_to_do() {
    let (directory, dir) = new();
    let broker = Broker::open(&dir).unwrap();
    for (args, input) in [(&["read", &dir, "s"][..], &b""[..]), (&["info", &dir], b""), (&["add", &dir, "s"], b"x\n")] {
        let err = fails(1, args, input);
        assert!(err.contains("open") && err.contains("stop the program"), "{err}");
    }
    drop(broker);
    let foreign = directory.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("notes.txt"), "mine").unwrap();
    let err = fails(1, &["add", text(&foreign), "s"], b"x\n");
    assert!(err.contains("notes.txt") && err.contains("empty or a new one"), "{err}");
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1, "nothing was made there");
}

#[test]
fn check_ends_with_0_for_a_whole_directory_and_with_1_for_a_damaged_one_which_repair_makes_whole() {
    let (_directory, dir) = new();
    ok(&["add", &dir, "orders"], b"first\nsecond\nthird\n");
    let (out, err) = ok(&["check", &dir], b"");
    assert!(out.contains("3 entries in 1 stream") && out.contains("whole") && err.is_empty(), "{out}{err}");
    let (out, _) = ok(&["check", &dir, "--json"], b"");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["ok"], &report["entries"], &report["problems"]), (&json!(true), &json!(3), &json!([])));

    let segment = std::fs::read_dir(Path::new(&dir).join("streams/1")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"second").unwrap();
    bytes[at] = b'S';
    std::fs::write(&segment, bytes).unwrap();
    let damaged = run(&["check", &dir], b"");
    assert_eq!(damaged.status.code(), Some(1));
    let out = String::from_utf8(damaged.stdout).unwrap();
    assert!(out.contains("stream `orders`") && out.contains("1 entry from") && damaged.stderr.is_empty(), "{out}");
    let damaged = run(&["check", &dir, "--json"], b"");
    let report: Value = serde_json::from_slice(&damaged.stdout).unwrap();
    let problem = &report["problems"][0];
    assert_eq!((&problem["stream"], &problem["entries_lost"]), (&json!("orders"), &json!(1)));
    assert!(problem["offset"].as_u64().unwrap() > 0);
    fails(1, &["check", "/nowhere"], b"");

    let (out, _) = ok(&["repair", &dir, "--dry-run"], b"");
    assert!(out.contains("PROBLEM") && out.contains("1 entry from") && out.contains("will be in"), "{out}");
    let err = run(&["repair", &dir], b"");
    assert_eq!(err.status.code(), Some(1), "nobody was asked");
    assert!(String::from_utf8(err.stderr).unwrap().contains("--yes"));
    assert!(!Path::new(&dir).join("repair-1").exists());
    let (out, _) = ok(&["repair", &dir, "--yes", "--json"], b"");
    let repair: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&repair["repaired"], &repair["originals"]), (&json!(true), &json!("repair-1")));
    assert_eq!(repair["problems"][0]["entries_lost"], 1);
    let (out, _) = ok(&["read", &dir, "orders"], b"");
    assert!(out.contains("first") && !out.contains("econd") && out.contains("third"), "{out}");
    let (out, _) = ok(&["check", &dir], b"");
    assert!(out.contains("whole") && out.contains("repair-1"), "{out}");
    let (out, _) = ok(&["repair", &dir], b"");
    assert!(out.contains("nothing to repair"), "{out}");
}

#[test]
fn a_wrong_call_is_told_apart_from_a_failure() {
    let (_directory, dir) = new();
    for args in [
        &[][..],
        &["add"],
        &["frobnicate"],
        &["read", &dir, "s", "--from", "x"],
        &["read", &dir, "s", "--json", "--jsonl"],
        &["add", &dir, "s", "--durability", "perhaps"],
        &["add", &dir, "s", "--batch", "0"],
    ] {
        fails(2, args, b"");
    }
    assert!(!Path::new(&dir).exists());
    let (help, _) = ok(&["--help"], b"");
    assert!(help.contains("demo") && !help.contains("demo-workers"), "{help}");
}

#[test]
fn the_demo_proves_that_a_kill_loses_nothing() {
    let (out, err) = ok(&["demo"], b"");
    assert_eq!(err, "");
    let figure = |row: &str| -> u64 {
        let line = out.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("no row `{row}`: {out}"));
        line.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert_eq!(figure("added    "), 10_000);
    assert_eq!(figure("LOST"), 0);
    assert_eq!(figure("delivered again though acknowledged"), 0);
    let (acked, rescued) = (figure("acknowledged by the workers"), figure("rescued  "));
    assert!((5_000..10_000).contains(&acked), "{out}");
    assert!((1..=100).contains(&rescued), "{out}");
    assert_eq!(figure("delivered twice"), rescued);
    let unsaid = if out.contains("could say so") { figure("could say so") } else { 0 };
    assert_eq!(acked + unsaid + rescued + figure("not delivered before the kill"), 10_000);
}
