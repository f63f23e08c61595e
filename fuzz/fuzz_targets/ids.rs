//! Whatever parses as an ID is written as it was read, up to what may be left out, and sorts as its numbers do.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamlog::{Id, IdSpec};

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<Id>() {
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert_eq!(text.parse::<IdSpec>().unwrap(), IdSpec::Exact(id));
        assert!(id.next().is_none_or(|next| next > id && next.previous() == Some(id)));
    } else {
        assert!(!matches!(text.parse::<IdSpec>(), Ok(IdSpec::Exact(_))));
    }
});
