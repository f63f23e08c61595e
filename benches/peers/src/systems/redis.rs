//! redis-server over a unix socket, each producer and consumer with a connection of its own.

use std::hint::black_box;
use std::time::Duration;

use super::Setting;
use crate::resp::client::{Address, Client, Reply, request};
use crate::resp::servers::Running;
use crate::system::{Consumer, Producer, System};

const KEY: &[u8] = b"messages";
const GROUP: &[u8] = b"workers";
const FIELD: &[u8] = b"data";
/// How many entries `XRANGE` is asked for at once.
const SCAN_ENTRIES: u64 = 1000;

pub(crate) struct Redis {
    server: Running,
    address: Address,
}

impl Redis {
    pub(super) fn open(setting: Setting<'_>) -> Redis {
        let server = Running::redis(setting.redis, setting.directory, setting.level);
        let address = server.unix();
        Redis { server, address }
    }
}

impl System for Redis {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding { client: Client::connect(&self.address), requests: Vec::new() })
    }

    fn consumer(&self, number: usize) -> Option<Box<dyn Consumer>> {
        let mut client = Client::connect(&self.address);
        // It may be there: that is an error.
        client.send(&request(&[b"XGROUP", b"CREATE", KEY, GROUP, b"0", b"MKSTREAM"]));
        client.any_reply();
        Some(Box::new(Working { client, name: format!("worker-{number}"), taken: Vec::new() }))
    }

    fn scan(&self, messages: u64) -> Option<u64> {
        let mut client = Client::connect(&self.address);
        let (mut read, mut after) = (0, b"-".to_vec());
        while read < messages {
            let count = SCAN_ENTRIES.min(messages - read).to_string();
            let entries = client.ask(&[b"XRANGE", KEY, &after, b"+", b"COUNT", count.as_bytes()]).entries();
            let Some((last, _)) = entries.last() else { break };
            after = [b"(", &last[..]].concat();
            read += entries.len() as u64;
            black_box(entries);
        }
        Some(read)
    }

    fn close(self: Box<Self>) {
        self.server.stop();
    }

    fn abandon(self: Box<Self>) {
        drop(self);
    }

    fn process(&self) -> u32 {
        self.server.process()
    }

    fn sent_bytes(&self) -> u64 {
        let info = Client::connect(&self.address).ask(&[b"INFO", b"stats"]).bulk();
        let info = String::from_utf8(info).expect("a text");
        let sent = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        sent.and_then(|sent| sent.trim().parse().ok()).expect("it says what it sent")
    }
}

struct Adding {
    client: Client,
    requests: Vec<u8>,
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.add_batch(&[payload]);
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        self.requests.clear();
        for payload in payloads {
            self.requests.extend(request(&[b"XADD", KEY, b"*", FIELD, payload]));
        }
        self.client.send(&self.requests);
        self.client.skip_bulks(payloads.len());
    }
}

struct Working {
    client: Client,
    name: String,
    taken: Vec<Vec<u8>>,
}

impl Consumer for Working {
    fn take(&mut self, count: usize, wait: Option<Duration>) -> u64 {
        let (count, block) = (count.to_string(), wait.map(|wait| wait.as_millis().max(1).to_string()));
        let mut words: Vec<&[u8]> =
            vec![b"XREADGROUP", b"GROUP", GROUP, self.name.as_bytes(), b"COUNT", count.as_bytes()];
        if let Some(block) = &block {
            words.extend([b"BLOCK", block.as_bytes()]);
        }
        words.extend([b"STREAMS", KEY, b">"]);
        let entries = self.client.ask(&words).delivered();
        self.taken = entries.into_iter().map(|(id, fields)| (id, black_box(fields)).0).collect();
        self.taken.len() as u64
    }

    fn acknowledge(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let mut words: Vec<&[u8]> = vec![b"XACK", KEY, GROUP];
        words.extend(self.taken.iter().map(|id| &id[..]));
        let Reply::Other(count) = self.client.ask(&words) else { panic!("a number") };
        assert_eq!(count, format!(":{}", self.taken.len()));
        self.taken.clear();
    }
}
