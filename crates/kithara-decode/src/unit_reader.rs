//! Units for whoever decodes with symphonia himself.

use std::{
    collections::VecDeque,
    fmt, io,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use kithara_demux::Timestamp;
use kithara_stream::{Feed, RunReason, UnitFeed};
use symphonia::core::{
    codecs::CodecParameters,
    common::FourCc,
    errors::{Error, Result, SeekErrorKind},
    formats::{FormatId, FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track},
    io::{MediaSourceStream, ReadOnlySource},
    meta::{Metadata, MetadataLog},
    packet::Packet,
    units::{self, TimeBase},
};

use crate::{
    DecodeError, SoundCodec,
    clock::{FrameClock, Joint},
    error::DecodeErrorKind,
    format::{CodedPacket, Format},
    input::{Found, Input},
    sbr::SbrGate,
    wake::Bell,
};

/// A [`UnitFeed`] as a symphonia [`FormatReader`]: packets of its track of sound, for decoders of symphonia's registry.
///
/// - Timestamps are presentation time in frames: the time base of the track is one over its sample rate.
/// - Runs that a decoder can go on with are joined without a word. A run of another configuration is told with
///   [`Error::ResetRequired`]: the next packet is in the format that [`tracks`](FormatReader::tracks) has by then.
/// - What must not be heard, priming, padding and what an earlier run has given already, is in the packets' `trim_start`
///   and `trim_end`, in frames. Some of symphonia's decoders cut it off themselves, others leave it to their caller.
/// - A seek goes to a packet at or before the time that was asked for, far enough for the codec to have settled there. It
///   answers in the time base the track has at the call, also where another configuration begins.
/// - Sound that symphonia would decode wrongly or not at all (HE-AAC, Opus, AC-3) is refused with
///   [`Error::Unsupported`], its packets with [`Error::DecodeError`]; [`Player`](crate::Player) decodes more.
///
/// Calls block their thread until the feed has what they need, and need no runtime. An error of the feed comes as
/// [`Error::IoError`] with the feed's own error inside.
pub struct UnitReader {
    /// Never locked: a reader must be `Sync`, and feeds need not be.
    input: Mutex<SbrGate>,
    clock: FrameClock,
    format: Option<Format>,
    tracks: Vec<Track>,
    media: MediaInfo,
    metadata: MetadataLog,
    /// Found while looking for something else.
    found: VecDeque<Found>,
    /// The next run begins where a seek went.
    is_sought: bool,
}

/// The one track there is.
const TRACK: u32 = 1;

static FORMAT: FormatInfo =
    FormatInfo { format: FormatId::new(FourCc::new(*b"unit")), short_name: "units", long_name: "Segments of a stream" };

impl UnitReader {
    /// Reads up to the first packet, so that the track is known.
    ///
    /// # Errors
    /// The feed failed, or has no sound that symphonia decodes.
    pub fn open(feed: Box<dyn UnitFeed>) -> Result<Self> {
        let input = Input::new(Feed::Units(feed), &Arc::default());
        let mut reader = Self {
            input: Mutex::new(SbrGate::new(input)),
            clock: FrameClock::default(),
            format: None,
            tracks: Vec::new(),
            media: MediaInfo::default(),
            metadata: MetadataLog::default(),
            found: VecDeque::new(),
            is_sought: false,
        };
        reader.look_ahead()?;
        while let Some(Found::Run { .. } | Found::Format(_) | Found::Damage | Found::Metadata(_)) = reader.found.front()
        {
            match reader.found.pop_front() {
                Some(Found::Run { reason, discard_until }) => reader.begin_run(reason, discard_until),
                Some(Found::Format(format)) => drop(reader.use_format(format)?),
                Some(Found::Damage | Found::Metadata(_)) => {}
                _ => break,
            }
        }
        if reader.tracks.is_empty() { Err(Error::Unsupported("there is no track of sound")) } else { Ok(reader) }
    }

    /// Reads until a packet waits; says whether one does.
    fn look_ahead(&mut self) -> Result<bool> {
        while !self.found.iter().any(|found| matches!(found, Found::Packet(_))) {
            match self.read()? {
                Some(found) => self.found.push_back(found),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next thing in the feed, waited for.
    fn read(&mut self) -> Result<Option<Found>> {
        let gate = self.input.get_mut().unwrap_or_else(PoisonError::into_inner);
        // One for each wait: the reader may have come to another thread.
        let bell = Arc::new(Bell::default());
        bell.attach();
        let waker = Waker::from(Arc::clone(&bell));
        let mut cx = Context::from_waker(&waker);
        loop {
            bell.listen();
            match gate.poll(&mut cx) {
                Poll::Ready(found) => return found.map_err(|error| symphonia_error(&error)),
                Poll::Pending => bell.wait(),
            }
        }
    }

    fn begin_run(&mut self, reason: RunReason, discard_until: Option<Duration>) {
        // Whoever seeks in symphonia discards by timestamp, and wants to decode what comes before.
        let sought = std::mem::take(&mut self.is_sought).then_some(Duration::ZERO);
        self.clock.begin(Joint::of(sought, reason, discard_until));
    }

    /// Whether decoders must be made anew.
    fn use_format(&mut self, format: Format) -> Result<bool> {
        if self.format.as_ref().is_some_and(|known| known.is_compatible(&format)) {
            return Ok(false);
        }
        if let Err(error) = check(&format) {
            // Its packets must not pass for packets of the format before.
            self.format = None;
            return Err(error);
        }
        let is_first = self.tracks.is_empty();
        let mut track = Track::new(TRACK);
        track.codec_params = Some(CodecParameters::Audio(format.params.clone()));
        track.time_base = TimeBase::try_from_recip(format.sample_rate);
        self.media = MediaInfo::from_track(&track);
        self.tracks = vec![track];
        self.format = Some(format);
        Ok(!is_first)
    }

    fn rate(&self) -> Result<NonZeroU32> {
        let rate = self.format.as_ref().and_then(|format| NonZeroU32::new(format.sample_rate));
        rate.ok_or(Error::DecodeError("a packet in front of its format"))
    }

    fn packet(&mut self, packet: CodedPacket) -> Result<Packet> {
        let rate = self.rate()?;
        let ticks = i64::try_from(packet.duration).unwrap_or(i64::MAX);
        let frames = Timestamp::new(ticks, packet.pts.timescale).rescale(rate);
        let frames = usize::try_from(frames).unwrap_or(0);
        let heard = self.clock.place(packet.pts, rate, frames, (packet.trim.0.into(), packet.trim.1.into()));
        let len = |frames: usize| units::Duration::new(frames as u64);
        let mut out = Packet::new(TRACK, units::Timestamp::new(heard.at), len(heard.frames.len()), &packet.data[..]);
        out.trim_start = len(heard.frames.start);
        out.trim_end = len(frames - heard.frames.end);
        Ok(out)
    }

    /// Where the packet that waits begins, in a base of one over `rate`.
    fn next_start(&self, rate: NonZeroU32) -> Option<i64> {
        self.found.iter().find_map(|found| match found {
            Found::Packet(packet) => Some(packet.pts.rescale(rate)),
            _ => None,
        })
    }
}

impl FormatReader for UnitReader {
    fn format_info(&self) -> &FormatInfo {
        &FORMAT
    }

    fn media_info(&self) -> &MediaInfo {
        &self.media
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.metadata.metadata()
    }

    fn seek(&mut self, _: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        // That of the track as the caller knows it, also where another format begins.
        let base = self.tracks.first().and_then(|track| track.time_base).ok_or(Error::DecodeError("no time base"))?;
        let unseekable = || Error::SeekError(SeekErrorKind::OutOfRange);
        let (time, required_ts) = match to {
            SeekTo::Time { time, track_id: None | Some(TRACK) } => {
                (time, base.calc_timestamp(time).ok_or_else(unseekable)?)
            }
            SeekTo::Timestamp { ts, track_id: TRACK } => (base.calc_time(ts).ok_or_else(unseekable)?, ts),
            _ => return Err(Error::SeekError(SeekErrorKind::InvalidTrack)),
        };
        let nanos = u64::try_from(time.as_nanos()).map_err(|_| unseekable())?;
        let gate = self.input.get_mut().unwrap_or_else(PoisonError::into_inner);
        gate.clear();
        gate.input().seek(Duration::from_nanos(nanos), self.format.as_ref().map(|format| format.codec));
        self.found.clear();
        self.is_sought = true;
        if !self.look_ahead()? {
            return Err(unseekable());
        }
        let actual = self.next_start(base.denom).ok_or_else(unseekable)?;
        Ok(SeekedTo { track_id: TRACK, required_ts, actual_ts: units::Timestamp::new(actual) })
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            let found = match self.found.pop_front() {
                Some(found) => Some(found),
                None => self.read()?,
            };
            match found {
                None => return Ok(None),
                Some(Found::Run { reason, discard_until }) => self.begin_run(reason, discard_until),
                Some(Found::Format(format)) => {
                    if self.use_format(format)? {
                        return Err(Error::ResetRequired);
                    }
                }
                // Timestamps show what is missing.
                Some(Found::Damage) => {}
                Some(Found::Packet(packet)) => return self.packet(packet).map(Some),
                Some(Found::Metadata(_)) => {}
            }
        }
    }

    /// There is no stream of bytes below: gives an empty one.
    fn into_inner<'s>(self: Box<Self>) -> MediaSourceStream<'s>
    where
        Self: 's,
    {
        MediaSourceStream::new(Box::new(ReadOnlySource::new(io::empty())), Default::default())
    }
}

/// Whether symphonia's decoders get this right.
fn check(format: &Format) -> Result<()> {
    match format.codec {
        SoundCodec::Aac | SoundCodec::Mp1 | SoundCodec::Mp2 | SoundCodec::Mp3 | SoundCodec::Flac | SoundCodec::Alac => {
            Ok(())
        }
        SoundCodec::HeAac | SoundCodec::HeAacV2 => Err(Error::Unsupported("HE-AAC")),
        SoundCodec::Opus => Err(Error::Unsupported("Opus")),
        SoundCodec::Ac3 | SoundCodec::Eac3 => Err(Error::Unsupported("AC-3")),
        _ => Err(Error::Unsupported("a codec that symphonia does not have")),
    }
}

fn symphonia_error(error: &DecodeError) -> Error {
    match error.kind() {
        DecodeErrorKind::NoSound => Error::Unsupported("there is no track of sound"),
        DecodeErrorKind::UnsupportedCodec => Error::Unsupported("a codec that symphonia does not have"),
        DecodeErrorKind::Encrypted => Error::Unsupported("samples encrypted in the container"),
        DecodeErrorKind::Container => Error::DecodeError("the container cannot be read"),
        _ => Error::IoError(io::Error::other(error.clone())),
    }
}

impl fmt::Debug for UnitReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitReader")
            .field("codec", &self.format.as_ref().map(|format| format.codec))
            .finish_non_exhaustive()
    }
}
