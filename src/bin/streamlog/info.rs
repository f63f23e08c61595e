//! `streamlog info`: what there is in a directory, as tables or as JSON.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use streamlog::{Broker, Id, Stream};

use crate::failure::{Failure, Result};
use crate::{open, show};

/// Lists the streams of a directory, or the groups and consumers of one stream
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory
    dir: PathBuf,
    /// A stream's name: shows its groups and consumers too
    stream: Option<String>,
    /// As JSON, always with groups and consumers; sizes in bytes, times in milliseconds
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct StreamShown {
    name: String,
    length: u64,
    first_id: Option<String>,
    last_id: String,
    entries_added: u64,
    bytes: u64,
    disk_bytes: u64,
    segments: usize,
    groups: Vec<GroupShown>,
}

#[derive(Debug, Serialize)]
struct GroupShown {
    name: String,
    pending: u64,
    lag: Option<u64>,
    last_delivered_id: String,
    entries_read: Option<u64>,
    consumers: Vec<ConsumerShown>,
}

#[derive(Debug, Serialize)]
struct ConsumerShown {
    name: String,
    pending: u64,
    idle_ms: u64,
    inactive_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Listing {
    streams: Vec<StreamShown>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let broker = open::existing(&args.dir)?;
    let told = |error: streamlog::Error| Failure::in_dir(&args.dir, &error);
    let text = match &args.stream {
        Some(name) => {
            let stream = shown(&open::stream(&broker, &args.dir, name)?).map_err(told)?;
            if args.json { json(&stream)? } else { detailed(stream) }
        }
        None => {
            let streams = all(&broker).map_err(told)?;
            if args.json { json(&Listing { streams })? } else { listed(&streams) }
        }
    };
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::output)?;
    broker.close().map_err(told)
}

fn all(broker: &Broker) -> streamlog::Result<Vec<StreamShown>> {
    broker.streams()?.iter().map(|name| shown(&broker.stream(name)?)).collect()
}

fn shown(stream: &Stream) -> streamlog::Result<StreamShown> {
    let info = stream.info()?;
    let mut groups = Vec::new();
    for info in stream.groups()? {
        let consumers = stream.group(&info.name).existing()?.consumers()?;
        let consumers = consumers.into_iter().map(|info| ConsumerShown {
            name: info.name,
            pending: info.pending,
            idle_ms: info.idle.as_millis() as u64,
            inactive_ms: info.inactive.map(|inactive| inactive.as_millis() as u64),
        });
        groups.push(GroupShown {
            pending: info.pending,
            lag: info.lag,
            last_delivered_id: info.last_delivered_id.to_string(),
            entries_read: info.entries_read,
            consumers: consumers.collect(),
            name: info.name,
        });
    }
    Ok(StreamShown {
        name: stream.name().to_owned(),
        length: info.length,
        first_id: info.first_id.as_ref().map(Id::to_string),
        last_id: info.last_id.to_string(),
        entries_added: info.entries_added,
        bytes: info.bytes,
        disk_bytes: info.disk_bytes,
        segments: info.segments,
        groups,
    })
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::new(format!("encoding: {error}")))
}

fn listed(streams: &[StreamShown]) -> String {
    if streams.is_empty() {
        return "no streams".to_owned();
    }
    let headings = ["stream", "entries", "first ID", "last ID", "bytes", "on disk", "segments", "groups"];
    let mut table = show::table(&headings);
    for stream in streams {
        table.add_row([
            stream.name.as_str().into(),
            show::number(show::count(stream.length)),
            stream.first_id.as_deref().unwrap_or("-").into(),
            stream.last_id.as_str().into(),
            show::number(show::bytes(stream.bytes)),
            show::number(show::bytes(stream.disk_bytes)),
            show::number(stream.segments),
            show::number(stream.groups.len()),
        ]);
    }
    table.to_string()
}

fn detailed(stream: StreamShown) -> String {
    let streams = [stream];
    let mut text = listed(&streams);
    let [stream] = streams;
    if stream.groups.is_empty() {
        return text + "\nno groups";
    }
    let mut groups = show::table(&["group", "pending", "lag", "last delivered", "consumers"]);
    let mut consumers = show::table(&["consumer", "of group", "pending", "idle", "last got something"]);
    for group in &stream.groups {
        groups.add_row([
            group.name.as_str().into(),
            show::number(show::count(group.pending)),
            show::number(group.lag.map_or_else(|| "unknown".to_owned(), show::count)),
            group.last_delivered_id.as_str().into(),
            show::number(group.consumers.len()),
        ]);
        for consumer in &group.consumers {
            consumers.add_row([
                consumer.name.as_str().into(),
                group.name.as_str().into(),
                show::number(show::count(consumer.pending)),
                show::number(ago(Some(consumer.idle_ms))),
                show::number(ago(consumer.inactive_ms)),
            ]);
        }
    }
    text = format!("{text}\n{groups}");
    if consumers.row_iter().next().is_none() { text + "\nno consumers" } else { format!("{text}\n{consumers}") }
}

fn ago(ms: Option<u64>) -> String {
    ms.map_or_else(|| "never".to_owned(), |ms| show::duration(std::time::Duration::from_millis(ms)))
}
