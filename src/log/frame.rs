//! The frame: the bytes of one entry in a segment, or of one record in the journal. Pure: no files, no clock, no policy.
//!
//! ```text
//! offset   0       4       8         24       25            25 + len
//!          |  crc  |  len  |   key   |  flags |  body ...   |        little-endian, key big-endian
//! ```
//!
//! `crc` covers every later byte of the frame, `len` included, and starts from the file's [`Salt`]: a flipped length
//! cannot pass for a shorter frame, nor a frame of another file, or zeros, for a frame.
//! What a bad frame *means* is decided by who reads: in a segment it is damage, at the journal's end perhaps a torn tail.

use crate::options::RECORD_BYTES_MAX;

pub(crate) const HEADER_LEN: usize = CRC_LEN + 4 + KEY_LEN + 1;
/// The largest body: a record, and room for what the journal puts around it.
pub(crate) const BODY_LEN_MAX: usize = RECORD_BYTES_MAX + (64 << 20);

const CRC_LEN: usize = 4;
const KEY_LEN: usize = 16;

/// What the checksums of one file start from. Made from the file's random identity.
#[derive(Debug, Clone)]
pub(crate) struct Salt {
    /// Ready to go on from there: it has found out what the processor can do.
    hasher: crc32fast::Hasher,
}

impl Salt {
    /// The salt of a file with this identity.
    pub(crate) fn new(identity: &[u8]) -> Salt {
        Salt { hasher: crc32fast::Hasher::new_with_initial(crc32fast::hash(identity)) }
    }

    fn crc(&self, bytes: &[u8]) -> u32 {
        let mut hasher = self.hasher.clone();
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// A decoded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) key: [u8; KEY_LEN],
    pub(crate) flags: u8,
    pub(crate) body: &'a [u8],
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the bytes end inside the frame")]
    Truncated,
    #[error("the checksum does not match")]
    Checksum,
}

impl<'a> Frame<'a> {
    /// Decodes the frame at the start of `bytes`; returns it and the bytes after it.
    pub(crate) fn decode(bytes: &'a [u8], salt: &Salt) -> Result<(Frame<'a>, &'a [u8]), FrameError> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(FrameError::Truncated)?;
        let len = body_len(header);
        // Before the checksum: a damaged length must not make a reader wait for 4 GiB.
        if len > BODY_LEN_MAX {
            return Err(FrameError::Checksum);
        }
        let (frame, rest) = bytes.split_at_checked(HEADER_LEN + len).ok_or(FrameError::Truncated)?;
        if salt.crc(&frame[CRC_LEN..]) != u32::from_le_bytes(array(&header[..CRC_LEN])) {
            return Err(FrameError::Checksum);
        }
        Ok((Frame { key: key(header), flags: header[HEADER_LEN - 1], body: &frame[HEADER_LEN..] }, rest))
    }
}

/// Begins a frame at the end of `out`; the body follows, then [`finish`] with what this returns.
pub(crate) fn begin(key: [u8; KEY_LEN], flags: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let mut header = [0; HEADER_LEN];
    header[8..24].copy_from_slice(&key);
    header[24] = flags;
    out.extend_from_slice(&header);
    start
}

/// Ends the frame begun at `start` where `out` ends, without its checksum: [`checksum`] adds that.
pub(crate) fn close(start: usize, out: &mut [u8]) {
    let len = out.len() - start - HEADER_LEN;
    debug_assert!(len <= BODY_LEN_MAX, "limits are checked before a frame is begun");
    out[start + 4..start + 8].copy_from_slice(&(len as u32).to_le_bytes());
}

/// Writes the checksum of the whole frame `frame`.
pub(crate) fn checksum(salt: &Salt, frame: &mut [u8]) {
    let crc = salt.crc(&frame[CRC_LEN..]);
    frame[..CRC_LEN].copy_from_slice(&crc.to_le_bytes());
}

/// Ends the frame begun at `start` where `out` ends.
pub(crate) fn finish(salt: &Salt, start: usize, out: &mut [u8]) {
    close(start, out);
    checksum(salt, &mut out[start..]);
}

/// Appends a whole frame.
pub(crate) fn encode(salt: &Salt, frame: Frame<'_>, out: &mut Vec<u8>) {
    let start = begin(frame.key, frame.flags, out);
    out.extend_from_slice(frame.body);
    finish(salt, start, out);
}

/// The length that a frame's header claims for its body, which may be anything if the header is damaged.
pub(crate) fn body_len(header: &[u8; HEADER_LEN]) -> usize {
    u32::from_le_bytes(array(&header[4..8])) as usize
}

/// The key that a frame's header claims.
pub(crate) fn key(header: &[u8; HEADER_LEN]) -> [u8; KEY_LEN] {
    array(&header[8..24])
}

fn array<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    bytes.try_into().expect("the slice was cut to this length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(salt: &Salt) -> Vec<u8> {
        let mut out = Vec::new();
        encode(salt, Frame { key: [7; 16], flags: 2, body: b"hello" }, &mut out);
        out
    }

    #[test]
    fn the_layout_of_a_frame_is_pinned() {
        let bytes = sample(&Salt::new(b"identity"));
        assert_eq!(bytes[4..8], [5, 0, 0, 0]);
        assert_eq!(bytes[8..24], [7; 16]);
        assert_eq!(bytes[24], 2);
        assert_eq!(&bytes[25..], b"hello");
        assert_eq!(bytes[..4], [0x45, 0x51, 0x8e, 0x70]);
    }

    #[test]
    fn no_flipped_bit_no_cut_and_no_other_files_frame_passes() {
        let salt = Salt::new(b"identity");
        let bytes = sample(&salt);
        let (frame, rest) = Frame::decode(&bytes, &salt).unwrap();
        assert_eq!((frame.body, rest), (&b"hello"[..], &b""[..]));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&bad, &salt).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Frame::decode(&bytes[..len], &salt), Err(FrameError::Truncated), "{len} bytes");
        }
        assert_eq!(Frame::decode(&bytes, &Salt::new(b"another")), Err(FrameError::Checksum));
        assert!(Frame::decode(&[0; 100], &salt).is_err());
    }
}
