use std::{fmt::Write as _, sync::Arc, time::Duration};

use proptest::prelude::*;
use url::Url;

use super::{Alignment, Merge, Timeline, align};
use crate::{
    playlist::{MediaPlaylist, MediaSequence, ParseOptions, Playlist, parse},
    time::{Tick, WallTime},
};

const FOUR: Duration = Duration::from_secs(4);

/// A playlist as a test describes it.
#[derive(Clone, Copy, Debug)]
struct Shown {
    first: u64,
    count: u64,
    /// Names of files begin with it.
    encoder: char,
    /// The date of number 0 in seconds, where there are dates.
    dated: Option<i64>,
    ended: bool,
    /// The number before which there is a discontinuity.
    broken: Option<u64>,
    /// What EXT-X-DISCONTINUITY-SEQUENCE says, where it is there.
    counted: Option<u64>,
}

const LIVE: Shown = Shown { first: 0, count: 0, encoder: 'a', dated: None, ended: false, broken: None, counted: None };

fn shown(first: u64, count: u64) -> Shown {
    Shown { first, count, ..LIVE }
}

impl Shown {
    fn parse(self) -> Arc<MediaPlaylist> {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{}\n", self.first);
        if let Some(counted) = self.counted {
            writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{counted}").unwrap();
        }
        for msn in self.first..self.first + self.count {
            if self.broken == Some(msn) {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if let Some(zero) = self.dated {
                let at = zero + 4 * i64::try_from(msn).unwrap();
                writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", WallTime::from_millis(at * 1_000)).unwrap();
            }
            writeln!(text, "#EXTINF:4,\n{}{msn}.ts", self.encoder).unwrap();
        }
        if self.ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        let url = Url::parse("http://origin.test/live.m3u8").unwrap();
        match parse(text.as_bytes(), &url, &ParseOptions::default()).unwrap() {
            Playlist::Media(playlist) => Arc::new(playlist),
            Playlist::Multivariant(_) => panic!("segments are listed"),
        }
    }
}

fn secs(secs: u64) -> Tick {
    Tick::from_millis(secs * 1_000)
}

fn timeline(shown: Shown) -> Timeline {
    Timeline::new(shown.parse(), Duration::ZERO, Tick::ZERO)
}

/// What a second snapshot, seen after so many seconds, brings, and which numbers and times are listed then.
#[track_caller]
fn check(first: Shown, after: u64, second: Shown, want: Merge, msns: std::ops::Range<u64>, start: u64) -> Timeline {
    let mut timeline = timeline(first);
    assert_eq!(timeline.merge(second.parse(), secs(after)), want);
    assert_eq!((timeline.msns(), timeline.start()), (msns, Duration::from_secs(start)));
    timeline
}

#[test]
fn a_window_that_moves_on_keeps_numbers_and_times() {
    check(shown(10, 3), 4, shown(10, 3), Merge::Unchanged, 10..13, 0);
    check(shown(10, 3), 4, shown(11, 3), Merge::Grown, 11..14, 4);
    check(shown(10, 3), 12, shown(13, 3), Merge::Grown, 13..16, 12);
    check(shown(10, 3), 4, shown(11, 2), Merge::Unchanged, 11..13, 4);
    check(shown(10, 3), 4, Shown { ended: true, ..shown(10, 3) }, Merge::Grown, 10..13, 0);
}

#[test]
fn segments_that_left_the_window_are_remembered_for_its_length() {
    let timeline = check(shown(10, 3), 8, shown(12, 3), Merge::Grown, 12..15, 8);
    assert_eq!(timeline.segment(MediaSequence(11)).map(|it| it.msn.0), Some(11));
    assert_eq!(timeline.start_of(MediaSequence(11)), Some(FOUR));
    assert_eq!(timeline.next_from(MediaSequence(0)), Some(MediaSequence(10)));
    assert_eq!(timeline.at(Duration::from_secs(5)).map(|(msn, _)| msn.0), Some(11));
}

#[test]
fn a_leap_leaves_a_hole_of_its_length() {
    check(shown(10, 3), 30, shown(20, 3), Merge::Jumped { missed: 7 }, 20..23, 12 + 28);
    let dated = |it| Shown { dated: Some(1_000), ..it };
    check(dated(shown(10, 3)), 30, dated(shown(20, 3)), Merge::Jumped { missed: 7 }, 20..23, 12 + 28);
}

#[test]
fn a_leap_that_no_time_allows_is_another_count() {
    check(shown(10, 3), 4, shown(1_000_000, 3), Merge::Restarted, 13..16, 12);
}

#[test]
fn a_count_that_leapt_goes_on() {
    let mut timeline = check(shown(10, 3), 4, shown(1_000_000, 3), Merge::Restarted, 13..16, 12);
    assert_eq!(timeline.merge(shown(1_000_001, 3).parse(), secs(8)), Merge::Grown);
    assert_eq!((timeline.msns(), timeline.start()), (14..17, Duration::from_secs(16)));
}

#[test]
fn a_server_that_is_behind_is_not_followed() {
    check(shown(10, 3), 4, shown(9, 3), Merge::Behind, 10..13, 0);
    check(shown(10, 3), 4, shown(10, 2), Merge::Behind, 10..13, 0);
}

#[test]
fn a_server_that_stays_behind_began_anew() {
    let mut timeline = check(shown(10, 3), 4, shown(10, 1), Merge::Behind, 10..13, 0);
    assert_eq!(timeline.merge(shown(10, 1).parse(), secs(8)), Merge::Behind);
    assert_eq!(timeline.merge(shown(10, 2).parse(), secs(16)), Merge::Restarted);
    assert_eq!((timeline.msns(), timeline.start()), (13..15, Duration::from_secs(12)));
    assert_eq!(timeline.listed_as(MediaSequence(13)), MediaSequence(10), "initialization vectors need the listed one");
}

#[test]
fn an_encoder_that_began_anew_is_known_by_its_files_its_dates_or_its_numbers() {
    let other = Shown { encoder: 'b', ..shown(10, 1) };
    check(shown(10, 3), 4, other, Merge::Restarted, 13..14, 12);
    let dated = |zero, it| Shown { dated: Some(zero), ..it };
    check(dated(1_000, shown(0, 3)), 4, dated(1_400, shown(0, 1)), Merge::Restarted, 3..4, 12);
    check(shown(500, 3), 4, shown(0, 1), Merge::Restarted, 503..504, 12);
}

#[test]
fn what_was_there_before_a_restart_is_still_to_be_had() {
    let timeline = check(shown(500, 3), 4, shown(0, 2), Merge::Restarted, 503..505, 12);
    assert_eq!(timeline.segment(MediaSequence(502)).map(|it| it.msn.0), Some(502));
    assert_eq!(timeline.dsn_of(MediaSequence(502)).map(|dsn| dsn.0), Some(0));
    assert_eq!(timeline.dsn_of(MediaSequence(503)).map(|dsn| dsn.0), Some(1), "its timestamps are others");
}

/// A window around a discontinuity before number 12.
fn around(first: u64, count: u64, counted: Option<u64>) -> Shown {
    Shown { broken: Some(12), counted, ..shown(first, count) }
}

/// The discontinuity sequence numbers from one number on after several snapshots, four seconds apart.
#[track_caller]
fn check_dsn(snapshots: &[Shown], from: u64, want: &[u64]) -> Timeline {
    let mut timeline = timeline(snapshots[0]);
    for (shown, after) in snapshots[1..].iter().zip(1..) {
        timeline.merge(shown.parse(), secs(4 * after));
    }
    let numbers = (from..).zip(want).filter_map(|(msn, _)| timeline.dsn_of(MediaSequence(msn)));
    assert_eq!(numbers.map(|dsn| dsn.0).collect::<Vec<_>>(), want);
    timeline
}

#[test]
fn segments_keep_their_discontinuity_sequence_number_when_nobody_counts() {
    let slides = |counted: [Option<u64>; 3]| {
        [around(10, 3, counted[0]), around(11, 3, counted[1]), around(12, 3, counted[2]), around(13, 3, counted[2])]
    };
    for counted in [[None; 3], [Some(0); 3], [None, None, Some(1)], [Some(7), Some(7), Some(8)]] {
        let base = counted[0].unwrap_or(0);
        check_dsn(&slides(counted), 10, &[base, base, base + 1, base + 1, base + 1, base + 1]);
    }
}

#[test]
fn a_window_that_follows_without_overlap_goes_on_counting() {
    check_dsn(&[around(10, 3, None), shown(13, 3), shown(16, 3)], 13, &[1; 6]);
    let breaks_again = Shown { broken: Some(13), ..shown(13, 3) };
    check_dsn(&[around(10, 3, None), breaks_again], 12, &[1, 2, 2]);
    // What was missed is not known, and was nothing as far as anybody said.
    check_dsn(&[around(10, 3, None), shown(15, 3)], 15, &[1; 3]);
    check_dsn(&[around(10, 3, Some(0)), Shown { counted: Some(4), ..shown(15, 3) }], 15, &[4; 3]);
}

#[test]
fn a_stream_that_joins_counts_as_the_one_it_plays_beside() {
    let reference = check_dsn(&[around(10, 3, None), around(11, 3, None), around(13, 3, None)], 13, &[1; 3]);
    let joins = |shown: Shown| {
        let snapshot = shown.parse();
        let alignment = align(&reference, &snapshot, secs(8));
        let timeline = Timeline::new(snapshot, alignment.origin(), secs(8)).beside(&reference);
        (timeline.start().as_secs(), timeline.dsn_of(MediaSequence(shown.first)).map(|dsn| dsn.0))
    };
    assert_eq!(joins(around(13, 3, None)), (12, Some(1)));
    // It still lists what left the other one.
    assert_eq!(joins(around(11, 5, None)), (4, Some(0)));
    assert_eq!(joins(around(12, 4, None)), (8, Some(1)));
}

#[test]
fn dates_and_times_are_found_both_ways() {
    let dated = Shown { dated: Some(1_000), ..shown(10, 3) };
    let timeline = timeline(dated);
    let (time, date) = (Duration::from_secs(5), WallTime::from_millis((1_000 + 45) * 1_000));
    assert_eq!(timeline.date_at(time), Some(date));
    assert_eq!(timeline.dates().time_at(date), Some(time));
}

#[test]
fn a_second_stream_is_placed_by_what_both_have() {
    let dated = |zero, it| Shown { dated: Some(zero), ..it };
    let reference = timeline(dated(1_000, shown(10, 3)));
    let place = |newcomer: Shown, reference: &Timeline| align(reference, &newcomer.parse(), secs(1));
    let at = Duration::from_secs;
    // Its numbers are others; its first date is that of number 11 there.
    assert_eq!(place(dated(0, shown(261, 3)), &reference), Alignment::Known(at(4)));
    let reference = timeline(shown(10, 3));
    assert_eq!(place(shown(12, 3), &reference), Alignment::Guessed(at(8)), "by its number");
    assert_eq!(place(shown(900, 2), &reference), Alignment::Guessed(at(5)), "by the live edge");
    let ended = |it| Shown { ended: true, ..it };
    assert_eq!(place(ended(shown(0, 9)), &timeline(ended(shown(0, 9)))), Alignment::Known(at(0)), "it is whole");
    // A window that slid and has ended: what is loaded beside it has ended, too.
    let mut slid = timeline(dated(1_000, shown(10, 3)));
    slid.merge(ended(dated(1_000, shown(14, 3))).parse(), secs(16));
    let place = |newcomer: Shown| align(&slid, &newcomer.parse(), secs(90));
    assert_eq!(place(ended(dated(1_000, shown(13, 4)))), Alignment::Known(at(12)), "by its date");
    assert_eq!(place(ended(shown(13, 4))), Alignment::Guessed(at(12)), "by its number");
    assert_eq!(place(ended(shown(513, 4))), Alignment::Guessed(at(12)), "by its end");
}

/// What an encoder and the servers before it do between two reloads.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// It records so many segments.
    Record(u64),
    /// A server shows the state of so many segments ago, once.
    Behind(u64),
    /// It begins anew.
    Restart,
    /// The same is shown again.
    Nothing,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (1_u64..4).prop_map(Deed::Record),
        1 => (5_u64..40).prop_map(Deed::Record),
        2 => (1_u64..3).prop_map(Deed::Behind),
        1 => Just(Deed::Restart),
        1 => Just(Deed::Nothing),
    ];
    prop::collection::vec(deed, 1..26)
}

/// Takes what is there from `next` on: its file and its start.
fn take(timeline: &Timeline, next: &mut MediaSequence, taken: &mut Vec<(String, Duration)>) {
    while let Some(msn) = timeline.next_from(*next) {
        let (segment, start) = (timeline.segment(msn).unwrap(), timeline.start_of(msn).unwrap());
        taken.push((segment.uri.as_str().to_owned(), start));
        *next = msn.next();
    }
}

proptest! {
    #[test]
    fn time_never_goes_back_and_nothing_that_was_listed_is_repeated_or_skipped(
        deeds in deeds(), window in 4_u64..10, dated in any::<bool>(),
    ) {
        let show = |encoder: u32, end: u64, zero: i64| {
            let first = end.saturating_sub(window);
            let letter = char::from_u32(u32::from('a') + encoder).unwrap();
            Shown { encoder: letter, dated: dated.then_some(zero), ..shown(first, end - first) }
        };
        // The state of the encoder: which one, segments recorded, the date of its start; and the clock.
        let (mut encoder, mut end, mut zero, mut clock) = (0, window, 0_i64, 0_u64);
        // A new encoder may be taken for an old state until it is seen a second time.
        let mut doubts = 0;
        let mut timeline = timeline(show(encoder, end, zero));
        // A reader that takes everything as soon as it is listed, and what it took: file and start.
        let mut next = MediaSequence(timeline.msns().start);
        let mut taken: Vec<(String, Duration)> = Vec::new();
        let files_of = |playlist: &MediaPlaylist| -> Vec<String> {
            playlist.segments.iter().map(|it| it.uri.as_str().to_owned()).collect()
        };
        let mut listed = files_of(timeline.snapshot());
        take(&timeline, &mut next, &mut taken);
        for deed in deeds {
            clock += 4;
            let mut lag = 0;
            match deed {
                Deed::Record(count) => {
                    end += count;
                    clock += 4 * (count - 1);
                }
                Deed::Behind(by) => lag = by.min(end.saturating_sub(window)),
                // Twice in a row would not be seen: the numbers do not go back.
                Deed::Restart if end > 1 => {
                    (encoder, end, zero) = (encoder + 1, 1, i64::try_from(clock).unwrap());
                    doubts = 1;
                }
                Deed::Restart | Deed::Nothing => {}
            }
            let parsed = show(encoder, end - lag, zero).parse();
            let before = (timeline.end(), timeline.msns().end);
            let merge = timeline.merge(Arc::clone(&parsed), secs(clock));
            prop_assert!(timeline.end() >= before.0 && timeline.msns().end >= before.1, "{merge:?} went back");
            prop_assert!(merge != Merge::Behind || lag > 0 || doubts > 0, "what is new was taken for old");
            doubts -= i32::from(doubts > 0 && lag == 0);
            if merge != Merge::Behind {
                let new: Vec<String> = files_of(&parsed).into_iter().filter(|file| !listed.contains(file)).collect();
                listed.extend(new);
            }
            take(&timeline, &mut next, &mut taken);
        }
        for pair in taken.windows(2) {
            prop_assert!(pair[1].1 >= pair[0].1 + FOUR, "{:?} is before the end of {:?}", pair[1], pair[0]);
        }
        let files: Vec<String> = taken.into_iter().map(|(file, _)| file).collect();
        prop_assert_eq!(files, listed, "everything that was listed, once and in order");
    }
}

/// An encoder that began anew reuses its file names and has no dates. Loads are two seconds apart, and each shows one more
/// segment every four: after how many seconds it is recognised.
#[track_caller]
fn recognised(old: Shown, want: u64) {
    let mut timeline = timeline(old);
    let seconds = (0..60).step_by(2).find(|second| {
        let newer = shown(0, 1 + second / 4).parse();
        timeline.merge(newer, secs(100 + second)) == Merge::Restarted
    });
    assert_eq!(seconds, Some(want), "{old:?}");
    assert!(timeline.msns().start >= old.first + old.count, "what it lists follows what was there");
}

#[test]
fn an_encoder_that_begins_anew_without_dates_is_recognised_soon() {
    // Far behind at once; a window apart, or further than a cache may be, when it is seen again.
    recognised(shown(100, 6), 0);
    recognised(shown(7, 6), 2);
    recognised(shown(0, 6), 2);
}

#[test]
fn segments_of_other_lengths_are_of_another_encoder() {
    let text = |durations: &[&str]| {
        let segments: String = durations.iter().map(|it| format!("#EXTINF:{it},\nseg.ts\n")).collect();
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:5\n{segments}");
        match parse(text.as_bytes(), &Url::parse("http://origin.test/live.m3u8").unwrap(), &ParseOptions::default()) {
            Ok(Playlist::Media(playlist)) => Arc::new(playlist),
            _ => panic!("segments are listed"),
        }
    };
    let after = |newer: &[&str]| {
        let mut timeline = Timeline::new(text(&["4.01", "3.99", "4.02", "4"]), Duration::ZERO, Tick::ZERO);
        timeline.merge(text(newer), secs(4))
    };
    assert_eq!(after(&["4.01", "3.99", "4.02"]), Merge::Behind);
    assert_eq!(after(&["4.01", "3.99", "3.8"]), Merge::Behind, "one may have been corrected");
    assert_eq!(after(&["4.03", "3.98", "4.02"]), Merge::Restarted);
}
