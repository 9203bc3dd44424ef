//! Recorded networks and a link that plays them.

use std::{str::FromStr, time::Duration};

use thiserror::Error;

use crate::BitRate;

/// One stretch of a recorded network during which nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePeriod {
    /// How long it lasts; never zero in a parsed trace.
    pub duration: Duration,
    /// What the link carries; zero is an outage.
    pub bandwidth: BitRate,
    /// What a request waits before its first byte.
    pub latency: Duration,
}

/// A recorded network: periods in order, started again from the first when they end.
///
/// The text form has one period per line, `duration_ms,bandwidth_kbps,latency_ms`, decimal numbers with an
/// optional fraction. Blank lines and lines that begin with `#` are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkTrace {
    periods: Vec<TracePeriod>,
}

/// Why a text is not a network trace. Reading it again does not help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A line is not three non-negative numbers, or its period lasts no time.
    #[error("line {line}: expected `duration_ms,bandwidth_kbps,latency_ms`")]
    Line {
        /// Counted from one.
        line: usize,
    },
    /// No period carries any bits, so no request would ever end.
    #[error("no period of the trace carries any bits")]
    Dead,
}

impl NetworkTrace {
    /// Parses the text form.
    ///
    /// # Errors
    /// [`TraceError::Line`] names the first line that is no period, [`TraceError::Dead`] a trace that never
    /// carries a bit.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut periods = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            periods.push(parse_period(line).ok_or(TraceError::Line { line: index + 1 })?);
        }
        Self::new(periods)
    }

    /// A trace of these periods.
    ///
    /// # Errors
    /// [`TraceError::Dead`] if none of them carries a bit.
    pub fn new(periods: Vec<TracePeriod>) -> Result<Self, TraceError> {
        let carries = |period: &TracePeriod| period.bandwidth > BitRate::ZERO && !period.duration.is_zero();
        if periods.iter().any(carries) { Ok(Self { periods }) } else { Err(TraceError::Dead) }
    }

    /// A link that never changes. A `bandwidth` of zero is taken as one bit per second.
    pub fn constant(bandwidth: BitRate, latency: Duration) -> Self {
        let bandwidth = bandwidth.max(BitRate(1));
        Self { periods: vec![TracePeriod { duration: Duration::from_secs(3_600), bandwidth, latency }] }
    }

    /// The periods, in order.
    pub fn periods(&self) -> &[TracePeriod] {
        &self.periods
    }

    /// The same network with its bandwidth multiplied by `factor` (never below one bit per second where it
    /// carried any).
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |period: &TracePeriod| TracePeriod {
            bandwidth: match period.bandwidth {
                BitRate::ZERO => BitRate::ZERO,
                rate => BitRate::from_f64(rate.as_f64() * factor).max(BitRate(1)),
            },
            ..*period
        };
        Self { periods: self.periods.iter().map(scale).collect() }
    }
}

impl FromStr for NetworkTrace {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        Self::parse(text)
    }
}

fn parse_period(line: &str) -> Option<TracePeriod> {
    let mut fields = line.split(',').map(|field| field.trim().parse::<f64>().ok());
    let (duration, bandwidth, latency) = (fields.next()??, fields.next()??, fields.next()??);
    let sane = |value: f64| value.is_finite() && (0.0..=1e12).contains(&value);
    if fields.next().is_some() || duration <= 0.0 || ![duration, bandwidth, latency].into_iter().all(sane) {
        return None;
    }
    Some(TracePeriod {
        duration: Duration::from_secs_f64(duration / 1e3),
        bandwidth: BitRate::from_f64(bandwidth * 1e3),
        latency: Duration::from_secs_f64(latency / 1e3),
    })
}

/// A place in a trace: what one request after the other consumes. All times are seconds.
#[derive(Clone, Debug)]
pub(super) struct Link<'a> {
    trace: &'a NetworkTrace,
    index: usize,
    left: f64,
}

impl<'a> Link<'a> {
    pub(super) fn new(trace: &'a NetworkTrace) -> Self {
        let left = trace.periods[0].duration.as_secs_f64();
        Self { trace, index: 0, left }
    }

    /// Lets `time` go by with the link idle.
    pub(super) fn idle(&mut self, mut time: f64) {
        while time > self.left {
            time -= self.left;
            self.next_period();
        }
        self.left -= time;
    }

    /// Waits for the first byte of a request and returns how long that took. A wait that outlasts a period
    /// goes on in the next one, scaled to its latency.
    pub(super) fn request(&mut self) -> f64 {
        let (mut share, mut waited) = (1.0, 0.0);
        loop {
            let latency = self.period().latency.as_secs_f64();
            let time = share * latency;
            if time <= self.left {
                self.left -= time;
                return waited + time;
            }
            waited += self.left;
            share -= self.left / latency;
            self.next_period();
        }
    }

    /// Receives up to `bits` for at most `limit`; returns the bits received and the time that took.
    pub(super) fn receive(&mut self, bits: f64, limit: f64) -> (f64, f64) {
        let (mut received, mut spent) = (0.0, 0.0);
        loop {
            let rate = self.period().bandwidth.as_f64();
            let room = self.left.min(limit - spent);
            if bits - received <= room * rate {
                let time = (bits - received) / rate.max(1.0);
                self.left -= time;
                return (bits, spent + time);
            }
            received += room * rate;
            spent += room;
            if self.left > room {
                self.left -= room;
                return (received, spent);
            }
            self.next_period();
        }
    }

    fn period(&self) -> &TracePeriod {
        &self.trace.periods[self.index]
    }

    fn next_period(&mut self) {
        self.index = (self.index + 1) % self.trace.periods.len();
        self.left = self.period().duration.as_secs_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    #[test]
    fn a_trace_is_three_numbers_a_line() {
        let trace = NetworkTrace::parse("# recorded\n1000, 500 ,20\r\n\n250.5,0,100").unwrap();
        assert_eq!(trace.periods().len(), 2);
        assert_eq!(trace.periods()[0].bandwidth, BitRate(500_000));
        assert_eq!(trace.periods()[1].duration, Duration::from_micros(250_500));
    }

    #[test]
    fn what_is_no_trace_names_its_line() {
        for text in ["1,1,1\nx,1,1", "1,1,1\n1,1", "1,1,1\n1,1,1,1", "1,1,1\n0,1,1", "1,1,1\n1,-1,1", "1,1,1\nnan,1,1"]
        {
            assert_eq!(NetworkTrace::parse(text), Err(TraceError::Line { line: 2 }), "{text:?}");
        }
        for text in ["", "1000,0,20"] {
            assert_eq!(NetworkTrace::parse(text), Err(TraceError::Dead), "{text:?}");
        }
    }

    #[test]
    fn bits_flow_period_by_period_and_the_trace_starts_again() {
        let trace = NetworkTrace::parse("1000,1000,0\n1000,0,0\n500,2000,0").unwrap();
        let mut link = Link::new(&trace);
        let (bits, time) = link.receive(1_500_000.0, f64::INFINITY);
        close(bits, 1_500_000.0);
        close(time, 2.25);
        let (bits, time) = link.receive(1_000_000.0, f64::INFINITY);
        close(bits, 1_000_000.0);
        close(time, 0.75);
    }

    #[test]
    fn a_limit_cuts_a_transfer_short() {
        let trace = NetworkTrace::parse("1000,1000,0\n1000,500,0").unwrap();
        let mut link = Link::new(&trace);
        let (bits, time) = link.receive(9_000_000.0, 1.5);
        close(bits, 1_250_000.0);
        close(time, 1.5);
        let (bits, time) = link.receive(9_000_000.0, 0.5);
        close(bits, 250_000.0);
        close(time, 0.5);
    }

    #[test]
    fn a_wait_scales_with_the_latency_of_the_next_period() {
        let trace = NetworkTrace::parse("100,1000,200\n1000,1000,20").unwrap();
        let mut link = Link::new(&trace);
        // Half of the wait at 200 ms fills the first period, the other half is half of 20 ms.
        close(link.request(), 0.110);
        link.idle(0.990);
        close(link.request(), 0.110);
    }
}
