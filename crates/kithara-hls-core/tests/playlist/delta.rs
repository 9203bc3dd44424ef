//! Delta updates: merged, they are what the server would have sent in full.

use kithara_hls_core::playlist::{MediaPlaylist, MediaSequence};
use proptest::prelude::*;

use super::media;
use super::reload::again;
use super::stream::stream;

proptest! {
    #![proptest_config(super::cases(16))]

    #[test]
    fn one_update_is_the_full_playlist(
        stream in stream(250..400),
        window in (0..50usize, 100..150usize),
        growth in 0..50usize,
        slide in 0..50usize,
        listed in 5..60usize,
    ) {
        let (start, end) = (window.0, window.0 + window.1);
        let previous = media(&stream.full(start..end));
        let window = start + slide..end + growth;
        // The server must not leave out what was not there before.
        let skipped = window.len().saturating_sub(listed).clamp(1, end - window.start);
        let merged = again(&stream.delta(window.clone(), skipped), &previous);
        let full = media(&stream.full(window));
        prop_assert_eq!(&merged.delta, &None);
        same(merged, full);
    }

    #[test]
    fn many_updates_are_the_full_playlist(stream in stream(300..400), step in 1..4usize, listed in 5..20usize) {
        let mut snapshot = media(&stream.full(0..100));
        let mut end = 100;
        while end + step < stream.segments.len() {
            end += step;
            let window = end.saturating_sub(200)..end;
            let skipped = window.len() - listed;
            snapshot = again(&stream.delta(window, skipped), &snapshot);
        }
        same(snapshot, media(&stream.full(end.saturating_sub(200)..end)));
    }
}

/// Equal but for parts, which a server takes away when they are no longer near the edge and a client may keep, and for
/// what is wrong with the text.
pub fn same(mut found: MediaPlaylist, mut wanted: MediaPlaylist) {
    assert_eq!(found.segments.len(), wanted.segments.len());
    for (mut found, wanted) in found.segments.iter().zip(wanted.segments.iter()) {
        found.parts = wanted.parts;
        assert_eq!(found, wanted);
    }
    found.segments = wanted.segments.clone();
    wanted.violations.clone_from(&found.violations);
    found.date_ranges.sort_by(|one, other| one.id.cmp(&other.id));
    wanted.date_ranges.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(found, wanted);
}

const FULL: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:10\n\
    #EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:00Z\"\n#EXT-X-DATERANGE:ID=\"b\",START-DATE=\"2026-01-01T00:00:00Z\"\n\
    #EXTINF:4,\n10.ts\n#EXTINF:4,\n11.ts\n#EXTINF:4,\n12.ts\n";

fn update(sequence: u64, skipped: u64, more: &str) -> String {
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}{more}\n\
         #EXTINF:4,\nnew.ts\n"
    )
}

#[test]
fn an_update_of_what_is_not_known_stays_an_update() {
    for (sequence, skipped) in [(10, 4), (9, 2), (13, 1), (0, u64::MAX - 9)] {
        let playlist = again(&update(sequence, skipped, ""), &media(FULL));
        assert_eq!(playlist.delta.as_ref().map(|delta| delta.skipped), Some(skipped), "{sequence} {skipped}");
        assert_eq!(playlist.segments.len(), 1);
        assert_eq!(playlist.segments.get(0).unwrap().msn, MediaSequence(sequence + skipped));
    }
}

#[test]
fn the_tag_may_precede_the_sequence_number() {
    let text = update(10, 3, "")
        .replace("#EXT-X-MEDIA-SEQUENCE:10\n", "")
        .replace("#EXTINF", "#EXT-X-MEDIA-SEQUENCE:10\n#EXTINF");
    let playlist = again(&text, &media(FULL));
    assert_eq!((playlist.segments.len(), playlist.delta.is_some()), (4, false));
}

#[test]
fn date_ranges_are_kept_only_if_the_server_leaves_them_out_too() {
    let ids = |text: &str| -> Vec<String> {
        again(text, &media(FULL)).date_ranges.iter().map(|range| range.id.to_string()).collect()
    };
    assert_eq!(ids(&update(10, 2, "")), [""; 0]);
    assert_eq!(ids(&update(10, 2, ",RECENTLY-REMOVED-DATERANGES=\"\"")), ["a", "b"]);
    assert_eq!(ids(&update(10, 2, ",RECENTLY-REMOVED-DATERANGES=\"x\ta\"")), ["b"]);
}

#[test]
fn an_unknown_tag_behind_what_is_left_out_stands_between_segments() {
    let text = update(10, 2, "").replace("#EXTINF", "#EXT-X-CUE-OUT:30\n#EXTINF");
    let before: Vec<_> = again(&text, &media(FULL)).unknown.iter().map(|tag| tag.before).collect();
    assert_eq!(before, [Some(MediaSequence(12))]);
}

#[test]
fn an_update_cannot_be_merged_into_an_update() {
    let unmerged = media(&update(10, 2, ""));
    assert!(again(&update(10, 2, ""), &unmerged).delta.is_some());
}
