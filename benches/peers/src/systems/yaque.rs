//! yaque: a queue in files, one producer and one consumer.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use yaque::{Receiver, ReceiverBuilder, Sender};

use super::Setting;
use crate::system::{Consumer, Producer, System};

pub(crate) struct Queue {
    directory: PathBuf,
}

impl Queue {
    pub(super) fn open(setting: Setting<'_>) -> Queue {
        Queue { directory: setting.directory.to_owned() }
    }
}

impl System for Queue {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding { sender: Sender::open(&self.directory).expect("it opens") })
    }

    fn consumer(&self, _number: usize) -> Option<Box<dyn Consumer>> {
        // By default it saves its place every 250 messages: a kill would bring back what was acknowledged.
        let receiver = ReceiverBuilder::new().save_every_nth(Some(1)).open(&self.directory).expect("it opens");
        Some(Box::new(Working { receiver }))
    }
}

struct Adding {
    sender: Sender,
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.sender.try_send(payload).expect("added");
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        self.sender.try_send_batch(payloads).unwrap_or_else(|_| panic!("not added"));
    }
}

struct Working {
    receiver: Receiver,
}

impl Consumer for Working {
    fn take(&mut self, count: usize, wait: Option<Duration>) -> u64 {
        assert!(wait.is_none(), "it waits only in futures");
        // What was received and is not committed is put back when it is dropped, and so the two are one call.
        if count == 1 {
            let message = self.receiver.try_recv().expect("a message");
            black_box(message.len());
            message.commit().expect("committed");
            return 1;
        }
        let messages = self.receiver.try_recv_batch_up_to(count).expect("messages");
        messages.iter().for_each(|message| _ = black_box(message.len()));
        let taken = messages.len() as u64;
        messages.commit().expect("committed");
        taken
    }

    fn acknowledge(&mut self) {}
}
