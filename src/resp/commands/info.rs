//! `INFO`: the server in lines of names and values, by sections. Names are Redis's where they mean the same; those that begin with
//! `streamlog_` are this server's own.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::connection::REDIS_VERSION;
use super::{Answer, all, is};
use crate::command::Reply;
use crate::resp::config::appendfsync;
use crate::resp::memory::Memory;
use crate::resp::session::Session;
use crate::resp::shared::{Shared, now_micros};

type Section = fn(&Shared, &mut Page);

/// Which sections there are, in this order, and whether they come without being asked for.
const SECTIONS: &[(&str, bool, Section)] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replication),
    ("Commandstats", false, commandstats),
    ("Errorstats", true, errorstats),
    ("Cluster", true, cluster),
    ("Keyspace", true, keyspace),
];

pub(super) fn info(shared: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    let asked = &args[1..];
    let asked_for = |words: &[&str]| asked.iter().any(|arg| words.iter().any(|word| is(arg, word)));
    let (everything, defaults) = (asked_for(&["all", "everything"]), asked.is_empty() || asked_for(&["default"]));
    let mut page = Page::default();
    for (name, by_default, section) in SECTIONS {
        if everything || defaults && *by_default || asked_for(&[name]) {
            if !page.text.is_empty() {
                page.text.push_str("\r\n");
            }
            page.line(format_args!("# {name}"));
            section(shared, &mut page);
        }
    }
    Reply::Text(page.text).into()
}

/// What is written so far.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        write!(self.text, "{line}\r\n").expect("a string takes all");
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(format_args!("{name}:{value}"));
    }

    /// Bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }
}

fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, letter)) => {
            format!("{}{letter}", hundredths((u128::from(bytes) * 100 + u128::from(unit) / 2) / u128::from(unit)))
        }
        None => format!("{bytes}B"),
    }
}

/// A number of hundredths, as a fraction.
fn hundredths(number: u128) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

fn server(shared: &Shared, page: &mut Page) {
    let uptime = shared.started.elapsed();
    let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    page.field("redis_version", REDIS_VERSION);
    page.field("redis_git_sha1", "00000000");
    page.field("redis_git_dirty", 0);
    page.field("redis_build_id", "0");
    page.field("redis_mode", "standalone");
    page.field("streamlog_version", env!("CARGO_PKG_VERSION"));
    page.field("os", format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    page.field("arch_bits", usize::BITS);
    page.field("process_id", std::process::id());
    page.field("run_id", &shared.run_id);
    page.field("tcp_port", shared.listens.port);
    page.field("server_time_usec", now_micros());
    page.field("uptime_in_seconds", uptime.as_secs());
    page.field("uptime_in_days", uptime.as_secs() / 86_400);
    page.field("executable", executable);
    page.field("config_file", "");
    page.field("io_threads_active", 0);
    let tcp = shared.listens.bind.iter().map(|bind| format!("name=tcp,bind={bind},port={}", shared.listens.port));
    let unix = shared.listens.unix.iter().map(|path| format!("name=unix,bind={path}"));
    for (at, listener) in tcp.chain(unix).enumerate() {
        page.field(&format!("listener{at}"), listener);
    }
}

fn clients(shared: &Shared, page: &mut Page) {
    let clients = shared.clients.all();
    let most = |of: fn(&crate::resp::clients::Seen) -> usize| clients.iter().map(|client| of(&client.seen)).max();
    let watching = clients.iter().filter(|client| client.seen.watched.load(Ordering::Relaxed) > 0).count();
    page.field("connected_clients", clients.len());
    page.field("cluster_connections", 0);
    page.field("maxclients", shared.clients_max());
    page.field("client_recent_max_input_buffer", most(|seen| seen.input.load(Ordering::Relaxed)).unwrap_or(0));
    page.field("client_recent_max_output_buffer", most(|seen| seen.output.load(Ordering::Relaxed)).unwrap_or(0));
    page.field("blocked_clients", shared.stats.blocked.load(Ordering::Relaxed));
    page.field("tracking_clients", 0);
    page.field("pubsub_clients", 0);
    page.field("watching_clients", watching);
}

fn memory(_: &Shared, page: &mut Page) {
    let memory = Memory::now();
    // There is no count of what is allocated: what the system says the process has is told for both.
    page.bytes("used_memory", memory.resident);
    page.bytes("used_memory_rss", memory.resident);
    page.bytes("used_memory_peak", memory.resident_peak);
    page.bytes("total_system_memory", memory.system);
    page.bytes("maxmemory", 0);
    page.field("maxmemory_policy", "noeviction");
    page.field("mem_fragmentation_ratio", "1.00");
    page.field("mem_allocator", "system");
}

fn persistence(shared: &Shared, page: &mut Page) {
    let vitals = shared.broker.vitals();
    let status = if vitals.writes { "ok" } else { "err" };
    page.field("loading", 0);
    page.field("async_loading", 0);
    page.field("rdb_changes_since_last_save", vitals.last_lsn);
    page.field("rdb_bgsave_in_progress", 0);
    page.field("rdb_last_bgsave_status", status);
    page.field("aof_enabled", 1);
    page.field("aof_rewrite_in_progress", 0);
    page.field("aof_rewrite_scheduled", 0);
    page.field("aof_last_bgrewrite_status", status);
    page.field("aof_last_write_status", status);
    // The journal since the last checkpoint: what opening after a crash would read.
    page.field("aof_current_size", vitals.journal_bytes);
    page.field("aof_pending_bio_fsync", u8::from(vitals.synced_lsn < vitals.last_lsn));
    page.field(
        "streamlog_durability",
        match shared.broker.durability() {
            crate::Durability::Interval(interval) => format!("interval:{interval:?}"),
            level => appendfsync(level).replace("no", "os"),
        },
    );
    page.field("streamlog_records", vitals.last_lsn);
    page.field("streamlog_records_synced", vitals.synced_lsn);
    page.field("streamlog_unwritten_bytes", vitals.tail_bytes);
}

fn stats(shared: &Shared, page: &mut Page) {
    let stats = &shared.stats;
    page.field("total_connections_received", stats.connections());
    page.field("total_commands_processed", stats.commands());
    page.field("instantaneous_ops_per_sec", stats.per_second());
    page.field("total_net_input_bytes", stats.received.load(Ordering::Relaxed));
    page.field("total_net_output_bytes", stats.sent.load(Ordering::Relaxed));
    page.field("rejected_connections", stats.rejected());
    for name in ["sync_full", "sync_partial_ok", "sync_partial_err", "expired_keys", "evicted_keys", "evicted_clients"]
    {
        page.field(name, 0);
    }
    for name in ["pubsub_channels", "pubsub_patterns", "latest_fork_usec", "total_forks", "unexpected_error_replies"] {
        page.field(name, 0);
    }
    page.field("total_error_replies", stats.errors_by_prefix().iter().map(|(_, count)| count).sum::<u64>());
    page.field("client_query_buffer_limit_disconnections", stats.input_cut_off.load(Ordering::Relaxed));
    page.field("client_output_buffer_limit_disconnections", stats.output_cut_off.load(Ordering::Relaxed));
}

fn replication(shared: &Shared, page: &mut Page) {
    page.field("role", "master");
    page.field("connected_slaves", 0);
    page.field("master_failover_state", "no-failover");
    page.field("master_replid", &shared.run_id);
    page.field("master_repl_offset", 0);
}

fn commandstats(shared: &Shared, page: &mut Page) {
    for spec in all().iter().flat_map(|spec| std::iter::once(spec).chain(&spec.subcommands)) {
        let counted = shared.stats.of(spec);
        if counted.calls + counted.rejected > 0 {
            let each = hundredths(counted.took.as_nanos() / 10 / u128::from(counted.calls.max(1)));
            page.line(format_args!(
                "cmdstat_{}:calls={},usec={},usec_per_call={each},rejected_calls={},failed_calls={}",
                spec.name,
                counted.calls,
                counted.took.as_micros(),
                counted.rejected,
                counted.failed,
            ));
        }
    }
}

fn errorstats(shared: &Shared, page: &mut Page) {
    for (prefix, count) in shared.stats.errors_by_prefix() {
        page.line(format_args!("errorstat_{prefix}:count={count}"));
    }
}

fn cluster(_: &Shared, page: &mut Page) {
    page.field("cluster_enabled", 0);
}

fn keyspace(shared: &Shared, page: &mut Page) {
    // Closed: there is nothing to count.
    let keys = shared.broker.streams().map_or(0, |streams| streams.len());
    if keys > 0 {
        page.line(format_args!("db0:keys={keys},expires=0,avg_ttl=0,subexpiry=0"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_to_people_as_redis_does() {
        for (bytes, shown) in
            [(0, "0B"), (1023, "1023B"), (864_872, "844.60K"), (7_974_912, "7.61M"), (25_276_502_016, "23.54G")]
        {
            assert_eq!(human(bytes), shown);
        }
    }
}
