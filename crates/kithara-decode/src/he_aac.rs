//! HE-AAC, and whatever else of AAC is too much for the decoder of low complexity.

use rusty_aac::{
    Error,
    config::{self, StreamConfig},
    decode::Decoder,
};

use crate::format::Format;

/// The object type of low complexity.
const AAC_LC: u8 = 2;

pub(crate) struct HeAac {
    config: StreamConfig,
    decoder: Decoder,
}

impl HeAac {
    pub(crate) fn new(format: &Format) -> Result<Self, Error> {
        let config = match &format.params.extra_data {
            Some(config) => config::parse(config)?,
            // ADTS: the packets' headers are gone, what they said is in the format.
            None => StreamConfig::lc(AAC_LC, format.sample_rate, u8::try_from(format.channels).unwrap_or(0)),
        };
        Ok(Self { decoder: Decoder::with_stream_config(config.clone())?, config })
    }

    pub(crate) fn decode(&mut self, data: &[u8], out: &mut Vec<f32>) -> Result<(u32, usize), Error> {
        let audio = self.decoder.decode(data, None)?;
        *out = audio.samples;
        Ok((audio.sample_rate, usize::from(audio.channels)))
    }

    pub(crate) fn reset(&mut self) {
        // A configuration that was taken once is taken again.
        if let Ok(decoder) = Decoder::with_stream_config(self.config.clone()) {
            self.decoder = decoder;
        }
    }
}
