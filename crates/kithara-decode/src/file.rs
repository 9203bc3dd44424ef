//! Packets out of a file, through symphonia's container readers.
//!
//! Those read a file as files are read: by calls that block. They run on the worker's thread, which is where waiting
//! belongs; a command interrupts the wait, the call fails, and the seek that follows finds its way from wherever the
//! reader was left.

use std::{
    fmt,
    io::{self, Read},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use kithara_demux::{Container, Sniff, sniff};
use kithara_stream::{RunReason, Source};
use symphonia::core::{
    errors::Error as SymphoniaError,
    formats::{FormatOptions, probe::Hint},
    io::{MediaSource, MediaSourceStream},
    meta::MetadataOptions,
};

use crate::{
    adts_blocks::{self, OneBlockPerFrame},
    edit,
    error::{DecodeError, DecodeErrorKind},
    format::Format,
    input::Found,
    open_file::{Failed, Next, OpenFile, Sought},
    source_reader::{Reach, SourceReader},
    wake::Bell,
};

/// Bytes that tell ADTS and RF64 from everything else.
const SNIFFED: u64 = 1024;

pub(crate) struct FileInput {
    source: Arc<dyn Source>,
    bell: Arc<Bell>,
    file: Option<OpenFile>,
    /// Where the reader is to go before the next packet.
    target: Option<Duration>,
    /// Where it went last.
    sought: Option<Duration>,
    /// What is to be told before the next packet, the last of it first.
    news: Vec<Found>,
    /// Nothing comes any more, until a seek.
    is_over: bool,
    /// Of the whole file, once it was opened.
    duration: Option<Duration>,
    /// Whether the source can be read anywhere. One that cannot is read from front to back.
    jumps: bool,
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
        Self {
            source,
            bell,
            file: None,
            target: None,
            sought: None,
            news: Vec::new(),
            is_over: false,
            duration: None,
            jumps: true,
        }
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration
    }

    pub(crate) fn seek(&mut self, time: Duration) {
        (self.target, self.sought) = (Some(time), Some(time));
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
            Err(Stop::Interrupted) => {
                // Left in the middle of a frame, it would count wrongly from there on.
                if self.file.as_ref().is_some_and(OpenFile::counts_frames) {
                    self.file = None;
                }
                Poll::Pending
            }
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
            self.duration = file.duration();
            self.news.push(Found::Format(self.format_of(&file)?));
            if self.target.is_none() {
                self.news.push(Found::Run { reason: RunReason::Start, discard_until: None });
            }
            self.file = Some(file);
        }
        if let Some(target) = self.target {
            self.go_to(target)?;
            self.target = None;
            self.begin(RunReason::Seek, None)?;
        }
        if let Some(news) = self.news.pop() {
            return Ok(news);
        }
        let Some(file) = &mut self.file else { return Err(Stop::End) };
        let next = file.next();
        self.duration = file.duration();
        let base = file.base();
        match next {
            Ok(Some(Next::Packet(packet))) => Ok(Found::Packet(packet)),
            Ok(Some(Next::Link)) => {
                // On the way to the target of a seek, the target still holds.
                match self.sought.filter(|sought| *sought > base) {
                    Some(sought) => self.begin(RunReason::Seek, Some(sought))?,
                    None => self.begin(RunReason::Discontinuity, None)?,
                }
                self.news.pop().ok_or(Stop::End)
            }
            Ok(None) => {
                self.duration = file.duration_at_end();
                Err(Stop::End)
            }
            Err(error) => Err(self.stop(error)),
        }
    }

    /// What was found before is forgotten; what comes is told first, the format as well.
    fn begin(&mut self, reason: RunReason, discard_until: Option<Duration>) -> Result<(), Stop> {
        let Some(file) = &self.file else { return Err(Stop::End) };
        let format = self.format_of(file)?;
        self.news = vec![Found::Format(format), Found::Run { reason, discard_until }];
        Ok(())
    }

    fn format_of(&self, file: &OpenFile) -> Result<Format, Stop> {
        file.format().map_err(|error| self.stop(error))
    }

    fn open(&mut self) -> Result<OpenFile, Stop> {
        let reach = Arc::new(Reach::default());
        match self.open_with(&reach) {
            // Some readers look at the end of a file first. This one must be read as it comes.
            Err(Stop::Failed(_)) if self.jumps && reach.was_refused.load(Ordering::Relaxed) => {
                self.jumps = false;
                self.open_with(&reach)
            }
            opened => opened,
        }
    }

    fn open_with(&self, reach: &Arc<Reach>) -> Result<OpenFile, Stop> {
        let reader = || SourceReader::new(Arc::clone(&self.source), Arc::clone(&self.bell), Arc::clone(reach));
        reach.goes_back.store(self.jumps, Ordering::Relaxed);
        let mut head = Vec::new();
        reader().take(SNIFFED).read_to_end(&mut head).map_err(|error| self.stop(error))?;
        reach.is_rf64.store(head.starts_with(b"RF64"), Ordering::Relaxed);
        let told = edit::read(&mut reader()).map_err(|error| self.stop(error))?;
        // The reader of ADTS would guess the duration from places all over the file, each of them a request.
        let guesses = sniff(&head, true) == Sniff::Media(Container::Adts);
        reach.goes_back.store(self.jumps && !guesses, Ordering::Relaxed);
        let file: Box<dyn MediaSource> =
            if adts_blocks::are_in(&head) { Box::new(OneBlockPerFrame::new(reader())) } else { Box::new(reader()) };
        let stream = MediaSourceStream::new(file, Default::default());
        let options = (FormatOptions::default(), MetadataOptions::default());
        let reader = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, options.0, options.1)
            .map_err(|error| self.stop(error))?;
        reach.goes_back.store(self.jumps, Ordering::Relaxed);
        OpenFile::new(reader, told).map_err(|error| self.stop(error))
    }

    fn go_to(&mut self, target: Duration) -> Result<(), Stop> {
        let Some(file) = &mut self.file else { return Err(Stop::End) };
        let sought = file.seek(target);
        match sought.map_err(|error| self.stop(error))? {
            Sought::There => Ok(()),
            Sought::PastTheEnd => Err(self.past_the_end()),
            // A reader that only goes forward begins anew.
            Sought::Behind => {
                let mut file = self.open()?;
                let sought = if target.is_zero() { Ok(Sought::There) } else { file.seek(target) };
                self.file = Some(file);
                match sought.map_err(|error| self.stop(error))? {
                    Sought::There => Ok(()),
                    Sought::PastTheEnd => Err(self.past_the_end()),
                    Sought::Behind => Err(Stop::Failed(DecodeError::new(DecodeErrorKind::NotSeekable))),
                }
            }
        }
    }

    /// The end of the stream, reached by a seek: the next seek is not measured from there.
    fn past_the_end(&mut self) -> Stop {
        self.target = None;
        Stop::End
    }

    fn stop(&self, error: impl Into<Failed>) -> Stop {
        match error.into() {
            // Whatever a reader makes of the error that interrupted it.
            _ if self.bell.is_interrupted() => Stop::Interrupted,
            Failed::Reader(SymphoniaError::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Stop::End,
            Failed::Reader(SymphoniaError::IoError(error)) => Stop::Failed(DecodeError::feed(error)),
            Failed::Reader(error) => Stop::Failed(DecodeError::because(DecodeErrorKind::Container, error)),
            Failed::Decode(error) => Stop::Failed(error),
        }
    }
}

impl fmt::Debug for FileInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.file.as_ref().map(OpenFile::short_name);
        f.debug_struct("FileInput").field("format", &format).finish_non_exhaustive()
    }
}
