//! The handle of a running session.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kithara_hls_core::{
    metadata::{AssetList, Interstitial},
    playlist::{RenditionId, RenditionKind, VariantId},
    session::{Command, Listed, MediaId, Stats, Status, Track},
    time::WallTime,
    timeline::TimestampMap,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    HlsEvent, HlsFeed,
    driver::Order,
    error::HlsError,
    interstitials::Interstitials,
    segments::{MediaSegment, Segments},
    shelf::Shelf,
};

/// What all handles of a session share.
pub(crate) struct Shared {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) events: broadcast::WeakSender<HlsEvent>,
    /// Heard everything since opening; goes to the first who listens. Written once, by whoever that is.
    pub(crate) first_listener: Mutex<Option<broadcast::Receiver<HlsEvent>>>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) stats: watch::Receiver<Stats>,
    pub(crate) listed: watch::Receiver<Option<Listed>>,
    pub(crate) interstitials: Interstitials,
    pub(crate) timestamps: watch::Receiver<TimestampMap>,
    pub(crate) resolves_len: bool,
    pub(crate) cancel: CancellationToken,
}

impl Shared {
    pub(crate) async fn order(&self, order: Order) -> Result<(), HlsError> {
        self.orders.send(order).await.map_err(|_| self.over())
    }

    /// Why the session is over: for whoever finds the other end of a channel gone.
    pub(crate) fn over(&self) -> HlsError {
        self.shelf.over().unwrap_or(HlsError::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The last handle is gone, and with it everybody who could want anything.
        self.cancel.cancel();
    }
}

/// A running session. Clones are handles on the same one; when the last handle, source and segment stream is dropped,
/// its fetches are cancelled and its task ends.
#[derive(Clone)]
pub struct HlsSession(Arc<Shared>);

impl fmt::Debug for HlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlsSession").field("status", &*self.0.status.borrow()).finish_non_exhaustive()
    }
}

impl HlsSession {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// What happens from now on. The first listener also gets what happened since opening, as far as the channel holds
    /// it. The channel closes with the session.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<HlsEvent> {
        let first = self.0.first_listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listen = || self.0.events.upgrade().map(|events| events.subscribe());
        // A channel whose sender is gone: the session is over.
        first.or_else(listen).unwrap_or_else(|| broadcast::channel(1).1)
    }

    /// A copy of what matters, as of now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status.borrow().clone()
    }

    /// How the session fares, in numbers, as of the last thing that happened in it: buffers, the load of the network, errors,
    /// the latency of units, stalls, switches. Of a session that is over, its last ones.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats.borrow().clone()
    }

    /// Waits until the status is another.
    ///
    /// # Errors
    /// The session is over.
    pub async fn status_changed(&self) -> Result<Status, HlsError> {
        let mut status = self.0.status.clone();
        status.mark_unchanged();
        status.changed().await.map_err(|_| self.0.over())?;
        Ok(status.borrow().clone())
    }

    /// The media playlist that is read, as last loaded, with the dates and date ranges it states; `None` until it is there.
    #[must_use]
    pub fn listed(&self) -> Option<Listed> {
        self.0.listed.borrow().clone()
    }

    /// The same, to be waited for. Holding it does not keep the session alive: it closes with the session.
    #[must_use]
    pub fn listings(&self) -> watch::Receiver<Option<Listed>> {
        self.0.listed.clone()
    }

    /// What an interstitial plays, one asset after the other, for a viewer who comes into it so long after its beginning.
    ///
    /// An X-ASSET-LIST is loaded once for each such time and remembered; ask when playback comes near it, so that the
    /// server can decide late (RFC 8216bis appendix D.1). An X-ASSET-URI is an asset of the length the date range
    /// announces. Requests for assets carry the parameters of appendix D, and those of lists are sent as those for
    /// playlists are.
    ///
    /// # Errors
    /// The list cannot be had, is larger than 256 KiB, or is none ([`HlsError::PlaylistParse`]). That is an event, too;
    /// playback goes on.
    pub async fn assets_of(&self, interstitial: &Interstitial, offset: Duration) -> Result<AssetList, HlsError> {
        // Apart: a request in the making is large, and would be so in every task that waits for it.
        let assets = Box::pin(self.0.interstitials.assets_of(interstitial, offset)).await;
        if let (Err(error), Some(events)) = (&assets, self.0.events.upgrade()) {
            // Nobody needs to listen.
            let _ = events.send(HlsEvent::trouble(error.clone()));
        }
        assets
    }

    /// The presentation times that can be sought: of a live stream what its playlist lists, and with
    /// [`LiveOptions::time_shift`](kithara_hls_core::session::LiveOptions::time_shift) what is remembered before that.
    /// `None` until the playlist is there.
    #[must_use]
    pub fn seekable(&self) -> Option<(Duration, Duration)> {
        self.0.status.borrow().window
    }

    /// The date of a presentation time (EXT-X-PROGRAM-DATE-TIME, RFC 8216 section 4.3.2.6); `None` for a stream without
    /// dates.
    #[must_use]
    pub fn date_at(&self, time: Duration) -> Option<WallTime> {
        self.0.status.borrow().dates.date_at(time)
    }

    /// The presentation time of a date. It may lie outside of what can be sought: then dates go on counting.
    #[must_use]
    pub fn time_at(&self, date: WallTime) -> Option<Duration> {
        self.0.status.borrow().dates.time_at(date)
    }

    /// Lets the streams of segments go on at `time`. Ahead of the end of a live stream they wait until it has come there
    /// (event [`Waiting`](kithara_hls_core::session::HlsEvent::Waiting)); before its window they go on where that begins. Readers of bytes seek by themselves.
    ///
    /// # Errors
    /// The session is over.
    pub async fn seek(&self, time: Duration) -> Result<(), HlsError> {
        self.command(Command::Seek(time)).await
    }

    /// Plays this variant until told otherwise; `None` lets adaptation choose again. Streams of segments change as soon
    /// as the variant's playlist is there; sources keep the variant they were opened with, and a new one gets this.
    ///
    /// # Errors
    /// The session is over, or has no such variant.
    pub async fn select_variant(&self, variant: Option<VariantId>) -> Result<(), HlsError> {
        if let Some(id) = variant
            && !self.0.status.borrow().variants.iter().any(|variant| variant.id == id)
        {
            return Err(HlsError::VariantNotFound { wanted: MediaId::Variant(id) });
        }
        self.command(Command::SelectVariant(variant)).await
    }

    /// Plays this audio rendition, and in the groups of other variants what goes on with it: the same language, name,
    /// characteristics and channels, as far as there are. Streams of segments change at a place that lies in time, a few
    /// seconds ahead of what is played; nothing is played twice and nothing is left out. Sources keep what they read.
    ///
    /// # Errors
    /// The session is over, or has no such rendition.
    pub async fn select_audio(&self, rendition: RenditionId) -> Result<(), HlsError> {
        self.find_rendition(RenditionKind::Audio, rendition)?;
        self.command(Command::SelectAudio(rendition)).await
    }

    /// Shows these subtitles, or none. Streams of subtitle segments wait while none are shown.
    ///
    /// # Errors
    /// The session is over, or has no such rendition.
    pub async fn select_subtitles(&self, rendition: Option<RenditionId>) -> Result<(), HlsError> {
        if let Some(id) = rendition {
            self.find_rendition(RenditionKind::Subtitles, id)?;
        }
        self.command(Command::SelectSubtitles(rendition)).await
    }

    fn find_rendition(&self, kind: RenditionKind, id: RenditionId) -> Result<(), HlsError> {
        let status = self.0.status.borrow();
        let found = status.renditions.iter().any(|it| it.id == id && it.kind == kind);
        found.then_some(()).ok_or(HlsError::VariantNotFound { wanted: MediaId::Rendition(id) })
    }

    /// The segments of a track, for apps that demux by themselves.
    ///
    /// # Errors
    /// The session is over.
    pub async fn segments(&self, track: Track) -> Result<Segments, HlsError> {
        Segments::open(Arc::clone(&self.0), track, None).await
    }

    /// The segments of a track as a decoder takes them, from `start` on if that is stated. Waits until the stream is
    /// known: its variant or rendition chosen and its media playlist loaded.
    ///
    /// # Errors
    /// The stream cannot be opened, or the session is over.
    pub async fn feed(&self, track: Track, start: Option<Duration>) -> Result<HlsFeed, HlsError> {
        HlsFeed::open(Segments::open(Arc::clone(&self.0), track, start).await?).await
    }

    /// The picture that is shown at `time` in a stream of single pictures (EXT-X-I-FRAME-STREAM-INF, RFC 8216 section
    /// 4.3.4.3), with its initialization section; `None` at and behind the end. It is whole, and costs one small request.
    /// Neither what is played nor the seeks of others are touched. For pictures one after the other, read
    /// [`segments`](Self::segments) of [`Track::IFrames`].
    ///
    /// # Errors
    /// The session is over, offers no pictures, or they cannot be had.
    pub async fn picture(&self, time: Duration) -> Result<Option<MediaSegment>, HlsError> {
        Segments::single(Arc::clone(&self.0), Track::IFrames, time).await
    }

    /// Ends the session and waits until its transfers have ended and its store has what was fetched. Readers get
    /// [`HlsError::Closed`] behind what they hold.
    pub async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.0.order(Order::Close { done }).await.is_ok() {
            // An error means that the driver ended by itself meanwhile.
            let _ = ended.await;
        }
    }

    async fn command(&self, command: Command) -> Result<(), HlsError> {
        let (done, handled) = oneshot::channel();
        self.0.order(Order::Command { command, done }).await?;
        handled.await.map_err(|_| self.0.over())
    }
}
