//! Playlists as they are stored: without signatures, which are credentials.

use bytes::Bytes;
use kithara_fetch::assets::UrlIdentity;

/// `playlist` with the signing parameters taken out of its URIs and variables; the very same bytes where there are none.
///
/// The place of every line stays. What is no UTF-8 is no playlist, and nothing of it is kept; nor of one that says that it is
/// whole and lacks its end, for it may be cut.
pub(crate) fn unsigned(playlist: &Bytes, identity: &UrlIdentity) -> Bytes {
    let Ok(text) = std::str::from_utf8(playlist) else { return Bytes::new() };
    let has = |tag| text.lines().any(|line| line.trim() == tag);
    if has("#EXT-X-PLAYLIST-TYPE:VOD") && !has("#EXT-X-ENDLIST") {
        return Bytes::new();
    }
    let cleaned: String = text.split_inclusive('\n').map(|line| cleaned(line, identity)).collect();
    if cleaned == text { playlist.clone() } else { cleaned.into() }
}

fn cleaned(line: &str, identity: &UrlIdentity) -> String {
    let end = line.trim_end_matches(['\r', '\n']).len();
    let (content, ending) = line.split_at(end);
    let content = match content.strip_prefix('#') {
        None => identity.unsigned(content),
        Some(_) if content.starts_with("#EXT-X-DEFINE:") => define(content, identity),
        Some(_) => quoted(content, |value| identity.unsigned(value)),
    };
    content + ending
}

/// A variable keeps its value unless it is called like a signature; a value that is a query loses its signatures.
fn define(line: &str, identity: &UrlIdentity) -> String {
    let value = |name: &str| Some(line.split_once(name)?.1.split('"').next().unwrap_or_default());
    let is_signature = value("NAME=\"").is_some_and(|name| identity.unsigned(&format!("?{name}=x")).is_empty());
    let named = value("VALUE=\"").filter(|_| is_signature);
    quoted(line, |text| match named {
        Some(secret) if text == secret => String::new(),
        _ if text.contains('=') && !text.contains('?') => {
            identity.unsigned(&format!("?{text}")).trim_start_matches('?').to_owned()
        }
        _ => identity.unsigned(text),
    })
}

/// The line with each quoted string as `change` makes it.
fn quoted(line: &str, change: impl Fn(&str) -> String) -> String {
    let mut parts = line.split('"');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut inside = true;
    for part in parts {
        out.push('"');
        out.push_str(&if inside { change(part) } else { part.to_owned() });
        inside = !inside;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(signed: &str, want: &str) {
        let signed = Bytes::copy_from_slice(signed.as_bytes());
        assert_eq!(unsigned(&signed, &UrlIdentity::default()), want);
    }

    #[test]
    fn signatures_leave_uris_attributes_and_variables() {
        check("#EXTM3U\r\n#EXTINF:4,\r\na.ts?md5=S&v=1\r\n", "#EXTM3U\r\n#EXTINF:4,\r\na.ts?v=1\r\n");
        check(
            "#EXT-X-KEY:METHOD=AES-128,URI=\"/k?Expires=1&Signature=S\",IV=0x1",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"/k\",IV=0x1",
        );
        check("#EXT-X-DEFINE:NAME=\"md5\",VALUE=\"S\"", "#EXT-X-DEFINE:NAME=\"md5\",VALUE=\"\"");
        check("#EXT-X-DEFINE:NAME=\"q\",VALUE=\"md5=S&v=1\"", "#EXT-X-DEFINE:NAME=\"q\",VALUE=\"v=1\"");
        check("#EXT-X-DEFINE:NAME=\"q\",VALUE=\"md5=S\"", "#EXT-X-DEFINE:NAME=\"q\",VALUE=\"\"");
        check("/hdntl=exp=1~hmac=S/a.ts", "/a.ts");
    }

    #[test]
    fn what_has_no_signature_is_the_same() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Müller? a&&b\",URI=\"a.m3u8?x=1\"\n\na.ts?b=%2F\n# \"";
        check(text, text);
    }

    #[test]
    fn what_says_that_it_is_whole_and_is_not_is_not_kept() {
        check("#EXTM3U\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:4,\na.ts\n", "");
        let whole = "#EXTM3U\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST";
        check(whole, whole);
    }

    #[test]
    fn what_is_no_text_is_not_kept() {
        assert_eq!(unsigned(&Bytes::from_static(b"\xff\xfe"), &UrlIdentity::default()), "");
    }
}
