//! Segments for an app with a demuxer of its own: a video player, a remuxer, an analyser.
//!
//!     cargo run --example segments -- URL

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error};

use kithara::{AsyncReader, Hls, HlsParams, event::Track};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: segments URL")?;
    let session = Hls::session(&url, HlsParams::default())?;
    let mut segments = session.segments(Track::Main).await?;
    println!("{:<6} {:>9} {:>9}  {:<10} {:>9}", "run", "start", "duration", "container", "bytes");
    while let Some(segment) = segments.next().await? {
        // A new run is a new file to a demuxer: it begins with the init section, where the container has one.
        if let Some(reason) = segment.run_start {
            let init = segment.init.as_deref().map_or(0, <[u8]>::len);
            println!("{:<6} begins: {reason:?}, {init} bytes of init section", segment.run);
        }
        // The segment is here before its last byte is: a demuxer would be fed while it arrives.
        let mut body = AsyncReader::new(segment.body.clone());
        let bytes = tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
        let (start, duration) = (segment.start.as_secs_f64(), segment.duration.as_secs_f64());
        let container = format!("{:?}", segment.container);
        println!("{:<6} {start:>7.3} s {duration:>7.3} s  {container:<10} {bytes:>9}", segment.run);
        // How far playback is, so that the session knows what is still buffered.
        segments.played_to(segment.start + segment.duration);
    }
    session.close().await;
    Ok(())
}
