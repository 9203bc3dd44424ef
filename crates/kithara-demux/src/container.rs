//! The formats a unit of media can come in.

use std::fmt;

/// The format of a unit, as told by its bytes.
///
/// The first eight are what HLS delivers as segments (RFC 8216 section 3); the rest are recognised so that a progressive file can be told
/// from a playlist or an error page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// MPEG-2 Transport Stream, 188-byte packets (ISO/IEC 13818-1).
    MpegTs,
    /// ISO base media file format (ISO/IEC 14496-12): fragmented MP4, CMAF, an initialization section, or a plain MP4 file; which of
    /// them it is stands in its boxes.
    Fmp4,
    /// AAC in ADTS frames, ID3 tags allowed (packed audio).
    Adts,
    /// MPEG audio frames of layers I to III, ID3 tags allowed (packed audio).
    Mp3,
    /// AC-3 sync frames, ID3 tags allowed (packed audio).
    Ac3,
    /// Enhanced AC-3 sync frames, ID3 tags allowed (packed audio).
    Eac3,
    /// WebVTT text (W3C WebVTT).
    WebVtt,
    /// TTML or IMSC text as a bare XML document.
    Ttml,
    /// Native FLAC, a progressive format.
    Flac,
    /// Ogg (Vorbis, Opus, FLAC), a progressive format.
    Ogg,
    /// RIFF/WAVE, a progressive format.
    Wav,
}

impl Container {
    /// Whether units of this format are bare audio frames that carry their time in an ID3 tag (RFC 8216 section 3.4).
    #[must_use]
    pub const fn is_packed_audio(self) -> bool {
        matches!(self, Self::Adts | Self::Mp3 | Self::Ac3 | Self::Eac3)
    }

    /// Whether HLS delivers segments in this format; the others are whole files.
    #[must_use]
    pub const fn is_segment_format(self) -> bool {
        !matches!(self, Self::Flac | Self::Ogg | Self::Wav)
    }

    /// Whether units of several runs, put one behind the other, are still one valid file of this format and codec.
    ///
    /// True for self-synchronising formats; false where an initialization section or a header rules what follows it.
    #[must_use]
    pub const fn is_concatenable(self) -> bool {
        matches!(self, Self::MpegTs) || self.is_packed_audio()
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MpegTs => "MPEG-TS",
            Self::Fmp4 => "fMP4",
            Self::Adts => "ADTS",
            Self::Mp3 => "MP3",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::WebVtt => "WebVTT",
            Self::Ttml => "TTML",
            Self::Flac => "FLAC",
            Self::Ogg => "Ogg",
            Self::Wav => "WAV",
        })
    }
}
