//! Replies as bytes, in either protocol. Pure: knows no socket and no command.
//!
//! ```text
//!              RESP2                      RESP3
//! Null         $-1                        _
//! NullArray    *-1                        _
//! Map          *2n name value …           %n name value …
//! Pairs        *n (*2 name value) …       %n name value …
//! Set          *n …                       ~n …
//! Text         $len text                  =len txt:text
//! ```

use super::session::Protocol;
use crate::command::Reply;

/// Puts a reply behind `bytes`.
pub(crate) fn reply(bytes: &mut Vec<u8>, protocol: Protocol, reply: &Reply) {
    let is_3 = protocol == Protocol::Resp3;
    match reply {
        Reply::Status(word) => {
            bytes.push(b'+');
            bytes.extend_from_slice(word.as_bytes());
            end(bytes);
        }
        Reply::Int(number) => {
            bytes.push(b':');
            put_int(bytes, *number);
            end(bytes);
        }
        Reply::Bulk(text) => bulk(bytes, text),
        Reply::Null | Reply::NullArray if is_3 => bytes.extend_from_slice(b"_\r\n"),
        Reply::Null => bytes.extend_from_slice(b"$-1\r\n"),
        Reply::NullArray => bytes.extend_from_slice(b"*-1\r\n"),
        Reply::Array(replies) => several(bytes, protocol, b'*', replies),
        Reply::Set(replies) => several(bytes, protocol, if is_3 { b'~' } else { b'*' }, replies),
        Reply::Map(pairs) => {
            if is_3 {
                head(bytes, b'%', pairs.len());
            } else {
                head(bytes, b'*', pairs.len() * 2);
            }
            for (name, value) in pairs {
                self::reply(bytes, protocol, name);
                self::reply(bytes, protocol, value);
            }
        }
        Reply::Pairs(pairs) => {
            head(bytes, if is_3 { b'%' } else { b'*' }, pairs.len());
            for (name, value) in pairs {
                if !is_3 {
                    head(bytes, b'*', 2);
                }
                self::reply(bytes, protocol, name);
                self::reply(bytes, protocol, value);
            }
        }
        Reply::Text(text) if is_3 => {
            head(bytes, b'=', text.len() + 4);
            bytes.extend_from_slice(b"txt:");
            bytes.extend_from_slice(text.as_bytes());
            end(bytes);
        }
        Reply::Text(text) => bulk(bytes, text.as_bytes()),
        Reply::Error(text) => error(bytes, text.as_bytes()),
    }
}

/// Puts the beginning of an array of so many replies behind `bytes`: they are to follow.
pub(crate) fn array(bytes: &mut Vec<u8>, len: usize) {
    head(bytes, b'*', len);
}

/// An error: one line, whatever is repeated in it.
pub(crate) fn error(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.push(b'-');
    let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let first = text.iter().position(|byte| !ends(byte)).unwrap_or(text.len());
    let last = text.iter().rposition(|byte| !ends(byte)).map_or(first, |last| last + 1);
    bytes.extend(text[first..last].iter().map(|byte| if ends(byte) { b' ' } else { *byte }));
    end(bytes);
}

fn several(bytes: &mut Vec<u8>, protocol: Protocol, kind: u8, replies: &[Reply]) {
    head(bytes, kind, replies.len());
    for one in replies {
        reply(bytes, protocol, one);
    }
}

fn bulk(bytes: &mut Vec<u8>, text: &[u8]) {
    head(bytes, b'$', text.len());
    bytes.extend_from_slice(text);
    end(bytes);
}

fn head(bytes: &mut Vec<u8>, kind: u8, len: usize) {
    bytes.push(kind);
    put_digits(bytes, len as u64);
    end(bytes);
}

fn end(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"\r\n");
}

fn put_int(bytes: &mut Vec<u8>, number: i64) {
    if number < 0 {
        bytes.push(b'-');
    }
    put_digits(bytes, number.unsigned_abs());
}

/// `write!` takes several times as long, and every argument has a length.
fn put_digits(bytes: &mut Vec<u8>, mut number: u64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break bytes.extend_from_slice(&digits[first..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(protocol: Protocol, reply: &Reply) -> String {
        let mut bytes = Vec::new();
        super::reply(&mut bytes, protocol, reply);
        String::from_utf8(bytes).expect("the cases are text").replace("\r\n", " ")
    }

    #[test]
    fn each_shape_is_written_as_its_protocol_writes_it() {
        let pair = || vec![(Reply::bulk("a"), Reply::Int(1))];
        let cases = [
            (Reply::OK, "+OK ", "+OK "),
            (Reply::Int(i64::MIN), ":-9223372036854775808 ", ":-9223372036854775808 "),
            (Reply::Int(0), ":0 ", ":0 "),
            (Reply::bulk(""), "$0  ", "$0  "),
            (Reply::bulk("ab"), "$2 ab ", "$2 ab "),
            (Reply::Null, "$-1 ", "_ "),
            (Reply::NullArray, "*-1 ", "_ "),
            (Reply::Array(vec![]), "*0 ", "*0 "),
            (Reply::Array(vec![Reply::Int(10), Reply::Null]), "*2 :10 $-1 ", "*2 :10 _ "),
            (Reply::Map(pair()), "*2 $1 a :1 ", "%1 $1 a :1 "),
            (Reply::Pairs(pair()), "*1 *2 $1 a :1 ", "%1 $1 a :1 "),
            (Reply::Set(vec![Reply::OK]), "*1 +OK ", "~1 +OK "),
            (Reply::Text("x y".to_owned()), "$3 x y ", "=7 txt:x y "),
            (Reply::Error("ERR a\r\nb\n".to_owned()), "-ERR a  b ", "-ERR a  b "),
            (Reply::Error("\r\n".to_owned()), "- ", "- "),
        ];
        for (reply, resp2, resp3) in cases {
            assert_eq!(encoded(Protocol::Resp2, &reply), resp2);
            assert_eq!(encoded(Protocol::Resp3, &reply), resp3);
        }
    }
}
