//! The queue between parsers and [`Demuxer::poll`](crate::Demuxer::poll), and the tracks of the run.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::demuxer::Deliver;
use crate::error::{DemuxError, DemuxErrorKind};
use crate::output::{Damage, DamageKind, Output, Packet};
use crate::track::{Access, AudioFormat, Codec, Gapless, Track, TrackId, TrackKind};

/// Collects what parsers find, and announces tracks in front of the first packet that needs them.
#[derive(Debug)]
pub(crate) struct Outputs {
    queue: VecDeque<Output>,
    tracks: Vec<Track>,
    is_announced: bool,
    deliver: Deliver,
}

impl Outputs {
    pub(crate) const fn new(deliver: Deliver) -> Self {
        Self { queue: VecDeque::new(), tracks: Vec::new(), is_announced: true, deliver }
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Forgets the tracks of the run before, but not what was found in it.
    pub(crate) fn start_run(&mut self) {
        self.tracks.clear();
        self.is_announced = true;
    }

    /// Sets the tracks of the run and announces them at once if they changed.
    pub(crate) fn set_tracks(&mut self, tracks: Vec<Track>) -> Result<(), DemuxError> {
        if self.tracks != tracks {
            self.tracks = tracks;
            self.is_announced = false;
            self.announce();
        }
        self.check_access()
    }

    pub(crate) fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Whether packets of this track are to be delivered.
    pub(crate) fn wants(&self, track: &Track) -> bool {
        track.access == Access::Clear && self.deliver.includes(track.kind)
    }

    pub(crate) const fn delivers_metadata(&self) -> bool {
        self.deliver.metadata
    }

    /// Notes what the packets of a track of sound are; announced in front of the next packet if it is news.
    pub(crate) fn set_audio(&mut self, id: TrackId, codec: Codec, format: AudioFormat, config: &[u8]) {
        let known = |track: &&Track| track.codec == codec && track.audio == Some(format) && track.config == config;
        if self.track(id).filter(known).is_some() {
            return;
        }
        self.update(id, |track| {
            track.codec = codec;
            track.audio = Some(format);
            track.config = Bytes::copy_from_slice(config);
        });
    }

    /// Notes what is said of added samples.
    pub(crate) fn set_gapless(&mut self, id: TrackId, gapless: Gapless) {
        self.update(id, |track| track.gapless = Some(gapless));
    }

    /// Notes that a track turned out to be encrypted.
    pub(crate) fn set_encrypted(&mut self, id: TrackId) -> Result<(), DemuxError> {
        self.update(id, |track| track.access = Access::Encrypted);
        self.announce();
        self.check_access()
    }

    /// Changes a track; it is announced in front of the next packet if that made a difference.
    pub(crate) fn update(&mut self, id: TrackId, change: impl FnOnce(&mut Track)) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else { return };
        let before = track.clone();
        change(track);
        self.is_announced &= *track == before;
    }

    pub(crate) fn packet(&mut self, packet: Packet) {
        self.announce();
        self.queue.push_back(Output::Packet(packet));
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.announce();
        self.queue.push_back(output);
    }

    /// Notes bytes that were passed over, unless there are none.
    pub(crate) fn damage(&mut self, kind: DamageKind, track: Option<TrackId>, bytes: u64) {
        self.queue.push_back(Output::Damage(Damage { kind, track, bytes }));
    }

    fn announce(&mut self) {
        if !self.is_announced {
            self.is_announced = true;
            self.queue.push_back(Output::Tracks(self.tracks.clone()));
        }
    }

    /// An error if there are tracks of the wanted kinds and none of them is delivered.
    fn check_access(&self) -> Result<(), DemuxError> {
        // What a stream of an unknown codec is for cannot be told; it may be what was asked for.
        let wanted = |track: &&Track| self.deliver.includes(track.kind) || track.kind == TrackKind::Other;
        let mut wanted = self.tracks.iter().filter(wanted).filter(|track| track.kind != TrackKind::Metadata);
        let Some(first) = wanted.clone().next() else { return Ok(()) };
        if wanted.clone().any(|track| track.access == Access::Clear) {
            return Ok(());
        }
        let encrypted = wanted.find(|track| track.access == Access::Encrypted);
        Err(match encrypted {
            Some(track) => DemuxError::of_codec(DemuxErrorKind::Encrypted, track.codec),
            None => DemuxError::of_codec(DemuxErrorKind::UnsupportedCodec, first.codec),
        })
    }
}
