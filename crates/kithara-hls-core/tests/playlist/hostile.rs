//! Texts made to hurt.

use kithara_hls_core::playlist::{
    Limits, Member, ParseErrorKind, ParseOptions, Playlist, Variables, VariantId, lint_presentation, lint_text,
    lint_update, parse,
};
use proptest::prelude::*;

use super::{base, refuse, try_parse};

/// Lines that mean something, with values that may not.
fn line() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "EXTM3U",
        "EXTINF",
        "EXT-X-VERSION",
        "EXT-X-TARGETDURATION",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-KEY",
        "EXT-X-MAP",
        "EXT-X-DISCONTINUITY",
        "EXT-X-DISCONTINUITY-SEQUENCE",
        "EXT-X-BYTERANGE",
        "EXT-X-PROGRAM-DATE-TIME",
        "EXT-X-PART",
        "EXT-X-SKIP",
        "EXT-X-DEFINE",
        "EXT-X-DATERANGE",
        "EXT-X-STREAM-INF",
        "EXT-X-MEDIA",
        "EXT-X-I-FRAME-STREAM-INF",
        "EXT-X-SESSION-DATA",
        "EXT-X-SESSION-KEY",
        "EXT-X-START",
        "EXT-X-GAP",
        "EXT-X-BITRATE",
        "EXT-X-SERVER-CONTROL",
        "EXT-X-PRELOAD-HINT",
        "EXT-X-RENDITION-REPORT",
        "EXT-X-FOO",
    ]);
    let attributes = prop::collection::vec(
        (
            prop::sample::select(vec![
                "URI",
                "METHOD",
                "IV",
                "BYTERANGE",
                "DURATION",
                "NAME",
                "VALUE",
                "BANDWIDTH",
                "TYPE",
                "GROUP-ID",
                "SKIPPED-SEGMENTS",
                "ID",
                "START-DATE",
                "TIME-OFFSET",
                "SCORE",
                "FRAME-RATE",
                "RESOLUTION",
                "REQ-X",
            ]),
            prop_oneof![
                Just("AES-128".to_owned()),
                Just("NONE".to_owned()),
                Just("AUDIO".to_owned()),
                Just("\"a\"".to_owned()),
                Just("\"{$a}\"".to_owned()),
                any::<u64>().prop_map(|n| n.to_string()),
                Just("\"9@18446744073709551615\"".to_owned()),
                "[-0-9.e@x\"]{0,24}",
                "\"[^\"\n]{0,8}\"",
            ],
        ),
        0..5,
    );
    let list = attributes.prop_map(|all| {
        let pairs: Vec<String> = all.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(",")
    });
    let value = prop_oneof![list, any::<u64>().prop_map(|n| n.to_string()), ".{0,30}"];
    prop_oneof![
        4 => (names, value).prop_map(|(name, value)| format!("#{name}:{value}")),
        1 => "[^\n]{0,20}",
        1 => Just("seg.ts".to_owned()),
    ]
}

proptest! {
    #![proptest_config(super::cases(256))]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, &base(), &ParseOptions::default());
        let with_header = [b"#EXTM3U\n".as_slice(), &bytes].concat();
        let _ = parse(&with_header, &base(), &ParseOptions::default());
    }

    #[test]
    fn any_text_is_linted(lines in prop::collection::vec(line(), 0..40), bytes in prop::collection::vec(any::<u8>(), 0..99)) {
        let text = [b"#EXTM3U\n", lines.join("\n").as_bytes(), b"\n", &bytes].concat();
        lint(&text);
        lint(&bytes);
    }

    #[test]
    fn any_tags_are_answered(lines in prop::collection::vec(line(), 0..40)) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        if let Ok(playlist) = try_parse(&text) {
            // What can be parsed can be looked at, and parsed again.
            let _ = format!("{playlist:?}");
            if let kithara_hls_core::playlist::Playlist::Media(playlist) = &playlist {
                let _ = (playlist.duration(), playlist.end_sequence(), playlist.date_of(0));
                let options = ParseOptions { previous: Some(playlist), ..ParseOptions::default() };
                prop_assert!(parse(text.as_bytes(), &base(), &options).is_ok());
            }
        }
    }
}

/// Looks at a text in all ways there are.
fn lint(text: &[u8]) {
    let _ = lint_text(text);
    match parse(text, &base(), &ParseOptions::default()) {
        Ok(Playlist::Media(playlist)) => {
            let _ = (playlist.lint(), lint_update(&playlist, &playlist));
            let Ok(Playlist::Multivariant(all)) = try_parse("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n") else {
                return;
            };
            let _ = lint_presentation(&all, &[(Member::Variant(VariantId(0)), playlist)]);
        }
        Ok(Playlist::Multivariant(playlist)) => drop(playlist.lint()),
        Err(_) => {}
    }
}

#[test]
fn numbers_at_the_end_of_their_range_are_linted() {
    lint(
        b"#EXTM3U\n#EXT-X-TARGETDURATION:18446744073709551615\n#EXT-X-START:TIME-OFFSET=-9223372036.854775807\n\
          #EXT-X-PART-INF:PART-TARGET=18446744073709551615\n#EXT-X-PROGRAM-DATE-TIME:9999-12-31T23:59:59.999Z\n\
          #EXTINF:9223372036,\n#EXT-X-BYTERANGE:18446744073709551615@0\na\n",
    );
}

fn limited(text: &str, limits: Limits) -> Result<(), ParseErrorKind> {
    let options = ParseOptions { limits, ..ParseOptions::default() };
    parse(text.as_bytes(), &base(), &options).map(|_| ()).map_err(|error| error.kind)
}

#[track_caller]
fn too_large(text: &str, limits: Limits, what: &'static str, limit: usize) {
    assert_eq!(limited(text, limits), Err(ParseErrorKind::TooLarge { what, limit }));
}

#[test]
fn every_limit_is_an_error() {
    let limits = Limits::default;
    let segments = format!("#EXTM3U\n{}", "#EXTINF:1,\na\n".repeat(11));
    too_large(&segments, Limits { bytes: 100, ..limits() }, "bytes", 100);
    too_large(&segments, Limits { segments: 10, ..limits() }, "segments", 10);
    let parts = format!("#EXTM3U\n{}", "#EXT-X-PART:URI=\"p\",DURATION=1\n".repeat(11));
    too_large(&parts, Limits { parts: 10, ..limits() }, "parts", 10);
    let variants = format!("#EXTM3U\n{}", "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n".repeat(11));
    too_large(&variants, Limits { entries: 10, ..limits() }, "variants and renditions", 10);
    let unknown = format!("#EXTM3U\n{}", "#EXT-FOO\n".repeat(11));
    too_large(&unknown, Limits { metadata: 10, ..limits() }, "date ranges and unknown tags", 10);
    let removed = "#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1,RECENTLY-REMOVED-DATERANGES=\"a\tb\tc\"\n";
    too_large(removed, Limits { metadata: 2, ..limits() }, "date ranges and unknown tags", 2);
    let keys: String = (0..11).map(|n| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"{n}\"\n")).collect();
    too_large(&format!("#EXTM3U\n{keys}"), Limits { keys: 10, ..limits() }, "keys for one segment", 10);
    let variables: String = (0..11).map(|n| format!("#EXT-X-DEFINE:NAME=\"v{n}\",VALUE=\"\"\n")).collect();
    too_large(&format!("#EXTM3U\n{variables}"), Limits { variables: 10, ..limits() }, "variables", 10);
}

#[test]
fn variables_cannot_multiply_a_text() {
    let value = "x".repeat(1000);
    let text = format!("#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{value}\"\n{}", "#EXTINF:1,\n{$a}{$a}\n".repeat(10));
    too_large(&text, Limits { expansion: 9_999, ..Limits::default() }, "bytes out of variables", 9_999);
    // A value is not looked at again, so that definitions cannot feed on each other.
    let text =
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{$b}\"\n#EXT-X-DEFINE:NAME=\"b\",VALUE=\"{$a}\"\n#EXTINF:1,\n{$b}\n";
    assert_eq!(super::media(text).segments.get(0).unwrap().uri.as_str(), "{$b}");
}

#[test]
fn numbers_at_the_end_of_their_range() {
    const MAX: u64 = u64::MAX;
    let segment = "#EXTINF:1,\na\n";
    refuse(&format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{MAX}\n{segment}"), ParseErrorKind::OutOfRange, 4);
    refuse(&format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{MAX}0\n{segment}"), ParseErrorKind::OutOfRange, 2);
    refuse(&format!("#EXTM3U\n#EXTINF:{MAX},\na\n"), ParseErrorKind::OutOfRange, 3);
    refuse(&format!("#EXTM3U\n#EXTINF:{MAX}0,\na\n"), ParseErrorKind::OutOfRange, 2);
    refuse("#EXTM3U\n#EXTINF:5000000000,\na\n#EXTINF:5000000000,\na\n", ParseErrorKind::OutOfRange, 5);
    refuse(&format!("#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:1@{MAX}\na\n"), ParseErrorKind::OutOfRange, 4);
    refuse(&format!("#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS={MAX}\n{segment}"), ParseErrorKind::OutOfRange, 4);
    let text = format!("#EXTM3U\n#EXT-X-DISCONTINUITY-SEQUENCE:{MAX}\n#EXT-X-DISCONTINUITY\n{segment}");
    assert_eq!(super::media(&text).segments.get(0).unwrap().dsn.0, MAX);
}

#[test]
fn what_is_no_playlist_is_refused() {
    for text in
        ["", "\n\n", "<!DOCTYPE html>\n<html>", "{\"error\": 1}", "#", "#EXTMU3\n#EXTINF:1,\na", "# a comment\n"]
    {
        assert_eq!(try_parse(text).unwrap_err().kind, ParseErrorKind::NotAPlaylist, "{text}");
    }
}

#[test]
fn errors_do_not_show_secrets() {
    let text = "#EXTM3U\n#EXTINF:1,\nhttps://a b/?token=secret\n";
    let error = try_parse(text).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
    let playlist = try_parse("#EXTM3U\n#EXTINF:1,\nhttps://u:secret@h/?token=secret\n").unwrap();
    assert!(!format!("{playlist:?}").contains("secret"), "{playlist:?}");
}

#[test]
fn imported_values_are_bounded_too() {
    let imports: Variables = [("a", "v")].into_iter().collect();
    let options = ParseOptions { imports: Some(&imports), ..ParseOptions::default() };
    let text = "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"a\"\n#EXTINF:1,\n{$a}.ts\n";
    let playlist = parse(text.as_bytes(), &base(), &options).unwrap();
    let kithara_hls_core::playlist::Playlist::Media(playlist) = playlist else { panic!("a media playlist") };
    assert_eq!(playlist.segments.get(0).unwrap().uri.as_str(), "v.ts");
}
