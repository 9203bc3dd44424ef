//! A run of units through the demuxer: it must not panic, and what comes out must not depend on the portions.
//!
//! The first byte chooses the container, the second the portion, the third how many bytes of the rest are the initialization section; the
//! others are two units of equal length.

#![no_main]

use bytes::Bytes;
use kithara_demux::output::Output;
use kithara_demux::{Container, DemuxError, DemuxOptions, Demuxer, Run};
use libfuzzer_sys::fuzz_target;

const CONTAINERS: [Container; 8] = [
    Container::MpegTs,
    Container::Fmp4,
    Container::Adts,
    Container::Mp3,
    Container::Ac3,
    Container::Eac3,
    Container::WebVtt,
    Container::Ttml,
];

fuzz_target!(|input: &[u8]| {
    let [container, portion, init, rest @ ..] = input else { return };
    let (init, media) = rest.split_at(rest.len().min(usize::from(*init)));
    let mut run = Run::new(CONTAINERS[usize::from(*container) % CONTAINERS.len()]);
    run.init = (!init.is_empty()).then(|| Bytes::copy_from_slice(init));
    let (first, second) = media.split_at(media.len() / 2);
    let whole = demux(run.clone(), &[first, second], usize::MAX);
    assert_eq!(demux(run, &[first, second], usize::from(*portion) + 1), whole);
});

fn demux(run: Run, units: &[&[u8]], portion: usize) -> Vec<Result<Output, DemuxError>> {
    let mut demuxer = Demuxer::new(DemuxOptions::default());
    let mut found = Vec::new();
    demuxer.start_run(run);
    for unit in units {
        for chunk in unit.chunks(portion) {
            demuxer.push(Bytes::copy_from_slice(chunk));
            found.extend(std::iter::from_fn(|| demuxer.poll()));
        }
        demuxer.end_unit();
        found.extend(std::iter::from_fn(|| demuxer.poll()));
    }
    found
}
