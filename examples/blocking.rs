//! An app without tokio: listens from ordinary threads, goes to a time, and measures what it hears there.
//!
//!     cargo run --release --example blocking -- URL SECONDS

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error, time::Duration};

use kithara::{
    Pcm,
    blocking::{self, listen},
    sound::{DecodeOptions, Output, PcmSpec},
};

const SPEC: PcmSpec = PcmSpec { sample_rate: 48_000, channels: 2 };

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(url), Some(seconds)) = (args.next(), args.next()) else {
        return Err("usage: blocking URL SECONDS".into());
    };
    let start = Duration::try_from_secs_f64(seconds.parse()?)?;

    // With a fixed format there are no boundaries to look out for.
    let sound = DecodeOptions { output: Output::Fixed(SPEC), ..DecodeOptions::default() };
    let (player, mut reader) = listen(&url, sound)?;
    player.seek(start);

    let (mut buffer, mut samples, mut squares) = ([0.0; 8192], 0, 0.0);
    loop {
        match reader.read(&mut buffer)? {
            Pcm::Samples(count) => {
                samples += count as u64;
                squares += buffer[..count].iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
            }
            Pcm::SpecChanged(_) => {}
            Pcm::End => break,
        }
    }
    let heard = SPEC.duration_of(samples / u64::from(SPEC.channels));
    let loudness = 10.0 * (squares / samples.max(1) as f64).log10();
    println!("{:.3} s from {:.3} s on, {loudness:.1} dBFS", heard.as_secs_f64(), start.as_secs_f64());

    // Futures of the library can be waited for on any thread.
    blocking::wait(player.close());
    Ok(())
}
