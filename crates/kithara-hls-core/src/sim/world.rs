//! What the origin answers.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use url::Url;

use super::link::Bandwidth;
use crate::{BitRate, playlist::ByteRange, session::FailureKind, time::Tick};

/// What stands at a URL.
#[derive(Clone)]
pub enum Answer {
    /// This text.
    Text(Arc<str>),
    /// A text that depends on when it is asked for.
    Live(Arc<dyn Fn(Tick) -> String + Send + Sync>),
    /// A text that depends on the URL and on when it is asked for, and how long the server waits before it answers.
    Served(Arc<Serve>),
    /// So many bytes.
    Bytes(u64),
    /// So many bytes until then, and nothing from then on.
    Brief(u64, Tick),
    /// Media that depends on the URL, the range and when it is asked for, and may still be made: `None` where nothing
    /// is.
    Media(Arc<Make>),
}

/// Media at a URL.
pub type Make = dyn Fn(&Url, Option<ByteRange>, Tick) -> Option<Vec<Flow>> + Send + Sync;

/// Some media on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When the server begins to send it.
    pub ready: Tick,
    /// Its bytes.
    pub bytes: u64,
    /// How long it plays.
    pub media: Duration,
}

/// What refuses a request for a URL, if anything does.
pub type Gate = dyn Fn(&Url, Tick) -> Option<(FailureKind, u16)> + Send + Sync;

/// Where the application says the stream is; `None` when it does not know.
pub type Resolver = dyn Fn(Tick) -> Option<Url> + Send + Sync;

/// What a server answers to a URL, and after which time.
pub type Serve = dyn Fn(&Url, Tick) -> (Duration, String) + Send + Sync;

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Live(_) => f.write_str("Live"),
            Self::Served(_) => f.write_str("Served"),
            Self::Bytes(bytes) => write!(f, "Bytes({bytes})"),
            Self::Brief(bytes, until) => write!(f, "Brief({bytes}, {until:?})"),
            Self::Media(_) => f.write_str("Media"),
        }
    }
}

/// Something that goes wrong with a request.
#[derive(Clone, Debug)]
pub struct Fault {
    /// In URLs whose host and path contain this.
    pub path: String,
    /// From this request for the URL on, counted from 0.
    pub from: u32,
    /// For this many requests.
    pub times: u32,
    /// What the network layer reports.
    pub kind: FailureKind,
    /// The status, if there is one.
    pub status: Option<u16>,
    /// How long it takes to find out.
    pub after: Duration,
}

impl Flow {
    /// What never comes.
    pub(super) const NEVER: Self = Self { ready: Tick::MAX, bytes: 1, media: Duration::ZERO };
}

/// Something that goes wrong with requests by chance: silence, or in equal parts a 503, a 404, and an answer that is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// In so many of a thousand requests.
    pub per_mille: u32,
    /// How often it is silence instead of an answer, in so many of a hundred.
    pub silence: u32,
    /// Where chance begins.
    pub seed: u64,
    /// When things begin to go wrong.
    pub from: Tick,
}

/// An origin and the link to it.
#[derive(Clone)]
pub struct World {
    answers: BTreeMap<String, Answer>,
    faults: Vec<Fault>,
    gate: Option<Arc<Gate>>,
    resolver: Option<Arc<Resolver>>,
    resolved: u32,
    asked: BTreeMap<String, u32>,
    folders: Vec<(String, Answer)>,
    chance: Option<Chance>,
    pub(super) bandwidth: Bandwidth,
    /// From a request to the first byte of its answer.
    pub(super) latency: Duration,
}

/// What chance does to a request.
enum Mishap {
    Silence,
    Refusal(FailureKind, u16),
    /// The answer comes, and ends too early.
    Truncation,
}

/// What a request will come to.
pub(super) enum Outcome {
    Text(Arc<str>),
    Late(Arc<str>, Duration),
    Bytes(u64),
    Media(Vec<Flow>),
    Fault {
        kind: FailureKind,
        status: Option<u16>,
        after: Duration,
    },
    /// It is never answered.
    Silence,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("answers", &self.answers).field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            answers: BTreeMap::new(),
            faults: Vec::new(),
            gate: None,
            resolver: None,
            resolved: 0,
            asked: BTreeMap::new(),
            folders: Vec::new(),
            chance: None,
            bandwidth: Bandwidth::constant(BitRate(10_000_000)),
            latency: Duration::from_millis(20),
        }
    }
}

impl World {
    /// An origin without contents: 10 Mbit/s, 20 ms to the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the link's bandwidth.
    #[must_use]
    pub fn with_bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.bandwidth = bandwidth;
        self
    }

    /// Sets the time to the first byte.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Puts something at a URL path, on every host; at `host/path` on that one.
    #[must_use]
    pub fn with(mut self, path: &str, answer: Answer) -> Self {
        self.answers.insert(path.to_owned(), answer);
        self
    }

    /// Puts something at all URL paths that begin so and have nothing of their own.
    #[must_use]
    pub fn with_folder(mut self, prefix: &str, answer: Answer) -> Self {
        self.folders.push((prefix.to_owned(), answer));
        self
    }

    /// Lets something go wrong by chance.
    #[must_use]
    pub fn with_chance(mut self, chance: Chance) -> Self {
        self.chance = Some(chance);
        self
    }

    /// Puts a text at a URL path.
    #[must_use]
    pub fn with_text(self, path: &str, text: &str) -> Self {
        self.with(path, Answer::Text(text.into()))
    }

    /// Lets something go wrong.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Lets every request pass a gate first: signatures are looked at, for example.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Lets the application answer where the stream is. Without this it never knows.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// A VOD media playlist at `path` with `segments` segments beside it, named `seg0`, `seg1`, ...
    #[must_use]
    pub fn with_vod(self, path: &str, segments: u32, duration: Duration, rate: BitRate) -> Self {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let seconds = duration.as_secs_f64();
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n", seconds.ceil());
        let mut world = self;
        for segment in 0..segments {
            text.push_str(&format!("#EXTINF:{seconds:.3},\nseg{segment}\n"));
            world = world.with(&format!("{folder}/seg{segment}"), Answer::Bytes(rate.bytes_in(duration)));
        }
        text.push_str("#EXT-X-ENDLIST\n");
        world.with_text(path, &text)
    }

    fn by_chance(&mut self, now: Tick) -> Option<Mishap> {
        let chance = self.chance.as_mut().filter(|chance| now >= chance.from)?;
        let mut draw = |below: u64| {
            // SplitMix64.
            chance.seed = chance.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut it = chance.seed;
            it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (it ^ (it >> 31)) % below
        };
        let (hit, silent, kind) = (draw(1_000), draw(100), draw(3));
        if hit >= u64::from(chance.per_mille) {
            return None;
        }
        Some(match kind {
            _ if silent < u64::from(chance.silence) => Mishap::Silence,
            0 => Mishap::Refusal(FailureKind::Unreachable, 503),
            1 => Mishap::Refusal(FailureKind::NotFound, 404),
            _ => Mishap::Truncation,
        })
    }

    pub(super) fn ask(&mut self, url: &Url, range: Option<ByteRange>, now: Tick) -> Outcome {
        match self.by_chance(now) {
            None => self.answer(url, range, now),
            Some(Mishap::Silence) => Outcome::Silence,
            Some(Mishap::Refusal(kind, status)) => Outcome::Fault { kind, status: Some(status), after: self.latency },
            Some(Mishap::Truncation) => {
                let begins = match self.answer(url, range, now) {
                    Outcome::Late(_, after) => after,
                    Outcome::Media(flows) => match flows.first() {
                        Some(flow) if flow.ready < Tick::MAX => flow.ready.since(now),
                        _ => return Outcome::Silence,
                    },
                    Outcome::Text(_) | Outcome::Bytes(_) => Duration::ZERO,
                    other @ (Outcome::Fault { .. } | Outcome::Silence) => return other,
                };
                Outcome::Fault { kind: FailureKind::Incomplete, status: None, after: begins + self.latency }
            }
        }
    }

    fn answer(&mut self, url: &Url, range: Option<ByteRange>, now: Tick) -> Outcome {
        let path = url.path().to_owned();
        let named = format!("{}{path}", url.host_str().unwrap_or_default());
        let count = self.asked.entry(path.clone()).or_default();
        let nth = *count;
        *count += 1;
        let not_found = Outcome::Fault { kind: FailureKind::NotFound, status: Some(404), after: self.latency };
        let hit = |fault: &&Fault| {
            named.contains(&fault.path) && nth >= fault.from && nth < fault.from.saturating_add(fault.times)
        };
        if let Some(fault) = self.faults.iter().find(hit) {
            return Outcome::Fault { kind: fault.kind, status: fault.status, after: fault.after };
        }
        if let Some((kind, status)) = self.gate.as_ref().and_then(|gate| gate(url, now)) {
            return Outcome::Fault { kind, status: Some(status), after: self.latency };
        }
        let folder = || self.folders.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, answer)| answer);
        match self.answers.get(&named).or_else(|| self.answers.get(&path)).or_else(folder) {
            Some(Answer::Text(text)) => Outcome::Text(Arc::clone(text)),
            Some(Answer::Live(text)) => Outcome::Text(text(now).into()),
            Some(Answer::Served(serve)) => {
                let (after, text) = serve(url, now);
                Outcome::Late(text.into(), after)
            }
            Some(Answer::Bytes(bytes)) => Outcome::Bytes(*bytes),
            Some(Answer::Brief(bytes, until)) if now < *until => Outcome::Bytes(*bytes),
            Some(Answer::Media(make)) => match make(url, range, now) {
                Some(flows) => Outcome::Media(flows),
                None => not_found,
            },
            Some(Answer::Brief(..)) | None => not_found,
        }
    }

    pub(super) fn forget_the_past(&mut self) {
        self.asked = BTreeMap::new();
    }

    pub(super) fn resolve(&mut self, now: Tick) -> Option<Url> {
        self.resolved += 1;
        self.resolver.as_ref().and_then(|resolver| resolver(now))
    }

    /// How often the application was asked where the stream is.
    pub fn resolved(&self) -> u32 {
        self.resolved
    }

    /// How often a path was asked for.
    pub fn requests_for(&self, path: &str) -> u32 {
        self.asked.get(path).copied().unwrap_or(0)
    }
}
