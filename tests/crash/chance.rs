//! Chance: from a seed, with `SplitMix64` as the simulated disk has it; or from bytes, for whoever looks for bytes that fail.

use streamlog::sim::Survival;

#[derive(Debug, Clone)]
pub(crate) enum Chance {
    Seed {
        state: u64,
    },
    /// Zeros when they run out: the simplest there is.
    Bytes(std::vec::IntoIter<u8>),
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance::Seed { state: seed }
    }

    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Chance {
        Chance::Bytes(bytes.into_iter())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.below(u64::MAX)
    }

    /// From 0 to `limit`, without it.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        match self {
            Chance::Seed { state } => split_mix(state) % limit,
            Chance::Bytes(bytes) => {
                let take = if limit <= 1 << 8 { 1 } else { 2 };
                bytes.take(take).fold(0, |number, byte| number << 8 | u64::from(byte)) % limit
            }
        }
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

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn bytes_are_chosen_by_one_after_the_other_and_then_zeros() {
    let mut chance = Chance::of_bytes(vec![9, 1, 2]);
    assert_eq!((chance.below(8), chance.below(1000), chance.below(3)), (1, 258, 0));
}
