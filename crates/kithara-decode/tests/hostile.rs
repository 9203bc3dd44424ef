//! Feeds that wait, fail, lie and panic: every reader gets an answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use kithara_decode::{DecodeErrorKind, DecodeOptions, Event, Pcm, Player, SoundCodec};
use kithara_stream::{BytesSource, Container, Feed, ReadAt, Source, UnitBody};
use support::{Script, Segment, difference, file_feed, hear, hear_all, media, read_exact, segments, units};

/// Bytes of which only the front is there, until more is let in.
#[derive(Clone)]
struct Gate(Arc<Mutex<GateState>>);

struct GateState {
    bytes: Bytes,
    arrived: u64,
    wakers: Vec<Waker>,
}

impl Gate {
    fn new(bytes: Bytes, arrived: u64) -> Self {
        Self(Arc::new(Mutex::new(GateState { bytes, arrived, wakers: Vec::new() })))
    }

    fn feed(&self) -> Feed {
        Feed::Bytes(Box::new(self.clone()))
    }

    fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.arrived = u64::MAX;
        state.wakers.drain(..).for_each(Waker::wake);
    }

    /// Waits until somebody waits for bytes.
    fn wait_for_reader(&self) {
        while self.0.lock().unwrap().wakers.is_empty() {
            thread::yield_now();
        }
    }
}

impl Source for Gate {
    fn byte_len(&self) -> Option<u64> {
        Some(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        let state = self.0.lock().unwrap();
        let end = state.arrived.min(state.bytes.len() as u64);
        if offset >= end && end < state.bytes.len() as u64 {
            return Ok(ReadAt::Pending);
        }
        let len = buf.len().min(end.saturating_sub(offset) as usize);
        BytesSource::from(state.bytes.clone()).read_at(offset, &mut buf[..len.max(1)])
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if range.is_empty() || range.start < state.arrived {
            return Poll::Ready(Ok(()));
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

#[test]
fn a_seek_interrupts_a_wait_for_bytes() {
    // Readers of FLAC and Ogg search by halves, and look at places that are not there yet.
    for (name, late) in [("tones.wav", 1850), ("tones.mp3", 2850), ("fast.m4a", 2850), ("tones.aac", 2850)] {
        let (_, whole) = hear(file_feed(name)).unwrap().only();
        let gate = Gate::new(media(name), media(name).len() as u64 * 7 / 8);
        let (player, mut reader) = Player::start(gate.feed(), &DecodeOptions::default()).unwrap();
        read_exact(&mut reader, 64);
        player.seek(Duration::from_millis(late));
        gate.wait_for_reader();
        player.seek(Duration::ZERO);
        let off = difference(&read_exact(&mut reader, 1000), &whole);
        assert!(off < 0.01, "{name}: off by {off}");
        gate.open();
        let samples = 1000 + hear_all(&mut reader).unwrap().stretches.iter().map(|(_, s)| s.len()).sum::<usize>();
        assert_eq!(samples, whole.len(), "{name}");
    }
}

#[test]
fn sound_comes_before_the_file_is_whole() {
    let gate = Gate::new(media("fast.m4a"), 6000);
    let (_player, mut reader) = Player::start(gate.feed(), &DecodeOptions::default()).unwrap();
    assert_eq!(read_exact(&mut reader, 2048).len(), 2048);
}

#[test]
fn a_reader_that_goes_ends_the_worker_even_while_it_waits() {
    let (ended, has_ended) = mpsc::channel();
    let gate = Gate::new(media("tones.mp3"), 100);
    let source = Dropped(gate.clone(), ended);
    let (_player, reader) = Player::start(Feed::Bytes(Box::new(source)), &DecodeOptions::default()).unwrap();
    gate.wait_for_reader();
    drop(reader);
    has_ended.recv_timeout(Duration::from_secs(10)).expect("the worker lets go of the source");
}

/// Tells when it is dropped.
struct Dropped(Gate, mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.1.send(());
    }
}

impl Source for Dropped {
    fn byte_len(&self) -> Option<u64> {
        self.0.byte_len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.0.read_at(offset, buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        self.0.poll_ready(cx, range)
    }
}

/// Fails, or worse, at every read.
struct Broken {
    panics: bool,
}

impl Source for Broken {
    fn byte_len(&self) -> Option<u64> {
        Some(1000)
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<ReadAt> {
        assert!(!self.panics, "a bug in a source");
        Err(io::Error::other("the line is dead"))
    }

    fn poll_ready(&self, _: &mut Context<'_>, _: Range<u64>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn errors_of_the_feed_are_handed_on_and_a_panic_is_an_error_too() {
    let error = hear(Feed::Bytes(Box::new(Broken { panics: false }))).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Feed);
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the line is dead");
    let error = hear(Feed::Bytes(Box::new(Broken { panics: true }))).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Worker);
}

#[test]
fn codecs_that_are_not_decoded_are_named() {
    let error = hear(file_feed("opus.ogg")).unwrap_err();
    assert_eq!((error.kind(), error.codec()), (DecodeErrorKind::UnsupportedCodec, Some(SoundCodec::Opus)));
    assert_eq!(error.to_string(), "the codec is not supported: Opus");
}

#[test]
fn a_unit_without_sound_is_told_from_one_with_broken_sound() {
    let picture = support::fixtures().join("av_master/video");
    let names: Vec<_> = std::fs::read_dir(&picture).unwrap().map(|entry| entry.unwrap().path()).collect();
    let read = |part: &str| {
        let path = names.iter().find(|path| path.file_name().unwrap().to_str().unwrap().contains(part));
        Bytes::from(std::fs::read(path.unwrap()).unwrap())
    };
    let segment = Segment {
        container: Container::Fmp4,
        init: Some(read("init")),
        bytes: read("seg0"),
        duration: Duration::from_secs(1),
        is_discontinuity: false,
    };
    assert_eq!(hear(units(Script::new(vec![segment]))).unwrap_err().kind(), DecodeErrorKind::NoSound);
}

#[test]
fn a_packet_that_cannot_be_decoded_is_silence_of_its_length() {
    let mut all = segments("fmp4_aac", Container::Fmp4);
    let mut bytes = all[2].bytes.to_vec();
    // In the middle of the media data: some packets, not their sizes.
    bytes[3000..3400].fill(0xFF);
    all[2].bytes = bytes.into();
    let (player, mut reader) = Player::start(units(Script::new(all)), &DecodeOptions::default()).unwrap();
    let mut events = player.events();
    let (_, samples) = hear_all(&mut reader).unwrap().only();
    assert_eq!(samples.len(), 236_544 * 2);
    assert!(player.stats().damaged > 0);
    let told = std::iter::from_fn(|| events.try_recv().ok()).any(|event| matches!(event, Event::Damaged { .. }));
    assert!(told);
}

#[test]
fn a_failed_stream_is_sought_again() {
    let gate = Gate::new(Bytes::from(vec![0; 4000]), u64::MAX);
    let (player, mut reader) = Player::start(gate.feed(), &DecodeOptions::default()).unwrap();
    assert!(reader.read(&mut [0.0; 64]).is_err());
    gate.0.lock().unwrap().bytes = media("tones.wav");
    player.seek(Duration::from_secs(1));
    while !matches!(reader.read(&mut [0.0; 64]).unwrap(), Pcm::Samples(_)) {}
}

/// Every file and segment with random bytes changed, dropped or cut off.
#[test]
fn no_damage_makes_a_codec_or_a_reader_panic() {
    let mut dice = 0x2545_F491_4F6C_DD1D_u64;
    let mut roll = move |end: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % end.max(1) as u64) as usize
    };
    let mut damage = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + roll(20) {
            let at = roll(bytes.len());
            match roll(8) {
                0 => bytes.truncate(at.max(1)),
                1 => drop(bytes.drain(at..(at + roll(64)).min(bytes.len()))),
                2 => bytes[at] = 0xFF,
                _ => bytes[at] = roll(256) as u8,
            }
            if bytes.is_empty() {
                break;
            }
        }
        Bytes::from(bytes)
    };
    let is_fine = |name: &str, heard: Result<support::Heard, kithara_decode::DecodeError>| {
        let kind = heard.err().map(|error| error.kind());
        assert_ne!(kind, Some(DecodeErrorKind::Worker), "{name}");
    };
    let files = ["tones.wav", "tones.mp3", "fast.m4a", "tones.m4a", "tones.flac", "tones.ogg", "tones.aac", "alac.m4a"];
    for name in files {
        for _ in 0..ROUNDS {
            is_fine(name, hear(Feed::Bytes(Box::new(BytesSource::from(damage(&media(name)))))));
        }
    }
    let folders = [
        ("fmp4_aac", Container::Fmp4),
        ("ts_aac", Container::MpegTs),
        ("adts", Container::Adts),
        ("mp3", Container::Mp3),
        ("fmp4_flac", Container::Fmp4),
        ("fmp4_alac", Container::Fmp4),
    ];
    for (name, container) in folders {
        for _ in 0..ROUNDS {
            let damaged = segments(name, container).into_iter().take(2).map(|segment| Segment {
                bytes: damage(&segment.bytes),
                init: segment.init.as_ref().map(|init| if init.len() % 2 == 0 { init.clone() } else { damage(init) }),
                ..segment
            });
            is_fine(name, hear(units(Script::new(damaged.collect()))));
        }
    }
}

/// Cases for each kind of media.
const ROUNDS: usize = 12;

#[test]
fn a_unit_that_grows_is_heard_while_it_grows() {
    let segment = segments("adts", Container::Adts).remove(0);
    let (mut writer, body) = UnitBody::channel();
    let script = Script::new(vec![segment.clone()]).with_body(0, body);
    let (_player, mut reader) = Player::start(units(script), &DecodeOptions::default()).unwrap();
    writer.push(segment.bytes.slice(..2000));
    assert_eq!(read_exact(&mut reader, 4096).len(), 4096);
    writer.push(segment.bytes.slice(2000..));
    writer.finish();
    assert!(hear_all(&mut reader).unwrap_or_default().stretches.len() <= 1);
}
