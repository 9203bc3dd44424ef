//! What can be set about a session's decisions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    abr::AbrOptions,
    playlist::VariantId,
    selection::{Caps, RenditionPreference, SubtitlePreference},
};

/// Everything that shapes a session's decisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionOptions {
    /// What is played, and how much of it is kept ready.
    pub playback: PlaybackOptions,
    /// What readers of bytes may do.
    pub reader: ReaderOptions,
    /// How adaptation chooses.
    pub abr: AbrOptions,
    /// How live streams are played.
    #[serde(default)]
    pub live: LiveOptions,
    /// Whether the application can be asked for new URLs. Default: no.
    pub has_resolver: bool,
    /// Bytes of the store that segments of live streams may take which no playlist lists any more. Default: zero, for no
    /// store that lasts.
    #[serde(default)]
    pub store_room: u64,
    /// Whether a key may be asked for by plain http although its playlist came by https: then who listens in on the way has it. Else what
    /// is encrypted with it cannot be played. Default: no.
    #[serde(default)]
    pub plain_keys: bool,
    /// Seed of all chance in the session. Default: 0.
    pub seed: u64,
}

/// What is played, how much of it is kept ready, and what is done when something cannot be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaybackOptions {
    /// Media to keep ready ahead of a reader. Memory grows with it times the variant's bandwidth. Default: 30 s.
    pub buffer_goal: Duration,
    /// Upper bound for the bytes of units held and under way, the one being read included. At least one unit is always
    /// held, however large. Default: 16 MiB.
    pub buffer_bytes: u64,
    /// Most units fetched side by side. A link that is not clearly faster than the media gets one at a time, so that
    /// the unit needed first does not share it. Default: 4.
    pub parallel_fetches: usize,
    /// How often a unit is fetched again after a bad delivery (wrong bytes, missing end) before another variant is
    /// tried. Default: 3.
    pub refetches: u32,
    /// Wait before a unit is fetched again, doubled each time up to 4 s. Default: 250 ms.
    pub refetch_backoff: Duration,
    /// How long a unit that is missing or broken, and that nothing else can replace, is asked for again: counted from the
    /// first request of which nothing came, the last one after 85 % of it. A chosen [`variant`](Self::variant) is waited
    /// for as long before another takes its place, but in a live stream. Default: 20 s.
    pub patience: Duration,
    /// How long a variant is left out after it failed. Default: 60 s.
    pub exclusion: Duration,
    /// How long to wait while opening for a playlist that is not there yet (404), or whose origin does not answer; each
    /// wait is an event. One whose origin says that it is not ready (202) or in trouble (5xx) is waited for as long as
    /// [`patience`](Self::patience). Shorter for apps whose addresses are typed by hand. Default: 20 s.
    pub ready_timeout: Duration,
    /// What to do with a segment that cannot be had. Default: [`OnMissing::Fail`].
    pub on_missing: OnMissing,
    /// What the session plays. Default: [`MediaSelection::All`].
    pub selection: MediaSelection,
    /// Which variant to open. Default: [`VariantChoice::Auto`].
    pub variant: VariantChoice,
    /// Which audio rendition to play. Default: no wish, so the playlist decides.
    #[serde(default)]
    pub audio: RenditionPreference,
    /// Which subtitles to show to whoever reads them. Default: what the playlist offers first.
    #[serde(default)]
    pub subtitles: SubtitlePreference,
    /// What can be decoded and shown at all. Default: everything.
    #[serde(default)]
    pub caps: Caps,
}

impl Default for PlaybackOptions {
    fn default() -> Self {
        Self {
            buffer_goal: Duration::from_secs(30),
            buffer_bytes: 16 << 20,
            parallel_fetches: 4,
            refetches: 3,
            refetch_backoff: Duration::from_millis(250),
            patience: Duration::from_secs(20),
            exclusion: Duration::from_secs(60),
            ready_timeout: Duration::from_secs(20),
            on_missing: OnMissing::Fail,
            selection: MediaSelection::All,
            variant: VariantChoice::Auto,
            audio: RenditionPreference::default(),
            subtitles: SubtitlePreference::default(),
            caps: Caps::default(),
        }
    }
}

/// What readers of bytes may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderOptions {
    /// Let readers jump beyond what is known of the sizes, and to the end, at the price of one small ranged request for
    /// each segment whose length is not known yet. Default: no.
    pub resolve_sizes: bool,
}

/// How live streams are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveOptions {
    /// Where to begin. Default: [`LiveStart::Auto`].
    pub start: LiveStart,
    /// For how long segments that left a sliding window stay within reach, in media time: of readers that are paused, slow
    /// or seek back. What a reader has not come to yet is fetched into the store before it leaves the window, below
    /// everything that is played. Only with a store on disk; there it takes a half of the quota at most, and the oldest go
    /// first. Without one, and with zero, segments are remembered for as long as a server has to keep them. Default: 2 h.
    pub time_shift: Duration,
    /// Whether a stream that offers it (EXT-X-PART-INF) is read part by part near its live edge (RFC 8216bis, low-latency
    /// mode): segments are readable while they are made, and reading begins as near to the edge as PART-HOLD-BACK says.
    /// Readers of bytes get whole segments. Default: yes.
    #[serde(default = "yes")]
    pub low_latency: bool,
    /// How far behind the live edge playback should be. It is never less than the server allows. Default: `None`, as far
    /// as the server says: PART-HOLD-BACK where the stream is read part by part, else HOLD-BACK, else three target
    /// durations.
    #[serde(default)]
    pub target_latency: Option<Duration>,
}

fn yes() -> bool {
    true
}

impl Default for LiveOptions {
    fn default() -> Self {
        let time_shift = Duration::from_secs(2 * 3600);
        Self { start: LiveStart::Auto, time_shift, low_latency: true, target_latency: None }
    }
}

/// Where to begin a stream that is still growing. A stream that has ended begins at its beginning, or where its
/// EXT-X-START says: that of the media playlist, else that of the multivariant playlist (RFC 8216bis section 4.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveStart {
    /// Where EXT-X-START says; else an EVENT playlist at its beginning, a sliding window at the live edge.
    Auto,
    /// At the first listed segment.
    Beginning,
    /// At the live edge: as far from the end as the server says (HOLD-BACK), else three target durations (RFC 8216
    /// section 6.3.3).
    Edge,
    /// This far from the end of the list.
    Behind(Duration),
}

/// What to do with a segment that cannot be had from anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// End with an error.
    Fail,
    /// Leave it out, with an event that names the hole.
    Skip,
}

/// What a session plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSelection {
    /// Whatever readers ask for; a reader of bytes gets the main track.
    All,
    /// Sound only: the audio rendition where there is one, else the main track.
    AudioOnly,
}

/// Which variant to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantChoice {
    /// Let adaptation choose.
    Auto,
    /// The one with the highest bandwidth.
    Best,
    /// The one with the lowest bandwidth.
    Worst,
    /// This one, by its place in the playlist.
    Id(VariantId),
}
