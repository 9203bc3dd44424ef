//! A file whose container is known: its packets, one after the other, and the way to a time.

use std::{fmt, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use kithara_demux::Timestamp;
use symphonia::core::{
    codecs::CodecParameters,
    errors::{Error as SymphoniaError, SeekErrorKind},
    formats::{
        FormatReader, SeekMode, SeekTo, Track, TrackType,
        well_known::{FORMAT_ID_ADTS, FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3, FORMAT_ID_OGG},
    },
    packet::Packet,
    units::{self, Time, TimeBase},
};

use crate::{
    SoundCodec,
    edit::{Edit, Told},
    error::{DecodeError, DecodeErrorKind},
    format::{CodedPacket, Format, timestamp},
};

pub(crate) struct OpenFile {
    reader: Box<dyn FormatReader>,
    kind: FileKind,
    track: u32,
    time_base: TimeBase,
    sample_rate: u32,
    codec: SoundCodec,
    edit: Option<Edit>,
    /// Codec and channels by its configuration, where that was looked into.
    told: Option<(SoundCodec, u16)>,
    /// Length of the current link, as its container says.
    length: Option<u64>,
    /// Behind this, nothing that the container says of padding holds.
    padding_to: Option<i64>,
    /// Where the current link of a chain begins in the presentation; zero in every other file.
    base: Duration,
    /// The time that stands there in the link.
    origin: i64,
    /// Where the last packet of the link ended.
    end: i64,
    /// Packets are passed over until one ends behind this.
    skip_to: Option<i64>,
}

/// What containers differ in, as far as it is of interest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    /// Frames of MPEG audio, one after the other. How many there are is often guessed, and told as if it were known.
    Mpeg,
    /// Frames of AAC, one after the other.
    Adts,
    /// Several streams may follow each other, each with times of its own.
    Ogg,
    Other,
}

/// The next thing in a file.
pub(crate) enum Next {
    Packet(CodedPacket),
    /// Another stream follows in the same file.
    Link,
}

/// What a seek came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    There,
    PastTheEnd,
    /// The time lies where this reader does not go: the file must be opened anew.
    Behind,
}

/// Why a file cannot be read on.
#[derive(Debug)]
pub(crate) enum Failed {
    Reader(SymphoniaError),
    Decode(DecodeError),
}

impl OpenFile {
    pub(crate) fn new(reader: Box<dyn FormatReader>, told: Told) -> Result<Self, Failed> {
        let kind = match reader.format_info().format {
            FORMAT_ID_MP1 | FORMAT_ID_MP2 | FORMAT_ID_MP3 => FileKind::Mpeg,
            FORMAT_ID_ADTS => FileKind::Adts,
            FORMAT_ID_OGG => FileKind::Ogg,
            _ => FileKind::Other,
        };
        let time_base = TimeBase::from_recip(NonZeroU32::MIN);
        let mut file = Self {
            reader,
            kind,
            track: 0,
            time_base,
            sample_rate: 0,
            codec: SoundCodec::Other,
            edit: told.edit,
            told: told.format,
            length: None,
            padding_to: None,
            base: Duration::ZERO,
            origin: 0,
            end: 0,
            skip_to: None,
        };
        file.choose_track()?;
        Ok(file)
    }

    pub(crate) fn short_name(&self) -> &'static str {
        self.reader.format_info().short_name
    }

    /// Whether its times are counted from the frames that were read, so that it must not be left in the middle of one.
    pub(crate) fn counts_frames(&self) -> bool {
        matches!(self.kind, FileKind::Mpeg | FileKind::Adts)
    }

    /// How long the whole file is, as far as can be told by now. Longer than thought where more came out.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let known = self.edit.as_ref().and_then(Edit::duration).or(self.length);
        let known = known.map(|ticks| self.time_of(i64::try_from(ticks).unwrap_or(i64::MAX)));
        match self.kind {
            FileKind::Mpeg | FileKind::Ogg => known.map(|known| self.base.saturating_add(known).max(self.end())),
            FileKind::Adts | FileKind::Other => known,
        }
    }

    /// Where what came out ends. At the end of the file, this is how long it is, where the container does not know.
    pub(crate) fn duration_at_end(&self) -> Option<Duration> {
        match self.kind {
            FileKind::Mpeg | FileKind::Ogg => Some(self.end()),
            FileKind::Adts | FileKind::Other => self.duration(),
        }
    }

    /// Where the current link begins.
    pub(crate) fn base(&self) -> Duration {
        self.base
    }

    fn end(&self) -> Duration {
        self.base.saturating_add(self.time_of(self.end.saturating_sub(self.origin)))
    }

    pub(crate) fn format(&self) -> Result<Format, Failed> {
        match self.chosen().and_then(|track| track.codec_params.as_ref()) {
            Some(CodecParameters::Audio(params)) => Ok(self.refined(Format::of_params(params))),
            _ => Err(Failed::Decode(DecodeError::new(DecodeErrorKind::NoSound))),
        }
    }

    /// Readers call all of AAC by one name.
    fn refined(&self, format: Format) -> Format {
        match self.told {
            Some((codec @ (SoundCodec::HeAac | SoundCodec::HeAacV2), channels)) if format.codec == SoundCodec::Aac => {
                Format { codec, channels, may_be_he_aac: false, ..format }
            }
            _ => format,
        }
    }

    fn chosen(&self) -> Option<&Track> {
        self.reader.tracks().iter().find(|track| track.id == self.track)
    }

    fn choose_track(&mut self) -> Result<(), Failed> {
        let no_sound = || Failed::Decode(DecodeError::new(DecodeErrorKind::NoSound));
        let track = self.reader.default_track(TrackType::Audio).ok_or_else(no_sound)?;
        let Some(CodecParameters::Audio(params)) = &track.codec_params else { return Err(no_sound()) };
        self.track = track.id;
        self.sample_rate = params.sample_rate.unwrap_or(0);
        self.codec = self.refined(Format::of_params(params)).codec;
        self.time_base = track
            .time_base
            .or_else(|| TimeBase::try_from_recip(self.sample_rate))
            .ok_or_else(|| Failed::Decode(DecodeError::new(DecodeErrorKind::Container)))?;
        self.length = track.duration.map(units::Duration::get).or(track.num_frames);
        // Without a word on padding the count of frames was guessed, or is of the first of several files in one.
        let told =
            track.num_frames.zip(track.padding).map(|(frames, padding)| frames.saturating_add(u64::from(padding)));
        let told = told.map_or(i64::MIN, |frames| i64::try_from(frames).unwrap_or(i64::MAX));
        self.padding_to = (self.kind == FileKind::Mpeg).then_some(told);
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Option<Next>, Failed> {
        loop {
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => {
                    let packet = self.packet(packet);
                    if self.skip_to.is_none_or(|skip_to| self.end > skip_to) {
                        return Ok(Some(Next::Packet(packet)));
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(SymphoniaError::ResetRequired) => {
                    self.begin_link()?;
                    return Ok(Some(Next::Link));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The stream before has ended, another one begins.
    fn begin_link(&mut self) -> Result<(), Failed> {
        let base = self.end();
        self.choose_track()?;
        self.base = base;
        // What lies before zero is the codec's delay, and not heard.
        self.origin = self.chosen().map_or(0, |track| track.start_ts.get()).max(0);
        self.end = self.origin;
        Ok(())
    }

    /// Goes far enough before `target` for the codec to have settled there.
    pub(crate) fn seek(&mut self, target: Duration) -> Result<Sought, Failed> {
        self.skip_to = None;
        loop {
            let Some(target) = target.checked_sub(self.base) else { return Ok(Sought::Behind) };
            let length = self.length.map(|ticks| self.time_of(i64::try_from(ticks).unwrap_or(i64::MAX)));
            // Asked of the target itself: where decoding begins may lie in the link before.
            if self.kind == FileKind::Ogg && length.is_some_and(|length| target >= length) {
                if !self.go_to_next_link()? {
                    return Ok(Sought::PastTheEnd);
                }
                continue;
            }
            let shift = self.edit.as_ref().map_or(self.origin, |edit| edit.start);
            let media = target.saturating_sub(self.codec.settling()).saturating_add(self.time_of(shift));
            // What begins late begins there.
            let begins = self.chosen().map_or(0, |track| track.start_ts.get());
            let media = media.max(self.time_of(begins));
            let Ok(time) = i64::try_from(media.as_nanos()).map(Time::from_nanos) else { return Ok(Sought::PastTheEnd) };
            let to = SeekTo::Time { time, track_id: Some(self.track) };
            match (self.reader.seek(SeekMode::Accurate, to), self.kind) {
                (Ok(_), _) => return Ok(Sought::There),
                (Err(SymphoniaError::SeekError(SeekErrorKind::OutOfRange)), FileKind::Ogg) => {
                    if !self.go_to_next_link()? {
                        return Ok(Sought::PastTheEnd);
                    }
                }
                (Err(SymphoniaError::SeekError(SeekErrorKind::OutOfRange)), FileKind::Mpeg) => {
                    return self.seek_behind_the_guess(media);
                }
                (Err(SymphoniaError::SeekError(SeekErrorKind::OutOfRange)), _) => return Ok(Sought::PastTheEnd),
                (Err(SymphoniaError::SeekError(SeekErrorKind::ForwardOnly | SeekErrorKind::Unseekable)), _) => {
                    return Ok(Sought::Behind);
                }
                (Err(SymphoniaError::ResetRequired), _) => self.begin_link()?,
                (Err(error), _) => return Err(error.into()),
            }
        }
    }

    /// Whether there is another link.
    fn go_to_next_link(&mut self) -> Result<bool, Failed> {
        // Near to the end, if that is known; else everything in between is read.
        if let Some(track) = self.chosen()
            && let Some(frames) = track.num_frames
        {
            let ts = track.start_ts.saturating_add(units::Duration::from(frames));
            match self.reader.seek(SeekMode::Accurate, SeekTo::Timestamp { ts, track_id: self.track }) {
                Ok(_) | Err(SymphoniaError::SeekError(_)) => {}
                Err(SymphoniaError::ResetRequired) => {
                    self.end = self.end.max(ts.get());
                    self.begin_link()?;
                    return Ok(true);
                }
                Err(error) => return Err(error.into()),
            }
        }
        loop {
            match self.next()? {
                Some(Next::Packet(_)) => {}
                Some(Next::Link) => return Ok(true),
                None => return Ok(false),
            }
        }
    }

    /// Reads on from where the reader thinks that the file ends.
    fn seek_behind_the_guess(&mut self, media: Duration) -> Result<Sought, Failed> {
        let wanted = self.ticks_of(media);
        let Some(track) = self.chosen() else { return Ok(Sought::PastTheEnd) };
        let end = track.num_frames.unwrap_or(0).saturating_add(u64::from(track.padding.unwrap_or(0)));
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        if wanted <= end {
            return Ok(Sought::PastTheEnd);
        }
        let to = SeekTo::Timestamp { ts: units::Timestamp::new(end), track_id: self.track };
        match self.reader.seek(SeekMode::Accurate, to) {
            Ok(_) => {
                self.skip_to = Some(wanted);
                Ok(Sought::There)
            }
            Err(SymphoniaError::SeekError(SeekErrorKind::OutOfRange)) => Ok(Sought::PastTheEnd),
            Err(SymphoniaError::SeekError(SeekErrorKind::ForwardOnly)) => Ok(Sought::Behind),
            Err(error) => Err(error.into()),
        }
    }

    /// Ticks of the track as time, from zero on.
    fn time_of(&self, ticks: i64) -> Duration {
        let ticks = u128::try_from(ticks).unwrap_or(0);
        let denom = u128::from(self.time_base.denom.get());
        // To the nearest, so that the way back leads to the same tick.
        let nanos = (ticks * u128::from(self.time_base.numer.get()) * 1_000_000_000 + denom / 2) / denom;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn ticks_of(&self, time: Duration) -> i64 {
        timestamp(time).rescale(self.time_base.denom) / i64::from(self.time_base.numer.get())
    }

    fn packet(&mut self, packet: Packet) -> CodedPacket {
        let clock = self.time_base.denom;
        let numer = self.time_base.numer.get();
        let pts = packet.pts.get();
        let is_padded = self.padding_to.is_none_or(|padding_to| pts < padding_to);
        let padding = if is_padded { packet.trim_end.get() } else { 0 };
        // The reader of MPEG audio adds what it takes for padding to the length of a frame.
        let ticks = if self.padding_to.is_some() { packet.dur.get() } else { packet.block_dur().get() };
        self.end = self.end.max(pts.saturating_add_unsigned(ticks.saturating_sub(padding)));
        let shift = self.edit.as_ref().map_or(self.origin, |edit| edit.start);
        let frames = |ticks: u64| {
            let ticks = i64::try_from(ticks.saturating_mul(u64::from(numer))).unwrap_or(i64::MAX);
            let rate = NonZeroU32::new(self.sample_rate).unwrap_or(clock);
            u32::try_from(Timestamp::new(ticks, clock).rescale(rate)).unwrap_or(u32::MAX)
        };
        let outside = self.edit.as_ref().map_or((0, 0), |edit| edit.outside(pts, ticks));
        let base = timestamp(self.base).rescale(clock);
        let at = pts.saturating_sub(shift).saturating_mul(i64::from(numer));
        CodedPacket {
            pts: Timestamp::new(at.saturating_add(base), clock),
            duration: ticks.saturating_mul(u64::from(numer)),
            trim: (frames(packet.trim_start.get().max(outside.0)), frames(padding.max(outside.1))),
            is_duration_exact: self.edit.is_some(),
            data: Bytes::from(packet.data),
        }
    }
}

impl From<SymphoniaError> for Failed {
    fn from(error: SymphoniaError) -> Self {
        Self::Reader(error)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Reader(error.into())
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("format", &self.short_name()).field("base", &self.base).finish_non_exhaustive()
    }
}
