//! Entries that are added later: asked for, listed and cancelled. Knows what a user holds of them; the
//! [`schedule`](super::schedule) knows how they are kept and what happens when they are due.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Stream;
use super::add::{Later, NewEntry};
use super::schedule::Target;
use crate::clock::millis;
use crate::entry::{IntoFields, encode_body};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::options::Durability;

/// When an entry is due.
#[derive(Debug, Clone, Copy)]
enum Due {
    In(Duration),
    AtMs(u64),
}

impl<'a, F: IntoFields> NewEntry<'a, F> {
    /// Has the entry added this long from now, and not at once: see [`NewDelayed`].
    pub fn delay(self, delay: Duration) -> NewDelayed<'a, F> {
        NewDelayed { entry: self, due: Due::In(delay) }
    }

    /// Has the entry added at this time, in milliseconds since the Unix epoch; soon if that has passed. See [`NewDelayed`].
    pub fn at(self, unix_ms: u64) -> NewDelayed<'a, F> {
        NewDelayed { entry: self, due: Due::AtMs(unix_ms) }
    }
}

/// An entry about to be scheduled: [`NewEntry::delay`], [`NewEntry::at`].
///
/// It is added when the wall clock has come to its time, with the ID that an entry gets which is added then; until that
/// nobody reads it, and it counts for nothing but in [`Stream::delayed`]. It is added **once**, whatever crashes, and soon after
/// opening if its time came while the broker was closed. How soon is no promise: the background adds it, after what else it
/// does, and looks at the clock at least once a second. Those due at the same time are added in the order in which they
/// were scheduled.
///
/// An entry follows its stream to another name. With its stream deleted it is dropped, also if there is a new one of that name;
/// its room comes back when it would have been due. Redis has no such command.
///
/// ```
/// use std::time::Duration;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// let reminders = broker.stream("reminders")?;
/// reminders.entry([("to", "ann")]).delay(Duration::from_millis(20)).schedule()?;
/// assert!(reminders.is_empty()?);
/// let due = reminders.read(streamlog::StartAt::Start).block(Duration::from_secs(10)).next()?;
/// assert_eq!(due[0].text("to")?, "ann");
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is scheduled before `schedule` is called"]
pub struct NewDelayed<'a, F> {
    entry: NewEntry<'a, F>,
    due: Due,
}

impl<F: IntoFields> NewDelayed<'_, F> {
    /// What the schedule must survive before [`schedule`](NewDelayed::schedule) returns; the broker's durability if not said. When
    /// it is due the entry is added with the broker's.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.entry = self.entry.durability(durability);
        self
    }

    /// Schedules the entry. Creates the stream if there is none, as adding it would.
    ///
    /// # Errors
    ///
    /// As [`Stream::add`]; [`InvalidArgument`](ErrorKind::InvalidArgument) if the entry was given an ID or a trim, or is
    /// [`idempotent`](NewEntry::idempotent); [`NoSuchStream`](ErrorKind::NoSuchStream) if it was told not to create one.
    pub fn schedule(self) -> Result<Delayed> {
        let NewDelayed { entry, due } = self;
        let Later { stream, fields, durability, create } = entry.into_later()?;
        let core = stream.core();
        let due_ms = match due {
            Due::In(delay) => core.clock.now_ms().saturating_add(millis(delay)),
            Due::AtMs(unix_ms) => unix_ms,
        };
        let mut body = Vec::new();
        encode_body(fields, core.options.max_entry_bytes, &mut body)?;
        let target = Target::of(&*if create { stream.cell_or_created()? } else { stream.cell()? });
        let id = core.schedule(target, due_ms, &body, durability)?;
        Ok(Delayed { stream: stream.clone(), target, id: DelayedId(id), due_ms })
    }
}

/// An entry that is scheduled: what [`NewDelayed::schedule`] and [`Stream::delayed`] return.
///
/// ```
/// use std::time::Duration;
/// use streamlog::DelayedId;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// let reminders = broker.stream("reminders")?;
/// let delayed = reminders.entry([("to", "ann")]).delay(Duration::from_secs(3600)).schedule()?;
/// let text = delayed.id().to_string(); // to be kept anywhere
///
/// assert_eq!(reminders.delayed()?.len(), 1);
/// assert!(reminders.cancel_delayed(text.parse()?)?);
/// assert!(!delayed.cancel()?, "it was cancelled already");
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Delayed {
    stream: Stream,
    target: Target,
    id: DelayedId,
    due_ms: u64,
}

impl Delayed {
    /// What [`Stream::cancel_delayed`] takes, now or in another process later. It is not the ID that the entry gets.
    pub fn id(&self) -> DelayedId {
        self.id
    }

    /// When the entry is due, in milliseconds since the Unix epoch.
    pub fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Takes the entry off the schedule. Returns whether it was still there: `true` means that it was not added and will never
    /// be, `false` that it was added, or cancelled, or dropped when it was due, its stream being gone.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) if the entry is damaged; if it cannot be written.
    pub fn cancel(&self) -> Result<bool> {
        self.stream.cancel_of(self.target, self.id)
    }
}

/// The name of a scheduled entry in its broker, never used again; a text and back (`"1526919030474-55"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayedId(Id);

impl fmt::Display for DelayedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for DelayedId {
    type Err = Error;

    /// Parses what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<DelayedId> {
        match text.parse::<Id>() {
            Ok(id) if id.to_string() == text => Ok(DelayedId(id)),
            _ => Err(Error::new(ErrorKind::InvalidId, format!("`{text}` is not the ID of a delayed entry"))),
        }
    }
}

impl Stream {
    /// What is scheduled for the stream, the next first. Reads all that is scheduled in the broker: for looking, not for
    /// every second.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let reminders = broker.stream("reminders")?;
    /// reminders.entry([("to", "ann")]).at(4_102_444_800_000).schedule()?;
    /// reminders.entry([("to", "bob")]).delay(Duration::from_secs(60)).schedule()?;
    /// let delayed = reminders.delayed()?;
    /// assert_eq!(delayed.len(), 2);
    /// assert_eq!(delayed[1].due_ms(), 4_102_444_800_000);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](ErrorKind::NoSuchStream); [`Corrupt`](ErrorKind::Corrupt) if what is scheduled is damaged.
    pub fn delayed(&self) -> Result<Vec<Delayed>> {
        let target = Target::of(&*self.cell()?);
        let scheduled = self.core().scheduled_for(target)?.into_iter();
        let delayed = |(due_ms, id)| Delayed { stream: self.clone(), target, id: DelayedId(id), due_ms };
        Ok(scheduled.map(delayed).collect())
    }

    /// Takes an entry off the schedule: see [`Delayed::cancel`]. `false` also if it is scheduled for another stream.
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](ErrorKind::NoSuchStream); otherwise as [`Delayed::cancel`].
    pub fn cancel_delayed(&self, id: DelayedId) -> Result<bool> {
        self.cancel_of(Target::of(&*self.cell()?), id)
    }

    fn cancel_of(&self, target: Target, id: DelayedId) -> Result<bool> {
        self.core().unschedule(target, id.0, self.core().options.durability)
    }
}
