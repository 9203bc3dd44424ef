//! What every source promises holds for sessions as well.
//!
//! The suites make sources from any bytes, a session reads media only. So the bytes travel as the payload of an ADTS
//! frame, behind a segment of another frame, and the reader under test looks behind both.

mod support;

use std::{
    io,
    ops::Range,
    task::{Context, Poll},
};

use kithara_hls::{Hls, HlsOptions, HlsSource, hls_core::session::ReaderOptions};
use kithara_origin::{Origin, Site};
use kithara_stream::{
    ReadAt, Source, SourceFactory,
    contract::{failure_contract, source_contract},
};
use support::{quick, serve};
use tokio::runtime::{Builder, Runtime};

/// Length of a frame's header.
const HEADER: usize = 7;

/// An ADTS frame of AAC-LC, 44.1 kHz stereo (ISO/IEC 14496-3, 1.A.2.2), that says its payload has `len` bytes.
fn frame(payload: &[u8], len: usize) -> Vec<u8> {
    let [_, _, high, low] = u32::try_from(HEADER + len).expect("a frame has 13 bits for its length").to_be_bytes();
    let length = u16::from_be_bytes([high, low]);
    let [l0, l1] = (length << 5).to_be_bytes();
    let header = [0xff, 0xf1, 0x50, 0x80 | u8::try_from(length >> 11).expect("two bits"), l0, l1 | 0x1f, 0xfc];
    [&header, payload].concat()
}

/// A session whose bytes are looked at from `skip` on.
struct Behind {
    source: HlsSource,
    skip: u64,
    /// Serves as long as it is read.
    _origin: Origin,
}

impl Source for Behind {
    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len().map(|len| len - self.skip)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.source.read_at(offset.saturating_add(self.skip), buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, range.start.saturating_add(self.skip)..range.end.saturating_add(self.skip))
    }

    fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        self.source.poll_len(cx).map_ok(|len| len.map(|len| len - self.skip))
    }
}

/// A session of these segments, looked at from `skip` on.
fn behind(runtime: &Runtime, segments: &[Vec<u8>], skip: usize, resolve_sizes: bool) -> Box<dyn Source> {
    let names = (0..segments.len()).map(|n| format!("#EXTINF:1,\n{n}.aac\n"));
    let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{}#EXT-X-ENDLIST\n", names.collect::<String>());
    let site = (0..).zip(segments).fold(Site::new().bytes("/index.m3u8", text), |site, (n, segment)| {
        site.bytes(&format!("/{n}.aac"), segment.clone())
    });
    let origin = serve(site);
    let options = HlsOptions { reader: ReaderOptions { resolve_sizes }, ..quick() };
    let source = runtime.block_on(Hls::open(&origin.url("/index.m3u8"), options.into())).expect("it opens");
    Box::new(Behind { source, skip: skip as u64, _origin: origin })
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn a_session_keeps_the_promises_of_a_source() {
    let runtime = runtime();
    let before = frame(&[0; 40], 40);
    source_contract(&|bytes| {
        let segments = [before.clone(), frame(bytes, bytes.len())];
        behind(&runtime, &segments, before.len() + HEADER, true)
    });
}

#[test]
fn a_session_that_may_not_ask_for_lengths_keeps_the_promises_of_a_source() {
    let runtime = runtime();
    source_contract(&|bytes| behind(&runtime, &[frame(bytes, bytes.len())], HEADER, false));
}

#[test]
fn a_session_that_fails_keeps_the_promises_of_a_source() {
    let runtime = runtime();
    // A frame is given when the next one begins.
    let cut = |bytes: &[u8]| [frame(bytes, bytes.len()), frame(&[], 100)].concat();
    failure_contract(&|bytes| behind(&runtime, &[cut(bytes)], HEADER, false));
}
