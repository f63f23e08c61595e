//! A small client of the tests' own: sends arguments, and reads replies strictly, every byte accounted for. Knows both protocols,
//! and no command.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::answer::Answer;

/// An answer that takes longer never comes.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection.
pub(crate) struct Wire<S> {
    stream: BufReader<S>,
}

impl Wire<TcpStream> {
    /// # Errors
    ///
    /// If nobody listens.
    pub(crate) fn connect(address: &str) -> std::io::Result<Wire<TcpStream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Wire::new(stream))
    }
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn new(stream: S) -> Wire<S> {
        Wire { stream: BufReader::new(stream) }
    }

    /// Has every later answer in RESP3.
    pub(crate) fn speak_resp3(&mut self) {
        let hello = self.call(&["HELLO", "3"]);
        assert!(matches!(hello, Answer::Map(_)), "{hello:?}");
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// # Panics
    ///
    /// If the connection ends.
    pub(crate) fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Answer {
        self.send(&request(words)).unwrap();
        self.answer().unwrap()
    }

    /// Sends all these commands at once.
    ///
    /// # Panics
    ///
    /// If the connection ends.
    pub(crate) fn call_all(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Answer> {
        let bytes: Vec<u8> = commands.iter().flat_map(|words| request(words)).collect();
        self.send(&bytes).unwrap();
        commands.iter().map(|_| self.answer().unwrap()).collect()
    }

    /// The next answer.
    ///
    /// # Errors
    ///
    /// If the connection ends before the answer does.
    ///
    /// # Panics
    ///
    /// If the bytes are none that the protocol has, or not as short as it has them.
    pub(crate) fn answer(&mut self) -> std::io::Result<Answer> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or_else(|| panic!("an answer begins with an empty line"));
        Ok(match kind {
            b"+" => Answer::Status(text(rest)),
            b"-" => Answer::Error(text(rest)),
            b":" => Answer::Int(int(rest)),
            b"_" if rest.is_empty() => Answer::Null,
            b"$" if rest == b"-1" => Answer::Null,
            b"*" if rest == b"-1" => Answer::NullArray,
            b"$" => Answer::Text(self.bytes(len(rest))?),
            b"=" => {
                let bytes = self.bytes(len(rest))?;
                Answer::Verbatim(text(bytes.strip_prefix(b"txt:").expect("verbatim text is plain text")))
            }
            b"*" => Answer::Array(self.answers(len(rest))?),
            b"~" => Answer::Set(self.answers(len(rest))?),
            b"%" => {
                let pairs = (0..len(rest)).map(|_| Ok((self.answer()?, self.answer()?)));
                Answer::Map(pairs.collect::<std::io::Result<_>>()?)
            }
            _ => panic!("an answer begins with \"{}\"", line.escape_ascii()),
        })
    }

    fn answers(&mut self, count: usize) -> std::io::Result<Vec<Answer>> {
        (0..count).map(|_| self.answer()).collect()
    }

    /// A line without its end.
    fn line(&mut self) -> std::io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let end = line.strip_suffix(b"\r\n").map(<[u8]>::len);
        let Some(end) = end else {
            assert!(!line.ends_with(b"\n"), "a line ends without CR: \"{}\"", line.escape_ascii());
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        line.truncate(end);
        Ok(line)
    }

    fn bytes(&mut self, len: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; len + 2];
        self.stream.read_exact(&mut bytes)?;
        assert!(bytes.ends_with(b"\r\n"), "bytes go on after their end: \"{}\"", bytes.escape_ascii());
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// The bytes that ask for a command.
pub(crate) fn request(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A number in its shortest form: no other is ever sent.
fn int(digits: &[u8]) -> i64 {
    let number = text(digits).parse::<i64>().unwrap_or_else(|_| panic!("\"{}\" is no number", digits.escape_ascii()));
    assert_eq!(number.to_string().as_bytes(), digits, "a number is written in its shortest form");
    number
}

fn len(digits: &[u8]) -> usize {
    usize::try_from(int(digits)).unwrap_or_else(|_| panic!("\"{}\" is no length", digits.escape_ascii()))
}
