//! A playlist for people: tables of what is in it.

use std::{
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use kithara::playlist::{
    Channels, Characteristics, Key, MediaPlaylist, MultivariantPlaylist, Playlist, PlaylistType, Segment, Variant,
};

/// Segments that are shown when not all are asked for.
const FEW: usize = 20;

/// Shows what a multivariant playlist offers.
pub(super) fn multivariant(out: &mut impl Write, playlist: &MultivariantPlaylist, at: &str) -> io::Result<()> {
    writeln!(out, "multivariant playlist {at}, version {}", playlist.version.unwrap_or(1))?;
    variants(out, "variant", &playlist.variants)?;
    renditions(out, playlist)?;
    variants(out, "I-frames", &playlist.iframe_variants)?;
    if let Some(steering) = &playlist.content_steering {
        let first = steering.pathway_id.as_deref().unwrap_or("of the client's choice");
        writeln!(out, "steered by {}, first pathway {first}", steering.server_uri)?;
    }
    for data in &playlist.session_data {
        writeln!(out, "session data {}", data.id)?;
    }
    Ok(())
}

fn variants(out: &mut impl Write, title: &'static str, variants: &[Variant]) -> io::Result<()> {
    let columns = [title, "bandwidth", "average", "size", "rate", "codecs", "audio", "subtitles", "pathway", "URI"];
    let mut table = Table::new(&columns);
    for variant in variants {
        table.row([
            text(variant.id),
            text(variant.bandwidth),
            maybe(variant.average_bandwidth),
            maybe(variant.resolution),
            maybe(variant.frame_rate),
            maybe(variant.codecs.as_ref()),
            maybe(variant.audio.as_ref()),
            maybe(variant.subtitles.as_ref()),
            maybe(variant.pathway_id.as_ref()),
            text(&variant.uri),
        ]);
    }
    table.print(out)
}

fn renditions(out: &mut impl Write, playlist: &MultivariantPlaylist) -> io::Result<()> {
    let columns = ["rendition", "type", "group", "name", "language", "channels", "flags", "characteristics", "URI"];
    let mut table = Table::new(&columns);
    for rendition in &playlist.renditions {
        let flags =
            [(rendition.default, "default"), (rendition.autoselect, "autoselect"), (rendition.forced, "forced")];
        table.row([
            text(rendition.id),
            text(rendition.kind.as_str()),
            text(&rendition.group_id),
            text(&rendition.name),
            maybe(rendition.language.as_ref()),
            maybe(rendition.channels.as_ref().map(Channels::as_str)),
            flags.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag).collect::<Vec<_>>().join(" "),
            maybe(rendition.characteristics.as_ref().map(Characteristics::as_str)),
            maybe(rendition.uri.as_ref()),
        ]);
    }
    table.print(out)
}

/// Shows what a media playlist lists.
pub(super) fn media(out: &mut impl Write, playlist: &MediaPlaylist, title: &str, all: bool) -> io::Result<()> {
    writeln!(out, "{title}, version {}", playlist.version.unwrap_or(1))?;
    let kind = match (playlist.playlist_type, playlist.ended) {
        (Some(PlaylistType::Vod), _) => "VOD",
        (Some(PlaylistType::Event), false) => "EVENT, growing",
        (Some(PlaylistType::Event), true) => "EVENT, ended",
        (None, true) => "ended",
        (None, false) => "live",
    };
    let (count, duration) = (playlist.segments.len(), seconds(playlist.segments.duration()));
    let target = seconds(playlist.target_duration);
    writeln!(out, "{count} segments, {duration} in all, target duration {target}, {kind}")?;
    for line in keys(playlist) {
        writeln!(out, "{line}")?;
    }
    let mut segments = Table::new(&["number", "start", "duration", "bytes", "key", "init section", "flags", "URI"]);
    let shown = if all { count } else { FEW };
    for (start, segment) in playlist.segments.iter_timed().take(shown) {
        segments.row([
            text(segment.msn),
            seconds(start),
            seconds(segment.duration),
            maybe(segment.byte_range),
            text(protection(segment.keys)),
            maybe(segment.init.map(|init| &init.uri)),
            flags(&segment),
            text(segment.uri),
        ]);
    }
    segments.print(out)?;
    if count > shown {
        writeln!(out, "... {} more; --all shows them", count - shown)?;
    }
    Ok(())
}

/// Says how many rules are broken, unless each of them is shown.
pub(super) fn violations(out: &mut impl Write, playlist: &Playlist, each: bool) -> io::Result<()> {
    let count = match playlist {
        Playlist::Media(playlist) => playlist.violations.len(),
        Playlist::Multivariant(playlist) => playlist.violations.len(),
    };
    match count {
        0 => Ok(()),
        _ if each => Ok(()),
        count => writeln!(out, "{count} rules are broken; --lint shows them"),
    }
}

/// One line for each key, with the segments that need it.
fn keys(playlist: &MediaPlaylist) -> Vec<String> {
    let mut found: Vec<(&Key, usize)> = Vec::new();
    for segment in playlist.segments.iter() {
        for key in segment.keys.iter() {
            match found.iter_mut().find(|(known, _)| *known == key) {
                Some((_, count)) => *count += 1,
                None => found.push((key, 1)),
            }
        }
    }
    let line = |(key, count): (&Key, usize)| {
        let uri = key.uri.as_ref().map_or_else(String::new, |uri| format!(" {uri}"));
        let iv = if key.iv.is_some() { "explicit IV" } else { "IV by segment number" };
        let format = if key.is_identity() { String::new() } else { format!(", format {}", key.keyformat) };
        format!("key {}{uri}: {count} segments, {iv}{format}", key.method)
    };
    found.into_iter().map(line).collect()
}

fn protection(keys: &[Key]) -> &str {
    keys.first().map_or("clear", |key| key.method.as_str())
}

fn flags(segment: &Segment<'_>) -> String {
    let date = segment.program_date_time.map(|date| date.to_string());
    let parts = (!segment.parts.is_empty()).then(|| format!("{} parts", segment.parts.len()));
    let flag = |is: bool, name: &str| is.then(|| name.to_owned());
    let all = [flag(segment.discontinuity, "discontinuity"), flag(segment.gap, "gap"), parts, date];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn text(fact: impl Display) -> String {
    fact.to_string()
}

fn maybe(fact: Option<impl Display>) -> String {
    fact.map_or_else(String::new, |fact| fact.to_string())
}

/// Rows of equal columns; columns in which nothing stands are left out.
struct Table<const N: usize> {
    heads: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    fn new(heads: &[&'static str; N]) -> Self {
        Self { heads: *heads, rows: Vec::new() }
    }

    fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<(usize, usize)> = (0..N)
            .map(|column| (column, width(column)))
            .filter(|(_, width)| *width > 0)
            .map(|(column, width)| (column, width.max(self.heads[column].len())))
            .collect();
        let line = |cells: [&str; N]| {
            let padded = widths.iter().map(|&(column, width)| format!("{:<width$}", cells[column]));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        writeln!(out, "  {}", line(self.heads))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "  {}", line(row.each_ref().map(String::as_str))))
    }
}

#[cfg(test)]
mod tests {
    use kithara::playlist::{ParseOptions, parse};

    use super::*;

    fn shown(playlist: &str, all: bool) -> String {
        let base = "https://user:secret@h/dir/index.m3u8?token=secret".parse().unwrap();
        let mut out = Vec::new();
        match parse(playlist.as_bytes(), &base, &ParseOptions::default()).unwrap() {
            Playlist::Media(playlist) => media(&mut out, &playlist, "media playlist x", all).unwrap(),
            Playlist::Multivariant(playlist) => multivariant(&mut out, &playlist, "x").unwrap(),
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_media_playlist_is_a_table_of_segments() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n\
            #EXT-X-KEY:METHOD=AES-128,URI=\"k.bin?token=secret\"\n#EXTINF:4,\na.ts?token=secret\n\
            #EXT-X-DISCONTINUITY\n#EXTINF:2.5,\nb.ts\n#EXT-X-ENDLIST\n";
        let want = "media playlist x, version 1\n\
            2 segments, 6.500 s in all, target duration 4.000 s, ended\n\
            key AES-128 k.bin: 2 segments, IV by segment number\n  \
            number  start    duration  key      flags          URI\n  \
            7       0.000 s  4.000 s   AES-128                 a.ts\n  \
            8       4.000 s  2.500 s   AES-128  discontinuity  b.ts\n";
        assert_eq!(shown(text, false), want);
    }

    #[test]
    fn a_multivariant_playlist_is_a_table_of_variants_and_renditions() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\",AUDIO=\"a\"\nlow.m3u8\n";
        let shown = shown(text, false);
        assert!(shown.contains("0        128 kbit/s  mp4a.40.2  a      low.m3u8"), "{shown}");
        assert!(shown.contains("0          AUDIO  a      English  default autoselect  en.m3u8"), "{shown}");
    }

    #[test]
    fn a_long_playlist_is_cut_unless_all_is_wanted() {
        let segments = "#EXTINF:1,\ns.ts\n".repeat(50);
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segments}");
        assert!(shown(&text, false).ends_with("... 30 more; --all shows them\n"));
        assert_eq!(shown(&text, true).matches("s.ts").count(), 50);
    }
}
