//! The state of the broker: streams, groups, consumers and pending entries in memory, changed by records alone.
//!
//! A [`Change`] carries outcomes (IDs, times, counts), decided before it was recorded. [`StreamState::apply`] is the
//! one way in which state changes, in normal running and in replay alike, and reads neither clock nor files. What is
//! in redb ([`tables`]) is the state as of some record, and the [`checkpoint`](delta) writes the net difference.
//!
//! The state does not know what is durable, who may see what, or who waits.

pub(crate) mod adopted;
pub(crate) mod change;
pub(crate) mod delta;
pub(crate) mod group;
pub(crate) mod lag;
pub(crate) mod producers;
pub(crate) mod snapshot;
pub(crate) mod sorted;
pub(crate) mod stream_state;
pub(crate) mod tables;
pub(crate) mod tombstones;

pub(crate) use change::Change;
pub(crate) use group::{Consumer, Group, Pending};
pub(crate) use stream_state::StreamState;
pub(crate) use tables::Tables;
