//! Where a server may listen, and who may talk to it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use streamlog::resp::Server;
use streamlog::{Broker, ErrorKind};

use crate::answer::Answer;
use crate::{PATIENCE, call, serve_with, shown};

fn refused(start: streamlog::Result<Server>) -> ErrorKind {
    start.expect_err("it must not listen there").kind()
}

#[test]
fn an_address_that_others_can_reach_needs_a_password() {
    let broker = Broker::in_memory().unwrap();
    for address in ["0.0.0.0:0", "[::]:0"] {
        assert_eq!(refused(Server::builder(&broker).bind(address).start()), ErrorKind::PasswordNeeded);
        assert_eq!(refused(Server::builder(&broker).password("").bind(address).start()), ErrorKind::PasswordNeeded);
    }
    assert_eq!(
        refused(Server::builder(&broker).bind("127.0.0.1:0").bind("0.0.0.0:0").start()),
        ErrorKind::PasswordNeeded
    );
    let server = Server::builder(&broker).bind("0.0.0.0:0").password("secret").start().unwrap();
    assert!(server.local_addr().unwrap().ip().is_unspecified());
}

#[test]
fn a_server_needs_an_address_and_one_that_nobody_else_has() {
    let broker = Broker::in_memory().unwrap();
    assert_eq!(refused(Server::builder(&broker).start()), ErrorKind::InvalidArgument);
    assert_eq!(refused(Server::builder(&broker).bind("nobody.invalid:1").start()), ErrorKind::Io);
    let server = Server::builder(&broker).bind("127.0.0.1:0").start().unwrap();
    let taken = server.local_addr().unwrap();
    let error = Server::builder(&broker).bind(taken).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddressInUse);
    assert!(error.is_retryable() && error.to_string().contains(&taken.to_string()), "{error}");
}

#[test]
fn a_server_listens_in_several_places() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let broker = Broker::in_memory().unwrap();
    let builder = Server::builder(&broker).bind("127.0.0.1:0").bind("localhost:0").bind_unix(&path);
    let server = builder.start().unwrap();
    for address in server.local_addrs() {
        let mut client = crate::wire::Wire::connect(&address.to_string()).unwrap();
        assert_eq!(call(&mut client, "PING"), Answer::Status("PONG".to_owned()));
    }
    assert!(server.local_addrs().len() >= 2);
    assert_eq!(ping(&path), "+PONG\r\n");
}

#[test]
fn without_the_password_nothing_is_answered_but_how_to_give_it() {
    let served = serve_with(|builder| builder.password("secret"));
    let bytes = b"PING\r\nXADD s * f v\r\nNOSUCH x\r\nAUTH wrong\r\nAUTH default wrong\r\nAUTH other secret\r\nMULTI\r\nEXEC\r\nEXEC 1\r\nRESET\r\nQUIT\r\n";
    let no = "-NOAUTH Authentication required.\r\n";
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let abort = "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n";
    let arity = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n";
    let unknown = "-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n";
    let said = [no, no, unknown, wrong, wrong, wrong, no, abort, arity, "+RESET\r\n", "+OK\r\n"].concat();
    assert_eq!(served.converse(bytes), said);
    assert_eq!(
        served.converse(b"AUTH secret\r\nEXISTS s\r\nRESET\r\nPING\r\n"),
        format!("+OK\r\n:0\r\n+RESET\r\n{no}")
    );
    assert_eq!(served.converse(b"AUTH default secret\r\nPING\r\n"), "+OK\r\n+PONG\r\n");
    let hello = served.converse(b"HELLO 3 AUTH default secret\r\nPING\r\n");
    assert!(hello.starts_with('%') && hello.ends_with("+PONG\r\n"), "{hello}");
}

fn ping(path: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    shown(&reply)
}

#[test]
fn a_unix_socket_is_the_users_own_and_goes_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let broker = Broker::in_memory().unwrap();
    let server = Server::builder(&broker).bind_unix(&path).start().unwrap();
    assert_eq!(server.local_addr(), None);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ping(&path), "+PONG\r\n");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "there is nothing else");
    server.shutdown(Duration::from_secs(1));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_socket_that_is_left_behind_is_replaced_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "it is left behind");
    let broker = Broker::in_memory().unwrap();
    let first = Server::builder(&broker).bind_unix(&path).start().unwrap();
    assert_eq!(refused(Server::builder(&broker).bind_unix(&path).start()), ErrorKind::AddressInUse);
    assert_eq!(ping(&path), "+PONG\r\n");

    // Somebody takes its place: that is not the first server's to remove.
    fs::remove_file(&path).unwrap();
    let second = Server::builder(&broker).bind_unix(&path).start().unwrap();
    drop(first);
    assert_eq!(ping(&path), "+PONG\r\n");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn what_is_no_socket_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes");
    fs::write(&path, "dear").unwrap();
    let broker = Broker::in_memory().unwrap();
    assert_eq!(refused(Server::builder(&broker).bind_unix(&path).start()), ErrorKind::InvalidArgument);
    assert_eq!(fs::read(&path).unwrap(), b"dear");
    let nowhere = directory.path().join("no/such/directory");
    assert_eq!(refused(Server::builder(&broker).bind_unix(nowhere).start()), ErrorKind::Io);
}
