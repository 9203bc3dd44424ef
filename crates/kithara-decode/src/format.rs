//! What sound is made of: codecs, formats of packets, formats of samples.

use std::{fmt, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use kithara_demux::{
    Timestamp,
    track::{AacExtension, Codec, Track},
};
use symphonia::core::codecs::audio::{AudioCodecParameters, well_known as id};

/// The format of decoded samples: 32-bit floats, nominally within -1 and 1, channels interleaved in the order of WAVE
/// files (left, right, centre, low frequencies, back left, back right, side left, side right).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PcmSpec {
    /// Frames (one sample of each channel) per second.
    pub sample_rate: u32,
    /// Samples per frame.
    pub channels: u16,
}

impl PcmSpec {
    /// How long so many frames last, rounded down to a nanosecond.
    #[must_use]
    pub fn duration_of(self, frames: u64) -> Duration {
        let rate = u64::from(self.sample_rate.max(1));
        let nanos = u128::from(frames % rate) * NANOS / u128::from(rate);
        // Below a second, so it fits.
        Duration::new(frames / rate, nanos as u32)
    }

    pub(crate) fn width(self) -> usize {
        usize::from(self.channels.max(1))
    }
}

impl fmt::Display for PcmSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz, {} channels", self.sample_rate, self.channels)
    }
}

/// Codecs of sound that this build does not decode, by their RFC 6381 names or the front parts of those up to a dot: Opus,
/// Dolby, DTS, MPEG-H, USAC, IAMF, the profiles of AAC for calls and broadcasts, and HE-AAC without the feature `he-aac`.
/// A name that is not among them may still turn out to be too much.
pub const UNDECODABLE: &[&str] = if cfg!(feature = "he-aac") { LISTED.split_at(OF_HE_AAC).1 } else { LISTED };

/// So many of the names are decoded by the feature `he-aac`.
const OF_HE_AAC: usize = 5;

const LISTED: &[&str] = &[
    // Band replication, parametric stereo, and other profiles than low complexity.
    "mp4a.40.5",
    "mp4a.40.29",
    "mp4a.40.1",
    "mp4a.40.3",
    "mp4a.40.4",
    "opus",
    "mp4a.ad",
    "ac-3",
    "ec-3",
    "ec+3",
    "ac-4",
    "mp4a.a5",
    "mp4a.a6",
    "mp4a.a9",
    "mp4a.ae",
    "mp4a.b2",
    "mp4a.dd",
    "dtsc",
    "dtse",
    "dtsh",
    "dtsl",
    "dtsx",
    "mha1",
    "mha2",
    "mhm1",
    "mhm2",
    "mp4a.40.23",
    "mp4a.40.36",
    "mp4a.40.39",
    "mp4a.40.42",
    "iamf",
    "mlpa",
];

/// A codec of sound, told apart as far as decoders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SoundCodec {
    /// AAC without band replication.
    Aac,
    /// AAC in LOAS/LATM, not decoded.
    AacLatm,
    /// HE-AAC: AAC with band replication. Decoded with the feature `he-aac`.
    HeAac,
    /// HE-AAC v2: with parametric stereo as well. Decoded with the feature `he-aac`.
    HeAacV2,
    /// MPEG audio layer I.
    Mp1,
    /// MPEG audio layer II.
    Mp2,
    /// MPEG audio layer III.
    Mp3,
    /// FLAC.
    Flac,
    /// Apple Lossless.
    Alac,
    /// Vorbis.
    Vorbis,
    /// PCM of any kind.
    Pcm,
    /// Opus, not decoded.
    Opus,
    /// AC-3, not decoded.
    Ac3,
    /// Enhanced AC-3, not decoded.
    Eac3,
    /// Something else, not decoded.
    Other,
}

impl SoundCodec {
    fn of_track(codec: Codec, extension: AacExtension) -> Self {
        match (codec, extension) {
            (Codec::Aac, AacExtension::Sbr) => Self::HeAac,
            (Codec::Aac, AacExtension::SbrAndPs) => Self::HeAacV2,
            (Codec::Aac, _) => Self::Aac,
            (Codec::AacLatm, _) => Self::AacLatm,
            (Codec::Mp1, _) => Self::Mp1,
            (Codec::Mp2, _) => Self::Mp2,
            (Codec::Mp3, _) => Self::Mp3,
            (Codec::Flac, _) => Self::Flac,
            (Codec::Alac, _) => Self::Alac,
            (Codec::Opus, _) => Self::Opus,
            (Codec::Ac3, _) => Self::Ac3,
            (Codec::Eac3, _) => Self::Eac3,
            _ => Self::Other,
        }
    }

    pub(crate) fn of_demux(codec: Codec) -> Self {
        Self::of_track(codec, AacExtension::Absent)
    }

    pub(crate) fn of_params(params: &AudioCodecParameters) -> Self {
        match params.codec {
            id::CODEC_ID_AAC => Self::Aac,
            id::CODEC_ID_MP1 => Self::Mp1,
            id::CODEC_ID_MP2 => Self::Mp2,
            id::CODEC_ID_MP3 => Self::Mp3,
            id::CODEC_ID_FLAC => Self::Flac,
            id::CODEC_ID_ALAC => Self::Alac,
            id::CODEC_ID_VORBIS => Self::Vorbis,
            id::CODEC_ID_OPUS => Self::Opus,
            id::CODEC_ID_AC3 => Self::Ac3,
            id::CODEC_ID_EAC3 => Self::Eac3,
            codec if (id::CODEC_ID_PCM_S32LE..=id::CODEC_ID_PCM_MULAW).contains(&codec) => Self::Pcm,
            _ => Self::Other,
        }
    }

    /// Whether there is a decoder for it, whatever else is said of it.
    const fn is_decoded(self) -> bool {
        match self {
            Self::HeAac | Self::HeAacV2 => cfg!(feature = "he-aac"),
            Self::Aac | Self::Mp1 | Self::Mp2 | Self::Mp3 | Self::Flac | Self::Alac | Self::Vorbis | Self::Pcm => true,
            Self::AacLatm | Self::Opus | Self::Ac3 | Self::Eac3 | Self::Other => false,
        }
    }

    /// How much must be decoded in front of a place until what comes out does not depend on where decoding began.
    pub(crate) const fn settling(self) -> Duration {
        match self {
            // Two frames of 1024 at 22.05 kHz: transforms overlap by one frame.
            Self::Aac | Self::AacLatm => Duration::from_millis(100),
            // Band replication looks back further, and its headers come only now and then.
            Self::HeAac | Self::HeAacV2 => Duration::from_millis(500),
            // Frames borrow up to 255 bytes (MPEG-2) from those before them, which may have eleven of their own each: 24
            // frames of 24 milliseconds at 8 kbit/s.
            Self::Mp1 | Self::Mp2 | Self::Mp3 => Duration::from_millis(650),
            // Frames overlap. More of it: the reader of Ogg takes padding for sound when it lands on the last page, so it
            // must land before that one.
            Self::Vorbis => Duration::from_secs(2),
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for SoundCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aac => "AAC",
            Self::AacLatm => "AAC in LATM",
            Self::HeAac => "HE-AAC",
            Self::HeAacV2 => "HE-AAC v2",
            Self::Mp1 => "MP1",
            Self::Mp2 => "MP2",
            Self::Mp3 => "MP3",
            Self::Flac => "FLAC",
            Self::Alac => "ALAC",
            Self::Vorbis => "Vorbis",
            Self::Pcm => "PCM",
            Self::Opus => "Opus",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Other => "a codec that is not known",
        })
    }
}

/// What the packets of a track are, as far as a decoder cares.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    pub(crate) codec: SoundCodec,
    /// Whether packets must be looked into to tell AAC from HE-AAC.
    pub(crate) may_be_he_aac: bool,
    /// Rate at which trims are counted; 0 if only the packets tell.
    pub(crate) sample_rate: u32,
    /// Channels as signalled; 0 if only the packets tell.
    pub(crate) channels: u16,
    pub(crate) params: AudioCodecParameters,
}

impl Format {
    pub(crate) fn of_track(track: &Track) -> Self {
        let extension = track.audio.map_or(AacExtension::Absent, |audio| audio.extension);
        let mut params = AudioCodecParameters::new();
        params.for_codec(match track.codec {
            Codec::Aac => id::CODEC_ID_AAC,
            Codec::Mp1 => id::CODEC_ID_MP1,
            Codec::Mp2 => id::CODEC_ID_MP2,
            Codec::Mp3 => id::CODEC_ID_MP3,
            Codec::Flac => id::CODEC_ID_FLAC,
            Codec::Alac => id::CODEC_ID_ALAC,
            _ => Default::default(),
        });
        if !track.config.is_empty() {
            params.with_extra_data(Box::from(&track.config[..]));
        }
        if let Some(audio) = track.audio {
            params.with_sample_rate(audio.sample_rate);
        }
        Self {
            codec: SoundCodec::of_track(track.codec, extension),
            may_be_he_aac: extension == AacExtension::Possible,
            sample_rate: track.audio.map_or(0, |audio| audio.sample_rate),
            channels: track.audio.map_or(0, |audio| audio.channels),
            params,
        }
    }

    pub(crate) fn of_params(params: &AudioCodecParameters) -> Self {
        /// The highest core rate at which nothing said may still mean band replication.
        const MAX_IMPLICIT_SBR_RATE: u32 = 24_000;
        let codec = SoundCodec::of_params(params);
        let sample_rate = params.sample_rate.unwrap_or(0);
        let may_be_he_aac = codec == SoundCodec::Aac && sample_rate <= MAX_IMPLICIT_SBR_RATE;
        let channels = params.channels.as_ref().map_or(0, |channels| u16::try_from(channels.count()).unwrap_or(0));
        Self { codec, may_be_he_aac, sample_rate, channels, params: params.clone() }
    }

    /// Whether there is a decoder for it, as far as can be told so far.
    pub(crate) fn is_decoded(&self) -> bool {
        let is_too_wide = self.codec == SoundCodec::Aac && self.channels > 2 && cfg!(not(feature = "he-aac"));
        self.codec.is_decoded() && !is_too_wide
    }

    /// Whether a decoder made for `other` decodes this as well, and goes on without a seam.
    pub(crate) fn is_compatible(&self, other: &Self) -> bool {
        let key = |format: &Self| (format.codec, format.sample_rate, format.channels, format.params.codec);
        key(self) == key(other) && self.config() == other.config()
    }

    /// What the decoder was configured with, without what makes no difference to it.
    fn config(&self) -> Option<&[u8]> {
        let config = self.params.extra_data.as_deref()?;
        match (self.codec, config) {
            // Object type, rate index and channel configuration of AAC and three flags; what follows says again that
            // there is no band replication, unless one of the indices says that something else follows.
            (SoundCodec::Aac, [first, second, ..]) => {
                let rate_index = (first & 7) << 1 | second >> 7;
                let channel_config = (second >> 3) & 15;
                let is_plain = first >> 3 != 31 && rate_index != 15 && channel_config != 0;
                Some(if is_plain { &config[..2] } else { config })
            }
            _ => Some(config),
        }
    }
}

/// One coded packet on the presentation timeline.
#[derive(Clone, Debug)]
pub(crate) struct CodedPacket {
    /// Presentation time of its first sample, trimmed ones included.
    pub(crate) pts: Timestamp,
    /// How long it lasts, trimmed samples included, in the clock of `pts`; 0 if that is not known.
    pub(crate) duration: u64,
    /// Frames not to be heard at its start and end, at [`Format::sample_rate`].
    pub(crate) trim: (u32, u32),
    /// Whether what is decoded beyond `duration` is padding. Elsewhere durations are rounded, or of the frame before.
    pub(crate) is_duration_exact: bool,
    pub(crate) data: Bytes,
}

pub(crate) const NANOS: u128 = 1_000_000_000;

/// Ticks of a nanosecond, the clock of `Duration`s.
pub(crate) const NANOSECONDS: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("a billion is not zero");

/// A duration as an instant of the presentation timeline.
pub(crate) fn timestamp(time: Duration) -> Timestamp {
    Timestamp::new(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX), NANOSECONDS)
}
