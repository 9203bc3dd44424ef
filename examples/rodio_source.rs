//! A stream as a rodio `Source`, for whatever rodio does with sources.
//!
//!     cargo run --release --example rodio_source -- URL
//!
//! An app with a device enables rodio's feature `playback` and appends `Sound::live(reader)` to a player. Without one, this
//! example turns the sound down and measures it.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error, time::Duration};

use kithara::{
    Pcm, PcmReader, blocking,
    sound::{DecodeOptions, FillState, Output, PcmSpec},
};
use rodio::{ChannelCount, Sample, SampleRate, Source, nz};

const RATE: SampleRate = nz!(48_000);
const CHANNELS: ChannelCount = nz!(2);
const SPEC: PcmSpec = PcmSpec { sample_rate: RATE.get(), channels: CHANNELS.get() };

/// Gives the next samples to the front of the buffer; none when the stream is over.
type Pull = fn(&mut PcmReader, &mut [f32]) -> usize;

/// Samples of a reader whose output format is fixed.
struct Sound {
    reader: PcmReader,
    pull: Pull,
    samples: [f32; 512],
    /// Of the samples, those that were not given yet.
    left: std::ops::Range<usize>,
}

impl Sound {
    /// For the thread of a device: never blocks; what is not there in time is silence.
    fn live(reader: PcmReader) -> Self {
        Self::new(reader, |reader, samples| match reader.fill(samples) {
            fill if matches!(fill.state, FillState::Ended | FillState::Failed) => fill.samples,
            _ => samples.len(),
        })
    }

    /// For a file or a test: waits for every sample.
    fn offline(reader: PcmReader) -> Self {
        Self::new(reader, |reader, samples| match reader.read(samples) {
            Ok(Pcm::Samples(count)) => count,
            // A fixed format does not change; what went wrong, `PcmReader::error` would tell.
            _ => 0,
        })
    }

    fn new(reader: PcmReader, pull: Pull) -> Self {
        Self { reader, pull, samples: [0.0; 512], left: 0..0 }
    }
}

impl Iterator for Sound {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.left.is_empty() {
            self.left = 0..(self.pull)(&mut self.reader, &mut self.samples);
        }
        self.left.next().map(|index| self.samples[index])
    }
}

impl Source for Sound {
    fn current_span_len(&self) -> Option<usize> {
        None
    }

    fn channels(&self) -> ChannelCount {
        CHANNELS
    }

    fn sample_rate(&self) -> SampleRate {
        RATE
    }

    fn total_duration(&self) -> Option<Duration> {
        None
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: rodio_source URL [live]")?;
    let sound = DecodeOptions { output: Output::Fixed(SPEC), ..DecodeOptions::default() };
    let (_player, reader) = blocking::listen(&url, sound)?;
    let source = if env::args().nth(2).is_some() { Sound::live(reader) } else { Sound::offline(reader) };
    let (count, peak) = source.amplify(0.5).fold((0_u64, 0.0_f32), |(count, peak), it| (count + 1, peak.max(it.abs())));
    println!("{:.3} s, peak {peak:.3}", SPEC.duration_of(count / 2).as_secs_f64());
    Ok(())
}
