//! What all connections share.

use crate::broker::Broker;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) broker: Broker,
}

/// What others see of a connection, and what they can ask of it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
}
