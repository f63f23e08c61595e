//! What is about the server: its commands, settings and statistics, and the disk.

use super::row;
use crate::resp::commands::spec::Flags;
use crate::resp::commands::spec::Spec;
use crate::resp::commands::{Kind, command, config, info, server};

const ADMIN: Flags = Flags::ADMIN;
const BLOCKING: Flags = Flags::BLOCKING;
const FAST: Flags = Flags::FAST;
const LOADING: Flags = Flags::LOADING;
const NONE: Flags = Flags::NONE;
const NOSCRIPT: Flags = Flags::NOSCRIPT;
const STALE: Flags = Flags::STALE;
const WRITE: Flags = Flags::WRITE;

#[allow(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn all() -> Vec<Spec> {
    vec![
        row("info", -1, LOADING | STALE, Kind::Server(info::info))
            .about("server", "1.0.0", "O(N) for N commands", "Tells about the server.")
            .syntax("[section...]")
            .categories(&["@dangerous"])
            .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
        row("command", -1, LOADING | STALE, Kind::Server(command::all))
            .about("server", "2.8.13", "O(N) for N commands", "Tells about all commands.")
            .categories(&["@connection"])
            .tips(&["nondeterministic_output_order"])
            .with(vec![
                row("command|count", 2, LOADING | STALE, Kind::Server(command::count))
                    .about("server", "2.8.13", "O(1)", "Counts the commands.")
                    .categories(&["@connection"]),
                row("command|docs", -2, LOADING | STALE, Kind::Server(command::docs))
                    .about("server", "7.0.0", "O(N) for N commands", "Tells what commands are for.")
                    .syntax("[command-name...]")
                    .categories(&["@connection"])
                    .tips(&["nondeterministic_output_order"]),
                row("command|info", -2, LOADING | STALE, Kind::Server(command::info))
                    .about("server", "2.8.13", "O(N) for N commands", "Tells about commands.")
                    .syntax("[command-name...]")
                    .categories(&["@connection"])
                    .tips(&["nondeterministic_output_order"]),
                row("command|list", -2, LOADING | STALE, Kind::Server(command::list))
                    .about("server", "7.0.0", "O(N) for N commands", "Lists the names of commands.")
                    .syntax("[FILTERBY {MODULE module-name}|{ACLCAT category}|{PATTERN pattern}]")
                    .categories(&["@connection"])
                    .tips(&["nondeterministic_output_order"]),
                row("command|getkeys", -3, LOADING | STALE, Kind::Server(command::getkeys))
                    .about("server", "2.8.13", "O(N) for N arguments", "Tells which arguments of a command are keys.")
                    .syntax("command [arg...]")
                    .categories(&["@connection"]),
                row("command|getkeysandflags", -3, LOADING | STALE, Kind::Server(command::getkeysandflags))
                    .about(
                        "server",
                        "7.0.0",
                        "O(N) for N arguments",
                        "Tells which arguments of a command are keys, and what becomes of them.",
                    )
                    .syntax("command [arg...]")
                    .categories(&["@connection"]),
                row("command|help", 2, LOADING | STALE, Kind::Server(command::help_page))
                    .about("server", "5.0.0", "O(1)", "Shows the subcommands.")
                    .categories(&["@connection"]),
            ]),
        row("config", -2, NONE, Kind::Container)
            .about("server", "2.0.0", "that of its subcommands", "What is about settings.")
            .with(vec![
                row("config|get", -3, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(config::get))
                    .about("server", "2.0.0", "O(N) for N settings", "Tells the values of settings.")
                    .syntax("parameter..."),
                row("config|set", -4, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(config::set))
                    .about("server", "2.0.0", "O(N) for N settings", "Sets settings, all or none.")
                    .syntax("{parameter value}...")
                    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
                row("config|resetstat", 2, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(config::resetstat))
                    .about("server", "2.0.0", "O(1)", "Begins to count anew what INFO tells.")
                    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
                row("config|rewrite", 2, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(config::rewrite))
                    .about("server", "2.8.0", "O(1)", "Is refused: there is no file of settings.")
                    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
                row("config|help", 2, LOADING | STALE, Kind::Server(config::help_page)).about(
                    "server",
                    "5.0.0",
                    "O(1)",
                    "Shows the subcommands.",
                ),
            ]),
        row("time", 1, LOADING | STALE | FAST, Kind::Server(server::time))
            .about("server", "2.6.0", "O(1)", "Tells the time.")
            .tips(&["nondeterministic_output"]),
        row("wait", 3, BLOCKING, Kind::Server(server::wait))
            .about("generic", "3.0.0", "O(1)", "Tells how many replicas have what was written: none, there are none.")
            .syntax("numreplicas timeout")
            .categories(&["@connection"])
            .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
        row("waitaof", 4, BLOCKING, Kind::Server(server::waitaof))
            .about("generic", "7.2.0", "O(1)", "Waits until what was written is on the disk.")
            .syntax("numlocal numreplicas timeout")
            .categories(&["@connection"])
            .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
        row("function", -2, NONE, Kind::Container)
            .about("scripting", "7.0.0", "that of its subcommands", "What is about functions; there are none.")
            .with(vec![
                row("function|flush", -2, WRITE | NOSCRIPT, Kind::Server(server::function_flush))
                    .about("scripting", "7.0.0", "O(1)", "Deletes all functions; there are none.")
                    .syntax("[ASYNC|SYNC]")
                    .categories(&["@scripting"])
                    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
                row("function|help", 2, LOADING | STALE, Kind::Server(server::function_help))
                    .about("scripting", "7.0.0", "O(1)", "Shows the subcommands.")
                    .categories(&["@scripting"]),
            ]),
        row("script", -2, NONE, Kind::Container)
            .about("scripting", "2.6.0", "that of its subcommands", "What is about scripts; there are none.")
            .with(vec![
                row("script|flush", -2, NOSCRIPT, Kind::Server(server::script_flush))
                    .about("scripting", "2.6.0", "O(1)", "Deletes all scripts; there are none.")
                    .syntax("[ASYNC|SYNC]")
                    .categories(&["@scripting"])
                    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
                row("script|help", 2, LOADING | STALE, Kind::Server(server::script_help))
                    .about("scripting", "5.0.0", "O(1)", "Shows the subcommands.")
                    .categories(&["@scripting"]),
            ]),
        row("latency", -2, NONE, Kind::Container)
            .about("server", "2.8.13", "that of its subcommands", "What is about latencies; none are noted.")
            .with(vec![
                row("latency|reset", -2, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(server::latency_reset))
                    .about("server", "2.8.13", "O(1)", "Forgets latencies; none are noted.")
                    .syntax("[event...]")
                    .tips(&["request_policy:all_nodes", "response_policy:agg_sum"]),
                row("latency|help", 2, LOADING | STALE, Kind::Server(server::latency_help)).about(
                    "server",
                    "2.8.13",
                    "O(1)",
                    "Shows the subcommands.",
                ),
            ]),
        row("slowlog", -2, NONE, Kind::Container)
            .about("server", "2.2.12", "that of its subcommands", "What is about slow commands; none are noted.")
            .with(vec![
                row("slowlog|get", -2, ADMIN | LOADING | STALE, Kind::Server(server::slowlog_get))
                    .about("server", "2.2.12", "O(1)", "Lists slow commands; none are noted.")
                    .syntax("[count]")
                    .tips(&["request_policy:all_nodes", "nondeterministic_output"]),
                row("slowlog|len", 2, ADMIN | LOADING | STALE, Kind::Server(server::slowlog_len))
                    .about("server", "2.2.12", "O(1)", "Counts slow commands; none are noted.")
                    .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
                row("slowlog|reset", 2, ADMIN | LOADING | STALE, Kind::Server(server::slowlog_reset))
                    .about("server", "2.2.12", "O(1)", "Forgets slow commands; none are noted.")
                    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
                row("slowlog|help", 2, LOADING | STALE, Kind::Server(server::slowlog_help)).about(
                    "server",
                    "6.2.0",
                    "O(1)",
                    "Shows the subcommands.",
                ),
            ]),
    ]
}
