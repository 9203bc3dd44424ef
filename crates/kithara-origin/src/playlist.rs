//! The little an origin needs to know of playlists: where their URIs are, and where these lead.

use crate::request::percent_decode;

/// The text with each URI (URI lines and `URI="..."` attributes) replaced by what `change` makes of it; `None` leaves it.
pub(crate) fn rewrite_uris(text: &str, mut change: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let uri = if content.starts_with('#') { attribute_uri(content) } else { Some(content) };
        match uri.filter(|uri| !uri.trim().is_empty()).and_then(|uri| Some((uri, change(uri)?))) {
            Some((uri, new)) => out.push_str(&line.replacen(uri, &new, 1)),
            None => out.push_str(line),
        }
    }
    out
}

/// The value of the `URI` attribute of a tag.
pub(crate) fn attribute_uri(tag: &str) -> Option<&str> {
    let at = [":URI=\"", ",URI=\""].iter().filter_map(|start| Some(tag.find(start)? + start.len())).min()?;
    tag[at..].split('"').next()
}

/// The decoded path on this origin that `uri` in the playlist at `base` leads to; `None` when it names a host or scheme.
pub(crate) fn resolve(base: &str, uri: &str) -> Option<String> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    if path.starts_with("//") || path.split('/').next().is_some_and(|first| first.contains(':')) {
        return None;
    }
    let path = String::from_utf8(percent_decode(path)).ok()?;
    let directory = base.rsplit_once('/').map_or("", |(directory, _)| directory);
    let joined = if path.starts_with('/') { path } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uri_is_rewritten_and_nothing_else() {
        let text = "#EXTM3U\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\",IV=0x1\r\n#EXTINF:1,URI=no\r\nseg1.ts\r\n\r\n#EXT-X-MAP:URI=\"i.mp4\"\nlast.ts";
        let got = rewrite_uris(text, |uri| Some(format!("{uri}?s")));
        let want = "#EXTM3U\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key?s\",IV=0x1\r\n#EXTINF:1,URI=no\r\nseg1.ts?s\r\n\r\n#EXT-X-MAP:URI=\"i.mp4?s\"\nlast.ts?s";
        assert_eq!(got, want);
        assert_eq!(rewrite_uris(text, |_| None), text);
    }

    #[test]
    fn references_are_resolved_against_the_playlist() {
        let resolved = |uri| resolve("/a/b/index.m3u8", uri);
        assert_eq!(resolved("seg%201.ts?x").as_deref(), Some("/a/b/seg 1.ts"));
        assert_eq!(resolved("../c/./seg.ts").as_deref(), Some("/a/c/seg.ts"));
        assert_eq!(resolved("../../../seg.ts").as_deref(), Some("/seg.ts"));
        assert_eq!(resolved("/seg.ts").as_deref(), Some("/seg.ts"));
        assert_eq!(resolved("http://other/seg.ts"), None);
        assert_eq!(resolved("//other/seg.ts"), None);
        assert_eq!(resolved("data:,x"), None);
    }
}
