//! Where samples go.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use kithara::sound::PcmSpec;

#[cfg(feature = "device")]
use crate::play::device::Device;

use crate::{
    failure::Failure,
    line::Line,
    output::Output,
    play::{PlayArgs, args::OutputArg, encode::SampleFormat, wav},
};

/// What is played on: something that takes samples, or a device, which asks for them.
#[derive(Debug)]
pub(super) enum Outlet {
    Sink(Sink),
    #[cfg(feature = "device")]
    Device(Box<Device>),
}

impl Outlet {
    pub(super) fn open(args: &PlayArgs, line: &Line) -> Result<Self, Failure> {
        Ok(Self::Sink(match &args.output {
            Some(OutputArg::Null) => Sink::Null,
            Some(OutputArg::Wav(path)) => Sink::File(FileSink::new(Output::create(path)?, args.format, true)),
            Some(OutputArg::Raw(path)) => Sink::File(FileSink::new(Output::create(path)?, args.format, false)),
            Some(OutputArg::Device) => return Self::device(args),
            // Nobody asked for a device in so many words: without one, time passes as if there were one.
            None => match Self::device(args) {
                Ok(device) => return Ok(device),
                Err(failure) if failure.is_usage() && cfg!(feature = "device") => return Err(failure),
                Err(failure) => {
                    line.note(&format!("playing in real time to nothing: {}", failure.first_line()));
                    Sink::Clock(Clock::default())
                }
            },
        }))
    }

    #[cfg(feature = "device")]
    fn device(args: &PlayArgs) -> Result<Self, Failure> {
        if args.rate.is_some() || args.channels.is_some() {
            return Err(Failure::usage(
                "a sound device has a rate and channels of its own; --rate and --channels are for files",
            ));
        }
        Device::open().map(Box::new).map(Self::Device)
    }

    #[cfg(not(feature = "device"))]
    fn device(_: &PlayArgs) -> Result<Self, Failure> {
        Err(Failure::usage("this kithara is built without sound devices; build it with `--features device`"))
    }

    /// The one format it takes, where it takes only one.
    pub(super) fn spec(&self) -> Option<PcmSpec> {
        match self {
            Self::Sink(_) => None,
            #[cfg(feature = "device")]
            Self::Device(device) => Some(device.spec()),
        }
    }
}

/// What takes samples.
#[derive(Debug)]
pub(super) enum Sink {
    /// Nothing, as fast as they come.
    Null,
    /// Nothing, at the time they would be heard.
    Clock(Clock),
    /// A file or a pipe.
    File(FileSink),
}

/// Whether more samples are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    More,
    /// Whoever read them is gone.
    NoMore,
}

impl Sink {
    /// Takes whole frames of the one format that comes out.
    pub(super) fn write(&mut self, spec: PcmSpec, samples: &[f32]) -> Result<Wants, Failure> {
        match self {
            Self::Null => Ok(Wants::More),
            Self::Clock(clock) => {
                clock.pass(spec, samples.len());
                Ok(Wants::More)
            }
            Self::File(file) => file.write(spec, samples),
        }
    }

    /// What was written is whole. Answers how many bytes there are.
    pub(super) fn finish(self) -> Result<u64, Failure> {
        match self {
            Self::Null | Self::Clock(_) => Ok(0),
            Self::File(file) => file.finish(),
        }
    }

    /// How often sound was interrupted, and for how long.
    pub(super) fn stalls(&self) -> (u64, Duration) {
        match self {
            Self::Clock(clock) => clock.stalls,
            Self::Null | Self::File(_) => (0, Duration::ZERO),
        }
    }
}

/// Real time, for playing without a device.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// When the sound that was passed on ends.
    heard_until: Option<Instant>,
    stalls: (u64, Duration),
}

/// A device holds this much, so that sound that comes this late does not interrupt it.
const HELD: Duration = Duration::from_millis(100);

impl Clock {
    /// Waits until there would be room for these samples in a device.
    fn pass(&mut self, spec: PcmSpec, samples: usize) {
        let now = Instant::now();
        let mut until = self.heard_until.unwrap_or(now);
        if let Some(late) = now.checked_duration_since(until).filter(|late| !late.is_zero()) {
            if self.heard_until.is_some() {
                self.stalls.0 += 1;
                self.stalls.1 += late;
            }
            until = now;
        }
        until += spec.duration_of(samples as u64 / u64::from(spec.channels.max(1)));
        self.heard_until = Some(until);
        if let Some(ahead) = until.checked_duration_since(now + HELD) {
            thread::sleep(ahead);
        }
    }
}

/// Samples as bytes, with a header or without.
#[derive(Debug)]
pub(super) struct FileSink {
    output: Output,
    format: SampleFormat,
    is_wav: bool,
    spec: Option<PcmSpec>,
    bytes: Vec<u8>,
}

impl FileSink {
    fn new(output: Output, format: SampleFormat, is_wav: bool) -> Self {
        Self { output, format, is_wav, spec: None, bytes: Vec::new() }
    }

    fn write(&mut self, spec: PcmSpec, samples: &[f32]) -> Result<Wants, Failure> {
        self.bytes.clear();
        if self.spec.replace(spec).is_none() && self.is_wav {
            self.bytes = wav::header(spec, self.format, None);
        }
        self.format.append(samples, &mut self.bytes);
        match self.output.try_write(&self.bytes) {
            Ok(()) => Ok(Wants::More),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Wants::NoMore),
            Err(error) => Err(Failure::disk("cannot write", self.output.shown(), &error)),
        }
    }

    fn finish(mut self) -> Result<u64, Failure> {
        if let Some(spec) = self.spec.filter(|_| self.is_wav && self.output.is_file()) {
            let data = self.output.written().saturating_sub(wav::HEADER);
            if data % 2 == 1 {
                self.output.write(&[0])?;
            }
            self.output.patch(0, &wav::header(spec, self.format, Some(data)))?;
        }
        let written = self.output.written();
        self.output.keep()?;
        Ok(written)
    }
}
