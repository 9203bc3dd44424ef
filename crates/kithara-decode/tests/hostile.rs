//! Feeds that wait, fail, lie and panic: every reader gets an answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::{
    io,
    ops::Range,
    sync::mpsc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use kithara_decode::{DecodeErrorKind, DecodeOptions, Event, Pcm, Player, SoundCodec};
use kithara_stream::{BytesSource, Container, Feed, ReadAt, Source, UnitBody};
use support::{
    Gate, Script, Segment, bytes_feed, difference, file_feed, hear, hear_all, hear_as, media, read_exact, segments,
    units,
};

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

/// Bytes that are read from front to back: what lies far ahead of the last one is out of reach.
struct OneWay(Bytes, std::sync::atomic::AtomicU64);

impl OneWay {
    const NEAR: u64 = 4_000;

    fn check(&self, offset: u64) -> io::Result<()> {
        let furthest = self.1.load(std::sync::atomic::Ordering::Relaxed);
        let is_near = offset <= furthest + Self::NEAR;
        if is_near { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
    }
}

impl Source for OneWay {
    fn byte_len(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.check(offset)?;
        let len = buf.len().min(1000);
        let read = BytesSource::from(self.0.clone()).read_at(offset, &mut buf[..len])?;
        self.1.fetch_max(offset, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }

    fn poll_ready(&self, _: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        Poll::Ready(self.check(range.start))
    }
}

#[test]
fn a_file_that_is_only_read_from_front_to_back_is_heard_and_sought() {
    let bytes = Bytes::from([media("far.ogg"), media("chained.ogg")].concat());
    let feed = || Feed::Bytes(Box::new(OneWay(bytes.clone(), 0.into())));
    let heard = hear(feed()).unwrap();
    let (_, whole) = &heard.stretches[0];
    assert_eq!(whole.len() / 2, 57_330 + 52_920 + 57_330);
    let (player, mut reader) = Player::start(feed(), &DecodeOptions::default()).unwrap();
    // Forth and back, and into another stream of the same file.
    for at in [44_100_u32, 4_410, 22_050, 57_330 + 10_000, 100] {
        player.seek(Duration::from_nanos(u64::from(at) * 1_000_000_000 / 44_100));
        assert_eq!(difference(&read_exact(&mut reader, 1000), &whole[at as usize * 2..]), 0.0, "{at}");
    }
}

#[test]
fn what_a_container_lost_is_counted_and_is_silence() {
    let mut all = segments("ts_aac", Container::MpegTs);
    let bytes = &all[2].bytes;
    // Ten transport packets from the middle.
    let from = bytes.len() / 188 / 3 * 188;
    all[2].bytes = [&bytes[..from], &bytes[from + 10 * 188..]].concat().into();
    let (player, mut reader) = Player::start(units(Script::new(all)), &DecodeOptions::default()).unwrap();
    let (_, samples) = hear_all(&mut reader).unwrap().only();
    assert_eq!(samples.len(), 236_544 * 2, "as long as without the loss");
    assert!(player.stats().damaged > 0);
    let longest = samples.split(|sample| *sample != 0.0).map(<[f32]>::len).max().unwrap();
    assert!(longest > 2 * 1024, "{longest} samples of silence");
}

#[test]
fn a_fragment_that_cannot_be_read_is_counted() {
    let mut all = segments("fmp4_aac", Container::Fmp4);
    let mut bytes = all[2].bytes.to_vec();
    let moof = bytes.windows(4).position(|kind| kind == b"tfhd").unwrap();
    // Its length is that of the box around it no more.
    bytes[moof - 4..moof].copy_from_slice(&[0xFF; 4]);
    all[2].bytes = bytes.into();
    let (player, mut reader) = Player::start(units(Script::new(all)), &DecodeOptions::default()).unwrap();
    let (_, samples) = hear_all(&mut reader).unwrap().only();
    assert!(samples.len() <= 236_544 * 2);
    assert!(player.stats().damaged > 0);
}

#[test]
fn a_failed_stream_is_sought_again() {
    let gate = Gate::new(Bytes::from(vec![0; 4000]), u64::MAX);
    let (player, mut reader) = Player::start(gate.feed(), &DecodeOptions::default()).unwrap();
    assert!(reader.read(&mut [0.0; 64]).is_err());
    gate.replace(media("tones.wav"));
    player.seek(Duration::from_secs(1));
    while !matches!(reader.read(&mut [0.0; 64]).unwrap(), Pcm::Samples(_)) {}
}

/// Half a second of silence at that rate, or what of it fits into a small file.
fn wav(rate: u32) -> Vec<u8> {
    let mut wav = b"RIFF\x24\x20\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend_from_slice(&rate.to_le_bytes());
    wav.extend_from_slice(&rate.wrapping_mul(2).to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data\0\x20\0\0");
    wav.resize(wav.len() + 8192, 0);
    wav
}

#[test]
fn rates_that_no_sound_has_are_refused_whatever_comes_out() {
    for rate in [1, 999, 768_001, u32::MAX - 4] {
        for heard in [hear(bytes_feed(&wav(rate))), hear_as(bytes_feed(&wav(rate)), support::STEREO_48)] {
            let error = heard.unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::Container, "{rate}");
            let cause = std::error::Error::source(&error).unwrap();
            assert_eq!(cause.to_string(), format!("{rate} samples a second are no sound"));
        }
    }
    for rate in [1000, 655_351, 768_000] {
        let (_, samples) = hear_as(bytes_feed(&wav(rate)), support::STEREO_48).unwrap().only();
        let want = (4096 * 48_000 + u64::from(rate) / 2) / u64::from(rate);
        assert_eq!(samples.len() as u64 / 2, want, "{rate}");
    }
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
    let files = [
        "tones.wav",
        "tones.mp3",
        "fast.m4a",
        "tones.m4a",
        "tones.flac",
        "tones.ogg",
        "tones.aac",
        "alac.m4a",
        "guess.mp3",
        "chained.ogg",
    ];
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
