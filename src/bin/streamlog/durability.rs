//! A durability as it is written on the command line: `always`, `interval:1s`, `os`.

use std::time::Duration;

use streamlog::Durability;

pub(crate) fn parse(text: &str) -> std::result::Result<Durability, String> {
    match (text, text.strip_prefix("interval:")) {
        ("always", _) => Ok(Durability::Always),
        ("os", _) => Ok(Durability::Os),
        (_, Some(interval)) => match duration(interval) {
            Some(interval) if !interval.is_zero() => Ok(Durability::Interval(interval)),
            _ => Err(format!("`{interval}` is no interval: write `500ms`, `1s` or `1m`")),
        },
        _ => Err("write `always`, `interval:1s` or `os`".to_owned()),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_a_word_or_an_interval() {
        assert_eq!(parse("always"), Ok(Durability::Always));
        assert_eq!(parse("os"), Ok(Durability::Os));
        assert_eq!(parse("interval:250ms"), Ok(Durability::Interval(Duration::from_millis(250))));
        assert_eq!(parse("interval:2m"), Ok(Durability::Interval(Duration::from_secs(120))));
        for bad in ["", "never", "interval", "interval:", "interval:0s", "interval:5", "interval:s", "interval:-1s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
