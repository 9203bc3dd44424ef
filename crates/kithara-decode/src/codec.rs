//! Decoders, all behind one face: a packet in, interleaved floats out.

use std::fmt;

use symphonia::core::{
    codecs::audio::{AudioDecoder, AudioDecoderOptions, well_known::CODEC_ID_VORBIS},
    errors::Error as SymphoniaError,
    packet::PacketRef,
    units,
};

use crate::{
    PcmSpec, SoundCodec,
    error::{DecodeError, DecodeErrorKind},
    format::Format,
};

/// A decoder with its state.
pub(crate) enum Codec {
    Symphonia(Symphonia),
    #[cfg(feature = "he-aac")]
    HeAac(Box<crate::he_aac::HeAac>),
}

/// A decoder of symphonia's registry.
pub(crate) struct Symphonia {
    decoder: Box<dyn AudioDecoder>,
    /// Whether the next packet is the first one since the decoder began, of a codec whose first packet has nothing in front to
    /// overlap with. What comes out of it is no sound, nor as long as its time: Vorbis I, 4.3.8, wants nothing returned.
    is_unsettled: bool,
}

/// A packet that cannot be decoded. The ones behind it may well be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damaged {
    #[error(transparent)]
    Symphonia(#[from] SymphoniaError),
    #[cfg(feature = "he-aac")]
    #[error(transparent)]
    HeAac(#[from] rusty_aac::Error),
    #[error("the packet holds sound of no sample rate or without channels")]
    NoFormat,
}

impl Codec {
    pub(crate) fn new(format: &Format) -> Result<Self, DecodeError> {
        match format.codec {
            #[cfg(feature = "he-aac")]
            SoundCodec::HeAac | SoundCodec::HeAacV2 => Self::he_aac(format),
            SoundCodec::Aac
            | SoundCodec::Mp1
            | SoundCodec::Mp2
            | SoundCodec::Mp3
            | SoundCodec::Flac
            | SoundCodec::Alac
            | SoundCodec::Vorbis
            | SoundCodec::Pcm => Self::symphonia(format),
            codec => Err(DecodeError::unsupported(codec)),
        }
    }

    fn symphonia(format: &Format) -> Result<Self, DecodeError> {
        // Trimming is ours: it must not depend on where runs begin.
        let options = AudioDecoderOptions::default().gapless(false);
        match symphonia::default::get_codecs().make_audio_decoder(&format.params, &options) {
            Ok(decoder) => Ok(Self::Symphonia(Symphonia { is_unsettled: overlaps(&*decoder), decoder })),
            // More than two channels, other object types than low complexity.
            #[cfg(feature = "he-aac")]
            Err(_) if format.codec == SoundCodec::Aac => Self::he_aac(format),
            Err(error) => Err(DecodeError::because(DecodeErrorKind::UnsupportedCodec, error).of_codec(format.codec)),
        }
    }

    #[cfg(feature = "he-aac")]
    fn he_aac(format: &Format) -> Result<Self, DecodeError> {
        let decoder = crate::he_aac::HeAac::new(format)
            .map_err(|error| DecodeError::because(DecodeErrorKind::UnsupportedCodec, error).of_codec(format.codec))?;
        Ok(Self::HeAac(Box::new(decoder)))
    }

    /// Replaces what `out` holds by the frames of a packet.
    pub(crate) fn decode(&mut self, data: &[u8], out: &mut Vec<f32>) -> Result<PcmSpec, Damaged> {
        out.clear();
        let (rate, channels) = match self {
            Self::Symphonia(Symphonia { decoder, is_unsettled }) => {
                // Times and trims are ours; the decoder is not asked.
                let packet = PacketRef::new(0, units::Timestamp::new(0), units::Duration::new(0), data);
                let frames = decoder.decode_ref(&packet)?;
                if !std::mem::take(is_unsettled) {
                    frames.copy_to_vec_interleaved(out);
                }
                (frames.spec().rate(), frames.spec().channels().count())
            }
            #[cfg(feature = "he-aac")]
            Self::HeAac(decoder) => decoder.decode(data, out)?,
        };
        match u16::try_from(channels) {
            Ok(channels) if channels > 0 && rate > 0 => Ok(PcmSpec { sample_rate: rate, channels }),
            _ => Err(Damaged::NoFormat),
        }
    }

    /// What comes next does not follow what came before.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Symphonia(symphonia) => {
                symphonia.decoder.reset();
                symphonia.is_unsettled = overlaps(&*symphonia.decoder);
            }
            #[cfg(feature = "he-aac")]
            Self::HeAac(decoder) => decoder.reset(),
        }
    }
}

/// Whether nothing is heard of the first packet.
fn overlaps(decoder: &dyn AudioDecoder) -> bool {
    decoder.codec_params().codec == CODEC_ID_VORBIS
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symphonia(symphonia) => symphonia.decoder.codec_info().short_name,
            #[cfg(feature = "he-aac")]
            Self::HeAac(_) => "he-aac",
        })
    }
}
