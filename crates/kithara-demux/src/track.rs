//! Tracks: what the streams of a run are and what a decoder must know of them.

use std::fmt;
use std::num::NonZeroU32;

use bytes::Bytes;

/// Names a track within its run: the PID in MPEG-TS, the track id in fMP4, 0 where a format has one track only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

/// One elementary stream of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Track {
    /// Its name in this run.
    pub id: TrackId,
    /// What it is for.
    pub kind: TrackKind,
    /// What its packets are coded in.
    pub codec: Codec,
    /// Whether packets are delivered, and if not, why.
    pub access: Access,
    /// Ticks per second of all times of this track.
    pub timescale: NonZeroU32,
    /// What the decoder must be given before the first packet, in the form the documentation of [`Codec`] states. Empty where the packets say
    /// it all, and until it is known.
    pub config: Bytes,
    /// The format of sound. `None` for other kinds, and until it is known.
    pub audio: Option<AudioFormat>,
    /// The size of pictures. `None` for other kinds, and where only the packets tell (MPEG-TS).
    pub video: Option<VideoFormat>,
    /// Language as the container states it: three letters of ISO 639-2, or a BCP 47 tag.
    pub language: Option<String>,
    /// Samples that an encoder added at both ends, where the container says so. The packets' [`Trim`](crate::output::Trim) already counts
    /// them where they apply.
    pub gapless: Option<Gapless>,
}

impl Track {
    pub(crate) fn new(id: TrackId, codec: Codec, timescale: NonZeroU32) -> Self {
        let access = if codec.is_supported() { Access::Clear } else { Access::Unsupported };
        Self {
            id,
            kind: codec.kind(),
            codec,
            access,
            timescale,
            config: Bytes::new(),
            audio: None,
            video: None,
            language: None,
            gapless: None,
        }
    }
}

/// What a track is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Subtitles and captions.
    Text,
    /// Timed metadata.
    Metadata,
    /// Something this crate does not know.
    Other,
}

/// Whether the packets of a track are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// They are.
    Clear,
    /// They are not: samples are encrypted inside the container (SAMPLE-AES, Common Encryption, transport scrambling).
    Encrypted,
    /// They are not: this crate does not split this codec into packets.
    Unsupported,
}

/// What the packets of a track are coded in, with the form of a packet and of [`Track::config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// AAC of any profile. Packet: one raw access unit without ADTS header. Config: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
    Aac,
    /// AAC in LOAS/LATM. Recognised, not delivered.
    AacLatm,
    /// MPEG audio layer I. Packet: one frame with its header. No config.
    Mp1,
    /// MPEG audio layer II. Packet: one frame with its header. No config.
    Mp2,
    /// MPEG audio layer III. Packet: one frame with its header. No config.
    Mp3,
    /// AC-3. Packet: one sync frame. Config: the `dac3` payload in fMP4, else none.
    Ac3,
    /// Enhanced AC-3. Packet: one independent frame and the dependent ones that belong to it. Config: the `dec3` payload in fMP4, else none.
    Eac3,
    /// FLAC. Packet: one frame. Config: the 34 bytes of STREAMINFO.
    Flac,
    /// Apple Lossless. Packet: one frame. Config: ALACSpecificConfig, the magic cookie.
    Alac,
    /// Opus. Packet: one Opus packet. Config: the identification header `OpusHead` (RFC 7845 section 5.1).
    Opus,
    /// H.264. fMP4: length-prefixed NAL units, config is `avcC`. MPEG-TS: Annex B with parameter sets inside, no config.
    H264,
    /// HEVC. fMP4: length-prefixed NAL units, config is `hvcC`. MPEG-TS: Annex B with parameter sets inside, no config.
    Hevc,
    /// AV1. Packet: one temporal unit. Config: `av1C`.
    Av1,
    /// VP9. Packet: one frame. Config: `vpcC`.
    Vp9,
    /// WebVTT. Delivered as cues. Config: the header and the STYLE and REGION blocks, as text.
    WebVtt,
    /// TTML or IMSC. Packet: one document.
    Ttml,
    /// ID3 tags. Delivered as metadata.
    Id3,
    /// Something else, named by the four characters of its sample entry or of its registration descriptor. Not delivered.
    Other([u8; 4]),
    /// Something else in MPEG-TS, named by its stream type. Not delivered.
    StreamType(u8),
}

impl Codec {
    /// What streams of this codec are for.
    #[must_use]
    pub const fn kind(self) -> TrackKind {
        match self {
            Self::Aac | Self::AacLatm | Self::Mp1 | Self::Mp2 | Self::Mp3 | Self::Ac3 | Self::Eac3 => TrackKind::Audio,
            Self::Flac | Self::Alac | Self::Opus => TrackKind::Audio,
            Self::H264 | Self::Hevc | Self::Av1 | Self::Vp9 => TrackKind::Video,
            Self::WebVtt | Self::Ttml => TrackKind::Text,
            Self::Id3 => TrackKind::Metadata,
            Self::Other(_) | Self::StreamType(_) => TrackKind::Other,
        }
    }

    /// Whether this crate delivers packets, cues or metadata of this codec.
    #[must_use]
    pub const fn is_supported(self) -> bool {
        !matches!(self, Self::AacLatm | Self::Other(_) | Self::StreamType(_))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Aac => "AAC",
            Self::AacLatm => "AAC in LATM",
            Self::Mp1 => "MP1",
            Self::Mp2 => "MP2",
            Self::Mp3 => "MP3",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Flac => "FLAC",
            Self::Alac => "ALAC",
            Self::Opus => "Opus",
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
            Self::WebVtt => "WebVTT",
            Self::Ttml => "TTML",
            Self::Id3 => "ID3",
            Self::Other(name) => return write!(f, "\"{}\"", name.escape_ascii()),
            Self::StreamType(number) => return write!(f, "stream type 0x{number:02x}"),
        };
        f.write_str(name)
    }
}

/// The format of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioFormat {
    /// Samples per second of what a decoder gives, as signalled. See [`AacExtension::Possible`] for when it may give more.
    pub sample_rate: u32,
    /// Channels as signalled; 0 if only the packets tell.
    pub channels: u16,
    /// What is said of spectral band replication; [`AacExtension::Absent`] for everything but AAC.
    pub extension: AacExtension,
}

/// What a stream says of high-efficiency AAC (ISO/IEC 14496-3, 1.6.5 and 1.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AacExtension {
    /// There is no band replication: it is ruled out, or the sample rate is too high for it.
    Absent,
    /// Nothing is said, and the sample rate of 24 kHz or less allows it: the packets may hold band replication (implicit signalling, the only
    /// kind that ADTS knows). A decoder that does not do it plays half the sample rate without an error.
    Possible,
    /// Band replication (HE-AAC).
    Sbr,
    /// Band replication and parametric stereo (HE-AAC v2): a mono stream that decodes to stereo.
    SbrAndPs,
}

/// The size of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VideoFormat {
    /// Pixels across.
    pub width: u16,
    /// Pixels down.
    pub height: u16,
}

/// Samples that an encoder added to fill its frames, as written by LAME and iTunes. Counted in samples per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gapless {
    /// Samples to drop at the start of what a decoder gives, its own delay included.
    pub start: u32,
    /// Samples to drop at the end of what a decoder gives.
    pub end: u32,
    /// Samples between them, where known.
    pub samples: Option<u64>,
}
