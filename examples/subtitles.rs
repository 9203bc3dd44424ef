//! The subtitles of a stream, as text with times.
//!
//!     cargo run --example subtitles -- URL [LANGUAGE]

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error};

use kithara::{
    Hls, HlsOptions, Subtitles,
    metadata::{Extent, TimedEvent},
    options::SubtitleMode,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let url = args.next().ok_or("usage: subtitles URL [LANGUAGE]")?;
    let mut options = HlsOptions::default();
    options.playback.subtitles.mode = SubtitleMode::On;
    options.playback.subtitles.wanted.languages = args.collect();
    let session = Hls::session(&url, options.into())?;
    let mut subtitles = Subtitles::open(&session).await?;
    while let Some(entry) = subtitles.next().await? {
        let start = entry.start.as_secs_f64();
        let end = match entry.extent {
            Extent::Until(end) => format!("{:9.3}", end.as_secs_f64()),
            _ => " ".repeat(9),
        };
        match &entry.value {
            TimedEvent::Cue(cue) => println!("{start:9.3} {end}  {}", cue.text.replace('\n', " / ")),
            TimedEvent::Document(document) => println!("{start:9.3} {end}  a document of {} bytes", document.len()),
            _ => {}
        }
        // A player would say how far it has played; here everything is read at once.
        subtitles.played_to(entry.start);
    }
    session.close().await;
    Ok(())
}
