//! Timed metadata of a stream that plays: gathered, told when playback passes it, and its assets loaded.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "all of this is a test, its helpers too")]

use std::{pin::pin, thread, time::Duration};

use kithara::{
    HlsOptions, Passing, Pcm, PcmReader, Player,
    metadata::{Entry, Extent, TimedEvent},
};
use kithara_origin::{Origin, Response, Site, fixtures_dir};
use tokio::time::{MissedTickBehavior, interval, timeout};

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

/// Samples are taken in pieces of this length, one each time this long has passed.
const PIECE: Duration = Duration::from_millis(10);
/// As soon as this something is told.
const SOON: Duration = Duration::from_millis(60);

/// Plays in real time until so many things were passed, and checks that each is told at its time: whether it begins, where,
/// in milliseconds, and what it is.
async fn passed_in_real_time(url: &str, count: usize) -> Vec<(bool, u64, TimedEvent)> {
    let (player, mut reader) = kithara::open(url, HlsOptions::default()).await.unwrap();
    let mut passings = player.passings();
    // One task does both, so that a busy machine makes playback wait as long as what it tells.
    let mut pieces = interval(PIECE);
    pieces.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut met, mut buffer) = (Vec::new(), [0.0; 64]);
    while met.len() < count {
        let mut next = pin!(passings.next());
        let passing = loop {
            tokio::select! {
                biased;
                passing = &mut next => break passing.expect("it plays"),
                _ = pieces.tick() => {
                    let end = player.position() + PIECE;
                    while player.position() < end && reader.fill(&mut buffer).samples > 0 {}
                }
            }
        };
        let (enters, entry) = match passing {
            Passing::Enter(entry) => (true, entry),
            Passing::Leave(entry) => (false, entry),
        };
        let time = match entry.extent {
            Extent::Until(end) if !enters => end,
            _ => entry.start,
        };
        let late = player.position().abs_diff(time);
        assert!(late <= SOON, "{late:?} from {time:?}: {:?}", entry.value);
        met.push((enters, time.as_millis() as u64, entry.value));
    }
    met
}

/// When something begins and ends, in milliseconds.
fn times(met: &[(bool, u64, TimedEvent)]) -> Vec<(bool, u64)> {
    met.iter().map(|(enters, time, _)| (*enters, *time)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_playback_passes_in_real_time_is_told_at_its_time() {
    let origin = origin();
    let met = timeout(PATIENCE, passed_in_real_time(&origin.url("/fmp4_aac/meta.m3u8"), 6)).await.unwrap();
    let want = [(true, 1_000), (false, 2_000), (true, 3_000), (false, 3_500), (true, 4_000), (false, 4_500)];
    assert_eq!(times(&met), want);
}

/// An ID3 tag with a text, and with these frames before it.
fn id3(before: &[u8], text: &str) -> Vec<u8> {
    let text = [&[3][..], b"\0", text.as_bytes()].concat();
    let text = [&b"TXXX"[..], &(text.len() as u32).to_be_bytes(), &[0, 0], &text].concat();
    let len = before.len() + text.len();
    [&b"ID3\x04\0\0\0\0"[..], &[(len >> 7) as u8, (len & 0x7F) as u8], before, &text].concat()
}

/// The tags that were passed: where, in milliseconds, and with which text they end.
#[track_caller]
fn tags(met: &[(bool, u64, TimedEvent)]) -> Vec<(u64, String)> {
    let tag = |(enters, time, value): &(bool, u64, TimedEvent)| match value {
        TimedEvent::Id3(tag) if *enters => {
            let text = tag.rsplit(|byte| *byte == 0).next().unwrap();
            (*time, String::from_utf8(text.to_vec()).unwrap())
        }
        other => panic!("{other:?}"),
    };
    met.iter().map(tag).collect()
}

/// A fixture whose segments are changed: what follows the name of its folder, and how.
fn changed(files: Vec<(String, Vec<u8>)>) -> Origin {
    let site = Site::new().dir("/", fixtures_dir());
    Origin::start(files.into_iter().fold(site, |site, (path, bytes)| site.bytes(&path, bytes))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_of_packed_audio_are_told_where_their_segment_is_heard() {
    // The tag in front of each segment has its media time, and nothing else.
    let segment = |n: usize, text: &str| {
        let bytes = std::fs::read(fixtures_dir().join(format!("adts/seg{n}.aac"))).unwrap();
        let end = 10 + usize::from(bytes[9]);
        (format!("/adts/seg{n}.aac"), [&id3(&bytes[10..end], text), &bytes[end..]].concat())
    };
    let origin = changed(vec![segment(1, "one"), segment(2, "two")]);
    let met = timeout(PATIENCE, passed_in_real_time(&origin.url("/adts/index.m3u8"), 2)).await.unwrap();
    let found = tags(&met);
    let want = [(1_002, "one".to_owned()), (2_005, "two".to_owned())];
    assert!(
        found.iter().zip(&want).all(|(found, want)| found.0.abs_diff(want.0) <= 1 && found.1 == want.1),
        "{found:?}"
    );
}

/// CRC-32 of MPEG-2 sections.
fn crc(section: &[u8]) -> u32 {
    section.iter().fold(u32::MAX, |crc, byte| {
        let crc = crc ^ u32::from(*byte) << 24;
        (0..8).fold(crc, |crc, _| if crc >> 31 == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 })
    })
}

/// A transport stream packet that begins a unit, filled up.
fn packet(pid: u16, payload: &[u8]) -> Vec<u8> {
    let stuffing = 184 - payload.len();
    let [high, low] = pid.to_be_bytes();
    // Stuffing stands in an adaptation field.
    let mut field = vec![(stuffing - 1) as u8, 0];
    field.resize(stuffing, 0xFF);
    [&[0x47, 0x40 | high, low, 0x30][..], &field, payload].concat()
}

/// A segment with a stream of metadata, which has tags at these times of the 90 kHz clock.
fn with_tags(segment: &[u8], tags: &[(u64, &str)]) -> Vec<u8> {
    const TAGS: u16 = 0x102;
    // One program, whose sound is stream 0x100 and gives the clock.
    let streams = [0xE1, 0x00, 0xF0, 0x00, 0x0F, 0xE1, 0x00, 0xF0, 0x00, 0x15, 0xE1, 0x02, 0xF0, 0x00];
    let len = 5 + streams.len() + 4;
    let section = [&[0x02, 0xB0, len as u8, 0x00, 0x01, 0xC1, 0x00, 0x00][..], &streams].concat();
    let mut map = [&[0x47, 0x50, 0x00, 0x10, 0x00][..], &section, &crc(&section).to_be_bytes()].concat();
    map.resize(188, 0xFF);
    let is_map = |packet: &[u8]| packet[1] & 0x1F == 0x10 && packet[2] == 0;
    let mut out = Vec::new();
    for packet_before in segment.chunks(188) {
        if !is_map(packet_before) {
            out.extend_from_slice(packet_before);
            continue;
        }
        out.extend_from_slice(&map);
        // Behind each map, of which there is one: the segments are short.
        for (time, text) in tags {
            let tag = id3(&[], text);
            let bits = |shift: u32| ((time >> shift) & 0x7FFF) as u16;
            let [a, b] = (bits(15) << 1 | 1).to_be_bytes();
            let [c, d] = (bits(0) << 1 | 1).to_be_bytes();
            let first = 0x21 | ((((time >> 30) & 7) as u8) << 1);
            let pes = [&[0, 0, 1, 0xBD, 0, 8 + tag.len() as u8, 0x84, 0x80, 5, first, a, b, c, d][..], &tag].concat();
            out.extend(packet(TAGS, &pes));
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_of_a_transport_stream_are_told_at_their_time() {
    // The sound begins at 1.4 s of media time.
    let at = |millis: u64| (1_400 + millis) * 90;
    let segment = |n: usize, tags: &[(u64, &str)]| {
        let bytes = std::fs::read(fixtures_dir().join(format!("ts_aac/seg{n}.ts"))).unwrap();
        (format!("/ts_aac/seg{n}.ts"), with_tags(&bytes, tags))
    };
    let all = [segment(0, &[]), segment(1, &[(at(1_500), "one")]), segment(2, &[(at(2_750), "two")])];
    let origin = changed(all.into_iter().chain([segment(3, &[]), segment(4, &[])]).collect());
    let met = timeout(PATIENCE, passed_in_real_time(&origin.url("/ts_aac/index.m3u8"), 2)).await.unwrap();
    assert_eq!(tags(&met), [(1_500, "one".to_owned()), (2_750, "two".to_owned())]);
}
