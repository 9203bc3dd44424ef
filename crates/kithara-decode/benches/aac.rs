//! Ten minutes of AAC (48 kHz stereo, in ADTS units): this crate from units to samples, beside symphonia's reader and decoder
//! alone on the same bytes in the same run, and the conversion to 16 bits.
//!
//! `cargo bench -p kithara-decode`. Throughput is frames per second: divided by 48,000 it is how many times faster than real
//! time. Compare the figures of one run with each other.

use std::{hint::black_box, io::Cursor, path::Path, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kithara_decode::{DecodeOptions, Pcm, Player, pcm};
use kithara_stream::{Container, Feed, Run, RunId, RunReason, UnitBody, UnitList};
use symphonia::core::{
    codecs::{CodecParameters, audio::AudioDecoderOptions},
    formats::{FormatOptions, probe::Hint},
    io::MediaSourceStream,
    meta::MetadataOptions,
};

/// Frames of the committed segments, and how often they are repeated for ten minutes.
const FRAMES: u64 = 236_544;
const TIMES: u64 = 122;

fn segments() -> Vec<Bytes> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/adts");
    let read = |number| std::fs::read(folder.join(format!("seg{number}.aac"))).expect("a committed fixture").into();
    (0..5).map(read).collect()
}

/// Samples of ten minutes through a player.
fn ours(segments: &[Bytes]) -> u64 {
    let run = Run {
        id: RunId(0),
        reason: RunReason::Start,
        time: Duration::ZERO,
        container: Container::Adts,
        init: None,
        codecs: None,
        timestamp_offset: None,
        discard_until: None,
    };
    let second = Duration::from_secs(1);
    let all = (0..TIMES).flat_map(|_| segments.iter().map(|bytes| (UnitBody::whole(bytes.clone()), second)));
    let feed = Feed::Units(Box::new(UnitList::new(run, all)));
    let (_player, mut reader) = Player::start(feed, &DecodeOptions::default()).expect("it starts");
    let (mut samples, mut buffer) = (0, vec![0.0; 8192]);
    loop {
        match reader.read(&mut buffer).expect("it decodes") {
            Pcm::Samples(count) => samples += black_box(&buffer[..count]).len() as u64,
            Pcm::SpecChanged(_) => {}
            Pcm::End => return samples,
        }
    }
}

/// The same through symphonia's reader and decoder alone.
fn plain(file: &[u8]) -> u64 {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(file.to_vec())), Default::default());
    let mut hint = Hint::new();
    hint.with_extension("aac");
    let (formats, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let mut reader = symphonia::default::get_probe().probe(&hint, stream, formats, metadata).expect("it is ADTS");
    let Some(CodecParameters::Audio(params)) = &reader.tracks()[0].codec_params else {
        unreachable!("ADTS is sound");
    };
    let options = AudioDecoderOptions::default();
    let mut decoder = symphonia::default::get_codecs().make_audio_decoder(params, &options).expect("AAC");
    let (mut samples, mut buffer) = (0, Vec::new());
    while let Some(packet) = reader.next_packet().expect("it reads on") {
        let decoded = decoder.decode(&packet).expect("it decodes");
        decoded.copy_to_vec_interleaved::<f32>(&mut buffer);
        samples += black_box(&buffer).len() as u64;
    }
    samples
}

fn ten_minutes(criterion: &mut Criterion) {
    let segments = segments();
    let file = segments.concat().repeat(usize::try_from(TIMES).expect("small"));
    assert_eq!(ours(&segments), FRAMES * TIMES * 2, "everything is decoded");
    let mut group = criterion.benchmark_group("ten minutes of AAC");
    group.throughput(Throughput::Elements(FRAMES * TIMES)).sample_size(10).measurement_time(Duration::from_secs(12));
    group.bench_function("units to samples", |bencher| bencher.iter(|| ours(&segments)));
    group.bench_function("symphonia alone", |bencher| bencher.iter(|| plain(&file)));
    group.finish();
}

fn to_16_bits(criterion: &mut Criterion) {
    let samples: Vec<f32> = (0..60_000_u16).map(|n| (f32::from(n) * 0.01).sin()).collect();
    let mut group = criterion.benchmark_group("to 16 bits");
    group.throughput(Throughput::Elements(samples.len() as u64 / 2));
    let mut out = vec![0; samples.len()];
    group.bench_function("to_s16", |bencher| bencher.iter(|| pcm::to_s16(black_box(&samples), &mut out)));
    let mut bytes = Vec::new();
    group.bench_function("append_s16le", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            pcm::append_s16le(black_box(&samples), &mut bytes);
        });
    });
    group.finish();
}

criterion_group!(benches, ten_minutes, to_16_bits);
criterion_main!(benches);
