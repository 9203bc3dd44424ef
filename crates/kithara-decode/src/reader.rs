use std::{
    fmt,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::Duration,
};

use crate::{
    DecodeError, PcmSpec,
    error::DecodeErrorKind,
    ring::{Front, Mark, RingReader},
    shared::Shared,
};

/// The data half of a stream of sound: interleaved samples, in order.
///
/// Dropping it ends the worker; the stream is over for its players too.
pub struct PcmReader {
    ring: RingReader,
    shared: Arc<Shared>,
    /// The seek that what is in front belongs to.
    epoch: u64,
    spec: Option<PcmSpec>,
    /// The format changed, and the caller does not know yet.
    has_news: bool,
    /// Presentation time at some sample, and frames handed out since.
    anchor: (Duration, u64),
    /// Something of this seek was heard, so that silence is an interruption.
    was_heard: bool,
}

/// What [`PcmReader::read`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pcm {
    /// So many samples were written to the front of the buffer: whole frames, at least one; 0 only if the buffer does
    /// not hold one.
    Samples(usize),
    /// What follows is in this format. Comes in front of the first sample, too, unless the format is fixed.
    SpecChanged(PcmSpec),
    /// The stream is over. A seek goes on.
    End,
}

/// What [`PcmReader::fill`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fill {
    /// Samples of the stream at the front of the buffer; the rest is silence.
    pub samples: usize,
    /// Why there are not more.
    pub state: FillState,
}

/// Why a buffer was filled as far as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FillState {
    /// It is full, as far as whole frames go.
    Playing,
    /// Playback is paused.
    Paused,
    /// Nothing was heard yet since the start or the last seek.
    Waiting,
    /// Sound was interrupted: nothing was ready in time. Counted in [`Stats::underruns`](crate::Stats::underruns).
    Starved,
    /// The next sample is in this format. The next call goes on with it.
    SpecChanged(PcmSpec),
    /// The stream is over. A seek goes on.
    Ended,
    /// The stream failed; [`PcmReader::error`] says why. A seek tries again.
    Failed,
}

/// What could be taken off the ring.
enum Taken {
    Samples(usize),
    Spec(PcmSpec),
    /// The buffer does not hold a frame.
    TooSmall,
    Nothing,
    End,
    Failed,
}

impl PcmReader {
    /// `spec` is the format, if it is fixed.
    pub(crate) fn new(ring: RingReader, shared: Arc<Shared>, spec: Option<PcmSpec>) -> Self {
        Self { ring, shared, epoch: 0, spec, has_news: false, anchor: (Duration::ZERO, 0), was_heard: false }
    }

    /// The format of the next sample; `None` until the first one is known.
    #[must_use]
    pub fn spec(&self) -> Option<PcmSpec> {
        self.spec
    }

    /// Writes samples to the front of `out` and blocks until there are some, also for as long as playback is paused.
    /// Gives what is there, which may be less than `out` holds.
    ///
    /// Must not be called where blocking is not allowed; sound callbacks [`fill`](PcmReader::fill).
    ///
    /// # Errors
    /// The stream cannot go on; a seek tries again.
    pub fn read(&mut self, out: &mut [f32]) -> Result<Pcm, DecodeError> {
        loop {
            let seen = self.shared.news.count();
            // Asked before the ring is: what the worker wrote last is still read.
            let is_abandoned = self.ring.is_abandoned();
            if !self.shared.is_paused() {
                let taken = self.take(out);
                self.make_room();
                match taken {
                    Taken::Samples(count) => return Ok(Pcm::Samples(count)),
                    Taken::TooSmall => return Ok(Pcm::Samples(0)),
                    Taken::Spec(spec) => return Ok(Pcm::SpecChanged(spec)),
                    Taken::End => return Ok(Pcm::End),
                    Taken::Failed => return Err(self.failure()),
                    Taken::Nothing if is_abandoned => return Err(self.failure()),
                    Taken::Nothing => {}
                }
            }
            self.shared.news.wait(seen);
        }
    }

    /// Fills `out` with what is ready, and the rest with silence. Never blocks, locks or allocates: made for the
    /// callback of a sound device.
    pub fn fill(&mut self, out: &mut [f32]) -> Fill {
        if self.shared.is_paused() {
            out.fill(0.0);
            return Fill { samples: 0, state: FillState::Paused };
        }
        let is_abandoned = self.ring.is_abandoned();
        let mut samples = 0;
        let state = loop {
            if samples == out.len() {
                break FillState::Playing;
            }
            match self.take(&mut out[samples..]) {
                Taken::Samples(count) => samples += count,
                Taken::TooSmall => break FillState::Playing,
                Taken::Spec(spec) => break FillState::SpecChanged(spec),
                Taken::End => break FillState::Ended,
                Taken::Failed => break FillState::Failed,
                Taken::Nothing if is_abandoned => break FillState::Failed,
                Taken::Nothing if self.was_heard && !self.is_stale() => break FillState::Starved,
                Taken::Nothing => break FillState::Waiting,
            }
        };
        out[samples..].fill(0.0);
        if state == FillState::Starved {
            let width = self.spec.map_or(1, PcmSpec::width);
            self.shared.underruns.fetch_add(1, Ordering::Relaxed);
            self.shared.padded.fetch_add(((out.len() - samples) / width) as u64, Ordering::Relaxed);
        }
        self.make_room();
        Fill { samples, state }
    }

    /// Why the stream failed, if it did. Locks; not for sound callbacks.
    #[must_use]
    pub fn error(&self) -> Option<DecodeError> {
        let is_lost = self.ring.is_abandoned() && self.ring.filled() == 0;
        self.shared.error().or_else(|| is_lost.then(|| DecodeError::new(DecodeErrorKind::Worker)))
    }

    /// Presentation time of the next sample; after a seek, its target.
    #[must_use]
    pub fn position(&self) -> Duration {
        if self.is_stale() { self.shared.position() } else { self.reached() }
    }

    /// Presentation time of what is in front.
    fn reached(&self) -> Duration {
        let (at, frames) = self.anchor;
        self.spec.map_or(at, |spec| at.saturating_add(spec.duration_of(frames)))
    }

    fn failure(&self) -> DecodeError {
        self.shared.error().unwrap_or(DecodeError::new(DecodeErrorKind::Worker))
    }

    /// Whether what is in front belongs to a place that was left.
    fn is_stale(&self) -> bool {
        self.epoch < self.shared.epoch()
    }

    fn take(&mut self, out: &mut [f32]) -> Taken {
        loop {
            match self.ring.front() {
                Front::Nothing => return Taken::Nothing,
                Front::Samples(count) if self.is_stale() => self.ring.skip(count),
                Front::Samples(ready) => return self.take_samples(ready, out),
                Front::Mark(Mark::End { epoch }) if epoch == self.shared.epoch() => return Taken::End,
                Front::Mark(Mark::Failed { epoch }) if epoch == self.shared.epoch() => return Taken::Failed,
                Front::Mark(mark) => {
                    self.ring.take_mark();
                    self.heed(mark);
                }
            }
        }
    }

    fn take_samples(&mut self, ready: usize, out: &mut [f32]) -> Taken {
        let Some(spec) = self.spec else { return Taken::Nothing };
        if std::mem::take(&mut self.has_news) {
            return Taken::Spec(spec);
        }
        let count = ready.min(out.len());
        let count = count - count % spec.width();
        if count == 0 {
            return Taken::TooSmall;
        }
        self.ring.copy(&mut out[..count]);
        self.anchor.1 += (count / spec.width()) as u64;
        self.was_heard = true;
        self.shared.set_position(self.epoch, self.reached());
        Taken::Samples(count)
    }

    fn heed(&mut self, mark: Mark) {
        match mark {
            Mark::Spec(spec) => {
                self.anchor = (self.reached(), 0);
                self.has_news = self.spec.replace(spec) != Some(spec) || self.has_news;
            }
            Mark::Time { epoch, at } => {
                self.was_heard &= self.epoch == epoch;
                self.epoch = epoch;
                self.anchor = (at, 0);
            }
            // Of a place that was left.
            Mark::End { .. } | Mark::Failed { .. } => {}
        }
    }

    /// Rings if the worker waits for room and there is a good portion of it.
    fn make_room(&self) {
        let filled = self.ring.filled();
        self.shared.buffered.store(filled as u64, Ordering::Relaxed);
        // Pairs with the fence of the worker: either it sees the room, or we see its wish.
        fence(Ordering::SeqCst);
        if filled <= self.ring.capacity() / 2 && self.shared.wants_room.swap(false, Ordering::SeqCst) {
            self.shared.bell.ring();
        }
    }
}

impl Drop for PcmReader {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for PcmReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcmReader")
            .field("spec", &self.spec)
            .field("position", &self.position())
            .field("buffered", &self.ring.filled())
            .finish_non_exhaustive()
    }
}
