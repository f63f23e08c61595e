//! Where a server listens: TCP addresses that are this machine's own unless there is a password, and unix sockets that are the
//! user's own.

use std::io;
use std::net::{self, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use super::shared::Peer;
use super::socket::Unowned;
use crate::error::{Error, ErrorKind, Result};

/// What connections come from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

/// What will be one, in the runtime that serves it.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(net::TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

/// Listens on TCP addresses.
pub(super) fn tcp(addresses: Vec<io::Result<Vec<SocketAddr>>>, has_password: bool) -> Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for addresses in addresses {
        let addresses = addresses.map_err(|error| Error::io("looking for the address", error))?;
        for address in addresses {
            if !has_password && !address.ip().to_canonical().is_loopback() {
                let text = format!("others can reach {address}: it needs a password");
                return Err(Error::new(ErrorKind::PasswordNeeded, text));
            }
            let listen = || {
                let listener = net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                Ok(Bound::Tcp(listener, address))
            };
            bound.push(listen().map_err(|error| Error::io(format_args!("listening on {address}"), error))?);
        }
    }
    Ok(bound)
}

impl Bound {
    /// Of a TCP socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Bound::Tcp(_, address) => Some(*address),
            #[cfg(unix)]
            Bound::Unix(..) => None,
        }
    }

    /// Gives it to the runtime that this is called in; the file of a unix socket is the caller's to keep.
    pub(super) fn adopt(self) -> io::Result<(Listener, Option<SocketFile>)> {
        Ok(match self {
            Bound::Tcp(listener, _) => (Listener::Tcp(TcpListener::from_std(listener)?), None),
            #[cfg(unix)]
            Bound::Unix(listener, file) => {
                (Listener::Unix(UnixListener::from_std(listener)?, file.path.clone()), Some(file))
            }
        })
    }
}

impl Listener {
    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Unowned, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let stream = stream.into_std()?;
                let local = stream.local_addr()?.to_string();
                let peer = Peer { address: address.to_string(), local, unix: false, fd: number(&stream) };
                Ok((Unowned::Tcp(stream), peer))
            }
            #[cfg(unix)]
            Listener::Unix(listener, path) => {
                let stream = listener.accept().await?.0.into_std()?;
                let name = format!("{}:0", path.display());
                let peer = Peer { address: name.clone(), local: name, unix: true, fd: number(&stream) };
                Ok((Unowned::Unix(stream), peer))
            }
        }
    }
}

#[cfg(unix)]
fn number(socket: &impl std::os::fd::AsRawFd) -> i64 {
    socket.as_raw_fd().into()
}

#[cfg(not(unix))]
fn number<T>(_: &T) -> i64 {
    -1
}

/// The file of a unix socket; goes when this is dropped, unless another has taken its place.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

/// There are none.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct SocketFile;

#[cfg(unix)]
pub(super) fn unix(paths: &[PathBuf]) -> Result<Vec<Bound>> {
    let listen = |path: &PathBuf| {
        check_free(path)?;
        listen(path).map_err(|error| Error::io(format_args!("listening on {}", path.display()), error))
    };
    paths.iter().map(listen).collect()
}

#[cfg(not(unix))]
pub(super) fn unix(_: &[PathBuf]) -> Result<Vec<Bound>> {
    Ok(Vec::new())
}

/// Whether there is nothing at a path, or a socket that nobody listens on.
#[cfg(unix)]
fn check_free(path: &Path) -> Result<()> {
    use std::os::unix::{fs::FileTypeExt, net::UnixStream};
    let shown = path.display();
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(format_args!("looking at {shown}"), error)),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("there is something at {shown} that is no socket"),
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::new(ErrorKind::AddressInUse, format!("another server listens on {shown}"))),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(Error::io(format_args!("asking who listens on {shown}"), error)),
    }
}

/// Makes the socket where nobody else can reach it, and puts it in its place when it is the user's alone: a mask for new files
/// (`umask`) is the whole process's.
#[cfg(unix)]
fn listen(path: &Path) -> io::Result<Bound> {
    use std::fs::{self, DirBuilder, Permissions};
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixListener;
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let apart = parent.join(format!(".{}", crate::codec::hex(&random)));
    DirBuilder::new().mode(0o700).create(&apart)?;
    let made = apart.join("s");
    let bind = || {
        let listener = UnixListener::bind(&made)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        let there = fs::metadata(&made)?;
        fs::rename(&made, path)?;
        Ok(Bound::Unix(listener, SocketFile { path: path.to_owned(), is: (there.dev(), there.ino()) }))
    };
    let bound = bind();
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir(&apart);
    bound
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        use std::os::unix::fs::MetadataExt;
        if self.path.symlink_metadata().is_ok_and(|there| (there.dev(), there.ino()) == self.is) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
