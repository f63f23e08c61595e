//! streamlog's server beside `redis-server` under the same load. Both run all the time, on the same file system, and neither rewrites
//! its log meanwhile. The levels are those that promise the same: `os` is `appendfsync no`, `interval` is `everysec`, `always` is
//! `always`.

pub(crate) mod client;
mod load;
pub(crate) mod servers;

use serde_json::{Value, json};

use self::load::{Load, Shape};
use self::servers::Running;
use crate::asked::Asked;
use crate::common::{Ratio, Scratch, Table, count, in_turns, median, rate};

pub(crate) fn run(asked: &Asked) -> Value {
    let columns = asked
        .depths
        .iter()
        .map(|depth| if *depth == 1 { "one at a time".into() } else { format!("pipelines of {depth}") });
    let mut table = Table::new(["requests of each client".to_owned()].into_iter().chain(columns));
    let mut figures = Vec::new();
    for &level in &asked.levels {
        let scratch = Scratch::new(&asked.directory);
        let ours = Running::ours(&scratch.join("ours"), level, asked.threads);
        let theirs = Running::redis(&asked.redis, &scratch.join("theirs"), level);
        let addresses = [&ours, &theirs].map(|server| if asked.tcp { server.tcp() } else { server.unix() });
        for load in Load::ALL {
            let mut cells = vec![format!("{}, {}", load.name(), level.promise())];
            for &depth in &asked.depths {
                let mut ratios = Vec::new();
                for &clients in &asked.clients {
                    let shape = Shape { clients, depth, payload: &asked.payload };
                    let rates =
                        in_turns(asked.rounds, 2, |side, _| load::run(&addresses[side], load, shape, asked.time));
                    let ratio = Ratio::of(&rates[0], &rates[1]);
                    let (our, their) = (median(&rates[0]), median(&rates[1]));
                    eprintln!(
                        "{:8} {:28} {clients:3} × {depth:3} {:>10} {:>10}  {:>5} ({})",
                        level.name(),
                        load.name(),
                        rate(our),
                        rate(their),
                        ratio.show(),
                        ratio.show_spread()
                    );
                    ratios.push(count(ratio.median));
                    figures.push(json!({
                        "level": level.name(), "load": load.name(), "clients": clients, "depth": depth,
                        "ours_per_second": our, "theirs_per_second": their, "ratio": ratio.json(),
                    }));
                }
                cells.push(ratios.join(", "));
            }
            table.row(cells);
        }
    }
    let clients: Vec<_> = asked.clients.iter().map(ToString::to_string).collect();
    println!(
        "streamlog's server beside `redis-server`, over a {} socket: how many times as many a second, for {} clients:\n\n{table}",
        if asked.tcp { "TCP" } else { "unix" },
        clients.join(", ")
    );
    Value::Array(figures)
}
