//! Timed metadata of what plays: gathered while it is read, told when playback passes it.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kithara_decode::Event;
use kithara_file::FileSource;
use kithara_hls::hls_core::session::Listed;
use tokio::sync::{broadcast, broadcast::error::RecvError, watch};

use crate::metadata::{Entry, Extent, Metadata, TimedEvent};

/// How often a playhead is looked at: nothing tells when a sound callback has taken samples.
const LOOK: Duration = Duration::from_millis(40);

/// The metadata of what plays, as far as it is known: date ranges and interstitials of its playlists, ID3 tags and event
/// messages of what was decoded. Clones look at the same.
#[derive(Clone, Default)]
pub struct PlayedMetadata {
    /// Written by the task that follows the stream, read by whoever asks; held for one look.
    all: Arc<Mutex<Metadata>>,
}

/// What a playhead meets.
#[derive(Clone, Debug, PartialEq)]
pub enum Passing {
    /// It begins.
    Enter(Entry<TimedEvent>),
    /// It ends.
    Leave(Entry<TimedEvent>),
}

impl PlayedMetadata {
    /// What begins within `range`, in order of time.
    #[must_use]
    pub fn between(&self, range: Range<Duration>) -> Vec<Entry<TimedEvent>> {
        self.lock().between(range).cloned().collect()
    }

    /// What is active at `time`, in order of time.
    #[must_use]
    pub fn active_at(&self, time: Duration) -> Vec<Entry<TimedEvent>> {
        self.lock().active_at(time).into_iter().cloned().collect()
    }

    /// Gathers until the stream is over and its decoder gone. Keeps neither alive.
    pub(crate) async fn follow(
        self,
        mut sound: broadcast::Receiver<Event>,
        mut listings: Option<watch::Receiver<Option<Listed>>>,
    ) {
        if let Some(listings) = &mut listings {
            listings.mark_changed();
        }
        loop {
            tokio::select! {
                event = sound.recv() => match event {
                    Ok(Event::Metadata(found)) => self.lock().found(&found),
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "metadata may be missing"),
                    Err(RecvError::Closed) => return,
                },
                listed = changed(&mut listings) => match listed {
                    Some(listed) => self.take(&listed),
                    None => listings = None,
                },
            }
        }
    }

    fn take(&self, listed: &Listed) {
        let place = |date| listed.dates.time_at(date);
        self.lock().playlist(&listed.playlist, &listed.base, listed.start, place);
    }

    fn lock(&self) -> MutexGuard<'_, Metadata> {
        // No change is left half done, so poison carries no news.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next snapshot; `None` when there will be no more.
async fn changed(listings: &mut Option<watch::Receiver<Option<Listed>>>) -> Option<Listed> {
    let Some(listings) = listings else { return std::future::pending().await };
    loop {
        listings.changed().await.ok()?;
        let listed = listings.borrow_and_update().clone();
        if listed.is_some() {
            return listed;
        }
    }
}

impl fmt::Debug for PlayedMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlayedMetadata").finish_non_exhaustive()
    }
}

/// What playback passes, from the call of [`Player::passings`](crate::Player::passings) on.
///
/// Each thing is told within 40 ms of its time, as the reader takes samples; what is read faster than in real time is told
/// all the same, and what becomes known up to five seconds late is told then. After a seek what was active and is not any
/// more is left, and what is active there entered.
pub struct Passings {
    sound: kithara_decode::Player,
    metadata: PlayedMetadata,
    stream: Playing,
    /// Seeks asked for; counted by players.
    seeks: Arc<AtomicU64>,
    seen: u64,
    playhead: Playhead,
    waiting: VecDeque<Passing>,
}

/// What plays, held so that it does not keep it alive.
pub(crate) enum Playing {
    /// Closed with the session.
    Hls(watch::Receiver<Option<Listed>>),
    /// A file.
    File(Weak<FileSource>),
}

impl Playing {
    fn is_over(&self) -> bool {
        match self {
            Self::Hls(listings) => listings.has_changed().is_err(),
            Self::File(file) => file.upgrade().is_none_or(|file| file.is_closed()),
        }
    }
}

/// What becomes known later than this after its time is not told.
const LATE: Duration = Duration::from_secs(5);

/// A playhead, and what it has entered.
#[derive(Debug, Default)]
struct Playhead {
    at: Duration,
    /// It has been playing since here.
    since: Duration,
    /// Entered a short while ago.
    recent: Vec<Entry<TimedEvent>>,
    /// Entered and not left.
    active: Vec<Entry<TimedEvent>>,
}

impl Playhead {
    fn new(at: Duration, all: &Metadata) -> Self {
        let active: Vec<_> = all.active_at(at).into_iter().cloned().collect();
        Self { at, since: at, recent: Vec::new(), active }
    }

    /// Plays on to `now`.
    fn play(&mut self, now: Duration, all: &Metadata) -> Vec<Passing> {
        let mut met: Vec<(Duration, bool, Passing)> = Vec::new();
        let from = self.at.saturating_sub(LATE).max(self.since);
        self.recent.retain(|entry| entry.start >= from);
        for entry in all.between(from..now) {
            if self.recent.iter().chain(&self.active).any(|known| is_same(known, entry)) {
                continue;
            }
            met.push((entry.start, true, Passing::Enter(entry.clone())));
            self.recent.push(entry.clone());
            if entry.extent != Extent::Instant {
                self.active.push(entry.clone());
            }
        }
        for entry in &mut self.active {
            // It may have been given an end.
            if let Some(newer) = all.between(entry.start..entry.start + NEXT).find(|newer| is_same(newer, entry)) {
                *entry = newer.clone();
            }
        }
        self.active.retain(|entry| match entry.extent {
            Extent::Until(end) if end <= now => {
                met.push((end, false, Passing::Leave(entry.clone())));
                false
            }
            _ => true,
        });
        self.at = now;
        // What ends at a time is left before anything is entered.
        met.sort_by_key(|(time, enters, _)| (*time, *enters));
        met.into_iter().map(|(.., passing)| passing).collect()
    }

    /// Goes to `to` at once.
    fn jump(&mut self, to: Duration, all: &Metadata) -> Vec<Passing> {
        let before = std::mem::replace(self, Self::new(to, all)).active;
        let left = before.iter().filter(|entry| !self.active.iter().any(|it| is_same(it, entry)));
        let entered = self.active.iter().filter(|entry| !before.iter().any(|it| is_same(it, entry)));
        left.cloned().map(Passing::Leave).chain(entered.cloned().map(Passing::Enter)).collect()
    }
}

/// The shortest stretch of time.
const NEXT: Duration = Duration::from_nanos(1);

/// Whether two entries are one, which may have been given an end between them.
fn is_same(one: &Entry<TimedEvent>, other: &Entry<TimedEvent>) -> bool {
    one.start == other.start
        && match (&one.value, &other.value) {
            (TimedEvent::DateRange(one), TimedEvent::DateRange(other)) => one.id == other.id,
            (TimedEvent::Interstitial(one), TimedEvent::Interstitial(other)) => one.id == other.id,
            (one, other) => one == other,
        }
}

impl Passings {
    pub(crate) fn new(
        sound: kithara_decode::Player,
        metadata: PlayedMetadata,
        stream: Playing,
        seeks: Arc<AtomicU64>,
    ) -> Self {
        let seen = seeks.load(Ordering::Acquire);
        let playhead = Playhead { at: sound.position(), since: sound.position(), ..Playhead::default() };
        Self { sound, metadata, stream, seeks, seen, playhead, waiting: VecDeque::new() }
    }

    /// The next thing that begins or ends; `None` when the player is closed, or its reader gone. Needs a tokio runtime with time. May be
    /// dropped and called again.
    pub async fn next(&mut self) -> Option<Passing> {
        loop {
            if let Some(passing) = self.waiting.pop_front() {
                return Some(passing);
            }
            self.look();
            if !self.waiting.is_empty() {
                continue;
            }
            if self.sound.is_over() || self.stream.is_over() {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn look(&mut self) {
        let seeks = self.seeks.load(Ordering::Acquire);
        let now = self.sound.position();
        let sought = std::mem::replace(&mut self.seen, seeks) != seeks || now < self.playhead.at;
        let all = self.metadata.lock();
        let met = if sought { self.playhead.jump(now, &all) } else { self.playhead.play(now, &all) };
        self.waiting.extend(met);
    }
}

impl fmt::Debug for Passings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passings").field("playhead", &self.playhead).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use kithara_decode::demux::{Container, DemuxOptions, Demuxer, Run};

    use super::*;

    /// Cues of one second at these seconds.
    fn cues(seconds: &[u64]) -> PlayedMetadata {
        let mut text = String::from("WEBVTT\n\n");
        for second in seconds {
            text += &format!("00:{second:02}.000 --> 00:{:02}.000\ncue {second}\n\n", second + 1);
        }
        let played = PlayedMetadata::default();
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        demuxer.start_run(Run::new(Container::WebVtt));
        demuxer.push(text.into_bytes().into());
        demuxer.end_unit();
        while let Some(output) = demuxer.poll() {
            played.lock().output(&output.expect("cues are read"));
        }
        played
    }

    fn starts(passings: &[Passing]) -> Vec<(bool, u64)> {
        passings
            .iter()
            .map(|passing| match passing {
                Passing::Enter(entry) => (true, entry.start.as_secs()),
                Passing::Leave(entry) => (false, entry.start.as_secs()),
            })
            .collect()
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_playhead_enters_and_leaves_what_it_passes_once() {
        let played = cues(&[1, 5]);
        let all = played.lock();
        let mut playhead = Playhead::new(Duration::ZERO, &all);
        let mut pass = |to| starts(&playhead.play(ms(to), &all));
        assert_eq!(pass(900), []);
        assert_eq!(pass(1_500), [(true, 1)]);
        assert_eq!(pass(1_900), []);
        assert_eq!(pass(6_500), [(false, 1), (true, 5), (false, 5)]);
        assert_eq!(pass(7_000), []);
    }

    #[test]
    fn what_becomes_known_a_little_late_is_told_then() {
        let mut playhead = Playhead::new(Duration::ZERO, &Metadata::default());
        assert_eq!(starts(&playhead.play(ms(7_000), &Metadata::default())), []);
        let played = cues(&[1, 5, 6]);
        let told = starts(&playhead.play(ms(7_100), &played.lock()));
        assert_eq!(told, [(true, 5), (false, 5), (true, 6), (false, 6)], "the first of them is forgotten");
    }

    #[test]
    fn a_jump_leaves_what_was_active_and_enters_what_is() {
        let played = cues(&[1, 5]);
        let all = played.lock();
        let mut playhead = Playhead::new(ms(1_500), &all);
        assert_eq!(starts(&playhead.jump(ms(5_500), &all)), [(false, 1), (true, 5)]);
        assert_eq!(starts(&playhead.jump(ms(5_900), &all)), []);
        assert_eq!(starts(&playhead.play(ms(6_100), &all)), [(false, 5)]);
        assert_eq!(starts(&playhead.jump(ms(500), &all)), []);
        assert_eq!(starts(&playhead.play(ms(1_100), &all)), [(true, 1)]);
    }
}
