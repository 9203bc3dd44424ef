//! Segments as a symphonia `FormatReader`: adaptation, encryption and runs below, stock decoders above.
//!
//!     cargo run --release --example symphonia_units -- URL

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error};

use kithara::{
    Hls, HlsOptions, blocking,
    event::Track,
    options::{MediaSelection, PlaybackOptions},
    sound::UnitReader,
};
use symphonia::core::{
    codecs::audio::{AudioDecoder, AudioDecoderOptions},
    errors::Error as MediaError,
    formats::{FormatReader, TrackType},
};

fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: symphonia_units URL")?;
    let playback = PlaybackOptions { selection: MediaSelection::AudioOnly, ..PlaybackOptions::default() };
    let session = Hls::session(&url, HlsOptions { playback, ..HlsOptions::default() }.into())?;
    let feed = blocking::wait(session.feed(Track::Main, None))?;
    let mut reader = UnitReader::open(Box::new(feed))?;
    let mut decoder = decoder(&reader)?;
    let (mut frames, mut seconds, mut resets) = (0_u64, 0.0, 0);
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // What follows has another codec, rate or number of channels.
            Err(MediaError::ResetRequired) => {
                decoder = self::decoder(&reader)?;
                resets += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let sound = match decoder.decode(&packet) {
            Ok(sound) => sound,
            Err(MediaError::DecodeError(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        // A player would hand on `sound` here, without what is to be trimmed.
        let trim = packet.trim_start.get() + packet.trim_end.get();
        let heard = (sound.frames() as u64).saturating_sub(trim);
        frames += heard;
        seconds += heard as f64 / f64::from(sound.spec().rate());
    }
    println!("{frames} frames, {seconds:.3} s of sound, {resets} resets");
    Ok(())
}

fn decoder(reader: &UnitReader) -> Result<Box<dyn AudioDecoder>, Box<dyn Error>> {
    let track = reader.default_track(TrackType::Audio).ok_or("there is no sound in it")?;
    let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or("no codec is named")?;
    // Trims are taken off by whoever plays, for all codecs alike.
    let options = AudioDecoderOptions::default().gapless(false);
    Ok(symphonia::default::get_codecs().make_audio_decoder(params, &options)?)
}
