//! The head of every file of ours but redb's: what it is, and the identity that salts its frames.
//!
//! ```text
//! | magic 8 | frame: key = identity, body = codec of the kind's own header |
//! ```
//!
//! The header's frame is salted by the magic, all later frames by the identity, which is random for each file.

use serde::{Serialize, de::DeserializeOwned};

use super::frame::{self, Frame, HEADER_LEN, Salt};
use crate::codec;
use crate::error::{Error, ErrorKind, Result};

pub(crate) type Identity = [u8; 16];
pub(crate) type Magic = [u8; 8];

const MAGIC_LEN: usize = 8;
/// The last bytes of a magic are its version.
const MAGIC_NAME_LEN: usize = 6;
/// The header's bytes.
pub(crate) fn encode<T: Serialize>(magic: Magic, identity: Identity, version: u8, header: &T) -> Vec<u8> {
    let mut out = magic.to_vec();
    let start = frame::begin(identity, 0, &mut out);
    codec::encode(version, header, &mut out);
    frame::finish(&Salt::new(&magic), start, &mut out);
    out
}

/// Decodes the header of `file`: its identity, itself, and its length in bytes.
///
/// # Errors
///
/// `NewerFormat` if the magic is ours with a later version, otherwise `Corrupt`.
pub(crate) fn decode<T: DeserializeOwned>(
    file: &str,
    magic: Magic,
    version: u8,
    bytes: &[u8],
) -> Result<(Identity, T, usize)> {
    let found = bytes.get(..MAGIC_LEN).unwrap_or_default();
    if found != magic {
        let name = &magic[..MAGIC_NAME_LEN];
        return Err(if found.starts_with(name) && found[MAGIC_NAME_LEN..] > magic[MAGIC_NAME_LEN..] {
            Error::new(ErrorKind::NewerFormat, format!("a later version of streamlog wrote {file}"))
        } else {
            Error::corrupt(file, 0, "it does not begin as such a file does")
        });
    }
    let rest = &bytes[MAGIC_LEN..];
    let (frame, _) = Frame::decode(rest, &Salt::new(&magic)).map_err(|error| Error::corrupt(file, 8, error))?;
    let header = codec::decode(version, frame.body).map_err(|error| Error::corrupt(file, 8, error))?;
    Ok((frame.key, header, MAGIC_LEN + HEADER_LEN + frame.body.len()))
}
