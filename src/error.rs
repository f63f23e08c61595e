//! The one error type: what went wrong, whether trying again can help, and where.

use std::{fmt, io};

use crate::name;

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. [`kind`](Error::kind) says it to a program, the text to a person.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Option<Place>,
    /// The stream that is missing, or the group of which stream.
    missing: Option<(String, Option<String>)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused a read, a write or a sync.
    Io,
    /// There is no space left on the disk. Nothing was added; reads go on.
    StorageFull,
    /// Another broker, in this process or another, has the directory open.
    Locked,
    /// The directory holds something, but not a streamlog.
    ForeignDirectory,
    /// A later version of this crate wrote the directory.
    NewerFormat,
    /// Bytes on disk are not those that were written. [`Error::place`] says where.
    Corrupt,
    /// An earlier write or sync failed, so this broker has stopped writing. Reads go on; reopen it to write again.
    WritesStopped,
    /// The broker was closed.
    Closed,
    /// There is no such stream.
    NoSuchStream,
    /// There is no such group, or no such stream for it to be on (`NOGROUP`).
    NoSuchGroup,
    /// The group exists already (`BUSYGROUP`).
    GroupExists,
    /// The text is not an ID, or the ID is one that no entry can have.
    InvalidId,
    /// The ID is not greater than the stream's last; or too small to be set as its last.
    IdTooSmall,
    /// The stream has had the last possible ID.
    IdsExhausted,
    /// The name of a stream, group or consumer is empty or too long.
    InvalidName,
    /// An argument makes no sense; the text says which and why.
    InvalidArgument,
    /// An entry, field, batch or record is over its limit. Nothing was written.
    TooLarge,
    /// The entry has no such field, or its value is not what was asked for.
    Field,
    /// A server was to listen where others than this machine can reach it, and has no password.
    PasswordNeeded,
    /// Another server listens there.
    AddressInUse,
}

/// Where on disk an error was met.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The stream's name, where the file belongs to one.
    pub stream: Option<String>,
    /// The file, relative to the broker's directory.
    pub file: String,
    /// The offset in the file, in bytes.
    pub offset: u64,
}

/// Whether too many files are open, in the process or in all: `EMFILE` and `ENFILE`, on Linux and macOS alike;
/// `ERROR_TOO_MANY_OPEN_FILES`. They have no [`io::ErrorKind`].
pub(crate) fn too_many_open(error: &io::Error) -> bool {
    let codes: &[i32] = if cfg!(windows) { &[4] } else { &[24, 23] };
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, message: message.into(), place: None, missing: None, source: None }))
    }

    /// An error of the system while `doing` something (`"writing the journal"`).
    pub(crate) fn io(doing: impl fmt::Display, source: io::Error) -> Error {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
            io::ErrorKind::AddrInUse => ErrorKind::AddressInUse,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("{doing}: {source}")).with_source(source)
    }

    /// A sync that failed. Not even for want of space can it be tried again: nothing is known of what is durable.
    pub(crate) fn sync(doing: impl fmt::Display, source: io::Error) -> Error {
        Error::new(ErrorKind::Io, format!("{doing}: {source}")).with_source(source)
    }

    /// Whether something was missing (space, files to be opened) that may be there later, and nothing else is wrong.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        let source = self.0.source.as_deref().and_then(|source| source.downcast_ref());
        self.kind() == ErrorKind::StorageFull || source.is_some_and(too_many_open)
    }

    pub(crate) fn corrupt(file: impl Into<String>, offset: u64, what: impl fmt::Display) -> Error {
        let file = file.into();
        let mut error = Error::new(ErrorKind::Corrupt, format!("{file} is damaged at byte {offset}: {what}"));
        error.0.place = Some(Place { stream: None, file, offset });
        error
    }

    pub(crate) fn no_such_stream(stream: &str) -> Error {
        let mut error = Error::new(ErrorKind::NoSuchStream, format!("there is no stream `{stream}`"));
        error.0.missing = Some((stream.to_owned(), None));
        error
    }

    pub(crate) fn no_such_group(stream: &str, group: &str) -> Error {
        let text = format!("there is no stream `{stream}` with a group `{group}`");
        let mut error = Error::new(ErrorKind::NoSuchGroup, text);
        error.0.missing = Some((stream.to_owned(), Some(group.to_owned())));
        error
    }

    pub(crate) fn too_large(what: &str, bytes: usize, limit: usize) -> Error {
        Error::new(ErrorKind::TooLarge, format!("{what} of {bytes} bytes is over the limit of {limit}"))
    }

    pub(crate) fn closed() -> Error {
        Error::new(ErrorKind::Closed, "the broker was closed")
    }

    #[must_use]
    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// This damage, which could not be made good from what else there is, because of `reason`.
    pub(crate) fn beyond_rebuilding(&self, reason: &str) -> Error {
        let mut error = self.again();
        error.0.message = format!("{}; it cannot be rebuilt from the rest: {reason}", self.0.message);
        error
    }

    /// Adds the stream's name to the place of a corruption.
    #[must_use]
    pub(crate) fn in_stream(mut self, stream: &str) -> Error {
        if let Some(place) = &mut self.0.place {
            place.stream = Some(name::shown(stream).to_owned());
        }
        self
    }

    /// The same error again, for the next caller that meets it (a source cannot be copied; its text stays).
    pub(crate) fn again(&self) -> Error {
        let Inner { kind, message, place, missing, .. } = &*self.0;
        let (message, place, missing) = (message.clone(), place.clone(), missing.clone());
        Error(Box::new(Inner { kind: *kind, message, place, missing, source: None }))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where on disk, if the error is about bytes on disk.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The stream that is missing, or whose group is.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.0.missing.as_ref().map(|(stream, _)| stream.as_str())
    }

    /// The group that is missing.
    pub(crate) fn group(&self) -> Option<&str> {
        self.0.missing.as_ref().and_then(|(_, group)| group.as_deref())
    }

    /// Whether the same call may succeed later with nothing changed by the caller: when space is freed, files are
    /// closed, or the other process ends.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::StorageFull | ErrorKind::Locked | ErrorKind::AddressInUse | ErrorKind::Io)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("place", &self.0.place)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
