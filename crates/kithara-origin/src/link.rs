//! A model of the network between client and origin: delay, slow start and a shared rate.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The road to the client. Default: none, as fast as loopback goes.
///
/// - Every answer begins one round trip late; the first of a connection two, because the handshake costs one.
/// - With a round-trip time, each connection starts slowly: 14,480 bytes may be on their way, twice as many after each round trip,
///   up to 4 MiB; nothing is ever lost.
/// - All connections share the rate, in the order in which they send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    rtt: Duration,
    rate: Option<u64>,
}

impl Link {
    /// A link without delay or limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// The round-trip time. Default: zero.
    #[must_use]
    pub fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// Bytes per second that all connections share; 0 counts as 1. Default: unlimited.
    #[must_use]
    pub fn rate(mut self, bytes_per_second: u64) -> Self {
        self.rate = Some(bytes_per_second.max(1));
        self
    }
}

/// When a rate lets the next bytes through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    rate: u64,
    free: Option<Instant>,
}

impl Gate {
    pub(crate) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), free: None }
    }

    /// Books `bytes`; they are through at the instant returned.
    fn book(&mut self, now: Instant, bytes: usize) -> Instant {
        let start = self.free.map_or(now, |free| free.max(now));
        let through = start + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.free = Some(through);
        through
    }

    /// Bytes to send at once so that the rate looks steady: a fiftieth of a second.
    fn quantum(&self) -> usize {
        usize::try_from(self.rate / 50).unwrap_or(usize::MAX).clamp(256, 64 << 10)
    }
}

/// The link as all connections of an origin see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLink(Arc<Mutex<(Link, Option<Gate>)>>);

impl SharedLink {
    /// Replaces the link. Connections that exist keep their window and take the new times from their next bytes on.
    pub(crate) fn set(&self, link: Link) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *shared = (link, link.rate.map(Gate::new));
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.rtt
    }

    fn quantum(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.map(|gate| gate.quantum())
    }

    fn book(&self, now: Instant, bytes: usize) -> Instant {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.1.as_mut().map_or(now, |gate| gate.book(now, bytes))
    }
}

/// When one connection may send.
#[derive(Debug)]
pub(crate) struct Pacer {
    link: SharedLink,
    window: usize,
    in_flight: usize,
    /// When how many bytes will have been acknowledged, earliest first.
    acks: VecDeque<(Instant, usize)>,
}

/// The pacer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// So many bytes may be sent at this instant; they are booked.
    Send { bytes: usize, at: Instant },
    /// The window is full until this instant.
    Wait(Instant),
}

/// Ten segments of 1,448 bytes (RFC 6928).
const INITIAL_WINDOW: usize = 14_480;
const MAX_WINDOW: usize = 4 << 20;

impl Pacer {
    pub(crate) fn new(link: SharedLink) -> Self {
        Self { link, window: INITIAL_WINDOW, in_flight: 0, acks: VecDeque::new() }
    }

    /// Asks to send up to `want` bytes at `now`; `own` is the rate of this answer alone.
    pub(crate) fn permit(&mut self, now: Instant, want: usize, own: Option<&mut Gate>) -> Permit {
        let rtt = self.link.rtt();
        let mut bytes = want.min(self.link.quantum().unwrap_or(want));
        if !rtt.is_zero() {
            self.acknowledge(now);
            let room = self.window.saturating_sub(self.in_flight);
            if let (0, Some((until, _))) = (room, self.acks.front()) {
                return Permit::Wait(*until);
            }
            bytes = bytes.min(room);
        }
        let mut at = now;
        if let Some(gate) = own {
            bytes = bytes.min(gate.quantum());
            at = gate.book(now, bytes);
        }
        at = at.max(self.link.book(now, bytes));
        if !rtt.is_zero() {
            self.in_flight += bytes;
            self.acks.push_back((at + rtt, bytes));
        }
        Permit::Send { bytes, at }
    }

    fn acknowledge(&mut self, now: Instant) {
        while let Some((at, bytes)) = self.acks.front().copied()
            && at <= now
        {
            self.acks.pop_front();
            self.in_flight -= bytes;
            self.window = (self.window + bytes).min(MAX_WINDOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `total` bytes and returns how long it takes until the last may go out.
    fn time_to_send(link: Link, total: usize, mut own: Option<Gate>) -> Duration {
        let shared = SharedLink::default();
        shared.set(link);
        let mut pacer = Pacer::new(shared);
        let start = Instant::now();
        let (mut now, mut left) = (start, total);
        while left > 0 {
            match pacer.permit(now, left.min(64 << 10), own.as_mut()) {
                Permit::Send { bytes, at } => {
                    left -= bytes;
                    now = at;
                }
                Permit::Wait(until) => now = until,
            }
        }
        now - start
    }

    #[track_caller]
    fn check(link: Link, total: usize, own: Option<u64>, want_ms: f64) {
        let got = time_to_send(link, total, own.map(Gate::new)).as_secs_f64() * 1e3;
        assert!((got - want_ms).abs() < 0.01, "{got} ms, not {want_ms}");
    }

    #[test]
    fn without_limits_nothing_waits() {
        check(Link::new(), 10 << 20, None, 0.0);
    }

    #[test]
    fn rates_add_up() {
        check(Link::new().rate(100_000), 50_000, None, 500.0);
        check(Link::new(), 50_000, Some(50_000), 1000.0);
        check(Link::new().rate(100_000), 50_000, Some(50_000), 1000.0);
    }

    #[test]
    fn the_window_doubles_each_round_trip() {
        let link = Link::new().rtt(Duration::from_millis(100));
        check(link, 14_480, None, 0.0);
        check(link, 14_481, None, 100.0);
        check(link, 3 * 14_480, None, 100.0);
        check(link, 3 * 14_480 + 1, None, 200.0);
        check(link, 7 * 14_480, None, 200.0);
    }

    #[test]
    fn connections_share_the_rate() {
        let shared = SharedLink::default();
        shared.set(Link::new().rate(1000));
        let now = Instant::now();
        let ends: Vec<_> = (0..4)
            .map(|_| match Pacer::new(shared.clone()).permit(now, 250, None) {
                Permit::Send { bytes: 250, at } => (at - now).as_millis(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ends, [250, 500, 750, 1000]);
    }
}
