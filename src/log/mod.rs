//! The entries of one stream: a tail in memory, segments on disk behind it.
//!
//! ```text
//! streams/<number>/<first id>.log      | header | frame … | footer |      sealed
//!                                      | header | frame … |               the last one, still growing
//! streams/<number>/<first id>.log      | header |                         a hollow one: all its entries were deleted
//! tail                                   frames not yet in a segment, in memory
//! ```
//!
//! An entry has an ID and an **ordinal**: how many entries the stream got before it. Ordinals count trimmed and
//! deleted entries too, so they never change, and the distance of two entries is a subtraction.
//!
//! The log does not know of streams' names, groups, deletions, or what may be seen: it holds every entry from the
//! first it was not told to forget.

pub(crate) mod block;
pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod salvage;
pub(crate) mod segment;
pub(crate) mod stream_log;
pub(crate) mod survey;
pub(crate) mod tail;
pub(crate) mod writer;

pub(crate) use block::{Block, BlockCache};
pub(crate) use files::SegmentFiles;
pub(crate) use segment::{Position, Segment};
pub(crate) use stream_log::{Lookup, Page, StreamLog};
pub(crate) use writer::SegmentWriter;
