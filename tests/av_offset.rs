//! Sound that comes apart from its picture, heard: each sample lies where the muxed original has it, whatever is sought and selected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::time::Duration;

use kithara::{
    HlsOptions, OpenParams, Pcm, PcmReader,
    options::{PlaybackOptions, RenditionPreference},
    playlist::RenditionId,
};
use kithara_origin::{Origin, Site, fixtures_dir};

const RATE: usize = 48_000;
const ENGLISH: RenditionId = RenditionId(0);
const GERMAN: RenditionId = RenditionId(1);

/// Reads `count` samples, and tells where the first one lies.
fn read(reader: &mut PcmReader, count: usize) -> (usize, Vec<f32>) {
    let (mut at, mut all) = (None, Vec::new());
    while all.len() < count {
        let mut buffer = vec![0.0; (count - all.len()).min(4_096)];
        let position = reader.position();
        match reader.read(&mut buffer).unwrap() {
            Pcm::Samples(samples) => {
                let nanos = position.as_nanos() * RATE as u128;
                at.get_or_insert(usize::try_from((nanos + 500_000_000) / 1_000_000_000).unwrap());
                all.extend_from_slice(&buffer[..samples]);
            }
            Pcm::SpecChanged(spec) => assert_eq!((spec.sample_rate, spec.channels), (48_000, 1)),
            Pcm::End => break,
        }
    }
    (at.unwrap(), all)
}

async fn whole(url: &str, options: HlsOptions) -> Vec<f32> {
    let (_player, mut reader) = kithara::open(url, OpenParams::from(options)).await.unwrap();
    let (at, samples) = tokio::task::spawn_blocking(move || read(&mut reader, 20 * RATE)).await.unwrap();
    assert_eq!(at, 0);
    samples
}

fn german() -> HlsOptions {
    let audio = RenditionPreference { languages: vec!["de".into()], ..RenditionPreference::default() };
    HlsOptions { playback: PlaybackOptions { audio, ..PlaybackOptions::default() }, ..HlsOptions::default() }
}

/// Where clicks begin: the first loud sample after silence.
fn clicks(samples: &[f32]) -> Vec<usize> {
    let mut last = 0;
    let loud = samples.iter().enumerate().filter(|(_, sample)| sample.abs() > 0.4).map(|(at, _)| at);
    loud.filter(|at| std::mem::replace(&mut last, *at) + RATE / 10 < *at).collect()
}

/// Correlation around a click of what was heard from `at` on with the truth, `lag` samples later.
fn likeness(heard: &[f32], at: usize, truth: &[f32], click: usize, lag: isize) -> f64 {
    let from = click.saturating_sub(48).max(at);
    let to = (click + 240).min(at + heard.len()).min(truth.len() - 3);
    let pairs = (from..to).map(|place| {
        let other = truth[place.checked_add_signed(-lag).unwrap()];
        (f64::from(heard[place - at]), f64::from(other))
    });
    let (mut both, mut one, mut two) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        (both, one, two) = (both + a * b, one + a * a, two + b * b);
    }
    both / (one * two).sqrt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_lies_where_the_muxed_stream_has_it_after_50_seeks_and_50_switches() {
    let origin = Origin::start(Site::new().dir("/", fixtures_dir())).unwrap();
    let master = origin.url("/av_clicks/master.m3u8");
    let muxed = whole(&origin.url("/av_clicks/muxed/index.m3u8"), HlsOptions::default()).await;
    let german = whole(&master, german()).await;
    let (here, there) = (clicks(&muxed), clicks(&german));
    assert!(here.len() == 9 && there.len() == 9, "a click each second: {here:?} and {there:?}");
    // The tones differ, and so does their first loud sample: by less than a period of the lower one.
    assert!(here.iter().zip(&there).all(|(a, b)| a.abs_diff(*b) < 24), "{here:?} and {there:?}");

    let (player, mut reader) = kithara::open(&master, OpenParams::default()).await.unwrap();
    // Its playlist comes once; how long that takes is not what is measured.
    player.select_audio(GERMAN).await.unwrap();
    let loaded = origin.until(|origin| {
        origin.requests_of("/av_clicks/audio_de/index.m3u8").iter().any(|request| request.ended.is_some())
    });
    tokio::time::timeout(Duration::from_secs(20), loaded).await.unwrap();
    player.select_audio(ENGLISH).await.unwrap();
    let mut dice = 7_u64;
    let mut measured = 0;
    for round in 0..50 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let to = Duration::from_millis((dice >> 33) % 4_400);
        player.seek(to);
        let wanted = if round % 2 == 0 { GERMAN } else { ENGLISH };
        let before = tokio::task::spawn_blocking(move || (read(&mut reader, RATE / 4), reader)).await.unwrap();
        let ((at, mut heard), back) = before;
        assert_eq!(at, usize::try_from(to.as_millis()).unwrap() * RATE / 1_000, "the seek to {to:?}");
        player.select_audio(wanted).await.unwrap();
        let after = tokio::task::spawn_blocking(move || {
            let mut reader = back;
            (read(&mut reader, 5 * RATE), reader)
        });
        let ((_, more), back) = after.await.unwrap();
        reader = back;
        heard.extend_from_slice(&more);
        let mut last = None;
        for place in clicks(&heard).into_iter().map(|click| at + click) {
            let lag_in = |truth: &[f32]| {
                let lags = (-3..=3).map(|lag| (lag, likeness(&heard, at, truth, place, lag)));
                lags.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
            };
            let (one, two) = (lag_in(&muxed), lag_in(&german));
            let (lag, like) = if one.1 > two.1 { one } else { two };
            assert!(like > 0.95, "round {round}: the click at {place} is none of those, {one:?} or {two:?}");
            assert_eq!(lag, 0, "round {round}: the click at {place} is off");
            last = Some(two.1 > one.1);
            measured += 1;
        }
        assert_eq!(last, Some(wanted == GERMAN), "round {round}: what was selected is heard soon");
    }
    println!("{measured} clicks after 50 seeks and 50 switches: each on its sample");
    assert!(measured > 100);
}
