//! `XGROUP`: groups made, moved and destroyed.

use crate::broker::Broker;
use crate::command::{Reply, XGroupCreate, XGroupSetId};
use crate::error::{Error, Result};

impl Broker {
    pub(super) fn xgroup_create(&self, create: &XGroupCreate) -> Result<Reply> {
        let stream = self.stream(&create.key)?;
        if !create.make_stream && !stream.exists() {
            return Err(Error::no_such_stream(&create.key));
        }
        let mut group = stream.group(&create.group).start_at(create.start);
        if let Some(read) = create.entries_read {
            group = group.entries_read(read);
        }
        group.create().map(|_| Reply::OK)
    }

    pub(super) fn xgroup_setid(&self, set: &XGroupSetId) -> Result<Reply> {
        let group = self.group_of_stream(&set.key, &set.group)?;
        group.set_cursor_and_read(set.to, set.entries_read).map(|()| Reply::OK)
    }

    pub(super) fn xgroup_destroy(&self, key: &str, group: &str) -> Result<Reply> {
        match self.group_of_stream(key, group) {
            Err(error) if error.kind() == crate::ErrorKind::NoSuchGroup => Ok(Reply::flag(false)),
            group => group?.destroy().map(Reply::flag),
        }
    }
}
