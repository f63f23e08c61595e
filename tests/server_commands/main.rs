//! The server's own commands over a socket: what it says of itself, its clients and its settings, next to what Redis says.
#![cfg(all(unix, feature = "resp"))]

#[path = "../common/answer.rs"]
#[allow(dead_code, reason = "no broker is asked")]
mod answer;
mod clients;
mod counts;
#[path = "../common/redis.rs"]
#[allow(dead_code, reason = "one connection is enough")]
mod redis;
mod table;
#[path = "../common/wire.rs"]
#[allow(dead_code, reason = "one command at a time")]
mod wire;

use std::net::TcpStream;
use std::time::Duration;

use answer::Answer;
use streamlog::Broker;
use streamlog::resp::{Builder, Server};
use wire::Wire;

type Client = Wire<TcpStream>;

/// A server on memory; it ends with the value.
fn serve(options: impl FnOnce(Builder) -> Builder) -> (Broker, Server) {
    let broker = Broker::in_memory().unwrap();
    let server = options(Server::builder(&broker).bind("127.0.0.1:0")).start().unwrap();
    (broker, server)
}

fn connect(server: &Server) -> Client {
    Wire::connect(&server.local_addr().unwrap().to_string()).unwrap()
}

/// Words between spaces; `""` is an empty one.
fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| if word == "\"\"" { Vec::new() } else { word.as_bytes().to_vec() }).collect()
}

fn ask(client: &mut Client, line: &str) -> Answer {
    client.call(&words(line))
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::Text(text) => String::from_utf8(text).unwrap(),
        Answer::Verbatim(text) | Answer::Status(text) | Answer::Error(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn error(text: &str) -> Answer {
    Answer::Error(text.to_owned())
}

fn ok() -> Answer {
    Answer::Status("OK".to_owned())
}

/// The value of a field of `INFO` or of `CLIENT LIST`.
fn field(text: &str, name: &str) -> String {
    let found = text.split(['\r', '\n', ' ']).find_map(|part| part.strip_prefix(name)?.strip_prefix([':', '=']));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

fn info(client: &mut Client, name: &str) -> String {
    field(&text(ask(client, "INFO everything")), name)
}

/// What is true soon: other threads have their part in it.
fn soon(mut is: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never comes");
}
