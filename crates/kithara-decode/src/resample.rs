//! Resampling a stretch of sound: exactly as many frames come out as the ratio of the rates says, the first of them at
//! the time of the first that went in.

use rubato::{
    Async, Fft, FixedAsync, FixedSync, Indexing, SincInterpolationParameters,
    audioadapter_buffers::direct::InterleavedSlice,
};

use crate::{
    PcmSpec,
    error::{DecodeError, DecodeErrorKind},
};

/// Frames that go in at once. A smaller chunk costs more, a larger one delays.
const CHUNK: usize = 1024;

/// Rates whose ratio takes larger numbers than this are resampled by interpolation: a transform would have to be as long.
const MAX_RATIO_TERM: u32 = 8192;

pub(crate) struct Resampler {
    filter: Box<dyn rubato::Resampler<f32>>,
    width: usize,
    from: u64,
    to: u64,
    /// Samples that wait to become a chunk.
    waiting: Vec<f32>,
    /// What comes out of a chunk.
    chunk: Vec<f32>,
    taken: u64,
    given: u64,
    /// Frames of the filter's delay that are still to be dropped.
    delay: usize,
}

impl Resampler {
    pub(crate) fn new(from: PcmSpec, to: u32) -> Result<Self, DecodeError> {
        let width = from.width();
        let refused = |error| DecodeError::because(DecodeErrorKind::Output, error);
        let (from, to) = (from.sample_rate, to);
        let term = from.max(to) / greatest_divisor(from, to).max(1);
        let filter: Box<dyn rubato::Resampler<f32>> = if term <= MAX_RATIO_TERM {
            let fft = Fft::new(from as usize, to as usize, CHUNK, width, FixedSync::Input).map_err(refused)?;
            Box::new(fft)
        } else {
            let (ratio, parameters) = (f64::from(to) / f64::from(from), SincInterpolationParameters::default());
            let sinc = Async::new_sinc(ratio, 1.0, &parameters, CHUNK, width, FixedAsync::Input).map_err(refused)?;
            Box::new(sinc)
        };
        let chunk = vec![0.0; filter.output_frames_max() * width];
        let delay = filter.output_delay();
        let (from, to) = (u64::from(from), u64::from(to));
        Ok(Self { filter, width, from, to, waiting: Vec::new(), chunk, taken: 0, given: 0, delay })
    }

    /// Takes samples and appends what is ready to `out`.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), DecodeError> {
        self.taken += (samples.len() / self.width) as u64;
        self.waiting.extend_from_slice(samples);
        let need = CHUNK * self.width;
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut used = 0;
        while waiting.len() - used >= need {
            self.chunk(&waiting[used..used + need], CHUNK, out)?;
            used += need;
        }
        waiting.drain(..used);
        self.waiting = waiting;
        Ok(())
    }

    /// The stretch ends: appends what is left to `out`. Another one may follow.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), DecodeError> {
        let total = u128::from(self.taken) * u128::from(self.to);
        let want = (total + u128::from(self.from) / 2) / u128::from(self.from);
        let start = out.len();
        let missing = usize::try_from(want).unwrap_or(usize::MAX).saturating_sub(self.given as usize) * self.width;
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut valid = waiting.len() / self.width;
        waiting.resize(CHUNK * self.width, 0.0);
        while out.len() - start < missing {
            self.chunk(&waiting, valid, out)?;
            valid = 0;
        }
        out.truncate(start + missing);
        waiting.clear();
        self.waiting = waiting;
        self.reset();
        Ok(())
    }

    /// Forgets what went in.
    pub(crate) fn reset(&mut self) {
        self.filter.reset();
        self.waiting.clear();
        (self.taken, self.given) = (0, 0);
        self.delay = self.filter.output_delay();
    }

    fn chunk(&mut self, samples: &[f32], valid: usize, out: &mut Vec<f32>) -> Result<(), DecodeError> {
        let refused = |error| DecodeError::because(DecodeErrorKind::Output, error);
        let input = InterleavedSlice::new(samples, self.width, CHUNK).map_err(refused)?;
        let frames = self.chunk.len() / self.width;
        let mut output = InterleavedSlice::new_mut(&mut self.chunk, self.width, frames).map_err(refused)?;
        let indexing = Indexing::new().partial_len(valid);
        let (_, frames) = self
            .filter
            .process_into_buffer(&input, &mut output, (valid < CHUNK).then_some(&indexing))
            .map_err(|error| DecodeError::because(DecodeErrorKind::Output, error))?;
        let dropped = frames.min(self.delay);
        self.delay -= dropped;
        self.given += (frames - dropped) as u64;
        out.extend_from_slice(&self.chunk[dropped * self.width..frames * self.width]);
        Ok(())
    }
}

fn greatest_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampler").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, frames: usize) -> Vec<f32> {
        let step = 440.0 * std::f64::consts::TAU / f64::from(rate);
        (0..frames).flat_map(|at| [(at as f64 * step).sin() as f32, (at as f64 * step).cos() as f32]).collect()
    }

    #[track_caller]
    fn check(from: u32, to: u32, frames: usize, portion: usize) {
        check_within(1e-3, from, to, frames, portion);
    }

    /// `off` is how far a sample may lie from the ideal one.
    #[track_caller]
    fn check_within(off: f32, from: u32, to: u32, frames: usize, portion: usize) {
        let mut resampler = Resampler::new(PcmSpec { sample_rate: from, channels: 2 }, to).unwrap();
        for _ in 0..2 {
            let mut out = Vec::new();
            for samples in tone(from, frames).chunks(portion * 2) {
                resampler.push(samples, &mut out).unwrap();
            }
            resampler.finish(&mut out).unwrap();
            let want = (frames as u64 * u64::from(to) * 2 + u64::from(from)) / (2 * u64::from(from));
            assert_eq!(out.len() as u64, want * 2, "{from} {to} {frames}");
            let ideal = tone(to, want as usize);
            // Edges ring: the sound before the first frame and behind the last is silence.
            let inner = 2000.min(out.len() / 2)..(out.len().saturating_sub(2000)).max(out.len() / 2);
            for (at, (got, want)) in out.iter().zip(&ideal).enumerate().filter(|(at, _)| inner.contains(at)) {
                assert!((got - want).abs() < off, "{from} {to}: {got} for {want} at {at}");
            }
        }
    }

    #[test]
    fn as_many_frames_come_out_as_the_ratio_says_at_their_times() {
        check(44_100, 48_000, 44_100, 1024);
        check(48_000, 44_100, 20_000, 333);
        check(22_050, 48_000, 10_000, 1152);
        check(48_000, 16_000, 30_001, 4096);
    }

    #[test]
    fn rates_of_a_ratio_of_large_numbers_cost_no_more() {
        // Within a frame of its time, which is 440 * TAU / 48,000 for the tone.
        check_within(0.06, 44_101, 48_000, 44_101, 1024);
        check_within(0.06, 655_351, 48_000, 655_351, 4096);
        check_within(0.06, 47_999, 48_000, 20_000, 333);
        check_within(0.06, 44_101, 48_000, 10, 333);
        for from in [1009, 44_101, 655_351, 767_999] {
            let resampler = Resampler::new(PcmSpec { sample_rate: from, channels: 2 }, 48_000).unwrap();
            let samples = resampler.chunk.len() + resampler.filter.output_delay() * 2;
            assert!(samples < 256 << 10, "{from}: {samples}");
        }
    }

    #[test]
    fn a_stretch_shorter_than_a_chunk_comes_out_whole() {
        check(44_100, 48_000, 0, 1);
        check(44_100, 48_000, 1, 1);
        check(48_000, 44_100, 1023, 10);
    }

    #[test]
    fn impossible_rates_are_refused() {
        let error = Resampler::new(PcmSpec { sample_rate: 48_000, channels: 2 }, 0).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Output);
    }
}
