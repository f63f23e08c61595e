//! Several calls as one change (`MULTI`, `EXEC`), unless something that was watched has changed (`WATCH`).

use super::Broker;
use crate::command::{Command, Reply};
use crate::error::Result;
#[cfg(any(test, feature = "resp"))]
use crate::stream::catalog::check_name;
pub(crate) use crate::stream::watch::Watch;

impl Broker {
    /// Runs commands as one (`MULTI`, `EXEC`): nobody changes anything meanwhile, or sees some of what they do without the
    /// rest; after a crash all of it is there or nothing. Returns each one's reply or error, once all of it is as durable as each
    /// of them would be. As in Redis, one that is refused leaves what the others do; reads that block return at once.
    ///
    /// ```
    /// use streamlog::Broker;
    /// use streamlog::command::{Command, Reply};
    ///
    /// let broker = Broker::in_memory()?;
    /// let transfer = [
    ///     Command::parse(&["XADD", "debits", "5-1", "account", "ann", "cents", "900"])?,
    ///     Command::parse(&["XADD", "credits", "5-1", "account", "bob", "cents", "900"])?,
    ///     Command::parse(&["XADD", "credits", "5-1", "account", "bob", "cents", "900"])?,
    /// ];
    /// let replies = broker.execute_all(&transfer)?;
    /// assert_eq!(*replies[1].as_ref().unwrap(), Reply::bulk("5-1"));
    /// assert!(replies[2].is_err(), "that ID was given already");
    /// assert_eq!(broker.stream("credits")?.len()?, 1);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// What they change must fit one record: a command that would make it larger than about 512 MiB is refused, and so
    /// is one that adds where the disk has no room.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed); what the system says where the record cannot be written, and then nothing can be
    /// written any more, and what they did is not there after opening again.
    pub fn execute_all(&self, commands: &[Command]) -> Result<Vec<Result<Reply>>> {
        let replies = self.alone(&[], || commands.iter().map(|command| self.execute(command)).collect());
        Ok(replies?.unwrap_or_default())
    }

    /// Watches the stream of this name (`WATCH`): what changes its entries touches the watch, and its beginning and end.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName); [`Closed`](crate::ErrorKind::Closed); what the sync failed with that has to
    /// come before.
    #[cfg(any(test, feature = "resp"))]
    pub(crate) fn watch(&self, name: &str) -> Result<Watch> {
        check_name("stream", name)?;
        self.open.core.watch(&name.into())
    }

    /// Calls `work` while nobody else changes anything, or sees what it does before it is done; what it changes is one record.
    /// `None`, and it is not called, if something watched was touched.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed); what the system says, and then nothing can be written any more.
    pub(crate) fn alone<T>(&self, watches: &[Watch], work: impl FnOnce() -> T) -> Result<Option<T>> {
        self.open.core.alone(|| !watches.iter().any(Watch::is_touched), work)
    }
}

#[cfg(test)]
mod tests;
