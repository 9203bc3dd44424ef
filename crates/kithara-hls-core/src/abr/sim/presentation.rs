//! What a simulated session plays.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::{
    BitRate,
    abr::{LadderRung, Rung},
};

/// A presentation of equally long segments, with the size of every one of them on every rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    segment_duration: Duration,
    ladder: Vec<LadderRung>,
    sizes: Vec<Vec<u64>>,
}

/// Why a value is not a presentation. Reading it again does not help.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PresentationError {
    /// Not the expected object.
    #[error("not a ladder of `segment_duration_ms`, `bitrates_kbps`, `segment_sizes_bits`")]
    Shape(#[from] serde_json::Error),
    /// No segments, no rungs, no time, or rates that do not rise.
    #[error("a ladder needs a duration, segments, and rates that rise from rung to rung")]
    Ladder,
    /// A segment that has not one size per rung, or an empty one.
    #[error("segment {index} has not one size for each rung")]
    Sizes {
        /// Counted from zero.
        index: usize,
    },
}

#[derive(Deserialize)]
struct Document {
    segment_duration_ms: u64,
    bitrates_kbps: Vec<u64>,
    segment_sizes_bits: Vec<Vec<u64>>,
}

impl Presentation {
    /// Reads a JSON object of `segment_duration_ms`, `bitrates_kbps` (rising) and `segment_sizes_bits` (one row per
    /// segment, one size per rung).
    ///
    /// # Errors
    /// [`PresentationError`] says which of these is missing or wrong.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, PresentationError> {
        let document = Document::deserialize(value)?;
        let rates = document.bitrates_kbps.into_iter().map(BitRate::from_kbps).collect();
        Self::new(Duration::from_millis(document.segment_duration_ms), rates, document.segment_sizes_bits)
    }

    /// A presentation of segments of `segment_duration`, rungs of `rates`, and `sizes[segment][rung]` in bits.
    ///
    /// # Errors
    /// As [`Presentation::from_json`].
    pub fn new(
        segment_duration: Duration,
        rates: Vec<BitRate>,
        sizes: Vec<Vec<u64>>,
    ) -> Result<Self, PresentationError> {
        let rise = rates.windows(2).all(|pair| pair[0] < pair[1]);
        if segment_duration.is_zero()
            || rates.first().is_none_or(|rate| *rate == BitRate::ZERO)
            || !rise
            || sizes.is_empty()
        {
            return Err(PresentationError::Ladder);
        }
        if let Some(index) = sizes.iter().position(|row| row.len() != rates.len() || row.contains(&0)) {
            return Err(PresentationError::Sizes { index });
        }
        Ok(Self { segment_duration, ladder: rates.into_iter().map(LadderRung::new).collect(), sizes })
    }

    /// `segments` segments of exactly the nominal size.
    ///
    /// # Errors
    /// As [`Presentation::from_json`].
    pub fn constant(
        segment_duration: Duration,
        rates: Vec<BitRate>,
        segments: usize,
    ) -> Result<Self, PresentationError> {
        let row = rates.iter().map(|rate| (rate.as_f64() * segment_duration.as_secs_f64()).round() as u64).collect();
        Self::new(segment_duration, rates, vec![row; segments])
    }

    /// The length of every segment.
    pub fn segment_duration(&self) -> Duration {
        self.segment_duration
    }

    /// The rungs, lowest first.
    pub fn ladder(&self) -> &[LadderRung] {
        &self.ladder
    }

    /// The number of segments; at least one.
    pub fn segments(&self) -> usize {
        self.sizes.len()
    }

    /// The size of a segment in bits.
    pub(super) fn bits(&self, segment: usize, rung: Rung) -> f64 {
        self.sizes[segment][rung.0] as f64
    }
}
