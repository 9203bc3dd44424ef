//! Writes what a URL sounds like, stream or file, into a WAV file: `kithara::open` decides and decodes.
//!
//!     cargo run --release --example wav -- URL out.wav

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
};

use kithara::{
    Pcm, PcmReader,
    sound::{DecodeOptions, Output, PcmSpec, pcm},
};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = env::args().skip(1);
    let (Some(url), Some(out)) = (args.next(), args.next()) else { return Err("usage: wav URL OUT.wav".into()) };
    // One format from beginning to end, as a WAV file needs it: the one the stream begins with.
    let sound = DecodeOptions { output: Output::First, ..DecodeOptions::default() };
    let (player, reader) = kithara::open(&url, sound).await?;
    let wav = BufWriter::new(File::create(out)?);
    // Reads block, so they have a thread of their own.
    let seconds = tokio::task::spawn_blocking(move || write(reader, wav)).await??;
    // What was fetched is in the store when this returns.
    player.close().await;
    println!("{seconds:.3} s of sound");
    Ok(())
}

/// Writes everything there is to hear; gives the seconds of it.
fn write(mut reader: PcmReader, mut wav: impl Write + Seek) -> Result<f64, Failure> {
    let (mut samples, mut bytes) = (vec![0.0; 16_384], Vec::new());
    let (mut spec, mut written) = (None, 0_u64);
    loop {
        match reader.read(&mut samples)? {
            Pcm::SpecChanged(found) => {
                spec = Some(found);
                wav.write_all(&header(found, 0))?;
            }
            Pcm::Samples(count) => {
                bytes.clear();
                pcm::append_s16le(&samples[..count], &mut bytes);
                wav.write_all(&bytes)?;
                written += bytes.len() as u64;
            }
            Pcm::End => break,
        }
    }
    let spec = spec.ok_or("there is nothing to hear")?;
    wav.seek(SeekFrom::Start(0))?;
    wav.write_all(&header(spec, written))?;
    wav.flush()?;
    Ok(spec.duration_of(written / 2 / u64::from(spec.channels)).as_secs_f64())
}

/// The head of a file with so many bytes of 16-bit samples.
fn header(spec: PcmSpec, len: u64) -> Vec<u8> {
    let len = u32::try_from(len).unwrap_or(u32::MAX - 36);
    let frame = spec.channels * 2;
    let mut head = b"RIFF".to_vec();
    head.extend((len + 36).to_le_bytes());
    head.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    head.extend(spec.channels.to_le_bytes());
    head.extend(spec.sample_rate.to_le_bytes());
    head.extend((spec.sample_rate * u32::from(frame)).to_le_bytes());
    head.extend(frame.to_le_bytes());
    head.extend(b"\x10\0data");
    head.extend(len.to_le_bytes());
    head
}
