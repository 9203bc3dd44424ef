//! URLs signed with an expiry, as nginx's `secure_link` checks them.

use std::time::Duration;

use md5::{Digest, Md5};

use crate::{
    playlist::{resolve, rewrite_uris},
    request::Request,
    response::Response,
    rule::Pattern,
};

/// A signer and checker of URLs: `?md5=...&expires=...`, where `md5` is the base64url MD5 of `<expires><path> <secret>`.
///
/// The same as nginx with `secure_link $arg_md5,$arg_expires` and `secure_link_md5 "$secure_link_expires$uri SECRET"`: 403 for a
/// missing or wrong signature, 410 for an expired one.
#[derive(Clone)]
pub struct SecureLink {
    secret: String,
    lifetime: Duration,
}

impl SecureLink {
    /// Signs with `secret`; URLs in playlists are valid for `lifetime` (whole seconds) from the request for the playlist on.
    pub fn new(secret: &str, lifetime: Duration) -> Self {
        Self { secret: secret.to_owned(), lifetime }
    }

    /// The query (`md5=...&expires=...`) that makes the decoded `path` valid until `expires` (Unix seconds, inclusive).
    pub fn query(&self, path: &str, expires: u64) -> String {
        let digest = Md5::digest(format!("{expires}{path} {}", self.secret));
        format!("md5={}&expires={expires}", base64url(&digest))
    }

    /// `target` (path and perhaps query) with a signature appended, valid until `expires` (Unix seconds, inclusive).
    pub fn sign(&self, target: &str, expires: u64) -> String {
        let path = resolve("/", target).unwrap_or_default();
        with_query(target, &self.query(&path, expires))
    }

    /// The playlist at `path` with all URIs signed that lead to a path for which `is_guarded` holds.
    pub fn sign_playlist(&self, text: &str, path: &str, expires: u64, is_guarded: impl Fn(&str) -> bool) -> String {
        rewrite_uris(text, |uri| {
            let path = resolve(path, uri).filter(|path| is_guarded(path))?;
            Some(with_query(uri, &self.query(&path, expires)))
        })
    }

    /// The refusal of a request that is not signed (403) or no longer valid (410).
    pub(crate) fn refusal(&self, request: &Request) -> Option<Response> {
        let expires = request.param("expires").and_then(|expires| expires.parse::<u64>().ok());
        let given = request.param("md5").zip(expires);
        match given {
            Some((md5, expires)) if self.query(&request.path, expires) == format!("md5={md5}&expires={expires}") => {
                (expires < request.unix_seconds()).then(|| Response::new(410))
            }
            _ => Some(Response::new(403)),
        }
    }

    /// Signs the guarded URIs of a playlist that is being served.
    pub(crate) fn rewrite(&self, request: &Request, text: &str, guarded: &Pattern) -> String {
        let expires = request.unix_seconds().saturating_add(self.lifetime.as_secs());
        self.sign_playlist(text, &request.path, expires, |path| guarded.matches(path))
    }

    pub(crate) fn sign_for(&self, request: &Request, target: &str) -> String {
        self.sign(target, request.unix_seconds().saturating_add(self.lifetime.as_secs()))
    }
}

impl std::fmt::Debug for SecureLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecureLink").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

fn with_query(uri: &str, query: &str) -> String {
    let (uri, fragment) = uri.split_once('#').map_or((uri, String::new()), |(uri, rest)| (uri, format!("#{rest}")));
    format!("{uri}{}{query}{fragment}", if uri.contains('?') { '&' } else { '?' })
}

/// Base64 in the URL alphabet, without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for sextet in 0..=group.len() {
            let index = (bits >> (18 - 6 * sextet)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_no_padding() {
        let encoded = [&b""[..], b"f", b"fo", b"foo", b"\xfb\xff\xfe"].map(base64url);
        assert_eq!(encoded, ["", "Zg", "Zm8", "Zm9v", "-__-"]);
    }

    #[test]
    fn signatures_are_those_of_nginx() {
        // printf '2147483647/s/link secret' | openssl md5 -binary | base64 | tr +/ -_ | tr -d =
        let link = SecureLink::new("secret", Duration::from_secs(60));
        let signed = link.sign("/s/link?a=b#part", 2_147_483_647);
        assert_eq!(signed, format!("/s/link?a=b&{}#part", link.query("/s/link", 2_147_483_647)));
        assert_eq!(link.query("/s/link", 2_147_483_647), "md5=0Xgm37lo5nFEuHMDKl_vQg&expires=2147483647");
    }

    #[track_caller]
    fn check(target: &str, want: Option<u16>) {
        let link = SecureLink::new("secret", Duration::from_secs(60));
        let good = link.query("/a b.ts", 100);
        let late = link.query("/a b.ts", 99);
        let target = target.replace("GOOD", &good).replace("LATE", &late);
        let mut request = Request::parse(format!("GET {target} HTTP/1.1").as_bytes()).unwrap();
        request.wall = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(link.refusal(&request).map(|refusal| refusal.status()), want, "{target}");
    }

    #[test]
    fn bad_signatures_are_forbidden_and_old_ones_gone() {
        check("/a%20b.ts?GOOD", None);
        check("/a%20b.ts?x=1&GOOD", None);
        check("/a%20b.ts?LATE", Some(410));
        check("/a%20b.ts", Some(403));
        check("/other.ts?GOOD", Some(403));
        check("/a%20b.ts?GOODx", Some(403));
    }

    #[test]
    fn only_guarded_uris_of_a_playlist_are_signed() {
        let link = SecureLink::new("secret", Duration::from_secs(60));
        let text = "#EXT-X-KEY:METHOD=AES-128,URI=\"k.bin\"\nseg.ts?x\nhttp://other/seg.ts\n";
        let got = link.sign_playlist(text, "/v/index.m3u8", 7, |path| path.ends_with(".ts"));
        let want = format!(
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k.bin\"\nseg.ts?x&{}\nhttp://other/seg.ts\n",
            link.query("/v/seg.ts", 7)
        );
        assert_eq!(got, want);
    }
}
