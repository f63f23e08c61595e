//! `streamlog serve`: a directory for every client that speaks to Redis.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use streamlog::resp::Server;
use streamlog::{Broker, Durability, ErrorKind};
use tokio::runtime;

use crate::durability;
use crate::failure::{Failure, Result};

/// Where Redis is looked for.
const ADDRESS: &str = "127.0.0.1:6379";

/// A variable of the environment.
const PASSWORD: &str = "STREAMLOG_PASSWORD";

/// How long connections have, at the end, to be sent what they were answered: a client that does not read must not keep the
/// server alive.
const PARTING: Duration = Duration::from_secs(5);

/// Serves a directory to every client that speaks to Redis
///
/// Until it is interrupted or terminated: then it answers what it was asked, and closes the directory. Where it listens is one
/// line on standard error.
///
/// A password can be given in a file, or as the variable `STREAMLOG_PASSWORD`; clients give it as the user `default`. What is
/// sent is not encrypted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, begun if it is new or empty
    dir: PathBuf,
    /// A TCP address, `127.0.0.1:6379` if none is given and no socket; port 0 is any that is free. One that is not this
    /// machine's own needs a password
    #[arg(long = "resp", value_name = "ADDR")]
    addresses: Vec<String>,
    /// A unix socket, for this user only
    #[cfg(unix)]
    #[arg(long = "unix", value_name = "PATH")]
    sockets: Vec<PathBuf>,
    /// What a write survives when it is answered, beside the end of this program: `always`: power loss; `interval:1s`: power
    /// loss, but for the last second; `os`: what the system had written by then
    #[arg(long, value_name = "LEVEL", default_value = "always", value_parser = durability::parse)]
    durability: Durability,
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let password = password(args.password_file.as_deref())?;
    let signals = Signals::new()?;
    let told = |error: streamlog::Error| Failure::in_dir(&args.dir, &error);
    let broker = Broker::builder().durability(args.durability).open(&args.dir).map_err(told)?;

    let mut builder = Server::builder(&broker);
    let mut places = args.addresses.clone();
    if let Some(password) = password {
        builder = builder.password(password);
    }
    #[cfg(unix)]
    let sockets = &args.sockets;
    #[cfg(not(unix))]
    let sockets: &[PathBuf] = &[];
    if places.is_empty() && sockets.is_empty() {
        places.push(ADDRESS.to_owned());
    }
    for address in &places {
        builder = builder.bind(address.as_str());
    }
    #[cfg(unix)]
    for path in sockets {
        builder = builder.bind_unix(path);
    }
    let server = builder.start().map_err(|error| match error.kind() {
        ErrorKind::PasswordNeeded => {
            Failure::new(format!("{error}; give one with --password-file, or listen on 127.0.0.1"))
        }
        ErrorKind::AddressInUse => {
            Failure::new(format!("{error}; stop what listens there, or give another --resp ADDR"))
        }
        _ => Failure::new(error.to_string()),
    })?;

    let mut places: Vec<_> = server.local_addrs().iter().map(ToString::to_string).collect();
    places.extend(sockets.iter().map(|path| path.display().to_string()));
    eprintln!("serving {} on {}", args.dir.display(), places.join(", "));
    signals.wait()?;
    server.shutdown(PARTING);
    broker.close().map_err(told)
}

/// The password, if there is one: a file that says so and has none is a mistake.
fn password(file: Option<&Path>) -> Result<Option<Vec<u8>>> {
    let Some(path) = file else { return Ok(env::var_os(PASSWORD).map(OsString::into_encoded_bytes)) };
    let shown = path.display();
    let text = fs::read(path).map_err(|error| Failure::new(format!("reading the password in {shown}: {error}")))?;
    match text.split(|byte| matches!(byte, b'\r' | b'\n')).next() {
        Some(line) if !line.is_empty() => Ok(Some(line.to_vec())),
        _ => Err(Failure::new(format!("there is no password in the first line of {shown}"))),
    }
}

/// What ends the server. They are caught from when this is made.
struct Signals {
    runtime: runtime::Runtime,
    #[cfg(unix)]
    caught: [tokio::signal::unix::Signal; 2],
}

impl Signals {
    fn new() -> Result<Signals> {
        let told = |error| Failure::new(format!("waiting for signals: {error}"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(told)?;
        #[cfg(unix)]
        let caught = {
            use tokio::signal::unix::{SignalKind, signal};
            let _inside = runtime.enter();
            [signal(SignalKind::interrupt()).map_err(told)?, signal(SignalKind::terminate()).map_err(told)?]
        };
        Ok(Signals {
            runtime,
            #[cfg(unix)]
            caught,
        })
    }

    fn wait(self) -> Result<()> {
        #[cfg(unix)]
        let caught = async {
            let [mut interrupt, mut terminate] = self.caught;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Ok(())
        };
        #[cfg(not(unix))]
        let caught = tokio::signal::ctrl_c();
        self.runtime.block_on(caught).map_err(|error: io::Error| Failure::new(format!("waiting for signals: {error}")))
    }
}
