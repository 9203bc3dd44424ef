//! Playlists: any text is answered, and a reload is the same with and without the snapshot before.
//!
//! The input is two texts, one behind the other, the first byte telling where the second begins; the second is parsed as
//! a reload of the first.

#![no_main]

use kithara_hls_core::playlist::{ParseOptions, Playlist, from_m3u8_rs, lint_text, lint_update, parse};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let Some((place, texts)) = data.split_first() else { return };
    let (first, second) = texts.split_at(texts.len() * usize::from(*place) / 256);
    let base = Url::parse("https://example.com/live/index.m3u8?token=1").expect("a URL");
    let _ = lint_text(second);
    let fresh = parse(second, &base, &ParseOptions::default());
    if let Ok(Playlist::Media(previous)) = parse(first, &base, &ParseOptions::default()) {
        look_at(&Playlist::Media(previous.clone()));
        let options = ParseOptions { previous: Some(&previous), ..ParseOptions::default() };
        let again = parse(second, &base, &options);
        if let Ok(Playlist::Media(again)) = &again {
            let _ = lint_update(&previous, again);
        }
        // A delta update means more with the snapshot before.
        let is_delta = matches!(&fresh, Ok(Playlist::Media(playlist)) if playlist.delta.is_some());
        if !is_delta {
            assert_eq!(again, fresh);
        }
    }
    if let Ok(playlist) = &fresh {
        look_at(playlist);
    }
    // The second opinion need not agree, but what it makes of the text must not hurt either.
    if let Ok(theirs) = m3u8_rs::parse_playlist_res(second) {
        let _ = from_m3u8_rs(&theirs, &base, &ParseOptions::default());
    }
});

fn look_at(playlist: &Playlist) {
    let _ = format!("{playlist:?}");
    let _ = m3u8_rs::Playlist::from(playlist);
    let playlist = match playlist {
        Playlist::Media(playlist) => playlist,
        Playlist::Multivariant(playlist) => return drop(playlist.lint()),
    };
    let _ = playlist.lint();
    let _ = (playlist.duration(), playlist.end_sequence());
    for (index, segment) in playlist.segments.iter().enumerate() {
        let _ = (segment.uri.url(), segment.title(), segment.bitrate(), playlist.date_of(index));
        assert_eq!(playlist.segments.by_msn(segment.msn), Some(segment));
    }
}
