use std::time::{Duration, Instant};

use crate::line::Line;

/// A line that says how far a recording is. Clones draw the same line.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) line: Line,
    started: Instant,
}

impl Progress {
    pub(super) fn new(verbose: u8) -> Self {
        Self { line: Line::new(verbose, "{spinner} {bytes} {msg} {bytes_per_sec}"), started: Instant::now() }
    }

    /// The segment number `at` of `of` is being written; `of` is `None` while the stream is live.
    pub(super) fn segment(&self, at: u64, of: Option<u64>) {
        self.line.draw(|| words(at, of, self.started.elapsed()));
    }
}

/// How far: `segment 12 of 150, 8 %, 1 min 30 s left`.
fn words(at: u64, of: Option<u64>, elapsed: Duration) -> String {
    let Some(of) = of.filter(|of| *of > 0) else { return format!("segment {}, live", at + 1) };
    let share = (at as f64 / of as f64).clamp(0.0, 1.0);
    let shown = format!("segment {} of {of}, {:.0} %", (at + 1).min(of), share * 100.0);
    if share < 0.01 {
        return shown;
    }
    let left = elapsed.as_secs_f64() * (1.0 - share) / share;
    match left.round() {
        left if left >= 90.0 => format!("{shown}, {:.0} min left", (left / 60.0).ceil()),
        left => format!("{shown}, {left:.0} s left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(at: u64, of: Option<u64>, seconds: u64, want: &str) {
        assert_eq!(words(at, of, Duration::from_secs(seconds)), want);
    }

    #[test]
    fn the_line_says_how_far_it_is_and_how_long_it_takes() {
        check(0, Some(150), 0, "segment 1 of 150, 0 %");
        check(75, Some(150), 30, "segment 76 of 150, 50 %, 30 s left");
        check(15, Some(150), 30, "segment 16 of 150, 10 %, 5 min left");
        check(150, Some(150), 60, "segment 150 of 150, 100 %, 0 s left");
        check(7, None, 60, "segment 8, live");
        check(7, Some(0), 60, "segment 8, live");
    }
}
