//! The table of speed: each row on streamlog and on a peer at the same level, in turns, both open over all rounds. What counts is the
//! median of the rounds' ratios; what each did in a second is the median too, for orientation.

use std::time::Duration;

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::common::{Ratio, Scratch, Table, count, in_turns, median, rate};
use crate::level::Level;
use crate::rows::{Doing, Row};
use crate::systems::{Peer, Setting, Subject};

/// One row with one peer.
struct Cell {
    row: Row,
    peer: Peer,
    level: Level,
    ours: f64,
    theirs: f64,
    ratio: Ratio,
}

/// A slice that takes less than this part of the time asked for is too short to tell how many messages fill it.
const CALIBRATED: u32 = 4;

pub(crate) fn run(asked: &Asked) -> Value {
    let mut cells = Vec::new();
    for &row in &asked.rows {
        for &peer in &asked.peers {
            let Ok(level) = peer.level(row) else { continue };
            let cell = measure(asked, row, peer, level);
            eprintln!(
                "{:16} {:11} {:>10} {:>10}  {:>5} ({})",
                row.name(),
                peer.name(),
                rate(cell.ours),
                rate(cell.theirs),
                cell.ratio.show(),
                cell.ratio.show_spread()
            );
            cells.push(cell);
        }
    }
    if cells.is_empty() {
        return json!([]);
    }
    println!("{}", table(asked, &cells));
    for peer in asked.peers.iter().filter(|peer| cells.iter().any(|cell| cell.peer == **peer)) {
        let mut missing: Vec<_> = asked.rows.iter().filter_map(|&row| peer.level(row).err()).collect();
        missing.sort_unstable();
        missing.dedup();
        let missing =
            if missing.is_empty() { String::new() } else { format!(" (— since it {})", missing.join("; ")) };
        println!("- **{}**: {}.{missing}", peer.name(), peer.settings());
    }
    println!();
    cells.iter().map(Cell::json).collect()
}

fn measure(asked: &Asked, row: Row, peer: Peer, level: Level) -> Cell {
    let scratch = Scratch::new(&asked.directory);
    let open = |subject: Subject, name| {
        let setting = Setting { directory: &scratch.join(name), level, redis: &asked.redis };
        Doing::new(subject.open(setting), row.task(), &asked.payload, asked.backlog)
    };
    let mut sides = [open(Subject::Ours, "ours"), open(Subject::Peer(peer), "theirs")];
    let messages = [0, 1].map(|side| calibrate(&mut sides[side], asked.time));
    let rates = in_turns(asked.rounds, 2, |side, _| {
        let took = sides[side].run(messages[side]);
        messages[side] as f64 / took.as_secs_f64()
    });
    Cell {
        row,
        peer,
        level,
        ours: median(&rates[0]),
        theirs: median(&rates[1]),
        ratio: Ratio::of(&rates[0], &rates[1]),
    }
}

/// How many messages take so long.
fn calibrate(doing: &mut Doing<'_>, time: Duration) -> u64 {
    let unit = doing.unit();
    // The first call of all may have to do what no other has.
    doing.run(unit);
    let mut messages = unit;
    loop {
        let took = doing.run(messages);
        if took >= time / CALIBRATED {
            let wanted = messages as f64 * time.as_secs_f64() / took.as_secs_f64();
            return (wanted as u64 / unit).max(1) * unit;
        }
        messages *= 4;
    }
}

fn table(asked: &Asked, cells: &[Cell]) -> Table {
    let peers: Vec<_> = asked.peers.iter().filter(|peer| cells.iter().any(|cell| cell.peer == **peer)).collect();
    let mut table =
        Table::new(["messages a second", "streamlog"].into_iter().chain(peers.iter().map(|peer| peer.name())));
    for &row in &asked.rows {
        let of_row: Vec<_> = cells.iter().filter(|cell| cell.row == row).collect();
        if of_row.is_empty() {
            continue;
        }
        let ours: Vec<_> = of_row.iter().map(|cell| cell.ours).collect();
        let shown = peers.iter().map(|peer| {
            let cell = of_row.iter().find(|cell| cell.peer == **peer);
            cell.map_or("—".to_owned(), |cell| format!("{} ({} ×)", rate(cell.theirs), count(cell.ratio.median)))
        });
        table.row([row.title().to_owned(), rate(median(&ours))].into_iter().chain(shown));
    }
    table
}

impl Cell {
    fn json(&self) -> Value {
        json!({
            "row": self.row.name(),
            "peer": self.peer.name(),
            "level": self.level.name(),
            "ours_per_second": self.ours,
            "theirs_per_second": self.theirs,
            "ratio": self.ratio.json(),
        })
    }
}
