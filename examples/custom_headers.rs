//! Reads a stream behind a login: headers and query parameters for its origin, and for no other.
//!
//!     cargo run --example custom_headers -- URL 'Authorization: Bearer TOKEN' ['session=42']

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error, io};

use kithara::{
    Hls, HlsOptions, HlsParams, StreamSource, SyncReader, fetch::net::NetworkOptions, options::RequestOptions,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(url), Some(header)) = (args.next(), args.next()) else {
        return Err("usage: custom_headers URL 'Name: value' [query]".into());
    };
    let (name, value) = header.split_once(':').ok_or("a header is `Name: value`")?;
    let options = HlsOptions {
        // Sent with playlists, segments and keys of the origin of `url`. A redirect or a playlist that leads elsewhere
        // does not take them along, and no log or error shows them.
        request: RequestOptions { query: args.next(), ..RequestOptions::default() }.with_header(name, value.trim())?,
        // What is no secret and goes everywhere.
        network: NetworkOptions { user_agent: "my-player/1.0".to_owned(), ..NetworkOptions::default() },
        ..HlsOptions::default()
    };
    let source = StreamSource::<Hls>::open(url, HlsParams::from(options)).await?;
    let reading = tokio::task::spawn_blocking(move || io::copy(&mut SyncReader::new(source), &mut io::sink()));
    println!("{} bytes read", reading.await??);
    Ok(())
}
