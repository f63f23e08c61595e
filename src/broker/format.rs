//! The file FORMAT: that a directory is a streamlog, of which version, and its UUID. The first file there is, renamed
//! into place.
//!
//! ```text
//! streamlog 1
//! 6f9619ff-8b86-4d01-b42d-00cf4fc964ff
//! ```

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::log::header::Identity;
use crate::log::segment::read_exact;
use crate::storage::Storage;

pub(crate) const PATH: &str = "FORMAT";
pub(crate) const NEW_PATH: &str = "FORMAT.new";
/// Held while the directory is open.
pub(crate) const LOCK: &str = "LOCK";
const VERSION: u32 = 1;
/// More than any version of the file will have.
const LEN_MAX: u64 = 4096;

/// Refuses a directory that holds something else, before anything is written to it.
pub(crate) fn check_ours(storage: &dyn Storage) -> Result<()> {
    let names = storage.list("").map_err(|error| Error::io("listing the directory", error))?;
    if names.iter().any(|name| name == PATH) || names.iter().all(|name| name == NEW_PATH || name == LOCK) {
        return Ok(());
    }
    Err(if names.iter().any(|name| name == "journal" || name == "state.redb") {
        Error::corrupt(PATH, 0, "it is missing")
    } else {
        let text = format!("the directory holds `{}` and no streamlog: give an empty or a new one", names[0]);
        Error::new(ErrorKind::ForeignDirectory, text)
    })
}

/// The directory's UUID; a new one if the directory is new.
pub(super) fn open(storage: &dyn Storage) -> Result<Identity> {
    match read(storage)? {
        Some(directory) => Ok(directory),
        None => {
            let uuid = uuid::Builder::from_random_bytes(storage.random()).into_uuid();
            write(storage, uuid.into_bytes())?;
            Ok(uuid.into_bytes())
        }
    }
}

/// The directory's UUID; `None` if there is no such file.
pub(crate) fn read(storage: &dyn Storage) -> Result<Option<Identity>> {
    match storage.open(PATH) {
        Ok(file) => {
            let len = file.len().map_err(|error| Error::io("reading FORMAT", error))?;
            let mut bytes = vec![0; len.min(LEN_MAX) as usize];
            read_exact(&*file, &mut bytes, 0, PATH)?;
            parse(&bytes).map(Some)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("opening FORMAT", error)),
    }
}

/// Writes the file of a directory with this UUID.
pub(crate) fn write(storage: &dyn Storage, directory: Identity) -> Result<()> {
    let doing = |error| Error::io("creating FORMAT", error);
    let file = storage.create(NEW_PATH).map_err(doing)?;
    file.write_at(render(Uuid::from_bytes(directory)).as_bytes(), 0).map_err(doing)?;
    file.sync().map_err(doing)?;
    storage.rename(NEW_PATH, PATH).map_err(doing)?;
    storage.sync_dir("").map_err(doing)
}

fn render(uuid: Uuid) -> String {
    format!("streamlog {VERSION}\n{uuid}\n")
}

fn parse(bytes: &[u8]) -> Result<Identity> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("streamlog ")?.parse::<u32>().ok());
    match version {
        Some(version) if version > VERSION => {
            let text = format!("the directory has format {version}; this version of streamlog knows up to {VERSION}");
            Err(Error::new(ErrorKind::NewerFormat, text))
        }
        Some(VERSION) => {
            let uuid = lines.next().and_then(|line| Uuid::try_parse(line).ok());
            uuid.map(Uuid::into_bytes).ok_or_else(|| Error::corrupt(PATH, 0, "it has no UUID"))
        }
        _ => Err(Error::corrupt(PATH, 0, "it does not say `streamlog` and a version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_format_is_pinned() {
        let uuid = Uuid::from_bytes([0x6f; 16]);
        let text = "streamlog 1\n6f6f6f6f-6f6f-6f6f-6f6f-6f6f6f6f6f6f\n";
        assert_eq!(render(uuid), text);
        assert_eq!(parse(text.as_bytes()).unwrap(), [0x6f; 16]);
    }

    #[test]
    fn a_newer_version_and_a_damaged_file_are_told_apart() {
        assert_eq!(parse(b"streamlog 2\nanything").unwrap_err().kind(), ErrorKind::NewerFormat);
        for damaged in [&b""[..], b"streamlog", b"streamlog x\n", b"streamlog 1\n", b"streamlog 1\n123\n", b"\xff"] {
            assert_eq!(parse(damaged).unwrap_err().kind(), ErrorKind::Corrupt, "{damaged:?}");
        }
    }
}
