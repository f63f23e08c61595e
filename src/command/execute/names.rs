//! Commands about streams as a whole, and about which there are.

use crate::broker::Broker;
use crate::command::{Reply, Scan, glob};
use crate::error::Result;
use crate::name::PLACE_MAX;

/// How many names a scan looks at if it is not said.
const SCAN_COUNT: u64 = 10;

impl Broker {
    pub(super) fn del(&self, keys: &[String]) -> Result<Reply> {
        self.delete_all(keys).map(Reply::count)
    }

    pub(super) fn exists(&self, keys: &[String]) -> Result<Reply> {
        let mut there = 0;
        for key in keys {
            there += u64::from(self.stream(key)?.exists());
        }
        Ok(Reply::count(there))
    }

    pub(super) fn rename(&self, key: &str, to: &str) -> Result<Reply> {
        self.stream(key)?.rename_to(to).map(|()| Reply::OK)
    }

    pub(super) fn rename_nx(&self, key: &str, to: &str) -> Result<Reply> {
        self.stream(key)?.rename_to_new(to).map(Reply::flag)
    }

    pub(super) fn copy(&self, source: &str, destination: &str, replace: bool) -> Result<Reply> {
        self.on(source, Reply::flag(false), |stream| {
            let copied =
                if replace { stream.copy_to(destination).map(|()| true) } else { stream.copy_to_new(destination) };
            copied.map(Reply::flag)
        })
    }

    pub(super) fn flush(&self) -> Result<Reply> {
        let all = || self.delete_all(&self.streams()?);
        self.alone(&[], all)?.unwrap_or(Ok(0)).map(|_| Reply::OK)
    }

    /// Deletes streams, all of them in one record; returns how many there were.
    fn delete_all(&self, names: &[impl AsRef<str>]) -> Result<u64> {
        // One that cannot be a name is found before anything is deleted.
        let streams = names.iter().map(|name| self.stream(name.as_ref())).collect::<Result<Vec<_>>>()?;
        let delete = || {
            let mut deleted = 0;
            for stream in &streams {
                deleted += u64::from(stream.delete_stream()?);
            }
            Ok(deleted)
        };
        if streams.len() > 1 { self.alone(&[], delete)?.unwrap_or(Ok(0)) } else { delete() }
    }

    pub(super) fn keys(&self, pattern: &[u8]) -> Result<Reply> {
        let names = self.streams()?.into_iter().filter(|name| glob::matches(pattern, name.as_bytes(), false));
        Ok(Reply::Array(names.map(Reply::bulk).collect()))
    }

    pub(super) fn scan(&self, scan: &Scan) -> Result<Reply> {
        let Scan { cursor, pattern, count, of_type } = scan;
        let count = usize::try_from(count.unwrap_or(SCAN_COUNT)).unwrap_or(usize::MAX);
        let (names, next) = if *cursor > PLACE_MAX { (Vec::new(), None) } else { self.scan_streams(*cursor, count)? };
        let of_type = of_type.as_ref().is_none_or(|word| word.eq_ignore_ascii_case(b"stream"));
        let matches =
            |name: &str| pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, name.as_bytes(), false));
        let names = names.iter().filter(|name| of_type && matches(name));
        let names = names.map(|name| Reply::bulk(name.as_bytes())).collect();
        Ok(Reply::Array(vec![Reply::bulk(next.unwrap_or(0).to_string()), Reply::Array(names)]))
    }
}
