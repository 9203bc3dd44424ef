//! Renditions on loopback: picture and sound that come apart lie where the muxed stream has them, whatever is sought and
//! selected; pictures for a time; subtitles; pathways.

mod support;

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use aes::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use bytes::Bytes;
use kithara_demux::{Container, Deliver, DemuxOptions, Demuxer, Run, Timestamp, output::Output, track::TrackId};
use kithara_hls::{
    Hls, HlsError, HlsOptions, HlsSession, MediaSegment, Segments,
    hls_core::{
        playlist::{RenditionId, VariantId},
        selection::{RenditionPreference, SubtitleMode},
        session::{MediaId, RunReason, Track},
    },
};
use kithara_origin::{Live, Origin, Site};
use support::{Dice, file, fixtures, in_time, playlist, quick, read_all, serve};

const NANOS: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("not zero");
/// Of the sound of the fixture, in nanoseconds, rounded up.
const SAMPLE: i64 = 20_834;
const ENGLISH: RenditionId = RenditionId(0);
const GERMAN: RenditionId = RenditionId(1);

fn session(url: &str, options: HlsOptions) -> HlsSession {
    Hls::session(url, options.into()).expect("a URL")
}

async fn segments(session: &HlsSession, track: Track) -> Segments {
    session.segments(track).await.expect("the session lives")
}

async fn next(segments: &mut Segments) -> Option<MediaSegment> {
    in_time(segments.next()).await.expect("the stream goes on")
}

/// A coded frame on the presentation timeline.
#[derive(Clone, Debug)]
struct Frame {
    data: Bytes,
    pts: i64,
    duration: i64,
}

/// What a demuxer finds in a segment, presentation times in nanoseconds.
async fn demux(segment: &MediaSegment) -> Vec<Frame> {
    demux_at(segment, segment.timestamp_offset.expect("the media has timestamps")).await
}

async fn demux_at(segment: &MediaSegment, offset: i64) -> Vec<Frame> {
    let (body, broken) = read_all(&segment.body).await;
    assert!(broken.is_none(), "{broken:?}");
    let deliver = Deliver { audio: true, video: true, text: false, metadata: false };
    let mut demuxer = Demuxer::new(DemuxOptions { deliver, ..DemuxOptions::default() });
    let mut run = Run::new(segment.container);
    run.init.clone_from(&segment.init);
    run.offset = Timestamp::new(offset, NANOS);
    demuxer.start_run(run);
    demuxer.push(body.into());
    demuxer.end_unit();
    let mut tracks: HashMap<TrackId, NonZeroU32> = HashMap::new();
    let mut frames = Vec::new();
    while let Some(output) = demuxer.poll() {
        match output.expect("the fixture is clean") {
            Output::Tracks(all) => tracks.extend(all.iter().map(|track| (track.id, track.timescale))),
            Output::Packet(packet) => {
                let timescale = tracks[&packet.track];
                let nanos = |ticks| Timestamp::new(ticks, timescale).rescale(NANOS);
                let duration = nanos(i64::from(packet.duration.expect("fMP4 says how long")));
                frames.push(Frame { data: packet.data, pts: nanos(packet.pts), duration });
            }
            other => unreachable!("{other:?}"),
        }
    }
    frames
}

/// The media time of each frame in the muxed stream, as written there; frames that are the same as others are left out.
async fn truth(origin: &Origin) -> HashMap<Bytes, i64> {
    let session = session(&playlist(origin, "av_clicks/muxed"), quick());
    let mut stream = segments(&session, Track::Main).await;
    let mut times: HashMap<Bytes, Vec<i64>> = HashMap::new();
    while let Some(segment) = next(&mut stream).await {
        demux_at(&segment, 0).await.into_iter().for_each(|frame| times.entry(frame.data).or_default().push(frame.pts));
    }
    let count: usize = times.values().map(Vec::len).sum();
    let truth: HashMap<Bytes, i64> =
        times.into_iter().filter(|(_, at)| at.len() == 1).map(|(data, at)| (data, at[0])).collect();
    assert!(count > 1_000 && truth.len() > count - 30, "nearly every frame is another one: {} of {count}", truth.len());
    truth
}

/// How far frames lie from where the muxed stream has them; the same for all, if picture and sound are together.
#[derive(Default)]
struct Offsets(Vec<i64>);

impl Offsets {
    fn note(&mut self, frames: &[Frame], truth: &HashMap<Bytes, i64>) {
        self.0.extend(frames.iter().filter_map(|frame| Some(frame.pts - truth.get(&frame.data)?)));
    }

    fn spread(&self) -> i64 {
        let (least, most) = (self.0.iter().min(), self.0.iter().max());
        most.expect("frames were seen") - least.expect("frames were seen")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_comes_apart_lies_where_the_muxed_stream_has_it_also_after_50_seeks() {
    let origin = serve(fixtures());
    let truth = truth(&origin).await;
    let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
    let (mut video, mut audio) = (segments(&session, Track::Main).await, segments(&session, Track::Audio).await);
    let (mut offsets, mut dice) = (Offsets::default(), Dice(7));
    for _ in 0..50 {
        let to = Duration::from_millis(dice.below(9_800));
        session.seek(to).await.expect("the session lives");
        for stream in [&mut video, &mut audio] {
            let segment = next(stream).await.expect("there is something at every time");
            assert_eq!((segment.run_start, segment.discard_until), (Some(RunReason::Seek), Some(to)));
            assert!(segment.start <= to && to < segment.start + segment.duration, "{segment:?} for {to:?}");
            offsets.note(&demux(&segment).await, &truth);
        }
    }
    assert!(offsets.0.len() > 3_000 && offsets.spread() <= SAMPLE, "{} ns over {}", offsets.spread(), offsets.0.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_switches_of_the_sound_repeat_nothing_lose_nothing_and_stay_with_the_picture() {
    let origin = serve(fixtures());
    let truth = truth(&origin).await;
    let (mut offsets, mut switches, mut dice) = (Offsets::default(), 0, Dice(3));
    while switches < 50 {
        let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
        let mut video = segments(&session, Track::Main).await;
        let mut audio = segments(&session, Track::Audio).await;
        offsets.note(&demux(&next(&mut video).await.expect("a segment")).await, &truth);
        let mut heard_to: Option<i64> = None;
        while let Some(segment) = next(&mut audio).await {
            switches += usize::from(segment.run_start == Some(RunReason::Switch));
            let frames = demux(&segment).await;
            offsets.note(&frames, &truth);
            // What a run repeats of the one before is dropped by its time.
            for frame in frames {
                let Some(end) = heard_to else {
                    heard_to = Some(frame.pts + frame.duration);
                    continue;
                };
                if frame.pts + frame.duration <= end + SAMPLE {
                    assert!(segment.run_start.is_some(), "a repetition inside a run: {segment:?}");
                    continue;
                }
                assert!((frame.pts - end).abs() <= SAMPLE, "{} ns after {end} ns: {segment:?}", frame.pts - end);
                heard_to = Some(frame.pts + frame.duration);
            }
            if dice.below(3) > 0 {
                let other = if segment.variant == MediaId::Rendition(ENGLISH) { GERMAN } else { ENGLISH };
                session.select_audio(other).await.expect("there is one");
            }
        }
        let end = heard_to.expect("something was heard");
        assert!((9_850_000_000..10_000_000_000).contains(&end), "all was heard: {end}");
    }
    assert!(offsets.spread() <= SAMPLE, "{} ns over {}", offsets.spread(), offsets.0.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_selected_and_offered_stands_in_the_status() {
    let origin = serve(fixtures());
    let mut options = quick();
    options.playback.audio = RenditionPreference { languages: vec!["de".into()], ..RenditionPreference::default() };
    let session = session(&origin.url("/av_clicks/master.m3u8"), options);
    next(&mut segments(&session, Track::Audio).await).await.expect("a segment");
    let status = session.status();
    assert_eq!((status.audio, status.subtitles, status.pathway.as_deref()), (Some(GERMAN), None, Some(".")));
    let english = &status.renditions[0];
    assert_eq!((&*english.group, english.default, english.channels.as_deref()), ("audio", true, Some("1")));
    assert_eq!(status.variants[0].audio_group.as_deref(), Some("audio"));
    assert!(origin.requests_of("/av_clicks/audio_en/index.m3u8").is_empty(), "only what is played is loaded");
    let wrong = session.select_subtitles(Some(GERMAN)).await;
    assert!(matches!(wrong, Err(HlsError::VariantNotFound { wanted: MediaId::Rendition(_) })), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_for_a_time_is_one_small_request() {
    let origin = serve(fixtures());
    let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
    let all = file("av_clicks/iframes/all.mp4");
    for (millis, range, start) in [(0, 820..1387, 0), (3_500, 2902..3655, 3), (9_999, 7524..8274, 9)] {
        let picture = in_time(session.picture(Duration::from_millis(millis))).await.expect("there are pictures");
        let picture = picture.expect("there is one at this time");
        let (body, broken) = read_all(&picture.body).await;
        assert!(broken.is_none() && body == all[range], "{millis} ms");
        assert_eq!((picture.start, picture.init.as_deref()), (Duration::from_secs(start), Some(&all[..820])));
        assert_eq!((picture.track, picture.container), (Track::IFrames, Container::Fmp4));
        let frames = demux(&picture).await;
        assert_eq!(frames.len(), 1);
        assert!((frames[0].pts - i64::try_from(start).expect("small") * 1_000_000_000).abs() < 1_000_000);
    }
    assert!(in_time(session.picture(Duration::from_secs(10))).await.expect("no failure").is_none(), "behind the end");
    let requests = origin.requests_of("/av_clicks/iframes/all.mp4");
    let ranges: Vec<_> = requests.iter().filter_map(|it| it.range.as_deref()).collect();
    assert!(ranges.len() <= 6 && requests.len() == ranges.len(), "one for each, and the init section: {ranges:?}");
    assert!(origin.requests_of("/av_clicks/video/index.m3u8").is_empty(), "nobody plays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_come_in_order_as_segments_of_their_own_track() {
    let origin = serve(fixtures());
    let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
    let mut stream = segments(&session, Track::IFrames).await;
    let mut starts = Vec::new();
    while let Some(segment) = next(&mut stream).await {
        assert_eq!(segment.variant, MediaId::IFrames(VariantId(0)));
        starts.push(segment.start.as_secs());
    }
    assert_eq!(starts, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_may_end_inside_its_container() {
    // The first picture of a segment by byte range, as packagers write it: the box around it is longer.
    let segment = file("av_clicks/video/seg1.m4s");
    let cut = segment.len() - 200;
    let text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"../video/init.mp4\"\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:{cut}@0\n../video/seg1.m4s\n#EXT-X-ENDLIST\n"
    );
    let origin = serve(fixtures().bytes("/av_clicks/iframes/index.m3u8", text));
    let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
    let picture = in_time(session.picture(Duration::ZERO)).await.expect("no failure").expect("a picture");
    assert_eq!(read_all(&picture.body).await.0, segment[..cut]);
}

/// The picture at a time, and the presentation time of its frame in nanoseconds.
async fn picture_at(session: &HlsSession, at: Duration) -> (MediaSegment, i64) {
    let picture = in_time(session.picture(at)).await.expect("there are pictures").expect("there is one at this time");
    let frames = demux(&picture).await;
    assert_eq!(frames.len(), 1, "{at:?}");
    (picture, frames[0].pts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_has_a_picture_for_each_time_of_its_window_and_for_those_to_come() {
    let origin = serve(fixtures().live("*", Live::event().start(4).dated().without_end()));
    let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
    let all = file("av_clicks/iframes/all.mp4");
    // Five seconds and a half lie ahead of what is recorded at first, and are waited for.
    for (millis, range, start) in [(0, 820..1387, 0), (3_500, 2902..3655, 3), (5_500, 4433..5203, 5)] {
        let (picture, pts) = picture_at(&session, Duration::from_millis(millis)).await;
        assert_eq!(read_all(&picture.body).await.0, all[range], "{millis} ms");
        assert_eq!(picture.start, Duration::from_secs(start));
        assert!((pts - i64::try_from(start).expect("small") * 1_000_000_000).abs() < 1_000_000, "{pts} at {millis} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_a_live_stream_that_plays_lie_where_the_picture_does() {
    // A sliding window of five pictures beside one of five segments of two seconds.
    let origin = serve(fixtures().live("*", Live::sliding(5).start(5).dated().without_end()));
    let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
    let mut video = segments(&session, Track::Main).await;
    let segment = next(&mut video).await.expect("a segment");
    let first = demux(&segment).await[0].pts;
    let at = |pts: i64| Duration::from_nanos(u64::try_from(pts).expect("it is not negative"));
    let (picture, pts) = picture_at(&session, at(first) + Duration::from_millis(1)).await;
    assert_eq!(picture.timestamp_offset, segment.timestamp_offset, "one timeline");
    assert!((pts - first).abs() < 1_000_000, "the picture at {pts}, the segment at {first}");
}

const KEY: [u8; 16] = [7; 16];

fn encrypt(plain: &[u8]) -> Vec<u8> {
    let mut buf = [plain, &[0; 16]].concat();
    let cipher = cbc::Encryptor::<aes::Aes128>::new(&KEY.into(), &[9; 16].into());
    cipher.encrypt_padded::<Pkcs7>(&mut buf, plain.len()).expect("there is room").to_vec()
}

/// The pictures of the fixture with AES-128: each a resource of its own, or ranges of one that is encrypted as a whole,
/// as segments are (RFC 8216 section 6.2.3). Their initialization section is in the clear.
fn encrypted_pictures(by_range: bool) -> Site {
    const SIZES: [usize; 10] = [567, 756, 759, 753, 778, 770, 764, 787, 770, 750];
    let all = file("av_clicks/iframes/all.mp4");
    let mut site = fixtures().bytes("/av_clicks/iframes/key.bin", KEY.to_vec());
    let mut text = String::from(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-I-FRAMES-ONLY\n\
         #EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"820@0\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"key.bin\",IV=0x09090909090909090909090909090909\n",
    );
    let mut start = 820;
    for (n, size) in SIZES.into_iter().enumerate() {
        text += "#EXTINF:1,\n";
        if by_range {
            text += &format!("#EXT-X-BYTERANGE:{size}@{start}\nsealed.mp4\n");
        } else {
            text += &format!("picture{n}.m4s\n");
            site = site.bytes(&format!("/av_clicks/iframes/picture{n}.m4s"), encrypt(&all[start..start + size]));
        }
        start += size;
    }
    text += "#EXT-X-ENDLIST\n";
    site.bytes("/av_clicks/iframes/index.m3u8", text).bytes("/av_clicks/iframes/sealed.mp4", encrypt(&all))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_pictures_come_decrypted_also_those_cut_out_of_a_ciphertext() {
    let all = file("av_clicks/iframes/all.mp4");
    for by_range in [false, true] {
        let origin = serve(encrypted_pictures(by_range));
        let session = session(&origin.url("/av_clicks/master.m3u8"), quick());
        for (millis, range, start) in [(0, 820..1387, 0), (3_500, 2902..3655, 3), (9_999, 7524..8274, 9)] {
            let (picture, pts) = picture_at(&session, Duration::from_millis(millis)).await;
            assert_eq!(read_all(&picture.body).await.0, all[range], "{millis} ms, by range: {by_range}");
            assert!((pts - i64::from(start) * 1_000_000_000).abs() < 1_000_000, "{pts} at {millis} ms");
        }
        assert_eq!(origin.requests_of("/av_clicks/iframes/key.bin").len(), 1, "one key, one request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_pictures_says_so() {
    let origin = serve(fixtures());
    let session = session(&playlist(&origin, "ts_aac"), quick());
    let refused = in_time(session.picture(Duration::ZERO)).await;
    assert!(matches!(refused, Err(HlsError::NoSuitableVariant)), "{refused:?}");
}

/// Start, end and text of the cues of a segment, in milliseconds of presentation time.
async fn cues(segment: &MediaSegment) -> Vec<(i64, i64, String)> {
    let deliver = Deliver { audio: false, video: false, text: true, metadata: false };
    let mut demuxer = Demuxer::new(DemuxOptions { deliver, ..DemuxOptions::default() });
    let mut run = Run::new(segment.container);
    run.offset = Timestamp::new(segment.timestamp_offset.expect("the text has a map"), NANOS);
    demuxer.start_run(run);
    demuxer.push(read_all(&segment.body).await.0.into());
    demuxer.end_unit();
    let (mut scale, mut cues) = (NANOS, Vec::new());
    while let Some(output) = demuxer.poll() {
        match output.expect("the fixture is clean") {
            Output::Tracks(tracks) => scale = tracks[0].timescale,
            Output::Cue(cue) => {
                let millis = |ticks| Timestamp::new(ticks, scale).rescale(NonZeroU32::new(1_000).expect("not zero"));
                cues.push((millis(cue.start), millis(cue.end), cue.text));
            }
            other => unreachable!("{other:?}"),
        }
    }
    cues
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subtitles_are_segments_on_the_presentation_timeline() {
    let origin = serve(fixtures());
    // The picture of this fixture begins 200 ms behind media time zero, which is cue time zero: with it, cues are earlier.
    for (with_picture, early) in [(true, 200), (false, 0)] {
        let session = session(&origin.url("/av_master/master.m3u8"), quick());
        let mut stream = segments(&session, Track::Subtitles).await;
        // The second segment comes first: its map is that of cue time zero as well.
        session.seek(Duration::from_millis(3_100)).await.expect("the session lives");
        let mut video = segments(&session, Track::Main).await;
        let picture = async {
            if with_picture {
                next(&mut video).await.expect("a segment");
            } else {
                drop(video);
            }
        };
        let (segment, ()) = tokio::join!(next(&mut stream), picture);
        let segment = segment.expect("a segment");
        assert_eq!((segment.container, segment.start), (Container::WebVtt, Duration::from_secs(3)));
        let (across, last) = ("Across the boundary".to_owned(), "Last cue".to_owned());
        let want = [(2_000 - early, 3_500 - early, across), (4_000 - early, 4_900 - early, last)];
        assert_eq!(cues(&segment).await, want, "with a picture: {with_picture}");
        assert!(next(&mut stream).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subtitles_that_are_off_are_not_loaded_until_they_are_chosen() {
    let origin = serve(fixtures());
    let mut options = quick();
    options.playback.subtitles.mode = SubtitleMode::Off;
    let session = session(&origin.url("/av_master/master.m3u8"), options);
    next(&mut segments(&session, Track::Main).await).await.expect("a segment");
    let mut stream = segments(&session, Track::Subtitles).await;
    let waiting = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    assert!(origin.log().iter().all(|request| !request.path.contains("subs")));
    session.select_subtitles(Some(RenditionId(2))).await.expect("there are some");
    assert!(next(&mut stream).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steering_server_is_asked_and_obeyed() {
    let text = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer?id=7\",PATHWAY-ID=\"A\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=60000,CODECS=\"mp4a.40.2\",PATHWAY-ID=\"A\"\nfmp4_aac/index.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=60000,CODECS=\"mp4a.40.2\",PATHWAY-ID=\"B\"\nfmp4_aac/index.m3u8?b\n";
    let manifest = "{\"VERSION\":1,\"TTL\":300,\"PATHWAY-PRIORITY\":[\"B\",\"A\"]}";
    let site = fixtures().bytes("/steered.m3u8", text).bytes("/steer", manifest);
    let origin = serve(site);
    let mut options = quick();
    options.playback.buffer_goal = Duration::from_secs(1);
    let session = session(&origin.url("/steered.m3u8"), options);
    let mut stream = segments(&session, Track::Main).await;
    next(&mut stream).await.expect("a segment");
    let steered = async {
        while session.status().pathway.as_deref() != Some("B") {
            session.status_changed().await.expect("the session lives");
        }
    };
    in_time(steered).await;
    let mut last = None;
    while let Some(segment) = next(&mut stream).await {
        last = Some(segment.variant);
    }
    assert_eq!(last, Some(MediaId::Variant(VariantId(1))));
    let asked = origin.requests_of("/steer");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].query.as_deref().is_some_and(|it| it.starts_with("id=7&_HLS_pathway=%22A%22")), "{:?}", asked[0]);
}
