//! WebVTT segments: the header with its X-TIMESTAMP-MAP (RFC 8216 section 3.5).

use crate::Timestamp;

/// Most bytes a mapping is looked for in.
const MAX_HEADER: usize = 4096;

/// What looking for the mapping came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampMap {
    /// The first cue is not seen yet.
    NeedMore,
    /// Media time of cue time zero.
    Origin(Timestamp),
    /// There is no mapping, or it cannot be read.
    Absent,
}

/// Looks for the mapping in front of the first cue of `text`.
pub(crate) fn timestamp_map(text: &[u8]) -> TimestampMap {
    let window = &text[..text.len().min(MAX_HEADER)];
    let mut rest = window.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(window);
    while let Some((line, after)) = split_line(rest) {
        if let Some(map) = line.strip_prefix(b"X-TIMESTAMP-MAP=") {
            return parse_map(map).map_or(TimestampMap::Absent, TimestampMap::Origin);
        }
        if line.windows(3).any(|window| window == b"-->") {
            return TimestampMap::Absent;
        }
        rest = after;
    }
    if window.len() == MAX_HEADER {
        TimestampMap::Absent
    } else {
        TimestampMap::NeedMore
    }
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
fn parse_map(map: &[u8]) -> Option<Timestamp> {
    let (mut local, mut ticks) = (None, None);
    for part in std::str::from_utf8(map).ok()?.split(',') {
        match part.trim().split_once(':')? {
            ("LOCAL", time) => local = Some(parse_time(time)?),
            ("MPEGTS", value) => {
                ticks = Some(i64::try_from(value.trim().parse::<u64>().ok()?).ok()?);
            }
            _ => {}
        }
    }
    Some(Timestamp::mpeg(
        ticks?.checked_sub(local?.checked_mul(90)?)?,
    ))
}

/// A cue time, `[hours:]minutes:seconds.thousandths`, in milliseconds.
fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.trim().split_once('.')?;
    let number = |digits: &str| {
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<i64>().ok())
            .flatten()
    };
    if fraction.len() != 3 {
        return None;
    }
    let mut parts = clock.rsplit(':').map(number);
    let (seconds, minutes, hours) = (
        parts.next()??,
        parts.next()??,
        parts.next().unwrap_or(Some(0))?,
    );
    if parts.next().is_some() || seconds > 59 || minutes > 59 {
        return None;
    }
    hours
        .checked_mul(3600)?
        .checked_add(minutes * 60 + seconds)?
        .checked_mul(1000)?
        .checked_add(number(fraction)?)
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
        let want = TimestampMap::Origin(Timestamp::mpeg(900_000));
        check(
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n",
            want,
        );
        check(
            "\u{feff}WEBVTT title\r\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00.000\r\n\r\n",
            want,
        );
        check(
            "WEBVTT\n\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000, MPEGTS:990000\n",
            want,
        );
        check(
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:01:00:00.500,MPEGTS:0\n",
            TimestampMap::Origin(Timestamp::mpeg(-324_045_000)),
        );
    }

    #[test]
    fn a_missing_or_broken_mapping_is_absent() {
        check(
            "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n",
            TimestampMap::Absent,
        );
        for broken in [
            "LOCAL:0:0:0,MPEGTS:1",
            "MPEGTS:1",
            "LOCAL:00:00:00.000",
            "LOCAL:00:00:00.000,MPEGTS:x",
            "LOCAL:00:99.000,MPEGTS:1",
        ] {
            check(
                &format!("WEBVTT\nX-TIMESTAMP-MAP={broken}\n"),
                TimestampMap::Absent,
            );
        }
        check(&"x".repeat(MAX_HEADER), TimestampMap::Absent);
    }

    #[test]
    fn a_cut_header_needs_more() {
        check(
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:9000",
            TimestampMap::NeedMore,
        );
        check("WEBVTT\r", TimestampMap::NeedMore);
        check("", TimestampMap::NeedMore);
    }
}
