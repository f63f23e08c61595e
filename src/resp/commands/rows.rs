//! All commands: what the table says of each, as Redis 8.6.3 says it of those that it has.

mod connection;
mod generic;
mod server;
mod stream;

use super::Kind;
use super::spec::{Flags, Spec};

pub(super) fn all() -> Vec<Spec> {
    [stream::all(), generic::all(), connection::all(), server::all()].into_iter().flatten().collect()
}

fn row(name: &'static str, arity: i32, flags: Flags, kind: Kind) -> Spec {
    Spec::new(name, arity, flags, kind)
}
