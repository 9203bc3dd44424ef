//! Packets to PCM: from units or a file to exact samples.
//!
//! This crate turns a [`Feed`](kithara_stream::Feed) into sound. It never sees a URL: the feed's bytes may come from a
//! network, a cache or memory, and may still be on their way. Packets are taken out of units by `kithara-demux`, out of
//! progressive files by symphonia's container readers, and decoded by symphonia's codecs.
//!
//! # Words
//!
//! - A [`Player`] is the control half: seek, pause, position, events. A [`PcmReader`] is the data half:
//!   [`read`](PcmReader::read) blocks, [`fill`](PcmReader::fill) never blocks, locks or allocates and belongs into the
//!   callback of a sound device.
//! - A *frame* is one sample of each channel. Positions are counted in frames and stated as presentation time.
//! - A [`PcmSpec`] is a rate and a channel count. It is fixed by [`Output::Fixed`], and other sound is mixed and
//!   resampled to it; or it follows the stream, and the reader meets a boundary where it changes.
//!
//! # How it flows
//!
//! ```text
//! Feed --units--> demuxer --.                        .--> mix, resample --> ring --> PcmReader
//!      `--bytes-> reader ---`--> packets --> codec --+                   (wait-free)
//!                                                    `- placed on the presentation timeline, trimmed, cut
//! ```
//!
//! One thread per stream does all of it up to the ring and sleeps while the ring is full or the feed has nothing.
//!
//! # What is promised
//!
//! - **Exact.** Every sample has its presentation time. A seek lands on the very sample: decoding begins far enough before
//!   the target for the codec to settle, and what lies before it is not heard. Samples an encoder added at the ends are not
//!   heard where the container says so (edit list, iTunSMPB, LAME).
//! - **Seamless.** The decoder is kept while runs are compatible, and nothing is heard twice where they meet, so how many
//!   samples come out does not depend on how often the feed switched.
//! - **Robust.** A packet that cannot be decoded is silence of its length. Should a codec panic, the stream fails with an
//!   error; no reader waits for ever.
//!
//! Whoever decodes with symphonia himself takes units as packets through a [`UnitReader`], a symphonia `FormatReader`.
//!
//! # Codecs
//!
//! AAC (low complexity, up to two channels), MP1, MP2, MP3, FLAC, ALAC, Vorbis and PCM. HE-AAC, v1 and v2, is recognised
//! even where only its packets tell, and refused with an error that names it; the feature `he-aac` decodes it, and AAC of
//! other profiles and channel counts as well. Opus, AC-3 and E-AC-3 are refused by name.
//!
//! # Example
//!
//! ```
//! use kithara_decode::{DecodeOptions, Pcm, PcmSpec, Player};
//! use kithara_stream::{BytesSource, Feed};
//!
//! # fn main() -> Result<(), kithara_decode::DecodeError> {
//! // One second of 8 kHz mono, 16 bits, as a WAV file.
//! let mut wav = b"RIFF\xA4\x3E\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1F\0\0\x80\x3E\0\0\x02\0\x10\0data\x80\x3E\0\0".to_vec();
//! wav.extend((0..8000_i16).flat_map(i16::to_le_bytes));
//!
//! let feed = Feed::Bytes(Box::new(BytesSource::from(wav)));
//! let (player, mut reader) = Player::start(feed, &DecodeOptions::default())?;
//! player.seek(std::time::Duration::from_millis(500));
//!
//! let mut buffer = [0.0; 256];
//! assert_eq!(reader.read(&mut buffer)?, Pcm::SpecChanged(PcmSpec { sample_rate: 8000, channels: 1 }));
//! assert_eq!(reader.read(&mut buffer)?, Pcm::Samples(256));
//! assert_eq!(buffer[0], 4000.0 / 32_768.0);
//! # Ok(()) }
//! ```

mod adts_blocks;
mod clock;
mod codec;
mod decoder;
mod edit;
mod error;
mod event;
mod file;
mod format;
#[cfg(feature = "he-aac")]
mod he_aac;
mod input;
mod mix;
mod open_file;
mod options;
mod output;
pub mod pcm;
mod player;
mod reader;
mod resample;
mod ring;
mod sbr;
mod shared;
mod source_reader;
mod unit_reader;
mod units;
mod wake;
mod worker;

/// What units become packets with, for those who also want what is not decoded: subtitles and timed metadata.
pub use kithara_demux as demux;

pub use error::{DecodeError, DecodeErrorKind};
pub use event::Event;
pub use format::{PcmSpec, SoundCodec, UNDECODABLE};
pub use options::{DecodeOptions, Output};
pub use player::{Player, Stats};
pub use reader::{Fill, FillState, Pcm, PcmReader};
pub use unit_reader::UnitReader;

// The example of the README is compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
