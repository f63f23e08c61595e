//! What the benches share: where they write, how two are measured in turns, what is made of the measurements, and how that is shown.
//! Knows neither streamlog nor what it is compared with. A bench takes it in by its path:
//!
//! ```text
//! #[path = "../common/mod.rs"]          in benches/NAME/main.rs
//! #[path = "../../common/mod.rs"]       in a package of its own, benches/NAME/src/main.rs
//! mod common;
//! ```

#![allow(dead_code, unused_imports, reason = "each bench uses a part of it")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures are for people: they have three digits"
)]

mod arguments;
mod io;
mod latency;
mod machine;
mod random;
mod ratio;
mod report;
mod scratch;
mod table;
mod turns;

pub(crate) use self::arguments::{Arguments, refuse};
pub(crate) use self::io::Io;
pub(crate) use self::latency::Latencies;
pub(crate) use self::machine::{Machine, said};
pub(crate) use self::random::Random;
pub(crate) use self::ratio::{Ratio, median};
pub(crate) use self::report::write_json;
pub(crate) use self::scratch::Scratch;
pub(crate) use self::table::{Table, bytes, count, nanos, rate};
pub(crate) use self::turns::in_turns;
