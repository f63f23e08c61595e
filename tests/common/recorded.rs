//! What a real Redis 8.6.3 answered to random sequences of stream commands. `redis-8.6-transcripts.ndjson` has one sequence a line,
//! `{"seq": n, "commands": [[args, reply], …]}`, each on an empty server. In a reply a text is a bulk string, an object a status or
//! an error, `"~"` anything (it depends on time, or on how Redis keeps streams in memory), and `"@k"` the `k`th ID that was made
//! by the clock. Replies are as RESP2 has them, but for the kind of a null, which is not told.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use super::answer::Answer;

pub(crate) struct Sequence {
    number: u64,
    pub(crate) exchanges: Vec<Exchange>,
}

pub(crate) struct Exchange {
    pub(crate) args: Vec<String>,
    want: Value,
}

impl Exchange {
    /// Two such IDs are never of one millisecond there.
    pub(crate) fn makes_an_id_by_the_clock(&self) -> bool {
        self.args[0] == "XADD" && self.args.iter().any(|arg| arg == "*")
    }
}

/// The IDs made by the clock so far, by the names they have in a transcript.
type Ids = HashMap<String, Vec<u8>>;

fn sequences() -> impl Iterator<Item = Sequence> {
    include_str!("../redis-8.6-transcripts.ndjson").lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let exchange = |exchange: &Value| Exchange {
            args: exchange[0].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()).collect(),
            want: exchange[1].clone(),
        };
        let exchanges = line["commands"].as_array().unwrap().iter().map(exchange).collect();
        Sequence { number: line["seq"].as_u64().unwrap(), exchanges }
    })
}

/// Whether the answer is the one that is wanted.
fn is(want: &Value, got: &Answer, ids: &mut Ids) -> bool {
    match (want, got) {
        (Value::String(any), _) if any == "~" => true,
        (Value::String(id), Answer::Text(text)) if id.starts_with('@') => {
            ids.entry(id.clone()).or_insert_with(|| text.clone()) == text
        }
        (Value::String(want), Answer::Text(text)) => want.as_bytes() == text,
        (Value::Number(want), Answer::Int(int)) => want.as_i64() == Some(*int),
        (Value::Null, Answer::Null | Answer::NullArray) => true,
        (Value::Array(want), Answer::Array(items)) => {
            want.len() == items.len() && want.iter().zip(items).all(|(want, got)| is(want, got, ids))
        }
        (Value::Object(want), Answer::Status(text)) => want.get("status").and_then(Value::as_str) == Some(text),
        (Value::Object(want), Answer::Error(text)) => want.get("error").and_then(Value::as_str) == Some(text),
        _ => false,
    }
}

/// The first command of a sequence that was answered otherwise.
struct Difference {
    sequence: u64,
    index: usize,
    args: Vec<String>,
    want: Value,
    got: Answer,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { sequence, index, args, want, got } = self;
        writeln!(f, "sequence {sequence}, command {index}: {args:?}\n  want {want}\n  got  {got:?}")
    }
}

/// Runs every sequence, each on an empty server, and compares what `run` says of it.
///
/// # Panics
///
/// If a command is answered in another way than it was then.
pub(crate) fn every_answer_is_that_of_redis(mut run: impl FnMut(&Sequence) -> Vec<Answer>) {
    let (mut count, mut commands) = (0, 0);
    let mut differences = Vec::new();
    for sequence in sequences() {
        let mut ids = Ids::new();
        let answers = run(&sequence);
        assert_eq!(answers.len(), sequence.exchanges.len(), "each command is answered once");
        for (index, (Exchange { args, want }, got)) in sequence.exchanges.iter().zip(answers).enumerate() {
            commands += 1;
            if !is(want, &got, &mut ids) {
                let (args, want) = (args.clone(), want.clone());
                differences.push(Difference { sequence: sequence.number, index, args, want, got });
                break;
            }
        }
        count += 1;
    }
    let text: String = differences.iter().map(Difference::to_string).collect();
    assert!(differences.is_empty(), "{} of {count} sequences differ:\n{text}", differences.len());
    assert_eq!((count, commands), (1500, 39_235), "all of them were run");
}
