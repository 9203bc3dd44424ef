use std::{
    collections::VecDeque,
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use crate::{Source, UnitBody, park};

/// What a decoder is handed. It never learns where the bytes come from.
pub enum Feed {
    /// Media in units with known times: segmented streams.
    Units(Box<dyn UnitFeed>),
    /// One file: progressive streams. Its reader finds its way by the container.
    Bytes(Box<dyn Source>),
}

/// Media in units, in presentation order, one track.
///
/// Units come in *runs*: stretches one demuxer reads as one file (Media Source Extensions call them coded frame
/// groups). A new run begins wherever that is not so any more: another variant, another init section, a discontinuity,
/// a seek.
pub trait UnitFeed: Send {
    /// The next unit, `None` at the end of the stream. A unit may be given before its body has arrived. After an end or
    /// an error, a [`seek`](UnitFeed::seek) gives units again.
    ///
    /// # Errors
    /// The stream cannot go on: [`io::ErrorKind::Other`] with the stream's typed error inside.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Unit>>>;

    /// Moves to the unit that holds `time`; what [`poll_next`](UnitFeed::poll_next) gives from now on begins a run with
    /// [`RunReason::Seek`] and `discard_until` at `time`. Does not block: a place that cannot be reached is reported by
    /// `poll_next`.
    fn seek(&mut self, time: Duration);

    /// Tells how far playback has come, on the presentation timeline. A feed that measures what lies ready ahead measures
    /// from there; the others need not know. Does not block. Default: nothing.
    fn played_to(&mut self, _time: Duration) {}

    /// Blocks the thread for the next unit, at most `limit`; `None` for as long as it takes.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] after `limit`; else those of `poll_next`.
    fn wait_next(&mut self, limit: Option<Duration>) -> io::Result<Option<Unit>> {
        park::block_on(limit, |cx| self.poll_next(cx))
    }
}

/// One media segment or part, on its way to a demuxer.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The run it belongs to. Units of one run share one value; a demuxer is kept as long as [`Run::id`] stays.
    pub run: Arc<Run>,
    /// Its bytes, decrypted, readable while they arrive, without the init section. Ends with
    /// [`StreamError::Cut`](crate::StreamError::Cut) when the next run delivers this unit again.
    pub body: UnitBody,
    /// Where it begins on the presentation timeline.
    pub start: Duration,
    /// How long it is said to last. What the media says is more exact.
    pub duration: Duration,
}

/// What a demuxer must know to read a run. Constant for all units of the run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Grows with every run of a feed.
    pub id: RunId,
    /// Why a new run begins.
    pub reason: RunReason,
    /// Where its first unit begins on the presentation timeline.
    pub time: Duration,
    /// What its units, and its init section, are.
    pub container: Container,
    /// The media initialization section, decrypted; `None` where the container needs none.
    pub init: Option<Bytes>,
    /// The codecs as declared (RFC 6381), `None` if nobody said. A hint: the media decides.
    pub codecs: Option<Arc<str>>,
    /// Presentation time minus media time, in nanoseconds; the demuxer adds it to every timestamp and computes none of
    /// its own. `None`: the media has no timestamps, and each unit begins at its [`Unit::start`].
    pub timestamp_offset: Option<i64>,
    /// Everything that is presented before this time is decoded and not shown: it was shown by an earlier run, or lies
    /// before the target of a seek.
    pub discard_until: Option<Duration>,
}

/// The number of a run within its feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// Why a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunReason {
    /// The first run of the feed.
    Start,
    /// The reader moved to another time.
    Seek,
    /// Another variant or rendition goes on from here.
    Switch,
    /// The media changes: other timestamps, codec parameters or container (RFC 8216 section 4.3.2.3).
    Discontinuity,
    /// Another media initialization section applies (RFC 8216 section 4.3.2.5).
    InitSection,
    /// The run before was cut inside a unit, which is delivered again.
    Cut,
    /// Units between the run before and this one are missing.
    Gap,
}

/// The format of a unit (RFC 8216 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// MPEG-2 transport stream (ISO/IEC 13818-1).
    MpegTs,
    /// Fragmented MP4 (ISO/IEC 14496-12), with an init section.
    Fmp4,
    /// Packed AAC in ADTS frames (ISO/IEC 13818-7).
    Adts,
    /// Packed MPEG audio, layers 1 to 3.
    Mp3,
    /// Packed AC-3 (ETSI TS 102 366).
    Ac3,
    /// Packed Enhanced AC-3.
    Eac3,
    /// WebVTT subtitles.
    WebVtt,
}

/// A [`UnitFeed`] over units that are known from the start: one run, one unit after the other, for tests and for media
/// that lies in memory.
#[derive(Debug)]
pub struct UnitList {
    run: Arc<Run>,
    units: Vec<Unit>,
    waiting: VecDeque<Unit>,
}

impl UnitList {
    /// Feeds `bodies`, each with its duration, from the time of `run` on.
    #[must_use]
    pub fn new(run: Run, bodies: impl IntoIterator<Item = (UnitBody, Duration)>) -> Self {
        let run = Arc::new(run);
        let mut start = run.time;
        let place = |(body, duration): (UnitBody, Duration)| {
            let unit = Unit { run: Arc::clone(&run), body, start, duration };
            start = start.saturating_add(duration);
            unit
        };
        let units: Vec<Unit> = bodies.into_iter().map(place).collect();
        let waiting = units.iter().cloned().collect();
        Self { run, units, waiting }
    }
}

impl UnitFeed for UnitList {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<Unit>>> {
        Poll::Ready(Ok(self.waiting.pop_front()))
    }

    fn seek(&mut self, time: Duration) {
        let first = self.units.partition_point(|unit| unit.start.saturating_add(unit.duration) <= time);
        let start = self.units.get(first).map_or(time, |unit| unit.start);
        self.run = Arc::new(Run {
            id: RunId(self.run.id.0 + 1),
            reason: RunReason::Seek,
            time: start,
            discard_until: Some(time),
            ..Run::clone(&self.run)
        });
        let rest = self.units[first..].iter();
        self.waiting = rest.map(|unit| Unit { run: Arc::clone(&self.run), ..unit.clone() }).collect();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Units(_) => "Feed::Units",
            Self::Bytes(_) => "Feed::Bytes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn list(count: u8) -> UnitList {
        let run = Run {
            id: RunId(0),
            reason: RunReason::Start,
            time: Duration::ZERO,
            container: Container::Adts,
            init: None,
            codecs: None,
            timestamp_offset: None,
            discard_until: None,
        };
        UnitList::new(run, (0..count).map(|n| (UnitBody::whole(Bytes::from(vec![n])), SECOND)))
    }

    fn starts(feed: &mut dyn UnitFeed) -> Vec<Duration> {
        std::iter::from_fn(|| feed.wait_next(None).unwrap()).map(|unit| unit.start).collect()
    }

    #[test]
    fn units_follow_each_other_to_the_end() {
        assert_eq!(starts(&mut list(3)), [Duration::ZERO, SECOND, 2 * SECOND]);
    }

    #[test]
    fn a_seek_begins_a_run_at_the_unit_that_holds_the_time() {
        let mut feed = list(3);
        feed.wait_next(None).unwrap();
        let target = Duration::from_millis(1_500);
        feed.seek(target);
        let unit = feed.wait_next(None).unwrap().unwrap();
        assert_eq!((unit.start, unit.run.id, unit.run.reason), (SECOND, RunId(1), RunReason::Seek));
        assert_eq!(unit.run.discard_until, Some(target));
        assert_eq!(starts(&mut feed), [2 * SECOND]);
    }

    #[test]
    fn a_seek_beyond_the_end_ends_and_a_seek_back_plays_again() {
        let mut feed = list(2);
        feed.seek(9 * SECOND);
        assert!(feed.wait_next(None).unwrap().is_none());
        feed.seek(Duration::ZERO);
        assert_eq!(starts(&mut feed).len(), 2);
    }
}
