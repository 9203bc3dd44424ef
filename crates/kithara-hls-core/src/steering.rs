//! Content steering: which pathway a server wants its clients on, and when to ask again (RFC 8216bis section 7).
//!
//! [`SteeringManifest::parse`] reads what the server says, [`Steering`] says when to ask and where. Nothing here is
//! needed to play: a server that does not answer steers nobody.

mod clone;
mod manifest;

use std::time::Duration;

use url::Url;

pub use self::{
    clone::clone_pathway,
    manifest::{MAX_MANIFEST, PathwayClone, SteeringError, SteeringManifest},
};
use crate::{BitRate, time::Tick};

/// TTL of a manifest that states none, and until there is one.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// A server cannot have itself asked more often than this, nor less often than [`LONGEST_TTL`].
pub const SHORTEST_TTL: Duration = Duration::from_secs(10);
/// See [`SHORTEST_TTL`].
pub const LONGEST_TTL: Duration = Duration::from_secs(3_600);

/// When to ask a steering server, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering {
    url: Url,
    ttl: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be asked then.
    Due { at: Tick },
    /// Asked.
    Loading,
    /// The server wants to be left alone (410).
    Stopped,
}

impl Steering {
    /// Steering by the server at `url`, to be asked at once.
    #[must_use]
    pub const fn new(url: Url, now: Tick) -> Self {
        Self { url, ttl: DEFAULT_TTL, state: State::Due { at: now } }
    }

    /// When the server is to be asked next; `None` while it is being asked, and when it will not be any more.
    #[must_use]
    pub const fn due(&self) -> Option<Tick> {
        match self.state {
            State::Due { at } => Some(at),
            State::Loading | State::Stopped => None,
        }
    }

    /// Asks: the address, with the pathway in force and the measured throughput (RFC 8216bis section 7.4).
    pub fn ask(&mut self, pathway: Option<&str>, throughput: Option<BitRate>) -> Url {
        self.state = State::Loading;
        let mut url = self.url.clone();
        let mut query = url.query().map(str::to_owned).unwrap_or_default();
        let pathway = pathway.map(|id| ("_HLS_pathway", format!("%22{id}%22")));
        let throughput = throughput.map(|rate| ("_HLS_throughput", rate.0.to_string()));
        for (name, value) in pathway.into_iter().chain(throughput) {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(&format!("{name}={value}"));
        }
        url.set_query(Some(&query).filter(|query| !query.is_empty()).map(String::as_str));
        url
    }

    /// The server answered.
    pub fn answered(&mut self, now: Tick, manifest: &SteeringManifest) {
        self.ttl = manifest.ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
        if let Some(url) = &manifest.reload_uri {
            self.url = url.clone();
        }
        self.state = State::Due { at: now + self.ttl };
    }

    /// The server could not be asked, or what it said cannot be used. 410 ends steering for this session; a server that
    /// has too much to do (429) says when to come back.
    pub fn failed(&mut self, now: Tick, status: Option<u16>, retry_after: Option<Duration>) {
        self.state = match (status, retry_after) {
            (Some(410), _) => State::Stopped,
            (Some(429), Some(wait)) => State::Due { at: now + wait.clamp(SHORTEST_TTL, LONGEST_TTL) },
            _ => State::Due { at: now + self.ttl },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steering() -> Steering {
        Steering::new("http://steer.test/s?x=1".parse().expect("a URL"), Tick::ZERO)
    }

    fn manifest(json: &str) -> SteeringManifest {
        let base = "http://steer.test/s?x=1".parse().expect("a URL");
        SteeringManifest::parse(json, &base).expect("a manifest")
    }

    #[track_caller]
    fn check_ttl(ttl: &str, secs: u64) {
        let mut steering = steering();
        let json = format!("{{\"VERSION\":1,{ttl}\"PATHWAY-PRIORITY\":[\"A\"]}}");
        steering.answered(Tick::ZERO, &manifest(&json));
        assert_eq!(steering.due(), Some(Tick::from_millis(secs * 1_000)), "{ttl}");
    }

    #[test]
    fn the_time_to_live_is_kept_within_bounds() {
        check_ttl("\"TTL\":60,", 60);
        check_ttl("", 300);
        check_ttl("\"TTL\":1,", 10);
        check_ttl("\"TTL\":999999,", 3_600);
    }

    #[test]
    fn the_server_is_told_where_the_client_is_and_what_it_measured() {
        let asked = steering().ask(Some("CDN-A"), Some(BitRate(5_140_000)));
        assert_eq!(asked.as_str(), "http://steer.test/s?x=1&_HLS_pathway=%22CDN-A%22&_HLS_throughput=5140000");
        let nothing = Steering::new("http://steer.test/s".parse().expect("a URL"), Tick::ZERO).ask(None, None);
        assert_eq!(nothing.as_str(), "http://steer.test/s");
    }

    #[test]
    fn the_next_question_goes_where_the_answer_says() {
        let mut steering = steering();
        steering.answered(Tick::ZERO, &manifest("{\"VERSION\":1,\"RELOAD-URI\":\"t\",\"PATHWAY-PRIORITY\":[\"A\"]}"));
        assert_eq!(steering.ask(None, None).as_str(), "http://steer.test/t");
    }

    #[track_caller]
    fn check_failure(status: Option<u16>, retry_after: Option<u64>, due: Option<u64>) {
        let mut steering = steering();
        assert_eq!(steering.due(), Some(Tick::ZERO));
        steering.ask(None, None);
        assert_eq!(steering.due(), None, "one question at a time");
        steering.failed(Tick::ZERO, status, retry_after.map(Duration::from_secs));
        assert_eq!(steering.due(), due.map(|secs| Tick::from_millis(secs * 1_000)));
    }

    #[test]
    fn a_server_that_fails_is_asked_again_unless_it_is_gone() {
        check_failure(Some(503), Some(7), Some(300));
        check_failure(None, None, Some(300));
        check_failure(Some(410), None, None);
        check_failure(Some(429), Some(40), Some(40));
        check_failure(Some(429), Some(1), Some(10));
        check_failure(Some(429), None, Some(300));
    }
}
