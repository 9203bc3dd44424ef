//! Lines and what they are.

use super::super::swar;

/// What a line is. Blank lines are none.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Token<'a> {
    /// A line that begins with `#EXTINF:`, as every other one of most playlists does: what stands behind the colon.
    Extinf(&'a str),
    /// Any other line that begins with `#EXT`: its name from `EXT` on, and what stands behind the first colon.
    Tag { name: &'a str, value: Option<&'a str> },
    /// Any other line that begins with `#`.
    Comment,
    /// Anything else.
    Uri(&'a str),
}

/// What `line` is. It is neither blank nor surrounded by blanks.
// What is written to memory in small pieces and read in large ones is waited for, so its parts stay in registers.
#[inline(always)]
pub(in super::super) fn token(line: &str) -> Token<'_> {
    // Comparing arrays is much cheaper than comparing strings.
    let bytes = line.as_bytes();
    if bytes.first_chunk() == Some(b"#EXTINF:") {
        return Token::Extinf(trimmed(&line[8..]));
    }
    if bytes.first() != Some(&b'#') {
        return Token::Uri(line);
    }
    if bytes.first_chunk() != Some(b"#EXT") {
        return Token::Comment;
    }
    let rest = &line[1..];
    match swar::find(b':', rest.as_bytes()) {
        Some(colon) => Token::Tag { name: trimmed(&rest[..colon]), value: Some(trimmed(&rest[colon + 1..])) },
        None => Token::Tag { name: rest, value: None },
    }
}

/// `text` without blanks around it.
#[inline]
pub(super) fn trimmed(text: &str) -> &str {
    // Most lines have none; looking at both ends is much cheaper than trimming.
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(33..=126), Some(33..=126)) | (None, None) => text,
        _ => text.trim(),
    }
}

/// What stands behind `mark`, an ASCII character, at the beginning of `text`. Looking for a character is not as cheap.
#[inline]
pub(super) fn behind(text: &str, mark: u8) -> Option<&str> {
    if text.as_bytes().first() == Some(&mark) { text.get(1..) } else { None }
}

/// A line that is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineSpan {
    /// Where it stands in the piece, without blanks around it.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Which line of the piece it is, from 0, blank ones counted.
    pub(super) number: u32,
}

/// How far a piece of text reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes, the line end of the last line included.
    pub(super) len: usize,
    /// Lines, blank ones included.
    pub(super) lines: u32,
    /// Lines that are URIs.
    pub(super) uris: usize,
}

/// Cuts a piece off the front of `text`: up to and including the line of the URI number `uris`, or all of it.
/// The lines of the piece replace what `spans` held.
pub(super) fn cut(text: &[u8], terminator: u8, uris: usize, spans: &mut Vec<LineSpan>) -> Extent {
    spans.clear();
    let (mut start, mut number, mut left) = (0, 0, uris);
    let mut ends = memchr::memchr_iter(terminator, text);
    while start < text.len() && left > 0 {
        let end = ends.next().unwrap_or(text.len());
        let mut span = LineSpan { start, end, number };
        // Most lines have no blanks around them; looking at both ends is much cheaper than trimming.
        if !matches!((text.get(start), text.get(end.wrapping_sub(1))), (Some(33..=126), Some(33..=126))) {
            span.start = end - text[start..end].trim_ascii_start().len();
            span.end = span.start + text[span.start..end].trim_ascii_end().len();
        }
        if span.start < span.end {
            left -= usize::from(text[span.start] != b'#');
            spans.push(span);
        }
        start = end + 1;
        number += 1;
    }
    Extent { len: start.min(text.len()), lines: number, uris: uris - left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, uris: usize, want: &[(&str, u32)], len: usize, lines: u32) {
        let mut spans = Vec::new();
        let extent = cut(text.as_bytes(), b'\n', uris, &mut spans);
        assert_eq!((extent.len, extent.lines), (len, lines));
        let found: Vec<_> = spans.iter().map(|it| (&text[it.start..it.end], it.number)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn lines_are_cut_behind_the_last_wanted_uri() {
        check("#EXTM3U\na\n#EXT-X-GAP\nb\n", 1, &[("#EXTM3U", 0), ("a", 1)], 10, 2);
        check("a\nb", 2, &[("a", 0), ("b", 1)], 3, 2);
        check("a\nb", 9, &[("a", 0), ("b", 1)], 3, 2);
        check("", 9, &[], 0, 0);
    }

    #[test]
    fn line_ends_of_both_kinds_and_blank_lines() {
        check("#a\r\n\r\n  b \t\r\n\n", 9, &[("#a", 0), ("b", 2)], 14, 4);
    }

    #[test]
    fn lines_are_tags_comments_or_uris() {
        assert_eq!(token("#EXTINF:9.0,a:b"), Token::Extinf("9.0,a:b"));
        assert_eq!(token("#EXTINF"), Token::Tag { name: "EXTINF", value: None });
        assert_eq!(token("#EXT-X-ENDLIST"), Token::Tag { name: "EXT-X-ENDLIST", value: None });
        assert_eq!(token("#EXT-X-VERSION: 3"), Token::Tag { name: "EXT-X-VERSION", value: Some("3") });
        assert_eq!(token("# EXTINF:9"), Token::Comment);
        assert_eq!(token("#ext"), Token::Comment);
        assert_eq!(token("a#EXT"), Token::Uri("a#EXT"));
    }
}
