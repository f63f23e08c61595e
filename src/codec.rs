//! How records and redb values become bytes: the one module that knows bincode.
//!
//! ```text
//! record change   | version u8 | bincode |                    inside a journal frame, whose checksum covers it
//! redb value      | crc u32 LE | version u8 | bincode |       redb does not verify its pages when it reads
//! ```
//!
//! The version says how the bytes after it are laid out. Serde's `default` and `skip_serializing_if` do not work in
//! bincode: a change of layout is a new version, and the old one stays readable. Decoding never allocates more than
//! the input's own length suggests, and must consume every byte.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

/// No decoded value may claim more than this many bytes: a corrupt length must not abort on allocation.
const LIMIT: usize = 1 << 30;

const CONFIG: Configuration<LittleEndian, Varint, Limit<LIMIT>> = bincode::config::standard().with_limit::<LIMIT>();

const CRC_LEN: usize = 4;

/// Why bytes did not decode.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// A later version of this crate wrote it, or these are no bytes of ours.
    #[error("version {0} is not known")]
    Version(u8),
    #[error("the checksum does not match")]
    Checksum,
    #[error("{0}")]
    Layout(#[from] bincode::error::DecodeError),
    #[error("{0} bytes are left over")]
    Trailing(usize),
    #[error("it ends too early")]
    Truncated,
}

/// Appends `version` and `value` to `out`.
pub(crate) fn encode<T: Serialize>(version: u8, value: &T, out: &mut Vec<u8>) {
    out.push(version);
    bincode::serde::encode_into_std_write(value, out, CONFIG).expect("a Vec takes every write, and our types encode");
}

/// Decodes what [`encode`] wrote, if it is of `version`.
pub(crate) fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let (&found, bytes) = bytes.split_first().ok_or(CodecError::Truncated)?;
    if found != version {
        return Err(CodecError::Version(found));
    }
    let (value, used) = bincode::serde::decode_from_slice(bytes, CONFIG)?;
    if used < bytes.len() {
        return Err(CodecError::Trailing(bytes.len() - used));
    }
    Ok(value)
}

/// `value` as a redb value: [`encode`]d behind a checksum.
pub(crate) fn seal<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    let mut out = vec![0; CRC_LEN];
    encode(version, value, &mut out);
    let crc = crc32fast::hash(&out[CRC_LEN..]);
    out[..CRC_LEN].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Decodes what [`seal`] wrote.
pub(crate) fn unseal<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let (crc, rest) = bytes.split_first_chunk::<CRC_LEN>().ok_or(CodecError::Truncated)?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*crc) {
        return Err(CodecError::Checksum);
    }
    decode(version, rest)
}

/// Appends a LEB128 number.
#[inline]
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a LEB128 number off the front of `bytes`; `None` if there is none.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all of them.
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        *bytes = rest;
        return Some(u64::from(first));
    }
    take_long_varint(bytes)
}

fn take_long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Bytes in hexadecimal digits.
#[cfg(any(test, feature = "resp"))]
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).expect("half a byte is one digit")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_whole_and_of_its_version() {
        let sealed = seal(3, &("orders", 7u64));
        assert_eq!(unseal::<(String, u64)>(3, &sealed).unwrap(), ("orders".to_owned(), 7));
        assert!(matches!(unseal::<(String, u64)>(4, &sealed), Err(CodecError::Version(3))));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(unseal::<(String, u64)>(3, &bad), Err(CodecError::Checksum)), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(unseal::<(String, u64)>(3, &sealed[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn bytes_left_over_are_an_error() {
        let mut bytes = Vec::new();
        encode(1, &5u64, &mut bytes);
        bytes.push(0);
        assert!(matches!(decode::<u64>(1, &bytes), Err(CodecError::Trailing(1))));
    }

    #[test]
    fn a_corrupt_length_allocates_nothing() {
        let bytes = [1, 253, 255, 255, 255, 255, 255, 255, 255, 127];
        assert!(matches!(decode::<Vec<u8>>(1, &bytes), Err(CodecError::Layout(_))));
    }

    #[test]
    fn varints_come_back_and_overlong_ones_do_not() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut rest = &bytes[..];
            assert_eq!(take_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
        assert_eq!(take_varint(&mut &[0x80; 11][..]), None);
        assert_eq!(take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
        assert_eq!(take_varint(&mut &[0x80][..]), None);
    }
}
