use std::time::Duration;

use crate::PcmSpec;

/// How sound is decoded and handed over.
#[derive(Clone, Debug)]
pub struct DecodeOptions {
    /// The format that comes out. Default: [`Output::Stream`].
    pub output: Output,
    /// Decoded sound kept ahead of the reader, counted at the fixed output format, else at 48 kHz stereo. Memory grows
    /// with it: 384 kB a second at 48 kHz stereo. Default: 500 ms.
    pub buffer: Duration,
    /// Where to begin; `None`: where the feed begins. Default: `None`.
    pub start: Option<Duration>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { output: Output::Stream, buffer: Duration::from_millis(500), start: None }
    }
}

/// The format that comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Output {
    /// Whatever the stream has, bit by bit as decoded. Where that changes the reader meets a boundary, the first one in
    /// front of the first sample.
    #[default]
    Stream,
    /// Whatever the stream begins with; where that changes, it is mixed and resampled to how it began. The reader meets one
    /// boundary, in front of the first sample.
    First,
    /// Always this one: other sound is mixed and resampled, and there are no boundaries.
    Fixed(PcmSpec),
}
