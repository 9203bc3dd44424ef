//! Runs that meet: nothing is lost, nothing is heard twice, decoders are kept.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use kithara_decode::{DecodeOptions, Player};
use kithara_stream::{
    Container::{self, Adts, Fmp4, MpegTs},
    RunReason,
};
use support::{STEREO_48, Script, Segment, hear, hear_all, segments, units};

/// Checks that breaking a stream into runs changes nothing that is heard, and makes no decoder.
#[track_caller]
fn check(folder: &str, container: Container, breaks: impl Fn(usize) -> Option<RunReason>) {
    let whole = hear(units(Script::new(segments(folder, container)))).unwrap();
    let feed = units(Script::with_breaks(segments(folder, container), breaks));
    let (player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
    assert_eq!(hear_all(&mut reader).unwrap(), whole, "{folder}");
    assert_eq!(player.stats().decoders, 1, "{folder}");
}

#[test]
fn what_is_heard_does_not_depend_on_how_often_runs_switch() {
    for (folder, container) in
        [("fmp4_aac", Fmp4), ("ts_aac", MpegTs), ("adts", Adts), ("mp3", Container::Mp3), ("fmp4_flac", Fmp4)]
    {
        check(folder, container, |_| Some(RunReason::Switch));
        check(folder, container, |index| (index % 2 == 1).then_some(RunReason::InitSection));
        check(folder, container, |index| (index == 3).then_some(RunReason::Cut));
    }
}

#[test]
fn containers_that_take_turns_share_a_decoder() {
    let [fmp4, ts, adts] =
        [("fmp4_aac", Fmp4), ("ts_aac", MpegTs), ("adts", Adts)].map(|(folder, c)| segments(folder, c));
    let mixed: Vec<Segment> = (0..5).map(|index| [&fmp4, &ts, &adts][index % 3][index].clone()).collect();
    // Each container has its own media time, so each run needs its own offset; a script gives one per discontinuity.
    let mixed = mixed.into_iter().map(|segment| Segment { is_discontinuity: true, ..segment }).collect();
    let feed = units(Script::new(mixed));
    let (player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
    assert_eq!(hear_all(&mut reader).unwrap().frames(), [(STEREO_48, 236_544)]);
    assert_eq!(player.stats().decoders, 1, "they state the same configuration at different lengths");
}

#[test]
fn a_unit_that_is_delivered_again_is_not_heard_again() {
    for (folder, container) in [("fmp4_aac", Fmp4), ("ts_aac", MpegTs), ("adts", Adts)] {
        let whole = hear(units(Script::new(segments(folder, container)))).unwrap();
        for cut in [500, 2000, 6000] {
            let feed = Script::new(segments(folder, container)).cut(2, cut);
            assert_eq!(hear(units(feed)).unwrap().frames(), whole.frames(), "{folder} cut at {cut}");
        }
    }
}
