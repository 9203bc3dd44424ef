//! What the tests have in common: feeds of the workspace's fixtures, and ears.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::VecDeque,
    fs, io,
    num::NonZeroU32,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use kithara_decode::{DecodeError, DecodeOptions, Output, Pcm, PcmReader, PcmSpec, Player};
use kithara_demux::{self as demux, FirstTimestamp, first_timestamp};
use kithara_stream::{BytesSource, Container, Feed, ReadAt, Run, RunId, RunReason, Source, Unit, UnitBody, UnitFeed};

pub(crate) const STEREO_48: PcmSpec = PcmSpec { sample_rate: 48_000, channels: 2 };
pub(crate) const MONO_44: PcmSpec = PcmSpec { sample_rate: 44_100, channels: 1 };

const NANOS: NonZeroU32 = NonZeroU32::new(1_000_000_000).unwrap();

/// One segment of a playlist.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) container: Container,
    pub(crate) init: Option<Bytes>,
    pub(crate) bytes: Bytes,
    pub(crate) duration: Duration,
    pub(crate) is_discontinuity: bool,
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub(crate) fn media(name: &str) -> Bytes {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)).unwrap().into()
}

pub(crate) fn file_feed(name: &str) -> Feed {
    Feed::Bytes(Box::new(BytesSource::from(media(name))))
}

pub(crate) fn bytes_feed(bytes: &[u8]) -> Feed {
    Feed::Bytes(Box::new(BytesSource::from(bytes.to_vec())))
}

/// Bytes of the frame of ADTS with this header.
pub(crate) fn frame_len(head: &[u8]) -> usize {
    usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5)
}

/// These frames of ADTS, of one block each, as frames of up to four. What stands between them, as tags, stays.
pub(crate) fn joined(bytes: &[u8], is_checked: bool) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    let mut frames: Vec<(&[u8], &[u8])> = Vec::new();
    let flush = |frames: &mut Vec<(&[u8], &[u8])>, out: &mut Vec<u8>| {
        let Some((head, _)) = frames.first() else { return };
        let (mut head, mut data) = (head.to_vec(), Vec::new());
        if is_checked && frames.len() > 1 {
            let places = frames[..frames.len() - 1].iter().scan(0, |place, (_, block)| {
                *place += block.len() as u16 + 2;
                Some(*place)
            });
            places.for_each(|place| data.extend(place.to_be_bytes()));
        }
        // Nobody looks at checksums.
        let checksum: &[u8] = if is_checked { &[0; 2] } else { &[] };
        data.extend_from_slice(checksum);
        for (_, block) in &*frames {
            data.extend_from_slice(block);
            data.extend_from_slice(if frames.len() > 1 { checksum } else { &[] });
        }
        let len = head.len() + data.len();
        head[1] = head[1] & 0xFE | u8::from(!is_checked);
        head[3] = head[3] & 0xFC | (len >> 11) as u8;
        head[4] = (len >> 3) as u8;
        head[5] = head[5] & 0x1F | (len << 5) as u8;
        head[6] = head[6] & 0xFC | (frames.len() - 1) as u8;
        out.extend(head);
        out.extend(data);
        frames.clear();
    };
    while let Some(head) = rest.first_chunk::<7>() {
        if head[0] == 0xFF && head[1] == 0xF1 {
            let (frame, behind) = rest.split_at(frame_len(head));
            frames.push(frame.split_at(7));
            rest = behind;
            if frames.len() < 4 {
                continue;
            }
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
        flush(&mut frames, &mut out);
    }
    flush(&mut frames, &mut out);
    out
}

/// The segments of a fixture's playlist.
pub(crate) fn segments(folder: &str, container: Container) -> Vec<Segment> {
    let folder = fixtures().join(folder);
    let read = |name: &str| Bytes::from(fs::read(folder.join(name)).unwrap());
    let (mut init, mut duration, mut is_discontinuity) = (None, Duration::ZERO, false);
    let mut segments = Vec::new();
    for line in fs::read_to_string(folder.join("index.m3u8")).unwrap().lines() {
        if let Some(name) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
            init = Some(read(name.trim_end_matches('"')));
        } else if let Some(seconds) = line.strip_prefix("#EXTINF:") {
            duration = Duration::from_secs_f64(seconds.trim_end_matches(',').parse().unwrap());
        } else if line == "#EXT-X-DISCONTINUITY" {
            is_discontinuity = true;
        } else if !line.starts_with('#') {
            let is_discontinuity = std::mem::take(&mut is_discontinuity);
            segments.push(Segment { container, init: init.clone(), bytes: read(line), duration, is_discontinuity });
        }
    }
    segments
}

/// Feeds segments, with runs as a session makes them: one for each discontinuity, and one wherever `breaks` says so.
pub(crate) struct Script {
    units: Vec<(Segment, Duration, Option<RunReason>, Option<i64>)>,
    waiting: VecDeque<Unit>,
    runs: u64,
}

impl Script {
    /// One run per discontinuity.
    pub(crate) fn new(segments: Vec<Segment>) -> Self {
        Self::with_breaks(segments, |_| None)
    }

    /// Also a run wherever `breaks` gives a reason for the segment of that index.
    pub(crate) fn with_breaks(segments: Vec<Segment>, breaks: impl Fn(usize) -> Option<RunReason>) -> Self {
        let (mut start, mut offset) = (Duration::ZERO, None);
        let mut units = Vec::new();
        for (index, segment) in segments.into_iter().enumerate() {
            let reason = if segment.is_discontinuity { Some(RunReason::Discontinuity) } else { breaks(index) };
            if index == 0 || segment.is_discontinuity {
                offset = offset_of(&segment, start);
            }
            let reason = if index == 0 { Some(RunReason::Start) } else { reason };
            let duration = segment.duration;
            units.push((segment, start, reason, offset));
            start += duration;
        }
        let mut script = Self { units, waiting: VecDeque::new(), runs: 0 };
        script.go(0, None);
        script
    }

    /// The unit of that index has this body.
    pub(crate) fn with_body(mut self, index: usize, body: UnitBody) -> Self {
        self.waiting[index].body = body;
        self
    }

    /// The unit of that index is cut after so many bytes, and delivered again by a run of its own.
    pub(crate) fn cut(mut self, index: usize, bytes: usize) -> Self {
        let unit = &mut self.waiting[index];
        let (mut writer, body) = UnitBody::channel();
        writer.push(self.units[index].0.bytes.slice(..bytes));
        writer.cut();
        let whole = std::mem::replace(&mut unit.body, body);
        let (run, start, duration) = (Arc::clone(&unit.run), unit.start, unit.duration);
        let again = Run {
            id: RunId(run.id.0 + 1000),
            reason: RunReason::Cut,
            time: start,
            discard_until: Some(start),
            ..Run::clone(&run)
        };
        let again = Arc::new(again);
        for unit in self.waiting.iter_mut().skip(index + 1).filter(|unit| unit.run.id == run.id) {
            unit.run = Arc::clone(&again);
        }
        self.waiting.insert(index + 1, Unit { run: again, body: whole, start, duration });
        self
    }

    fn go(&mut self, first: usize, target: Option<Duration>) {
        self.waiting.clear();
        let mut run: Option<Arc<Run>> = None;
        for (index, (segment, start, reason, offset)) in self.units.iter().enumerate().skip(first) {
            let sought = target.filter(|_| index == first).map(|_| RunReason::Seek);
            let reason = sought.or(*reason).or((index == first).then_some(RunReason::Seek));
            if let Some(reason) = reason {
                self.runs += 1;
                run = Some(Arc::new(Run {
                    id: RunId(self.runs),
                    reason,
                    time: *start,
                    container: segment.container,
                    init: segment.init.clone(),
                    codecs: None,
                    timestamp_offset: *offset,
                    discard_until: Some(target.filter(|_| index == first).unwrap_or(*start)),
                }));
            }
            let run = Arc::clone(run.as_ref().unwrap());
            let body = UnitBody::whole(segment.bytes.clone());
            self.waiting.push_back(Unit { run, body, start: *start, duration: segment.duration });
        }
    }
}

impl UnitFeed for Script {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<Unit>>> {
        Poll::Ready(Ok(self.waiting.pop_front()))
    }

    fn seek(&mut self, time: Duration) {
        let first = self.units.partition_point(|(segment, start, ..)| *start + segment.duration <= time);
        self.go(first, Some(time));
    }
}

/// Presentation time minus media time, as a session finds it out.
fn offset_of(segment: &Segment, start: Duration) -> Option<i64> {
    let container = match segment.container {
        Container::MpegTs => demux::Container::MpegTs,
        Container::Fmp4 => demux::Container::Fmp4,
        Container::Adts => demux::Container::Adts,
        _ => demux::Container::Mp3,
    };
    match first_timestamp(container, segment.init.as_deref(), &segment.bytes) {
        FirstTimestamp::At(media) => Some(start.as_nanos() as i64 - media.rescale(NANOS)),
        _ => None,
    }
}

pub(crate) fn units(script: Script) -> Feed {
    Feed::Units(Box::new(script))
}

/// Bytes of which only the front is there, until more is let in.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<GateState>>);

struct GateState {
    bytes: Bytes,
    arrived: u64,
    wakers: Vec<Waker>,
}

impl Gate {
    pub(crate) fn new(bytes: Bytes, arrived: u64) -> Self {
        Self(Arc::new(Mutex::new(GateState { bytes, arrived, wakers: Vec::new() })))
    }

    pub(crate) fn feed(&self) -> Feed {
        Feed::Bytes(Box::new(self.clone()))
    }

    pub(crate) fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.arrived = u64::MAX;
        state.wakers.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn replace(&self, bytes: Bytes) {
        self.0.lock().unwrap().bytes = bytes;
    }

    /// Waits until somebody waits for bytes.
    pub(crate) fn wait_for_reader(&self) {
        while self.0.lock().unwrap().wakers.is_empty() {
            thread::yield_now();
        }
    }
}

impl Source for Gate {
    fn byte_len(&self) -> Option<u64> {
        Some(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        let state = self.0.lock().unwrap();
        let end = state.arrived.min(state.bytes.len() as u64);
        if offset >= end && end < state.bytes.len() as u64 {
            return Ok(ReadAt::Pending);
        }
        let len = buf.len().min(end.saturating_sub(offset) as usize);
        BytesSource::from(state.bytes.clone()).read_at(offset, &mut buf[..len.max(1)])
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if range.is_empty() || range.start < state.arrived {
            return Poll::Ready(Ok(()));
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

/// Everything a feed gives, a stretch of sound for each format.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Heard {
    pub(crate) stretches: Vec<(PcmSpec, Vec<f32>)>,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.frames().fmt(f)
    }
}

impl Heard {
    /// Frames of each stretch.
    pub(crate) fn frames(&self) -> Vec<(PcmSpec, usize)> {
        self.stretches.iter().map(|(spec, samples)| (*spec, samples.len() / usize::from(spec.channels))).collect()
    }

    pub(crate) fn only(self) -> (PcmSpec, Vec<f32>) {
        assert_eq!(self.stretches.len(), 1, "one format");
        self.stretches.into_iter().next().unwrap()
    }
}

pub(crate) fn hear(feed: Feed) -> Result<Heard, DecodeError> {
    let (_player, mut reader) = Player::start(feed, &DecodeOptions::default())?;
    hear_all(&mut reader)
}

pub(crate) fn hear_as(feed: Feed, spec: PcmSpec) -> Result<Heard, DecodeError> {
    let options = DecodeOptions { output: Output::Fixed(spec), ..DecodeOptions::default() };
    let (_player, mut reader) = Player::start(feed, &options)?;
    hear_all(&mut reader)
}

pub(crate) fn hear_all(reader: &mut PcmReader) -> Result<Heard, DecodeError> {
    let mut heard = Heard::default();
    heard.stretches.extend(reader.spec().map(|spec| (spec, Vec::new())));
    let mut buffer = [0.0; 4099];
    loop {
        match reader.read(&mut buffer)? {
            Pcm::End => return Ok(heard),
            Pcm::SpecChanged(spec) => heard.stretches.push((spec, Vec::new())),
            Pcm::Samples(count) => heard.stretches.last_mut().unwrap().1.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Reads exactly so many samples, which must be there.
pub(crate) fn read_exact(reader: &mut PcmReader, count: usize) -> Vec<f32> {
    let mut samples = vec![0.0; count];
    let mut filled = 0;
    while filled < count {
        match reader.read(&mut samples[filled..]).unwrap() {
            Pcm::Samples(more) => filled += more,
            Pcm::SpecChanged(_) => {}
            Pcm::End => panic!("the end after {filled} of {count} samples"),
        }
    }
    samples
}

/// Checks that a stretch of sound is a tone: at `frequency` lies at least nine tenths of what an amplitude of 0.4 gives.
#[track_caller]
pub(crate) fn check_tone(
    samples: &[f32],
    spec: PcmSpec,
    channel: usize,
    frames: std::ops::Range<usize>,
    frequency: f64,
) {
    let step = std::f64::consts::TAU * frequency / f64::from(spec.sample_rate);
    let (mut re, mut im) = (0.0, 0.0);
    for frame in frames.clone() {
        let sample = f64::from(samples[frame * usize::from(spec.channels) + channel]);
        re += sample * (step * frame as f64).cos();
        im += sample * (step * frame as f64).sin();
    }
    let level = 2.0 * re.hypot(im) / frames.len() as f64;
    assert!((0.36..0.44).contains(&level), "level {level} at {frequency} Hz in frames {frames:?} of channel {channel}");
}

/// Checks that each second has its tones, `delay` frames late, from frame `start` of the presentation on.
#[track_caller]
pub(crate) fn check_tones(samples: &[f32], spec: PcmSpec, start: usize, delay: usize) {
    let rate = spec.sample_rate as usize;
    let frames = samples.len() / usize::from(spec.channels);
    let mut checked = 0;
    for second in 0..10 {
        // The middle of the second: where tones meet, codecs smear.
        let from = second * rate + delay + rate / 10;
        let to = from + rate * 7 / 10;
        if from < start || to > start + frames {
            continue;
        }
        for (channel, base) in [400.0, 2400.0].into_iter().enumerate().take(usize::from(spec.channels)) {
            let frequency = base + 100.0 * second as f64;
            check_tone(samples, spec, channel, from - start..to - start, frequency);
        }
        checked += 1;
    }
    assert!(checked > 0, "nothing to check in {frames} frames");
}

/// Root mean square of the difference.
pub(crate) fn difference(heard: &[f32], want: &[f32]) -> f64 {
    let squares = heard.iter().zip(want).map(|(heard, want)| f64::from(heard - want).powi(2));
    (squares.sum::<f64>() / heard.len() as f64).sqrt()
}
