//! One playback over one recorded network, in virtual time.

use std::time::Duration;

use super::{NetworkTrace, Playback, Presentation, trace::Link};
use crate::abr::{LadderRung, Rung, SampleSource, ThroughputSample};

/// What a player sees before each request.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The rungs, lowest first.
    pub ladder: &'a [LadderRung],
    /// Where the last segment came from; `None` before the first.
    pub current: Option<Rung>,
    /// Virtual time since the session began.
    pub now: Duration,
    /// Media ahead of the reader.
    pub buffered: Duration,
    /// The most media there may be.
    pub buffer_limit: Duration,
    /// The length of a segment.
    pub segment_duration: Duration,
    /// Segments not yet requested, this one included.
    pub segments_left: usize,
}

/// What a player sees of a request under way.
#[derive(Clone, Copy, Debug)]
pub struct Arriving<'a> {
    /// The rungs, lowest first.
    pub ladder: &'a [LadderRung],
    /// The rung of the segment that is arriving.
    pub rung: Rung,
    /// Bytes here so far.
    pub received: u64,
    /// Bytes the response announced.
    pub length: u64,
    /// Time since the request.
    pub elapsed: Duration,
    /// Time from the request to its first byte.
    pub time_to_first_byte: Duration,
    /// Media ahead of the reader now.
    pub buffered: Duration,
    /// The length of a segment.
    pub segment_duration: Duration,
    /// How often this segment was cut already.
    pub abandoned: u32,
}

/// An adaptation under test.
pub trait Adaptation {
    /// The rung of the next segment. A rung outside of the ladder is taken as the highest.
    fn choose(&mut self, at: &Moment<'_>) -> Rung;

    /// A request ended, whole or cut.
    fn measured(&mut self, sample: &ThroughputSample);

    /// A request is under way: `Some(rung)` cuts it and asks for the segment again from a lower rung. By default
    /// no request is cut.
    fn progress(&mut self, at: &Arriving<'_>) -> Option<Rung> {
        let _ = at;
        None
    }
}

/// The conditions of a simulated session that are not the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimOptions {
    /// The most media ahead of the reader. Default: 30 s.
    pub buffer_limit: Duration,
    /// How often a request under way is shown to the player. Default: 100 ms.
    pub progress_interval: Duration,
    /// How often one segment may be cut. Default: 2.
    pub max_abandons: u32,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self { buffer_limit: Duration::from_secs(30), progress_interval: Duration::from_millis(100), max_abandons: 2 }
    }
}

/// Plays `presentation` over `trace` as `player` chooses.
pub fn play(
    presentation: &Presentation,
    trace: &NetworkTrace,
    options: &SimOptions,
    player: &mut dyn Adaptation,
) -> Playback {
    let mut session = Session::new(presentation, trace, options);
    for segment in 0..presentation.segments() {
        session.fetch(segment, player);
    }
    session.finish()
}

struct Session<'a> {
    presentation: &'a Presentation,
    options: &'a SimOptions,
    link: Link<'a>,
    now: f64,
    buffered: f64,
    started: bool,
    stalled: f64,
    stalls: u32,
    in_stall: bool,
    start_up: f64,
    rungs: Vec<Rung>,
    abandoned: u32,
    wasted: f64,
    received: f64,
}

enum Outcome {
    Whole,
    Cut(Rung),
}

impl<'a> Session<'a> {
    fn new(presentation: &'a Presentation, trace: &'a NetworkTrace, options: &'a SimOptions) -> Self {
        Self {
            presentation,
            options,
            link: Link::new(trace),
            now: 0.0,
            buffered: 0.0,
            started: false,
            stalled: 0.0,
            stalls: 0,
            in_stall: false,
            start_up: 0.0,
            rungs: Vec::with_capacity(presentation.segments()),
            abandoned: 0,
            wasted: 0.0,
            received: 0.0,
        }
    }

    fn segment_secs(&self) -> f64 {
        self.presentation.segment_duration().as_secs_f64()
    }

    fn pass(&mut self, time: f64) {
        self.now += time;
        if !self.started {
            self.start_up += time;
            return;
        }
        let played = time.min(self.buffered);
        self.buffered -= played;
        if time > played {
            self.stalled += time - played;
            if !self.in_stall {
                self.stalls += 1;
                self.in_stall = true;
            }
        }
    }

    fn fetch(&mut self, segment: usize, player: &mut dyn Adaptation) {
        let excess = self.buffered + self.segment_secs() - self.options.buffer_limit.as_secs_f64();
        if excess > 0.0 {
            self.link.idle(excess);
            self.pass(excess);
        }
        let top = self.presentation.ladder().len() - 1;
        let mut rung = Rung(
            player
                .choose(&Moment {
                    ladder: self.presentation.ladder(),
                    current: self.rungs.last().copied(),
                    now: secs(self.now),
                    buffered: secs(self.buffered),
                    buffer_limit: self.options.buffer_limit,
                    segment_duration: self.presentation.segment_duration(),
                    segments_left: self.presentation.segments() - segment,
                })
                .0
                .min(top),
        );
        let mut cuts = 0;
        while let Outcome::Cut(lower) = self.request(segment, rung, cuts, player) {
            cuts += 1;
            rung = lower;
        }
        self.buffered += self.segment_secs();
        self.started = true;
        self.in_stall = false;
        self.rungs.push(rung);
    }

    fn request(&mut self, segment: usize, rung: Rung, cuts: u32, player: &mut dyn Adaptation) -> Outcome {
        let bits = self.presentation.bits(segment, rung);
        let ttfb = self.link.request();
        self.in_stall = false;
        self.pass(ttfb);
        let (mut got, mut elapsed) = (0.0, ttfb);
        let watched = rung > Rung(0) && self.started && cuts < self.options.max_abandons;
        let interval = if watched { self.options.progress_interval.as_secs_f64() } else { f64::INFINITY };
        let mut outcome = Outcome::Whole;
        let mut first = true;
        loop {
            let limit = if first { interval - ttfb % interval } else { interval };
            first = false;
            let limit = if limit.is_nan() { f64::INFINITY } else { limit };
            let (more, time) = self.link.receive(bits - got, limit);
            got += more;
            elapsed += time;
            self.pass(time);
            if bits - got < 1e-6 {
                break;
            }
            let cut = player.progress(&Arriving {
                ladder: self.presentation.ladder(),
                rung,
                received: bytes(got),
                length: bytes(bits),
                elapsed: secs(elapsed),
                time_to_first_byte: secs(ttfb),
                buffered: secs(self.buffered),
                segment_duration: self.presentation.segment_duration(),
                abandoned: cuts,
            });
            if let Some(lower) = cut.filter(|lower| *lower < rung) {
                self.abandoned += 1;
                self.wasted += got;
                outcome = Outcome::Cut(lower);
                break;
            }
        }
        self.received += got;
        player.measured(&ThroughputSample {
            bytes: bytes(got),
            elapsed: secs(elapsed),
            time_to_first_byte: secs(ttfb),
            source: SampleSource::Network,
        });
        outcome
    }

    fn finish(self) -> Playback {
        Playback {
            rungs: self.rungs,
            segment_duration: self.presentation.segment_duration(),
            start_up: secs(self.start_up),
            stalled: secs(self.stalled),
            stalls: self.stalls,
            abandoned: self.abandoned,
            wasted_bits: self.wasted,
            received_bits: self.received,
        }
    }
}

fn secs(time: f64) -> Duration {
    Duration::from_secs_f64(time.max(0.0))
}
fn bytes(bits: f64) -> u64 {
    (bits / 8.0).round() as u64
}
