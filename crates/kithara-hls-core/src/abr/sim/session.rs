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
    /// The most media there can be ahead of it: the limit or, live, the distance to the edge.
    pub buffer_goal: Duration,
    /// The length of a segment.
    pub segment_duration: Duration,
    /// Segments not yet here, this one included; `None` in a live stream.
    pub segments_left: Option<u64>,
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
    /// The length of the segment.
    pub segment_duration: Duration,
    /// How often it was cut already.
    pub abandoned: u32,
}

/// An adaptation to be tried out.
pub trait Adaptation {
    /// The rung of the next segment. One that is not in the ladder is taken as the highest.
    fn choose(&mut self, at: &Moment<'_>) -> Rung;

    /// A request ended, whole or cut.
    fn measured(&mut self, sample: &ThroughputSample);

    /// A request is under way: a lower rung cuts it and asks for the segment again from there. By default no
    /// request is cut.
    fn progress(&mut self, at: &Arriving<'_>) -> Option<Rung> {
        let _ = at;
        None
    }
}

/// The conditions of a simulated session that are not the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimOptions {
    /// The most media ahead of the reader; at least one segment is always allowed. Default: 30 s.
    pub buffer_limit: Duration,
    /// How often a request under way is shown to the player, counted from the request. Default: 100 ms.
    pub progress_interval: Duration,
    /// How often one segment may be cut. Default: 2.
    pub most_abandons: u32,
    /// Plays a live stream that begins this far behind its edge: a segment can be requested only once it is
    /// whole at the origin. Default: `None`, everything is there.
    pub live_hold_back: Option<Duration>,
    /// Seeks away each time this many segments were requested: what is buffered is lost, and the wait for the
    /// next segment is counted apart from the stalls. Default: `None`.
    pub seek_every: Option<usize>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            buffer_limit: Duration::from_secs(30),
            progress_interval: Duration::from_millis(100),
            most_abandons: 2,
            live_hold_back: None,
            seek_every: None,
        }
    }
}

/// Plays `presentation` over `trace` as `player` chooses, and returns the account.
pub fn play(
    presentation: &Presentation,
    trace: &NetworkTrace,
    options: &SimOptions,
    player: &mut dyn Adaptation,
) -> Playback {
    let mut session = Session::new(presentation, trace, options);
    for segment in 0..presentation.segments() {
        session.seek_before(segment);
        session.wait_for_room(segment);
        session.fetch(segment, player);
    }
    session.account
}

/// All times are seconds of virtual time.
struct Session<'a> {
    presentation: &'a Presentation,
    options: &'a SimOptions,
    link: Link<'a>,
    now: f64,
    buffered: f64,
    silence: Silence,
    account: Playback,
}

/// What it means that nothing is buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    StartUp,
    Seek,
    Stall,
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
            silence: Silence::StartUp,
            account: Playback::new(presentation.segment_duration(), presentation.segments()),
        }
    }

    fn segment(&self) -> f64 {
        self.presentation.segment_duration().as_secs_f64()
    }

    fn seek_before(&mut self, segment: usize) {
        if self.options.seek_every.is_some_and(|every| segment > 0 && every > 0 && segment.is_multiple_of(every)) {
            self.buffered = 0.0;
            self.silence = Silence::Seek;
        }
    }

    /// Waits until the next segment fits into the buffer and exists.
    fn wait_for_room(&mut self, segment: usize) {
        let excess = self.buffered + self.segment() - self.options.buffer_limit.as_secs_f64();
        let unborn = self
            .options
            .live_hold_back
            .map_or(0.0, |hold_back| (segment + 1) as f64 * self.segment() - hold_back.as_secs_f64() - self.now);
        // A limit below one segment must not hold back the segment that playback waits for.
        let wait = excess.min(self.buffered).max(unborn);
        if wait > 0.0 {
            self.link.idle(wait);
            self.pass(wait);
        }
    }

    fn fetch(&mut self, segment: usize, player: &mut dyn Adaptation) {
        let top = Rung(self.presentation.ladder().len() - 1);
        let mut rung = player.choose(&self.moment(segment)).min(top);
        let mut cuts = 0;
        while let Outcome::Cut(lower) = self.request(segment, rung, cuts, player) {
            cuts += 1;
            rung = lower;
        }
        self.account.rungs.push(rung);
        self.buffered += self.segment();
        self.silence = Silence::Stall;
    }

    fn moment(&self, segment: usize) -> Moment<'a> {
        let silent = self.account.start_up + self.account.stalled + self.account.seeking;
        let distance = self.options.live_hold_back.map_or(f64::INFINITY, |hold_back| hold_back.as_secs_f64() + silent);
        let left = u64::try_from(self.presentation.segments() - segment).ok();
        Moment {
            ladder: self.presentation.ladder(),
            current: self.account.rungs.last().copied(),
            now: duration(self.now),
            buffered: duration(self.buffered),
            buffer_goal: duration(self.options.buffer_limit.as_secs_f64().min(distance)),
            segment_duration: self.presentation.segment_duration(),
            segments_left: left.filter(|_| self.options.live_hold_back.is_none()),
        }
    }

    /// One request, to its end or to where the player cuts it.
    fn request(&mut self, segment: usize, rung: Rung, cuts: u32, player: &mut dyn Adaptation) -> Outcome {
        let mut silent = false;
        let size = self.presentation.bits(segment, rung);
        let wait = self.link.request();
        silent |= self.pass(wait);
        let (mut left, mut elapsed) = (size, wait);
        let watched = rung > Rung(0) && cuts < self.options.most_abandons;
        let cut = loop {
            let limit = if watched { self.until_report(elapsed) } else { f64::INFINITY };
            let (bits, time) = self.link.receive(left, limit);
            left -= bits;
            elapsed += time;
            silent |= self.pass(time);
            if left <= 0.0 {
                break None;
            }
            let seen = self.arriving((size - left, size), (wait, elapsed), rung, cuts);
            if let Some(lower) = player.progress(&seen).filter(|lower| *lower < rung) {
                break Some(lower);
            }
        };
        let got = size - left;
        self.account.received_bits += got;
        self.account.stalls += u32::from(silent && self.silence == Silence::Stall);
        player.measured(&ThroughputSample {
            bytes: bytes(got),
            elapsed: duration(elapsed),
            time_to_first_byte: duration(wait),
            source: SampleSource::Network,
        });
        let Some(lower) = cut else { return Outcome::Whole };
        self.account.abandoned += 1;
        self.account.wasted_bits += got;
        Outcome::Cut(lower)
    }

    fn arriving(&self, (got, size): (f64, f64), (wait, elapsed): (f64, f64), rung: Rung, cuts: u32) -> Arriving<'a> {
        Arriving {
            ladder: self.presentation.ladder(),
            rung,
            received: bytes(got),
            length: bytes(size),
            elapsed: duration(elapsed),
            time_to_first_byte: duration(wait),
            buffered: duration(self.buffered),
            segment_duration: self.presentation.segment_duration(),
            abandoned: cuts,
        }
    }

    /// Time to the next report of a request that has taken `elapsed` so far.
    fn until_report(&self, elapsed: f64) -> f64 {
        let interval = self.options.progress_interval.as_secs_f64().max(1e-3);
        // A report that is due now was just made; rounding must not make it twice.
        let next = (elapsed / interval + 1e-9).floor() + 1.0;
        next * interval - elapsed
    }

    /// Lets `time` go by and returns whether the reader ran dry in it.
    fn pass(&mut self, time: f64) -> bool {
        self.now += time;
        let played = time.min(self.buffered);
        self.buffered -= played;
        let silent = time - played;
        match self.silence {
            Silence::StartUp => self.account.start_up += silent,
            Silence::Seek => self.account.seeking += silent,
            Silence::Stall => self.account.stalled += silent,
        }
        silent > ROUNDING
    }
}

/// Silence below this, in seconds, comes of adding up times and not of the link.
const ROUNDING: f64 = 1e-9;

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn bytes(bits: f64) -> u64 {
    (bits / 8.0).round() as u64
}
