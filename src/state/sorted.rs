//! A sorted map that is cheap at its ends: what is pending is delivered in the order of its IDs, and nearly always acknowledged in that
//! order too. Knows nothing of either.
//!
//! ```text
//! chunks   | k v  k v  k v … | k v  k v … | … |      sorted, each of up to CHUNK_LEN; few of them nearly empty
//! ```
//!
//! A key behind all others, or the first one removed, costs no search and moves nothing; any other costs a search by halves and
//! the moving of less than half a chunk. Full chunks have no room to spare: an entry takes little more than its own bytes.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::{Bound, Index, RangeBounds};

/// How many entries a chunk has at most: moving half of them costs no more than what else is done for one.
const CHUNK_LEN: usize = 128;

/// A chunk with fewer than this many is joined with the one beside it, if both have room in one.
const SPARSE_LEN: usize = CHUNK_LEN / 4;

type Chunk<K, V> = VecDeque<(K, V)>;

#[derive(Debug, Clone)]
pub(crate) struct SortedMap<K, V> {
    /// None of them is empty, but for one that is left alone: to be filled again, by a consumer that acknowledges all it was given
    /// before it asks for more.
    chunks: VecDeque<Chunk<K, V>>,
    len: usize,
}

/// The keys alone.
#[derive(Debug, Clone)]
pub(crate) struct SortedSet<K>(SortedMap<K, ()>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap { chunks: VecDeque::new(), len: 0 }
    }
}

/// Where an entry is, or would be: its chunk, and its place in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    chunk: usize,
    index: usize,
}

impl<K: Ord + Copy, V> SortedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let place = self.find(key).ok()?;
        Some(&self.chunks[place.chunk][place.index].1)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.find(key).ok()?;
        Some(&mut self.chunks[place.chunk][place.index].1)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    pub(crate) fn first_key_value(&self) -> Option<(&K, &V)> {
        self.chunks.front()?.front().map(|(key, value)| (key, value))
    }

    pub(crate) fn last_key_value(&self) -> Option<(&K, &V)> {
        self.chunks.back()?.back().map(|(key, value)| (key, value))
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(last) = self.chunks.back_mut()
            && last.len() < CHUNK_LEN
            && last.back().is_none_or(|(last, _)| *last < key)
        {
            last.push_back((key, value));
            self.len += 1;
            return None;
        }
        match self.find(&key) {
            Ok(place) => Some(std::mem::replace(&mut self.chunks[place.chunk][place.index].1, value)),
            Err(place) => {
                self.insert_at(place, key, value);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let stays = self.len == 1;
        if let Some(first) = self.chunks.front_mut()
            && (first.len() > 1 || stays)
            && first.front().is_some_and(|(first, _)| first == key)
        {
            self.len -= 1;
            return first.pop_front().map(|(_, value)| value);
        }
        let place = self.find(key).ok()?;
        let (_, value) = self.chunks[place.chunk].remove(place.index)?;
        self.len -= 1;
        self.keep_dense(place.chunk);
        Some(value)
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        self.range(..)
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.chunks.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }

    /// Those of `keys` that are there. Such as lie beside each other, as they do nearly always, are not searched for.
    pub(crate) fn present(&self, keys: &[K]) -> Vec<K> {
        let mut next = Place { chunk: 0, index: 0 };
        let mut present = Vec::with_capacity(keys.len());
        for key in keys {
            let beside = self.chunks.get(next.chunk).and_then(|chunk| chunk.get(next.index));
            let found = if beside.is_some_and(|(other, _)| other == key) { Ok(next) } else { self.find(key) };
            if let Ok(Place { chunk, index }) = found {
                let is_last = index + 1 == self.chunks[chunk].len();
                next = if is_last { Place { chunk: chunk + 1, index: 0 } } else { Place { chunk, index: index + 1 } };
                present.push(*key);
            }
        }
        present
    }

    /// Gives back the memory that an empty map keeps.
    pub(crate) fn give_back(&mut self) {
        if self.is_empty() {
            self.chunks = VecDeque::new();
        }
    }

    /// The entries with keys in `range`, in order.
    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> Iter<'_, K, V> {
        let not_before = |key: &K| self.find(key).unwrap_or_else(|place| place);
        let after = |key: &K| match self.find(key) {
            Ok(Place { chunk, index }) => Place { chunk, index: index + 1 },
            Err(place) => place,
        };
        let front = match range.start_bound() {
            Bound::Unbounded => Place { chunk: 0, index: 0 },
            Bound::Included(key) => not_before(key),
            Bound::Excluded(key) => after(key),
        };
        let back = match range.end_bound() {
            Bound::Unbounded => Place { chunk: self.chunks.len(), index: 0 },
            Bound::Included(key) => after(key),
            Bound::Excluded(key) => not_before(key),
        };
        Iter { chunks: &self.chunks, front, back }
    }

    /// Where the key is, or where it is to be inserted. The ends first, where it nearly always is.
    fn find(&self, key: &K) -> Result<Place, Place> {
        let Some(last_chunk) = self.chunks.len().checked_sub(1) else { return Err(Place { chunk: 0, index: 0 }) };
        let last = &self.chunks[last_chunk];
        match last.back().map(|(last, _)| last.cmp(key)) {
            Some(Ordering::Less) => return Err(Place { chunk: last_chunk, index: last.len() }),
            Some(Ordering::Equal) => return Ok(Place { chunk: last_chunk, index: last.len() - 1 }),
            _ => {}
        }
        match self.chunks[0].front().map(|(first, _)| first.cmp(key)) {
            Some(Ordering::Greater) => return Err(Place { chunk: 0, index: 0 }),
            Some(Ordering::Equal) => return Ok(Place { chunk: 0, index: 0 }),
            _ => {}
        }
        let ends_before = |chunk: &Chunk<K, V>| chunk.back().is_some_and(|(last, _)| last < key);
        let chunk = self.chunks.partition_point(ends_before);
        match self.chunks[chunk].binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(index) => Ok(Place { chunk, index }),
            Err(index) => Err(Place { chunk, index }),
        }
    }

    fn insert_at(&mut self, place: Place, key: K, value: V) {
        self.len += 1;
        let Place { chunk, index } = place;
        let Some(entries) = self.chunks.get_mut(chunk) else {
            self.chunks.push_back(VecDeque::from([(key, value)]));
            return;
        };
        if entries.len() < CHUNK_LEN {
            entries.insert(index, (key, value));
            return;
        }
        if index == entries.len() {
            // Behind it, and not half of it: what comes in order fills every chunk.
            let mut next = VecDeque::with_capacity(CHUNK_LEN);
            next.push_back((key, value));
            self.chunks.insert(chunk + 1, next);
            return;
        }
        let mut second = VecDeque::with_capacity(CHUNK_LEN);
        second.extend(entries.drain(CHUNK_LEN / 2..));
        match index.checked_sub(CHUNK_LEN / 2) {
            Some(index) => second.insert(index, (key, value)),
            None => entries.insert(index, (key, value)),
        }
        self.chunks.insert(chunk + 1, second);
    }

    /// After something was removed from a chunk.
    fn keep_dense(&mut self, chunk: usize) {
        let len = self.chunks[chunk].len();
        if len == 0 {
            self.chunks.remove(chunk);
        } else if len < SPARSE_LEN {
            let room = |other: usize| self.chunks.get(other).is_some_and(|other| other.len() + len <= CHUNK_LEN / 2);
            // The first one is about to be gone, and the last one to be filled.
            let joined = if chunk > 0 && room(chunk - 1) {
                Some(chunk)
            } else if chunk > 0 && room(chunk + 1) {
                Some(chunk + 1)
            } else {
                None
            };
            if let Some(joined) = joined
                && let Some(entries) = self.chunks.remove(joined)
            {
                self.chunks[joined - 1].extend(entries);
            }
        }
    }
}

impl<K: Ord + Copy, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = SortedMap::default();
        map.extend(entries);
        map
    }
}

impl<K: Ord + Copy, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord + Copy, V> Index<&K> for SortedMap<K, V> {
    type Output = V;

    /// # Panics
    ///
    /// If the key is not there.
    fn index(&self, key: &K) -> &V {
        self.get(key).expect("the key is there")
    }
}

impl<'a, K: Ord + Copy, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K> Default for SortedSet<K> {
    fn default() -> Self {
        SortedSet(SortedMap::default())
    }
}

impl<K: Ord + Copy> SortedSet<K> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As [`SortedMap::give_back`].
    pub(crate) fn give_back(&mut self) {
        self.0.give_back();
    }

    /// Whether it was not there.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, ()).is_none()
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        self.0.remove(key).is_some()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = K> {
        self.range(..)
    }

    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = K> {
        self.0.range(range).map(|(&key, ())| key)
    }
}

impl<K: Ord + Copy> Extend<K> for SortedSet<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        self.0.extend(keys.into_iter().map(|key| (key, ())));
    }
}

/// The entries of a range: [`SortedMap::range`].
#[derive(Debug)]
pub(crate) struct Iter<'a, K, V> {
    chunks: &'a VecDeque<Chunk<K, V>>,
    front: Place,
    back: Place,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.front >= self.back {
                return None;
            }
            let entry = self.chunks.get(self.front.chunk)?.get(self.front.index);
            match entry {
                Some((key, value)) => {
                    self.front.index += 1;
                    return Some((key, value));
                }
                None => self.front = Place { chunk: self.front.chunk + 1, index: 0 },
            }
        }
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while self.front < self.back {
            if self.back.index == 0 {
                let chunk = self.back.chunk - 1;
                self.back = Place { chunk, index: self.chunks.get(chunk)?.len() };
                continue;
            }
            self.back.index -= 1;
            return self.chunks.get(self.back.chunk)?.get(self.back.index).map(|(key, value)| (key, value));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Append(u32),
        Insert(u32, u32),
        RemoveFirst(u32),
        Remove(u32),
        RemoveEach(u32, u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        let key = 0..5000u32;
        prop_oneof![
            4 => (1..300u32).prop_map(Op::Append),
            3 => (key.clone(), 1..200u32).prop_map(|(key, many)| Op::Insert(key, many)),
            2 => (1..300u32).prop_map(Op::RemoveFirst),
            2 => key.clone().prop_map(Op::Remove),
            2 => (key, 2..7u32).prop_map(|(key, each)| Op::RemoveEach(key, each)),
        ]
    }

    fn check(map: &SortedMap<u32, u32>, twin: &BTreeMap<u32, u32>) {
        assert!(map.iter().eq(twin.iter()), "{map:?}");
        assert!(map.iter().rev().eq(twin.iter().rev()));
        assert_eq!((map.len(), map.is_empty()), (twin.len(), twin.is_empty()));
        assert_eq!(map.first_key_value(), twin.first_key_value());
        assert_eq!(map.last_key_value(), twin.last_key_value());
        assert!(map.chunks.iter().all(|chunk| (!chunk.is_empty() || map.is_empty()) && chunk.len() <= CHUNK_LEN));
        assert!(!map.is_empty() || map.chunks.len() <= 1);
    }

    proptest! {
        #[test]
        fn it_is_what_a_map_of_the_standard_library_is(ops in prop::collection::vec(op(), 1..60), seeks in prop::collection::vec((0..6000u32, 0..6000u32), 8)) {
            let (mut map, mut twin) = (SortedMap::default(), BTreeMap::new());
            for op in ops {
                match op {
                    Op::Append(many) => {
                        let from = twin.last_key_value().map_or(0, |(last, _)| last + 1);
                        for key in from..from + many {
                            prop_assert_eq!(map.insert(key, key), twin.insert(key, key));
                        }
                    }
                    Op::Insert(key, many) => {
                        for key in (key..).step_by(3).take(many as usize) {
                            prop_assert_eq!(map.insert(key, many), twin.insert(key, many));
                        }
                    }
                    Op::RemoveFirst(many) => {
                        for _ in 0..many {
                            let Some((&first, _)) = twin.first_key_value() else { break };
                            prop_assert_eq!(map.remove(&first), twin.remove(&first));
                        }
                    }
                    Op::Remove(key) => prop_assert_eq!(map.remove(&key), twin.remove(&key)),
                    Op::RemoveEach(from, each) => {
                        let keys: Vec<u32> = twin.range(from..).map(|(&key, _)| key).filter(|key| key % each != 0).collect();
                        for key in keys {
                            prop_assert_eq!(map.remove(&key), twin.remove(&key));
                        }
                    }
                }
                check(&map, &twin);
            }
            let keys: Vec<u32> = seeks.iter().flat_map(|&(from, to)| [from, to, from + 1, from + 2, to + 3]).collect();
            let present: Vec<u32> = keys.iter().copied().filter(|key| twin.contains_key(key)).collect();
            prop_assert_eq!(map.present(&keys), present);
            let all: Vec<u32> = twin.keys().copied().collect();
            prop_assert_eq!(map.present(&all), all);
            map.give_back();
            for (from, to) in seeks {
                prop_assert_eq!(map.get(&from), twin.get(&from));
                prop_assert_eq!(map.contains_key(&to), twin.contains_key(&to));
                prop_assert!(map.range(from..).eq(twin.range(from..)));
                prop_assert!(map.range(..=to).rev().eq(twin.range(..=to).rev()));
                let bounds = (Bound::Excluded(from.min(to)), Bound::Included(from.max(to)));
                prop_assert!(map.range(bounds).eq(twin.range(bounds)));
                if let Some(value) = map.get_mut(&from) {
                    *value += 1;
                    *twin.get_mut(&from).unwrap() += 1;
                }
            }
            check(&map, &twin);
            let mut both = map.range(..);
            let mut met = Vec::new();
            while let Some((key, _)) = both.next() {
                met.push(*key);
                met.extend(both.next_back().map(|(key, _)| *key));
            }
            prop_assert_eq!(met.len(), twin.len());
        }
    }

    /// What is left of a million of which all but a few were removed, here and there, does not keep their memory.
    #[test]
    fn few_that_are_left_of_many_take_few_chunks() {
        let mut map: SortedMap<u32, u32> = (0..100_000).map(|key| (key, key)).collect();
        assert_eq!(map.chunks.len(), 100_000_usize.div_ceil(CHUNK_LEN), "what comes in order fills every chunk");
        for key in (0..100_000).filter(|key| key % 100 != 0) {
            map.remove(&key);
        }
        assert_eq!(map.len(), 1000);
        assert!(map.chunks.len() <= 2 * 1000 / SPARSE_LEN + 2, "{}", map.chunks.len());
    }
}
