use std::{ops::Range, task::Waker};

/// Wakers of those who wait for bytes, each with the offset it waits for.
///
/// A building block for implementations of [`Source::poll_ready`](crate::Source::poll_ready). It holds one entry per
/// waker: a task or thread that asks again and again without being woken does not make it grow. Wakers are handed out
/// rather than called, so that they can be called after a lock is released.
#[derive(Debug, Default)]
pub struct Waiters {
    entries: Vec<(u64, Waker)>,
}

impl Waiters {
    /// Keeps `waker` until the byte at `offset` is there. A waker that is already kept waits for the lower offset of
    /// the two: it is woken early rather than not at all.
    pub fn register(&mut self, offset: u64, waker: &Waker) {
        match self.entries.iter_mut().find(|(_, kept)| kept.will_wake(waker)) {
            Some((kept, _)) => *kept = offset.min(*kept),
            None => self.entries.push((offset, waker.clone())),
        }
    }

    /// Takes the wakers of those who wait for an offset below `end`.
    #[must_use = "wakers that are dropped wake nobody"]
    pub fn take_below(&mut self, end: u64) -> Vec<Waker> {
        self.entries.extract_if(.., |(offset, _)| *offset < end).map(|(_, waker)| waker).collect()
    }

    /// Takes all wakers: the end or an error concerns everybody.
    #[must_use = "wakers that are dropped wake nobody"]
    pub fn take_all(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.entries).into_iter().map(|(_, waker)| waker).collect()
    }

    /// How many wait for an offset within `range`.
    #[must_use]
    pub fn count_in(&self, range: &Range<u64>) -> usize {
        self.entries.iter().filter(|(offset, _)| range.contains(offset)).count()
    }

    /// How many wakers are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Wake};

    use super::*;

    struct Flag;
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {}
    }

    fn waker() -> Waker {
        Waker::from(Arc::new(Flag))
    }

    #[test]
    fn only_those_whose_byte_arrived_are_taken() {
        let mut waiters = Waiters::default();
        let (near, far) = (waker(), waker());
        waiters.register(10, &near);
        waiters.register(20, &far);
        assert_eq!((waiters.count_in(&(10..20)), waiters.count_in(&(11..21))), (1, 1));
        assert!(waiters.take_below(10).is_empty());
        let taken = waiters.take_below(20);
        assert!(taken.len() == 1 && taken[0].will_wake(&near));
        assert_eq!(waiters.take_all().len(), 1);
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_waker_that_asks_again_is_kept_once_with_its_lower_offset() {
        let mut waiters = Waiters::default();
        let waker = waker();
        for offset in [30, 10, 20] {
            waiters.register(offset, &waker);
        }
        assert_eq!(waiters.len(), 1);
        assert_eq!(waiters.take_below(11).len(), 1);
    }
}
