//! Whom to believe: the model of the model test is run beside a real Redis, for all that both have. Skipped, visibly, where there is
//! no `redis-server`.
//!
//! Redis's clock cannot be set, so time stands still here: every ID is given, and what is to be idle is never idle for long enough.
//! `STREAMLOG_REDIS_SERVER` names the server. What Debian's 7.0 has not, or has otherwise, is in [`comparable`] and `common::known`.
#![cfg(all(unix, feature = "simulation"))]

mod common {
    #[allow(dead_code, reason = "this test drives no broker")]
    pub(crate) mod answer;
    #[allow(dead_code, reason = "this test drives no broker")]
    pub(crate) mod generate;
    pub(crate) mod known;
    #[allow(dead_code, reason = "this test looks at less than the model test")]
    pub(crate) mod model;
    #[allow(dead_code, reason = "what Redis has not is not asked for")]
    pub(crate) mod operation;
    #[allow(dead_code, reason = "one command at a time, by one connection")]
    pub(crate) mod redis;
    #[allow(dead_code, reason = "Redis has no such thing")]
    pub(crate) mod schedule;
    #[allow(dead_code, reason = "one server, one protocol")]
    pub(crate) mod wire;
}

use std::ops::Bound;
use std::time::Duration;

use common::answer::Answer;
use common::generate::Dice;
use common::known::{OURS, ends, seen};
use common::model::Model;
use common::operation::{Operation, Own};
use common::redis::{Redis, Version};
use proptest::prelude::*;
use streamlog::command::{Command, XAdd, XGroupCreate, XPendingRange};
use streamlog::{GroupStart, Id, IdSpec, References, StartAt, Trim};

/// Longer than any test: nothing is idle for so long.
const NEVER: Duration = Duration::from_millis(1 << 40);
/// A time that is taken for one wherever it is told.
const NOW_MS: u64 = 1_500_000_000_000;
/// A time to come: of a stream whose last ID is so late the next one is known, whatever the time.
const TO_COME_MS: u64 = 99_000_000_000_000;

/// The command for a Redis of this version, every ID known, without what came later. `None` for what it has not, or answers in its
/// own way.
fn comparable(operation: Operation, model: &Model, version: Version) -> Option<Command> {
    let is_ours = version >= OURS;
    let is_to_come = |key: &String| model.streams.get(key).is_some_and(|stream| stream.last_id.ms >= TO_COME_MS);
    let mut command = match operation {
        Operation::Redis(command) | Operation::Own(Own::ByHandle(command)) => command,
        Operation::Own(Own::Ensure { names: [key, group], start }) => {
            Command::XGroupCreate(XGroupCreate { key, group, start, make_stream: true, entries_read: None })
        }
        Operation::All(_) | Operation::Own(_) => return None,
    };
    // Of what it tells only whether it is no time at all.
    let never = |idle: &mut Duration| *idle = if idle.is_zero() { Duration::ZERO } else { NEVER };
    // One between the first and the last ID of all.
    let is_said = |first, last| first != Bound::Excluded(Id::MAX) && last != Bound::Excluded(Id::MIN);
    let known = |start: &mut StartAt| *start = if *start == StartAt::Last { StartAt::Start } else { *start };
    match &mut command {
        Command::XAdd(add) => {
            let last = model.streams.get(&add.key).map_or(Id::MIN, |stream| stream.last_id);
            if !is_ours || !is_to_come(&add.key) {
                add.idempotent = None;
            }
            if add.id == IdSpec::Auto && add.idempotent.is_none() {
                add.id = last.next().unwrap_or(last).into();
            }
            add.trim = add.trim.and_then(|trim| plain(trim, is_ours));
        }
        Command::XTrim { trim, .. } => *trim = plain(*trim, is_ours)?,
        Command::XRange(range) | Command::XRevRange(range) if !is_said(range.first, range.last) => return None,
        Command::XRead(read) => {
            read.limits.max_count = None;
            if version < (7, 4) {
                read.streams.iter_mut().for_each(|(_, start)| known(start));
            }
            // Which is any number in Redis's words.
            read.limits.count = read.limits.count.filter(|&count| count > 0);
        }
        Command::XReadGroup(read) => {
            read.claim.iter_mut().for_each(never);
            (read.claim, read.limits.max_count) = (read.claim.filter(|_| is_ours), None);
            read.limits.count = read.limits.count.filter(|&count| count > 0);
            for (_, start) in &mut read.streams {
                // The words of which mean `>`.
                *start = if *start == GroupStart::PendingAfter(Id::MAX) { GroupStart::New } else { *start };
            }
        }
        Command::XPendingRange(range) if !is_said(range.first, range.last) => return None,
        Command::XPendingRange(range) => never(&mut range.idle),
        Command::XClaim(claim) => {
            claim.delivered = None;
            never(&mut claim.min_idle);
        }
        Command::XAutoClaim(claim) => {
            claim.count = claim.count.max(1);
            never(&mut claim.min_idle);
        }
        Command::XGroupCreate(create) => known(&mut create.start),
        Command::XGroupSetId(set) => known(&mut set.to),
        // Since 8.2 and 8.6.
        Command::XDelEx { .. } | Command::XAckDel { .. } | Command::XCfgSet(_) if !is_ours => return None,
        // An old entry is forgotten at once there.
        Command::XIdmpRecord { key, .. } if !is_ours || !is_to_come(key) => return None,
        // Since 8.8.
        Command::XNack(_) => return None,
        _ => {}
    }
    Some(command)
}

/// A trim that Redis has words for; without what becomes of references if those are not known.
fn plain(trim: Trim, references: bool) -> Option<Trim> {
    let trim = if references { trim } else { trim.references(References::Keep) };
    let words = Command::XTrim { key: "s".to_owned(), trim }.to_args();
    let limits = [b"MAXLEN".as_slice(), b"MINID"];
    (limits.contains(&words[2].as_slice()) && !words.contains(&b"ONLYACKED".to_vec())).then_some(trim)
}

/// The consumers that a command makes even if it gets nothing: in Redis since 7.2.
fn consumers(command: &Command) -> Vec<Command> {
    let made = |key: &String, group: &String, consumer: &String| {
        let (key, group, consumer) = (key.clone(), group.clone(), consumer.clone());
        Command::XGroupCreateConsumer { key, group, consumer }
    };
    match command {
        Command::XReadGroup(read) => {
            read.streams.iter().map(|(key, _)| made(key, &read.group, &read.consumer)).collect()
        }
        Command::XClaim(claim) => vec![made(&claim.key, &claim.group, &claim.consumer)],
        Command::XAutoClaim(claim) => vec![made(&claim.key, &claim.group, &claim.consumer)],
        _ => Vec::new(),
    }
}

/// What is looked at after each command: all that the model has and Redis tells.
fn looks(model: &Model) -> Vec<Command> {
    let of_stream = |(key, stream): (&String, &common::model::Stream)| {
        let full = [
            Command::XInfoStream { key: key.clone() },
            Command::XInfoStreamFull { key: key.clone(), count: 0 },
            Command::XInfoGroups { key: key.clone() },
        ];
        let of_group = |group: &String| {
            let (key, group) = (key.clone(), group.clone());
            let all = XPendingRange {
                key: key.clone(),
                group: group.clone(),
                idle: Duration::ZERO,
                first: Bound::Unbounded,
                last: Bound::Unbounded,
                count: 1_000_000,
                consumer: None,
            };
            [Command::XPendingRange(all), Command::XInfoConsumers { key, group }]
        };
        full.into_iter().chain(stream.groups.keys().flat_map(of_group)).collect::<Vec<_>>()
    };
    model.streams.iter().flat_map(of_stream).collect()
}

fn answer(model: &mut Model, command: &Command) -> Answer {
    model.execute(command).map_or_else(Answer::Error, Answer::of)
}

/// An answer without what the model does not count, for a crash may forget it.
fn without_duplicates(answer: Answer) -> Answer {
    let is_it = |pair: &&[Answer]| pair[0] == Answer::Text(b"iids-duplicates".to_vec());
    match answer {
        Answer::Array(items) if items.first() == Some(&Answer::Text(b"length".to_vec())) => {
            Answer::Array(items.chunks(2).filter(|pair| !is_it(pair)).flatten().cloned().collect())
        }
        other => other,
    }
}

fn run(redis: &mut Redis, steps: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let version = redis.version;
    let seen = |answer| without_duplicates(seen(answer, version));
    redis.call(&[b"FLUSHALL".to_vec()]);
    let mut model = Model::at(NOW_MS);
    let mut done = Vec::new();
    if version >= OURS && steps.len().is_multiple_of(2) {
        let id = IdSpec::Exact(Id::new(TO_COME_MS, 0));
        let fields = vec![(b"n".to_vec(), b"1".to_vec())];
        let (key, trim, idempotent) = ("orders".to_owned(), None, None);
        let first = Command::XAdd(XAdd { key, no_make_stream: false, idempotent, trim, id, fields });
        prop_assert_eq!(answer(&mut model, &first), redis.call(&first.to_args()));
    }
    for bytes in steps {
        let Some(command) = comparable(Dice::new(bytes, &model).operation(), &model, version) else { continue };
        let ours = answer(&mut model, &command);
        if ends(&ours, version) {
            continue;
        }
        done.push(command.to_args().join(&b' ').escape_ascii().to_string());
        let reply = redis.call(&command.to_args());
        if !matches!(ours, Answer::Error(_)) && version < (7, 2) {
            consumers(&command).iter().for_each(|make| drop(redis.call(&make.to_args())));
        }
        let after = || TestCaseError::fail(format!("after\n  {}", done.join("\n  ")));
        prop_assert_eq!(seen(ours), seen(reply), "{}", after());
        for look in looks(&model) {
            let (ours, reply) = (answer(&mut model, &look), redis.call(&look.to_args()));
            prop_assert_eq!(seen(ours), seen(reply), "{:?} {}", look, after());
        }
    }
    Ok(())
}

#[test]
fn the_model_does_what_redis_does() {
    use proptest::test_runner::{Config, TestError, TestRunner};

    let Some(redis) = Redis::start_or_skip("the_model_does_what_redis_does") else { return };
    let redis = std::cell::RefCell::new(redis);
    let steps = prop::collection::vec(prop::collection::vec(any::<u8>(), 64), 1..100);
    let cases = std::env::var("MODEL_CASES").map_or(100, |cases| cases.parse().unwrap());
    let config = Config { cases, max_shrink_iters: 4000, failure_persistence: None, ..Config::default() };
    match TestRunner::new(config).run(&steps, |steps| run(&mut redis.borrow_mut(), &steps)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(error) => panic!("{error}"),
    }
}
