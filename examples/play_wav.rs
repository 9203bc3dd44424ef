//! Plays a stream into a WAV file: bytes through `SyncReader` to stock symphonia.
//!
//!     cargo run --release --example play_wav -- URL out.wav

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
};

use kithara::{
    HlsOptions, HlsSource, SyncReader, blocking,
    options::{MediaSelection, PlaybackOptions},
};
use symphonia::core::{
    codecs::audio::AudioDecoderOptions,
    errors::Error as MediaError,
    formats::{FormatOptions, TrackType, probe::Hint},
    io::{MediaSourceStream, ReadOnlySource},
    meta::MetadataOptions,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(url), Some(out)) = (args.next(), args.next()) else { return Err("usage: play_wav URL OUT.wav".into()) };
    let playback = PlaybackOptions { selection: MediaSelection::AudioOnly, ..PlaybackOptions::default() };
    let source = blocking::open(&url, HlsOptions { playback, ..HlsOptions::default() }.into())?;
    let mut wav = BufWriter::new(File::create(out)?);
    let seconds = play(source, &mut wav)?;
    wav.flush()?;
    println!("{seconds:.3} s of sound");
    Ok(())
}

/// Decodes everything; gives the seconds that came out.
fn play(source: HlsSource, wav: &mut (impl Write + Seek)) -> Result<f64, Box<dyn Error>> {
    // Read-only: symphonia's MP4 reader seeks to the end of whatever says that it can seek.
    let stream = MediaSourceStream::new(Box::new(ReadOnlySource::new(SyncReader::new(source))), Default::default());
    let probe = symphonia::default::get_probe();
    let mut media = probe.probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())?;
    let track = media.default_track(TrackType::Audio).ok_or("there is no sound in it")?;
    let codec = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or("no codec is named")?;
    let mut decoder = symphonia::default::get_codecs().make_audio_decoder(codec, &AudioDecoderOptions::default())?;
    let id = track.id;
    let (mut format, mut frames, mut samples) = (None, 0_u64, Vec::<i16>::new());
    loop {
        let packet = match media.next_packet() {
            Ok(Some(packet)) if packet.track_id == id => packet,
            Ok(Some(_)) | Err(MediaError::DecodeError(_)) => continue,
            Ok(None) => break,
            Err(error) => return Err(error.into()),
        };
        let Ok(sound) = decoder.decode(&packet) else { continue };
        let (rate, channels) = (sound.spec().rate(), u16::try_from(sound.num_planes())?);
        if *format.get_or_insert((rate, channels)) != (rate, channels) {
            return Err("the format changes inside the stream, which one WAV file cannot hold".into());
        }
        if frames == 0 {
            wav.write_all(&header(rate, channels, 0))?;
        }
        frames += sound.frames() as u64;
        sound.copy_to_vec_interleaved(&mut samples);
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        wav.write_all(&bytes)?;
    }
    let (rate, channels) = format.ok_or("nothing could be decoded")?;
    wav.seek(SeekFrom::Start(0))?;
    wav.write_all(&header(rate, channels, frames))?;
    Ok(frames as f64 / f64::from(rate))
}

/// The head of a file of 16-bit samples.
fn header(rate: u32, channels: u16, frames: u64) -> Vec<u8> {
    let len = u32::try_from(frames * u64::from(channels) * 2).unwrap_or(u32::MAX - 36);
    let frame = channels * 2;
    let mut head = b"RIFF".to_vec();
    head.extend((len + 36).to_le_bytes());
    head.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    head.extend(channels.to_le_bytes());
    head.extend(rate.to_le_bytes());
    head.extend((rate * u32::from(frame)).to_le_bytes());
    head.extend(frame.to_le_bytes());
    head.extend(b"\x10\0data");
    head.extend(len.to_le_bytes());
    head
}
