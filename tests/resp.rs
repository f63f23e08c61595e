//! smoke
use std::time::Duration;
use streamlog::{Broker, resp::Server};
#[test]
#[ignore]
fn smoke() {
    let broker = Broker::builder().open(std::env::var("SMOKE_DIR").unwrap()).unwrap();
    let server = Server::builder(&broker).bind("127.0.0.1:7777").bind_unix("/tmp/wire-scratch/s.sock").start().unwrap();
    std::thread::sleep(Duration::from_secs(std::env::var("SMOKE").map_or(20, |s| s.parse().unwrap())));
    server.shutdown(Duration::from_secs(1));
    broker.close().unwrap();
}
