//! Tests of the playlist parser from outside.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod delta;
mod disputed;
mod hostile;
mod lint;
mod media;
mod multivariant;

#[cfg(feature = "m3u8-rs")]
mod oracle;
mod reload;
mod rules;
mod stream;

use kithara_hls_core::playlist::{
    MediaPlaylist, MultivariantPlaylist, ParseError, ParseErrorKind, ParseOptions, Playlist, parse,
};
use url::Url;

/// So many cases, and no files left behind: a case that fails becomes a test.
fn cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}

fn base() -> Url {
    Url::parse("https://example.com/live/index.m3u8?token=secret").unwrap()
}

fn try_parse(text: &str) -> Result<Playlist, ParseError> {
    parse(text.as_bytes(), &base(), &ParseOptions::default())
}

#[track_caller]
fn media(text: &str) -> MediaPlaylist {
    match try_parse(text) {
        Ok(Playlist::Media(playlist)) => playlist,
        other => panic!("not a media playlist: {other:?}"),
    }
}

#[track_caller]
fn multivariant(text: &str) -> MultivariantPlaylist {
    match try_parse(text) {
        Ok(Playlist::Multivariant(playlist)) => playlist,
        other => panic!("not a multivariant playlist: {other:?}"),
    }
}

#[track_caller]
fn refuse(text: &str, kind: ParseErrorKind, line: u32) {
    let error = try_parse(text).unwrap_err();
    assert_eq!((error.kind, error.line.0), (kind, line), "{text}");
}
