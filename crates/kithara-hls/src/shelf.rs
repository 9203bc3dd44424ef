//! Where the driver puts unit bodies and readers find them.
//!
//! The driver writes: bodies, places, lengths, failures. Readers write their own cursor and read the rest. Everything is
//! behind one lock that is held for a few map lookups and never while bytes are copied or a waker runs.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use kithara_hls_core::session::{Demand, MediaId, ReaderId, UnitKey};
use kithara_stream::{ChunkAt, ReadAt, Source, StreamError, UnitBody};
use tokio::sync::Notify;

use crate::{delivery::Memory, error::HlsError};

/// Bytes read in sequence after a jump at which the driver is told at once.
const TELL_AFTER: u64 = 64 * 1024;

/// Units entered that a driver that is late hears of one by one; of more, it hears of the last.
const KEPT: usize = 64;

/// A unit this large is let go behind the reader while it is still being read...
const LARGE: u64 = 2 << 20;

/// ... but for so much, which a demuxer may look at again, and once so much was read in sequence.
const BEHIND: u64 = 1 << 20;

/// Bodies by unit, and where they stand in the flat views.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    inner: Mutex<Inner>,
    /// Told when a reader wants something: the driver waits here.
    pub(crate) demands: Notify,
    /// What the deliveries of the session showed of its streams.
    pub(crate) memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Inner {
    bodies: HashMap<UnitKey, UnitBody>,
    places: HashMap<MediaId, BTreeMap<u64, UnitKey>>,
    lens: HashMap<MediaId, u64>,
    cursors: BTreeMap<ReaderId, Cursor>,
    lost: Vec<UnitKey>,
    next_reader: u64,
    over: Option<HlsError>,
}

/// One reader, as it last was.
#[derive(Debug, Default)]
struct Cursor {
    media: Option<MediaId>,
    at: u64,
    /// Where it last jumped to.
    jumped_to: u64,
    /// The unit it reads, by a handle of its own; none after a jump.
    unit: Option<(UnitKey, UnitBody)>,
    /// What the driver has not heard yet.
    says: Vec<Said>,
    /// The place the driver heard of last.
    heard_at: Option<u64>,
    refused: Option<Refusal>,
    /// Whether it waits for the length of the whole.
    asks_len: bool,
    waiters: Vec<Waiter>,
    told_reading_on: bool,
    ended: bool,
}

/// Somebody who waits on a reader's handle.
#[derive(Debug)]
struct Waiter {
    /// The place whose bytes it waits for; none for whoever waits for something else.
    at: Option<u64>,
    waker: Waker,
}

/// What the driver says to a demand that cannot be met.
#[derive(Debug)]
struct Refusal {
    /// The place it is about: a reader that has left it meanwhile is not concerned.
    at: Option<u64>,
    error: HlsError,
}

/// A word for the driver.
#[derive(Debug)]
struct Said {
    demand: Demand,
    /// Whether it is news even when a newer word follows: that a unit was entered, or the end reached.
    kept: bool,
}

/// What a look at the shelf finds.
enum Found {
    Body {
        unit: UnitKey,
        body: UnitBody,
        within: u64,
    },
    /// The reader has read a unit up to where the next one begins, and that unit is not known to be whole yet.
    Unfinished {
        unit: UnitKey,
        body: UnitBody,
    },
    Pending,
    End,
}

impl Shelf {
    /// A new cursor; the driver hears of it by `open`.
    pub(crate) fn register(&self, open: Demand) -> ReaderId {
        let mut inner = self.lock();
        inner.next_reader += 1;
        let reader = ReaderId(inner.next_reader);
        inner.cursors.insert(reader, Cursor { says: vec![Said { demand: open, kept: true }], ..Cursor::default() });
        drop(inner);
        self.demands.notify_one();
        reader
    }

    /// The reader is gone.
    pub(crate) fn unregister(&self, reader: ReaderId) {
        let mut inner = self.lock();
        if let Some(cursor) = inner.cursors.get_mut(&reader) {
            // Where it has been is still told; what it stood before is wanted no more.
            cursor.says.retain(|said| said.kept);
            cursor.says.push(Said { demand: Demand::Close, kept: true });
        }
        drop(inner);
        self.demands.notify_one();
    }

    /// Says something for a reader that is not about bytes.
    pub(crate) fn say(&self, reader: ReaderId, demand: Demand) {
        let mut inner = self.lock();
        if let Some(cursor) = inner.cursors.get_mut(&reader) {
            cursor.say(demand);
        }
        drop(inner);
        self.demands.notify_one();
    }

    /// Everything readers said since the last call, and units whose bytes they found to be gone.
    pub(crate) fn take_demands(&self) -> (Vec<(ReaderId, Demand)>, Vec<UnitKey>) {
        let mut inner = self.lock();
        let mut said = Vec::new();
        for (reader, cursor) in &mut inner.cursors {
            for Said { demand, .. } in cursor.says.drain(..) {
                if let Demand::At { offset, .. } = demand {
                    cursor.heard_at = Some(offset);
                }
                said.push((*reader, demand));
            }
        }
        let closed = said.iter().filter(|(_, demand)| *demand == Demand::Close);
        let gone: Vec<Cursor> = closed.filter_map(|(reader, _)| inner.cursors.remove(reader)).collect();
        let lost = std::mem::take(&mut inner.lost);
        drop(inner);
        drop(gone);
        (said, lost)
    }

    /// Why the session is over, if it is.
    pub(crate) fn over(&self) -> Option<HlsError> {
        self.lock().over.clone()
    }

    /// The stream a reader reads, once it has been given one.
    pub(crate) fn media(&self, reader: ReaderId) -> Option<MediaId> {
        self.lock().cursors.get(&reader)?.media
    }

    /// The length of a reader's flat view.
    pub(crate) fn len(&self, reader: ReaderId) -> Option<u64> {
        let inner = self.lock();
        let media = inner.cursors.get(&reader)?.media?;
        inner.lens.get(&media).copied()
    }

    /// Waits for the length of a reader's flat view.
    pub(crate) fn poll_len(&self, reader: ReaderId, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        let mut inner = self.lock();
        if let Some(len) = inner.cursors.get(&reader).and_then(|cursor| inner.lens.get(&cursor.media?)) {
            return Poll::Ready(Ok(Some(*len)));
        }
        if let Some(over) = &inner.over {
            return Poll::Ready(Err(over.clone().into()));
        }
        let Some(cursor) = inner.cursors.get_mut(&reader) else { return Poll::Ready(Ok(None)) };
        if !std::mem::replace(&mut cursor.asks_len, true) {
            // About an earlier question.
            cursor.refused = None;
        }
        if let Some(refusal) = cursor.refused.take() {
            cursor.asks_len = false;
            return Poll::Ready(Err(refusal.error.into()));
        }
        cursor.say(Demand::Length);
        cursor.wait(cx, None);
        drop(inner);
        self.demands.notify_one();
        Poll::Pending
    }

    /// Whether a reader has been given its stream.
    pub(crate) fn poll_attached(&self, reader: ReaderId, cx: &mut Context<'_>) -> Poll<Result<MediaId, HlsError>> {
        let mut inner = self.lock();
        let over = inner.over.clone();
        let Some(cursor) = inner.cursors.get_mut(&reader) else { return Poll::Ready(Err(HlsError::Closed)) };
        if let Some(media) = cursor.media {
            return Poll::Ready(Ok(media));
        }
        if let Some(error) = over.or_else(|| Some(cursor.refused.take()?.error)) {
            return Poll::Ready(Err(error));
        }
        cursor.wait(cx, None);
        Poll::Pending
    }

    /// Copies bytes at `offset`.
    pub(crate) fn read_at(&self, reader: ReaderId, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        if buf.is_empty() {
            return Ok(ReadAt::Bytes(0));
        }
        match self.find(reader, offset)? {
            Found::Pending => Ok(ReadAt::Pending),
            Found::End => Ok(ReadAt::End),
            Found::Unfinished { unit, body } => self.end_of(reader, offset, unit, &body).map(|()| ReadAt::Pending),
            Found::Body { unit, body, within } => match body.read_at(within, buf) {
                Ok(ReadAt::Bytes(count)) => {
                    self.passed(reader, offset, count as u64, &body, within);
                    Ok(ReadAt::Bytes(count))
                }
                Ok(ReadAt::Pending) => self.pending(reader, offset).map(|()| ReadAt::Pending),
                // The body ended and the next piece is not placed yet.
                Ok(ReadAt::End) => self.pending(reader, offset).map(|()| ReadAt::Pending),
                Err(error) => self.lost(reader, offset, unit, &body, error).map(|()| ReadAt::Pending),
            },
        }
    }

    /// Shares the chunk that holds the byte at `offset`, without a copy.
    pub(crate) fn chunk_at(&self, reader: ReaderId, offset: u64) -> io::Result<ChunkAt> {
        match self.find(reader, offset)? {
            Found::Pending => Ok(ChunkAt::Pending),
            Found::End => Ok(ChunkAt::End),
            Found::Unfinished { unit, body } => self.end_of(reader, offset, unit, &body).map(|()| ChunkAt::Pending),
            Found::Body { unit, body, within } => match body.chunk_at(within) {
                Ok(ChunkAt::Bytes(bytes)) => {
                    self.passed(reader, offset, bytes.len() as u64, &body, within);
                    Ok(ChunkAt::Bytes(bytes))
                }
                Ok(ChunkAt::Pending | ChunkAt::End) => self.pending(reader, offset).map(|()| ChunkAt::Pending),
                Err(error) => self.lost(reader, offset, unit, &body, error).map(|()| ChunkAt::Pending),
            },
        }
    }

    /// Whether a read at `offset` would find something.
    pub(crate) fn poll_ready(&self, reader: ReaderId, cx: &mut Context<'_>, offset: u64) -> Poll<io::Result<()>> {
        // The waker stands before the look: what changes after the look wakes it.
        if let Some(cursor) = self.lock().cursors.get_mut(&reader) {
            cursor.wait(cx, Some(offset));
        }
        let ready = self.look(reader, cx, offset);
        if ready.is_ready()
            && let Some(cursor) = self.lock().cursors.get_mut(&reader)
        {
            cursor.wait_no_more(cx, offset);
        }
        ready
    }

    fn look(&self, reader: ReaderId, cx: &mut Context<'_>, offset: u64) -> Poll<io::Result<()>> {
        loop {
            let (unit, body, within, unfinished) = match self.find(reader, offset)? {
                Found::End => return Poll::Ready(Ok(())),
                Found::Pending => return Poll::Pending,
                Found::Unfinished { unit, body } => {
                    let end = body.len();
                    (unit, body, end, true)
                }
                Found::Body { unit, body, within } => match body.chunk_at(within) {
                    Ok(ChunkAt::Bytes(_)) => return Poll::Ready(Ok(())),
                    Ok(ChunkAt::Pending) => {
                        self.pending(reader, offset)?;
                        (unit, body, within, false)
                    }
                    // The body ended and the next piece is not placed yet.
                    Ok(ChunkAt::End) => {
                        self.pending(reader, offset)?;
                        return Poll::Pending;
                    }
                    Err(error) => {
                        self.lost(reader, offset, unit, &body, error)?;
                        return Poll::Pending;
                    }
                },
            };
            if body.poll_ready(cx, within..within + 1).is_pending() {
                return Poll::Pending;
            }
            // It grew or ended since it was looked at, which need not be an answer: it is looked at again.
            if unfinished {
                self.end_of(reader, offset, unit, &body)?;
            }
        }
    }

    fn find(&self, reader: ReaderId, offset: u64) -> io::Result<Found> {
        // Dropped behind the lock: with its last reader a body may give up megabytes.
        let mut left = None;
        let mut inner = self.lock();
        let Inner { bodies, places, lens, cursors, over, .. } = &mut *inner;
        let Some(cursor) = cursors.get_mut(&reader) else { return Err(HlsError::Closed.into()) };
        let moved = cursor.move_to(offset, &mut left);
        if let Some(refusal) = cursor.refused.take_if(|refusal| refusal.at.is_none_or(|at| at == offset)) {
            let waiting = cursor.take_turns(offset);
            drop(inner);
            waiting.into_iter().for_each(Waker::wake);
            return Err(refusal.error.into());
        }
        if let Some(media) = cursor.media {
            let place = places.get(&media).and_then(|places| places.range(..=offset).next_back());
            let at_end = lens.get(&media).is_some_and(|len| offset >= *len);
            if let Some((before, _)) = cursor.unit
                && (at_end || place.is_some_and(|(_, unit)| *unit != before))
                && let Some(body) = bodies.get(&before).filter(|body| !body.is_finished())
            {
                return Ok(Found::Unfinished { unit: before, body: body.clone() });
            }
            if at_end {
                if !std::mem::replace(&mut cursor.ended, true) {
                    cursor.tell_end();
                    self.demands.notify_one();
                }
                return Ok(Found::End);
            }
            cursor.ended = false;
            if let Some((start, unit)) = place
                && let Some(body) = bodies.get(unit)
                && !(body.is_finished() && offset - start >= body.len())
            {
                let unit = *unit;
                let (body, entered) = cursor.enter(unit, body, &mut left);
                if entered || moved || cursor.begins_to_read_on() {
                    cursor.tell_position();
                    cursor.keep_last(entered);
                    self.demands.notify_one();
                }
                return Ok(Found::Body { unit, body, within: offset - start });
            }
        }
        if let Some(over) = over {
            return Err(over.clone().into());
        }
        cursor.tell_position();
        self.demands.notify_one();
        Ok(Found::Pending)
    }

    /// A reader stands before bytes that are not there yet.
    fn pending(&self, reader: ReaderId, offset: u64) -> io::Result<()> {
        let mut left = None;
        let mut inner = self.lock();
        if let Some(over) = &inner.over {
            return Err(over.clone().into());
        }
        if let Some(cursor) = inner.cursors.get_mut(&reader) {
            cursor.move_to(offset, &mut left);
            cursor.tell_position();
        }
        drop(inner);
        self.demands.notify_one();
        Ok(())
    }

    /// Lengths may be known before the bytes: only a unit that turns out to be whole is passed.
    fn end_of(&self, reader: ReaderId, offset: u64, unit: UnitKey, body: &UnitBody) -> io::Result<()> {
        match body.chunk_at(body.len()) {
            Ok(_) => Ok(()),
            Err(error) => self.lost(reader, offset, unit, body, error),
        }
    }

    /// A read of `body` failed: bytes that were let go are asked for again, everything else is an error.
    fn lost(&self, reader: ReaderId, offset: u64, unit: UnitKey, body: &UnitBody, error: io::Error) -> io::Result<()> {
        let gone = matches!(StreamError::of(&error), Some(StreamError::Released | StreamError::Abandoned));
        if !gone {
            return Err(error);
        }
        let mut inner = self.lock();
        // Another reader may have found it gone before, and what is there now is new.
        if inner.bodies.get(&unit).is_some_and(|it| it.is_same(body)) {
            inner.bodies.remove(&unit);
            inner.lost.push(unit);
        }
        drop(inner);
        self.pending(reader, offset)
    }

    /// A reader took `count` bytes at `offset`, `within` bytes into `body`: large units are let go behind it.
    fn passed(&self, reader: ReaderId, offset: u64, count: u64, body: &UnitBody, within: u64) {
        let mut inner = self.lock();
        let (mut waiting, mut reads_on) = (Vec::new(), false);
        if let Some(cursor) = inner.cursors.get_mut(&reader) {
            waiting = cursor.take_turns(offset);
            // Another thread may stand elsewhere meanwhile.
            if cursor.at == offset {
                cursor.at += count;
                reads_on = cursor.at - cursor.jumped_to > BEHIND;
            }
        }
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
        if body.len() > LARGE && reads_on {
            body.release((within + count).saturating_sub(BEHIND));
        }
    }

    // What the driver does.

    /// Puts a body on the shelf.
    pub(crate) fn put(&self, unit: UnitKey, body: UnitBody) {
        let mut inner = self.lock();
        inner.bodies.insert(unit, body);
        let wakers = inner.all_wakers();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes a body off the shelf. Whoever holds it keeps it.
    pub(crate) fn remove(&self, unit: UnitKey) {
        // Dropped outside the lock: a body may be megabytes.
        let _body = self.lock().bodies.remove(&unit);
    }

    /// In the flat view of `media`, `unit` begins at `offset`.
    pub(crate) fn place(&self, media: MediaId, unit: UnitKey, offset: u64) {
        let mut inner = self.lock();
        inner.places.entry(media).or_default().insert(offset, unit);
        let wakers = inner.all_wakers();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// In the flat view of `media`, nothing before `offset` can be read any more.
    pub(crate) fn displace(&self, media: MediaId, offset: u64) {
        let mut inner = self.lock();
        if let Some(places) = inner.places.get_mut(&media) {
            *places = places.split_off(&offset);
        }
    }

    /// The flat view of `media` has `len` bytes.
    pub(crate) fn set_len(&self, media: MediaId, len: u64) {
        let mut inner = self.lock();
        inner.lens.insert(media, len);
        let wakers = inner.all_wakers();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A reader reads `media`.
    pub(crate) fn attach(&self, reader: ReaderId, media: MediaId) {
        self.with_cursor(reader, |cursor| cursor.media = Some(media));
    }

    /// What a reader asked for cannot be done.
    pub(crate) fn refuse(&self, reader: ReaderId, error: HlsError) {
        self.with_cursor(reader, |cursor| cursor.refused = Some(Refusal { at: cursor.heard_at, error }));
    }

    /// The session is over: what is on the shelf can still be read, nothing will be added.
    pub(crate) fn close(&self, error: HlsError) {
        let mut inner = self.lock();
        inner.over.get_or_insert(error);
        let wakers = inner.all_wakers();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn with_cursor(&self, reader: ReaderId, change: impl FnOnce(&mut Cursor)) {
        let mut inner = self.lock();
        let Some(cursor) = inner.cursors.get_mut(&reader) else { return };
        change(cursor);
        let wakers = cursor.take_wakers();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held: poison carries no news.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn all_wakers(&mut self) -> Vec<Waker> {
        self.cursors.values_mut().flat_map(Cursor::take_wakers).collect()
    }
}

impl Cursor {
    /// Moves, and says whether that was a jump. The unit it left by that goes to `left`.
    fn move_to(&mut self, offset: u64, left: &mut Option<(UnitKey, UnitBody)>) -> bool {
        if self.at == offset {
            return false;
        }
        self.at = offset;
        self.jumped_to = offset;
        *left = self.unit.take();
        self.refused = None;
        self.told_reading_on = false;
        true
    }

    /// Its handle on the unit it reads, and whether it has just come to that. The one it came from goes to `left`.
    fn enter(&mut self, unit: UnitKey, body: &UnitBody, left: &mut Option<(UnitKey, UnitBody)>) -> (UnitBody, bool) {
        let before = self.unit.as_ref().map(|(unit, _)| *unit);
        // One that comes again is another body.
        let stays = self.unit.as_ref().filter(|(at, handle)| *at == unit && handle.is_same(body));
        let handle = stays.map_or_else(|| body.reader(), |(_, handle)| handle.clone());
        *left = self.unit.replace((unit, handle.clone())).or(left.take());
        (handle, before != Some(unit))
    }

    /// Whether it has just read far enough after a jump for read-ahead to pay.
    fn begins_to_read_on(&mut self) -> bool {
        let enough = self.at - self.jumped_to >= TELL_AFTER;
        enough && !std::mem::replace(&mut self.told_reading_on, true)
    }

    fn tell_position(&mut self) {
        self.say(Demand::At { offset: self.at, in_sequence: self.at.saturating_sub(self.jumped_to) });
    }

    /// Beside what else it says: another thread may wait for bytes.
    fn tell_end(&mut self) {
        let at = Demand::At { offset: self.at, in_sequence: self.at.saturating_sub(self.jumped_to) };
        if self.says.len() < KEPT {
            self.says.push(Said { demand: at, kept: true });
        }
    }

    /// A newer word of the same kind takes the place of the older one, so that a driver that is late finds few.
    fn say(&mut self, demand: Demand) {
        if self.says.iter().any(|said| said.demand == Demand::Close) {
            return;
        }
        let kind = std::mem::discriminant(&demand);
        self.says.retain(|said| said.kept || std::mem::discriminant(&said.demand) != kind);
        self.says.push(Said { demand, kept: false });
    }

    /// Lets the last word stand beside newer ones of its kind.
    fn keep_last(&mut self, keep: bool) {
        let room = self.says.len() < KEPT;
        if let Some(last) = self.says.last_mut() {
            last.kept |= keep && room;
        }
    }

    fn wait(&mut self, cx: &Context<'_>, at: Option<u64>) {
        if !self.waiters.iter().any(|waiter| waiter.at == at && waiter.waker.will_wake(cx.waker())) {
            self.waiters.push(Waiter { at, waker: cx.waker().clone() });
        }
    }

    fn wait_no_more(&mut self, cx: &Context<'_>, at: u64) {
        self.waiters.retain(|waiter| waiter.at != Some(at) || !waiter.waker.will_wake(cx.waker()));
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.waiters.drain(..).map(|waiter| waiter.waker).collect()
    }

    /// The waiters at other places than `at`, where a waiter has been served: the handle's one cursor stood there for its
    /// sake, and now it is their turn to say what they want.
    fn take_turns(&mut self, at: u64) -> Vec<Waker> {
        let elsewhere = |waiter: &mut Waiter| waiter.at.is_some_and(|place| place != at);
        self.waiters.extract_if(.., elsewhere).map(|waiter| waiter.waker).collect()
    }
}
