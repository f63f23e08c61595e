//! The commands of streams.

use super::row;
use crate::resp::commands::Kind;
use crate::resp::commands::spec::Flags;
use crate::resp::commands::spec::Spec;

const BLOCKING: Flags = Flags::BLOCKING;
const DENYOOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;
const LOADING: Flags = Flags::LOADING;
const MOVABLE_KEYS: Flags = Flags::MOVABLE_KEYS;
const NONE: Flags = Flags::NONE;
const READONLY: Flags = Flags::READONLY;
const STALE: Flags = Flags::STALE;
const WRITE: Flags = Flags::WRITE;
const STREAM: Kind = Kind::Stream;

#[allow(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn all() -> Vec<Spec> {
    vec![
row("xadd", -5, WRITE | DENYOOM | FAST, STREAM)
.about("stream", "5.0.0", "O(1); with a trim O(N) for N entries that go", "Adds an entry to a stream, and makes the stream if it is not there.")
.syntax("key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [{IDMPAUTO pid}|{IDMP pid iid}] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id {field value}...")
.categories(&["@stream"])
.tips(&["nondeterministic_output"])
.key(1, &["RW", "update"])
.notes("UPDATE instead of INSERT because of the optional trimming feature"),
row("xtrim", -4, WRITE, STREAM)
.about("stream", "5.0.0", "O(N) for N entries that go", "Removes entries from the beginning of a stream.")
.syntax("key MAXLEN|MINID [=|~] threshold [LIMIT count] [KEEPREF|DELREF|ACKED]")
.categories(&["@stream"])
.tips(&["nondeterministic_output"])
.key(1, &["RW", "delete"]),
row("xdel", -3, WRITE | FAST, STREAM)
.about("stream", "5.0.0", "O(N) for N IDs", "Deletes entries from a stream.")
.syntax("key id...")
.categories(&["@stream"])
.key(1, &["RW", "delete"]),
row("xdelex", -5, WRITE | FAST, STREAM)
.about("stream", "8.2.0", "O(N) for N IDs", "Deletes entries from a stream, and says of each what became of it.")
.syntax("key [KEEPREF|DELREF|ACKED] IDS {numids id...}")
.categories(&["@stream"])
.key(1, &["RW", "delete"]),
row("xack", -4, WRITE | FAST, STREAM)
.about("stream", "5.0.0", "O(N) for N IDs", "Acknowledges entries that are pending in a group.")
.syntax("key group id...")
.categories(&["@stream"])
.key(1, &["RW", "update"]),
row("xackdel", -6, WRITE | FAST, STREAM)
.about("stream", "8.2.0", "O(N) for N IDs", "Acknowledges entries in a group and deletes them, and says of each what became of it.")
.syntax("key group [KEEPREF|DELREF|ACKED] IDS {numids id...}")
.categories(&["@stream"])
.key(1, &["RW", "update", "delete"]),
row("xnack", -7, WRITE | FAST, STREAM)
.about("stream", "8.8.0", "O(N) for N IDs", "Gives entries that are pending back, for whoever claims them.")
.syntax("key group SILENT|FAIL|FATAL IDS {numids id...} [RETRYCOUNT count] [FORCE]")
.categories(&["@stream"])
.key(1, &["RW", "update"]),
row("xlen", 2, READONLY | FAST, STREAM)
.about("stream", "5.0.0", "O(1)", "Counts the entries of a stream.")
.syntax("key")
.categories(&["@stream"])
.key(1, &["RO"]),
row("xrange", -4, READONLY, STREAM)
.about("stream", "5.0.0", "O(N) for N entries", "Reads the entries of a stream between two IDs.")
.syntax("key start end [COUNT count]")
.categories(&["@stream"])
.key(1, &["RO", "access"]),
row("xrevrange", -4, READONLY, STREAM)
.about("stream", "5.0.0", "O(N) for N entries", "Reads the entries of a stream between two IDs, from the last to the first.")
.syntax("key end start [COUNT count]")
.categories(&["@stream"])
.key(1, &["RO", "access"]),
row("xread", -4, READONLY | BLOCKING | MOVABLE_KEYS, STREAM)
.about("stream", "5.0.0", "O(N) for N entries", "Reads the entries after an ID of each of several streams; waits for some if asked to.")
.syntax("[COUNT count] [BLOCK milliseconds] STREAMS {key... id...}")
.categories(&["@stream"])
.keys_after("STREAMS", 1, &["RO", "access"]),
row("xreadgroup", -7, WRITE | BLOCKING | MOVABLE_KEYS, STREAM)
.about("stream", "5.0.0", "O(N) for N entries", "Reads new or pending entries of several streams for a consumer in a group; waits for some if asked to.")
.syntax("GROUP {group consumer} [COUNT count] [BLOCK milliseconds] [CLAIM min-idle-time] [NOACK] STREAMS {key... id...}")
.categories(&["@stream"])
.keys_after("STREAMS", 4, &["RO", "access"]),
row("xpending", -3, READONLY, STREAM)
.about("stream", "5.0.0", "O(N) for N entries", "Tells what is pending in a group, in short or entry by entry.")
.syntax("key group [[IDLE min-idle-time] start end count [consumer]]")
.categories(&["@stream"])
.tips(&["nondeterministic_output"])
.key(1, &["RO", "access"]),
row("xclaim", -6, WRITE | FAST, STREAM)
.about("stream", "5.0.0", "O(N) for N IDs", "Makes entries that are pending in a group another consumer's.")
.syntax("key group consumer min-idle-time id... [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]")
.categories(&["@stream"])
.tips(&["nondeterministic_output"])
.key(1, &["RW", "update"]),
row("xautoclaim", -6, WRITE | FAST, STREAM)
.about("stream", "6.2.0", "O(N) for N entries looked at", "Makes entries that have been pending for long another consumer's.")
.syntax("key group consumer min-idle-time start [COUNT count] [JUSTID]")
.categories(&["@stream"])
.tips(&["nondeterministic_output"])
.key(1, &["RW", "delete"]),
row("xgroup", -2, NONE, Kind::Container)
.about("stream", "5.0.0", "that of its subcommands", "What is done to consumer groups.")
.with(vec![
row("xgroup|create", -5, WRITE | DENYOOM, STREAM)
.about("stream", "5.0.0", "O(1)", "Makes a group.")
.syntax("key group id|$ [MKSTREAM] [ENTRIESREAD entries-read]")
.categories(&["@stream"])
.key(2, &["RW", "insert"]),
row("xgroup|setid", -5, WRITE, STREAM)
.about("stream", "5.0.0", "O(1)", "Sets where a group goes on reading.")
.syntax("key group id|$ [ENTRIESREAD entries-read]")
.categories(&["@stream"])
.key(2, &["RW", "update"]),
row("xgroup|destroy", 4, WRITE, STREAM)
.about("stream", "5.0.0", "O(N) for N pending entries", "Destroys a group.")
.syntax("key group")
.categories(&["@stream"])
.key(2, &["RW", "delete"]),
row("xgroup|createconsumer", 5, WRITE | DENYOOM, STREAM)
.about("stream", "6.2.0", "O(1)", "Makes a consumer of a group.")
.syntax("key group consumer")
.categories(&["@stream"])
.key(2, &["RW", "insert"]),
row("xgroup|delconsumer", 5, WRITE, STREAM)
.about("stream", "5.0.0", "O(1)", "Deletes a consumer of a group.")
.syntax("key group consumer")
.categories(&["@stream"])
.key(2, &["RW", "delete"]),
row("xgroup|help", 2, LOADING | STALE, STREAM)
.about("stream", "5.0.0", "O(1)", "Shows the subcommands.")
.categories(&["@stream"])]),
row("xinfo", -2, NONE, Kind::Container)
.about("stream", "5.0.0", "that of its subcommands", "What can be known of a stream.")
.with(vec![
row("xinfo|stream", -3, READONLY, STREAM)
.about("stream", "5.0.0", "O(1)", "Tells about a stream.")
.syntax("key [FULL [COUNT count]]")
.categories(&["@stream"])
.key(2, &["RO", "access"]),
row("xinfo|groups", 3, READONLY, STREAM)
.about("stream", "5.0.0", "O(1)", "Tells about the groups of a stream.")
.syntax("key")
.categories(&["@stream"])
.key(2, &["RO", "access"]),
row("xinfo|consumers", 4, READONLY, STREAM)
.about("stream", "5.0.0", "O(1)", "Tells about the consumers of a group.")
.syntax("key group")
.categories(&["@stream"])
.tips(&["nondeterministic_output"])
.key(2, &["RO", "access"]),
row("xinfo|help", 2, LOADING | STALE, STREAM)
.about("stream", "5.0.0", "O(1)", "Shows the subcommands.")
.categories(&["@stream"])]),
row("xsetid", -3, WRITE | DENYOOM | FAST, STREAM)
.about("stream", "5.0.0", "O(1)", "Sets the last ID and the counters of a stream.")
.syntax("key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]")
.categories(&["@stream"])
.key(1, &["RW", "update"]),
row("xidmprecord", 5, WRITE | DENYOOM | FAST, STREAM)
.about("stream", "8.6.2", "O(1)", "Remembers of a producer that an entry is what an add became.")
.syntax("key pid iid id")
.categories(&["@stream"])
.key(1, &["RW", "update"]),
row("xcfgset", -2, WRITE | FAST, STREAM)
.about("stream", "8.6.0", "O(1)", "Sets what a stream remembers of idempotent producers.")
.syntax("key [IDMP-DURATION duration] [IDMP-MAXSIZE maxsize]")
.categories(&["@stream"])
.key(1, &["RW", "update"])]
}
