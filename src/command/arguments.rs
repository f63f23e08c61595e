//! Writing commands: the arguments that [`parse`](super::parse) reads as the same command.

use std::fmt::Display;
use std::ops::Bound;
use std::time::Duration;

use super::Command;
use super::words::{
    Delivered, Flush, NackMode, ReadLimits, Scan, Wait, XAdd, XClaim, XGroupCreate, XNack, XPendingRange, XRange,
    XRead, XReadGroup,
};
use crate::clock::millis;
use crate::id::{Id, IdSpec};
use crate::stream::{GroupStart, StartAt};
use crate::trim::{AtMost, By, References, Trim};

/// Arguments, one after the other.
struct Args(Vec<Vec<u8>>);

impl Args {
    /// Words, between blanks.
    fn words(mut self, words: &str) -> Args {
        self.0.extend(words.split(' ').map(|word| word.as_bytes().to_vec()));
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Args {
        self.0.push(bytes.to_vec());
        self
    }

    fn limits(self, limits: ReadLimits) -> Args {
        let args = self.option("COUNT", limits.count).option("MAXCOUNT", limits.max_count);
        args.option("MAXSIZE", limits.max_size)
    }

    fn name(self, name: &str) -> Args {
        self.bytes(name.as_bytes())
    }

    fn names(self, names: &[String]) -> Args {
        names.iter().fold(self, |args, name| args.name(name))
    }

    fn value(self, value: impl Display) -> Args {
        self.name(&value.to_string())
    }

    fn ms(self, duration: Duration) -> Args {
        self.value(millis(duration))
    }

    fn ids(self, ids: &[Id]) -> Args {
        ids.iter().fold(self, Args::value)
    }

    fn word_if(self, condition: bool, word: &str) -> Args {
        if condition { self.words(word) } else { self }
    }

    fn option(self, word: &str, value: Option<impl Display>) -> Args {
        match value {
            Some(value) => self.words(word).value(value),
            None => self,
        }
    }

    fn bytes_option(self, word: &str, value: Option<&[u8]>) -> Args {
        match value {
            Some(value) => self.words(word).bytes(value),
            None => self,
        }
    }

    fn flush(self, how: Flush) -> Args {
        match how {
            Flush::Unsaid => self,
            Flush::Async => self.words("ASYNC"),
            Flush::Sync => self.words("SYNC"),
        }
    }

    fn references(self, references: References) -> Args {
        match references {
            References::Keep => self,
            References::Delete => self.words("DELREF"),
            References::Acknowledged => self.words("ACKED"),
        }
    }

    fn counted_ids(self, references: References, ids: &[Id]) -> Args {
        self.references(references).words("IDS").value(ids.len()).ids(ids)
    }

    fn trim(self, trim: Trim) -> Args {
        let about = |args: Args| args.word_if(trim.approximately.is_some(), "~");
        let args = match trim.by {
            By::Len(max) => about(self.words("MAXLEN")).value(max),
            By::MinId(id) => about(self.words("MINID")).value(id),
            By::Age(age) => self.words("MAXAGE").ms(age),
            By::Bytes(max) => self.words("MAXBYTES").value(max),
            By::All => self.words("ALL"),
        };
        let limit = trim.approximately.and_then(|at_most| match at_most {
            AtMost::Nodes => None,
            AtMost::Entries(u64::MAX) => Some(0),
            AtMost::Entries(entries) => Some(entries),
        });
        args.option("LIMIT", limit).references(trim.references).word_if(trim.only_acknowledged, "ONLYACKED")
    }

    fn bound(self, bound: Bound<Id>, unbounded: &str) -> Args {
        match bound {
            Bound::Included(id) => self.value(id),
            Bound::Excluded(id) => self.value(format!("({id}")),
            Bound::Unbounded => self.words(unbounded),
        }
    }

    fn start(self, start: StartAt) -> Args {
        match start {
            StartAt::Start => self.value(Id::MIN),
            StartAt::End => self.words("$"),
            StartAt::Last => self.words("+"),
            StartAt::After(id) => self.value(id),
        }
    }

    fn wait(self, wait: Wait) -> Args {
        match wait {
            Wait::No => self,
            Wait::AtMost(time) => self.words("BLOCK").value(millis(time).max(1)),
            Wait::Forever => self.words("BLOCK 0"),
        }
    }
}

pub(super) fn of(command: &Command) -> Vec<Vec<u8>> {
    let start = Args(Vec::new());
    let args = match command {
        Command::XAdd(add) => xadd(start, add),
        Command::XTrim { key, trim } => start.words("XTRIM").name(key).trim(*trim),
        Command::XDel { key, ids } => start.words("XDEL").name(key).ids(ids),
        Command::XDelEx { key, references, ids } => start.words("XDELEX").name(key).counted_ids(*references, ids),
        Command::XAck { key, group, ids } => start.words("XACK").name(key).name(group).ids(ids),
        Command::XAckDel { key, group, references, ids } => {
            start.words("XACKDEL").name(key).name(group).counted_ids(*references, ids)
        }
        Command::XNack(nack) => xnack(start, nack),
        Command::XLen { key } => start.words("XLEN").name(key),
        Command::XRange(XRange { key, first, last, count }) => {
            start.words("XRANGE").name(key).bound(*first, "-").bound(*last, "+").option("COUNT", *count)
        }
        Command::XRevRange(XRange { key, first, last, count }) => {
            start.words("XREVRANGE").name(key).bound(*last, "+").bound(*first, "-").option("COUNT", *count)
        }
        Command::XRead(read) => xread(start, read),
        Command::XReadGroup(read) => xreadgroup(start, read),
        Command::XPending { key, group } => start.words("XPENDING").name(key).name(group),
        Command::XPendingRange(range) => xpending(start, range),
        Command::XClaim(claim) => xclaim(start, claim),
        Command::XAutoClaim(claim) => {
            let args = start.words("XAUTOCLAIM").name(&claim.key).name(&claim.group).name(&claim.consumer);
            let args = args.ms(claim.min_idle).value(claim.start).words("COUNT").value(claim.count);
            args.word_if(claim.just_ids, "JUSTID")
        }
        Command::XGroupCreate(XGroupCreate { key, group, start: at, make_stream, entries_read }) => {
            let args = start.words("XGROUP CREATE").name(key).name(group).start(*at);
            args.word_if(*make_stream, "MKSTREAM").option("ENTRIESREAD", *entries_read)
        }
        Command::XGroupSetId(set) => {
            let args = start.words("XGROUP SETID").name(&set.key).name(&set.group).start(set.to);
            args.option("ENTRIESREAD", set.entries_read)
        }
        Command::XGroupDestroy { key, group } => start.words("XGROUP DESTROY").name(key).name(group),
        Command::XGroupCreateConsumer { key, group, consumer } => {
            start.words("XGROUP CREATECONSUMER").name(key).name(group).name(consumer)
        }
        Command::XGroupDelConsumer { key, group, consumer } => {
            start.words("XGROUP DELCONSUMER").name(key).name(group).name(consumer)
        }
        Command::XGroupHelp => start.words("XGROUP HELP"),
        Command::XInfoStream { key } => start.words("XINFO STREAM").name(key),
        Command::XInfoStreamFull { key, count } => {
            start.words("XINFO STREAM").name(key).words("FULL COUNT").value(count)
        }
        Command::XInfoGroups { key } => start.words("XINFO GROUPS").name(key),
        Command::XInfoConsumers { key, group } => start.words("XINFO CONSUMERS").name(key).name(group),
        Command::XInfoHelp => start.words("XINFO HELP"),
        Command::XSetId(set) => {
            let args = start.words("XSETID").name(&set.key).value(set.last_id);
            args.option("ENTRIESADDED", set.entries_added).option("MAXDELETEDID", set.max_deleted_id)
        }
        Command::XCfgSet(set) => {
            let args = start.words("XCFGSET").name(&set.key);
            args.option("IDMP-DURATION", set.seconds).option("IDMP-MAXSIZE", set.ids)
        }
        Command::XIdmpRecord { key, producer, id, entry } => {
            start.words("XIDMPRECORD").name(key).bytes(producer).bytes(id).value(entry)
        }
        Command::Del { keys } => start.words("DEL").names(keys),
        Command::Unlink { keys } => start.words("UNLINK").names(keys),
        Command::Exists { keys } => start.words("EXISTS").names(keys),
        Command::Type { key } => start.words("TYPE").name(key),
        Command::Rename { key, to } => start.words("RENAME").name(key).name(to),
        Command::RenameNx { key, to } => start.words("RENAMENX").name(key).name(to),
        Command::Copy { source, destination, replace } => {
            start.words("COPY").name(source).name(destination).word_if(*replace, "REPLACE")
        }
        Command::Keys { pattern } => start.words("KEYS").bytes(pattern),
        Command::Scan(Scan { cursor, pattern, count, of_type }) => {
            let args = start.words("SCAN").value(cursor).bytes_option("MATCH", pattern.as_deref());
            args.option("COUNT", *count).bytes_option("TYPE", of_type.as_deref())
        }
        Command::DbSize => start.words("DBSIZE"),
        Command::FlushDb(how) => start.words("FLUSHDB").flush(*how),
        Command::FlushAll(how) => start.words("FLUSHALL").flush(*how),
        Command::Mistaken(mistaken) => Args(mistaken.args.clone()),
    };
    args.0
}

fn xadd(start: Args, add: &XAdd) -> Args {
    let XAdd { key, no_make_stream, idempotent, trim, id, fields } = add;
    let mut args = start.words("XADD").name(key).word_if(*no_make_stream, "NOMKSTREAM");
    if let Some(trim) = trim {
        args = args.trim(*trim);
    }
    if let Some(once) = idempotent {
        args = match once.id() {
            Some(id) => args.words("IDMP").bytes(once.producer()).bytes(id),
            None => args.words("IDMPAUTO").bytes(once.producer()),
        };
    }
    args = match id {
        IdSpec::Auto => args.words("*"),
        IdSpec::AutoSeq(ms) => args.value(format!("{ms}-*")),
        IdSpec::Exact(id) => args.value(id),
    };
    fields.iter().fold(args, |args, (name, value)| args.bytes(name).bytes(value))
}

fn xnack(start: Args, nack: &XNack) -> Args {
    let mode = match nack.mode {
        NackMode::Silent => "SILENT",
        NackMode::Fail => "FAIL",
        NackMode::Fatal => "FATAL",
    };
    let args = start.words("XNACK").name(&nack.key).name(&nack.group).words(mode);
    let args = args.words("IDS").value(nack.ids.len()).ids(&nack.ids);
    args.option("RETRYCOUNT", nack.retry_count).word_if(nack.force, "FORCE")
}

fn xread(start: Args, read: &XRead) -> Args {
    let args = start.words("XREAD").limits(read.limits).wait(read.wait).words("STREAMS");
    let args = read.streams.iter().fold(args, |args, (key, _)| args.name(key));
    read.streams.iter().fold(args, |args, (_, from)| args.start(*from))
}

fn xreadgroup(start: Args, read: &XReadGroup) -> Args {
    let args = start.words("XREADGROUP GROUP").name(&read.group).name(&read.consumer);
    let args = args.limits(read.limits).wait(read.wait).option("CLAIM", read.claim.map(millis));
    let args = args.word_if(read.no_ack, "NOACK").words("STREAMS");
    let args = read.streams.iter().fold(args, |args, (key, _)| args.name(key));
    read.streams.iter().fold(args, |args, (_, from)| match from {
        GroupStart::New => args.words(">"),
        GroupStart::PendingAfter(id) => args.value(id),
    })
}

fn xpending(start: Args, range: &XPendingRange) -> Args {
    let args = start.words("XPENDING").name(&range.key).name(&range.group).words("IDLE").ms(range.idle);
    let args = args.bound(range.first, "-").bound(range.last, "+").value(range.count);
    match &range.consumer {
        Some(consumer) => args.name(consumer),
        None => args,
    }
}

fn xclaim(start: Args, claim: &XClaim) -> Args {
    let args = start.words("XCLAIM").name(&claim.key).name(&claim.group).name(&claim.consumer);
    let args = args.ms(claim.min_idle).ids(&claim.ids);
    let args = match claim.delivered {
        None => args,
        Some(Delivered::Ago(idle)) => args.words("IDLE").ms(idle),
        Some(Delivered::AtMs(ms)) => args.words("TIME").value(ms),
    };
    let args = args.option("RETRYCOUNT", claim.retry_count).option("LASTID", claim.last_id);
    args.word_if(claim.force, "FORCE").word_if(claim.just_ids, "JUSTID")
}
