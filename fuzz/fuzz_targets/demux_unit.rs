//! The questions asked of a unit's bytes: what it is, whether it is whole, when it begins. None may panic, and an answer once given must not
//! change with more bytes or other portions.

#![no_main]

use kithara_demux::{Container, FirstTimestamp, SegmentCheck, Sniff, first_timestamp, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|unit: &[u8]| {
    let end = sniff(unit, true);
    let answer = (0..=unit.len())
        .step_by(7)
        .map(|len| sniff(&unit[..len], false))
        .find(|answer| !matches!(answer, Sniff::NeedMore(_)));
    assert!(answer.is_none_or(|answer| answer == end));
    for container in [
        Container::MpegTs,
        Container::Fmp4,
        Container::Adts,
        Container::Mp3,
        Container::Ac3,
        Container::WebVtt,
        Container::Ttml,
    ] {
        assert_eq!(judge(container, unit, 13), judge(container, unit, usize::MAX));
        let first = first_timestamp(container, Some(unit), unit);
        let early = first_timestamp(container, Some(unit), &unit[..unit.len() / 2]);
        assert!(early == first || early == FirstTimestamp::NeedMore);
    }
});

fn judge(container: Container, unit: &[u8], portion: usize) -> Result<(), kithara_demux::Incomplete> {
    let mut check = SegmentCheck::new(container);
    unit.chunks(portion).for_each(|chunk| check.push(chunk));
    check.finish()
}
