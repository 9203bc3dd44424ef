//! The adaptive view: segments in presentation order, runs where a demuxer has to begin anew, nothing twice.

mod support;

use std::{future::poll_fn, num::NonZeroU32, time::Duration};

use kithara_demux::{Container, FirstTimestamp, first_timestamp};
use kithara_hls::{
    Hls, HlsError, HlsOptions, HlsParams, HlsSession, MediaSegment, Segments,
    hls_core::{
        playlist::{RenditionId, VariantId},
        session::{HlsEvent, MediaId, MediaSelection, RunReason, Track, VariantChoice},
    },
};
use kithara_origin::{At, Fault, Origin, Response, Rule, Site};
use kithara_stream::{ChunkAt, Source, StreamError};
use support::{file, fixtures, in_time, joined, open, ours, playlist, quick, read_all, read_range, serve};

const VIDEO: MediaId = MediaId::Variant(VariantId(0));

fn session(url: &str, options: HlsOptions) -> HlsSession {
    Hls::session(url, options.into()).expect("a URL")
}

async fn segments(session: &HlsSession, track: Track) -> Segments {
    session.segments(track).await.expect("the session lives")
}

async fn next(segments: &mut Segments) -> Option<MediaSegment> {
    in_time(segments.next()).await.expect("the stream goes on")
}

/// A segment with its body, read to the end.
struct Read {
    segment: MediaSegment,
    body: Vec<u8>,
    /// Why the body ended before the end.
    broken: Option<std::io::Error>,
}

async fn read(segment: MediaSegment) -> Read {
    let (body, broken) = read_all(&segment.body).await;
    Read { segment, body, broken }
}

async fn rest(segments: &mut Segments) -> Vec<Read> {
    let mut all = Vec::new();
    while let Some(segment) = next(segments).await {
        all.push(read(segment).await);
    }
    all
}

async fn all_of(origin: &Origin, path: &str, track: Track) -> Vec<Read> {
    let session = session(&origin.url(path), quick());
    rest(&mut segments(&session, track).await).await
}

/// One follows the other without hole or overlap, up to rounding.
#[track_caller]
fn assert_contiguous(all: &[Read]) {
    for pair in all.windows(2) {
        let end = pair[0].segment.start + pair[0].segment.duration;
        let gap = end.abs_diff(pair[1].segment.start);
        assert!(gap < Duration::from_millis(60), "{:?} then {:?}", pair[0].segment, pair[1].segment);
    }
}

/// The offset puts the first sample of each segment where the playlist says that it begins.
#[track_caller]
fn assert_timed(all: &[Read]) {
    assert_timed_within(all, 100_000_000);
}

#[track_caller]
fn assert_timed_within(all: &[Read], nanos: i64) {
    for Read { segment, body, .. } in all {
        let offset = segment.timestamp_offset.expect("this media has timestamps");
        let second = NonZeroU32::new(1_000_000_000).expect("not zero");
        let FirstTimestamp::At(first) = first_timestamp(segment.container, segment.init.as_deref(), body) else {
            unreachable!("no timestamp in {segment:?}")
        };
        let presented = first.rescale(second) + offset;
        let start = i64::try_from(segment.start.as_nanos()).expect("small");
        assert!((presented - start).abs() < nanos, "{presented} instead of {start}: {segment:?}");
    }
}

fn run_starts(all: &[Read]) -> Vec<Option<RunReason>> {
    all.iter().map(|read| read.segment.run_start).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_segments_of_a_variant_come_in_order_with_their_init_section() {
    let origin = serve(fixtures());
    let all = all_of(&origin, "/av_master/master.m3u8", Track::Main).await;
    assert_eq!(all.len(), 5);
    for (n, Read { segment, body, broken }) in all.iter().enumerate() {
        assert_eq!(*body, file(&format!("av_master/video/seg{n}.m4s")), "segment {n}: {broken:?}");
        assert_eq!(segment.init.as_deref(), Some(&*file("av_master/video/init.mp4")));
        assert_eq!((segment.container, segment.variant, segment.track), (Container::Fmp4, VIDEO, Track::Main));
        assert_eq!(segment.msn.0, n as u64);
        assert_eq!(segment.run, all[0].segment.run);
    }
    assert_eq!(run_starts(&all), [Some(RunReason::Start), None, None, None, None]);
    assert_contiguous(&all);
    assert_timed(&all);
    assert_eq!(origin.requests_of("/av_master/video/init.mp4").len(), 1);
    assert!(origin.log().iter().all(|request| !request.path.contains("audio")), "nobody asked for the audio track");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_segments_come_decrypted() {
    let origin = serve(fixtures());
    for (fixture, clear, name) in
        [("ts_aes", "ts_aac", "ts"), ("fmp4_aes_init", "fmp4_aac", "m4s"), ("ts_rotate", "ts_aac", "ts")]
    {
        let all = all_of(&origin, &format!("/{fixture}/index.m3u8"), Track::Main).await;
        assert_eq!(all.len(), 5);
        for (n, read) in all.iter().enumerate() {
            assert_eq!(read.body, file(&format!("{clear}/seg{n}.{name}")), "{fixture}, segment {n}");
            assert_eq!(read.segment.init.is_some(), name == "m4s");
        }
        assert_timed(&all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discontinuity_begins_a_run_with_an_offset_of_its_own() {
    let origin = serve(fixtures());
    for fixture in ["fmp4_discontinuity", "ts_discontinuity"] {
        let all = all_of(&origin, &format!("/{fixture}/index.m3u8"), Track::Main).await;
        let want = [Some(RunReason::Start), None, None, Some(RunReason::Discontinuity), None, None];
        assert_eq!(run_starts(&all), want, "{fixture}");
        assert!(all[2].segment.run != all[3].segment.run && all[3].segment.run == all[5].segment.run);
        assert_eq!([all[2].segment.dsn.0, all[3].segment.dsn.0], [0, 1]);
        assert_contiguous(&all);
        assert_timed(&all);
        if fixture.starts_with("fmp4") {
            assert_eq!(all[2].segment.init.as_deref(), Some(&*file("fmp4_discontinuity/a_init.mp4")));
            assert_eq!(all[3].segment.init.as_deref(), Some(&*file("fmp4_discontinuity/b_init.mp4")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_init_section_begins_a_run_without_a_discontinuity() {
    let text = String::from_utf8(file("fmp4_discontinuity/index.m3u8")).expect("UTF-8");
    let site = fixtures().bytes("/fmp4_discontinuity/index.m3u8", text.replace("#EXT-X-DISCONTINUITY\n", ""));
    let all = all_of(&serve(site), "/fmp4_discontinuity/index.m3u8", Track::Main).await;
    assert_eq!(run_starts(&all), [Some(RunReason::Start), None, None, Some(RunReason::Init), None, None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seek_goes_on_with_the_segment_that_holds_the_time() {
    let origin = serve(fixtures());
    let session = session(&playlist(&origin, "fmp4_aac"), quick());
    let mut stream = segments(&session, Track::Main).await;
    let first = next(&mut stream).await.expect("a segment");
    for (seek, want) in [(3_500, 3), (500, 0), (4_900, 4), (1_000, 0), (1_003, 1)] {
        let time = Duration::from_millis(seek);
        session.seek(time).await.expect("the session lives");
        let segment = next(&mut stream).await.expect("a segment");
        assert_eq!(segment.msn.0, want, "after a seek to {time:?}");
        assert_eq!(segment.run_start, Some(RunReason::Seek));
        assert_eq!(segment.discard_until, Some(time));
        assert_ne!(segment.run, first.run);
        assert_eq!(read(segment).await.body, file(&format!("fmp4_aac/seg{want}.m4s")));
    }
    assert_eq!(rest(&mut stream).await.len(), 3, "the last seek goes on to the end");
    session.seek(Duration::from_secs(2)).await.expect("the session lives");
    assert_eq!(rest(&mut stream).await.len(), 4, "after the end, too");
    session.seek(Duration::from_secs(3600)).await.expect("the session lives");
    assert!(next(&mut stream).await.is_none(), "beyond the end is the end");
}

/// Three segments, the first of which stops for ever when most of it is still to come.
fn stuck() -> Site {
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nlarge.ts\n#EXTINF:1,\nts_aac/seg1.ts\n\
        #EXTINF:1,\nts_aac/seg2.ts\n#EXT-X-ENDLIST\n";
    let stall = Rule::on("/large.ts").then(Fault::stall(At::Byte(100_000), Duration::from_secs(3600)));
    let large = [file("ts_aac/seg0.ts"), large()].concat();
    fixtures().bytes("/a.m3u8", playlist).bytes("/large.ts", large).rule(stall)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seek_ends_transfers_that_nobody_wants() {
    let origin = serve(stuck());
    let mut options = quick();
    // Nothing but the seek may end it.
    options.network.timeouts.stall = Duration::from_secs(3600);
    options.request.patience.max_elapsed = Duration::from_secs(3600);
    let session = session(&origin.url("/a.m3u8"), options);
    let mut stream = segments(&session, Track::Main).await;
    let left = next(&mut stream).await.expect("a segment");
    let (begun, _) = read_range(&left.body, 0..50_000).await;
    assert_eq!(begun.len(), 50_000);
    assert_eq!(origin.requests_of("/large.ts")[0].ended, None, "it is under way");
    session.seek(Duration::from_millis(10_500)).await.expect("the session lives");
    in_time(origin.until(|origin| origin.requests_of("/large.ts").iter().all(|it| it.ended.is_some()))).await;
    assert_eq!(origin.requests_of("/large.ts").len(), 1, "and it is not begun again");
    let target = next(&mut stream).await.expect("a segment");
    assert_eq!((target.msn.0, target.run_start), (2, Some(RunReason::Seek)));
    assert_eq!(read(target).await.body, file("ts_aac/seg2.ts"));
}

/// Plans few segments ahead, so that a choice has an effect at once.
fn near() -> HlsOptions {
    let mut options = quick();
    options.playback.buffer_goal = Duration::from_secs(1);
    options.playback.variant = VariantChoice::Worst;
    options
}

/// Two variants of the same media; the first has less bandwidth.
const TWINS: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=50000,CODECS=\"mp4a.40.2\"\nfmp4_aes/index.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=60000,CODECS=\"mp4a.40.2\"\nfmp4_aac/index.m3u8\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_that_is_selected_goes_on_at_a_segment_boundary_in_a_new_run() {
    let origin = serve(fixtures().bytes("/master.m3u8", TWINS));
    let session = session(&origin.url("/master.m3u8"), near());
    let mut stream = segments(&session, Track::Main).await;
    let mut all = vec![read(next(&mut stream).await.expect("a segment")).await];
    session.select_variant(Some(VariantId(1))).await.expect("there is one");
    all.extend(rest(&mut stream).await);
    assert_contiguous(&all);
    assert_timed(&all);
    let switched = all.iter().position(|read| read.segment.run_start == Some(RunReason::Switch));
    let switched = switched.expect("the variant changes");
    for (n, Read { segment, body, .. }) in all.iter().enumerate() {
        let variant = u32::from(n >= switched);
        assert_eq!(segment.variant, MediaId::Variant(VariantId(variant)), "segment {n}");
        assert_eq!(*body, file(&format!("fmp4_aac/seg{n}.m4s")), "segment {n}");
    }
    assert_eq!(all.len(), 5);
    let refused = session.select_variant(Some(VariantId(7))).await;
    let seven = MediaId::Variant(VariantId(7));
    assert!(matches!(refused, Err(HlsError::VariantNotFound { wanted }) if wanted == seven), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_that_dies_inside_a_segment_is_cut_and_another_begins_that_segment_again() {
    let cut = Rule::on("/fmp4_aes/seg2.m4s").then(Fault::Shorten(At::Byte(3_001)));
    let origin = serve(fixtures().bytes("/master.m3u8", TWINS).rule(cut));
    let session = session(&origin.url("/master.m3u8"), near());
    let mut events = session.events();
    let all = rest(&mut segments(&session, Track::Main).await).await;
    assert_eq!(all.iter().map(|read| read.segment.msn.0).collect::<Vec<_>>(), [0, 1, 2, 2, 3, 4]);
    let (dead, again) = (&all[2], &all[3]);
    let broken = dead.broken.as_ref().expect("it never ends");
    assert_eq!(StreamError::of(broken), Some(StreamError::Cut), "{broken:?}");
    assert!(!dead.body.is_empty() && file("fmp4_aac/seg2.m4s").starts_with(&dead.body));
    assert_eq!(again.segment.run_start, Some(RunReason::Cut));
    assert_eq!(again.segment.variant, MediaId::Variant(VariantId(1)));
    assert_eq!(again.segment.start, dead.segment.start);
    assert_eq!(again.segment.discard_until, Some(dead.segment.start));
    assert_ne!(again.segment.run, dead.segment.run);
    for read in &all[3..] {
        assert_eq!(read.body, file(&format!("fmp4_aac/seg{}.m4s", read.segment.msn.0)));
        assert_eq!(read.segment.run, again.segment.run);
    }
    let mut applied = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let HlsEvent::VariantApplied { to_variant, .. } = event {
            applied.push(to_variant);
        }
    }
    assert_eq!(applied, [VariantId(0), VariantId(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_no_variant_has_is_an_error_behind_the_ones_before() {
    let gone = Rule::on("seg2.m4s").then(Response::new(404));
    let origin = serve(fixtures().bytes("/master.m3u8", TWINS).rule(gone));
    let session = session(&origin.url("/master.m3u8"), near());
    let mut stream = segments(&session, Track::Main).await;
    for n in 0..2 {
        let segment = next(&mut stream).await.expect("a segment");
        assert_eq!(read(segment).await.body, file(&format!("fmp4_aac/seg{n}.m4s")));
    }
    let error = loop {
        match in_time(stream.next()).await {
            Err(error) => break error,
            Ok(None) => panic!("an end that is none"),
            Ok(Some(segment)) => {
                assert_eq!(segment.msn.0, 2);
                let Read { body, broken, .. } = read(segment).await;
                assert!(body.is_empty());
                if let Some(broken) = broken.filter(|broken| StreamError::of(broken) != Some(StreamError::Cut)) {
                    break ours(&broken).clone();
                }
            }
        }
    };
    assert_eq!(error.status(), Some(404), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_and_video_are_two_streams_on_one_timeline() {
    let origin = serve(fixtures());
    let session = session(&origin.url("/av_master/master.m3u8"), quick());
    let (mut video, mut audio) = (segments(&session, Track::Main).await, segments(&session, Track::Audio).await);
    let (video, audio) = tokio::join!(rest(&mut video), rest(&mut audio));
    assert_eq!((video.len(), audio.len()), (5, 5));
    for (n, read) in audio.iter().enumerate() {
        assert_eq!(read.body, file(&format!("av_master/audio_en/seg{n}.m4s")));
        assert_eq!(read.segment.track, Track::Audio);
        assert_eq!(read.segment.init.as_deref(), Some(&*file("av_master/audio_en/init.mp4")));
    }
    // The video of this fixture begins 200 ms after its sound.
    assert_timed_within(&video, 210_000_000);
    assert_timed_within(&audio, 210_000_000);
    let offsets: Vec<_> = video.iter().chain(&audio).map(|read| read.segment.timestamp_offset).collect();
    assert!(offsets.windows(2).all(|pair| pair[0] == pair[1]), "one offset for all tracks: {offsets:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_whose_playlist_comes_late_begins_where_the_other_began() {
    let late = Rule::on("/av_master/audio_en/index.m3u8").then(Fault::Latency(Duration::from_millis(300)));
    let origin = serve(fixtures().rule(late));
    let session = session(&origin.url("/av_master/master.m3u8"), quick());
    let (mut video, mut audio) = (segments(&session, Track::Main).await, segments(&session, Track::Audio).await);
    assert_eq!(rest(&mut video).await.len(), 5);
    assert_eq!(rest(&mut audio).await.len(), 5, "all of the sound, though all of the picture was read before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_audio_rendition_goes_on_where_the_first_was() {
    let origin = serve(fixtures());
    let mut options = quick();
    options.playback.buffer_goal = Duration::from_secs(1);
    let session = session(&origin.url("/av_master/master.m3u8"), options);
    let mut stream = segments(&session, Track::Audio).await;
    let mut all = vec![read(next(&mut stream).await.expect("a segment")).await];
    let german = session.status().renditions.iter().find(|it| it.language.as_deref() == Some("de")).map(|it| it.id);
    session.select_audio(german.expect("it is in the playlist")).await.expect("there is one");
    all.extend(rest(&mut stream).await);
    let folder = |media| if media == MediaId::Rendition(RenditionId(1)) { "audio_de" } else { "audio_en" };
    assert_contiguous(&all);
    assert_timed(&all);
    for Read { segment, body, .. } in &all {
        assert_eq!(*body, file(&format!("av_master/{}/seg{}.m4s", folder(segment.variant), segment.msn.0)));
    }
    assert_eq!(all.iter().filter(|read| read.segment.run_start == Some(RunReason::Switch)).count(), 1);
    assert_eq!(folder(all.last().expect("segments").segment.variant), "audio_de");
    assert_eq!(all.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audio_only_session_gives_the_rendition_as_its_main_track() {
    let origin = serve(fixtures());
    let mut options = quick();
    options.playback.selection = MediaSelection::AudioOnly;
    let session = session(&origin.url("/av_master/master.m3u8"), options);
    let all = rest(&mut segments(&session, Track::Main).await).await;
    let bodies: Vec<u8> = all.iter().flat_map(|read| read.body.clone()).collect();
    assert_eq!(bodies, joined("av_master/audio_en", &["seg0.m4s", "seg1.m4s", "seg2.m4s", "seg3.m4s", "seg4.m4s"]));
    assert!(origin.log().iter().all(|request| !request.path.contains("video")), "{:?}", origin.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_that_is_not_there_is_an_error() {
    let origin = serve(fixtures());
    let session = session(&playlist(&origin, "ts_aac"), quick());
    let refused = in_time(segments(&session, Track::Audio).await.next()).await;
    assert!(matches!(refused, Err(HlsError::NoSuitableVariant)), "{refused:?}");
    assert_eq!(rest(&mut segments(&session, Track::Main).await).await.len(), 5, "the main track is not harmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_is_handed_over_before_it_is_whole() {
    let slow = Rule::on("/ts_aac/seg0.ts").then(Fault::stall(At::Byte(4_000), Duration::from_secs(3600)));
    let origin = serve(fixtures().rule(slow));
    let mut options = quick();
    options.network.timeouts.stall = Duration::from_secs(3600);
    let session = session(&playlist(&origin, "ts_aac"), options);
    let segment = next(&mut segments(&session, Track::Main).await).await.expect("a segment");
    assert!(!segment.body.is_finished());
    assert_eq!(segment.container, Container::MpegTs);
    assert!(segment.timestamp_offset.is_some(), "the first bytes are enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_comes_the_end_again() {
    let origin = serve(fixtures());
    let session = session(&playlist(&origin, "adts"), quick());
    let mut stream = segments(&session, Track::Main).await;
    let mut events = session.events();
    assert_eq!(rest(&mut stream).await.len(), 5);
    for _ in 0..3 {
        assert!(next(&mut stream).await.is_none());
    }
    let mut ends = 0;
    while let Ok(event) = events.try_recv() {
        ends += u32::from(matches!(event, HlsEvent::EndOfStream { .. }));
    }
    assert_eq!(ends, 1, "it is told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failure_comes_the_failure_again() {
    let origin = serve(fixtures());
    for (path, track) in [("/nothing.m3u8", Track::Main), ("/adts/index.m3u8", Track::Audio)] {
        let session = session(&origin.url(path), quick());
        let mut stream = segments(&session, track).await;
        let failed = in_time(stream.next()).await.expect_err("there is nothing");
        for _ in 0..3 {
            let again = in_time(stream.next()).await.expect_err("there is nothing");
            assert_eq!(again.to_string(), failed.to_string());
        }
        let late = in_time(segments(&session, track).await.next()).await.expect_err("there is nothing");
        assert_eq!(late.to_string(), failed.to_string());
    }
}

/// Whatever happens on the way: each segment that ends well is whole, and one that is cut comes again at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_played_on_a_rough_way_is_complete_and_in_order() {
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..24 {
        tasks.spawn(async move {
            let on = |chance| Rule::on("*seg*").chance(chance);
            let site = fixtures()
                .seed(seed)
                .bytes("/master.m3u8", TWINS)
                .rule(on(0.3).then(Fault::Shorten(At::Byte(3_001))))
                .rule(on(0.2).then(Fault::truncate(At::Fraction(0.5))))
                .rule(on(0.1).then(Response::new(404)))
                .rule(on(0.1).then(Response::html("<html>Please log in.</html>")));
            let origin = serve(site);
            let mut options = near();
            options.playback.variant = VariantChoice::Auto;
            options.playback.exclusion = Duration::from_millis(5);
            options.playback.patience = Duration::from_secs(30);
            options.playback.refetches = 1;
            options.network.breaker.retry_burst = 100_000;
            let session = session(&origin.url("/master.m3u8"), options);
            let all = rest(&mut segments(&session, Track::Main).await).await;
            let mut expected = 0;
            for Read { segment, body, broken } in &all {
                assert_eq!(
                    segment.msn.0,
                    expected,
                    "seed {seed}: {all:#?}",
                    all = all.iter().map(|it| &it.segment).collect::<Vec<_>>()
                );
                let truth = file(&format!("fmp4_aac/seg{expected}.m4s"));
                match broken {
                    None => assert!(*body == truth, "seed {seed}: segment {expected}"),
                    Some(error) => {
                        assert_eq!(StreamError::of(error), Some(StreamError::Cut), "seed {seed}: {error:?}");
                        assert!(truth.starts_with(body), "seed {seed}: segment {expected}");
                        continue;
                    }
                }
                expected += 1;
            }
            assert_eq!(expected, 5, "seed {seed}");
            let cuts = all.iter().filter(|read| read.broken.is_some()).count();
            let again = all.iter().filter(|read| read.segment.run_start == Some(RunReason::Cut)).count();
            assert!(cuts <= again, "seed {seed}: each cut is followed by a run that says so: {cuts}, {again}");
        });
    }
    tasks.join_all().await;
}

/// A segment, read to its end and let go of on the way, as a decoder does it.
async fn consumed(segment: MediaSegment) -> Vec<u8> {
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        in_time(poll_fn(|cx| segment.body.poll_ready(cx, at..at + 1))).await.expect("a body that waits");
        match segment.body.chunk_at(at).expect("nobody else lets it go") {
            ChunkAt::Bytes(bytes) => {
                at += bytes.len() as u64;
                all.extend_from_slice(&bytes);
                segment.body.release(at);
            }
            ChunkAt::Pending => tokio::task::yield_now().await,
            ChunkAt::End => return all,
        }
    }
}

async fn consumed_rest(segments: &mut Segments) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(segment) = next(segments).await {
        all.push(consumed(segment).await);
    }
    all
}

/// Which segments these are; none for what is no segment.
fn numbers(read: &[Vec<u8>]) -> Vec<Option<usize>> {
    let pieces: Vec<Vec<u8>> = (0..5).map(|n| file(&format!("ts_aac/seg{n}.ts"))).collect();
    read.iter().map(|it| pieces.iter().position(|piece| piece == it)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_of_a_track_that_let_go_behind_them_read_all_of_it_from_one_fetch() {
    let origin = serve(fixtures());
    let params = HlsParams { no_store: true, ..quick().into() };
    let session = Hls::session(&playlist(&origin, "ts_aac"), params).expect("a URL");
    let (mut one, mut other) = (segments(&session, Track::Main).await, segments(&session, Track::Main).await);
    let first = next(&mut one).await.expect("a segment");
    let mut both = [vec![consumed(first).await], Vec::new()];
    // The other one lags a segment behind.
    for _ in 0..4 {
        both[0].push(consumed(next(&mut one).await.expect("a segment")).await);
        both[1].push(consumed(next(&mut other).await.expect("a segment")).await);
    }
    both[0].extend(consumed_rest(&mut one).await);
    both[1].extend(consumed_rest(&mut other).await);
    assert_eq!(both.map(|read| numbers(&read)), [[0, 1, 2, 3, 4].map(Some), [0, 1, 2, 3, 4].map(Some)]);
    for n in 0..5 {
        assert_eq!(origin.requests_of(&format!("/ts_aac/seg{n}.ts")).len(), 1, "segment {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_in_a_segment_that_another_has_let_go_of_reads_all_of_it() {
    let origin = serve(fixtures());
    let session = session(&playlist(&origin, "ts_aac"), quick());
    let mut one = segments(&session, Track::Main).await;
    let first = next(&mut one).await.expect("a segment");
    assert_eq!(consumed(first).await, file("ts_aac/seg0.ts"));
    let mut late = segments(&session, Track::Main).await;
    // It begins where the other one is.
    let again = consumed(next(&mut late).await.expect("a segment")).await;
    assert_eq!(numbers(&[again]), [Some(0)]);
    let (late, one) = tokio::join!(consumed_rest(&mut late), consumed_rest(&mut one));
    assert_eq!(numbers(&late), [1, 2, 3, 4].map(Some));
    assert_eq!(numbers(&one), [1, 2, 3, 4].map(Some));
}

/// A transport stream of nothing, larger than what a session lets arrive unread.
fn large() -> Vec<u8> {
    let mut packets = Vec::new();
    for n in 0..80_000_u32 {
        packets.extend_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
        packets.extend_from_slice(&n.to_be_bytes().repeat(46));
    }
    packets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_segments_and_of_bytes_share_a_large_segment() {
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nlarge.ts\n#EXT-X-ENDLIST\n";
    let origin = serve(Site::new().bytes("/a.m3u8", playlist).bytes("/large.ts", large()));
    let source = open(&origin.url("/a.m3u8"), quick()).await;
    // The reader of bytes stands still where the beginning is gone and the end may not have come.
    let (begun, _) = read_range(&source, 0..9 << 20).await;
    let mut late = segments(source.session(), Track::Main).await;
    let all = consumed(next(&mut late).await.expect("a segment")).await;
    assert!(all == large(), "{} bytes", all.len());
    let (rest, error) = read_range(&source, 9 << 20..u64::MAX).await;
    assert!(error.is_none() && [begun, rest].concat() == large(), "{error:?}");
}
