//! Shows what a session reports while a stream is read to its end.
//!
//!     cargo run --example events -- URL

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error, io};

use kithara::{Hls, HlsEvent, HlsParams, StreamSource, SyncReader};
use tokio::sync::broadcast::error::RecvError;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: events URL")?;
    let source = StreamSource::<Hls>::open(url, HlsParams::default()).await?;
    let mut events = source.events();

    let listener = tokio::spawn(async move {
        loop {
            match events.recv().await {
                // Every event can be shown as it is; an app looks at those it cares about.
                Ok(HlsEvent::Recovering { error, remedy, .. }) => println!("trouble: {error}; next: {remedy:?}"),
                Ok(event) => println!("{event}"),
                // Events never wait for a listener: one that is slow learns how many it missed.
                Err(RecvError::Lagged(missed)) => println!("({missed} events missed)"),
                Err(RecvError::Closed) => return,
            }
        }
    });

    // Reads block, so they have a thread of their own, as a decoder would.
    let reading = tokio::task::spawn_blocking(move || io::copy(&mut SyncReader::new(source), &mut io::sink()));
    let bytes = reading.await??;
    // The reader was the last handle: the session ends, and its events with it.
    listener.await?;
    println!("{bytes} bytes read");
    Ok(())
}
