//! The demuxer: runs and units in, tracks and packets out.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::bmff::demux::BmffDemux;
use crate::clock::Clock;
use crate::error::{DemuxError, DemuxErrorKind};
use crate::frames::Framing;
use crate::output::Output;
use crate::outputs::Outputs;
use crate::packed::PackedDemux;
use crate::rope::Rope;
use crate::text::TextDemux;
use crate::track::TrackKind;
use crate::ts::demux::TsDemux;
use crate::{Container, Timestamp};

/// How a demuxer works.
#[derive(Clone, Debug)]
pub struct DemuxOptions {
    /// Which kinds of tracks are delivered. Leaving out pictures saves the memory they are put together in. Default: all.
    pub deliver: Deliver,
    /// Bytes of the largest packet, metadata tag or text document that is put together in memory; a larger one is passed over and reported as
    /// damage. Default: 16 MiB.
    pub max_packet_len: usize,
    /// Bytes of the largest `moov` or `moof` that is read; a larger one ends the run with an error. Default: 16 MiB.
    pub max_header_len: usize,
}

impl Default for DemuxOptions {
    fn default() -> Self {
        Self { deliver: Deliver::default(), max_packet_len: 16 << 20, max_header_len: 16 << 20 }
    }
}

/// Kinds of tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deliver {
    /// Sound. Default: true.
    pub audio: bool,
    /// Pictures. Default: true.
    pub video: bool,
    /// Subtitles. Default: true.
    pub text: bool,
    /// Timed metadata. Default: true.
    pub metadata: bool,
}

impl Default for Deliver {
    fn default() -> Self {
        Self { audio: true, video: true, text: true, metadata: true }
    }
}

impl Deliver {
    /// Sound and the metadata that comes with it.
    pub const SOUND: Self = Self { audio: true, video: false, text: false, metadata: true };

    pub(crate) const fn includes(self, kind: TrackKind) -> bool {
        match kind {
            TrackKind::Audio => self.audio,
            TrackKind::Video => self.video,
            TrackKind::Text => self.text,
            TrackKind::Metadata => self.metadata,
            TrackKind::Other => false,
        }
    }
}

/// What a run of units has in common.
#[derive(Clone, Debug)]
pub struct Run {
    /// The format of its units.
    pub container: Container,
    /// Its initialization section, decrypted. `None` where the units describe themselves.
    pub init: Option<Bytes>,
    /// What to add to media time to get presentation time.
    pub offset: Timestamp,
    /// About where it begins on the presentation timeline, if that is known. Tells which round of the 33-bit clock its first timestamp is of
    /// (half a round, 13 hours, is near enough), and where units without any timestamp begin.
    pub start: Option<Timestamp>,
}

impl Run {
    /// A run without an initialization section, on media time.
    #[must_use]
    pub const fn new(container: Container) -> Self {
        Self { container, init: None, offset: Timestamp::mpeg(0), start: None }
    }
}

/// Turns the bytes of units into timed packets.
///
/// Say how a run begins, push its bytes in portions of any size, say where each unit ends, and poll. What comes out does not depend on the
/// portions. Bytes are kept until they are polled, so poll until `None` after each push.
///
/// Between units of a run nothing is forgotten: a frame may begin in one and end in the next, where the container allows that.
#[derive(Debug)]
pub struct Demuxer {
    options: DemuxOptions,
    inputs: VecDeque<Input>,
    state: State,
    rope: Rope,
    outputs: Outputs,
}

#[derive(Debug)]
enum Input {
    StartRun(Run),
    Bytes(Bytes),
    EndUnit,
}

#[derive(Debug)]
enum State {
    /// No run has started, or the last one failed.
    Idle,
    Running(Parser),
    /// The run failed; the error is to be told behind what was found before it.
    Failed(DemuxError),
}

/// A parser for each family of containers.
#[derive(Debug)]
enum Parser {
    Ts(Box<TsDemux>),
    Bmff(Box<BmffDemux>),
    Packed(Box<PackedDemux>),
    Text(Box<TextDemux>),
}

/// What a step of a parser came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was taken off the rope.
    Progress,
    /// More bytes are needed.
    Starved,
}

impl Demuxer {
    /// A demuxer that waits for its first run.
    #[must_use]
    pub const fn new(options: DemuxOptions) -> Self {
        let outputs = Outputs::new(options.deliver);
        Self { options, inputs: VecDeque::new(), state: State::Idle, rope: Rope::new(), outputs }
    }

    /// A run begins; what is left of the one before is dropped.
    pub fn start_run(&mut self, run: Run) {
        self.inputs.push_back(Input::StartRun(run));
    }

    /// The next bytes of the current unit. Ignored before the first run and after an error.
    pub fn push(&mut self, bytes: Bytes) {
        self.inputs.push_back(Input::Bytes(bytes));
    }

    /// The current unit is over; the next byte pushed begins another one of the same run.
    pub fn end_unit(&mut self) {
        self.inputs.push_back(Input::EndUnit);
    }

    /// The next thing found, or `None` when more input is needed.
    ///
    /// # Errors
    ///
    /// [`DemuxError`] if the run cannot be demuxed any further; only a new run helps.
    pub fn poll(&mut self) -> Option<Result<Output, DemuxError>> {
        loop {
            if let Some(output) = self.outputs.pop() {
                return Some(Ok(output));
            }
            if let State::Failed(error) = self.state {
                self.state = State::Idle;
                return Some(Err(error));
            }
            let advanced = match self.step() {
                Ok(Step::Progress) => Ok(()),
                Ok(Step::Starved) => {
                    let input = self.inputs.pop_front()?;
                    self.take(input)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = advanced {
                self.state = State::Failed(error);
                self.rope.clear();
            }
        }
    }

    fn step(&mut self) -> Result<Step, DemuxError> {
        let (rope, out) = (&mut self.rope, &mut self.outputs);
        match &mut self.state {
            State::Idle | State::Failed(_) => Ok(Step::Starved),
            State::Running(Parser::Ts(parser)) => parser.step(rope, out),
            State::Running(Parser::Bmff(parser)) => parser.step(rope, out),
            State::Running(Parser::Packed(parser)) => Ok(parser.step(rope, out, false)),
            State::Running(Parser::Text(parser)) => Ok(parser.step(rope)),
        }
    }

    fn take(&mut self, input: Input) -> Result<(), DemuxError> {
        match (input, &mut self.state) {
            (Input::StartRun(run), _) => return self.begin(run),
            (_, State::Idle | State::Failed(_)) => {}
            (Input::Bytes(bytes), State::Running(_)) => self.rope.push(bytes),
            (Input::EndUnit, State::Running(parser)) => {
                let (rope, out) = (&mut self.rope, &mut self.outputs);
                match parser {
                    Parser::Ts(parser) => parser.end_unit(rope, out)?,
                    Parser::Bmff(parser) => parser.end_unit(rope, out),
                    Parser::Packed(parser) => parser.end_unit(rope, out),
                    Parser::Text(parser) => parser.end_unit(rope, out),
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, run: Run) -> Result<(), DemuxError> {
        self.rope.clear();
        self.outputs.start_run();
        let clock = Clock::new(run.offset, run.start);
        let parser = match run.container {
            Container::MpegTs => Parser::Ts(Box::new(TsDemux::new(clock, &self.options))),
            Container::Fmp4 => Parser::Bmff(Box::new(BmffDemux::new(clock, &self.options))),
            Container::WebVtt | Container::Ttml => Parser::Text(Box::new(TextDemux::new(
                run.container,
                clock,
                run.start,
                &self.options,
                &mut self.outputs,
            )?)),
            packed => match Framing::of(packed) {
                Some(framing) => Parser::Packed(Box::new(PackedDemux::new(
                    framing,
                    packed,
                    clock,
                    run.start,
                    &self.options,
                    &mut self.outputs,
                )?)),
                None => return Err(DemuxError::new(DemuxErrorKind::UnsupportedContainer)),
            },
        };
        self.state = State::Running(parser);
        // An initialization section is a unit in front of the others.
        if let Some(init) = run.init {
            self.inputs.push_front(Input::EndUnit);
            self.inputs.push_front(Input::Bytes(init));
        }
        Ok(())
    }
}
