//! The wait-free way from the worker to the reader: samples, and marks that say what changes in front of which sample.

use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::PcmSpec;

/// Marks that may wait in the ring. One is written for each boundary, not for each block.
const MARKS: usize = 64;

/// Something that happens in front of a sample. `Copy`, so that taking it out frees no memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// Samples are in this format from here on.
    Spec(PcmSpec),
    /// The next sample is presented at this time, and belongs to the seek of this number.
    Time { epoch: u64, at: Duration },
    /// The stream ends here.
    End { epoch: u64 },
    /// It fails here; the error lies elsewhere.
    Failed { epoch: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    /// Samples in front of it since the ring was made.
    at: u64,
    mark: Mark,
}

#[derive(Debug)]
pub(crate) struct RingWriter {
    samples: Producer<f32>,
    marks: Producer<Placed>,
    written: u64,
}

#[derive(Debug)]
pub(crate) struct RingReader {
    samples: Consumer<f32>,
    marks: Consumer<Placed>,
    read: u64,
}

/// What stands at the front of the ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Front {
    Mark(Mark),
    /// So many samples, then a mark or nothing yet.
    Samples(usize),
    Nothing,
}

pub(crate) fn ring(capacity: usize) -> (RingWriter, RingReader) {
    let (samples, taken) = RingBuffer::new(capacity);
    let (marks, seen) = RingBuffer::new(MARKS);
    (RingWriter { samples, marks, written: 0 }, RingReader { samples: taken, marks: seen, read: 0 })
}

impl RingWriter {
    /// Writes a mark in front of the next sample; `false` if there is no room for it now.
    pub(crate) fn mark(&mut self, mark: Mark) -> bool {
        self.marks.push(Placed { at: self.written, mark }).is_ok()
    }

    /// Writes as many of `samples` as there is room for, in whole frames, and says how many.
    pub(crate) fn push(&mut self, samples: &[f32], width: usize) -> usize {
        let room = self.samples.slots().min(samples.len());
        let count = room - room % width;
        let (_, rest) = self.samples.push_partial_slice(&samples[..count]);
        let count = count - rest.len();
        self.written += count as u64;
        count
    }

    pub(crate) fn has_room_for_mark(&self) -> bool {
        self.marks.slots() > 0
    }

    pub(crate) fn filled(&self) -> usize {
        self.capacity() - self.samples.slots()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.samples.buffer().capacity()
    }

    /// Whether the reader is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.samples.is_abandoned()
    }
}

impl RingReader {
    /// What comes next.
    pub(crate) fn front(&self) -> Front {
        // Samples are counted before marks are looked at: a mark is written before the samples behind it, so every mark
        // among the counted samples is seen.
        let ready = self.samples.slots();
        let Ok(placed) = self.marks.peek() else {
            return if ready > 0 { Front::Samples(ready) } else { Front::Nothing };
        };
        match placed.at - self.read {
            0 => Front::Mark(placed.mark),
            before if ready > 0 => Front::Samples(usize::try_from(before).map_or(ready, |before| before.min(ready))),
            _ => Front::Nothing,
        }
    }

    /// Takes the mark at the front.
    pub(crate) fn take_mark(&mut self) {
        // Called behind a `front` that saw one.
        let _ = self.marks.pop();
    }

    /// Copies samples out; as many as `out` holds must be at the front.
    pub(crate) fn copy(&mut self, out: &mut [f32]) {
        let (taken, _) = self.samples.pop_partial_slice(out);
        self.read += taken.len() as u64;
    }

    /// Drops samples; so many must be at the front.
    pub(crate) fn skip(&mut self, count: usize) {
        if let Ok(chunk) = self.samples.read_chunk(count) {
            chunk.commit_all();
            self.read += count as u64;
        }
    }

    pub(crate) fn filled(&self) -> usize {
        self.samples.slots()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.samples.buffer().capacity()
    }

    /// Whether the writer is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.samples.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_between_the_samples_they_were_written_between() {
        let (mut writer, mut reader) = ring(8);
        let start = Mark::Time { epoch: 0, at: Duration::ZERO };
        let end = Mark::End { epoch: 0 };
        assert_eq!(reader.front(), Front::Nothing);
        assert!(writer.mark(start));
        assert_eq!(writer.push(&[1.0, 2.0, 3.0], 1), 3);
        assert!(writer.mark(end));
        assert_eq!(writer.push(&[4.0; 9], 2), 4);
        assert_eq!(reader.front(), Front::Mark(start));
        reader.take_mark();
        assert_eq!(reader.front(), Front::Samples(3));
        let mut out = [0.0; 2];
        reader.copy(&mut out);
        assert_eq!((out, reader.front()), ([1.0, 2.0], Front::Samples(1)));
        reader.skip(1);
        assert_eq!(reader.front(), Front::Mark(end));
        reader.take_mark();
        assert_eq!(reader.front(), Front::Samples(4));
    }

    #[test]
    fn marks_beyond_the_ring_are_refused_not_lost() {
        let (mut writer, mut reader) = ring(8);
        let mark = Mark::End { epoch: 0 };
        assert_eq!((0..100).filter(|_| writer.mark(mark)).count(), MARKS);
        reader.take_mark();
        assert!(writer.mark(mark));
    }

    #[test]
    fn both_ends_notice_that_the_other_is_gone() {
        let (writer, reader) = ring(8);
        assert!(!reader.is_abandoned());
        drop(writer);
        assert!(reader.is_abandoned());
        let (writer, reader) = ring(8);
        drop(reader);
        assert!(writer.is_abandoned());
    }
}
