//! Opening a directory that must be there already: looking at one must not begin one.

use std::path::Path;

use streamlog::{Broker, Stream};

use crate::failure::{Failure, Result};

/// Opens the streams in `dir`.
///
/// # Errors
///
/// If there are none, and what [`Broker::open`] says.
pub(crate) fn existing(dir: &Path) -> Result<Broker> {
    is_there(dir)?;
    Broker::open(dir).map_err(|error| Failure::in_dir(dir, &error))
}

/// Whether there is anything of a streamlog in `dir`.
///
/// # Errors
///
/// If there is not.
pub(crate) fn is_there(dir: &Path) -> Result<()> {
    // Where one of these is without the others, the engine says what that means.
    if ["FORMAT", "journal", "state.redb"].iter().all(|name| !dir.join(name).exists()) {
        let text = format!("{}: there is no streamlog here; `streamlog add` begins one", dir.display());
        return Err(Failure::new(text));
    }
    Ok(())
}

/// The stream with this name, which must be there.
///
/// # Errors
///
/// If there is none: then the text names those there are.
pub(crate) fn stream(broker: &Broker, dir: &Path, name: &str) -> Result<Stream> {
    /// A hint, not a listing.
    const NAMES_MAX: usize = 5;
    let stream = broker.stream(name).map_err(|error| Failure::in_dir(dir, &error))?;
    if stream.exists() {
        return Ok(stream);
    }
    let names = broker.streams()?;
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    let shown: Vec<_> = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    let there_are = if names.is_empty() { "no streams at all".to_owned() } else { shown.join(", ") + more };
    Err(Failure::new(format!("{}: there is no stream `{name}`; there are {there_are}", dir.display())))
}
