//! A whole presentation from disk.

use std::path::Path;

use super::{Packager, Recording, recording::read};
use crate::{error::OriginError, playlist::attribute_uri};

impl Packager {
    /// Publishes what a multivariant playlist on disk lists, under the same names, or one media playlist. I-frame playlists and
    /// subtitles are left out.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn presentation(mut self, playlist: impl AsRef<Path>) -> Result<Self, OriginError> {
        let playlist = playlist.as_ref();
        let name = playlist.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = String::from_utf8_lossy(&read(playlist)?).into_owned();
        if text.contains("#EXTINF") {
            return Ok(self.rendition(&name, &Recording::open(playlist)?));
        }
        let is_left_out = |line: &str| {
            line.starts_with("#EXT-X-I-FRAME-STREAM-INF")
                || (line.starts_with("#EXT-X-MEDIA:") && line.contains("TYPE=SUBTITLES"))
        };
        let lines: Vec<_> = text.lines().filter(|line| !is_left_out(line)).map(without_subtitles).collect();
        let uris = lines.iter().filter_map(|line| match line.strip_prefix('#') {
            Some(tag) if tag.starts_with("EXT-X-MEDIA:") => attribute_uri(line),
            Some(_) => None,
            None => Some(line.trim()).filter(|uri| !uri.is_empty()),
        });
        for uri in uris.map(str::to_owned).collect::<Vec<_>>() {
            if self.find(&uri).is_none() {
                self = self.rendition(&uri, &Recording::open(playlist.with_file_name(&uri))?);
            }
        }
        Ok(self.multivariant(&name, lines.join("\n") + "\n"))
    }
}

/// The line without its `SUBTITLES` attribute.
fn without_subtitles(line: &str) -> String {
    let Some((before, rest)) = line.split_once(",SUBTITLES=\"") else {
        return line.to_owned();
    };
    format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after))
}
