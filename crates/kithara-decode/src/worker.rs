//! The thread that decodes ahead of the reader.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    DecodeError, Event, PcmSpec,
    decoder::{Decoder, Tally},
    output::Piece,
    ring::{Mark, RingWriter},
    shared::Shared,
};

pub(crate) struct Worker {
    decoder: Decoder,
    ring: RingWriter,
    shared: Arc<Shared>,
    /// The seek that is being played.
    epoch: u64,
    /// Where the epoch begins, until something of it came out.
    origin: Option<Duration>,
    /// Format the reader knows of.
    spec: Option<PcmSpec>,
    /// What is to be written before anything else.
    marks: VecDeque<Mark>,
    /// The piece being written, and how many of its samples were.
    piece: Option<(Piece, usize)>,
    /// The stream ended or failed; only a seek goes on.
    is_done: bool,
    told: Tally,
    told_duration: Option<Duration>,
    told_underruns: u64,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Progress,
    /// Nothing can be done until the bell rings.
    Idle,
}

impl Worker {
    /// `spec` is the format the reader was promised.
    pub(crate) fn new(decoder: Decoder, ring: RingWriter, shared: Arc<Shared>, spec: Option<PcmSpec>) -> Self {
        Self {
            decoder,
            ring,
            shared,
            epoch: 0,
            origin: Some(Duration::ZERO),
            spec,
            marks: VecDeque::new(),
            piece: None,
            is_done: false,
            told: Tally::default(),
            told_duration: None,
            told_underruns: 0,
        }
    }

    /// Works until the reader is gone.
    pub(crate) fn run(mut self) {
        let bell = Arc::clone(&self.shared.bell);
        let waker = Waker::from(Arc::clone(&bell));
        let mut cx = Context::from_waker(&waker);
        bell.attach();
        loop {
            bell.listen();
            if self.shared.is_closed() || self.ring.is_abandoned() {
                return;
            }
            if bell.is_interrupted()
                && let Some((epoch, time)) = self.shared.take_seek()
            {
                self.seek(epoch, time);
            }
            if self.step(&mut cx) == Step::Idle {
                self.report();
                self.shared.news.publish();
                // A file reader that waited inside has heard the ring of the command that interrupted it.
                if !bell.is_interrupted() {
                    bell.wait();
                }
            }
        }
    }

    fn seek(&mut self, epoch: u64, time: Duration) {
        self.decoder.seek(time);
        (self.epoch, self.origin) = (epoch, Some(time));
        self.piece = None;
        self.is_done = false;
        // A format the reader has not been told of yet still holds for what comes.
        self.marks.retain(|mark| matches!(mark, Mark::Spec(_)));
        self.shared.tell(Event::Sought { to: time });
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        while let Some(mark) = self.marks.front() {
            if !self.ring.mark(*mark) {
                return self.want_room(RingWriter::has_room_for_mark);
            }
            self.marks.pop_front();
        }
        if self.piece.is_some() {
            return self.write();
        }
        if self.is_done {
            return Step::Idle;
        }
        let decoded = self.decoder.poll(cx);
        for found in self.decoder.take_metadata() {
            self.shared.tell(Event::Metadata(found));
        }
        match decoded {
            Poll::Pending => return Step::Idle,
            Poll::Ready(Ok(Some(piece))) => self.begin(piece),
            Poll::Ready(Ok(None)) => self.finish(Mark::End { epoch: self.epoch }, Event::Ended),
            Poll::Ready(Err(error)) => self.fail(error),
        }
        Step::Progress
    }

    fn begin(&mut self, piece: Piece) {
        if self.spec != Some(piece.spec) {
            self.spec = Some(piece.spec);
            self.shared.set_spec(piece.spec);
            self.marks.push_back(Mark::Spec(piece.spec));
        }
        if let Some(at) = piece.at.or(self.origin) {
            self.origin = None;
            self.marks.push_back(Mark::Time { epoch: self.epoch, at });
        }
        self.piece = Some((piece, 0));
        self.report();
    }

    fn write(&mut self) -> Step {
        let Some((piece, written)) = &mut self.piece else { return Step::Progress };
        let samples = self.decoder.samples(piece);
        let is_first = self.ring.filled() == 0;
        *written += self.ring.push(&samples[*written..], piece.spec.width());
        let filled = self.ring.filled();
        self.shared.buffered.store(filled as u64, Ordering::Relaxed);
        // Readers that block are woken for the first sound and then for a good portion, not for each packet.
        if is_first || filled >= self.ring.capacity() / 4 {
            self.shared.news.publish();
        }
        let is_written = *written == samples.len();
        self.decoder.played_to(self.shared.position());
        if !is_written {
            return self.want_room(|ring| ring.filled() <= ring.capacity() / 2);
        }
        self.piece = None;
        Step::Progress
    }

    /// Asks the reader to ring when there is room, unless there is some now.
    fn want_room(&self, has_room: impl Fn(&RingWriter) -> bool) -> Step {
        self.shared.wants_room.store(true, Ordering::SeqCst);
        // Pairs with the fence of the reader: either it sees the wish, or we see the room it made.
        fence(Ordering::SeqCst);
        if has_room(&self.ring) { Step::Progress } else { Step::Idle }
    }

    fn finish(&mut self, mark: Mark, event: Event) {
        if let Some(at) = self.origin.take() {
            self.marks.push_back(Mark::Time { epoch: self.epoch, at });
        }
        self.marks.push_back(mark);
        self.is_done = true;
        self.shared.tell(event);
    }

    fn fail(&mut self, error: DecodeError) {
        tracing::warn!(error = &error as &dyn std::error::Error, "decoding failed");
        self.shared.fail(error.clone());
        self.finish(Mark::Failed { epoch: self.epoch }, Event::Failed(error));
    }

    /// Tells what happened since the last report.
    fn report(&mut self) {
        let tally = self.decoder.tally();
        let underruns = self.shared.underruns.load(Ordering::Relaxed);
        if underruns != self.told_underruns {
            self.told_underruns = underruns;
            self.shared.tell(Event::Starved { at: self.shared.position() });
        }
        let duration = self.decoder.duration();
        if tally == self.told && duration == self.told_duration {
            return;
        }
        if let Some(codec) = tally.codec.filter(|_| tally.decoders != self.told.decoders) {
            self.shared.tell(Event::DecoderMade { codec });
        }
        if let Some(spec) = tally.decoded.filter(|spec| self.told.decoded != Some(*spec)) {
            self.shared.tell(Event::SpecDecoded { spec });
        }
        if tally.damaged != self.told.damaged {
            self.shared.tell(Event::Damaged { packets: tally.damaged - self.told.damaged });
        }
        self.shared.set_tally(tally, duration);
        (self.told, self.told_duration) = (tally, duration);
    }
}

/// Said when everything of the worker is gone, also after a panic: readers look again and find the ring abandoned.
pub(crate) struct LastWord(pub(crate) Arc<Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.news.publish();
    }
}
