//! Several are measured in turns, so that a disk that drifts does so for all of them; and none is always the first.

/// Measures each of `sides` once in each of `rounds`; `measure` is called with the side's number and the round's. Returns each
/// side's measurements, by round.
pub(crate) fn in_turns<T>(rounds: usize, sides: usize, mut measure: impl FnMut(usize, usize) -> T) -> Vec<Vec<T>> {
    let mut measured: Vec<Vec<T>> = (0..sides).map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds {
        for turn in 0..sides {
            let side = (round + turn) % sides;
            measured[side].push(measure(side, round));
        }
    }
    measured
}
