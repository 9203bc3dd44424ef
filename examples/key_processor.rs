//! Keys that come wrapped: the app turns what the key server delivers into the key.
//!
//! Here the server delivers the key combined with a secret of the app (exclusive or), and wants to know which app asks.
//!
//!     cargo run --example key_processor -- URL 000102030405060708090a0b0c0d0e0f

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{env, error::Error, io, sync::Arc};

use kithara::{
    Hls, HlsOptions, HlsParams, StreamSource, SyncReader,
    options::{DeliveredKey, KeyCache, KeyOptions, KeyProcessor, KeyRefused},
};

/// The secret that this app shares with its key server.
struct Wrapped {
    secret: [u8; 16],
}

impl KeyProcessor for Wrapped {
    fn process(&self, delivered: DeliveredKey<'_>) -> Result<[u8; 16], KeyRefused> {
        // The reason reaches errors and logs, so it says nothing of the key.
        let wrapped: &[u8; 16] =
            delivered.bytes.try_into().map_err(|_| KeyRefused("a wrapped key has 16 bytes".into()))?;
        Ok(std::array::from_fn(|at| wrapped[at] ^ self.secret[at]))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(url), Some(secret)) = (args.next(), args.next()) else {
        return Err("usage: key_processor URL HEX".into());
    };
    let secret = u128::from_str_radix(&secret, 16)?.to_be_bytes();
    let key = KeyOptions {
        processor: Some(Arc::new(Wrapped { secret })),
        // Kept in memory while the session lasts; what is on disk stays encrypted.
        cache: KeyCache::Memory,
        query: Some("app=example".to_owned()),
        ..KeyOptions::default()
    };
    let params = HlsParams::from(HlsOptions { key, ..HlsOptions::default() });
    let source = StreamSource::<Hls>::open(url, params).await?;
    let reading = tokio::task::spawn_blocking(move || io::copy(&mut SyncReader::new(source), &mut io::sink()));
    println!("{} bytes decrypted", reading.await??);
    Ok(())
}
