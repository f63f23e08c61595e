//! `streamlog backup`: a copy of a directory, that opens as it was.

use std::path::PathBuf;
use std::time::Instant;

use crate::failure::{Failure, Result};
use crate::{open, show};

/// Copies a directory of streams: all of it, or nothing
///
/// The copy is a directory like the first, and durable when this ends; to go back to it, open it in the other's place.
/// Until it is whole its name has `.partial` behind it. Segments that are full are shared by hard links where the file
/// system can do that, so a copy on the same disk is quick, and does not outlive that disk: copy it elsewhere too.
///
/// A directory that a program has open is backed up by that program itself, with `Broker::backup_to`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory
    dir: PathBuf,
    /// The directory to be made: a new one, or one that is empty
    target: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Args { dir, target } = args;
    let began = Instant::now();
    let broker = open::existing(dir)?;
    let told = |error: streamlog::Error| Failure::in_dir(dir, &error);
    let backup = broker.backup_to(target).map_err(told)?;
    broker.close().map_err(told)?;
    eprintln!(
        "backed up {} to {} in {}: {} copied ({}), {} shared ({})",
        dir.display(),
        target.display(),
        show::duration(began.elapsed()),
        files(backup.copied_files),
        show::bytes(backup.copied_bytes),
        show::count(backup.linked_files),
        show::bytes(backup.linked_bytes),
    );
    Ok(())
}

fn files(number: u64) -> String {
    format!("{} {}", show::count(number), if number == 1 { "file" } else { "files" })
}
