//! A link that all transfers share.

use std::{collections::BTreeMap, time::Duration};

use crate::{BitRate, session::FetchId, time::Tick};

/// How fast the link is, over time.
#[derive(Clone, Debug)]
pub struct Bandwidth(Vec<(Duration, BitRate)>);

impl Bandwidth {
    /// Always the same.
    pub fn constant(rate: BitRate) -> Self {
        Self(vec![(Duration::from_secs(3600), rate)])
    }

    /// Periods one after another, from the first again after the last.
    pub fn periods(periods: Vec<(Duration, BitRate)>) -> Self {
        let useful: Vec<_> = periods.into_iter().filter(|(length, _)| !length.is_zero()).collect();
        if useful.is_empty() { Self::constant(BitRate::ZERO) } else { Self(useful) }
    }

    /// The rate at `at`, and when it next may change.
    fn at(&self, at: Tick) -> (BitRate, Tick) {
        let whole: u128 = self.0.iter().map(|(length, _)| length.as_nanos()).sum();
        let mut within = u128::from(at.as_nanos()) % whole.max(1);
        for (length, rate) in &self.0 {
            if within < length.as_nanos() {
                let left = u64::try_from(length.as_nanos() - within).unwrap_or(u64::MAX);
                return (*rate, at.saturating_add(Duration::from_nanos(left)));
            }
            within -= length.as_nanos();
        }
        (BitRate::ZERO, Tick::MAX)
    }
}

/// Bits carried are counted in nanobits, so that no rate and no share rounds to nothing.
const NANO: u128 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Transfer {
    begins: Tick,
    /// Nanobits to carry.
    left: u128,
    bytes: u64,
}

/// Transfers under way on a link whose bandwidth they share equally.
#[derive(Debug)]
pub(super) struct Link {
    bandwidth: Bandwidth,
    transfers: BTreeMap<FetchId, Transfer>,
    now: Tick,
}

impl Link {
    pub(super) fn new(bandwidth: Bandwidth) -> Self {
        Self { bandwidth, transfers: BTreeMap::new(), now: Tick::ZERO }
    }

    /// Carries `bytes` for `fetch`, from `begins` on.
    pub(super) fn add(&mut self, fetch: FetchId, begins: Tick, bytes: u64) {
        let left = u128::from(bytes) * 8 * NANO;
        self.transfers.insert(fetch, Transfer { begins, left, bytes });
    }

    pub(super) fn remove(&mut self, fetch: FetchId) {
        self.transfers.remove(&fetch);
    }

    /// Bytes carried for `fetch` so far.
    pub(super) fn carried(&self, fetch: FetchId) -> u64 {
        let carried = |transfer: &Transfer| {
            let left = transfer.left.div_ceil(8 * NANO);
            transfer.bytes.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
        };
        self.transfers.get(&fetch).map_or(0, carried)
    }

    /// The next time at which a transfer ends or rates change.
    pub(super) fn next(&self) -> Option<Tick> {
        let (rate, change) = self.bandwidth.at(self.now);
        let begins = self.transfers.values().map(|transfer| transfer.begins).filter(|begins| *begins > self.now).min();
        let active = self.active();
        let shortest = active.clone().map(|transfer| transfer.left).min();
        let ends = shortest.filter(|_| rate.0 > 0).map(|left| {
            let nanos = left.saturating_mul(active.count() as u128).div_ceil(u128::from(rate.0));
            self.now.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
        });
        let change = (!self.transfers.is_empty()).then_some(change);
        [begins, ends, change].into_iter().flatten().min()
    }

    /// Lets time pass up to `to`, which must not be later than [`Link::next`], and returns what is complete.
    pub(super) fn advance(&mut self, to: Tick) -> Vec<FetchId> {
        let (rate, _) = self.bandwidth.at(self.now);
        let sharing = self.active().count() as u128;
        let nanos = to.since(self.now).as_nanos();
        let now = self.now;
        for transfer in self.transfers.values_mut().filter(|transfer| transfer.begins <= now) {
            transfer.left = transfer.left.saturating_sub(u128::from(rate.0) * nanos / sharing.max(1));
        }
        self.now = to;
        let done: Vec<FetchId> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.left == 0 && transfer.begins <= to)
            .map(|(fetch, _)| *fetch)
            .collect();
        done.iter().for_each(|fetch| {
            self.transfers.remove(fetch);
        });
        done
    }

    fn active(&self) -> impl Iterator<Item = &Transfer> + Clone {
        self.transfers.values().filter(|transfer| transfer.begins <= self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_transfers_share_the_link_and_one_has_it_alone_afterwards() {
        let mut link = Link::new(Bandwidth::constant(BitRate(8_000)));
        link.add(FetchId(1), Tick::ZERO, 1_000);
        link.add(FetchId(2), Tick::ZERO, 2_000);
        let first = link.next().expect("a transfer ends");
        assert_eq!(first, Tick::from_millis(2_000));
        assert_eq!(link.advance(first), [FetchId(1)]);
        assert_eq!(link.carried(FetchId(2)), 1_000);
        let second = link.next().expect("a transfer ends");
        assert_eq!(second, Tick::from_millis(3_000));
        assert_eq!(link.advance(second), [FetchId(2)]);
    }
}
