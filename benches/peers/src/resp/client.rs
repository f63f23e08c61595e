//! A client of a server that speaks Redis's protocol, over a socket: requests as bytes, replies as values.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(u16),
}

pub(crate) trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
    line: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Reply {
    Bulk(Vec<u8>),
    /// What is one line, with its first byte.
    Other(String),
    Array(Vec<Reply>),
}

impl Client {
    pub(crate) fn connect(address: &Address) -> Client {
        let stream: Box<dyn Stream> = match address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).expect("the server listens")),
            Address::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).expect("the server listens");
                stream.set_nodelay(true).expect("a socket");
                Box::new(stream)
            }
        };
        Client { stream: BufReader::with_capacity(64 << 10, stream), line: Vec::new() }
    }

    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> Reply {
        self.send(&request(words));
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    /// The next reply, which must be no error.
    pub(crate) fn reply(&mut self) -> Reply {
        let reply = self.any_reply();
        if let Reply::Other(line) = &reply {
            assert!(!line.starts_with('-'), "{line}");
        }
        reply
    }

    /// The next reply, which may be an error.
    pub(crate) fn any_reply(&mut self) -> Reply {
        self.next_line();
        let line = self.line.trim_ascii_end();
        let rest = || std::str::from_utf8(&line[1..]).expect("digits");
        match line[0] {
            b'$' if rest() != "-1" => {
                let len = rest().parse::<usize>().expect("a length");
                let mut bytes = vec![0; len + 2];
                self.stream.read_exact(&mut bytes).expect("the server answers");
                bytes.truncate(len);
                Reply::Bulk(bytes)
            }
            b'*' if rest() != "-1" => {
                let len = rest().parse().expect("a length");
                Reply::Array((0..len).map(|_| self.reply()).collect())
            }
            _ => Reply::Other(String::from_utf8_lossy(line).into_owned()),
        }
    }

    /// Passes by replies that are bulk strings, as the IDs of added entries are: two lines each.
    pub(crate) fn skip_bulks(&mut self, replies: usize) {
        for _ in 0..replies * 2 {
            self.next_line();
            assert_ne!(self.line[0], b'-', "{}", self.line.escape_ascii());
        }
    }

    fn next_line(&mut self) {
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line).expect("the server answers");
        assert!(!self.line.is_empty(), "the server hung up");
    }
}

impl Reply {
    pub(crate) fn array(self) -> Vec<Reply> {
        match self {
            Reply::Array(replies) => replies,
            other => panic!("{other:?} is no array"),
        }
    }

    pub(crate) fn bulk(self) -> Vec<u8> {
        match self {
            Reply::Bulk(bytes) => bytes,
            other => panic!("{other:?} is no bulk string"),
        }
    }

    /// The entries of one stream that an `XREADGROUP` delivered: their IDs and their fields. None if it had none.
    pub(crate) fn delivered(self) -> Vec<(Vec<u8>, Reply)> {
        let Reply::Array(mut streams) = self else { return Vec::new() };
        let entries = streams.pop().expect("a stream").array().pop().expect("its entries");
        entries.entries()
    }

    /// Entries, as `XRANGE` gives them: their IDs and their fields.
    pub(crate) fn entries(self) -> Vec<(Vec<u8>, Reply)> {
        let entry = |entry: Reply| {
            let mut entry = entry.array().into_iter();
            (entry.next().expect("an ID").bulk(), entry.next().expect("fields"))
        };
        self.array().into_iter().map(entry).collect()
    }
}

pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(words.iter().map(|word| word.len() + 16).sum::<usize>() + 16);
    write!(bytes, "*{}\r\n", words.len()).expect("memory");
    for word in words {
        write!(bytes, "${}\r\n", word.len()).expect("memory");
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
