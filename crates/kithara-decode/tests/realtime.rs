//! A sound callback neither allocates nor frees, whatever happens around it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::time::Duration;

use allocation_counter::measure;
use kithara_decode::{DecodeOptions, Fill, FillState, PcmReader, Player};
use kithara_stream::{Container, Feed, Run, RunId, RunReason, UnitBody, UnitList, UnitWriter};
use support::{Script, segments, units};

/// Fills a buffer as a callback does and checks that memory was left alone. Counts this thread only.
#[track_caller]
fn fill(reader: &mut PcmReader, buffer: &mut [f32]) -> Fill {
    let mut fill = None;
    let info = measure(|| fill = Some(reader.fill(buffer)));
    assert_eq!((info.count_total, info.count_current), (0, 0), "{fill:?}");
    fill.unwrap()
}

/// Fills until the state comes, giving the worker the time it needs.
#[track_caller]
fn fill_until(reader: &mut PcmReader, wanted: impl Fn(FillState) -> bool) -> usize {
    let mut buffer = [0.0; 512];
    let mut samples = 0;
    loop {
        let fill = fill(reader, &mut buffer);
        assert!(buffer[fill.samples..].iter().all(|sample| *sample == 0.0), "padded with silence");
        samples += fill.samples;
        if wanted(fill.state) {
            return samples;
        }
        assert!(fill.state != FillState::Failed, "{:?}", reader.error());
        if matches!(fill.state, FillState::Waiting | FillState::Starved) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_counter_counts() {
    let info = measure(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!(info.count_total, 1);
}

#[test]
fn a_whole_stream_with_changes_of_format_and_seeks() {
    let feed = units(Script::new(segments("ts_discontinuity", Container::MpegTs)));
    let (player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
    let is_change = |state| matches!(state, FillState::SpecChanged(_));
    assert_eq!(fill_until(&mut reader, is_change), 0);
    assert_eq!(fill_until(&mut reader, is_change), 140_288 * 2);
    player.seek(Duration::from_millis(2500));
    fill_until(&mut reader, is_change);
    assert_eq!(fill_until(&mut reader, is_change), 140_288 * 2 - 120_000 * 2);
    assert_eq!(fill_until(&mut reader, |state| state == FillState::Ended), 129_024);
    assert_eq!(fill(&mut reader, &mut [1.0; 64]), Fill { samples: 0, state: FillState::Ended });
}

/// A stream of one unit whose bytes come when the test says so.
fn trickle() -> (UnitWriter, Feed, Vec<bytes::Bytes>) {
    let segments = segments("ts_aac", Container::MpegTs);
    let (writer, body) = UnitBody::channel();
    let run = Run {
        id: RunId(1),
        reason: RunReason::Start,
        time: Duration::ZERO,
        container: Container::MpegTs,
        init: None,
        codecs: None,
        timestamp_offset: None,
        discard_until: None,
    };
    let feed = Feed::Units(Box::new(UnitList::new(run, [(body, Duration::from_secs(5))])));
    (writer, feed, segments.into_iter().map(|segment| segment.bytes).collect())
}

#[test]
fn under_runs_pause_and_the_way_back() {
    let (mut writer, feed, parts) = trickle();
    let (player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
    assert_eq!(fill(&mut reader, &mut [1.0; 64]).state, FillState::Waiting);
    writer.push(parts[0].clone());
    fill_until(&mut reader, |state| matches!(state, FillState::SpecChanged(_)));
    let heard = fill_until(&mut reader, |state| state == FillState::Starved);
    let before = player.stats();
    assert!(before.underruns > 0 && before.padded > 0, "{before:?}");

    player.pause();
    assert_eq!(fill(&mut reader, &mut [1.0; 64]), Fill { samples: 0, state: FillState::Paused });
    assert_eq!(player.stats().underruns, before.underruns, "a pause is no under-run");
    player.resume();

    parts[1..].iter().for_each(|part| writer.push(part.clone()));
    writer.finish();
    let rest = fill_until(&mut reader, |state| state == FillState::Ended);
    assert_eq!(heard + rest, 236_544 * 2);
}

#[test]
fn a_feed_that_fails() {
    let (mut writer, feed, parts) = trickle();
    let (_player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
    writer.push(parts[0].clone());
    drop(writer);
    let mut buffer = [0.0; 512];
    let failed = loop {
        let fill = fill(&mut reader, &mut buffer);
        if fill.state == FillState::Failed {
            break reader.error().unwrap();
        }
        std::thread::yield_now();
    };
    assert_eq!(failed.kind(), kithara_decode::DecodeErrorKind::Feed);
}

/// How often the kernel took the processor from this thread because the thread asked it to wait: a lock that is held by
/// another, a sleep, a read.
#[cfg(target_os = "linux")]
fn waits() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_count_of_waits_counts() {
    let before = waits();
    std::thread::sleep(Duration::from_millis(1));
    assert!(waits() > before);
}

/// Others take every lock there is, all the time; the callback never waits for one of them.
#[cfg(target_os = "linux")]
#[test]
fn a_callback_never_waits_while_others_seek_pause_and_look() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let feed = units(Script::new(segments("ts_aac", Container::MpegTs)));
    let (player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..3_u64 {
            let (player, is_over) = (player.clone(), &is_over);
            scope.spawn(move || {
                let mut round = number;
                while !is_over.load(Ordering::Relaxed) {
                    round += 1;
                    match round % 7 {
                        0 => player.seek(Duration::from_millis(round * 37 % 4000)),
                        1 => player.pause(),
                        2 | 3 => player.resume(),
                        _ => drop(std::hint::black_box((player.stats(), player.position(), player.duration()))),
                    }
                }
            });
        }
        let mut buffer = [0.0; 256];
        let before = waits();
        for _ in 0..200_000 {
            let _ = fill(&mut reader, &mut buffer);
        }
        assert_eq!(waits() - before, 0, "the callback waited");
        is_over.store(true, Ordering::Relaxed);
    });
}
