//! The pair map: asking the program to count pairs, and reading what it has counted.

use std::time::{Duration, Instant};

use aya::{
    maps::{Array, IterableMap as _, MapData, MapError, PerCpuHashMap, PerCpuValues},
    util::nr_cpus,
};
use veth_common::{Counter, Pair, names};

use super::{
    DatapathError,
    clock::{end_of, monotonic},
    dir_of,
    error::map_failed,
    pins::{is_pinned, open_pin},
};

/// How long the program counts without hearing from anybody who reads.
const LEASE: Duration = Duration::from_secs(5);
/// How often it hears.
const RENEWAL: Duration = Duration::from_secs(1);

/// The pairs of a fabric, which are counted for as long as this is read, and a few seconds longer: there
/// may be other readers, and nobody knows of the others.
pub struct PairMap {
    renewed: Instant,
    until_ns: Array<MapData, u64>,
    pairs: PerCpuHashMap<MapData, Pair, Counter>,
}

impl PairMap {
    /// Has the datapath of `fabric` count pairs. `None` when it is of a release that could not, or when
    /// there is none.
    ///
    /// What is counted already goes on if somebody else is reading, otherwise it begins anew.
    ///
    /// # Errors
    ///
    /// When the pins cannot be opened (`CAP_BPF`) or written.
    pub fn begin(fabric: &str) -> Result<Option<Self>, DatapathError> {
        let dir = dir_of(fabric);
        let pins = [names::MAP_PAIRS_UNTIL, names::MAP_PAIRS];
        if pins.iter().any(|name| !dir.join(name).exists()) {
            return Ok(None);
        }
        let [until_ns, pairs] = pins.map(|name| open_pin(&dir, name));
        let mut map = Self {
            renewed: Instant::now(),
            until_ns: Array::try_from(until_ns?)
                .map_err(map_failed("open", names::MAP_PAIRS_UNTIL))?,
            pairs: PerCpuHashMap::try_from(pairs?).map_err(map_failed("open", names::MAP_PAIRS))?,
        };
        if !map.is_read_by_others()? {
            map.clear()?;
        }
        map.renew()?;
        Ok(Some(map))
    }

    /// Whether this is the map that is pinned for `fabric` now.
    ///
    /// # Errors
    ///
    /// When the pin is there and cannot be examined (`CAP_BPF`).
    pub fn is_pinned_for(&self, fabric: &str) -> Result<bool, DatapathError> {
        is_pinned(self.pairs.map(), fabric, names::MAP_PAIRS)
    }

    /// What each pair has counted so far, summed over the CPUs, in no order; and has it counted on.
    ///
    /// # Errors
    ///
    /// When a map cannot be read or written.
    pub fn read(&mut self) -> Result<Vec<(Pair, Counter)>, DatapathError> {
        if self.renewed.elapsed() >= RENEWAL {
            self.renew()?;
        }
        let sum = |shares: &PerCpuValues<Counter>| {
            let mut total = Counter::default();
            for share in shares.iter() {
                total.add(share);
            }
            total
        };
        let entries = self.pairs.iter().map(|entry| entry.map(|(pair, it)| (pair, sum(&it))));
        entries.collect::<Result<_, _>>().map_err(map_failed("read", names::MAP_PAIRS))
    }

    fn is_read_by_others(&self) -> Result<bool, DatapathError> {
        let until_ns =
            self.until_ns.get(&0, 0).map_err(map_failed("read", names::MAP_PAIRS_UNTIL))?;
        Ok(u128::from(until_ns) > monotonic().as_nanos())
    }

    /// Removes what was counted, and makes the entry for what there is no room for.
    fn clear(&mut self) -> Result<(), DatapathError> {
        let pairs = self.pairs.keys().collect::<Result<Vec<_>, _>>();
        for pair in pairs.map_err(map_failed("read", names::MAP_PAIRS))? {
            match self.pairs.remove(&pair) {
                // Somebody else who has just begun clears as well.
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(source) => return Err(map_failed("empty", names::MAP_PAIRS)(source)),
            }
        }
        let cpus = |source| DatapathError::Cpus {
            action: format!("write map {}", names::MAP_PAIRS),
            source,
        };
        let count = nr_cpus().map_err(|(_, source)| cpus(source))?;
        let zero = PerCpuValues::try_from(vec![Counter::default(); count]).map_err(cpus)?;
        self.pairs.insert(Pair::OTHERS, zero, 0).map_err(map_failed("write", names::MAP_PAIRS))
    }

    fn renew(&mut self) -> Result<(), DatapathError> {
        self.until_ns
            .set(0, end_of(LEASE), 0)
            .map_err(map_failed("write", names::MAP_PAIRS_UNTIL))?;
        self.renewed = Instant::now();
        Ok(())
    }
}
