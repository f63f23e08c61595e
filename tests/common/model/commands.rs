//! Redis's commands on the model: what each does, answers and refuses, but for those that only read.

use streamlog::command::{Command, Reply, XAdd, XCfgSet, XGroupCreate, XGroupSetId, XSetId};
use streamlog::{ErrorKind, Id, IdSpec, References, Removal};

use super::group::Consumer;
use super::info::{count, id_of, ids_of};
use super::producers::Once;
use super::{Group, Model, Stream};

/// A reply, or the text of an error.
pub(super) type Answer = Result<Reply, String>;

const NO_SUCH_KEY: &str = "ERR no such key";

pub(super) fn no_group(key: &str, group: &str) -> String {
    format!("NOGROUP No such consumer group '{group}' for key name '{key}'")
}

/// What commands about pending entries say.
pub(super) fn no_key_or_group(key: &str, group: &str) -> String {
    format!("NOGROUP No such key '{key}' or consumer group '{group}'")
}

fn flag(flag: bool) -> Reply {
    Reply::Int(flag.into())
}

fn removals(removals: Vec<Removal>) -> Reply {
    let number = |removal| match removal {
        Removal::Missing => -1,
        Removal::Removed => 1,
        Removal::Referenced => 2,
    };
    Reply::Array(removals.into_iter().map(|removal| Reply::Int(number(removal))).collect())
}

impl Model {
    pub(crate) fn execute(&mut self, command: &Command) -> Answer {
        let now_ms = self.now_ms;
        match command {
            Command::XAdd(add) => self.xadd(add),
            Command::XTrim { key, trim } => {
                Ok(count(self.streams.get_mut(key).map_or(0, |stream| stream.trim(*trim, now_ms))))
            }
            Command::XDel { key, ids } => {
                let removed = self.remove(key, References::Keep, ids).into_iter();
                Ok(count(removed.filter(|removal| *removal == Removal::Removed).count() as u64))
            }
            Command::XDelEx { key, references, ids } => Ok(removals(self.remove(key, *references, ids))),
            Command::XAck { key, group, ids } => Ok(count(match self.group(key, group) {
                Ok(group) => ids.iter().filter(|id| group.pending.remove(id).is_some()).count() as u64,
                Err(_) => 0,
            })),
            Command::XAckDel { key, group, references, ids } => {
                Ok(removals(ids.iter().map(|id| self.ack_and_remove(key, group, *references, *id)).collect()))
            }
            Command::XNack(nack) => self.nack(nack, 0).map(count).map_err(|_| no_key_or_group(&nack.key, &nack.group)),
            Command::XClaim(claim) => {
                let claimed = self.claim(claim).map_err(|_| no_key_or_group(&claim.key, &claim.group))?;
                Ok(if claim.just_ids { ids_of(claimed.ids()) } else { claimed.entries() })
            }
            Command::XAutoClaim(claim) => {
                let (claimed, next) = self.auto_claim(claim).map_err(|_| no_key_or_group(&claim.key, &claim.group))?;
                let found = if claim.just_ids { ids_of(claimed.ids()) } else { claimed.entries() };
                Ok(Reply::Array(vec![id_of(next), found, ids_of(claimed.deleted)]))
            }
            Command::XReadGroup(read) => self.xreadgroup(read),
            Command::XGroupCreate(create) => self.xgroup_create(create),
            Command::XGroupSetId(set) => self.xgroup_setid(set),
            Command::XGroupDestroy { key, group } => Ok(flag(self.of_groups(key)?.groups.remove(group).is_some())),
            Command::XGroupCreateConsumer { key, group, consumer } => {
                let consumers = &mut self.group_of(key, group)?.consumers;
                let created = !consumers.contains_key(consumer);
                consumers.entry(consumer.clone()).or_insert(Consumer { seen_ms: now_ms, ..Consumer::default() });
                Ok(flag(created))
            }
            Command::XGroupDelConsumer { key, group, consumer } => {
                let group = self.group_of(key, group)?;
                let before = group.pending.len();
                group.pending.retain(|_, row| row.consumer != *consumer);
                group.consumers.remove(consumer);
                Ok(count((before - group.pending.len()) as u64))
            }
            Command::XSetId(set) => self.xsetid(set),
            Command::XCfgSet(set) => self.xcfgset(set),
            Command::XIdmpRecord { key, producer, id, entry } => {
                let stream = self.stream(key)?;
                if !stream.entries.contains_key(entry) {
                    return Err("ERR No such message in stream".to_owned());
                }
                let once = Once::Id(id.clone());
                match stream.producers.find(producer, &once, now_ms) {
                    Some(other) if other != *entry => {
                        return Err("ERR IID already exists for this producer with a different stream ID".to_owned());
                    }
                    Some(_) => {}
                    None => stream.producers.remember(producer, once, *entry, now_ms),
                }
                Ok(Reply::OK)
            }
            Command::Del { keys } | Command::Unlink { keys } => {
                let deleted = keys.iter().filter(|key| {
                    self.schedule.stream_is_gone(key);
                    self.streams.remove(*key).is_some()
                });
                Ok(count(deleted.count() as u64))
            }
            Command::Rename { key, to } => {
                self.rename(key, to)?;
                Ok(Reply::OK)
            }
            Command::RenameNx { key, to } => {
                self.stream(key)?;
                if self.streams.contains_key(to) {
                    return Ok(flag(false));
                }
                self.rename(key, to)?;
                Ok(flag(true))
            }
            Command::Copy { source, destination, replace } => self.copy(source, destination, *replace),
            reads => self.look(reads),
        }
    }

    pub(super) fn stream(&mut self, name: &str) -> Result<&mut Stream, String> {
        self.streams.get_mut(name).ok_or(NO_SUCH_KEY.to_owned())
    }

    /// A stream, for `XGROUP`.
    fn of_groups(&mut self, name: &str) -> Result<&mut Stream, String> {
        let text = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
                    option to create an empty stream automatically.";
        self.streams.get_mut(name).ok_or(text.to_owned())
    }

    /// A group, for `XGROUP`.
    fn group_of(&mut self, stream: &str, group: &str) -> Result<&mut Group, String> {
        self.of_groups(stream)?.groups.get_mut(group).ok_or_else(|| no_group(stream, group))
    }

    fn xadd(&mut self, add: &XAdd) -> Answer {
        let now_ms = self.now_ms;
        // An ID that none can have is refused in any case.
        let is_possible = add.id != IdSpec::Exact(Id::MIN);
        if is_possible && add.no_make_stream && !self.streams.contains_key(&add.key) {
            return Ok(Reply::Null);
        }
        let once = add.idempotent.as_ref().map(|idempotent| (idempotent.producer(), Once::of(idempotent, &add.fields)));
        if let (Some(stream), Some((producer, once))) = (self.streams.get(&add.key), &once)
            && let Some(entry) = stream.producers.find(producer, once, now_ms)
        {
            return Ok(id_of(entry));
        }
        let added = self.add(&add.key, &[(add.id, add.fields.clone())], add.trim).map_err(|kind| {
            let text = match kind {
                ErrorKind::InvalidId => "The ID specified in XADD must be greater than 0-0",
                ErrorKind::IdsExhausted => "The stream has exhausted the last possible ID, unable to add more items",
                _ => "The ID specified in XADD is equal or smaller than the target stream top item",
            };
            format!("ERR {text}")
        })?;
        if let Some((producer, once)) = once {
            assert_eq!(add.id, IdSpec::Auto, "no other can be said");
            self.stream(&add.key)?.producers.remember(producer, once, added[0], now_ms);
        }
        Ok(id_of(added[0]))
    }

    fn remove(&mut self, key: &str, references: References, ids: &[Id]) -> Vec<Removal> {
        let mut stream = self.streams.get_mut(key);
        let remove = |id: &Id| stream.as_mut().map_or(Removal::Missing, |stream| stream.remove(*id, references));
        ids.iter().map(remove).collect()
    }

    fn ack_and_remove(&mut self, key: &str, group: &str, references: References, id: Id) -> Removal {
        if !self.group(key, group).is_ok_and(|group| group.pending.remove(&id).is_some()) {
            return Removal::Missing;
        }
        match self.streams.get_mut(key).expect("it has the group").remove(id, references) {
            Removal::Missing => Removal::Removed,
            removal => removal,
        }
    }

    fn xgroup_create(&mut self, create: &XGroupCreate) -> Answer {
        if !create.make_stream {
            self.of_groups(&create.key)?;
        }
        if !self.make_group([&create.key, &create.group], create.start, create.entries_read) {
            return Err("BUSYGROUP Consumer Group name already exists".to_owned());
        }
        Ok(Reply::OK)
    }

    fn xgroup_setid(&mut self, set: &XGroupSetId) -> Answer {
        let stream = self.of_groups(&set.key)?;
        let (cursor, added) = (stream.resolve(set.to), stream.entries_added);
        let group = self.group_of(&set.key, &set.group)?;
        (group.cursor, group.entries_read) = (cursor, set.entries_read.map(|read| read.min(added)));
        Ok(Reply::OK)
    }

    fn xsetid(&mut self, set: &XSetId) -> Answer {
        let max_deleted_id = set.max_deleted_id.unwrap_or(Id::MIN);
        if set.last_id < max_deleted_id {
            let text = "The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
            return Err(format!("ERR {text}"));
        }
        self.stream(&set.key)?.set_last(set.last_id, set.entries_added, max_deleted_id)?;
        Ok(Reply::OK)
    }

    fn xcfgset(&mut self, set: &XCfgSet) -> Answer {
        let producers = &mut self.stream(&set.key)?.producers;
        let before = (producers.seconds, producers.ids_max);
        let after = (set.seconds.unwrap_or(before.0), set.ids.unwrap_or(before.1));
        if after != before {
            (producers.seconds, producers.ids_max) = after;
            producers.latest.clear();
        }
        Ok(Reply::OK)
    }

    fn rename(&mut self, name: &str, to: &str) -> Result<(), String> {
        self.stream(name)?;
        if to != name {
            let stream = self.streams.remove(name).expect("it was just found");
            self.streams.insert(to.to_owned(), stream);
            self.schedule.stream_is_gone(to);
            self.schedule.stream_is_renamed(name, to);
        }
        Ok(())
    }

    fn copy(&mut self, name: &str, to: &str, replace: bool) -> Answer {
        if to == name {
            return Err("ERR source and destination objects are the same".to_owned());
        }
        let Some(mut copy) = self.streams.get(name).cloned() else { return Ok(flag(false)) };
        if self.streams.contains_key(to) && !replace {
            return Ok(flag(false));
        }
        copy.groups.values_mut().for_each(Group::forget_turns);
        self.streams.insert(to.to_owned(), copy);
        self.schedule.stream_is_gone(to);
        Ok(flag(true))
    }
}
