//! The commands of keys, and transactions.

use super::row;
use crate::resp::commands::spec::Flags;
use crate::resp::commands::spec::Spec;
use crate::resp::commands::{Control, Kind};

const ALLOW_BUSY: Flags = Flags::ALLOW_BUSY;
const DENYOOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;
const LOADING: Flags = Flags::LOADING;
const NOSCRIPT: Flags = Flags::NOSCRIPT;
const READONLY: Flags = Flags::READONLY;
const SKIP_SLOWLOG: Flags = Flags::SKIP_SLOWLOG;
const STALE: Flags = Flags::STALE;
const WRITE: Flags = Flags::WRITE;
const STREAM: Kind = Kind::Stream;

pub(super) fn all() -> Vec<Spec> {
    vec![
        row("del", -2, WRITE, STREAM)
            .about("generic", "1.0.0", "O(N) for N keys", "Deletes keys.")
            .syntax("key...")
            .categories(&["@keyspace"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .keys_from(1, &["RM", "delete"]),
        row("unlink", -2, WRITE | FAST, STREAM)
            .about("generic", "4.0.0", "O(N) for N keys", "Deletes keys.")
            .syntax("key...")
            .categories(&["@keyspace"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .keys_from(1, &["RM", "delete"]),
        row("exists", -2, READONLY | FAST, STREAM)
            .about("generic", "1.0.0", "O(N) for N keys", "Counts those of the keys that are there.")
            .syntax("key...")
            .categories(&["@keyspace"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .keys_from(1, &["RO"]),
        row("type", 2, READONLY | FAST, STREAM)
            .about("generic", "1.0.0", "O(1)", "Tells the type of what a key holds.")
            .syntax("key")
            .categories(&["@keyspace"])
            .key(1, &["RO"]),
        row("keys", 2, READONLY, STREAM)
            .about("generic", "1.0.0", "O(N) for N keys", "Lists the keys that match a pattern.")
            .syntax("pattern")
            .categories(&["@keyspace", "@dangerous"])
            .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
        row("scan", -2, READONLY, STREAM)
            .about("generic", "2.8.0", "O(N) for N keys", "Lists the keys in several steps.")
            .syntax("cursor [MATCH pattern] [COUNT count] [TYPE type]")
            .categories(&["@keyspace"])
            .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
        row("rename", 3, WRITE, STREAM)
            .about("generic", "1.0.0", "O(1)", "Gives a key another name, whatever had that.")
            .syntax("key newkey")
            .categories(&["@keyspace"])
            .key(1, &["RW", "access", "delete"])
            .key(2, &["OW", "update"]),
        row("renamenx", 3, WRITE | FAST, STREAM)
            .about("generic", "1.0.0", "O(1)", "Gives a key another name that nothing has.")
            .syntax("key newkey")
            .categories(&["@keyspace"])
            .key(1, &["RW", "access", "delete"])
            .key(2, &["OW", "insert"]),
        row("copy", -3, WRITE | DENYOOM, STREAM)
            .about("generic", "6.2.0", "O(N) for N entries in memory", "Copies what a key holds to another.")
            .syntax("source destination [DB destination-db] [REPLACE]")
            .categories(&["@keyspace"])
            .key(1, &["RO", "access"])
            .key(2, &["OW", "update"]),
        row("dbsize", 1, READONLY | FAST, STREAM)
            .about("server", "1.0.0", "O(1)", "Counts the keys.")
            .categories(&["@keyspace"])
            .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
        row("flushdb", -1, WRITE, STREAM)
            .about("server", "1.0.0", "O(N) for N keys", "Deletes all keys.")
            .syntax("[ASYNC|SYNC]")
            .categories(&["@keyspace", "@dangerous"])
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
        row("flushall", -1, WRITE, STREAM)
            .about("server", "1.0.0", "O(N) for N keys", "Deletes all keys.")
            .syntax("[ASYNC|SYNC]")
            .categories(&["@keyspace", "@dangerous"])
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
        row("multi", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, Kind::Control(Control::Multi))
            .about("transactions", "1.2.0", "O(1)", "Begins a transaction.")
            .categories(&["@transaction"]),
        row("exec", 1, NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG, Kind::Control(Control::Exec))
            .about(
                "transactions",
                "1.2.0",
                "that of its commands",
                "Runs the commands of a transaction, as one change.",
            )
            .categories(&["@transaction"]),
        row("discard", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, Kind::Control(Control::Discard))
            .about("transactions", "2.0.0", "O(N) for N commands", "Ends a transaction without running it.")
            .categories(&["@transaction"]),
        row("watch", -2, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, Kind::Control(Control::Watch))
            .about(
                "transactions",
                "2.2.0",
                "O(N) for N keys",
                "Has the next transaction fail if one of these keys changes.",
            )
            .syntax("key...")
            .categories(&["@transaction"])
            .keys_from(1, &["RO"]),
        row("unwatch", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, Kind::Control(Control::Unwatch))
            .about("transactions", "2.2.0", "O(1)", "Watches no key any more.")
            .categories(&["@transaction"]),
    ]
}
