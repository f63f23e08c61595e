//! Chance, all of it from a seed: `SplitMix64`, five lines that will never change under a recorded seed.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `limit`, without it; 0 if there is nothing below it.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // The bias of the remainder is far below what a test could see.
        self.next().checked_rem(limit).unwrap_or(0)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// How much of `whole` gets done when it is cut off: the two ends as often as all between.
    pub(super) fn cut(&mut self, whole: u64) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => whole,
            _ => self.below(whole + 1),
        }
    }
}
