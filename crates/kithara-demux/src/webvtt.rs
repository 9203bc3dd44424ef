//! WebVTT text (W3C WebVTT, section 4) and its X-TIMESTAMP-MAP (RFC 8216 section 3.5).

use std::borrow::Cow;

/// Most bytes a mapping is looked for in.
const MAX_HEADER: usize = 4096;

/// What looking for the mapping came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampMap {
    /// The first cue is not seen yet.
    NeedMore,
    /// A cue time in milliseconds, and the 90 kHz timestamp it stands for.
    Origin { ticks: u64, local: i64 },
    /// There is no mapping, or it cannot be read.
    Absent,
}

/// Looks for the mapping in front of the first cue of `text`.
pub(crate) fn timestamp_map(text: &[u8]) -> TimestampMap {
    let window = &text[..text.len().min(MAX_HEADER)];
    let mut rest = window.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(window);
    while let Some((line, after)) = split_line(rest) {
        if let Some(map) = line.strip_prefix(b"X-TIMESTAMP-MAP=") {
            return parse_map(map).unwrap_or(TimestampMap::Absent);
        }
        if line.windows(3).any(|window| window == b"-->") {
            return TimestampMap::Absent;
        }
        rest = after;
    }
    if window.len() == MAX_HEADER { TimestampMap::Absent } else { TimestampMap::NeedMore }
}

/// The first line and what follows its terminator (LF, CRLF or CR); `None` while the terminator is not all there.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let skip = match (text[end], text.get(end + 1)) {
        (b'\r', None) => return None,
        (b'\r', Some(b'\n')) => 2,
        _ => 1,
    };
    Some((&text[..end], &text[end + skip..]))
}

/// `LOCAL:<cue time>,MPEGTS:<ticks>` in either order.
fn parse_map(map: &[u8]) -> Option<TimestampMap> {
    let (mut local, mut ticks) = (None, None);
    for part in std::str::from_utf8(map).ok()?.split(',') {
        match part.trim().split_once(':')? {
            ("LOCAL", time) => local = Some(parse_time(time)?),
            ("MPEGTS", value) => ticks = Some(value.trim().parse::<u64>().ok()?),
            _ => {}
        }
    }
    Some(TimestampMap::Origin { ticks: ticks?, local: local? })
}

/// A part of a document, set off by empty lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block<'a> {
    /// The header, a style sheet or a region definition.
    Header(Cow<'a, str>),
    Cue(CueBlock),
}

/// A cue with times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CueBlock {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) id: String,
    pub(crate) settings: String,
    pub(crate) text: String,
}

/// The blocks of a document. Comments and cues that cannot be read are left out.
pub(crate) fn blocks(document: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let mut rest = document.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(document);
    std::iter::from_fn(move || {
        loop {
            let mut lines = Vec::new();
            while !rest.is_empty() {
                let (line, after) = split_line(rest).unwrap_or((rest.trim_ascii_end(), &[]));
                rest = after;
                if !line.is_empty() {
                    lines.push(line);
                } else if !lines.is_empty() {
                    break;
                }
            }
            if lines.is_empty() {
                return None;
            }
            if let Some(block) = parse_block(&lines) {
                return Some(block);
            }
        }
    })
}

fn parse_block<'a>(lines: &[&'a [u8]]) -> Option<Block<'a>> {
    let is_timing = |line: &&[u8]| line.windows(3).any(|window| window == b"-->");
    let timing = match lines.iter().take(2).position(is_timing) {
        Some(at) => at,
        None if [&b"WEBVTT"[..], b"STYLE", b"REGION"].iter().any(|word| lines[0].starts_with(word)) => {
            let joined = lines.join(&b'\n');
            return Some(Block::Header(Cow::Owned(String::from_utf8_lossy(&joined).into_owned())));
        }
        None => return None,
    };
    let line = String::from_utf8_lossy(lines[timing]);
    let (start, after) = line.split_once("-->")?;
    let (end, settings) = after.trim().split_once([' ', '\t']).unwrap_or((after.trim(), ""));
    let (start, end) = (parse_time(start)?, parse_time(end)?);
    let text = lines[timing + 1..].join(&b'\n');
    (start <= end).then(|| {
        Block::Cue(CueBlock {
            start,
            end,
            id: if timing == 1 { String::from_utf8_lossy(lines[0]).into_owned() } else { String::new() },
            settings: settings.trim().to_owned(),
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    })
}

/// A cue time, `[hours:]minutes:seconds.thousandths`, in milliseconds.
fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.trim().split_once('.')?;
    let number =
        |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten();
    if fraction.len() != 3 {
        return None;
    }
    let mut parts = clock.rsplit(':').map(number);
    let (seconds, minutes, hours) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || seconds > 59 || minutes > 59 {
        return None;
    }
    hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds)?.checked_mul(1000)?.checked_add(number(fraction)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: TimestampMap) {
        assert_eq!(timestamp_map(text.as_bytes()), want, "{text:?}");
    }

    #[test]
    fn the_mapping_is_read_in_either_order() {
        let want = TimestampMap::Origin { ticks: 900_000, local: 0 };
        check("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n", want);
        check("\u{feff}WEBVTT title\r\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00.000\r\n\r\n", want);
        check("WEBVTT\n\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000, MPEGTS:900000\n", want);
        check(
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:01:00:00.500,MPEGTS:0\n",
            TimestampMap::Origin { ticks: 0, local: 3_600_500 },
        );
    }

    #[test]
    fn a_missing_or_broken_mapping_is_absent() {
        check("WEBVTT\n\n00:00.000 --> 00:01.000\nx\n", TimestampMap::Absent);
        for broken in [
            "LOCAL:0:0:0,MPEGTS:1",
            "MPEGTS:1",
            "LOCAL:00:00:00.000",
            "LOCAL:00:00:00.000,MPEGTS:x",
            "LOCAL:00:99.000,MPEGTS:1",
        ] {
            check(&format!("WEBVTT\nX-TIMESTAMP-MAP={broken}\n"), TimestampMap::Absent);
        }
        check(&"x".repeat(MAX_HEADER), TimestampMap::Absent);
    }

    #[test]
    fn a_cut_header_needs_more() {
        check("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:9000", TimestampMap::NeedMore);
        check("WEBVTT\r", TimestampMap::NeedMore);
        check("", TimestampMap::NeedMore);
    }

    fn cue(start: i64, end: i64, id: &str, settings: &str, text: &str) -> Block<'static> {
        Block::Cue(CueBlock { start, end, id: id.into(), settings: settings.into(), text: text.into() })
    }

    #[track_caller]
    fn check_blocks(document: &str, want: &[Block<'_>]) {
        for document in [document.to_owned(), document.replace('\n', "\r\n"), document.replace('\n', "\r")] {
            assert_eq!(blocks(document.as_bytes()).collect::<Vec<_>>(), want, "{document:?}");
        }
    }

    #[test]
    fn cues_are_read_with_identifiers_settings_and_lines() {
        let document = "WEBVTT\n\nNOTE a\nremark\n\nSTYLE\n::cue {}\n\n1\n00:01.000 --> 00:02.500 line:0 align:left\nHello\n<b>you</b>\n\n\n10:00:00.000 --> 10:00:00.001\nx";
        check_blocks(
            document,
            &[
                Block::Header("WEBVTT".into()),
                Block::Header("STYLE\n::cue {}".into()),
                cue(1000, 2500, "1", "line:0 align:left", "Hello\n<b>you</b>"),
                cue(36_000_000, 36_000_001, "", "", "x"),
            ],
        );
    }

    #[test]
    fn cues_that_cannot_be_read_are_left_out() {
        check_blocks("00:01 --> 00:02\nx\n\n00:02.000 --> 00:01.000\ny\n\n00:01.000 -->\nz\n\nstray text\n", &[]);
        check_blocks("", &[]);
    }
}
