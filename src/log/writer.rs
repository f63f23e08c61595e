//! Writes the tail to segments: continues the last one, seals it when it is full or old, and begins the next.
//!
//! What it wrote stays open until somebody must know that it is durable, and is synced then; at once only where too many
//! files wait already.

use std::sync::Arc;

use super::files::{STREAMS, SegmentFiles, Unsynced, stream_dir};
use super::frame::{self, Salt};
use super::header::{self, Identity};
use super::index::Index;
use super::segment::{FOOTER, FOOTER_VERSION, Footer, HEADER_VERSION, MAGIC, Position, Segment, SegmentHeader};
use super::tail::Chunk;
use crate::codec;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::storage::File;
use crate::sync::PoisonError;

/// Writes are gathered to about this size: what a core's cache holds.
const WRITE_BYTES: usize = 256 << 10;

/// When a segment is sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roll {
    pub(crate) bytes: u64,
    pub(crate) age_ms: u64,
}

/// Whose segments these are.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) directory: Identity,
    pub(crate) stream: u64,
    pub(crate) incarnation: u64,
    /// A hint: what the stream was named when a segment was begun.
    pub(crate) name: Arc<str>,
}

/// The writer of one stream's segments. Only one flush of a stream runs at a time.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    owner: Owner,
    /// Written and not yet synced.
    unsynced: Vec<Unsynced>,
    unsynced_names: bool,
    /// Whether the directory is there, and what a crash may have left past the last position was cut.
    prepared: bool,
}

impl SegmentWriter {
    /// The writer of a stream whose directory may exist, with files longer than their positions say.
    pub(crate) fn new(owner: Owner) -> SegmentWriter {
        SegmentWriter { owner, unsynced: Vec::new(), unsynced_names: false, prepared: false }
    }

    /// Writes the entries of `chunk` from ordinal `from` on behind `last`, the stream's last segment. Returns the
    /// segments it changed or made, in order.
    ///
    /// # Errors
    ///
    /// What the system says. If it was for want of room the same call can be made again: it writes the same bytes to the
    /// same places.
    pub(crate) fn write(
        &mut self,
        files: &SegmentFiles,
        last: Option<&Segment>,
        chunk: &Chunk,
        from: u64,
        roll: Roll,
        now_ms: u64,
    ) -> Result<Vec<Segment>> {
        self.prepare(files, last)?;
        let mut written = Vec::new();
        let mut current = match last {
            Some(segment) if !segment.position.sealed && segment.position.next_ordinal == from => {
                let file = files.open(segment.stream, segment.position.first_id)?;
                segment.load_index(&*file)?;
                // What a flush that failed noted is written again.
                let mut index = segment.index.write().unwrap_or_else(PoisonError::into_inner);
                index.iter_mut().for_each(|index| index.cut_back(segment.position.end));
                drop(index);
                Some(Open::new(segment.clone(), file))
            }
            _ => None,
        };
        let mut predecessor = last.map(|segment| segment.position.first_id);
        let mut begun = Vec::new();
        let mut fill = || {
            for ordinal in from..chunk.next_ordinal() {
                let (id, frame) = chunk.frame(ordinal);
                if let Some(open) = current.take_if(|open| open.is_full(roll, now_ms)) {
                    predecessor = Some(open.segment.position.first_id);
                    written.push(self.seal(files, open)?);
                }
                let open = match &mut current {
                    Some(open) => open,
                    None => {
                        let open = self.begin(files, predecessor, id, ordinal, chunk, now_ms)?;
                        begun.push((id, Arc::clone(&open.file)));
                        current.insert(open)
                    }
                };
                open.push(id, ordinal, frame)?;
            }
            current.as_mut().map_or(Ok(()), Open::write_out)
        };
        let mut done = fill();
        if let Some(open) = current {
            // Also after a failure: whoever syncs must be told of a write that failed.
            done = self.keep(files, &open.file).and(done);
            written.push(open.segment);
        }
        if done.as_ref().is_err_and(Error::is_for_want_of_room) {
            self.take_back(files, &begun);
        }
        done.map(|()| written)
    }

    /// Removes segments that were begun in vain: they take up the room that is missing, and after a trim the next try may
    /// begin others, so that nothing would ever name these.
    fn take_back(&mut self, files: &SegmentFiles, begun: &[(Id, Arc<dyn File>)]) {
        self.unsynced.retain(|kept| !begun.iter().any(|(_, file)| Arc::ptr_eq(kept.file(), file)));
        for &(first_id, _) in begun {
            if let Err(error) = files.remove(self.owner.stream, first_id) {
                tracing::warn!(%error, "half a segment is left until it is written again");
            }
        }
    }

    /// What segments begun from now on say that their stream is named.
    pub(crate) fn set_name(&mut self, name: &Arc<str>) {
        self.owner.name = Arc::clone(name);
    }

    /// Takes what was written and is to be made durable: by the caller, so that writing goes on meanwhile.
    pub(crate) fn take_unsynced(&mut self) -> Written {
        let files = std::mem::take(&mut self.unsynced);
        Written { stream: self.owner.stream, files, names: std::mem::take(&mut self.unsynced_names) }
    }

    /// Takes back what could not be made durable for want of room.
    pub(crate) fn put_back(&mut self, mut written: Written) {
        self.unsynced.append(&mut written.files);
        self.unsynced_names |= written.names;
    }

    fn sync(&mut self, files: &SegmentFiles) -> Result<()> {
        let mut written = self.take_unsynced();
        written.sync(files).inspect_err(|_| self.put_back(written))
    }

    /// Closes the files that wait to be synced: the stream is deleted.
    pub(crate) fn forget(&mut self) {
        self.unsynced.clear();
        self.unsynced_names = false;
    }

    /// Once after opening: makes the directory, or cuts the last segment to its position, for a crash came before the
    /// checkpoint that would have recorded what was written since, and those entries are in the tail again.
    ///
    /// Nothing is removed here: redb may name segments that a record replayed since has dropped.
    fn prepare(&mut self, files: &SegmentFiles, last: Option<&Segment>) -> Result<()> {
        if self.prepared {
            return Ok(());
        }
        let dir = stream_dir(self.owner.stream);
        let doing = |error| Error::io(format_args!("preparing {dir}"), error);
        match last {
            None => {
                files.storage().create_dir(&dir).map_err(doing)?;
                // Even if it was there: a process that was killed may have made it, and not synced its name.
                files.sync_dir(STREAMS).map_err(|error| Error::sync(format_args!("preparing {dir}"), error))?;
            }
            Some(segment) if !segment.position.sealed => {
                let file = files.open(segment.stream, segment.position.first_id)?;
                let len = file.len().map_err(doing)?;
                if len < segment.position.end {
                    return Err(Error::corrupt(segment.path(), len, "the file ends too early"));
                }
                file.set_len(segment.position.end).map_err(doing)?;
                self.keep(files, &file)?;
            }
            Some(_) => {}
        }
        self.prepared = true;
        Ok(())
    }

    fn begin(
        &mut self,
        files: &SegmentFiles,
        predecessor: Option<Id>,
        first_id: Id,
        first_ordinal: u64,
        chunk: &Chunk,
        now_ms: u64,
    ) -> Result<Open> {
        let Owner { directory, stream, incarnation, .. } = self.owner;
        let name = self.owner.name.to_string();
        let base_bytes = chunk.bytes_before(first_ordinal);
        let created_ms = now_ms;
        let head = SegmentHeader {
            directory,
            stream,
            incarnation,
            name,
            predecessor,
            first_id,
            first_ordinal,
            base_bytes,
            created_ms,
        };
        let identity = files.storage().random();
        let bytes = header::encode(MAGIC, identity, HEADER_VERSION, &head);
        let file = files.create(stream, first_id)?;
        self.unsynced_names = true;
        let position = Position {
            identity,
            first_id,
            last_id: first_id,
            first_ordinal,
            next_ordinal: first_ordinal,
            base_bytes,
            begin: bytes.len() as u64,
            end: bytes.len() as u64,
            created_ms,
            sealed: false,
            hollow: false,
        };
        let segment = Segment::new(stream, position);
        *segment.index.write().unwrap_or_else(PoisonError::into_inner) = Some(Index::default());
        let mut open = Open::new(segment, file);
        open.pending.extend_from_slice(&bytes);
        open.pending_offset = 0;
        Ok(open)
    }

    fn seal(&mut self, files: &SegmentFiles, mut open: Open) -> Result<Segment> {
        let position = &mut open.segment.position;
        position.sealed = true;
        let index = open.segment.index.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        let footer = Footer {
            count: position.next_ordinal - position.first_ordinal,
            first_id: position.first_id,
            last_id: position.last_id,
            index,
        };
        let start = frame::begin(position.last_id.to_bytes(), FOOTER, &mut open.pending);
        codec::encode(FOOTER_VERSION, &footer, &mut open.pending);
        frame::finish(&open.salt, start, &mut open.pending);
        let written = open.write_out();
        self.keep(files, &open.file)?;
        written.map(|()| open.segment)
    }

    /// Holds a file that was written open until it is synced; syncs it and the others here if too many are held.
    fn keep(&mut self, files: &SegmentFiles, file: &Arc<dyn File>) -> Result<()> {
        if self.unsynced.iter().any(|kept| Arc::ptr_eq(kept.file(), file)) {
            return Ok(());
        }
        if let Some(unsynced) = files.hold(file) {
            self.unsynced.push(unsynced);
            return Ok(());
        }
        file.sync().map_err(|error| Error::sync("syncing a segment", error))?;
        self.sync(files)
    }
}

/// What was written and is not known to be durable.
#[derive(Debug)]
pub(crate) struct Written {
    stream: u64,
    files: Vec<Unsynced>,
    /// Whether there are new names in the stream's directory.
    names: bool,
}

impl Written {
    /// Makes all of it durable.
    ///
    /// # Errors
    ///
    /// What the system says: nothing is known then of what is durable, and writing must stop, unless it was for want of
    /// room, of files to be opened: then this is what is left to be done.
    pub(crate) fn sync(&mut self, files: &SegmentFiles) -> Result<()> {
        while let Some(unsynced) = self.files.last() {
            unsynced.file().sync().map_err(|error| Error::sync("syncing a segment", error))?;
            self.files.pop();
        }
        if self.names {
            let dir = stream_dir(self.stream);
            files.sync_dir(&dir).map_err(|error| Error::sync(format_args!("syncing {dir}"), error))?;
            self.names = false;
        }
        Ok(())
    }
}

/// A segment being written.
struct Open {
    segment: Segment,
    file: Arc<dyn File>,
    salt: Salt,
    /// Bytes to be written at `pending_offset`.
    pending: Vec<u8>,
    pending_offset: u64,
    /// The index is told of the first entry from here on: it is locked no oftener than that.
    next_block: u64,
}

impl Open {
    fn new(segment: Segment, file: Arc<dyn File>) -> Open {
        let (salt, pending_offset) = (segment.salt(), segment.position.end);
        Open { segment, file, salt, pending: Vec::with_capacity(WRITE_BYTES), pending_offset, next_block: 0 }
    }

    fn is_full(&self, roll: Roll, now_ms: u64) -> bool {
        let Position { first_ordinal, next_ordinal, begin, end, created_ms, .. } = self.segment.position;
        let old = now_ms.saturating_sub(created_ms) >= roll.age_ms;
        next_ordinal > first_ordinal && (end - begin >= roll.bytes || old)
    }

    fn push(&mut self, id: Id, ordinal: u64, frame: &[u8]) -> Result<()> {
        let start = self.pending.len();
        self.pending.extend_from_slice(frame);
        frame::checksum(&self.salt, &mut self.pending[start..]);
        let position = &mut self.segment.position;
        if position.end >= self.next_block
            && let Some(index) = &mut *self.segment.index.write().unwrap_or_else(PoisonError::into_inner)
        {
            index.note(id, ordinal, position.end);
            self.next_block = index.next_block();
        }
        position.end += frame.len() as u64;
        position.next_ordinal = ordinal + 1;
        position.last_id = id;
        if self.pending.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        self.file
            .write_at(&self.pending, self.pending_offset)
            .map_err(|error| Error::io(format_args!("writing {}", self.segment.path()), error))?;
        self.pending_offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::survey::read_header;
    use crate::storage::{Memory, Storage};

    const DIRECTORY: Identity = [0xd1; 16];

    fn writer() -> SegmentWriter {
        SegmentWriter::new(Owner { directory: DIRECTORY, stream: 7, incarnation: 3, name: "orders".into() })
    }

    fn files() -> SegmentFiles {
        let storage = Arc::new(Memory::default());
        storage.create_dir(STREAMS).unwrap();
        SegmentFiles::new(storage, 8)
    }

    fn id(ordinal: u64) -> Id {
        Id::new(ordinal + 1, 0)
    }

    /// Ten entries from `ordinal` on, behind `bytes` bytes of others.
    fn ten(ordinal: u64, bytes: u64) -> Chunk {
        let mut chunk = Chunk::starting_at(ordinal, bytes);
        (ordinal..ordinal + 10).for_each(|ordinal| chunk.push(id(ordinal), &[7; 75]));
        chunk
    }

    /// Frames of 100 bytes, and a segment is full with three of them.
    const ROLL: Roll = Roll { bytes: 300, age_ms: u64::MAX };

    /// Whoever has lost redb has this to go by.
    #[test]
    fn segments_say_what_they_hold_and_what_came_before_them() {
        let files = files();
        let mut writer = writer();
        let mut segments = writer.write(&files, None, &ten(0, 0), 0, ROLL, 1).unwrap();
        let last = segments.pop().unwrap();
        assert!(!last.position.sealed);
        segments.extend(writer.write(&files, Some(&last), &ten(10, 1000), 10, ROLL, 1).unwrap());
        let firsts: Vec<_> = segments.iter().map(|segment| segment.position.first_ordinal).collect();
        assert_eq!(firsts, [0, 3, 6, 9, 12, 15, 18]);
        let mut before = None;
        for Segment { position, .. } in &segments {
            let path = super::super::files::segment_path(7, position.first_id);
            let file = files.open(7, position.first_id).unwrap();
            let (head, begun) = read_header(&*file, &path, DIRECTORY).unwrap();
            assert_eq!((head.stream, head.incarnation, &*head.name), (7, 3, "orders"));
            assert_eq!(head.predecessor, before, "{path}");
            assert_eq!((head.first_ordinal, head.base_bytes), (position.first_ordinal, position.first_ordinal * 100));
            assert_eq!((begun.first_id, begun.begin), (id(position.first_ordinal), position.begin));
            before = Some(position.first_id);
            assert!(read_header(&*file, &path, [0xee; 16]).is_err(), "it is not another directory's");
        }
        let (open, sealed) = segments.split_last().unwrap();
        assert!(!open.position.sealed && sealed.iter().all(|segment| segment.position.sealed));
        for segment in sealed {
            let file = files.open(7, segment.position.first_id).unwrap();
            let footer = segment.read_footer(&*file).unwrap();
            let (first, next) = (segment.position.first_ordinal, segment.position.next_ordinal);
            assert_eq!((footer.count, footer.first_id, footer.last_id), (next - first, id(first), id(next - 1)));
            assert_eq!(next - first, 3);
        }
    }

    /// What lies past the last position was never committed, and what is written there now may be shorter.
    #[test]
    fn what_a_crash_left_behind_the_last_position_is_cut_off_and_a_segment_that_is_too_short_is_damage() {
        let files = files();
        let roll = Roll { bytes: u64::MAX, age_ms: u64::MAX };
        let segment = writer().write(&files, None, &ten(0, 0), 0, roll, 1).unwrap().remove(0);
        let end = segment.position.end;
        let file = files.open(7, segment.position.first_id).unwrap();
        file.write_at(&[7; 5000], end).unwrap();
        writer().write(&files, Some(&segment), &ten(10, 1000), 10, roll, 1).unwrap();
        assert_eq!(file.len().unwrap(), end + 1000);
        file.set_len(end - 1).unwrap();
        let error = writer().write(&files, Some(&segment), &ten(10, 1000), 10, roll, 1).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
        assert_eq!(file.len().unwrap(), end - 1, "nothing is written to it");
    }

    #[test]
    fn a_segment_is_not_continued_with_entries_that_do_not_follow_its_last_one() {
        let files = files();
        let mut writer = writer();
        let roll = Roll { bytes: u64::MAX, age_ms: u64::MAX };
        let segment = writer.write(&files, None, &ten(0, 0), 0, roll, 1).unwrap().remove(0);
        // The first five of the next ten were trimmed before they were written.
        let next = writer.write(&files, Some(&segment), &ten(10, 1000), 15, roll, 1).unwrap().remove(0);
        assert_eq!((next.position.first_ordinal, next.position.next_ordinal), (15, 20));
        assert_eq!(next.position.first_id, id(15));
        assert_eq!(next.position.base_bytes, 1500);
    }
}
