//! Recognising media by its first bytes.
//!
//! A server may answer 200 with an error page, and Content-Type is wrong too often to count as evidence: only bytes decide here. The answer
//! does not depend on how the bytes arrived: once an answer other than [`Sniff::NeedMore`] is given, more bytes do not change it.

use crate::Container;
use crate::frames::{Boundary, Framing, ac3};
use crate::id3::{self, TagStart};
use crate::ts::PACKET_LEN;

/// What the first bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// Not told yet: ask again when at least this many bytes are there (counted from the start, more than were given) or the body ended.
    NeedMore(usize),
    /// Media of this format.
    Media(Container),
    /// Something else.
    NotMedia(NotMedia),
}

/// What a body that is not media is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotMedia {
    /// No byte, or nothing behind an ID3 tag.
    Empty,
    /// An HTML page.
    Html,
    /// A JSON document.
    Json,
    /// An XML document other than TTML.
    Xml,
    /// An HLS playlist.
    Playlist,
    /// Nothing known: plain text, ciphertext, another format.
    Unknown,
}

/// The most bytes [`sniff()`] asks for. Only an ID3 tag with cover art comes near it.
pub const MAX_SNIFF: usize = 1 << 20;

/// Bytes within which the kind of a text document shows, comments and declarations before its root element included.
const TEXT_WINDOW: usize = 4096;

/// Zeros that may stand in front of the first audio frame.
const MAX_PADDING: usize = 1024;

/// Bytes every known signature fits in, except those of frames and packets, which are looked at twice.
const SIGNATURE_LEN: usize = 16;

/// Recognises a body by `prefix`, its first bytes; `is_end` says that there are no more.
///
/// Formats without a magic number (MPEG-TS and audio frames) must show a second packet or frame in the right place, unless the body ends
/// first. Up to one packet of junk in front of the first MPEG-TS packet is tolerated, as encoders that start mid-packet leave it.
#[must_use]
pub fn sniff(prefix: &[u8], is_end: bool) -> Sniff {
    if prefix.is_empty() && is_end {
        return Sniff::NotMedia(NotMedia::Empty);
    }
    if prefix.len() < SIGNATURE_LEN && !is_end {
        return Sniff::NeedMore(SIGNATURE_LEN);
    }
    if let Some(container) = magic(prefix) {
        return Sniff::Media(container);
    }
    if let Some(answer) = transport_stream(prefix, 0, is_end) {
        return answer;
    }
    if let Some(answer) = packed_audio(prefix, is_end).or_else(|| text(prefix, is_end)) {
        return answer;
    }
    (1..PACKET_LEN)
        .find_map(|junk| transport_stream(prefix, junk, is_end))
        .unwrap_or(Sniff::NotMedia(NotMedia::Unknown))
}

/// Formats that begin with a fixed signature.
fn magic(prefix: &[u8]) -> Option<Container> {
    if prefix.starts_with(b"fLaC") {
        return Some(Container::Flac);
    }
    if prefix.starts_with(b"OggS\0") {
        return Some(Container::Ogg);
    }
    if prefix.starts_with(b"RIFF") && prefix.get(8..12) == Some(b"WAVE") {
        return Some(Container::Wav);
    }
    is_box(prefix).then_some(Container::Fmp4)
}

/// Whether `prefix` begins with a box that a segment, an initialization section or an MP4 file may begin with.
fn is_box(prefix: &[u8]) -> bool {
    const TOP_LEVEL: [&[u8; 4]; 16] = [
        b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"ssix", b"emsg", b"prft", b"free", b"skip", b"wide", b"mdat",
        b"uuid", b"pdin", b"meta", b"mfra",
    ];
    let Some((size, rest)) = prefix.split_first_chunk::<4>() else {
        return false;
    };
    // Text has letters where the size is: "Get free" must not read as a box of a gigabyte.
    let plausible = match u32::from_be_bytes(*size) {
        0 | 1 => true,
        size => size >= 8 && (size < 0x0900_0000 || rest.starts_with(b"mdat")),
    };
    plausible && TOP_LEVEL.iter().any(|kind| rest.starts_with(*kind))
}

/// An answer if packets may begin at `junk`: the sync bytes are all where they must be, as far as there are bytes.
fn transport_stream(prefix: &[u8], junk: usize, is_end: bool) -> Option<Sniff> {
    // Junk is believed only in front of one packet more, since any byte can happen to be a sync byte.
    let packets = if junk == 0 { 3 } else { 5 };
    let wanted = junk + (packets - 1) * PACKET_LEN + 1;
    let mut syncs = prefix.iter().skip(junk).step_by(PACKET_LEN).take(packets);
    if !syncs.all(|byte| *byte == 0x47) {
        return None;
    }
    if prefix.len() >= wanted {
        return Some(Sniff::Media(Container::MpegTs));
    }
    if !is_end {
        return Some(Sniff::NeedMore(wanted));
    }
    (junk == 0 && prefix.len() >= PACKET_LEN).then_some(Sniff::Media(Container::MpegTs))
}

/// An answer if `prefix` begins with ID3 tags or with an audio frame.
fn packed_audio(prefix: &[u8], is_end: bool) -> Option<Sniff> {
    let mut at = 0;
    loop {
        let rest = prefix.get(at..).unwrap_or_default();
        match id3::tag_start(rest) {
            TagStart::Tag(len) => at += len,
            TagStart::NeedMore if at > 0 => {
                let answer =
                    if is_end { Sniff::NotMedia(NotMedia::Empty) } else { Sniff::NeedMore(at + id3::HEADER_LEN) };
                return Some(answer);
            }
            TagStart::NeedMore | TagStart::NoTag => break,
        }
        // Tags of such a size carry cover art, and files that carry cover art in front of bare frames are MP3 files.
        if at > MAX_SNIFF - TEXT_WINDOW {
            return Some(Sniff::Media(Container::Mp3));
        }
        if at > prefix.len() && !is_end {
            return Some(Sniff::NeedMore(at + id3::HEADER_LEN));
        }
    }
    let rest = prefix.get(at..).unwrap_or_default();
    if at > 0 && rest.len() < id3::HEADER_LEN && !is_end {
        return Some(Sniff::NeedMore(at + id3::HEADER_LEN));
    }
    if rest.starts_with(b"fLaC") {
        return Some(Sniff::Media(Container::Flac));
    }
    // Some encoders leave zeros in front of the first frame.
    let padding = rest.iter().take(MAX_PADDING).take_while(|byte| **byte == 0).count();
    if padding == rest.len() && padding < MAX_PADDING && !is_end {
        return Some(Sniff::NeedMore(at + MAX_PADDING));
    }
    let is_tagged = at > 0;
    let (at, rest) = (at + padding, &rest[padding..]);
    [Framing::Adts, Framing::Ac3, Framing::Mpeg]
        .into_iter()
        .find_map(|framing| frames(framing, rest, at, is_end))
        .or(is_tagged.then_some(Sniff::NotMedia(NotMedia::Unknown)))
}

/// An answer if `rest`, which lies `at` bytes into the body, begins with two frames of one framing.
fn frames(framing: Framing, rest: &[u8], at: usize, is_end: bool) -> Option<Sniff> {
    let len = match framing.boundary(rest) {
        Boundary::Frame(len) => len,
        Boundary::NeedMore if !is_end => return Some(Sniff::NeedMore(at + framing.header_len())),
        Boundary::NeedMore | Boundary::NoFrame => return None,
    };
    let container = match framing {
        Framing::Adts => Container::Adts,
        Framing::Mpeg => Container::Mp3,
        Framing::Ac3 if ac3::Ac3Header::parse(rest)?.is_enhanced => Container::Eac3,
        Framing::Ac3 => Container::Ac3,
    };
    let next = rest.get(len..).unwrap_or_default();
    match framing.boundary(next) {
        Boundary::Frame(_) => Some(Sniff::Media(container)),
        // A single frame, or a cut one, at the end of the body: what is there agrees, and completeness is judged elsewhere.
        Boundary::NeedMore if is_end => Some(Sniff::Media(container)),
        Boundary::NeedMore => Some(Sniff::NeedMore(at + len + framing.header_len())),
        // An ID3 tag may stand between two frames.
        Boundary::NoFrame => match id3::tag_start(next) {
            TagStart::Tag(_) => Some(Sniff::Media(container)),
            TagStart::NeedMore if !is_end => Some(Sniff::NeedMore(at + len + id3::HEADER_LEN)),
            TagStart::NeedMore | TagStart::NoTag => None,
        },
    }
}

/// An answer if `prefix` is a text document of a known kind.
fn text(prefix: &[u8], is_end: bool) -> Option<Sniff> {
    let marked = prefix.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(prefix);
    if let Some(after) = marked.strip_prefix(b"WEBVTT")
        && after.first().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    {
        return Some(Sniff::Media(Container::WebVtt));
    }
    // Ciphertext may begin with a brace as well; text has no control characters.
    let is_text = |byte: &u8| *byte >= b' ' || byte.is_ascii_whitespace();
    if !marked.iter().take(SIGNATURE_LEN).all(is_text) {
        return None;
    }
    let window = &marked[..marked.len().min(TEXT_WINDOW)];
    let start = window.trim_ascii_start();
    if start.is_empty() && window.len() < TEXT_WINDOW && !is_end {
        return Some(Sniff::NeedMore(TEXT_WINDOW + 3));
    }
    match start {
        [b'{' | b'[', ..] => Some(Sniff::NotMedia(NotMedia::Json)),
        [b'#', ..] if start.starts_with(b"#EXTM3U") => Some(Sniff::NotMedia(NotMedia::Playlist)),
        [b'<', ..] => Some(markup(start, window.len() == TEXT_WINDOW || is_end)),
        _ => None,
    }
}

/// What kind of markup `document` is, by its root element.
fn markup(document: &[u8], is_all: bool) -> Sniff {
    let mut rest = document;
    let undecided = if is_all { Sniff::NotMedia(NotMedia::Xml) } else { Sniff::NeedMore(TEXT_WINDOW + 3) };
    loop {
        rest = rest.trim_ascii_start();
        let (opening, closing): (&[u8], &[u8]) = match rest {
            [b'<', b'?', ..] => (b"<?", b"?>"),
            [b'<', b'!', b'-', b'-', ..] => (b"<!--", b"-->"),
            [b'<', b'!', b'-'] | [b'<', b'!'] | [b'<'] | [] => return undecided,
            [b'<', b'!', ..] => (b"<!", b">"),
            [b'<', ..] => return root_element(&rest[1..], undecided),
            _ => return Sniff::NotMedia(NotMedia::Xml),
        };
        let body = &rest[opening.len()..];
        let Some(end) = body.windows(closing.len()).position(|window| window == closing) else {
            return undecided;
        };
        if opening == b"<!" && body[..end].to_ascii_lowercase().starts_with(b"doctype html") {
            return Sniff::NotMedia(NotMedia::Html);
        }
        rest = &body[end + closing.len()..];
    }
}

fn root_element(name: &[u8], undecided: Sniff) -> Sniff {
    let Some(end) = name.iter().position(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace()) else {
        return undecided;
    };
    let name = name[..end].to_ascii_lowercase();
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    match local {
        b"tt" => Sniff::Media(Container::Ttml),
        b"html" | b"head" | b"body" | b"title" | b"h1" | b"center" | b"meta" | b"script" | b"p" | b"div" => {
            Sniff::NotMedia(NotMedia::Html)
        }
        _ => Sniff::NotMedia(NotMedia::Xml),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bmff::tests::mp4_box;
    use crate::frames::tests::{adts_frame, mp3_frame};
    use crate::id3::tests::timestamp_tag;
    use crate::ts::packet::tests::packet;

    #[track_caller]
    fn check(body: &[u8], want: Sniff) {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(sniff(body, true), want, "{shown}");
        assert_eq!(stream(body), want, "{shown}: by as many bytes as it asks for");
    }

    /// Sniffs as a fetch does: gives no more bytes than asked for.
    fn stream(body: &[u8]) -> Sniff {
        let mut len = 0;
        loop {
            match sniff(&body[..len], len == body.len()) {
                Sniff::NeedMore(wanted) => {
                    assert!(wanted > len && len < body.len(), "{wanted} wanted, {len} of {} given", body.len());
                    len = wanted.min(body.len());
                }
                answer => return answer,
            }
        }
    }

    fn media(container: Container, body: &[u8]) {
        check(body, Sniff::Media(container));
    }

    fn not_media(kind: NotMedia, body: &[u8]) {
        check(body, Sniff::NotMedia(kind));
    }

    fn packets(count: usize) -> Vec<u8> {
        (0..count).flat_map(|n| packet(0x1FFF, false, n as u8, &[0; 184])).collect()
    }

    #[test]
    fn packets_are_told_by_their_sync_bytes() {
        media(Container::MpegTs, &packets(1));
        media(Container::MpegTs, &packets(2));
        media(Container::MpegTs, &packets(9));
        media(Container::MpegTs, &[&b"cut"[..], &packets(5)].concat());
        media(Container::MpegTs, &[&b"\0cut"[..], &packets(5)].concat());
        not_media(NotMedia::Unknown, &packets(1)[..187]);
        not_media(NotMedia::Unknown, &[&packets(1)[..], &[0; 188]].concat());
        not_media(NotMedia::Unknown, b"Gateway is not here today, come back");
    }

    #[test]
    fn a_segment_may_begin_with_any_top_level_box() {
        for kind in [b"styp", b"moof", b"sidx", b"ftyp", b"moov", b"emsg", b"prft", b"free", b"mdat", b"uuid"] {
            media(Container::Fmp4, &mp4_box(kind, &[b"12345678"]));
        }
        media(Container::Fmp4, b"\0\0\0\0mdat");
        media(Container::Fmp4, b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x20rest");
        not_media(NotMedia::Unknown, b"Get free stuff at this place, all day");
        not_media(NotMedia::Unknown, b"\0\0\0\x04moof\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn audio_frames_are_told_by_two_in_a_row_with_or_without_tags() {
        let tag = timestamp_tag(1);
        for (container, frame) in [(Container::Adts, adts_frame(50)), (Container::Mp3, mp3_frame())] {
            media(container, &frame);
            media(container, &[&frame[..], &frame].concat());
            media(container, &[&tag[..], &frame, &frame].concat());
            media(container, &[&tag[..], &tag, &frame].concat());
            media(container, &[&frame[..], &tag, &frame].concat());
            not_media(NotMedia::Unknown, &[&frame[..], b"something else altogether"].concat());
        }
        media(Container::Mp3, &[&[0; 300][..], &mp3_frame(), &mp3_frame()].concat());
        not_media(NotMedia::Unknown, &[0; 2000]);
        let plain = [&[0x0B, 0x77, 0, 0, 0x1C, 0x40, 0xE1][..], &[0; 1529]].concat();
        media(Container::Ac3, &[&tag[..], &plain, &plain].concat());
        let enhanced = [&[0x0B, 0x77, 0x00, 0x0F, 0x3F, 0x86, 0][..], &[0; 25]].concat();
        media(Container::Eac3, &[&enhanced[..], &enhanced].concat());
    }

    #[test]
    fn a_tag_alone_is_no_media() {
        not_media(NotMedia::Empty, &timestamp_tag(1));
        not_media(NotMedia::Empty, &timestamp_tag(1)[..30]);
        not_media(NotMedia::Unknown, &[&timestamp_tag(1)[..], b"<html>not here</html>"].concat());
    }

    #[test]
    fn text_is_told_by_its_first_words() {
        media(Container::WebVtt, b"WEBVTT");
        media(Container::WebVtt, b"\xEF\xBB\xBFWEBVTT - a title\n\n00:00.000 --> 00:01.000\nx");
        media(Container::Ttml, b"<?xml version=\"1.0\"?>\n<!-- hi -->\n<tt:tt xmlns:tt=\"http://www.w3.org/ns/ttml\">");
        media(Container::Ttml, b"<tt xmlns=\"http://www.w3.org/ns/ttml\"/>");
        not_media(NotMedia::Unknown, b"WEBVTTX and then some more text");
        not_media(NotMedia::Html, b"\r\n  <!DOCTYPE html>\n<html><body>");
        not_media(NotMedia::Html, b"<!-- error --><HTML lang=en><body>");
        not_media(NotMedia::Html, b"<h1>504</h1>");
        not_media(NotMedia::Xml, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>");
        not_media(NotMedia::Xml, b"<Error");
        not_media(NotMedia::Json, b" {\"status\": \"generating\"}");
        not_media(NotMedia::Json, b"[]");
        not_media(NotMedia::Playlist, b"#EXTM3U\n#EXT-X-VERSION:3\n");
        not_media(NotMedia::Empty, b"");
        not_media(NotMedia::Unknown, b"   ");
        not_media(NotMedia::Unknown, b"Not Found");
        not_media(NotMedia::Unknown, b"{\x01\xD4\x9C\x02 ciphertext");
    }

    #[test]
    fn whole_file_formats_are_recognised() {
        media(Container::Flac, b"fLaC\0\0\0\x22................................");
        media(Container::Ogg, b"OggS\0\x02..........");
        media(Container::Wav, b"RIFF\x24\0\0\0WAVEfmt ");
        media(Container::Flac, &[&timestamp_tag(1)[..], b"fLaC\0\0\0\x22............"].concat());
    }

    #[test]
    fn a_tag_larger_than_the_limit_is_not_waited_for() {
        let mut head = b"ID3\x04\0\0\x7F\x7F\x7F\x7F".to_vec();
        head.resize(64, 0);
        media(Container::Mp3, &head);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn more_bytes_never_change_an_answer(
            start in prop::sample::select(vec![&b""[..], b"G", b"ID3\x04\0\0\0\0\0\x02", b"\xFF\xF1", b"\xFF\xFB\x90", b"<", b"<!", b"\0\0\0\x18", b" \n"]),
            rest in prop::collection::vec(any::<u8>(), 0..1200),
        ) {
            let body = [start, &rest].concat();
            let end = stream(&body);
            for len in 0..body.len() {
                match sniff(&body[..len], false) {
                    Sniff::NeedMore(wanted) => prop_assert!(wanted > len && wanted <= MAX_SNIFF),
                    answer => prop_assert_eq!(answer, end),
                }
            }
        }
    }
}
