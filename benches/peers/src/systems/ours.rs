//! streamlog, with all options as they are but for the level.

use std::hint::black_box;
use std::time::Duration;

use streamlog::{Broker, Messages, Stream};

use super::Setting;
use crate::system::{Consumer, Producer, System};

const FIELD: &str = "data";

pub(crate) struct Ours {
    broker: Broker,
    stream: Stream,
}

impl Ours {
    pub(super) fn open(setting: Setting<'_>) -> Ours {
        let broker =
            Broker::builder().durability(setting.level.durability()).open(setting.directory).expect("it opens");
        let stream = broker.stream("messages").expect("a name");
        Ours { broker, stream }
    }
}

impl System for Ours {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding { stream: self.stream.clone() })
    }

    fn consumer(&self, number: usize) -> Option<Box<dyn Consumer>> {
        let group = self.stream.group("workers").from_start().ensure().expect("a group");
        Some(Box::new(Working { consumer: group.consumer(&format!("worker-{number}")), taken: None }))
    }

    fn scan(&self, messages: u64) -> Option<u64> {
        let entries = self.stream.range(..).count(messages as usize).iter();
        let read = entries.map(|entry| black_box(entry.expect("an entry").get(FIELD).map(<[u8]>::len)));
        Some(read.count() as u64)
    }

    fn close(self: Box<Self>) {
        self.broker.close().expect("it closes");
    }
}

struct Adding {
    stream: Stream,
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.stream.add([(FIELD, payload)]).expect("added");
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        self.stream.add_batch(payloads.iter().map(|payload| [(FIELD, payload)])).expect("added");
    }
}

struct Working {
    consumer: streamlog::Consumer,
    taken: Option<Messages>,
}

impl Consumer for Working {
    fn take(&mut self, count: usize, wait: Option<Duration>) -> u64 {
        let mut fetch = self.consumer.fetch().count(count);
        if let Some(wait) = wait {
            fetch = fetch.block(wait);
        }
        let messages = fetch.next().expect("fetched");
        for message in &messages {
            black_box(message.get(FIELD).map(<[u8]>::len));
        }
        let taken = messages.len() as u64;
        self.taken = Some(messages);
        taken
    }

    fn acknowledge(&mut self) {
        if let Some(messages) = self.taken.take() {
            messages.ack_all().expect("acknowledged");
        }
    }
}
