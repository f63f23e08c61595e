//! Chance, all of it from a seed: `SplitMix64`, as the simulated disk has it.

use streamlog::sim::Survival;

#[derive(Debug, Clone)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `limit`, without it.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `of` times.
    pub(crate) fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// Each of these with a chance of one half; now and then all or none.
    pub(crate) fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        match self.below(4) {
            0 => from.to_vec(),
            _ => from.iter().copied().filter(|_| self.once_in(2)).collect(),
        }
    }

    pub(crate) fn survival(&mut self) -> Survival {
        let seed = self.next();
        match self.below(8) {
            0 | 1 => Survival::Kill,
            2 => Survival::Nothing,
            3 => Survival::All,
            4 => Survival::Prefix(seed),
            5 => Survival::Torn(seed),
            _ => Survival::Sectors(seed),
        }
    }
}
