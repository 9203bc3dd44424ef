//! What a server's answer is. Pure.

/// Bytes in which a kind shows itself.
pub(crate) const SNIFFED: usize = 64;

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A playlist (RFC 8216).
    Playlist,
    /// A file of sound, or something that is said to be one.
    Media,
    /// Something else.
    Other,
}

/// By the first bytes, which cannot be wrong; else by the content type, which often is.
pub(crate) fn kind_of(prefix: &[u8], content_type: Option<&str>) -> Kind {
    let text = prefix.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(prefix);
    if text.starts_with(b"#EXTM3U") {
        return Kind::Playlist;
    }
    if is_media(prefix) {
        return Kind::Media;
    }
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        // Without its first line it is none; the parser says so, with the line.
        "application/vnd.apple.mpegurl" | "application/x-mpegurl" | "audio/mpegurl" | "audio/x-mpegurl" => {
            Kind::Playlist
        }
        "application/ogg" => Kind::Media,
        // What begins like markup is not sound, whatever it is called.
        sound if (sound.starts_with("audio/") || sound.starts_with("video/")) && !text.starts_with(b"<") => Kind::Media,
        _ => Kind::Other,
    }
}

fn is_media(prefix: &[u8]) -> bool {
    const MAGICS: [(usize, &[u8]); 6] =
        [(0, b"ID3"), (0, b"fLaC"), (0, b"OggS"), (0, b"RIFF"), (0, b"RF64"), (4, b"ftyp")];
    let has = |(at, magic): &(usize, &[u8])| prefix.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    // Frames of MPEG audio and of ADTS begin with eleven or twelve bits; the rest of the second byte rules out what is
    // reserved, so that text and 0xFF padding are not taken for sound.
    let is_frame = matches!(prefix, [0xFF, second, third, ..] if second & 0xE0 == 0xE0 && second & 0x18 != 0x08
        && (second & 0xF6 == 0xF0 || (second & 0x06 != 0 && third & 0xF0 != 0xF0)));
    MAGICS.iter().any(has) || is_frame
}

/// Whether the path of a URL is named like a playlist.
pub(crate) fn looks_like_playlist(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    extension.is_some_and(|it| it.eq_ignore_ascii_case("m3u8") || it.eq_ignore_ascii_case("m3u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &[u8], content_type: Option<&str>, want: Kind) {
        assert_eq!(kind_of(prefix, content_type), want, "{prefix:?} {content_type:?}");
    }

    #[test]
    fn first_bytes_decide_whatever_the_content_type_says() {
        check(b"#EXTM3U\n", Some("audio/mpeg"), Kind::Playlist);
        check(b"\xEF\xBB\xBF#EXTM3U\r\n", None, Kind::Playlist);
        check(b"ID3\x04", Some("application/vnd.apple.mpegurl"), Kind::Media);
        check(b"fLaC", Some("text/html"), Kind::Media);
        check(b"\0\0\0\x20ftypM4A ", None, Kind::Media);
        check(b"\xFF\xFB\x90\x64", None, Kind::Media);
        check(b"\xFF\xF1\x4C\x80", None, Kind::Media);
        check(b"RF64\xFF\xFF\xFF\xFFWAVE", None, Kind::Media);
        // Containers that are not read here: Core Audio, Matroska.
        check(b"caff\0\x01\0\0", None, Kind::Other);
        check(b"\x1A\x45\xDF\xA3", None, Kind::Other);
    }

    #[test]
    fn the_content_type_decides_what_first_bytes_leave_open() {
        check(b"#EXTINF:1,\n", Some("application/x-mpegURL; charset=utf-8"), Kind::Playlist);
        check(b"\0\0\0\0", Some("audio/mpeg"), Kind::Media);
        check(b"", Some("audio/mpeg"), Kind::Media);
        check(b"<html>", Some("audio/mpeg"), Kind::Other);
        check(b"<!DOCTYPE html>", Some("text/html"), Kind::Other);
        check(b"\xFF\xFF\xFF\xFF", None, Kind::Other);
        check(b"", None, Kind::Other);
    }

    #[test]
    fn names_of_playlists_are_recognised_in_the_path_alone() {
        for url in ["http://h/a.m3u8", "http://h/a.M3U8?x=1.mp3", "http://h/b.m3u#t"] {
            assert!(looks_like_playlist(url), "{url}");
        }
        for url in ["http://h/a.mp3?x=a.m3u8", "http://h/a", "http://h.m3u8/a", "http://h/a.m3u8/b"] {
            assert!(!looks_like_playlist(url), "{url}");
        }
    }
}
