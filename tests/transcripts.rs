//! What a real Redis 8.6.3 answered to 1,500 random sequences of stream commands, and what we do: the same, every reply and every
//! error. `redis-8.6-transcripts.ndjson` has one sequence a line, `{"seq": n, "commands": [[args, reply], …]}`, each on an empty
//! server. In a reply a text is a bulk string, an object a status or an error, `"~"` anything (it depends on time, or on how Redis
//! keeps streams in memory), and `"@k"` the `k`th ID that was made by the clock.

mod common {
    pub(crate) mod answer;
}

use std::collections::HashMap;
use std::fmt::Write;
use std::thread;
use std::time::Duration;

use common::answer::{Answer, ask};
use serde_json::Value;
use streamlog::Broker;

/// Whether the answer is the one that is wanted; `ids` are those made by the clock so far.
fn is(want: &Value, got: &Answer, ids: &mut HashMap<String, Vec<u8>>) -> bool {
    match (want, got) {
        (Value::String(any), _) if any == "~" => true,
        (Value::String(id), Answer::Text(text)) if id.starts_with('@') => {
            ids.entry(id.clone()).or_insert_with(|| text.clone()) == text
        }
        (Value::String(want), Answer::Text(text)) => want.as_bytes() == text,
        (Value::Number(want), Answer::Int(int)) => want.as_i64() == Some(*int),
        (Value::Null, Answer::Null) => true,
        (Value::Array(want), Answer::Array(items)) => {
            want.len() == items.len() && want.iter().zip(items).all(|(want, got)| is(want, got, ids))
        }
        (Value::Object(want), Answer::Status(text)) => want.get("status").and_then(Value::as_str) == Some(text),
        (Value::Object(want), Answer::Error(text)) => want.get("error").and_then(Value::as_str) == Some(text),
        _ => false,
    }
}

#[test]
fn every_recorded_sequence_is_answered_as_redis_8_6_did() {
    let transcripts = include_str!("redis-8.6-transcripts.ndjson");
    let (mut sequences, mut commands) = (0, 0);
    let mut differ = String::new();
    let mut differing = 0;
    for line in transcripts.lines() {
        let transcript: Value = serde_json::from_str(line).unwrap();
        let broker = Broker::in_memory().unwrap();
        let mut ids = HashMap::new();
        for (index, exchange) in transcript["commands"].as_array().unwrap().iter().enumerate() {
            let args: Vec<&str> = exchange[0].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
            let got = ask(&broker, &args);
            if args[0] == "XADD" && args.contains(&"*") {
                // Two IDs made by the clock are never of one millisecond there.
                thread::sleep(Duration::from_millis(2));
            }
            commands += 1;
            if !is(&exchange[1], &got, &mut ids) {
                differing += 1;
                let (sequence, want) = (&transcript["seq"], &exchange[1]);
                writeln!(differ, "sequence {sequence}, command {index}: {args:?}\n  want {want}\n  got  {got:?}")
                    .unwrap();
                break;
            }
        }
        sequences += 1;
    }
    assert!(differ.is_empty(), "{differing} of {sequences} sequences differ:\n{differ}");
    assert_eq!((sequences, commands), (1500, 39_235), "all of them were run");
}
