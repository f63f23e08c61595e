//! The load: clients that each send so many requests at once, read the replies, and go on, until the time is over. The same
//! bytes for either server. One thread sees to several clients, as `redis-benchmark` does with all of its.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::servers::Address;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Xadd,
    Work,
}

impl Load {
    pub(crate) const ALL: [Load; 2] = [Load::Xadd, Load::Work];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Load::Xadd => "xadd",
            Load::Work => "work",
        }
    }

    pub(crate) fn named(name: &str) -> Load {
        Load::ALL.into_iter().find(|load| load.name() == name).unwrap_or_else(|| panic!("{name} is no load"))
    }
}

const FIELD: &str = "field";
const VALUE: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// Puts a load on a server for so long; returns the entries in a second.
pub(crate) fn run(address: Address, load: Load, clients: usize, depth: usize, time: Duration) -> f64 {
    let mut first = Client::connect(&address);
    first.ask(&["DEL", "load"]);
    if load == Load::Work {
        first.ask(&["XGROUP", "CREATE", "load", "group", "$", "MKSTREAM"]);
    }
    let done = AtomicU64::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for number in 0..clients {
            let (address, done) = (&address, &done);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                match load {
                    Load::Xadd => client.add(depth, began + time, done),
                    Load::Work => client.work(number, depth, began + time, done),
                }
            });
        }
    });
    let took = began.elapsed();
    done.into_inner() as f64 / took.as_secs_f64()
}

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

enum Reply {
    Bulk(Vec<u8>),
    Other(String),
    Array(Vec<Reply>),
}

impl Client {
    fn connect(address: &Address) -> Client {
        let stream: Box<dyn Stream> = match address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).expect("the server listens")),
            Address::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).expect("the server listens");
                stream.set_nodelay(true).expect("a socket");
                Box::new(stream)
            }
        };
        Client { stream: BufReader::with_capacity(64 << 10, stream) }
    }

    fn ask(&mut self, words: &[&str]) -> Reply {
        self.send(&request(words));
        self.reply()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the server answers");
        line.truncate(line.trim_end().len());
        line
    }

    fn reply(&mut self) -> Reply {
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        assert_ne!(kind, "-", "{line}");
        match kind {
            "$" if rest != "-1" => {
                let mut bytes = vec![0; rest.parse::<usize>().expect("a length") + 2];
                self.stream.read_exact(&mut bytes).expect("the server answers");
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            "*" if rest != "-1" => Reply::Array((0..rest.parse().expect("a length")).map(|_| self.reply()).collect()),
            _ => Reply::Other(line),
        }
    }

    /// Adds entries, `depth` at a time.
    fn add(&mut self, depth: usize, until: Instant, done: &AtomicU64) {
        let requests = request(&["XADD", "load", "*", FIELD, VALUE]).repeat(depth);
        let (mut reply, mut added) = (Vec::new(), 0);
        while Instant::now() < until {
            self.send(&requests);
            // An ID is a bulk string: two lines.
            for _ in 0..depth * 2 {
                reply.clear();
                self.stream.read_until(b'\n', &mut reply).expect("the server answers");
                assert_ne!(reply[0], b'-', "{}", reply.escape_ascii());
            }
            added += depth as u64;
        }
        done.fetch_add(added, Ordering::Relaxed);
    }

    /// Adds, reads and acknowledges entries, up to `depth` at a time; counts those that are acknowledged.
    fn work(&mut self, number: usize, depth: usize, until: Instant, done: &AtomicU64) {
        let consumer = format!("consumer-{number}");
        let count = depth.to_string();
        let read = ["XREADGROUP", "GROUP", "group", &consumer, "COUNT", &count, "STREAMS", "load", ">"];
        let read = request(&read);
        let add = request(&["XADD", "load", "*", FIELD, VALUE]).repeat(depth);
        let mut acknowledged = 0;
        while Instant::now() < until {
            self.send(&add);
            (0..depth).for_each(|_| drop(self.reply()));
            self.send(&read);
            let Reply::Array(streams) = self.reply() else { continue };
            let mut ids = Vec::new();
            for stream in streams {
                let Reply::Array(mut stream) = stream else { panic!("a stream and its entries") };
                let Some(Reply::Array(entries)) = stream.pop() else { panic!("entries") };
                for entry in entries {
                    let Reply::Array(entry) = entry else { panic!("an entry") };
                    let Some(Reply::Bulk(id)) = entry.into_iter().next() else { panic!("an ID") };
                    ids.push(String::from_utf8(id).expect("digits"));
                }
            }
            let mut words = vec!["XACK", "load", "group"];
            words.extend(ids.iter().map(String::as_str));
            let Reply::Other(count) = self.ask(&words) else { panic!("a number") };
            assert_eq!(count, format!(":{}", ids.len()));
            acknowledged += ids.len() as u64;
        }
        done.fetch_add(acknowledged, Ordering::Relaxed);
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}
