//! The clients of the kill test, each with a connection and a book of its own: what it asked, and what it was told had happened.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Result;
use std::net::TcpStream;

use crate::answer::Answer;
use crate::ask::{Command, command};
use crate::process::Random;
use crate::wire::{Wire, request};

/// The streams that are added to, and that groups read.
pub(crate) const INPUTS: [&str; 2] = ["in-0", "in-1"];
/// The group whose entries are acknowledged together with an entry that says what was done.
pub(crate) const ONCE: &str = "once";
/// The group whose entries are acknowledged alone.
pub(crate) const PLAIN: &str = "plain";
/// So many commands or transactions are on their way at most.
const PIPELINE_MAX: u64 = 16;

/// What a client does until the connection ends.
pub(crate) enum Client {
    Producer(Producer),
    Pairs(Pairs),
    Worker(Worker),
}

impl Client {
    /// Works until the server is gone.
    pub(crate) fn work(&mut self, wire: &mut Wire<TcpStream>, random: &mut Random) {
        let done = (|| -> Result<()> {
            if let Client::Worker(worker) = self {
                worker.again(wire)?;
            }
            loop {
                match self {
                    Client::Producer(producer) => producer.turn(wire, random)?,
                    Client::Pairs(pairs) => pairs.turn(wire, random)?,
                    Client::Worker(worker) => drop(worker.turn(wire, random)?),
                }
            }
        })();
        done.expect_err("it works until the connection ends");
    }
}

/// Adds entries to one stream, many at once.
pub(crate) struct Producer {
    pub(crate) name: String,
    pub(crate) stream: &'static str,
    /// The number of the next entry.
    pub(crate) next: u64,
    /// The IDs of those that were answered.
    pub(crate) added: BTreeMap<u64, String>,
}

impl Producer {
    fn turn(&mut self, wire: &mut Wire<TcpStream>, random: &mut Random) -> Result<()> {
        let first = self.next;
        self.next += 1 + random.below(PIPELINE_MAX);
        let commands: Vec<Command> = (first..self.next)
            .map(|n| command(&format!("XADD {} * producer {} n {n}", self.stream, self.name)))
            .collect();
        send(wire, &commands)?;
        for n in first..self.next {
            let Answer::Text(id) = wire.answer()? else { panic!("an entry is added") };
            self.added.insert(n, String::from_utf8(id).unwrap());
        }
        Ok(())
    }
}

/// Adds the same number to two streams, in a transaction.
pub(crate) struct Pairs {
    pub(crate) streams: [String; 2],
    pub(crate) next: u64,
    pub(crate) added: BTreeSet<u64>,
}

impl Pairs {
    fn turn(&mut self, wire: &mut Wire<TcpStream>, random: &mut Random) -> Result<()> {
        let first = self.next;
        self.next += 1 + random.below(PIPELINE_MAX);
        let [left, right] = &self.streams;
        for n in first..self.next {
            let transaction = [
                "MULTI".to_owned(),
                format!("XADD {left} * n {n}"),
                format!("XADD {right} * n {n}"),
                "EXEC".to_owned(),
            ];
            send(wire, &transaction.map(|words| command(&words)))?;
        }
        for n in first..self.next {
            assert_eq!(executed(wire, 2)?.len(), 2);
            self.added.insert(n);
        }
        Ok(())
    }
}

/// An entry of one of the [`INPUTS`].
pub(crate) type Place = (String, String);

/// Reads as a consumer of a group, and acknowledges.
pub(crate) struct Worker {
    pub(crate) group: &'static str,
    pub(crate) consumer: String,
    /// What it was given and did not begin to acknowledge.
    pub(crate) given: BTreeSet<Place>,
    /// What it began to acknowledge and was told nothing of.
    pub(crate) begun: BTreeSet<Place>,
    pub(crate) acknowledged: BTreeSet<Place>,
}

impl Worker {
    /// Goes on with what it had when the server went.
    pub(crate) fn again(&mut self, wire: &mut Wire<TcpStream>) -> Result<()> {
        let places = self.read(wire, "1000000", "0")?;
        self.acknowledge(wire, &places)
    }

    /// Returns how many entries there were.
    pub(crate) fn turn(&mut self, wire: &mut Wire<TcpStream>, random: &mut Random) -> Result<usize> {
        let places = self.read(wire, &(1 + random.below(PIPELINE_MAX)).to_string(), ">")?;
        // Some it leaves for its next life.
        if random.below(8) > 0 {
            self.acknowledge(wire, &places)?;
        }
        Ok(places.len())
    }

    fn read(&mut self, wire: &mut Wire<TcpStream>, count: &str, from: &str) -> Result<Vec<Place>> {
        let Worker { group, consumer, .. } = self;
        let [a, b] = INPUTS;
        let read = format!("XREADGROUP GROUP {group} {consumer} COUNT {count} BLOCK 20 STREAMS {a} {b} {from} {from}");
        send(wire, &[command(&read)])?;
        let streams = match wire.answer()? {
            Answer::Array(streams) => streams,
            Answer::NullArray => Vec::new(),
            other => panic!("{read}: {other:?}"),
        };
        let places: Vec<Place> = streams
            .into_iter()
            .flat_map(|stream| {
                let [name, Answer::Array(entries)] = items(stream) else { panic!("a stream has a name and entries") };
                let name = text(name);
                entries.into_iter().map(move |entry| {
                    let [id, _] = items(entry);
                    (name.clone(), text(id))
                })
            })
            .collect();
        for place in &places {
            assert!(!self.acknowledged.contains(place), "{place:?} was acknowledged, and comes again");
        }
        if from == "0" {
            let lost: Vec<&Place> = self.given.iter().filter(|place| !places.contains(place)).collect();
            assert!(lost.is_empty(), "{consumer} of {group} was given {lost:?}, and has them no more");
        }
        self.given.extend(places.iter().cloned());
        Ok(places)
    }

    fn acknowledge(&mut self, wire: &mut Wire<TcpStream>, places: &[Place]) -> Result<()> {
        for place in places {
            self.given.remove(place);
            self.begun.insert(place.clone());
        }
        let once = self.group == ONCE;
        for (stream, id) in places {
            let ack = format!("XACK {stream} {} {id}", self.group);
            if once {
                let done = format!("XADD done * stream {stream} id {id}");
                send(wire, &["MULTI", &done, &ack, "EXEC"].map(command))?;
            } else {
                send(wire, &[command(&ack)])?;
            }
        }
        for place in places {
            let acked = if once { executed(wire, 2)?.pop().unwrap() } else { wire.answer()? };
            assert_eq!(acked, Answer::Int(1), "{place:?} was pending");
            self.begun.remove(place);
            self.acknowledged.insert(place.clone());
        }
        Ok(())
    }
}

fn send(wire: &mut Wire<TcpStream>, commands: &[Command]) -> Result<()> {
    wire.send(&commands.iter().flat_map(|words| request(words)).collect::<Vec<u8>>())
}

/// What a transaction of so many commands answers.
fn executed(wire: &mut Wire<TcpStream>, commands: usize) -> Result<Vec<Answer>> {
    assert_eq!(wire.answer()?, Answer::Status("OK".to_owned()));
    for _ in 0..commands {
        assert_eq!(wire.answer()?, Answer::Status("QUEUED".to_owned()));
    }
    match wire.answer()? {
        Answer::Array(answers) => Ok(answers),
        other => panic!("a transaction answers {other:?}"),
    }
}

pub(crate) fn items<const LEN: usize>(answer: Answer) -> [Answer; LEN] {
    match answer {
        Answer::Array(items) => items.try_into().unwrap_or_else(|items| panic!("{items:?} are not {LEN}")),
        other => panic!("{other:?} is no array"),
    }
}

pub(crate) fn text(answer: Answer) -> String {
    match answer {
        Answer::Text(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?} is no text"),
    }
}
