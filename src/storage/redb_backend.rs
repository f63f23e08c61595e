//! redb on the seam: one [`File`] as redb's [`StorageBackend`].
//!
//! Knows what redb expects of its file (reads that are whole, growth with zeros). Knows neither tables nor
//! checkpoints, and locks nothing: the directory's `LOCK` already keeps a second process out, and redb does without
//! where a backend has no locks.

use std::{io, sync::Arc};

use redb::StorageBackend;

use super::File;

/// A file that redb reads and writes.
#[derive(Debug)]
pub(crate) struct RedbFile {
    file: Arc<dyn File>,
}

impl RedbFile {
    pub(crate) fn new(file: Arc<dyn File>) -> RedbFile {
        RedbFile { file }
    }
}

impl StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.file.read_at(out, offset)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;
    use crate::storage::{Memory, Storage};

    const NUMBERS: TableDefinition<u64, u64> = TableDefinition::new("numbers");

    #[test]
    fn a_database_reopened_on_the_same_file_has_what_was_committed() {
        let memory = Memory::default();
        memory.create("state.redb").unwrap();
        let open = || {
            let file = memory.open("state.redb").unwrap();
            Database::builder().create_with_backend(RedbFile::new(file)).unwrap()
        };
        let database = open();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(NUMBERS).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        drop(database);

        let database = open();
        let transaction = database.begin_read().unwrap();
        let table = transaction.open_table(NUMBERS).unwrap();
        assert_eq!(table.get(1).unwrap().unwrap().value(), 2);
    }

    #[test]
    fn a_read_past_the_end_is_an_error_not_short() {
        let file = Memory::default().create("f").unwrap();
        file.write_at(b"abc", 0).unwrap();
        let backend = RedbFile::new(file);
        backend.read(0, &mut [0; 3]).unwrap();
        let error = backend.read(1, &mut [0; 3]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
