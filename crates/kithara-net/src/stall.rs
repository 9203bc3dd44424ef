//! Telling a slow body from one that has stalled.

use std::time::Duration;

/// Counts what a body moves while somebody waits for it. Time in which nobody asks for bytes does not count.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    window: Duration,
    least: u64,
    waited: Duration,
    moved: u64,
}

impl Progress {
    /// At least `least` bytes (and at least one) must move in each `window` of waiting.
    pub(crate) fn new(window: Duration, least: u64) -> Self {
        Self { window, least: least.max(1), waited: Duration::ZERO, moved: 0 }
    }

    /// From now on at least `least` bytes (and at least one) must move in each window.
    pub(crate) fn want(&mut self, least: u64) {
        self.least = least.max(1);
    }

    /// The window is over, and what moved in it was borne: the next one begins.
    pub(crate) fn begin_anew(&mut self) {
        (self.moved, self.waited) = (0, Duration::ZERO);
    }

    /// Bytes that moved in this window.
    pub(crate) fn in_window(&self) -> u64 {
        self.moved
    }

    /// How much longer may be waited for the next bytes. Zero: the body has stalled.
    pub(crate) fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// `bytes` arrived after `waited` more of waiting. True when this was the least progress of a window, which begins
    /// anew.
    pub(crate) fn moved(&mut self, bytes: u64, waited: Duration) -> bool {
        self.moved = self.moved.saturating_add(bytes);
        self.waited += waited;
        let enough = self.moved >= self.least;
        if enough {
            self.begin_anew();
        }
        enough
    }

    /// `waited` more has passed and nothing arrived.
    pub(crate) fn waited(&mut self, waited: Duration) {
        self.waited += waited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn progress() -> Progress {
        Progress::new(ms(5000), 1024)
    }

    #[test]
    fn silence_stalls_after_the_window() {
        let mut progress = progress();
        progress.waited(ms(4999));
        assert_eq!(progress.left(), ms(1));
        progress.waited(ms(1));
        assert_eq!(progress.left(), ms(0));
    }

    #[test]
    fn a_drip_stalls_like_silence() {
        let mut progress = progress();
        for _ in 0..50 {
            assert!(!progress.moved(20, ms(100)));
        }
        assert_eq!(progress.left(), ms(0));
    }

    #[test]
    fn the_least_progress_begins_a_new_window() {
        let mut progress = progress();
        assert!(!progress.moved(1023, ms(4000)));
        assert!(progress.moved(1, ms(500)));
        assert_eq!(progress.left(), ms(5000));
    }

    #[test]
    fn a_window_that_was_borne_is_followed_by_another() {
        let mut progress = progress();
        assert!(!progress.moved(1000, ms(5000)));
        progress.begin_anew();
        assert_eq!((progress.left(), progress.in_window()), (ms(5000), 0));
    }

    #[test]
    fn a_least_of_zero_still_wants_a_byte() {
        let mut progress = Progress::new(ms(10), 0);
        progress.waited(ms(10));
        assert_eq!(progress.left(), ms(0));
    }
}
