//! From what a codec gives to what the reader gets: mixing and resampling, where a fixed format is asked for.

use std::{collections::VecDeque, ops::Range, time::Duration};

use crate::{Output, PcmSpec, error::DecodeError, format::NANOS, mix::Mixer, resample::Resampler};

/// A stretch of finished sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) spec: PcmSpec,
    /// Presentation time of its first frame, if that does not follow from the piece before.
    pub(crate) at: Option<Duration>,
    /// Where its samples are.
    samples: Range<usize>,
}

/// Makes pieces in the wanted format.
#[derive(Debug)]
pub(crate) struct Finisher {
    output: Output,
    /// Format that goes in.
    input: Option<PcmSpec>,
    mixer: Option<Mixer>,
    resampler: Option<Resampler>,
    mixed: Vec<f32>,
    /// Samples of the pieces.
    samples: Vec<f32>,
    pieces: VecDeque<Piece>,
    /// Time that the next piece states.
    next_at: Option<Duration>,
}

impl Finisher {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            input: None,
            mixer: None,
            resampler: None,
            mixed: Vec::new(),
            samples: Vec::new(),
            pieces: VecDeque::new(),
            next_at: None,
        }
    }

    /// Takes decoded samples. `jump` is their time, in frames, if they do not follow what came before.
    pub(crate) fn push(&mut self, spec: PcmSpec, jump: Option<i64>, samples: &[f32]) -> Result<(), DecodeError> {
        if samples.is_empty() {
            return Ok(());
        }
        if self.input != Some(spec) || jump.is_some() {
            self.finish()?;
            self.configure(spec)?;
            self.next_at = jump.map(|frames| time_of(frames, spec.sample_rate)).or(self.next_at);
        }
        let start = self.samples.len();
        let samples = match &self.mixer {
            None => samples,
            Some(mixer) => {
                self.mixed.clear();
                mixer.mix(samples, &mut self.mixed);
                &self.mixed
            }
        };
        match &mut self.resampler {
            None => self.samples.extend_from_slice(samples),
            Some(resampler) => resampler.push(samples, &mut self.samples)?,
        }
        self.piece(start);
        Ok(())
    }

    /// What came before is complete: gives out what filters hold back.
    pub(crate) fn finish(&mut self) -> Result<(), DecodeError> {
        let start = self.samples.len();
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&mut self.samples)?;
        }
        self.piece(start);
        Ok(())
    }

    /// Forgets everything: the reader moved.
    pub(crate) fn clear(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
        self.pieces.clear();
        self.samples.clear();
        self.next_at = None;
    }

    /// The next finished piece.
    pub(crate) fn pop(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front();
        if piece.is_none() {
            self.samples.clear();
        }
        piece
    }

    pub(crate) fn samples(&self, piece: &Piece) -> &[f32] {
        &self.samples[piece.samples.clone()]
    }

    fn configure(&mut self, spec: PcmSpec) -> Result<(), DecodeError> {
        if self.input.replace(spec) == Some(spec) {
            return Ok(());
        }
        if self.output == Output::First {
            self.output = Output::Fixed(spec);
        }
        let Output::Fixed(fixed) = self.output else { return Ok(()) };
        self.mixer = Mixer::new(spec, fixed.channels);
        self.resampler = if spec.sample_rate == fixed.sample_rate {
            None
        } else {
            let mixed = PcmSpec { channels: fixed.channels, ..spec };
            Some(Resampler::new(mixed, fixed.sample_rate)?)
        };
        Ok(())
    }

    fn piece(&mut self, start: usize) {
        let spec = match self.output {
            Output::Fixed(spec) => Some(spec),
            Output::Stream | Output::First => self.input,
        };
        let samples = start..self.samples.len();
        if let Some(spec) = spec.filter(|_| !samples.is_empty()) {
            self.pieces.push_back(Piece { spec, at: self.next_at.take(), samples });
        }
    }
}

/// Presentation time of a frame; what lies before zero is at zero.
fn time_of(frames: i64, rate: u32) -> Duration {
    let frames = u64::try_from(frames).unwrap_or(0);
    let nanos = (u128::from(frames) * NANOS + u128::from(rate / 2)) / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEREO: PcmSpec = PcmSpec { sample_rate: 48_000, channels: 2 };
    const MONO: PcmSpec = PcmSpec { sample_rate: 24_000, channels: 1 };

    fn drain(finisher: &mut Finisher) -> Vec<(PcmSpec, Option<Duration>, usize)> {
        let count = |piece: Piece| (piece.spec, piece.at, piece.samples.len());
        std::iter::from_fn(|| finisher.pop().map(count)).collect()
    }

    #[test]
    fn sound_passes_unchanged_where_no_format_is_asked_for() {
        let mut finisher = Finisher::new(Output::Stream);
        finisher.push(STEREO, Some(48_000), &[0.25; 8]).unwrap();
        let piece = finisher.pop().unwrap();
        assert_eq!((piece.at, finisher.samples(&piece)), (Some(Duration::from_secs(1)), &[0.25; 8][..]));
        finisher.push(STEREO, None, &[0.5; 4]).unwrap();
        finisher.push(MONO, None, &[0.5; 3]).unwrap();
        assert_eq!(drain(&mut finisher), [(STEREO, None, 4), (MONO, None, 3)]);
    }

    #[test]
    fn another_format_is_mixed_and_resampled_to_the_fixed_one() {
        let mut finisher = Finisher::new(Output::Fixed(STEREO));
        finisher.push(MONO, Some(0), &[0.5; 2400]).unwrap();
        finisher.push(STEREO, None, &[0.5; 200]).unwrap();
        finisher.push(MONO, Some(24_000), &[0.5; 2400]).unwrap();
        finisher.finish().unwrap();
        let pieces = drain(&mut finisher);
        assert_eq!(pieces.iter().map(|piece| piece.2).sum::<usize>(), 4800 * 2 + 200 + 4800 * 2);
        let times: Vec<_> = pieces.iter().filter_map(|piece| piece.1).collect();
        assert_eq!(times, [Duration::ZERO, Duration::from_secs(1)]);
    }

    #[test]
    fn nothing_of_before_is_heard_after_a_move() {
        let mut finisher = Finisher::new(Output::Fixed(STEREO));
        finisher.push(MONO, Some(0), &[1.0; 3000]).unwrap();
        finisher.clear();
        finisher.push(MONO, Some(24_000), &[0.0; 2400]).unwrap();
        finisher.finish().unwrap();
        let mut heard = Vec::new();
        while let Some(piece) = finisher.pop() {
            heard.extend_from_slice(finisher.samples(&piece));
        }
        assert_eq!(heard.len(), 4800 * 2);
        assert!(heard.iter().all(|sample| *sample == 0.0));
    }
}
