//! Reading a stream through a session against fetching the same bytes bare, over loopback, in one run.
//!
//! `cargo bench --bench flat_read`. The two figures of a group are comparable with each other, not with another run.

use std::{
    hint::black_box,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kithara::{ChunkAt, Hls, HlsOptions, HlsParams, Source, StreamSource};
use kithara_origin::{Origin, Site};

/// Segments of the stream.
const SEGMENTS: usize = 16;
/// Packets of a segment: about 4 MiB.
const PACKETS: usize = 22_310;

/// A transport stream of null packets: nothing to decode, everything to check.
fn segment() -> Vec<u8> {
    let mut packet = [0xff; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    packet.repeat(PACKETS)
}

fn origin() -> Origin {
    let mut playlist = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:4\n");
    let mut site = Site::new();
    for number in 0..SEGMENTS {
        playlist.push_str(&format!("#EXTINF:4,\n{number}.ts\n"));
        site = site.bytes(&format!("/{number}.ts"), segment());
    }
    playlist.push_str("#EXT-X-ENDLIST\n");
    Origin::start(site.bytes("/index.m3u8", playlist)).expect("a port is free")
}

/// All segments one after the other on one connection, thrown away.
fn bare(origin: &Origin) -> usize {
    let mut socket = TcpStream::connect(origin.addr()).expect("the origin listens");
    let mut buf = vec![0; 256 * 1024];
    let mut total = 0;
    for number in 0..SEGMENTS {
        write!(socket, "GET /{number}.ts HTTP/1.1\r\nHost: origin\r\n\r\n").expect("the request is sent");
        let mut left = 188 * PACKETS;
        let first = socket.read(&mut buf).expect("a head");
        let head = buf[..first].windows(4).position(|at| at == b"\r\n\r\n").expect("a whole head") + 4;
        left -= first - head;
        while left > 0 {
            left -= socket.read(&mut buf).expect("a body");
        }
        total += 188 * PACKETS;
    }
    total
}

/// The same through a session, chunk by chunk.
fn session(origin: &Origin) -> u64 {
    let mut options = HlsOptions::default();
    options.playback.buffer_goal = Duration::from_secs(3600);
    let params = HlsParams { no_store: true, ..HlsParams::from(options) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let open = StreamSource::<Hls>::open(origin.url("/index.m3u8"), params);
    let source = runtime.block_on(open).expect("it opens");
    let mut offset = 0;
    loop {
        match source.chunk_at(offset).expect("it reads") {
            ChunkAt::Bytes(bytes) => offset += black_box(bytes).len() as u64,
            ChunkAt::Pending => source.wait_range(offset..offset + 1, None).expect("more comes"),
            ChunkAt::End => return offset,
        }
    }
}

fn flat_read(criterion: &mut Criterion) {
    let origin = origin();
    let mut group = criterion.benchmark_group("flat_read");
    group.throughput(Throughput::Bytes((SEGMENTS * PACKETS * 188) as u64)).sample_size(10);
    group.bench_function("bare socket", |bencher| bencher.iter(|| bare(&origin)));
    group.bench_function("session", |bencher| bencher.iter(|| session(&origin)));
    group.finish();
}

criterion_group!(benches, flat_read);
criterion_main!(benches);
