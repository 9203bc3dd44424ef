//! The thread that hands samples on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kithara::{Pcm, PcmReader, sound::PcmSpec};

use crate::{
    failure::Failure,
    play::{
        PlayArgs,
        sink::{Outlet, Sink, Wants},
    },
};

/// Samples taken at once.
const PORTION: usize = 16_384;

/// Samples on their way from a reader to what they are played on.
#[derive(Debug)]
pub(super) struct Performance {
    reader: PcmReader,
    outlet: Outlet,
    /// Where it begins, if that is not the beginning.
    start: Option<Duration>,
    /// Sound that is wanted.
    limit: Option<Duration>,
    started: Instant,
    stop: Stop,
}

/// Ends a performance. Set by whoever hears the signal, read by the thread that plays and by that of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How a performance came to its end without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The stream ended.
    Whole,
    /// As much was played as was wanted, by the user or by whoever reads the output.
    Enough,
    /// The user stopped it.
    Interrupted,
}

/// What was played.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) ended: Result<Ended, Failure>,
    pub(super) spec: Option<PcmSpec>,
    pub(super) frames: u64,
    /// From the start of the command to the first sample.
    pub(super) first: Option<Duration>,
    pub(super) stalls: (u64, Duration),
    /// Bytes written.
    pub(super) written: u64,
}

impl Performance {
    pub(super) fn new(reader: PcmReader, outlet: Outlet, args: &PlayArgs, started: Instant) -> Self {
        let (start, limit) = (args.start, args.limit);
        Self { reader, outlet, start, limit, started, stop: Stop::default() }
    }

    pub(super) fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Plays to the end.
    pub(super) fn run(self) -> Played {
        let start = self.start;
        let mut played = match self.outlet {
            Outlet::Sink(sink) => {
                let (reader, limit) = (self.reader, self.limit);
                Passage { reader, limit, started: self.started, stop: self.stop }.run(sink)
            }
            #[cfg(feature = "device")]
            Outlet::Device(device) => device.play(self.reader, self.limit, self.started, self.stop),
        };
        if let (Ok(Ended::Whole), 0, Some(start)) = (&played.ended, played.frames, start.filter(|it| !it.is_zero())) {
            let ends_before = format!("nothing to play: the stream ends before {} s", start.as_secs_f64());
            played.ended = Err(Failure::usage(ends_before));
        }
        played
    }
}

/// The frames of a stretch of sound.
pub(super) fn frames_of(limit: Duration, spec: PcmSpec) -> u64 {
    u64::try_from(limit.as_nanos() * u128::from(spec.sample_rate) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Samples handed on as they come, to something that takes them.
struct Passage {
    reader: PcmReader,
    limit: Option<Duration>,
    started: Instant,
    stop: Stop,
}

impl Passage {
    /// Plays to the end, and finishes the sink whatever the end is, unless there is nothing to show for it: then a file that
    /// was there stays.
    fn run(mut self, mut sink: Sink) -> Played {
        let mut played = Played {
            ended: Ok(Ended::Whole),
            spec: None,
            frames: 0,
            first: None,
            stalls: (0, Duration::ZERO),
            written: 0,
        };
        played.ended = self.play(&mut sink, &mut played);
        played.stalls = sink.stalls();
        if played.frames == 0 {
            return played;
        }
        match sink.finish() {
            Ok(written) => played.written = written,
            // What went wrong first is the better story.
            Err(failure) => played.ended = played.ended.and(Err(failure)),
        }
        played
    }

    fn play(&mut self, sink: &mut Sink, played: &mut Played) -> Result<Ended, Failure> {
        let mut buffer = vec![0.0; PORTION];
        played.spec = self.reader.spec();
        loop {
            let taken = self.reader.read(&mut buffer);
            if self.stop.is_asked() {
                return Ok(Ended::Interrupted);
            }
            let samples = match taken? {
                Pcm::Samples(count) => &buffer[..count],
                Pcm::SpecChanged(spec) => {
                    played.spec = Some(spec);
                    continue;
                }
                Pcm::End => return Ok(Ended::Whole),
            };
            let Some(spec) = played.spec else { continue };
            played.first.get_or_insert_with(|| self.started.elapsed());
            let wanted = self.wanted(spec, played.frames, samples);
            played.frames += (wanted.len() / usize::from(spec.channels)) as u64;
            let wants = sink.write(spec, wanted)?;
            if wants == Wants::NoMore || wanted.len() < samples.len() {
                return Ok(Ended::Enough);
            }
        }
    }

    /// Those of the samples that are within the limit.
    fn wanted<'a>(&self, spec: PcmSpec, frames: u64, samples: &'a [f32]) -> &'a [f32] {
        let Some(limit) = self.limit else { return samples };
        let left = usize::try_from(frames_of(limit, spec).saturating_sub(frames)).unwrap_or(usize::MAX);
        &samples[..samples.len().min(left.saturating_mul(usize::from(spec.channels)))]
    }
}
