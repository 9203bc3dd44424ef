//! Control of what plays.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kithara_decode::{PcmSpec, Stats as SoundStats};
use kithara_file::{FileEvent, FileSource};
use kithara_hls::{
    HlsError, HlsEvent, HlsSession,
    hls_core::{
        playlist::{RenditionId, VariantId},
        session::{MediaId, Stats, Status},
    },
};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::passing::{Passings, PlayedMetadata, Playing};

/// The control half of what [`open`](crate::open()) opened. Clones control the same stream.
///
/// Nothing here waits for the network or the decoder. The session lives as long as a player or the reader.
#[derive(Clone)]
pub struct Player {
    sound: kithara_decode::Player,
    stream: Stream,
    metadata: PlayedMetadata,
    /// Seeks asked for, counted before they are begun. Written by players, read by those who tell what is passed.
    seeks: Arc<AtomicU64>,
}

/// Where the sound comes from.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    Hls(HlsSession),
    File(Arc<FileSource>),
}

/// How playback fares: a copy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlayerStats {
    /// The decoder and the buffer of samples.
    pub sound: SoundStats,
    /// The session: variant, media ready ahead, link. `None` where one file is played.
    pub stream: Option<Status>,
    /// What the session counts: the load of the network, errors, latency, stalls, switches. `None` where one file is played.
    pub session: Option<Stats>,
}

/// Something that happened. Reports only: nothing waits for a listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlayerEvent {
    /// In the session: variants, segments, keys, the link, recoveries.
    Stream(HlsEvent),
    /// With the one file that is played: transfers, waits, failures.
    File(FileEvent),
    /// In the decoder: formats, seeks, damage, starvation, the end.
    Sound(kithara_decode::Event),
    /// So many events were missed here: the listener was too slow.
    Missed(u64),
}

/// What happens from the call of [`Player::events`] on, and, for the first listener, since opening.
#[derive(Debug)]
pub struct PlayerEvents {
    stream: Option<broadcast::Receiver<HlsEvent>>,
    file: Option<broadcast::Receiver<FileEvent>>,
    sound: Option<broadcast::Receiver<kithara_decode::Event>>,
}

impl Player {
    pub(crate) fn new(sound: kithara_decode::Player, stream: Stream) -> Self {
        let metadata = PlayedMetadata::default();
        let listings = match &stream {
            Stream::Hls(session) => Some(session.listings()),
            Stream::File(_) => None,
        };
        // Without a thread for it, which opening would have missed before, there is no metadata.
        if let Ok(runtime) = kithara_hls::fetch::runtime() {
            runtime.spawn(metadata.clone().follow(sound.events(), listings));
        }
        Self { sound, stream, metadata, seeks: Arc::default() }
    }

    /// Goes to `time`: the next sample the reader gets is the one presented then, exact to the sample. Does not block;
    /// beyond the end the stream ends.
    pub fn seek(&self, time: Duration) {
        self.seeks.fetch_add(1, Ordering::AcqRel);
        self.sound.seek(time);
    }

    /// Lets the reader give silence ([`fill`](kithara_decode::PcmReader::fill)) or block
    /// ([`read`](kithara_decode::PcmReader::read)) until [`resume`](Player::resume). What is ready stays ready.
    pub fn pause(&self) {
        self.sound.pause();
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.sound.resume();
    }

    /// Whether playback is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.sound.is_paused()
    }

    /// Presentation time of the next sample the reader gets; after a seek, its target.
    #[must_use]
    pub fn position(&self) -> Duration {
        self.sound.position()
    }

    /// How long the presentation is; `None` while it grows or is not known.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        match &self.stream {
            Stream::Hls(session) => session.status().duration,
            Stream::File(_) => self.sound.duration(),
        }
    }

    /// The format of the samples that come out; `None` until the first one, unless it is fixed.
    #[must_use]
    pub fn spec(&self) -> Option<PcmSpec> {
        self.sound.spec()
    }

    /// Plays this variant until told otherwise; `None` lets adaptation choose again. What is ready is still played; the
    /// change is heard after it, without a gap.
    ///
    /// # Errors
    /// There is no such variant, or the session is over.
    pub async fn select_variant(&self, variant: Option<VariantId>) -> Result<(), HlsError> {
        match &self.stream {
            Stream::Hls(session) => session.select_variant(variant).await,
            Stream::File(_) => {
                variant.map_or(Ok(()), |id| Err(HlsError::VariantNotFound { wanted: MediaId::Variant(id) }))
            }
        }
    }

    /// Plays this audio rendition.
    ///
    /// # Errors
    /// There is no such rendition, or the session is over.
    pub async fn select_audio(&self, rendition: RenditionId) -> Result<(), HlsError> {
        match &self.stream {
            Stream::Hls(session) => session.select_audio(rendition).await,
            Stream::File(_) => Err(HlsError::VariantNotFound { wanted: MediaId::Rendition(rendition) }),
        }
    }

    /// What happens from now on; the first listener also gets what happened in the session since opening.
    #[must_use]
    pub fn events(&self) -> PlayerEvents {
        let (stream, file) = match &self.stream {
            Stream::Hls(session) => (Some(session.events()), None),
            Stream::File(file) => (None, Some(file.events())),
        };
        PlayerEvents { stream, file, sound: Some(self.sound.events()) }
    }

    /// Date ranges, interstitials, ID3 tags and event messages, as far as they are known: what happens when.
    #[must_use]
    pub fn metadata(&self) -> &PlayedMetadata {
        &self.metadata
    }

    /// The same as playback passes it, from now on.
    #[must_use]
    pub fn passings(&self) -> Passings {
        let stream = match &self.stream {
            Stream::Hls(session) => Playing::Hls(session.listings()),
            Stream::File(file) => Playing::File(Arc::downgrade(file)),
        };
        Passings::new(self.sound.clone(), self.metadata.clone(), stream, Arc::clone(&self.seeks))
    }

    /// How playback fares right now.
    #[must_use]
    pub fn stats(&self) -> PlayerStats {
        let session = self.session();
        let (stream, counts) = (session.map(HlsSession::status), session.map(HlsSession::stats));
        PlayerStats { sound: self.sound.stats(), stream, session: counts }
    }

    /// The session behind it, for what this handle does not offer; `None` where one file is played.
    #[must_use]
    pub fn session(&self) -> Option<&HlsSession> {
        match &self.stream {
            Stream::Hls(session) => Some(session),
            Stream::File(_) => None,
        }
    }

    /// Ends playback and waits until transfers have ended and the store has what was fetched. The reader gives what was
    /// decoded, then an error.
    pub async fn close(&self) {
        match &self.stream {
            Stream::Hls(session) => session.close().await,
            Stream::File(file) => file.close().await,
        }
    }
}

impl PlayerEvents {
    /// The next event; `None` when the stream is over and its decoder gone. May be dropped and called again.
    pub async fn next(&mut self) -> Option<PlayerEvent> {
        while self.stream.is_some() || self.file.is_some() || self.sound.is_some() {
            let event = tokio::select! {
                event = receive(&mut self.stream) => event.map(PlayerEvent::Stream),
                event = receive(&mut self.file) => event.map(PlayerEvent::File),
                event = receive(&mut self.sound) => event.map(PlayerEvent::Sound),
            };
            match event {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(missed)) => return Some(PlayerEvent::Missed(missed)),
                Err(RecvError::Closed) => {}
            }
        }
        None
    }
}

/// The next event of one side; a side that is closed is put away and never ready again.
async fn receive<T: Clone>(side: &mut Option<broadcast::Receiver<T>>) -> Result<T, RecvError> {
    let Some(events) = side else { return std::future::pending().await };
    let event = events.recv().await;
    if matches!(event, Err(RecvError::Closed)) {
        *side = None;
    }
    event
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
