//! Where a unit begins on its own media timeline, told by its first bytes.

use crate::bmff::fragment::Fragment;
use crate::bmff::movie::Movie;
use crate::bmff::{BoxHeader, ReadHeader};
use crate::id3::{self, TagStart};
use crate::ts::packet::Packet;
use crate::ts::pes::PesHeader;
use crate::ts::{PACKET_LEN, SYNC_BYTE};
use crate::webvtt::{self, TimestampMap};
use crate::{Container, Timestamp};

/// What looking for the first timestamp of a unit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstTimestamp {
    /// The unit begins here.
    At(Timestamp),
    /// Not told yet: ask again with more bytes. At the end of the unit it means that there is none.
    NeedMore,
    /// The unit does not say.
    None,
}

/// The media time at which a unit begins, as written: without unrolling 33-bit wraps, without any presentation offset.
///
/// `prefix` is the first bytes of the unit; `init` the initialization section that rules it, where there is one.
///
/// - MPEG-TS: the PTS of the first PES packet of sound or pictures, 90 kHz.
/// - fMP4: the presentation time of the first sample (`tfdt`, its composition offset and the edit list), in the timescale that `init` (or a
///   `moov` in the unit itself) gives the track; sound is preferred where a fragment holds several tracks.
/// - packed audio: the timestamp in its ID3 tag, 90 kHz (RFC 8216 section 3.4).
/// - WebVTT: the media time of cue time zero, told by X-TIMESTAMP-MAP, 90 kHz; may lie before zero.
/// - all others: none.
#[must_use]
pub fn first_timestamp(container: Container, init: Option<&[u8]>, prefix: &[u8]) -> FirstTimestamp {
    match container {
        Container::MpegTs => transport_stream(prefix),
        Container::Fmp4 => fragments(init, prefix),
        Container::WebVtt => match webvtt::timestamp_map(prefix) {
            TimestampMap::NeedMore => FirstTimestamp::NeedMore,
            TimestampMap::Origin { ticks, local } => origin_of_cues(ticks, local),
            TimestampMap::Absent => FirstTimestamp::None,
        },
        packed if packed.is_packed_audio() => tags(prefix),
        _ => FirstTimestamp::None,
    }
}

fn transport_stream(mut rest: &[u8]) -> FirstTimestamp {
    loop {
        let junk = rest.iter().position(|byte| *byte == SYNC_BYTE).unwrap_or(rest.len());
        let Some((packet, after)) = rest[junk..].split_first_chunk::<PACKET_LEN>() else {
            return FirstTimestamp::NeedMore;
        };
        rest = after;
        let payload = Packet::parse(packet)
            .filter(|packet| packet.unit_start && !packet.scrambled)
            .and_then(|packet| packet.payload);
        if let Some(pts) = payload.and_then(media_pts) {
            return FirstTimestamp::At(Timestamp::mpeg(pts));
        }
    }
}

/// The PTS of a PES packet of sound or pictures.
fn media_pts(payload: &[u8]) -> Option<i64> {
    let header = PesHeader::parse(payload)?;
    let is_media = match header.stream_id {
        0xC0..=0xEF | 0xFD => true,
        // Private streams carry AC-3, and timed metadata, whose ID3 tags name a time of their own.
        0xBD => !payload.get(header.header_len..)?.starts_with(b"ID3"),
        _ => false,
    };
    header.pts.filter(|_| is_media).and_then(|pts| i64::try_from(pts).ok())
}

fn fragments(init: Option<&[u8]>, prefix: &[u8]) -> FirstTimestamp {
    let mut movie = init.and_then(|init| crate::bmff::find(init, b"moov")).map(Movie::parse);
    let mut rest = prefix;
    loop {
        let header = match BoxHeader::read(rest) {
            ReadHeader::Header(header) => header,
            ReadHeader::NeedMore(_) => return FirstTimestamp::NeedMore,
            ReadHeader::Malformed => return FirstTimestamp::None,
        };
        let whole = header.len.and_then(|len| usize::try_from(len).ok()).and_then(|len| rest.split_at_checked(len));
        let Some((whole, after)) = whole else {
            return if header.len.is_some() { FirstTimestamp::NeedMore } else { FirstTimestamp::None };
        };
        let payload = &whole[header.header_len..];
        match &header.kind {
            b"moov" => movie = Some(Movie::parse(payload)),
            b"moof" => {
                let Some(movie) = movie else {
                    return FirstTimestamp::None;
                };
                return fragment_start(&movie, payload).map_or(FirstTimestamp::None, FirstTimestamp::At);
            }
            _ => {}
        }
        rest = after;
    }
}

fn fragment_start(movie: &Movie, moof: &[u8]) -> Option<Timestamp> {
    let fragment = Fragment::parse(&bytes::Bytes::copy_from_slice(moof))?;
    let starts = fragment.tracks.iter().filter_map(|part| {
        let track = movie.tracks.iter().find(|track| track.id == part.track_id)?;
        let first = part.runs.iter().find_map(|run| run.clone().next())?;
        let decode_time = i64::try_from(part.decode_time?).ok()?;
        let value = decode_time.checked_add(first.composition_offset)?.checked_add(track.edit.shift)?;
        let rank = match &track.handler {
            b"soun" => 0,
            b"vide" => 1,
            _ => 2,
        };
        Some((rank, Timestamp::new(value, track.timescale)))
    });
    starts.min_by_key(|(rank, _)| *rank).map(|(_, start)| start)
}

/// The media time of cue time zero.
fn origin_of_cues(ticks: u64, local: i64) -> FirstTimestamp {
    let origin = i64::try_from(ticks).ok().and_then(|ticks| ticks.checked_sub(local.checked_mul(90)?));
    origin.map_or(FirstTimestamp::None, |origin| FirstTimestamp::At(Timestamp::mpeg(origin)))
}

fn tags(prefix: &[u8]) -> FirstTimestamp {
    let mut rest = prefix;
    loop {
        match id3::tag_start(rest) {
            TagStart::NeedMore => return FirstTimestamp::NeedMore,
            TagStart::NoTag => return FirstTimestamp::None,
            TagStart::Tag(len) => {
                let Some((tag, after)) = rest.split_at_checked(len) else {
                    return FirstTimestamp::NeedMore;
                };
                if let Some(ticks) = id3::timestamp(tag).and_then(|ticks| i64::try_from(ticks).ok()) {
                    return FirstTimestamp::At(Timestamp::mpeg(ticks));
                }
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::bmff::fragment::tests::traf;
    use crate::bmff::movie::tests::{aac_trak, moov, trak};
    use crate::bmff::tests::mp4_box;
    use crate::frames::tests::adts_frame;
    use crate::id3::tests::{tag, timestamp_tag};
    use crate::ts::packet::tests::packet;
    use crate::ts::pes::tests::pes;

    /// Checks the answer for the whole prefix, and that every shorter one either agrees or asks for more.
    #[track_caller]
    fn check(container: Container, init: Option<&[u8]>, prefix: &[u8], want: FirstTimestamp) {
        assert_eq!(first_timestamp(container, init, prefix), want);
        for len in 0..prefix.len() {
            let got = first_timestamp(container, init, &prefix[..len]);
            assert!(got == want || got == FirstTimestamp::NeedMore, "{len} of {}: {got:?}", prefix.len());
        }
    }

    fn at(value: i64, timescale: u32) -> FirstTimestamp {
        FirstTimestamp::At(Timestamp::new(value, NonZeroU32::new(timescale).unwrap()))
    }

    #[test]
    fn a_stream_begins_with_its_first_sound_or_picture() {
        let metadata = packet(0x102, true, 0, &pes(0xBD, 5, true, b"ID3\x04"));
        let sound = packet(0x101, true, 0, &pes(0xC0, 0x1_FFFF_FFF0, true, b"x"));
        let pictures = packet(0x100, true, 0, &pes(0xE0, 7, false, b"x"));
        let surround = packet(0x103, true, 0, &pes(0xBD, 9, true, b"\x0B\x77"));
        check(Container::MpegTs, None, &[metadata, sound, pictures].concat(), at(0x1_FFFF_FFF0, 90_000));
        check(Container::MpegTs, None, &[metadata, pictures, sound].concat(), at(7, 90_000));
        check(Container::MpegTs, None, &[metadata, surround].concat(), at(9, 90_000));
        check(Container::MpegTs, None, &[&b"junk"[..], &metadata].concat(), FirstTimestamp::NeedMore);
    }

    #[test]
    fn a_fragment_begins_at_its_decode_time_in_the_clock_of_the_init_section() {
        let init = moov(&[&aac_trak(1, &[(-1, 500), (1024, 0)])]);
        let moof = mp4_box(b"moof", &[&traf(1, 96_000, 0, &[5])]);
        let unit = [mp4_box(b"styp", &[b"msdh\0\0\0\0"]), moof].concat();
        check(Container::Fmp4, Some(&init), &unit, at(96_000 + 24_000 - 1024, 48_000));
        check(Container::Fmp4, None, &unit, FirstTimestamp::None);
        check(Container::Fmp4, None, &[init, unit].concat(), at(96_000 + 24_000 - 1024, 48_000));
    }

    #[test]
    fn sound_is_preferred_in_a_fragment_of_several_tracks() {
        let init = moov(&[&trak(1, 90_000, b"vide", &[], &[]), &trak(2, 44_100, b"soun", &[], &[])]);
        let moof = mp4_box(b"moof", &[&traf(1, 180_000, 0, &[5]), &traf(2, 88_200, 5, &[5])]);
        check(Container::Fmp4, Some(&init), &moof, at(88_200, 44_100));
    }

    #[test]
    fn packed_audio_says_it_in_a_tag() {
        let unit = [tag(&[(b"TIT2", b"\0x")]), timestamp_tag(126_000), adts_frame(9)].concat();
        check(Container::Adts, None, &unit, at(126_000, 90_000));
        check(Container::Adts, None, &adts_frame(9), FirstTimestamp::None);
    }

    #[test]
    fn text_says_it_in_its_header_and_whole_files_do_not() {
        check(Container::WebVtt, None, b"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:7\n\n", at(7, 90_000));
        check(Container::Wav, None, b"RIFF", FirstTimestamp::None);
    }
}
