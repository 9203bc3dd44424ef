//! The system's sound device.
//!
//! A device asks for samples on a thread of its own, where nothing may block, lock or allocate: that thread has the reader
//! and counts in plain fields. The thread that plays sleeps until the device rings, ends the stream, and by that gets the
//! reader and the counts back.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use cpal::{
    Device as Hardware, ErrorKind, FromSample, OutputCallbackInfo, SampleFormat, SizedSample, Stream, StreamConfig,
    traits::{DeviceTrait, HostTrait, StreamTrait},
};
use kithara::{
    PcmReader,
    sound::{FillState, PcmSpec},
};

use crate::{
    failure::{Class, Failure},
    play::performance::{Ended, Played, Stop, frames_of},
};

/// The default device in its default format.
pub(super) struct Device {
    hardware: Hardware,
    config: StreamConfig,
    format: SampleFormat,
}

impl Device {
    pub(super) fn open() -> Result<Self, Failure> {
        let none = || Failure::new(Class::Other, "there is no sound device");
        let hardware = cpal::default_host().default_output_device().ok_or_else(none)?;
        let found = hardware.default_output_config().map_err(|error| no_sound(&error))?;
        Ok(Self { hardware, config: found.config(), format: found.sample_format() })
    }

    pub(super) fn spec(&self) -> PcmSpec {
        PcmSpec { sample_rate: self.config.sample_rate, channels: self.config.channels }
    }

    /// Plays to the end.
    pub(super) fn play(self, reader: PcmReader, limit: Option<Duration>, started: Instant, stop: Stop) -> Played {
        let spec = self.spec();
        let doorbell = Arc::new(Doorbell::new());
        let (back, returned) = sync_channel(1);
        let voice = Voice::new(reader, spec, limit, started, stop.clone(), Arc::clone(&doorbell));
        let lent = Lent { voice: Some(voice), back };
        let opened = self.stream(lent, &doorbell).and_then(|stream| stream.play().map(|()| stream));
        let trouble = match opened {
            Ok(stream) => {
                doorbell.wait();
                drop(stream);
                doorbell.trouble.get().map(no_sound)
            }
            Err(error) => Some(no_sound(&error)),
        };
        let mut played = Played {
            ended: Ok(Ended::Interrupted),
            spec: Some(spec),
            frames: 0,
            first: None,
            stalls: (0, Duration::ZERO),
            written: 0,
        };
        // The stream is gone, and what it had was sent here.
        if let Ok(voice) = returned.recv() {
            played.frames = voice.frames;
            played.first = voice.first;
            played.stalls = (voice.starved + doorbell.xruns.load(Ordering::Relaxed), spec.duration_of(voice.silence));
            played.ended = voice.ended(trouble);
        }
        played
    }

    fn stream(&self, lent: Lent, doorbell: &Arc<Doorbell>) -> Result<Stream, cpal::Error> {
        match self.format {
            SampleFormat::F32 => self.stream_of::<f32>(lent, doorbell),
            SampleFormat::I16 => self.stream_of::<i16>(lent, doorbell),
            SampleFormat::U16 => self.stream_of::<u16>(lent, doorbell),
            SampleFormat::I32 => self.stream_of::<i32>(lent, doorbell),
            _ => Err(ErrorKind::UnsupportedConfig.into()),
        }
    }

    fn stream_of<T>(&self, mut lent: Lent, doorbell: &Arc<Doorbell>) -> Result<Stream, cpal::Error>
    where
        T: SizedSample + FromSample<f32>,
    {
        let doorbell = Arc::clone(doorbell);
        self.hardware.build_output_stream(
            self.config,
            move |out: &mut [T], call: &OutputCallbackInfo| {
                let times = call.timestamp();
                let latency = times.playback.saturating_duration_since(times.callback);
                if let Some(voice) = &mut lent.voice {
                    voice.speak(out, latency);
                }
            },
            move |error| doorbell.hear_of(error),
            None,
        )
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("config", &self.config).field("format", &self.format).finish_non_exhaustive()
    }
}

fn no_sound(error: &cpal::Error) -> Failure {
    Failure::new(Class::Other, format!("the sound device cannot be used: {error}"))
}

/// What the threads of a device tell the thread that plays.
struct Doorbell {
    /// The thread that plays.
    thread: Thread,
    /// Set by the device's threads, read by the thread that plays: it is over.
    is_rung: AtomicBool,
    /// Times that the device ran dry. Written by the device's threads, read when it is over.
    xruns: AtomicU64,
    /// Why the device cannot go on. Written by the device's threads, the first one wins; read when it is over.
    trouble: OnceLock<cpal::Error>,
}

impl Doorbell {
    fn new() -> Self {
        let (xruns, trouble) = (AtomicU64::new(0), OnceLock::new());
        Self { thread: thread::current(), is_rung: AtomicBool::new(false), xruns, trouble }
    }

    fn ring(&self) {
        self.is_rung.store(true, Ordering::Release);
        self.thread.unpark();
    }

    fn wait(&self) {
        while !self.is_rung.load(Ordering::Acquire) {
            thread::park();
        }
    }

    fn hear_of(&self, error: cpal::Error) {
        match error.kind() {
            ErrorKind::Xrun => drop(self.xruns.fetch_add(1, Ordering::Relaxed)),
            // The sound goes on.
            ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => tracing::debug!(%error, "sound device"),
            _ => {
                drop(self.trouble.set(error));
                self.ring();
            }
        }
    }
}

/// A voice in the hands of a device, given back when the device lets go.
struct Lent {
    voice: Option<Voice>,
    back: SyncSender<Voice>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(voice) = self.voice.take() {
            // Nobody listens only when the thread that plays is gone.
            drop(self.back.try_send(voice));
        }
    }
}

/// How far playing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Playing,
    /// Everything was handed over; so many frames of silence until the last of it is heard.
    Fading {
        left: u64,
        after: Last,
    },
    Over(Last),
}

/// What came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    End,
    Limit,
    Failure,
    Stop,
}

/// Samples at the moment a device asks for them.
struct Voice {
    reader: PcmReader,
    spec: PcmSpec,
    /// Frames still wanted.
    wanted: u64,
    started: Instant,
    stop: Stop,
    doorbell: Arc<Doorbell>,
    samples: Vec<f32>,
    phase: Phase,
    frames: u64,
    first: Option<Duration>,
    /// Calls that found nothing in the middle of playback, and the frames of silence they gave.
    starved: u64,
    silence: u64,
}

/// Frames converted at once.
const PORTION: usize = 1024;

impl Voice {
    fn new(
        reader: PcmReader,
        spec: PcmSpec,
        limit: Option<Duration>,
        started: Instant,
        stop: Stop,
        doorbell: Arc<Doorbell>,
    ) -> Self {
        let samples = vec![0.0; PORTION * usize::from(spec.channels.max(1))];
        let wanted = limit.map_or(u64::MAX, |limit| frames_of(limit, spec));
        let phase = Phase::Playing;
        let (frames, first, starved, silence) = (0, None, 0, 0);
        Self { reader, spec, wanted, started, stop, doorbell, samples, phase, frames, first, starved, silence }
    }

    /// Fills `out`, which is heard after `latency`. Does not block, lock or allocate.
    fn speak<T: FromSample<f32> + Copy>(&mut self, out: &mut [T], latency: Duration) {
        let width = usize::from(self.spec.channels.max(1));
        let mut is_starved = false;
        for portion in out.chunks_mut(PORTION * width) {
            if self.stop.is_asked() {
                self.end(Last::Stop);
            }
            let count = self.next(portion.len(), latency);
            let (sound, rest) = portion.split_at_mut(count);
            for (out, sample) in sound.iter_mut().zip(&self.samples) {
                *out = T::from_sample_(*sample);
            }
            rest.fill(T::from_sample_(0.0));
            let rest = (rest.len() / width) as u64;
            match self.phase {
                Phase::Playing if rest > 0 && self.first.is_some() => {
                    is_starved = true;
                    self.silence += rest;
                }
                Phase::Fading { left, after } if left <= rest => self.end(after),
                Phase::Fading { left, after } => self.phase = Phase::Fading { left: left - rest, after },
                Phase::Playing | Phase::Over(_) => {}
            }
        }
        self.starved += u64::from(is_starved);
    }

    /// Takes up to `len` samples from the reader; says how many.
    fn next(&mut self, len: usize, latency: Duration) -> usize {
        if self.phase != Phase::Playing {
            return 0;
        }
        let width = usize::from(self.spec.channels.max(1));
        let most = usize::try_from(self.wanted).unwrap_or(usize::MAX).saturating_mul(width);
        let len = len.min(most);
        let fill = self.reader.fill(&mut self.samples[..len]);
        let frames = (fill.samples / width) as u64;
        self.frames += frames;
        self.wanted -= frames;
        if frames > 0 && self.first.is_none() {
            self.first = Some(self.started.elapsed());
        }
        let after = match fill.state {
            FillState::Ended => Last::End,
            FillState::Failed => Last::Failure,
            _ if self.wanted == 0 => Last::Limit,
            _ => return fill.samples,
        };
        self.phase = Phase::Fading { left: frames_of(latency, self.spec), after };
        fill.samples
    }

    /// It is over; says so once.
    fn end(&mut self, last: Last) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.phase = Phase::Over(last);
            self.doorbell.ring();
        }
    }

    fn ended(&self, trouble: Option<Failure>) -> Result<Ended, Failure> {
        match (self.phase, trouble) {
            _ if self.stop.is_asked() => Ok(Ended::Interrupted),
            (Phase::Over(Last::End) | Phase::Fading { after: Last::End, .. }, _) => Ok(Ended::Whole),
            (Phase::Over(Last::Limit) | Phase::Fading { after: Last::Limit, .. }, _) => Ok(Ended::Enough),
            (_, Some(trouble)) => Err(trouble),
            (..) => Err(self.reader.error().map_or_else(
                || Failure::new(Class::Other, "the sound device ended playback unexpectedly"),
                Failure::from,
            )),
        }
    }
}
