//! Delivering to a consumer from one group or from several at once: what is to be delivered again, then what is new, in one
//! record of each stream; and waiting for it.
//!
//! What is asked is set by the reads that users hold. This knows no builders and no handles' sessions.

use std::sync::Arc;
use std::time::Duration;

use super::again::{Again, Due};
use super::blocking::{Block, Place, Tried, Wait};
use super::cell::StreamCell;
use super::claim::record;
use super::collect::Collector;
use super::consumer::{Asking, Member};
use super::core::{Plan, found};
use super::history::Redelivery;
use super::limits::{Left, Limits};
use super::message::Delivery;
use super::{GroupStart, Messages};
use crate::clock::millis;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::log::Lookup;
use crate::state::Change;
use crate::state::group::NOBODY;

/// What there is of several groups, by their numbers.
pub(super) type Found = Vec<(usize, Messages)>;

/// What is asked of groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) limits: Limits,
    pub(super) block: Block,
    /// New entries are taken as acknowledged at once.
    pub(super) no_ack: bool,
    pub(super) again: Rescue,
}

/// What is to be delivered again, before what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rescue {
    Nothing,
    /// What was released, and what has been idle for so long, whoever has it.
    Idle(Duration),
    /// What was released, and what has been idle for so long with others, if that is asked for.
    OfOthers(Option<Duration>),
}

impl Default for Asked {
    fn default() -> Asked {
        Asked { limits: Limits::each(usize::MAX), block: Block::No, no_ack: false, again: Rescue::Nothing }
    }
}

impl Rescue {
    fn by(self, consumer: u32) -> Option<Again> {
        match self {
            Rescue::Nothing => None,
            Rescue::Idle(min_idle) => Some(Again { min_idle_ms: Some(millis(min_idle)), except: NOBODY }),
            Rescue::OfOthers(min_idle) => Some(Again { min_idle_ms: min_idle.map(millis), except: consumer }),
        }
    }
}

impl Asked {
    /// Asks one group; tries `first` before each look, which has its own to give. No messages if the time is over.
    pub(super) fn one(
        &self,
        member: &Member,
        start: GroupStart,
        first: impl FnMut() -> Result<Option<Messages>>,
    ) -> Result<Messages> {
        let got = self.all(&[(member, start)], first)?.on_thread()?;
        Ok(only(member, got))
    }

    /// [`one`](Asked::one) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn one_async(
        &self,
        member: &Member,
        start: GroupStart,
        first: impl FnMut() -> Result<Option<Messages>>,
    ) -> Result<Messages> {
        let got = self.all(&[(member, start)], first)?.on_runtime().await?;
        Ok(only(member, got))
    }

    /// Asks several groups, in their order, for what there is by their numbers. All of them must be there.
    pub(super) fn all<'a>(
        &'a self,
        members: &'a [(&'a Member, GroupStart)],
        mut first: impl FnMut() -> Result<Option<Messages>> + 'a,
    ) -> Result<Wait<'a, impl FnMut(&mut [Place<'a>]) -> Tried<Found>>> {
        // What is pending is told at once, be it nothing; and nothing is enough of nothing.
        let history = members.iter().position(|(_, start)| *start != GroupStart::New);
        let block = if self.limits.is_nothing() || history.is_some() { Block::No } else { self.block };
        let places = members.iter().map(|(member, _)| member.place()).collect::<Result<Vec<_>>>()?;
        let attempt = move |places: &mut [Place<'a>]| {
            if let Some(messages) = first()? {
                return Ok(Some(vec![(0, messages)]));
            }
            if let [_, _, ..] = places {
                // Nothing is delivered of one where another is missing.
                let all = members.iter().zip(&mut *places);
                all.into_iter().try_for_each(|((member, _), place)| member.check(place))?;
            }
            let mut left = self.limits.left();
            let mut got = Vec::new();
            for (index, ((member, start), place)) in members.iter().zip(places).enumerate() {
                if left.is_over() {
                    break;
                }
                // As Redis has it: of the streams after one whose history is read, nothing is claimed.
                let again = if history.is_some_and(|history| history < index) { Rescue::Nothing } else { self.again };
                let messages = match *start {
                    GroupStart::New => member.deliver(place, Asked { again, ..*self }, &mut left),
                    GroupStart::PendingAfter(after) => member.history(place, after, &mut left).map(Some),
                };
                match messages {
                    Ok(None) => {}
                    Ok(Some(messages)) => got.push((index, messages)),
                    Err(error) if got.is_empty() => return Err(member.group.error(error)),
                    // What was delivered must be told of. The next read meets the error.
                    Err(_) => break,
                }
            }
            Ok(if got.is_empty() { None } else { Some(got) })
        };
        Ok(Wait::new(block, places, attempt))
    }
}

fn only(member: &Member, got: Option<Found>) -> Messages {
    let got = got.and_then(|mut got| got.pop());
    got.map_or_else(|| Messages::none(&member.group), |(_, messages)| messages)
}

impl Member {
    /// A place in the group's queue, not taken yet.
    fn place(&self) -> Result<Place<'_>> {
        let stream = self.group.stream();
        let place = stream.with_cell(|cell| {
            let group = stream.core().read(cell, |inner, _| inner.group(self.group.name()).map(Lookup::Found))?;
            Ok(Place::in_group(stream, Arc::clone(cell), group, self.group.name()))
        });
        place.map_err(|error| self.group.error(error))
    }

    /// Whether the group is still the one waited in.
    fn check(&self, place: &mut Place<'_>) -> Result<()> {
        let group = place.with_cell(|place, cell| {
            place.core().read(cell, |inner, _| inner.group(self.group.name()).map(Lookup::Found))
        });
        match group.map_err(|error| self.group.error(error))? {
            group if place.is_in(group) => Ok(()),
            _ => Err(Error::no_such_group(self.group.stream().name(), self.group.name())),
        }
    }

    fn history(&self, place: &mut Place<'_>, after: Id, left: &mut Left) -> Result<Messages> {
        let redelivery = Redelivery { after, wanted: |_| true, forget_deleted: false };
        place.with_cell(|_, cell| Ok(self.redeliver(cell, &redelivery, left)?.0))
    }

    /// One look at the group: what is due, and what is new if it is this one's turn.
    fn deliver(&self, place: &mut Place<'_>, asked: Asked, left: &mut Left) -> Result<Option<Messages>> {
        place.with_cell(|place, cell| self.deliver_of(cell, place, asked, left))
    }

    fn deliver_of(
        &self,
        cell: &Arc<StreamCell>,
        place: &mut Place<'_>,
        asked: Asked,
        left: &mut Left,
    ) -> Result<Option<Messages>> {
        let (found, deliveries, deleted) = self.change_in(cell, |inner, asking, blocks, changes| {
            place.news = inner.news;
            let Asking { group, consumer, now_ms } = asking;
            if !place.is_in(group) {
                return Err(Error::no_such_group(&inner.state.name, self.group.name()));
            }
            place.again = asked.again.by(consumer);
            let count = left.count();
            let mut found = Collector::until_damage().with_room(left.room());
            let Due { ids, mut deliveries, mut deleted } = match place.again {
                None => Due::default(),
                Some(again) => {
                    if again.min_idle_ms.is_some() {
                        inner.state.groups.get_mut(&group).expect("found under this lock").order_by_time();
                    }
                    let before = place.wanted_before(inner);
                    found!(inner.collect_due(asking, again, &before, count, blocks, &mut found))?
                }
            };
            if place.again.is_some_and(|again| again.keeps_gone()) {
                let group = inner.state.groups.get_mut(&group).expect("found under this lock");
                group.note_gone(&std::mem::take(&mut deleted));
            }
            record(changes, asking, now_ms, ids, &deleted);

            let state = &inner.state.groups[&group];
            let (mut cursor, mut entries_read) = (state.cursor, state.entries_read);
            let first = cursor.next().filter(|_| place.is_turn(inner) && cursor < inner.visible_last_id);
            if let Some(first) = first.filter(|_| found.len() < count && !found.is_over()) {
                let mut ordinals = found!(inner.ordinals(first, Id::MAX, blocks));
                found!(inner.collect(&mut ordinals, false, count, blocks, &mut found));
            }
            found.check()?;
            let new: Vec<Id> = found.ids().skip(deliveries.len()).collect();
            if let Some(&last) = new.last() {
                for &id in &new {
                    entries_read = inner.state.entries_read_after(entries_read, cursor, id);
                    cursor = id;
                }
                deliveries.resize(found.len(), Delivery::NEW);
                let ids = if asked.no_ack { Vec::new() } else { new };
                changes.push(Change::Deliver { group, consumer, now_ms, ids, cursor: last, entries_read });
            }
            Ok(Plan::of(std::mem::take(changes), (found, deliveries, deleted)))
        })?;
        if found.len() == 0 {
            return Ok(None);
        }
        left.take(found.len(), found.room());
        let claimed = matches!(asked.again, Rescue::Idle(_));
        let mut messages = Messages::new(&self.group, found.finish()?, deliveries, deleted);
        messages.claimed = claimed;
        Ok(Some(messages))
    }
}
