//! The `streamlog` program.
fn main() {}
