//! A VOD playlist taken apart, so that live ones can be put together from it.

use std::{collections::HashMap, time::Duration};

/// The parts of a media playlist.
#[derive(Debug, Default)]
pub(crate) struct Vod {
    /// Tags that hold for the whole playlist, but for those a live playlist has its own of.
    pub(crate) header: Vec<String>,
    /// At least one.
    pub(crate) segments: Vec<VodSegment>,
}

#[derive(Debug, Default)]
pub(crate) struct VodSegment {
    pub(crate) uri: String,
    pub(crate) duration: Duration,
    /// Media before it.
    pub(crate) start: Duration,
    pub(crate) is_discontinuous: bool,
    pub(crate) is_ranged: bool,
    /// `EXT-X-KEY` and `EXT-X-MAP` tags that stand before it, in order.
    pub(crate) state: Vec<String>,
    /// All other tags of this segment, in order. Byte ranges have a start.
    pub(crate) lines: Vec<String>,
}

/// Tags of the playlist that a live one has its own of.
const REPLACED: [&str; 5] =
    ["#EXTM3U", "#EXT-X-ENDLIST", "#EXT-X-PLAYLIST-TYPE", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE"];
/// Tags that belong to a segment.
const OF_SEGMENTS: [&str; 8] = [
    "#EXTINF",
    "#EXT-X-BYTERANGE",
    "#EXT-X-PROGRAM-DATE-TIME",
    "#EXT-X-GAP",
    "#EXT-X-BITRATE",
    "#EXT-X-DATERANGE",
    "#EXT-X-CUE-OUT",
    "#EXT-X-CUE-IN",
];

impl Vod {
    /// Takes a media playlist apart; `None` when the text is none, or has no segment.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with("#EXTM3U") || !text.contains("#EXTINF") {
            return None;
        }
        let mut vod = Self::default();
        let mut next = VodSegment::default();
        let mut range: Option<String> = None;
        let mut ends: HashMap<String, u64> = HashMap::new();
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-KEY" | "#EXT-X-MAP" => next.state.push(line.to_owned()),
                "#EXT-X-DISCONTINUITY" => next.is_discontinuous = true,
                "#EXT-X-BYTERANGE" => range = Some(value.to_owned()),
                "#EXTINF" => {
                    let seconds = value.split(',').next().and_then(|seconds| seconds.trim().parse().ok());
                    next.duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or_default();
                    next.lines.push(line.to_owned());
                }
                _ if OF_SEGMENTS.contains(&tag) => next.lines.push(line.to_owned()),
                _ if REPLACED.contains(&tag) => {}
                _ if line.starts_with('#') => vod.header.push(line.to_owned()),
                uri => {
                    let start = vod.lap();
                    let whole = if value.is_empty() { uri } else { line };
                    if let Some(range) = range.take() {
                        next.lines.push(with_start(&range, whole, &mut ends));
                        next.is_ranged = true;
                    }
                    vod.segments.push(VodSegment { uri: whole.to_owned(), start, ..std::mem::take(&mut next) });
                }
            }
        }
        (!vod.segments.is_empty()).then_some(vod)
    }

    /// The media of all segments.
    pub(crate) fn lap(&self) -> Duration {
        self.segments.last().map_or(Duration::ZERO, |last| last.start.saturating_add(last.duration))
    }

    /// The `EXT-X-KEY` and `EXT-X-MAP` lines that put a reader who begins at segment `index` in the same state: the keys of the init
    /// section, it itself, then the keys of the segment.
    pub(crate) fn in_force(&self, index: usize) -> impl Iterator<Item = &str> {
        let mut keys: Vec<&str> = Vec::new();
        let mut map: Option<(&str, Vec<&str>)> = None;
        for segment in &self.segments[..=index] {
            let mut is_fresh = false;
            for line in &segment.state {
                if line.starts_with("#EXT-X-MAP") {
                    map = Some((line, keys.clone()));
                } else if is_fresh {
                    keys.push(line);
                } else {
                    // The first key of a segment replaces those of earlier ones; further ones are for other key formats.
                    keys = vec![line];
                    is_fresh = true;
                }
            }
        }
        let (map, map_keys) = map.map_or((None, Vec::new()), |(map, keys)| (Some(map), keys));
        let keys = if map_keys == keys { Vec::new() } else { keys };
        let keys_first = if map.is_some() { map_keys } else { Vec::new() };
        keys_first.into_iter().chain(map).chain(keys)
    }
}

/// The byte range with its start, which may lie in an earlier line that a window no longer shows.
fn with_start(range: &str, uri: &str, ends: &mut HashMap<String, u64>) -> String {
    let (length, start) = range.split_once('@').map_or((range, None), |(length, start)| (length, Some(start)));
    let start = start.and_then(|start| start.parse().ok()).unwrap_or_else(|| ends.get(uri).copied().unwrap_or(0));
    ends.insert(uri.to_owned(), start.saturating_add(length.parse().unwrap_or(0)));
    format!("#EXT-X-BYTERANGE:{length}@{start}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_is_taken_apart() {
        let vod = Vod::parse("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-BYTERANGE:5@7\n#EXTINF:1.5,t\r\nhttp://h:1/a\n#EXT-X-BYTERANGE:3\n#EXTINF:2,\nhttp://h:1/a\n#EXT-X-ENDLIST").unwrap();
        assert_eq!(vod.header, ["#EXT-X-VERSION:7"]);
        let second = &vod.segments[1];
        assert_eq!(
            (second.uri.as_str(), second.start, vod.lap()),
            ("http://h:1/a", Duration::from_millis(1500), Duration::from_millis(3500))
        );
        assert_eq!(second.lines, ["#EXTINF:2,", "#EXT-X-BYTERANGE:3@12"]);
        assert!(Vod::parse("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n").is_none());
    }

    #[track_caller]
    fn check(state: [&str; 3], want: [&str; 3]) {
        let text: String = state.iter().map(|tags| format!("{tags}\n#EXTINF:1,\nseg\n")).collect();
        let vod = Vod::parse(&format!("#EXTM3U\n{text}")).unwrap();
        let got = [0, 1, 2].map(|index| vod.in_force(index).collect::<Vec<_>>().join("\n"));
        assert_eq!(got, want);
    }

    #[test]
    fn state_is_carried_over_with_its_order() {
        let (map, key0, key1, none) =
            ("#EXT-X-MAP:URI=\"m\"", "#EXT-X-KEY:0", "#EXT-X-KEY:1", "#EXT-X-KEY:METHOD=NONE");
        let join = |lines: &[&str]| lines.join("\n");
        // A clear init section stays before the keys, an encrypted one behind its own.
        check([&join(&[map, key0]), "", key1], [&join(&[map, key0]), &join(&[map, key0]), &join(&[map, key1])]);
        check([&join(&[key0, map]), "", key1], [&join(&[key0, map]), &join(&[key0, map]), &join(&[key0, map, key1])]);
        check([&join(&[key0, key1]), none, ""], [&join(&[key0, key1]), none, none]);
        check(["", map, ""], ["", map, map]);
    }
}
