use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use kithara_stream::Feed;
use tokio::sync::broadcast;

use crate::{
    DecodeError, DecodeOptions, Event, Output, PcmReader, PcmSpec, SoundCodec,
    decoder::{Decoder, RATES},
    error::DecodeErrorKind,
    ring::ring,
    shared::Shared,
    worker::{LastWord, Worker},
};

/// The control half of a stream of sound. Clones control the same stream.
#[derive(Clone)]
pub struct Player {
    shared: Arc<Shared>,
}

/// How a stream fares. A copy; nothing in it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Presentation time of the next sample the reader gets.
    pub position: Duration,
    /// Decoded sound that waits for the reader.
    pub buffered: Duration,
    /// Codec of what was decoded last.
    pub codec: Option<SoundCodec>,
    /// Format of what was decoded last, before mixing and resampling.
    pub decoded: Option<PcmSpec>,
    /// Packets decoded, those included that were decoded for a seek and not heard.
    pub packets: u64,
    /// Packets that could not be decoded, and places where the container was damaged or sound was missing. Silence stood in
    /// for them, where no more than a second was missing.
    pub damaged: u64,
    /// Decoders made. Stays as it is where runs are compatible.
    pub decoders: u64,
    /// Calls of [`PcmReader::fill`] that had to pad in the middle of playback.
    pub underruns: u64,
    /// Frames of silence they padded with.
    pub padded: u64,
}

/// Channels a frame can have at most. No codec here gives more than a few.
const MAX_CHANNELS: u16 = 64;

/// Samples the ring holds at least: a frame of the widest sound, many times over.
const MIN_RING: usize = 8192;

/// Samples the ring holds at most: 64 MiB.
const MAX_RING: usize = 16 << 20;

impl Player {
    /// Starts to decode a feed, on a thread of its own. What is wrong with the feed is told by the reader.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Output`] if the rate asked for lies outside of 1 to 768 kHz, or the channels outside of 1 to 64;
    /// [`DecodeErrorKind::Worker`] if the system refuses a thread.
    pub fn start(feed: Feed, options: &DecodeOptions) -> Result<(Self, PcmReader), DecodeError> {
        let spec = match options.output {
            Output::Fixed(spec)
                if !RATES.contains(&spec.sample_rate) || !(1..=MAX_CHANNELS).contains(&spec.channels) =>
            {
                return Err(DecodeError::new(DecodeErrorKind::Output));
            }
            Output::Fixed(spec) => Some(spec),
            Output::Stream | Output::First => None,
        };
        let (writer, reader) = ring(ring_capacity(spec, options.buffer));
        let shared = Arc::new(Shared::new(spec));
        let decoder = Decoder::new(feed, options.output, &shared.bell);
        let worker = Worker::new(decoder, writer, Arc::clone(&shared), spec);
        if let Some(start) = options.start {
            shared.ask_seek(start);
        }
        let last_word = LastWord(Arc::clone(&shared));
        let work = move || {
            let _last_word = last_word;
            worker.run();
        };
        thread::Builder::new()
            .name("kithara-decode".into())
            .spawn(work)
            .map_err(|error| DecodeError::because(DecodeErrorKind::Worker, error))?;
        let reader = PcmReader::new(reader, Arc::clone(&shared), spec);
        Ok((Self { shared }, reader))
    }

    /// Goes to `time`: the next sample the reader gets is the one presented then, exact to the sample. What was decoded
    /// before is dropped. Does not block; beyond the end the stream ends.
    pub fn seek(&self, time: Duration) {
        self.shared.ask_seek(time);
    }

    /// Lets [`PcmReader::fill`] give silence and [`PcmReader::read`] block, until [`resume`](Player::resume). What is
    /// decoded ahead stays.
    pub fn pause(&self) {
        self.shared.set_paused(true);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.shared.set_paused(false);
    }

    /// Whether playback is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused()
    }

    /// Whether the reader is gone, so that nothing will be heard any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.is_closed()
    }

    /// Presentation time of the next sample the reader gets; after a seek, its target.
    #[must_use]
    pub fn position(&self) -> Duration {
        self.shared.position()
    }

    /// How long the presentation is. `None` until its head was read, where the file does not say, and for units, whose
    /// playlist knows.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.shared.duration()
    }

    /// The format that comes out; `None` until the first sample, unless it is fixed.
    #[must_use]
    pub fn spec(&self) -> Option<PcmSpec> {
        self.shared.spec()
    }

    /// What happens from now on. A listener that lags misses the oldest and is told how many.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// How the stream fares right now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let tally = shared.tally();
        let buffered = shared.buffered.load(Ordering::Relaxed);
        let spec = shared.spec();
        Stats {
            position: shared.position(),
            buffered: spec.map_or(Duration::ZERO, |spec| spec.duration_of(buffered / spec.width() as u64)),
            codec: tally.codec,
            decoded: tally.decoded,
            packets: tally.packets,
            damaged: tally.damaged,
            decoders: tally.decoders,
            underruns: shared.underruns.load(Ordering::Relaxed),
            padded: shared.padded.load(Ordering::Relaxed),
        }
    }
}

/// Samples that the ring must hold to keep `buffer` ahead.
fn ring_capacity(spec: Option<PcmSpec>, buffer: Duration) -> usize {
    let spec = spec.unwrap_or(PcmSpec { sample_rate: 48_000, channels: 2 });
    let samples = u128::from(spec.sample_rate) * u128::from(spec.channels) * buffer.as_millis() / 1000;
    usize::try_from(samples).unwrap_or(MAX_RING).clamp(MIN_RING, MAX_RING)
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
