//! Timed metadata of a stream that plays: gathered, told when playback passes it, and its assets loaded.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "all of this is a test, its helpers too")]

use std::{thread, time::Duration};

use kithara::{
    HlsOptions, Passing, Pcm, PcmReader, Player,
    metadata::{Entry, TimedEvent},
};
use kithara_origin::{Origin, Response, Site, fixtures_dir};

const PATIENCE: Duration = Duration::from_secs(60);

/// An event message at a media time, in milliseconds.
fn emsg(time: u64) -> Vec<u8> {
    let numbers = [&1_000_u32.to_be_bytes()[..], &time.to_be_bytes(), &500_u32.to_be_bytes(), &9_u32.to_be_bytes()];
    let body = [&[1, 0, 0, 0][..], &numbers.concat(), b"urn:scheme\0value\0message"].concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], b"emsg", &body].concat()
}

/// Sound with an event message at three seconds, a date range from one to two and an interstitial at four.
fn origin() -> Origin {
    let file = |name: &str| std::fs::read(fixtures_dir().join("fmp4_aac").join(name)).unwrap();
    let playlist = String::from_utf8(file("index.m3u8")).unwrap();
    let at = playlist.find("#EXTINF").unwrap();
    let ranges = "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00Z\n\
         #EXT-X-DATERANGE:ID=\"song\",START-DATE=\"2026-01-02T00:00:01Z\",DURATION=1\n\
         #EXT-X-DATERANGE:ID=\"ad\",CLASS=\"com.apple.hls.interstitial\",START-DATE=\"2026-01-02T00:00:04Z\",DURATION=0.5,\
         X-ASSET-LIST=\"list.json\"\n";
    let playlist = Response::new(200).with_body([&playlist[..at], ranges, &playlist[at..]].concat());
    let first = Response::new(200).with_body([emsg(3_000), file("seg0.m4s")].concat());
    let list = Response::new(200).with_body(r#"{"ASSETS":[{"URI":"https://ads.test/1.m3u8","DURATION":0.5}]}"#);
    let site = Site::new().dir("/", fixtures_dir());
    let site = site.route("/fmp4_aac/meta.m3u8", move |_| playlist.clone());
    let site = site.route("/fmp4_aac/seg0.m4s", move |_| first.clone());
    Origin::start(site.route("/fmp4_aac/list.json", move |_| list.clone())).unwrap()
}

fn named(passing: &Passing) -> (bool, String) {
    let name = |entry: &Entry<TimedEvent>| match &entry.value {
        TimedEvent::DateRange(range) => range.id.to_string(),
        TimedEvent::Interstitial(interstitial) => interstitial.id.to_string(),
        TimedEvent::Message { payload, .. } => String::from_utf8(payload.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    match passing {
        Passing::Enter(entry) => (true, name(entry)),
        Passing::Leave(entry) => (false, name(entry)),
    }
}

/// Takes samples up to this time, or the end.
fn read_to(player: &Player, reader: &mut PcmReader, time: Duration) {
    let mut buffer = [0.0; 1024];
    while player.position() < time {
        if matches!(reader.read(&mut buffer).unwrap(), Pcm::End) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_playback_passes_is_told_in_order() {
    let origin = origin();
    let options = HlsOptions::default();
    let (player, mut reader) = kithara::open(&origin.url("/fmp4_aac/meta.m3u8"), options).await.unwrap();
    let mut passings = player.passings();
    let playing = player.clone();
    let reading = thread::spawn(move || {
        read_to(&playing, &mut reader, Duration::from_secs(6));
        reader
    });
    let mut met = Vec::new();
    while met.len() < 6 {
        met.push(tokio::time::timeout(PATIENCE, passings.next()).await.unwrap().unwrap());
    }
    let names: Vec<(bool, String)> = met.iter().map(named).collect();
    let both = |name: &str| [(true, name.to_owned()), (false, name.to_owned())];
    assert_eq!(names, [both("song"), both("message"), both("ad")].concat());
    let _reader = reading.join().unwrap();

    let all = player.metadata().between(Duration::ZERO..Duration::from_secs(60));
    assert_eq!(all.iter().map(|entry| entry.start.as_secs()).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(player.metadata().active_at(Duration::from_millis(1_500)).len(), 1);
    let TimedEvent::Interstitial(ad) = &all[2].value else { panic!("{all:?}") };
    let assets = player.session().unwrap().assets_of(ad, Duration::ZERO).await.unwrap();
    assert_eq!(assets.duration(), Duration::from_millis(500));

    player.close().await;
    assert_eq!(tokio::time::timeout(PATIENCE, passings.next()).await.unwrap(), None, "nothing follows the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_of_a_file_that_was_closed_or_whose_reader_is_gone() {
    let origin = origin();
    let next = async |passings: &mut kithara::Passings| tokio::time::timeout(PATIENCE, passings.next()).await.unwrap();
    let url = origin.url("/mp3/seg0.mp3");
    let (player, _reader) = kithara::open(&url, HlsOptions::default()).await.unwrap();
    let mut passings = player.passings();
    player.close().await;
    assert_eq!(next(&mut passings).await, None);

    let (player, reader) = kithara::open(&url, HlsOptions::default()).await.unwrap();
    let mut passings = player.passings();
    drop(reader);
    assert_eq!(next(&mut passings).await, None);
}
