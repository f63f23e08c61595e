//! Requests: bytes in, arguments out. Pure: no socket, no clock, no table of commands.
//!
//! ```text
//! *3\r\n $4\r\nXADD\r\n $6\r\norders\r\n $1\r\n*\r\n      an array of bulk strings: what clients send
//! XLEN "my orders"\r\n                                a line: what people type
//! ```
//!
//! A [`Parser`] is given the bytes of one request from its first on, again and again as more of them come, and goes on where it
//! was: no byte is looked at twice however they were cut. Arguments stay where they came; what a length promises is
//! believed, and room made for it, only as its bytes come. What a mistake *means* (a reply, and the end of the connection) is the
//! connection's.

use std::ops::Range;

/// The longest line that is a request, or says a number: nobody types more, and nothing longer is worth waiting for its end. Redis's.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

/// How many arguments, and how large, are taken from a client that has not given the password: enough for `HELLO` and `AUTH`.
/// Redis's.
const STRANGERS_ARGUMENTS_MAX: usize = 10;
const STRANGERS_BULK_BYTES_MAX: usize = 16 << 10;

/// Arguments whose places are remembered for the next request, and not given back.
const PLACES_KEPT: usize = 1024;

/// What a request may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Arguments, the command's name among them.
    pub(crate) arguments: usize,
    /// Bytes of one argument.
    pub(crate) bulk_bytes: usize,
    /// Bytes of all of it.
    pub(crate) request_bytes: usize,
    /// The client has not given the password that it needs.
    pub(crate) stranger: bool,
}

/// Why bytes are no request. What follows them cannot be one either: where it would begin is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("too big inline request")]
    InlineTooLong,
    #[error("unbalanced quotes in request")]
    Quotes,
    #[error("too big mbulk count string")]
    CountTooLong,
    #[error("invalid multibulk length")]
    Count,
    #[error("unauthenticated multibulk length")]
    StrangersCount,
    #[error("too big bulk count string")]
    LengthTooLong,
    #[error("expected '$', got '{}'", one_line(*.0))]
    NoBulk(u8),
    #[error("invalid bulk length")]
    Length,
    #[error("unauthenticated bulk length")]
    StrangersLength,
}

/// A byte as it is repeated in a reply of one line.
fn one_line(byte: u8) -> char {
    if matches!(byte, b'\r' | b'\n') { ' ' } else { char::from(byte) }
}

/// What the parser is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// The first line.
    #[default]
    Begins,
    /// The length of an argument, with so many to come.
    Length { left: usize },
    /// An argument of this length, with so many to come, itself counted.
    Bulk { left: usize, len: usize },
    /// A request of so many bytes is understood.
    Done(usize),
}

/// Reads one request at a time.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
    /// What is before this is understood; from the request's first byte.
    at: usize,
    /// The line that begins there has no end before this.
    seen: usize,
    /// Where the arguments are: in the request, or in `unquoted`.
    places: Vec<Range<usize>>,
    /// The arguments of a line, without quotes; of an array of bulk strings none are here.
    unquoted: Vec<u8>,
    is_line: bool,
}

impl Parser {
    /// Goes on in a request of which `bytes` are there, from its first one; `None` if that is not all of it, its length otherwise.
    /// Then its arguments can be had until [`forget`](Parser::forget). A request may have no arguments: it asks for nothing.
    ///
    /// # Errors
    ///
    /// If they are no request.
    pub(crate) fn parse(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        loop {
            match self.state {
                State::Done(len) => return Ok(Some(len)),
                State::Begins => match bytes.first() {
                    None => return Ok(None),
                    Some(b'*') => match self.line(bytes, b'\r', true) {
                        Line::Until(end) => self.count(&bytes[1..end], end, limits)?,
                        Line::Open => return Ok(None),
                        Line::TooLong => return Err(ProtocolError::CountTooLong),
                    },
                    Some(_) => match self.line(bytes, b'\n', true) {
                        Line::Until(end) => self.split(&bytes[..end], end + 1)?,
                        Line::Open => return Ok(None),
                        Line::TooLong => return Err(ProtocolError::InlineTooLong),
                    },
                },
                State::Length { left: 0 } => self.state = State::Done(self.at),
                State::Length { left } => match self.line(bytes, b'\r', false) {
                    Line::Until(end) => self.length(&bytes[self.at..end], end, left, limits)?,
                    Line::Open => return Ok(None),
                    Line::TooLong => return Err(ProtocolError::LengthTooLong),
                },
                State::Bulk { left, len } => {
                    let end = self.at + len;
                    if bytes.len() < end + 2 {
                        return Ok(None);
                    }
                    self.places.push(self.at..end);
                    self.go_on(end + 2, State::Length { left: left - 1 });
                }
            }
        }
    }

    /// How many arguments the request has that is understood.
    pub(crate) fn arguments(&self) -> usize {
        self.places.len()
    }

    /// The arguments of the request that is understood, whose bytes these are.
    pub(crate) fn args<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let bytes = if self.is_line { &self.unquoted } else { bytes };
        self.places.iter().map(|place| &bytes[place.clone()])
    }

    /// Begins with the next request.
    pub(crate) fn forget(&mut self) {
        self.places.clear();
        self.places.shrink_to(PLACES_KEPT);
        self.unquoted = Vec::new();
        self.is_line = false;
        self.go_on(0, State::Begins);
    }

    fn go_on(&mut self, at: usize, state: State) {
        (self.at, self.seen, self.state) = (at, at, state);
    }

    /// The end of the line that begins where the parser is. Behind a zero byte Redis does not see the end of a first line.
    fn line(&mut self, bytes: &[u8], last: u8, zero_hides: bool) -> Line {
        let is_last = |&byte: &u8| byte == last || (zero_hides && byte == 0);
        let end = match bytes[self.seen..].iter().position(is_last) {
            Some(more) => self.seen + more,
            None => bytes.len(),
        };
        self.seen = end;
        // Not by what has come, but by what would be the line: cut anywhere, it is refused or not.
        let hidden = bytes.get(end).is_some_and(|&byte| byte != last);
        let len = if hidden { bytes.len() - self.at } else { end - self.at };
        match bytes.get(end) {
            _ if len > LINE_BYTES_MAX => Line::TooLong,
            // The byte after it belongs to its end.
            Some(_) if !hidden && (last == b'\n' || bytes.len() > end + 1) => Line::Until(end),
            _ => Line::Open,
        }
    }

    /// The first line of an array of bulk strings.
    fn count(&mut self, digits: &[u8], end: usize, limits: &Limits) -> Result<(), ProtocolError> {
        let count = number(digits).ok_or(ProtocolError::Count)?;
        let left = usize::try_from(count.max(0)).map_err(|_| ProtocolError::Count)?;
        if left > limits.arguments {
            return Err(ProtocolError::Count);
        }
        if left > STRANGERS_ARGUMENTS_MAX && limits.stranger {
            return Err(ProtocolError::StrangersCount);
        }
        self.go_on(end + 2, State::Length { left });
        Ok(())
    }

    /// The line before an argument.
    fn length(&mut self, line: &[u8], end: usize, left: usize, limits: &Limits) -> Result<(), ProtocolError> {
        let Some((b'$', digits)) = line.split_first() else {
            return Err(ProtocolError::NoBulk(line.first().copied().unwrap_or(b'\r')));
        };
        let len = number(digits).and_then(|len| usize::try_from(len).ok()).ok_or(ProtocolError::Length)?;
        let room = limits.request_bytes.saturating_sub(end + 4).min(limits.bulk_bytes);
        if len > room {
            return Err(ProtocolError::Length);
        }
        if len > STRANGERS_BULK_BYTES_MAX && limits.stranger {
            return Err(ProtocolError::StrangersLength);
        }
        self.go_on(end + 2, State::Bulk { left, len });
        Ok(())
    }

    /// A request that is a line, which ends before `len`.
    fn split(&mut self, line: &[u8], len: usize) -> Result<(), ProtocolError> {
        self.is_line = true;
        let mut rest = line;
        loop {
            rest = rest.trim_ascii_start();
            // What `trim_ascii_start` takes for no blank, and Redis does.
            if let [b'\x0b', after @ ..] = rest {
                rest = after;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            let begin = self.unquoted.len();
            rest = word(rest, &mut self.unquoted).ok_or(ProtocolError::Quotes)?;
            self.places.push(begin..self.unquoted.len());
        }
        self.go_on(len, State::Done(len));
        Ok(())
    }
}

/// Where a line ends.
enum Line {
    /// Before this.
    Until(usize),
    /// That has not come yet.
    Open,
    TooLong,
}

/// The first word of `rest` without its quotes, put behind `unquoted`; what follows it. `None` if a quote is not closed, or
/// something follows on one that is.
fn word<'a>(mut rest: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [b' ' | b'\t' | b'\r' | b'\n' | 0, after @ ..] => return Some(after),
            [b'"', after @ ..] => return double_quoted(after, unquoted).filter(ends_word),
            [b'\'', after @ ..] => return single_quoted(after, unquoted).filter(ends_word),
            [byte, after @ ..] => {
                unquoted.push(*byte);
                rest = after;
            }
        }
    }
}

fn ends_word(rest: &&[u8]) -> bool {
    rest.first().is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'\x0b' | 0))
}

fn double_quoted<'a>(mut rest: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescaped(*escaped), after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        unquoted.push(byte);
        rest = after;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        unquoted.push(byte);
        rest = after;
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        byte => byte,
    }
}

/// A number as Redis writes it: no blanks, no `+`, no zeros before it.
fn number(digits: &[u8]) -> Option<i64> {
    let plain = match digits {
        [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => std::str::from_utf8(digits).ok()?,
        _ => return None,
    };
    plain.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { arguments: 1000, bulk_bytes: 100_000, request_bytes: 200_000, stranger: false };

    type Requests = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

    /// All requests in `bytes`, which come in pieces that end at `cuts`.
    fn parse(bytes: &[u8], cuts: &[usize], limits: &Limits) -> Requests {
        let (mut parser, mut begin, mut requests) = (Parser::default(), 0, Vec::new());
        for &cut in cuts.iter().chain([&bytes.len()]) {
            loop {
                match parser.parse(&bytes[begin..cut.max(begin)], limits) {
                    Ok(None) => break,
                    Ok(Some(len)) => {
                        requests.push(parser.args(&bytes[begin..]).map(<[u8]>::to_vec).collect());
                        parser.forget();
                        begin += len;
                    }
                    Err(error) => return (requests, Some(error)),
                }
            }
        }
        (requests, None)
    }

    fn words(bytes: &[u8]) -> Result<Vec<String>, String> {
        let (mut requests, error) = parse(bytes, &[], &LIMITS);
        match error {
            Some(error) => Err(error.to_string()),
            None => Ok(requests.remove(0).iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()),
        }
    }

    fn refused(bytes: &[u8]) -> String {
        words(bytes).expect_err("it is no request")
    }

    #[test]
    fn an_array_of_bulk_strings_is_a_request_whatever_is_in_them() {
        assert_eq!(words(b"*2\r\n$4\r\nXLEN\r\n$4\r\na\r\nb\r\n").unwrap(), ["XLEN", "a\r\nb"]);
        assert_eq!(words(b"*1\r\n$0\r\n\r\n").unwrap(), [""]);
        for nothing in [&b"*0\r\n"[..], b"*-1\r\n", b"*-2147483648\r\n", b"\r\n", b"\n", b"  \t \r\n"] {
            assert_eq!(words(nothing).unwrap(), [""; 0]);
        }
    }

    #[test]
    fn a_line_is_split_as_redis_splits_it() {
        let cases: [(&[u8], &[&str]); 9] = [
            (b"PING\r\n", &["PING"]),
            (b"  XLEN\torders \n", &["XLEN", "orders"]),
            (b"a \"b c\" 'd e'\r\n", &["a", "b c", "d e"]),
            (b"\"\\x41\\n\\\"\\q\\x4\" '\\'\\n'\n", &["A\n\"qx4", "'\\n"]),
            (b"\"\" ''\n", &["", ""]),
            (b"a\"b c\" x\n", &["ab c", "x"]),
            (b"a\x0bb \x0b\x0c c\n", &["a\u{b}b", "c"]),
            (b"\"a\"\x0bb\n", &["a", "b"]),
            (b"a\rb\n", &["a", "b"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), expected, "{}", line.escape_ascii());
        }
        for line in [&b"\"a\n"[..], b"'a\n", b"\"a\"b\n", b"'a'b\n", b"\"a\\\"\n", b"a\"b\"'c'\n"] {
            assert_eq!(refused(line), "unbalanced quotes in request", "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_text_of_redis() {
        let long = vec![b'1'; LINE_BYTES_MAX];
        let cases: [(&[u8], &str); 19] = [
            (b"*x\r\n", "invalid multibulk length"),
            (b"*\r\n", "invalid multibulk length"),
            (b"*+1\r\n", "invalid multibulk length"),
            (b"*01\r\n", "invalid multibulk length"),
            (b"*-0\r\n", "invalid multibulk length"),
            (b"* 1\r\n", "invalid multibulk length"),
            (b"*1001\r\n", "invalid multibulk length"),
            (b"*3000000000\r\n", "invalid multibulk length"),
            (b"*99999999999999999999\r\n", "invalid multibulk length"),
            (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
            (b"*1\r\n\r\n", "expected '$', got ' '"),
            (b"*1\r\n\n\r\n", "expected '$', got ' '"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$x\r\n", "invalid bulk length"),
            (b"*1\r\n$100001\r\n", "invalid bulk length"),
            (b"*1\r\n$2000000000\r\n", "invalid bulk length"),
            (&[b"*", &long[..]].concat(), "too big mbulk count string"),
            (&[b"*1\r\n$", &long[..]].concat(), "too big bulk count string"),
            (&[b"P", &long[..]].concat(), "too big inline request"),
        ];
        for (bytes, text) in cases {
            assert_eq!(refused(bytes), text, "{}", bytes[..bytes.len().min(40)].escape_ascii());
        }
    }

    #[test]
    fn a_zero_byte_hides_the_end_of_a_first_line_and_of_no_other() {
        let long = vec![b'a'; LINE_BYTES_MAX];
        assert_eq!(refused(&[b"\0\n", &long[..]].concat()), "too big inline request");
        assert_eq!(refused(&[b"*\0\r\n", &long[..]].concat()), "too big mbulk count string");
        assert_eq!(parse(b"PING\0\r\n", &[], &LIMITS), (Vec::new(), None));
        assert_eq!(refused(b"*1\r\n$\x001\r\n"), "invalid bulk length");
    }

    #[test]
    fn a_request_has_a_limit_in_all() {
        let bulk = |len: usize| [format!("${len}\r\n").as_bytes(), &vec![b'x'; len], b"\r\n"].concat();
        let limits = Limits { request_bytes: 50, ..LIMITS };
        let fits = [b"*2\r\n".to_vec(), bulk(16), bulk(16)].concat();
        assert_eq!(fits.len(), 50);
        assert_eq!(parse(&fits, &[], &limits).1, None);
        let over = [b"*2\r\n".to_vec(), bulk(16), bulk(17)].concat();
        assert_eq!(parse(&over, &[], &limits).1, Some(ProtocolError::Length));
    }

    #[test]
    fn a_stranger_is_believed_less() {
        let stranger = Limits { stranger: true, ..LIMITS };
        assert_eq!(parse(b"*11\r\n", &[], &stranger).1, Some(ProtocolError::StrangersCount));
        assert_eq!(parse(b"*10\r\n$16384\r\n", &[], &stranger).1, None);
        assert_eq!(parse(b"*10\r\n$16385\r\n", &[], &stranger).1, Some(ProtocolError::StrangersLength));
        assert_eq!(parse(b"*11\r\n$16385\r\n", &[], &LIMITS).1, None);
    }

    #[test]
    fn a_promise_costs_nothing() {
        let limits = Limits { arguments: 1 << 20, bulk_bytes: 512 << 20, request_bytes: 1 << 30, stranger: false };
        let mut parser = Parser::default();
        assert_eq!(parser.parse(b"*1048576\r\n$536870912\r\nabc", &limits), Ok(None));
        assert_eq!(parser.places.capacity() + parser.unquoted.capacity(), 0);
    }

    /// Pieces of requests, so that most of what is put together of them is nearly one.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let known = [
            "*1\r\n",
            "*2\r\n",
            "*0\r\n",
            "*-1\r\n",
            "$0\r\n\r\n",
            "$1\r\nx\r\n",
            "$3\r\n",
            "$",
            "*",
            "\r\n",
            "\n",
            "\r",
            "a b",
            "\"",
            "'",
            "\\x41",
            "$4\r\nPING\r\n",
            "PING\r\n",
            "\0",
            " ",
            "12",
        ];
        prop_oneof![
            8 => prop::sample::select(known.map(|text| text.as_bytes().to_vec()).to_vec()),
            1 => vec(any::<u8>(), 0..6),
        ]
    }

    proptest! {
        #[test]
        fn bytes_are_the_same_requests_however_they_are_cut(
            pieces in vec(piece(), 0..24),
            cuts in vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = pieces.concat();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let whole = parse(&bytes, &[], &LIMITS);
            prop_assert_eq!(&parse(&bytes, &cuts, &LIMITS), &whole);
            let each: Vec<_> = (0..bytes.len()).collect();
            prop_assert_eq!(&parse(&bytes, &each, &LIMITS), &whole);
        }

        #[test]
        fn what_is_written_as_a_request_is_read_as_it_was(requests in vec(vec(vec(any::<u8>(), 0..20), 1..5), 1..4)) {
            let mut bytes = Vec::new();
            for args in &requests {
                bytes.extend(format!("*{}\r\n", args.len()).as_bytes());
                for arg in args {
                    bytes.extend(format!("${}\r\n", arg.len()).as_bytes());
                    bytes.extend([arg, &b"\r\n"[..]].concat());
                }
            }
            prop_assert_eq!(parse(&bytes, &[], &LIMITS), (requests, None));
        }
    }
}
