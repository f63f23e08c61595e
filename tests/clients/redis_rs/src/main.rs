//! What redis-rs does on streamlog: `streamlog-redis-rs HOST PORT`, in both protocols, blocking and async.
//!
//! Says `restart` when it wants the server restarted, and waits for a line.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamClaimReply, StreamInfoGroupsReply, StreamInfoStreamReply,
    StreamMaxlen, StreamPendingCountReply, StreamPendingReply, StreamRangeReply, StreamReadOptions, StreamReadReply,
};
use redis::{AsyncCommands, Client, Commands, Connection, RedisResult};

fn main() {
    let mut args = std::env::args().skip(1);
    let (host, port) = (args.next().unwrap(), args.next().unwrap());
    for protocol in ["resp2", "resp3"] {
        let client = Client::open(format!("redis://{host}:{port}/?protocol={protocol}")).unwrap();
        let mut connection = client.get_connection().unwrap();
        () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        groups(&mut connection);
        claims(&mut connection);
        blocking(&client, &mut connection);
        transactions(&client, &mut connection);
        pipelines(&mut connection);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(asynchronous(&client));
    }
    println!("all is well");
}

fn groups(connection: &mut Connection) {
    () = connection.xgroup_create_mkstream("orders", "workers", "0").unwrap();
    let again: RedisResult<()> = connection.xgroup_create("orders", "workers", "0");
    assert_eq!(again.unwrap_err().code(), Some("BUSYGROUP"));
    let ids: Vec<String> = (0..5).map(|n| connection.xadd("orders", "*", &[("n", n)]).unwrap()).collect();
    let options = StreamReadOptions::default().group("workers", "one").count(3);
    let read: StreamReadReply = connection.xread_options(&["orders"], &[">"], &options).unwrap();
    let [stream] = read.keys.as_slice() else { panic!("{read:?}") };
    assert_eq!(stream.key, "orders");
    for (n, entry) in stream.ids.iter().enumerate() {
        assert_eq!((&entry.id, entry.get::<usize>("n")), (&ids[n], Some(n)));
    }
    let acknowledged: i64 = connection.xack("orders", "workers", &ids[..1]).unwrap();
    assert_eq!((stream.ids.len(), acknowledged), (3, 1));
    let pending: StreamPendingReply = connection.xpending("orders", "workers").unwrap();
    assert_eq!(pending.count(), 2);
    let rows: StreamPendingCountReply = connection.xpending_count("orders", "workers", "-", "+", 10).unwrap();
    let rows: Vec<_> = rows.ids.iter().map(|row| (&row.id, row.consumer.as_str(), row.times_delivered)).collect();
    assert_eq!(rows, [(&ids[1], "one", 1), (&ids[2], "one", 1)]);
    let info: StreamInfoGroupsReply = connection.xinfo_groups("orders").unwrap();
    let [group] = info.groups.as_slice() else { panic!("{info:?}") };
    assert_eq!((group.name.as_str(), group.pending, group.lag), ("workers", 2, Some(2)));
    let info: StreamInfoStreamReply = connection.xinfo_stream("orders").unwrap();
    assert_eq!((info.length, info.last_generated_id), (5, ids[4].clone()));
    let trimmed: usize = connection.xtrim("orders", StreamMaxlen::Equals(2)).unwrap();
    let left: StreamRangeReply = connection.xrange_all("orders").unwrap();
    assert_eq!((trimmed, left.ids.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>()), (3, ids[3..].to_vec()));
}

fn claims(connection: &mut Connection) {
    () = connection.xgroup_create_mkstream("jobs", "workers", "0").unwrap();
    let ids: Vec<String> = (0..4).map(|n| connection.xadd("jobs", "*", &[("n", n)]).unwrap()).collect();
    let options = StreamReadOptions::default().group("workers", "lost");
    let _: StreamReadReply = connection.xread_options(&["jobs"], &[">"], &options).unwrap();
    let claimed: StreamClaimReply = connection.xclaim("jobs", "workers", "two", 0, &ids[..1]).unwrap();
    assert_eq!(claimed.ids[0].id, ids[0]);
    let claimed: StreamClaimReply = connection.xclaim("jobs", "workers", "two", 3_600_000, &ids[1..2]).unwrap();
    assert!(claimed.ids.is_empty());
    let options = StreamAutoClaimOptions::default().count(2);
    let claimed: StreamAutoClaimReply =
        connection.xautoclaim_options("jobs", "workers", "three", 0, &ids[1], options).unwrap();
    assert_eq!(claimed.next_stream_id, ids[3]);
    assert_eq!(claimed.claimed.iter().map(|entry| &entry.id).collect::<Vec<_>>(), [&ids[1], &ids[2]]);
}

/// Until a client waits.
fn until_blocked(connection: &mut Connection) {
    loop {
        let info: String = redis::cmd("INFO").arg("clients").query(connection).unwrap();
        if info.contains("blocked_clients:1\r") {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn blocking(client: &Client, connection: &mut Connection) {
    let reads = [
        (StreamReadOptions::default().block(0), "$"),
        (StreamReadOptions::default().group("readers", "one").block(20_000), ">"),
    ];
    for (options, from) in reads {
        () = connection.del("news").unwrap();
        () = connection.xgroup_create_mkstream("news", "readers", "0").unwrap();
        let mut other = client.get_connection().unwrap();
        let reading = std::thread::spawn(move || -> StreamReadReply {
            other.xread_options(&["news"], &[from], &options).unwrap()
        });
        until_blocked(connection);
        let id: String = connection.xadd("news", "*", &[("text", "hello")]).unwrap();
        let read = reading.join().unwrap();
        assert_eq!(read.keys[0].ids[0].id, id);
    }
    let options = StreamReadOptions::default().block(20);
    let nothing: Option<StreamReadReply> = connection.xread_options(&["news"], &["$"], &options).unwrap();
    assert!(nothing.is_none_or(|read| read.keys.is_empty()));
}

fn transactions(client: &Client, connection: &mut Connection) {
    let mut both = redis::pipe();
    both.atomic().xadd("left", "*", &[("n", 1)]).xadd("right", "*", &[("n", 1)]).xlen("left");
    let (left, right, len): (String, String, usize) = both.query(connection).unwrap();
    let [of_left, of_right]: [StreamRangeReply; 2] =
        ["left", "right"].map(|stream| connection.xrange_all(stream).unwrap());
    assert_eq!((&of_left.ids[0].id, &of_right.ids[0].id, len), (&left, &right, 1));
    let mut other = client.get_connection().unwrap();
    let mut tries = 0;
    let added: Vec<String> = redis::transaction(connection, &["left"], |connection, pipe| {
        tries += 1;
        if tries == 1 {
            () = other.xadd("left", "*", &[("n", "by another")])?;
        }
        pipe.xadd("left", "*", &[("n", 2)]).query(connection)
    })
    .unwrap();
    let len: usize = connection.xlen("left").unwrap();
    assert_eq!((tries, added.len(), len), (2, 1, 3), "what was watched has changed once");
}

fn pipelines(connection: &mut Connection) {
    let mut pipe = redis::pipe();
    for n in 0..500 {
        pipe.xadd("many", "*", &[("n", n)]);
    }
    let ids: Vec<String> = pipe.query(connection).unwrap();
    let all: StreamRangeReply = connection.xrange_all("many").unwrap();
    assert_eq!(all.ids.into_iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
    let refused: RedisResult<String> = connection.xadd("many", "0-0", &[("n", "none")]);
    assert!(refused.unwrap_err().to_string().contains("must be greater than 0-0"));
    let found: Vec<String> = connection.scan_match("man*").unwrap().collect::<RedisResult<_>>().unwrap();
    assert_eq!(found, ["many"]);
}

/// A connection that many use at once, and that comes back after a restart.
async fn asynchronous(client: &Client) {
    let config = ConnectionManagerConfig::new().set_number_of_retries(50).set_max_delay(Duration::from_millis(200));
    let mut manager = ConnectionManager::new_with_config(client.clone(), config).await.unwrap();
    let id: String = manager.xadd("kept", "*", &[("n", 1)]).await.unwrap();
    println!("restart");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let kept = loop {
        let kept: RedisResult<StreamRangeReply> = manager.xrange_all("kept").await;
        // What was on its way when the connection broke is told so; the next goes over a new one.
        match kept {
            Ok(kept) => break kept,
            Err(error) => assert!(error.is_io_error() || error.is_connection_dropped(), "{error}"),
        }
    };
    assert_eq!(kept.ids[0].id, id);
    let added = (0..50).map(|n| {
        let mut manager = manager.clone();
        async move { manager.xadd::<_, _, _, _, String>("kept", "*", &[("n", n)]).await.unwrap() }
    });
    for id in added.collect::<Vec<_>>() {
        id.await;
    }
    let len: usize = manager.xlen("kept").await.unwrap();
    assert_eq!(len, 51);
}
