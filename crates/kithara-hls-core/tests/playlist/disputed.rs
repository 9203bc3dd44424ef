//! Where players read one text differently: what the specification says is what is read here.

use std::time::Duration;

use kithara_hls_core::playlist::{ParseErrorKind, Rule};

use super::{media, refuse};

#[test]
fn a_date_range_without_an_id_is_none() {
    // The ID is required and tags with illegal syntax are ignored (section 4.4.5.1); one player lists it without a name.
    let playlist = media("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DATERANGE:START-DATE=\"2026-01-02T00:00:00Z\"\n");
    assert!(playlist.date_ranges.is_empty());
    assert!(playlist.breaks(Rule::DateRangeWithoutId));
}

#[test]
fn what_a_delta_update_leaves_out_has_its_numbers() {
    // Some players count the segments left out among those listed, others do not: the number of the first listed one is
    // what section 4.4.5.2 makes it.
    let playlist = media(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=24\n\
         #EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:4,\na\n",
    );
    assert_eq!(
        (playlist.segments.len(), playlist.segments.get(0).unwrap().msn.0, playlist.end_sequence().0),
        (1, 13, 14)
    );
}

#[test]
fn a_hint_is_not_a_part() {
    // One player counts a hint whose extent is known as the next part. It is a resource that may come to be one, or not
    // (section 6.2.6).
    let playlist = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART:DURATION=1,URI=\"p\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q\"\n",
    );
    assert_eq!(playlist.incomplete.unwrap().parts.len(), 1);
}

#[test]
fn quotes_end_where_they_end() {
    // Looking for names of attributes in all of a line, as one player does, finds one inside this URI.
    let playlist =
        media("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q,BYTERANGE-START=7\"\n");
    assert_eq!(
        (playlist.preload_hints[0].uri.as_str(), playlist.preload_hints[0].byte_start),
        ("q,BYTERANGE-START=7", 0)
    );
}

#[test]
fn variables_without_a_value_are_an_error_where_they_are_used() {
    // Some players take the reference as it stands; section 6.3.1 wants a parsing error.
    let text = |define: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{define}#EXTINF:4,\na{{$token}}\n");
    refuse(&text(""), ParseErrorKind::UndefinedVariable, 4);
    refuse(&text("#EXT-X-DEFINE:IMPORT=\"token\"\n"), ParseErrorKind::UndefinedVariable, 5);
    refuse(&text("#EXT-X-DEFINE:QUERYPARAM=\"absent\"\n"), ParseErrorKind::UndefinedVariable, 5);
}

#[test]
fn two_playlists_in_one_text_are_none() {
    // Some players go on with the second one; a tag of the whole playlist must not stand twice (section 4.4.3).
    let one = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na\n";
    refuse(&one.repeat(2), ParseErrorKind::Duplicate { tag: "EXT-X-TARGETDURATION" }, 6);
}

#[test]
fn a_segment_without_a_duration_plays_as_long_as_the_target() {
    // EXTINF is required (section 4.4.4.1). Players skip the segment, give it no time, or the target duration; the last
    // keeps what follows reachable.
    let playlist = media("#EXTM3U\n#EXT-X-TARGETDURATION:4\na\n#EXTINF:3,\nb\n");
    assert_eq!(playlist.segments.start(1), Some(Duration::from_secs(4)));
    assert!(playlist.breaks(Rule::MissingExtinf));
}
