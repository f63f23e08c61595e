//! Every bit of a small directory's logs, flipped one at a time: what is read is what was written or an error that names the
//! place. redb's file has a test of its own (`redb_lost`): it has too many bits for every one.

#![cfg(feature = "simulation")]

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, ErrorKind, Id, Result};

const ENTRIES: u64 = 12;

fn builder() -> Builder {
    Broker::builder().background(false).durability(Durability::Os).segment_bytes(80).journal_file_bytes(1)
}

fn id(n: u64) -> Id {
    Id::new(n, 0)
}

type Files = Vec<(String, Vec<u8>)>;

/// The files of a small directory: closed, or as a killed process leaves it, with the last entries in the journal alone.
fn directory(closed: bool) -> Files {
    let disk = SimDisk::new(1);
    let broker = builder().open_on(disk.storage()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let worker = orders.group("billing").from_start().ensure().unwrap().consumer("worker");
    for n in 1..=ENTRIES {
        orders.entry([("n", n.to_string())]).id(id(n)).add().unwrap();
        if n == 4 {
            worker.read_new().count(3).next().unwrap()[0].ack().unwrap();
            orders.delete(&[id(2)]).unwrap();
        }
        if n == ENTRIES - 4 {
            broker.checkpoint().unwrap();
        }
    }
    drop((orders, worker));
    if closed {
        broker.close().unwrap();
    } else {
        broker.crash();
    }
    disk.restart(Survival::Kill);
    disk.list_all().into_iter().filter_map(|path| Some((path.clone(), disk.read_all(&path)?))).collect()
}

fn disk(files: &Files) -> SimDisk {
    let disk = SimDisk::new(2);
    let storage = disk.storage();
    for dir in ["journal", "streams", "streams/1"] {
        storage.create_dir(dir).unwrap();
    }
    files.iter().for_each(|(path, bytes)| disk.write_all(path, bytes));
    disk
}

/// What each entry's reading gave, and what is pending with the group and its cursor.
type Read = (Vec<Result<Option<String>>>, Result<(u64, Id)>);

fn read(broker: &Broker) -> Read {
    let orders = broker.stream("orders").unwrap();
    let text = |n| Ok(orders.get(id(n))?.map(|entry| entry.text("n").unwrap().to_owned()));
    let entries = (1..=ENTRIES).map(text).collect();
    let group = || {
        let group = orders.group("billing").existing()?;
        Ok((group.pending()?.count, group.info()?.last_delivered_id))
    };
    (entries, group())
}

/// The last byte that says something, and some of the zeros that journal files end with.
fn end(bytes: &[u8]) -> usize {
    let last = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.len().min(last + 40)
}

/// Flips every bit of the file, and hands what opening gave to `check`, with the byte.
fn each_flip(files: &Files, path: &str, check: impl Fn(usize, Result<Broker>)) {
    let at = files.iter().position(|file| file.0 == path).unwrap();
    let bits = end(&files[at].1) * 8;
    println!("{path}: {bits} bits");
    for bit in 0..bits {
        let mut flipped = files.clone();
        flipped[at].1[bit / 8] ^= 1 << (bit % 8);
        check(bit / 8, builder().open_on(disk(&flipped).storage()));
    }
}

fn paths<'a>(files: &'a Files, of: &'a str) -> impl Iterator<Item = &'a str> {
    files.iter().map(|(path, _)| path.as_str()).filter(move |path| path.starts_with(of))
}

#[test]
fn a_bit_of_a_segment_costs_one_entry_at_most_and_that_is_said() {
    for closed in [true, false] {
        let files = directory(closed);
        let (whole, group) = read(&builder().open_on(disk(&files).storage()).unwrap());
        let (whole, group): (Vec<_>, _) = (whole.into_iter().map(Result::unwrap).collect(), group.unwrap());
        assert_eq!(whole.iter().flatten().count() as u64, ENTRIES - 1);
        assert!(paths(&files, "streams/").count() > 2);
        for path in paths(&files, "streams/") {
            each_flip(&files, path, |byte, opened| {
                let story = format!("byte {byte} of {path}, closed: {closed}");
                // Two bytes say which version wrote the file: a later one's is neither read nor continued.
                let of_version = (6..8).contains(&byte);
                let broker = match opened {
                    Err(error) if of_version && error.kind() == ErrorKind::NewerFormat => return,
                    opened => opened.unwrap_or_else(|error| panic!("{story}: {error}")),
                };
                let (found, found_group) = read(&broker);
                assert_eq!(found_group.unwrap(), group, "{story}");
                let mut damaged = 0;
                for (found, whole) in found.into_iter().zip(&whole) {
                    match found {
                        Ok(found) => assert_eq!(found, *whole, "{story}"),
                        Err(error) if of_version && error.kind() == ErrorKind::NewerFormat => {}
                        Err(error) => {
                            damaged += 1;
                            let place = error.place().unwrap();
                            assert_eq!((place.stream.as_deref(), &*place.file), (Some("orders"), path), "{story}");
                            assert!(place.offset <= byte as u64, "{story}: {error}");
                        }
                    }
                }
                assert!(damaged <= 1, "{story}: {damaged} entries");
            });
        }
    }
}

#[test]
fn a_bit_of_the_journal_or_of_format_is_an_error_or_changes_nothing_that_was_durable() {
    for closed in [true, false] {
        let files = directory(closed);
        let (whole, group) = read(&builder().open_on(disk(&files).storage()).unwrap());
        let (whole, group): (Vec<_>, _) = (whole.into_iter().map(Result::unwrap).collect(), group.unwrap());
        let logs: Vec<_> = paths(&files, "journal/").chain(paths(&files, "FORMAT")).collect();
        for path in logs {
            each_flip(&files, path, |byte, opened| {
                let story = format!("byte {byte} of {path}, closed: {closed}");
                let broker = match opened {
                    Ok(broker) => broker,
                    Err(error) => {
                        assert!(
                            [ErrorKind::Corrupt, ErrorKind::NewerFormat].contains(&error.kind()),
                            "{story}: {error}"
                        );
                        return;
                    }
                };
                let (found, found_group) = read(&broker);
                assert_eq!(found_group.unwrap(), group, "{story}");
                let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
                // Past the last mark of a directory that was not closed a flip cannot be told from a torn end.
                let kept = if closed { ENTRIES } else { ENTRIES - 4 } as usize;
                let same = found.iter().zip(&whole).take_while(|(found, whole)| found == whole).count();
                assert!(same >= kept, "{story}: {found:?}");
                assert!(found[same..].iter().all(Option::is_none), "{story}: {found:?}");
            });
        }
    }
}
