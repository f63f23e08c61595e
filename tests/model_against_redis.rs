//! Whom to believe: the model of the model test is run beside a real Redis, for all that both have. Skipped, visibly, where there is
//! no `redis-server`.
//!
//! Redis's clock cannot be set, so time stands still here: every ID is given, and what is to be idle is never idle for long enough.
//! Lag and entries read are left out: Debian's 7.0 counts them as later versions do no more.
#![cfg(all(unix, feature = "simulation"))]

mod common {
    #[allow(dead_code, reason = "only the shape of an answer is needed")]
    pub(crate) mod answer;
    #[allow(dead_code, reason = "this test drives no broker")]
    pub(crate) mod generate;
    #[allow(dead_code, reason = "this test looks at less than the model test")]
    pub(crate) mod model;
    pub(crate) mod operation;
    pub(crate) mod redis;
    #[allow(dead_code, reason = "Redis has no such thing")]
    pub(crate) mod schedule;
}

use std::ops::Bound;

use common::answer::Answer;
use common::generate::Dice;
use common::model::Model;
use common::operation::{ByConsumer, Delivered, Fields, InGroup, Limit, OnStream, Operation, Outcome, Trim};
use common::redis::Redis;
use proptest::prelude::*;
use streamlog::{ErrorKind, Id, IdSpec, References, StartAt};

/// Longer than any test: nothing is idle for so long.
const NEVER_MS: u64 = 1 << 40;
const NOW_MS: u64 = 1000;

/// The words of a command.
struct Words(Vec<Vec<u8>>);

impl Words {
    fn new(text: &str) -> Words {
        Words(text.split(' ').map(|word| word.as_bytes().to_vec()).collect())
    }

    #[allow(clippy::needless_pass_by_value, reason = "texts, numbers and IDs are given as they are")]
    fn and(mut self, text: impl ToString) -> Words {
        self.0.extend(text.to_string().split(' ').map(|word| word.as_bytes().to_vec()));
        self
    }

    fn and_if<T: ToString>(self, text: Option<T>) -> Words {
        match text {
            Some(text) => self.and(text),
            None => self,
        }
    }

    fn fields(mut self, fields: &Fields) -> Words {
        self.0.extend(fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        self
    }
}

impl Answer {
    fn list(self) -> Vec<Answer> {
        match self {
            Answer::Array(items) => items,
            Answer::Null => Vec::new(),
            other => panic!("{other:?} is no list"),
        }
    }

    fn text(self) -> String {
        match self {
            Answer::Text(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?} is no text"),
        }
    }

    fn id(self) -> Id {
        self.text().parse().unwrap()
    }

    fn int(self) -> u64 {
        match self {
            Answer::Int(int) => u64::try_from(int).unwrap(),
            other => panic!("{other:?} is no number"),
        }
    }

    /// An entry; no fields if it was deleted.
    fn entry(self) -> (Id, Fields) {
        let [id, fields] = <[Answer; 2]>::try_from(self.list()).unwrap();
        let bytes = |reply: &Answer| match reply {
            Answer::Text(bytes) => bytes.clone(),
            other => panic!("{other:?} is no text"),
        };
        let fields = fields.list();
        (id.id(), fields.chunks(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect())
    }

    fn entries(self) -> Vec<(Id, Fields)> {
        self.list().into_iter().map(Answer::entry).collect()
    }

    /// The entries of the one stream that was read.
    fn of_one_stream(self) -> Vec<(Id, Fields)> {
        let streams = self.list().into_iter();
        streams.flat_map(|stream| stream.list().remove(1).entries()).collect()
    }

    /// The value of a field in a map.
    fn get(&self, name: &str) -> Answer {
        let Answer::Array(items) = self else { panic!("{self:?} is no map") };
        let at = items.iter().position(|item| *item == Answer::Text(name.into())).unwrap();
        items[at + 1].clone()
    }
}

/// Gives every ID, and leaves out what Redis has not, or answers in its own way. `None` if nothing is left.
fn comparable(operation: Operation, model: &Model) -> Option<Operation> {
    let stream = |name: &str| model.streams.get(name);
    let simple = |trim: Trim| !trim.only_acknowledged && !matches!(trim.limit, Limit::AgeMs(_) | Limit::None);
    // What becomes of references came later.
    let keep = |trim: Trim| Trim { references: References::Keep, ..trim };
    let never = |idle_ms: u64| if idle_ms == 0 { 0 } else { NEVER_MS };
    Some(match operation {
        Operation::SetClock(_) | Operation::ApplyRetention | Operation::AddDue => return None,
        Operation::On(name, on) => {
            let last = stream(&name).map_or(Id::MIN, |stream| stream.last_id);
            let given = |id| match id {
                IdSpec::Auto => last.next().unwrap_or(last).into(),
                id => id,
            };
            let on = match on {
                OnStream::SetRetention(_)
                | OnStream::AddBatch { .. }
                | OnStream::AddOnce { .. }
                | OnStream::Delay { .. }
                | OnStream::Cancel(_)
                | OnStream::SetIdempotency(..)
                | OnStream::Remove(..)
                | OnStream::Range { count: Some(0), .. }
                | OnStream::Read { count: Some(0), .. } => return None,
                OnStream::Read { after, count } => OnStream::Read { after: known(after), count },
                OnStream::Add { id, fields, trim } => {
                    OnStream::Add { id: given(id), fields, trim: trim.filter(|trim| simple(*trim)).map(keep) }
                }
                // To which Redis answers otherwise where there is no such stream.
                OnStream::Delete(_) | OnStream::Trim(_) | OnStream::Copy(..) if stream(&name).is_none() => return None,
                OnStream::Trim(trim) if !simple(trim) => return None,
                OnStream::Trim(trim) => OnStream::Trim(keep(trim)),
                // Which came later.
                OnStream::SetLast { id, .. } if stream(&name).is_some_and(|stream| id < stream.max_deleted_id) => {
                    return None;
                }
                OnStream::Range { bounds: (Bound::Excluded(Id::MAX), _) | (_, Bound::Excluded(Id::MIN)), .. } => {
                    return None;
                }
                on => on,
            };
            Operation::On(name, on)
        }
        Operation::In(names, within) => {
            let group = stream(&names[0]).and_then(|stream| stream.groups.get(&names[1]));
            let within = match within {
                InGroup::Create { start, entries_read } => InGroup::Create { start: known(start), entries_read },
                InGroup::Ensure { start } if group.is_none() => InGroup::Ensure { start: known(start) },
                InGroup::Ensure { .. } | InGroup::PendingRange { count: Some(0), .. } => return None,
                _ if group.is_none() => return None,
                InGroup::AckAndDelete(..) | InGroup::Nack { .. } => return None,
                InGroup::SetCursor(to, read) => InGroup::SetCursor(known(to), read),
                InGroup::PendingRange {
                    bounds: (Bound::Excluded(Id::MAX), _) | (_, Bound::Excluded(Id::MIN)), ..
                } => {
                    return None;
                }
                InGroup::PendingRange { bounds, idle_ms, consumer, count } => {
                    InGroup::PendingRange { bounds, idle_ms: never(idle_ms), consumer, count }
                }
                within => within,
            };
            Operation::In(names, within)
        }
        Operation::By(names, by) => {
            stream(&names[0]).and_then(|stream| stream.groups.get(&names[1]))?;
            let by = match by {
                ByConsumer::Fetch { .. }
                | ByConsumer::ReadNew { count: 0, .. }
                | ByConsumer::History { count: Some(0), .. }
                // Which Redis takes for `>`.
                | ByConsumer::History { after: Id::MAX, .. } => return None,
                // Which the Redis here does not know.
                ByConsumer::ReadNew { count, no_ack, .. } => ByConsumer::ReadNew { count, no_ack, claim_idle_ms: None },
                ByConsumer::Claim { ids, min_idle_ms, mut how } => {
                    (how.idle_ms, how.at_ms) = (None, None);
                    ByConsumer::Claim { ids, min_idle_ms: never(min_idle_ms), how }
                }
                ByConsumer::AutoClaim { min_idle_ms, start, count, just_ids } => {
                    ByConsumer::AutoClaim { min_idle_ms: never(min_idle_ms), start, count, just_ids }
                }
                by @ ByConsumer::History { .. } => by,
            };
            Operation::By(names, by)
        }
    })
}

fn limit(trim: Trim) -> String {
    match trim.limit {
        Limit::Len(max) => format!("MAXLEN = {max}"),
        Limit::MinId(id) => format!("MINID = {id}"),
        Limit::AgeMs(_) | Limit::None => unreachable!("left out"),
    }
}

fn bound(bound: Bound<Id>, unbounded: &str) -> String {
    match bound {
        Bound::Included(id) => id.to_string(),
        Bound::Excluded(id) => format!("({id}"),
        Bound::Unbounded => unbounded.to_owned(),
    }
}

/// One that the Redis here knows.
fn known(start: StartAt) -> StartAt {
    if start == StartAt::Last { StartAt::Start } else { start }
}

fn start(start: StartAt) -> String {
    match start {
        StartAt::Start => "0-0".to_owned(),
        StartAt::End => "$".to_owned(),
        StartAt::After(id) => id.to_string(),
        StartAt::Last => unreachable!("left out"),
    }
}

fn joined(ids: &[Id]) -> String {
    ids.iter().map(Id::to_string).collect::<Vec<_>>().join(" ")
}

fn command(operation: &Operation) -> Words {
    match operation {
        Operation::SetClock(_) | Operation::ApplyRetention | Operation::AddDue => unreachable!("left out"),
        Operation::On(stream, on) => match on {
            OnStream::SetRetention(_)
            | OnStream::AddBatch { .. }
            | OnStream::AddOnce { .. }
            | OnStream::Delay { .. }
            | OnStream::Cancel(_)
            | OnStream::SetIdempotency(..)
            | OnStream::Remove(..) => unreachable!("left out"),
            OnStream::Create => Words::new("XGROUP CREATE").and(stream).and("made $ MKSTREAM"),
            OnStream::DeleteStream => Words::new("DEL").and(stream),
            OnStream::Add { id, fields, trim } => {
                let id = match id {
                    IdSpec::Auto => unreachable!("every ID is given"),
                    IdSpec::AutoSeq(ms) => format!("{ms}-*"),
                    IdSpec::Exact(id) => id.to_string(),
                };
                Words::new("XADD").and(stream).and_if(trim.map(limit)).and(id).fields(fields)
            }
            OnStream::Rename(to, replace) => {
                Words::new(if *replace { "RENAME" } else { "RENAMENX" }).and(stream).and(to)
            }
            OnStream::Copy(to, replace) => Words::new("COPY").and(stream).and(to).and_if(replace.then_some("REPLACE")),
            OnStream::SetLast { id, entries_added, max_deleted_id } => Words::new("XSETID")
                .and(stream)
                .and(id)
                .and_if(entries_added.map(|entries| format!("ENTRIESADDED {entries}")))
                .and_if((*max_deleted_id != Id::MIN).then(|| format!("MAXDELETEDID {max_deleted_id}"))),
            OnStream::Delete(ids) => Words::new("XDEL").and(stream).and(joined(ids)),
            OnStream::Trim(trim) => Words::new("XTRIM").and(stream).and(limit(*trim)),
            OnStream::Range { bounds: (first, last), backwards, count } => {
                let (first, last) = (bound(*first, "-"), bound(*last, "+"));
                let words = if *backwards {
                    Words::new("XREVRANGE").and(stream).and(last).and(first)
                } else {
                    Words::new("XRANGE").and(stream).and(first).and(last)
                };
                words.and_if(count.map(|count| format!("COUNT {count}")))
            }
            OnStream::Read { after, count } => Words::new("XREAD")
                .and_if(count.map(|count| format!("COUNT {count}")))
                .and("STREAMS")
                .and(stream)
                .and(start(*after)),
        },
        Operation::In([stream, group], within) => {
            let names = format!("{stream} {group}");
            match within {
                InGroup::Create { start: at, entries_read } => Words::new("XGROUP CREATE")
                    .and(names)
                    .and(start(*at))
                    .and("MKSTREAM")
                    .and_if(entries_read.map(|read| format!("ENTRIESREAD {read}"))),
                InGroup::Ensure { start: at } => Words::new("XGROUP CREATE").and(names).and(start(*at)).and("MKSTREAM"),
                InGroup::Destroy => Words::new("XGROUP DESTROY").and(names),
                InGroup::AckAndDelete(..) | InGroup::Nack { .. } => unreachable!("left out"),
                InGroup::SetCursor(to, read) => Words::new("XGROUP SETID")
                    .and(names)
                    .and(start(*to))
                    .and_if(read.map(|read| format!("ENTRIESREAD {read}"))),
                InGroup::CreateConsumer(name) => Words::new("XGROUP CREATECONSUMER").and(names).and(name),
                InGroup::DeleteConsumer(name) => Words::new("XGROUP DELCONSUMER").and(names).and(name),
                InGroup::Ack(ids) => Words::new("XACK").and(names).and(joined(ids)),
                InGroup::PendingRange { bounds: (first, last), idle_ms, consumer, count } => Words::new("XPENDING")
                    .and(names)
                    .and(format!("IDLE {idle_ms}"))
                    .and(bound(*first, "-"))
                    .and(bound(*last, "+"))
                    .and(count.unwrap_or(1_000_000))
                    .and_if(consumer.as_ref()),
            }
        }
        Operation::By([stream, group, consumer], by) => match by {
            ByConsumer::Fetch { .. } => unreachable!("left out"),
            ByConsumer::ReadNew { count, no_ack, .. } => Words::new("XREADGROUP GROUP")
                .and(format!("{group} {consumer} COUNT {count}"))
                .and_if(no_ack.then_some("NOACK"))
                .and(format!("STREAMS {stream} >")),
            ByConsumer::History { after, count } => Words::new("XREADGROUP GROUP")
                .and(format!("{group} {consumer}"))
                .and_if(count.map(|count| format!("COUNT {count}")))
                .and(format!("STREAMS {stream} {after}")),
            ByConsumer::Claim { ids, min_idle_ms, how } => Words::new("XCLAIM")
                .and(format!("{stream} {group} {consumer} {min_idle_ms} {}", joined(ids)))
                .and_if(how.deliveries.map(|deliveries| format!("RETRYCOUNT {deliveries}")))
                .and_if(how.force.then_some("FORCE"))
                .and_if(how.last_id.map(|id| format!("LASTID {id}")))
                .and_if(how.just_ids.then_some("JUSTID")),
            ByConsumer::AutoClaim { min_idle_ms, start, count, just_ids } => Words::new("XAUTOCLAIM")
                .and(format!("{stream} {group} {consumer} {min_idle_ms} {start} COUNT {count}"))
                .and_if(just_ids.then_some("JUSTID")),
        },
    }
}

/// What Redis answered, as the model says it. What it does not say (how often a message was delivered) is compared with all the
/// rest afterwards.
fn outcome(reply: Answer, operation: &Operation) -> Outcome {
    if let Answer::Error(text) = &reply {
        let kinds = [
            ("must be greater than 0-0", ErrorKind::InvalidId),
            ("equal or smaller", ErrorKind::IdTooSmall),
            // What 7.0 says of a millisecond that has no sequence number left; no entry here is large.
            ("too large to be stored", ErrorKind::IdTooSmall),
            ("exhausted", ErrorKind::IdsExhausted),
            ("smaller than the target stream length", ErrorKind::InvalidArgument),
            ("XSETID is smaller", ErrorKind::IdTooSmall),
            ("no such key", ErrorKind::NoSuchStream),
            ("objects are the same", ErrorKind::InvalidArgument),
            ("BUSYGROUP", ErrorKind::GroupExists),
            ("COUNT must be > 0", ErrorKind::InvalidArgument),
        ];
        let kind = kinds.iter().find(|(part, _)| text.contains(part));
        return Outcome::Error(kind.unwrap_or_else(|| panic!("{text}")).1);
    }
    let delivered = |entries: Vec<(Id, Fields)>| {
        let (messages, deleted): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, fields)| !fields.is_empty());
        Delivered {
            messages: messages.into_iter().map(|(id, fields)| (id, 0, (0, 0), fields)).collect(),
            deleted: deleted.into_iter().map(|(id, _)| id).collect(),
        }
    };
    match operation {
        Operation::On(_, OnStream::Create) => unreachable!("not compared"),
        Operation::On(_, OnStream::Rename(_, false) | OnStream::Copy(_, false)) => Outcome::Flag(reply.int() == 1),
        Operation::On(_, OnStream::Rename(..) | OnStream::Copy(..) | OnStream::SetLast { .. }) => Outcome::Done,
        Operation::On(_, OnStream::DeleteStream) | Operation::In(_, InGroup::Destroy | InGroup::CreateConsumer(_)) => {
            Outcome::Flag(reply.int() == 1)
        }
        Operation::On(_, OnStream::Add { .. }) => Outcome::Ids(vec![reply.id()]),
        Operation::On(_, OnStream::Range { .. }) => Outcome::Entries(reply.entries()),
        Operation::On(_, OnStream::Read { .. }) => Outcome::Entries(reply.of_one_stream()),
        Operation::On(..) | Operation::In(_, InGroup::DeleteConsumer(_) | InGroup::Ack(_)) => {
            Outcome::Count(reply.int())
        }
        Operation::In(_, InGroup::PendingRange { .. }) => Outcome::Pending(pending(reply)),
        Operation::By(_, ByConsumer::ReadNew { .. } | ByConsumer::History { .. }) => {
            Outcome::Messages(delivered(reply.of_one_stream()))
        }
        Operation::By(_, ByConsumer::Claim { how, .. }) if how.just_ids => {
            Outcome::Ids(reply.list().into_iter().map(Answer::id).collect())
        }
        Operation::By(_, ByConsumer::Claim { .. }) => Outcome::Messages(delivered(reply.entries())),
        Operation::By(_, ByConsumer::AutoClaim { just_ids, .. }) => {
            let [next, entries, deleted] = <[Answer; 3]>::try_from(reply.list()).unwrap();
            let deleted = deleted.list().into_iter().map(Answer::id).collect();
            if *just_ids {
                let ids = entries.list().into_iter().map(Answer::id).collect();
                return Outcome::AutoClaimedIds(ids, deleted, next.id());
            }
            Outcome::AutoClaimed(Delivered { deleted, ..delivered(entries.entries()) }, next.id())
        }
        _ => Outcome::Done,
    }
}

fn pending(reply: Answer) -> Vec<(Id, String, u64, u32)> {
    let row = |row: Answer| {
        let [id, consumer, _, deliveries] = <[Answer; 4]>::try_from(row.list()).unwrap();
        (id.id(), consumer.text(), 0, u32::try_from(deliveries.int()).unwrap())
    };
    reply.list().into_iter().map(row).collect()
}

/// The outcome without what Redis does not tell: deliveries of messages, and what a claim found deleted.
fn told(outcome: Outcome, operation: &Operation) -> Outcome {
    let silent = |mut delivered: Delivered| {
        delivered.messages.iter_mut().for_each(|(_, deliveries, before, _)| (*deliveries, *before) = (0, (0, 0)));
        delivered
    };
    match (outcome, operation) {
        (Outcome::Messages(delivered), Operation::By(_, ByConsumer::Claim { .. })) => {
            Outcome::Messages(Delivered { deleted: Vec::new(), ..silent(delivered) })
        }
        (Outcome::Messages(delivered), _) => Outcome::Messages(silent(delivered)),
        (Outcome::AutoClaimed(delivered, next), _) => Outcome::AutoClaimed(silent(delivered), next),
        (outcome, _) => outcome,
    }
}

/// All that the model has and Redis tells.
fn compare(redis: &mut Redis, model: &Model) -> Result<(), TestCaseError> {
    for (name, stream) in &model.streams {
        let info = redis.call(&Words::new("XINFO STREAM").and(name).0);
        prop_assert_eq!(info.get("length").int(), stream.entries.len() as u64);
        prop_assert_eq!(info.get("last-generated-id").id(), stream.last_id);
        prop_assert_eq!(info.get("max-deleted-entry-id").id(), stream.max_deleted_id);
        prop_assert_eq!(info.get("entries-added").int(), stream.entries_added);
        let groups = redis.call(&Words::new("XINFO GROUPS").and(name).0).list();
        prop_assert_eq!(groups.len(), stream.groups.len());
        for info in groups {
            let group_name = info.get("name").text();
            let group = &stream.groups[&group_name];
            prop_assert_eq!(info.get("last-delivered-id").id(), group.cursor);
            prop_assert_eq!(info.get("consumers").int(), group.consumers.len() as u64);
            let rows = redis.call(&Words::new("XPENDING").and(name).and(group_name).and("- + 1000000").0);
            let expected = group.pending.iter().map(|(id, row)| (*id, row.consumer.clone(), 0, row.deliveries));
            prop_assert_eq!(pending(rows), expected.collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn run(redis: &mut Redis, steps: &[Vec<u8>]) -> Result<(), TestCaseError> {
    redis.call(&Words::new("FLUSHALL").0);
    let mut model = Model::at(NOW_MS);
    let mut done = Vec::new();
    for bytes in steps {
        let Some(operation) = comparable(Dice::new(bytes, &model).operation(), &model) else { continue };
        done.push(operation.clone());
        let reply = redis.call(&command(&operation).0);
        let ours = told(model.apply(&operation), &operation);
        let compared = (|| {
            if let (Operation::By([stream, group, name], _), false) = (&operation, matches!(ours, Outcome::Error(_))) {
                // Redis 7.0 does not create a consumer that gets nothing; later versions do.
                redis.call(&Words::new("XGROUP CREATECONSUMER").and(stream).and(group).and(name).0);
            }
            if let Operation::On(name, OnStream::Create) = &operation {
                redis.call(&Words::new("XGROUP DESTROY").and(name).and("made").0);
            } else {
                prop_assert_eq!(ours, outcome(reply, &operation));
            }
            compare(redis, &model)
        })();
        compared.map_err(|error| TestCaseError::fail(format!("{error}\nafter {done:?}")))?;
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
