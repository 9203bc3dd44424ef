//! A packager without a socket: what it answers and when, by a time that is told.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::Packager;
use crate::{
    request::Request,
    response::{Growth, Readiness, Response, select},
};

/// What a `GET` is answered with, and when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Told {
    /// The status.
    pub status: u16,
    /// When it is answered: later than it was asked when the request is held.
    pub at: Duration,
    /// All that is sent of the body.
    pub body: Bytes,
    /// Pieces of a body that is still being made: where each ends, and when it is there. Empty when all of it is sent at once.
    pub pieces: Vec<(u64, Duration)>,
}

/// The wall time at time zero.
const BEGINNING: Duration = Duration::from_secs(1_800_000_000);

impl Packager {
    /// What a `GET` for `target` (relative to where the packager is, with its query), with this `Range` field if any, is answered with
    /// when it comes at `now`. For tests in virtual time: no socket, no clock. The first request for a playlist begins time.
    pub fn tell(&self, target: &str, range: Option<&str>, now: Duration) -> Told {
        let target = target.trim_start_matches('/');
        let range = range.map_or(String::new(), |range| format!("\r\nRange: {range}"));
        let head = format!("GET /{target} HTTP/1.1\r\nHost: packager{range}");
        let Ok(mut request) = Request::parse(head.as_bytes()) else { return Told::with(Response::new(400), now) };
        request.at = now;
        request.wall = SystemTime::UNIX_EPOCH + BEGINNING + now;
        request.now = now;
        loop {
            let response = self.answer(&request, request.path.trim_start_matches('/'));
            match response.readiness {
                Readiness::Later(at) if at > request.now => request.now = at,
                Readiness::Whole | Readiness::Growing(_) | Readiness::Later(_) => {
                    let selected = select(&request, response);
                    let range = selected.range.clone();
                    let told = Told::with(selected.response, request.now);
                    let len = told.body.len() as u64;
                    let (start, end) = (range.start.min(len) as usize, range.end.min(len) as usize);
                    return Told { body: told.body.slice(start..end.max(start)), ..told };
                }
            }
        }
    }
}

impl Told {
    fn with(response: Response, at: Duration) -> Self {
        let pieces = match response.readiness {
            Readiness::Growing(Growth(pieces)) => pieces,
            Readiness::Whole | Readiness::Later(_) => Vec::new(),
        };
        let body = response.body.to_bytes(u64::MAX).unwrap_or_default();
        Self { status: response.status, at, body, pieces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Recording, fixtures_dir};

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_told_is_what_was_asked_for_and_when_it_is_there() {
        let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8")).unwrap();
        for by_range in [false, true] {
            let packager = Packager::new(ms(200)).start(1).rendition("a/index.m3u8", &sound);
            let packager = if by_range { packager.by_range() } else { packager };
            let first = packager.tell("a/index.m3u8", None, ms(10));
            assert_eq!((first.status, first.at), (200, ms(10)));
            let coming = packager.schedule("a/index.m3u8").into_iter().find(|part| !part.at.is_zero()).unwrap();
            let at = ms(10) + coming.at;
            let blocked = packager.tell("a/index.m3u8?_HLS_msn=1&_HLS_part=0", None, ms(20));
            assert_eq!((blocked.status, blocked.at), (200, at), "it is held");
            let content = packager.content("a/index.m3u8");
            if by_range {
                let grows = packager.tell("a/seg1.m4s", Some("bytes=3-9007199254740991"), ms(20));
                assert_eq!((grows.status, grows.at), (206, ms(20)));
                assert_eq!(grows.pieces[0], (coming.bytes.len() as u64 - 3, at));
                assert_eq!(grows.body.slice(..4), content[coming.bytes.start + 3..coming.bytes.start + 7]);
            } else {
                let part = packager.tell("a/seg1.0.m4s", None, ms(20));
                assert_eq!((part.status, part.at, part.body.as_ref()), (200, at, &content[coming.bytes]));
                assert_eq!(packager.tell("a/seg1.1.m4s", None, ms(20)).status, 404, "nobody hinted at it");
            }
            let init = packager.tell("a/init.mp4", Some("bytes=4-7"), ms(20));
            assert_eq!((init.status, init.body.as_ref()), (206, b"ftyp".as_slice()));
            assert_eq!(packager.tell("no such thing", None, ms(20)).status, 400);
        }
    }
}
