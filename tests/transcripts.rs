//! What a real Redis 8.6.3 answered to 1,500 random sequences of stream commands, and what we do: the same, every reply and every
//! error.

mod common {
    #[allow(dead_code, reason = "nothing is said in RESP3")]
    pub(crate) mod answer;
    pub(crate) mod recorded;
}

use std::thread;
use std::time::Duration;

use common::answer::ask;
use common::recorded::every_answer_is_that_of_redis;
use streamlog::Broker;

#[test]
fn every_recorded_sequence_is_answered_as_redis_8_6_did() {
    every_answer_is_that_of_redis(|sequence| {
        let broker = Broker::in_memory().unwrap();
        let answer = |exchange: &common::recorded::Exchange| {
            let answer = ask(&broker, &exchange.args);
            if exchange.makes_an_id_by_the_clock() {
                thread::sleep(Duration::from_millis(2));
            }
            answer
        };
        sequence.exchanges.iter().map(answer).collect()
    });
}
