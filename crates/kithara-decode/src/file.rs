//! Packets out of a file, through symphonia's container readers.
//!
//! Those read a file as files are read: by calls that block. They run on the worker's thread, which is where waiting
//! belongs; a command interrupts the wait, the call fails, and the seek that follows finds its way from wherever the
//! reader was left.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use kithara_demux::{Container, Sniff, Timestamp, sniff};
use kithara_stream::{ReadAt, RunReason, Source, StreamError};
use symphonia::core::{
    codecs::CodecParameters,
    errors::{Error as SymphoniaError, SeekErrorKind},
    formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType, probe::Hint},
    io::{MediaSource, MediaSourceStream},
    meta::MetadataOptions,
    packet::Packet,
    units::{Time, TimeBase},
};

use crate::{
    SoundCodec,
    edit::{self, Edit},
    error::{DecodeError, DecodeErrorKind},
    format::{CodedPacket, Format},
    input::Found,
    wake::Bell,
};

/// Bytes that tell ADTS from everything else.
const SNIFFED: u64 = 1024;

pub(crate) struct FileInput {
    source: Arc<dyn Source>,
    bell: Arc<Bell>,
    file: Option<OpenFile>,
    /// Where the reader is to go before the next packet.
    target: Option<Duration>,
    /// What is to be told before the next packet, the last of it first.
    news: Vec<Found>,
    /// Nothing comes any more, until a seek.
    is_over: bool,
    /// Of the whole file, once it was opened.
    duration: Option<Duration>,
}

/// A file whose container is known.
struct OpenFile {
    reader: Box<dyn FormatReader>,
    track: u32,
    time_base: TimeBase,
    sample_rate: u32,
    codec: SoundCodec,
    edit: Option<Edit>,
    duration: Option<Duration>,
}

/// Why a step came to nothing.
enum Stop {
    /// A command wants the thread.
    Interrupted,
    End,
    Failed(DecodeError),
}

impl FileInput {
    pub(crate) fn new(source: Box<dyn Source>, bell: Arc<Bell>) -> Self {
        let source = Arc::from(source);
        Self { source, bell, file: None, target: None, news: Vec::new(), is_over: false, duration: None }
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration
    }

    pub(crate) fn seek(&mut self, time: Duration) {
        self.target = Some(time);
        self.news.clear();
        if std::mem::take(&mut self.is_over) {
            // Some readers fail when they come to the end a second time.
            self.file = None;
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<Result<Option<Found>, DecodeError>> {
        if self.is_over {
            return Poll::Ready(Ok(None));
        }
        match self.step() {
            Ok(found) => Poll::Ready(Ok(Some(found))),
            Err(Stop::Interrupted) => Poll::Pending,
            Err(Stop::End) => {
                self.is_over = true;
                Poll::Ready(Ok(None))
            }
            Err(Stop::Failed(error)) => Poll::Ready(Err(error)),
        }
    }

    fn step(&mut self) -> Result<Found, Stop> {
        if self.file.is_none() {
            let file = self.open()?;
            self.duration = file.duration;
            self.news.push(Found::Format(file.format()?));
            if self.target.is_none() {
                self.news.push(Found::Run { reason: RunReason::Start, discard_until: None });
            }
            self.file = Some(file);
        }
        if let Some(target) = self.target {
            self.go_to(target)?;
            self.target = None;
            // What was found before is forgotten, the format as well.
            let format = self.file.as_ref().ok_or(Stop::End)?.format()?;
            self.news = vec![Found::Format(format), Found::Run { reason: RunReason::Seek, discard_until: None }];
        }
        if let Some(news) = self.news.pop() {
            return Ok(news);
        }
        loop {
            let Some(file) = &mut self.file else { return Err(Stop::End) };
            match file.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == file.track => return Ok(Found::Packet(file.packet(packet))),
                Ok(Some(_)) => {}
                Ok(None) => return Err(Stop::End),
                // The tracks change in the middle, as in chained Ogg.
                Err(SymphoniaError::ResetRequired) => {
                    file.choose_track()?;
                    return Ok(Found::Format(file.format()?));
                }
                Err(error) => return Err(self.stop(error)),
            }
        }
    }

    fn open(&self) -> Result<OpenFile, Stop> {
        let goes_back = Arc::new(AtomicBool::new(true));
        let reader = || SourceReader {
            source: Arc::clone(&self.source),
            bell: Arc::clone(&self.bell),
            goes_back: Arc::clone(&goes_back),
            position: 0,
        };
        let mut head = Vec::new();
        reader().take(SNIFFED).read_to_end(&mut head).map_err(|error| self.stop(error.into()))?;
        // The reader of ADTS would guess the duration from places all over the file, each of them a request.
        goes_back.store(sniff(&head, true) != Sniff::Media(Container::Adts), Ordering::Relaxed);
        let edit = edit::read(&mut reader()).map_err(|error| self.stop(error.into()))?;
        let stream = MediaSourceStream::new(Box::new(reader()), Default::default());
        let options = (FormatOptions::default(), MetadataOptions::default());
        let reader = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, options.0, options.1)
            .map_err(|error| self.stop(error))?;
        goes_back.store(true, Ordering::Relaxed);
        let time_base = TimeBase::from_recip(NonZeroU32::MIN);
        let mut file =
            OpenFile { reader, track: 0, time_base, sample_rate: 0, codec: SoundCodec::Other, edit, duration: None };
        file.choose_track()?;
        Ok(file)
    }

    fn go_to(&mut self, target: Duration) -> Result<(), Stop> {
        let Some(file) = &mut self.file else { return Err(Stop::End) };
        let Err(error) = file.seek(target) else { return Ok(()) };
        match error {
            SymphoniaError::SeekError(SeekErrorKind::OutOfRange) => Err(self.past_the_end()),
            // A reader that only goes forward begins anew.
            SymphoniaError::SeekError(SeekErrorKind::ForwardOnly | SeekErrorKind::Unseekable) => {
                let mut file = self.open()?;
                let sought = if target.is_zero() { Ok(()) } else { file.seek(target) };
                self.file = Some(file);
                sought.map_err(|error| match error {
                    SymphoniaError::SeekError(SeekErrorKind::OutOfRange) => self.past_the_end(),
                    SymphoniaError::SeekError(_) => Stop::Failed(DecodeError::new(DecodeErrorKind::NotSeekable)),
                    error => self.stop(error),
                })
            }
            error => Err(self.stop(error)),
        }
    }

    /// The end of the stream, reached by a seek: the next seek is not measured from there.
    fn past_the_end(&mut self) -> Stop {
        self.target = None;
        Stop::End
    }

    fn stop(&self, error: SymphoniaError) -> Stop {
        match error {
            // Whatever a reader makes of the error that interrupted it.
            _ if self.bell.is_interrupted() => Stop::Interrupted,
            SymphoniaError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => Stop::End,
            SymphoniaError::IoError(error) => Stop::Failed(DecodeError::feed(error)),
            error => Stop::Failed(DecodeError::because(DecodeErrorKind::Container, error)),
        }
    }
}

impl OpenFile {
    fn choose_track(&mut self) -> Result<(), Stop> {
        let no_sound = || Stop::Failed(DecodeError::new(DecodeErrorKind::NoSound));
        let track = self.reader.default_track(TrackType::Audio).ok_or_else(no_sound)?;
        let Some(CodecParameters::Audio(params)) = &track.codec_params else { return Err(no_sound()) };
        self.track = track.id;
        self.sample_rate = params.sample_rate.unwrap_or(0);
        self.codec = SoundCodec::of_params(params);
        self.time_base = track
            .time_base
            .or_else(|| TimeBase::try_from_recip(self.sample_rate))
            .ok_or_else(|| Stop::Failed(DecodeError::new(DecodeErrorKind::Container)))?;
        let length = track.duration.map(symphonia::core::units::Duration::get).or(track.num_frames);
        let ticks = self.edit.as_ref().and_then(Edit::duration).or(length);
        self.duration = ticks.map(|ticks| self.time_of(i64::try_from(ticks).unwrap_or(i64::MAX)));
        Ok(())
    }

    fn format(&self) -> Result<Format, Stop> {
        let track = self.reader.tracks().iter().find(|track| track.id == self.track);
        match track.and_then(|track| track.codec_params.as_ref()) {
            Some(CodecParameters::Audio(params)) => Ok(Format::of_params(params)),
            _ => Err(Stop::Failed(DecodeError::new(DecodeErrorKind::NoSound))),
        }
    }

    /// Goes far enough before `target` for the codec to have settled there.
    fn seek(&mut self, target: Duration) -> Result<(), SymphoniaError> {
        let out_of_range = || SymphoniaError::SeekError(SeekErrorKind::OutOfRange);
        let shift = self.edit.as_ref().map_or(0, |edit| edit.start);
        let media = target.saturating_sub(self.codec.settling()).saturating_add(self.time_of(shift));
        let time = i64::try_from(media.as_nanos()).map(Time::from_nanos).map_err(|_| out_of_range())?;
        self.reader.seek(SeekMode::Accurate, SeekTo::Time { time, track_id: Some(self.track) }).map(drop)
    }

    /// Ticks of the track as time, from zero on.
    fn time_of(&self, ticks: i64) -> Duration {
        let ticks = u128::try_from(ticks).unwrap_or(0);
        let nanos =
            ticks * u128::from(self.time_base.numer.get()) * 1_000_000_000 / u128::from(self.time_base.denom.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn packet(&self, packet: Packet) -> CodedPacket {
        let clock = self.time_base.denom;
        let numer = self.time_base.numer.get();
        let shift = self.edit.as_ref().map_or(0, |edit| edit.start);
        let at = packet.pts.get().saturating_sub(shift);
        let ticks = packet.block_dur().get();
        let frames = |ticks: u64| {
            let ticks = i64::try_from(ticks.saturating_mul(u64::from(numer))).unwrap_or(i64::MAX);
            let rate = NonZeroU32::new(self.sample_rate).unwrap_or(clock);
            u32::try_from(Timestamp::new(ticks, clock).rescale(rate)).unwrap_or(u32::MAX)
        };
        let outside = self.edit.as_ref().map_or((0, 0), |edit| edit.outside(packet.pts.get(), ticks));
        CodedPacket {
            pts: Timestamp::new(at.saturating_mul(i64::from(numer)), clock),
            duration: ticks.saturating_mul(u64::from(numer)),
            trim: (frames(packet.trim_start.get().max(outside.0)), frames(packet.trim_end.get().max(outside.1))),
            is_duration_exact: self.edit.is_some(),
            data: Bytes::from(packet.data),
        }
    }
}

/// A source as the file that container readers want. Waits on the worker's bell.
pub(crate) struct SourceReader {
    source: Arc<dyn Source>,
    bell: Arc<Bell>,
    /// Whether container readers may read anywhere. They ask whenever they want to.
    goes_back: Arc<AtomicBool>,
    position: u64,
}

/// A wait was given up because a command came.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted by a command")]
struct Interrupted;

impl SourceReader {
    /// Waits until `ready` is, or a command comes.
    fn wait<T>(&self, mut ready: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut cx = Context::from_waker(&waker);
        loop {
            self.bell.listen();
            if self.bell.is_interrupted() {
                return Err(io::Error::other(Interrupted));
            }
            if let Poll::Ready(result) = ready(&mut cx) {
                return result;
            }
            self.bell.wait();
        }
    }
}

impl Read for SourceReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.source.read_at(self.position, buf)? {
                ReadAt::Bytes(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                ReadAt::End => return Ok(0),
                ReadAt::Pending => {
                    let wanted = self.position..self.position.saturating_add(buf.len() as u64);
                    self.wait(|cx| self.source.poll_ready(cx, wanted.clone()))?;
                }
            }
        }
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => {
                let len = self.wait(|cx| self.source.poll_len(cx))?.ok_or(StreamError::LengthUnknown)?;
                len.checked_add_signed(delta)
            }
        };
        self.position = target.ok_or(StreamError::PositionOutOfRange)?;
        Ok(self.position)
    }
}

impl MediaSource for SourceReader {
    fn is_seekable(&self) -> bool {
        self.goes_back.load(Ordering::Relaxed) && self.source.byte_len().is_some()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}

impl fmt::Debug for FileInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.file.as_ref().map(|file| file.reader.format_info().short_name);
        f.debug_struct("FileInput").field("format", &format).finish_non_exhaustive()
    }
}
