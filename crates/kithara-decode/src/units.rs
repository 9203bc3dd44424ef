//! Packets out of units.

use std::{
    collections::VecDeque,
    fmt,
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use kithara_demux::{
    self as demux, Deliver, DemuxError, DemuxErrorKind, DemuxOptions, Demuxer, Timestamp,
    output::{Damage, DamageKind, Output},
    track::{Access, Track, TrackId, TrackKind},
};
use kithara_stream::{ChunkAt, Container, Run, Source, StreamError, Unit, UnitFeed};

use crate::{
    SoundCodec,
    error::{DecodeError, DecodeErrorKind},
    format::{CodedPacket, Format, NANOSECONDS, timestamp},
    input::Found,
};

/// Reads the units of a feed with one demuxer, a chunk at a time.
pub(crate) struct UnitInput {
    feed: Box<dyn UnitFeed>,
    demuxer: Demuxer,
    run: Option<Arc<Run>>,
    unit: Option<OpenUnit>,
    /// The track that is played, once its packets come.
    track: Option<(TrackId, NonZeroU32)>,
    /// Whether the run's tracks are known.
    has_tracks: bool,
    /// Whether there was ever a track of sound.
    has_sound: bool,
    found: VecDeque<Found>,
}

struct OpenUnit {
    unit: Unit,
    /// Bytes handed to the demuxer.
    taken: u64,
}

impl UnitInput {
    pub(crate) fn new(feed: Box<dyn UnitFeed>) -> Self {
        Self {
            feed,
            demuxer: new_demuxer(),
            run: None,
            unit: None,
            track: None,
            has_tracks: false,
            has_sound: false,
            found: VecDeque::new(),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Found>, DecodeError>> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Poll::Ready(Ok(Some(found)));
            }
            if let Some(output) = self.demuxer.poll() {
                self.take(output.map_err(|error| refused(&error))?);
                continue;
            }
            let more = match self.unit {
                Some(_) => self.poll_body(cx),
                None => self.poll_unit(cx),
            };
            match more {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(None)),
            }
        }
    }

    pub(crate) fn seek(&mut self, time: Duration) {
        self.feed.seek(time);
        self.demuxer = new_demuxer();
        (self.run, self.unit, self.track) = (None, None, None);
        self.found.clear();
    }

    /// Playback has come this far.
    pub(crate) fn played_to(&mut self, time: Duration) {
        self.feed.played_to(time);
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Tracks(tracks) => self.take_tracks(&tracks),
            Output::Packet(packet) => {
                let Some((_, timescale)) = self.track.filter(|(id, _)| *id == packet.track) else { return };
                self.found.push_back(Found::Packet(CodedPacket {
                    pts: Timestamp::new(packet.pts, timescale),
                    duration: packet.duration.map_or(0, u64::from),
                    trim: (packet.trim.start, packet.trim.end),
                    is_duration_exact: false,
                    data: packet.data,
                }));
            }
            Output::Metadata(found) => self.found.push_back(Found::Metadata(Arc::new(found))),
            Output::Damage(damage) => {
                tracing::debug!(?damage, "passed over in the container");
                let playing = self.track.map(|(id, _)| id);
                if is_loss(damage) && (damage.track.is_none() || playing.is_none() || damage.track == playing) {
                    self.found.push_back(Found::Damage);
                }
            }
            _ => {}
        }
    }

    fn take_tracks(&mut self, tracks: &[Track]) {
        let is_sound = |track: &&Track| track.kind == TrackKind::Audio && track.access == Access::Clear;
        let is_decoded = |track: &&Track| is_sound(track) && Format::of_track(track).is_decoded();
        self.has_tracks = true;
        // A track that plays goes on; another one takes its place only when it is gone. What nobody decodes is played only
        // where there is nothing else: then the decoder says what it is.
        let playing = self.track.map(|(id, _)| id);
        let kept = tracks.iter().filter(is_decoded).find(|track| Some(track.id) == playing);
        let decoded = kept.or_else(|| tracks.iter().find(is_decoded));
        let Some(track) = decoded.or_else(|| tracks.iter().find(is_sound)) else {
            self.track = None;
            return;
        };
        self.has_sound = true;
        self.track = Some((track.id, track.timescale));
        // Announced at first without what only the packets tell; what counts comes again in front of the first packet.
        if track.audio.is_some() {
            self.found.push_back(Found::Format(Format::of_track(track)));
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, DecodeError>> {
        let Some(open) = &mut self.unit else { return Poll::Ready(Ok(true)) };
        match open.unit.body.chunk_at(open.taken) {
            Ok(ChunkAt::Bytes(bytes)) => {
                open.taken += bytes.len() as u64;
                open.unit.body.release(open.taken);
                self.demuxer.push(bytes);
            }
            Ok(ChunkAt::Pending) => {
                let wanted = open.taken..u64::MAX;
                match open.unit.body.poll_ready(cx, wanted) {
                    Poll::Pending => return Poll::Pending,
                    // Whatever became of the body is told when it is asked for the chunk again.
                    Poll::Ready(_) => {}
                }
            }
            Ok(ChunkAt::End) => {
                self.demuxer.end_unit();
                self.unit = None;
                if self.has_tracks && !self.has_sound {
                    return Poll::Ready(Err(DecodeError::new(DecodeErrorKind::NoSound)));
                }
            }
            // The next run delivers the unit again.
            Err(error) if StreamError::of(&error) == Some(StreamError::Cut) => self.unit = None,
            Err(error) => return Poll::Ready(Err(DecodeError::feed(error))),
        }
        Poll::Ready(Ok(true))
    }

    fn poll_unit(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, DecodeError>> {
        let unit = match self.feed.poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(DecodeError::feed(error))),
            Poll::Ready(Ok(None)) => return Poll::Ready(Ok(false)),
            Poll::Ready(Ok(Some(unit))) => unit,
        };
        if self.run.as_ref().is_none_or(|run| run.id != unit.run.id) {
            self.begin_run(&unit.run);
        }
        self.unit = Some(OpenUnit { unit, taken: 0 });
        Poll::Ready(Ok(true))
    }

    fn begin_run(&mut self, run: &Arc<Run>) {
        let mut begun = demux::Run::new(container(run.container));
        begun.init.clone_from(&run.init);
        begun.offset = Timestamp::new(run.timestamp_offset.unwrap_or(0), NANOSECONDS);
        begun.start = Some(timestamp(run.time));
        self.demuxer.start_run(begun);
        self.found.push_back(Found::Run { reason: run.reason, discard_until: run.discard_until });
        self.run = Some(Arc::clone(run));
        (self.track, self.has_tracks) = (None, false);
    }
}

/// Whether sound may be missing there. Bytes that are nobody's, as tags of other kinds behind the last frame, are not.
fn is_loss(damage: Damage) -> bool {
    damage.kind != DamageKind::Junk
}

fn new_demuxer() -> Demuxer {
    let deliver = Deliver { audio: true, video: false, text: false, metadata: true };
    Demuxer::new(DemuxOptions { deliver, ..DemuxOptions::default() })
}

fn container(container: Container) -> demux::Container {
    match container {
        Container::MpegTs => demux::Container::MpegTs,
        Container::Fmp4 => demux::Container::Fmp4,
        Container::Adts => demux::Container::Adts,
        Container::Mp3 => demux::Container::Mp3,
        Container::Ac3 => demux::Container::Ac3,
        Container::Eac3 => demux::Container::Eac3,
        // Subtitles, and what is not known yet: the demuxer finds no sound in them.
        _ => demux::Container::WebVtt,
    }
}

fn refused(error: &DemuxError) -> DecodeError {
    let kind = match error.kind() {
        DemuxErrorKind::Encrypted => DecodeErrorKind::Encrypted,
        DemuxErrorKind::UnsupportedCodec => DecodeErrorKind::UnsupportedCodec,
        _ => DecodeErrorKind::Container,
    };
    let refused = DecodeError::because(kind, *error);
    error.codec().map_or(refused.clone(), |codec| refused.of_codec(SoundCodec::of_demux(codec)))
}

impl fmt::Debug for UnitInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitInput").field("run", &self.run.as_ref().map(|run| run.id)).finish_non_exhaustive()
    }
}
