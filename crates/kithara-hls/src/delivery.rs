//! The life of a unit between the wire and its readers: decrypt, recognise, check, hand on.

mod belief;
mod oddity;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use kithara_demux::{Clocks, Container, SegmentCheck, Sniff, sniff};
use kithara_fetch::net::RedactedUrl;
use kithara_hls_core::session::{Delivered, FailureKind, MediaId};
use kithara_stream::UnitWriter;
use tokio::time::Instant;

pub(crate) use self::belief::Memory;
use self::{
    belief::{Doubt, Ended, Verdict},
    oddity::{Found, Oddity, Suspicion},
};
use crate::{
    decrypt::{BadCiphertext, CbcStream},
    error::HlsError,
    shelf::Shelf,
};

/// A segment of boxes whose first fragment comes later than this has none.
const MAX_PREAMBLE: u64 = 1 << 20;

/// The last bytes of a box that is not all there: where it was cut, an error page may stand.
const TAIL: u64 = 1024;

/// Why a delivery is no good.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) kind: FailureKind,
    pub(crate) reason: String,
}

impl Bad {
    pub(crate) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

impl From<BadCiphertext> for Bad {
    fn from(bad: BadCiphertext) -> Self {
        Self::new(FailureKind::Undecryptable, bad.to_string())
    }
}

/// Where a unit's bytes go, over all attempts to fetch it.
///
/// What readers have seen cannot be taken back: a later attempt must begin with the very same bytes, which a checksum
/// of them shows, and only what follows is handed on. So only what is in order is handed on while it arrives, and the few bytes of
/// which that is not known yet when the delivery has ended well.
pub(crate) struct Slot {
    writer: Option<UnitWriter>,
    /// Says whether the session is over, when the unit is left unfinished; none where nobody but its task reads it.
    shelf: Option<Arc<Shelf>>,
    published: u64,
    checksum: crc32fast::Hasher,
    pub(crate) container: Option<Container>,
    /// Where the next part goes on, in a unit that is put together from parts.
    next_part: Option<Progress>,
    /// Where the last part came from, for errors.
    pub(crate) part_url: Option<RedactedUrl>,
    /// Since when deliveries are counted, and what they showed.
    begun: Instant,
    doubt: Doubt,
    suspicion: Suspicion,
    /// What other units of the session showed.
    memory: Arc<Memory>,
    /// The clocks that it says, where it is an initialization section.
    clocks: Option<Clocks>,
    /// What the last delivery that was judged is taken for.
    verdict: Option<Verdict>,
}

/// A segment as its playlist lists it, where it is to have as much time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    /// The stream.
    pub(crate) media: MediaId,
    /// How long it is.
    pub(crate) duration: Duration,
    /// Whether somebody said how long its body would be.
    pub(crate) is_announced: bool,
    /// Whether the stream grows meanwhile.
    pub(crate) grows: bool,
    /// When the body ended.
    pub(crate) now: Instant,
    /// How long a session asks again for a unit before it gives up.
    pub(crate) patience: Duration,
}

/// What a delivery is to be, and how much is believed of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The stream.
    pub(crate) media: MediaId,
    /// Whether it is an initialization section.
    pub(crate) is_init: bool,
    /// Whether it is a part of a segment.
    pub(crate) is_part: bool,
    /// It comes from the store, where only what was judged is.
    pub(crate) from_store: bool,
    /// Whether somebody said how long its body would be.
    pub(crate) is_announced: bool,
    /// Whether the stream grows meanwhile.
    pub(crate) grows: bool,
    /// How long its playlist says that it is.
    pub(crate) duration: Option<Duration>,
    /// How long a session asks again for a unit before it gives up.
    pub(crate) patience: Duration,
}

impl Slot {
    pub(crate) fn new(writer: UnitWriter) -> Self {
        Self {
            writer: Some(writer),
            shelf: None,
            published: 0,
            checksum: crc32fast::Hasher::new(),
            container: None,
            next_part: None,
            part_url: None,
            begun: Instant::now(),
            doubt: Doubt::default(),
            suspicion: Suspicion::default(),
            memory: Arc::default(),
            clocks: None,
            verdict: None,
        }
    }

    /// Of a unit that readers of this shelf read.
    pub(crate) fn on(mut self, shelf: Arc<Shelf>) -> Self {
        self.memory = Arc::clone(&shelf.memory);
        self.shelf = Some(shelf);
        self
    }

    /// Begins anew, for nobody has read a byte of it. What earlier deliveries showed stays known.
    pub(crate) fn begin_again(&mut self, writer: UnitWriter) {
        (self.writer, self.published, self.checksum) = (Some(writer), 0, crc32fast::Hasher::new());
    }

    /// The unit will never be whole.
    pub(crate) fn fail(&mut self, error: HlsError) {
        if let Some(writer) = self.writer.take() {
            writer.fail(error);
        }
    }

    /// The unit goes on in another run.
    pub(crate) fn cut(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.cut();
        }
    }

    /// A delivery was no good.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.doubt.failed(now.duration_since(self.begun));
    }

    /// It is an initialization section of this stream, and whole.
    pub(crate) fn rules(&mut self, media: MediaId) {
        if let Some(clocks) = self.clocks.take() {
            self.memory.note_clocks(media, clocks);
        }
    }

    /// It has the time it is to have.
    pub(crate) fn is_proved(&self) -> bool {
        self.verdict == Some(Verdict::Proved)
    }

    /// It was believed to be whole; nothing proved it.
    pub(crate) fn is_only_believed(&self) -> bool {
        self.verdict == Some(Verdict::Believed)
    }

    /// Whether a delivery of this length that looks whole has the time it is to have, or is believed to be whole nevertheless.
    fn accept(&mut self, covered: Duration, len: u64, listed: Listed) -> Result<(), Bad> {
        let Listed { media, duration: listed, is_announced, grows, now, patience } = listed;
        let ended = Ended { len, covered, listed, is_announced, grows };
        let now = now.duration_since(self.begun);
        let verdict = self.memory.judge(media, &mut self.doubt, &ended, now, patience);
        if !self.is_only_believed() {
            self.verdict = Some(verdict);
        }
        if verdict == Verdict::Doubted {
            let where_it_ends =
                if is_announced { "it is as long as was announced" } else { "nothing said where it ends" };
            return Err(Bad::new(FailureKind::Incomplete, format!("{covered:?} of {listed:?}, and {where_it_ends}")));
        }
        Ok(())
    }

    /// Whether a delivery is taken as it is although something in it does not belong there.
    fn suspect(&mut self, oddity: Oddity, at: u64, terms: Terms) -> Result<(), Bad> {
        let Terms { media, is_announced, grows, duration: listed, patience, .. } = terms;
        let found = Found { oddity, at, is_announced, grows, listed, patience };
        let now = Instant::now().duration_since(self.begun);
        let verdict = self.memory.suspect(media, &mut self.suspicion, &found, now, &mut self.doubt);
        if verdict == Verdict::Believed {
            self.verdict = Some(verdict);
        }
        if verdict != Verdict::Doubted {
            return Ok(());
        }
        Err(match oddity {
            Oddity::Padding(_) | Oddity::Junk => Bad::new(FailureKind::Incomplete, format!("{oddity}, at byte {at}")),
            Oddity::NoFragment | Oddity::Media | Oddity::Container(_) => {
                Bad::new(FailureKind::NotMedia, oddity.to_string())
            }
        })
    }

    fn push(&mut self, bytes: Bytes) {
        self.checksum.update(&bytes);
        self.published += bytes.len() as u64;
        if let Some(writer) = &mut self.writer {
            writer.push(bytes);
        }
    }
}

/// A unit that is let go of while its session lives may come again; one of a session that is over says why it does not.
impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Some(over) = self.shelf.as_ref().and_then(|shelf| shelf.over())
        {
            writer.fail(over);
        }
    }
}

/// How far an attempt has come.
#[derive(Clone)]
struct Progress {
    cipher: Option<CbcStream>,
    encrypted: bool,
    /// First bytes, held back until they are recognised.
    head: Vec<u8>,
    check: Option<SegmentCheck>,
    /// Plaintext so far.
    len: u64,
    /// The last of it, held back until it is known to be in order, and how much was not.
    held: VecDeque<Bytes>,
    given: u64,
    /// It is taken as it is.
    is_trusted: bool,
    wire_len: u64,
    /// Checksum of the bytes that were published by an earlier attempt, as this one delivers them.
    again: crc32fast::Hasher,
}

impl Progress {
    fn new(cipher: Option<CbcStream>) -> Self {
        Self {
            encrypted: cipher.is_some(),
            cipher,
            head: Vec::new(),
            check: None,
            len: 0,
            held: VecDeque::new(),
            given: 0,
            is_trusted: false,
            wire_len: 0,
            again: crc32fast::Hasher::new(),
        }
    }
}

/// One attempt to bring a unit, or one of its parts.
pub(crate) struct Attempt<'a> {
    slot: &'a mut Slot,
    /// Its container does not end where it ends.
    excerpt: bool,
    /// None of a delivery that only its container judges.
    terms: Option<Terms>,
    progress: Progress,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(slot: &'a mut Slot, cipher: Option<CbcStream>, excerpt: bool) -> Self {
        slot.verdict = None;
        Self { slot, excerpt, terms: None, progress: Progress::new(cipher) }
    }

    /// It is judged by what it is to be. An excerpt is whatever it is.
    pub(crate) fn under(mut self, terms: Terms) -> Self {
        self.terms = Some(terms).filter(|_| !self.excerpt);
        self
    }

    /// The part behind those that have [ended](Self::end_part). The cipher goes on through all of a unit.
    pub(crate) fn of_next_part(slot: &'a mut Slot) -> Result<Self, Bad> {
        let Some(progress) = slot.next_part.clone() else {
            return Err(Bad::new(FailureKind::Incomplete, "the part before this one is not there"));
        };
        Ok(Self { slot, excerpt: false, terms: None, progress })
    }

    /// Takes a chunk from the wire.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<(), Bad> {
        self.progress.wire_len += chunk.len() as u64;
        let plain = match &mut self.progress.cipher {
            Some(cipher) => cipher.push(&chunk),
            None => chunk,
        };
        self.plain(plain, false)
    }

    /// The body of a part ended: the next one goes on here.
    pub(crate) fn end_part(mut self) -> Result<Delivered, Bad> {
        self.release(u64::MAX)?;
        let (len, wire_len) = (self.progress.len, self.progress.wire_len);
        if len == self.slot.published {
            // What was published was compared byte for byte, or is of this attempt.
            self.progress.again = self.slot.checksum.clone();
        }
        self.slot.next_part = Some(self.progress);
        Ok(Delivered { len, wire_len, from_store: false })
    }

    /// The body ended. The unit is whole if its container says so.
    ///
    /// `listed` is what the playlist says of a unit that comes from the network: a container cannot tell that whole packets,
    /// frames or fragments are missing at its end, but the time it has can.
    pub(crate) fn finish(mut self, from_store: bool, listed: Option<Listed>) -> Result<Delivered, Bad> {
        let last = match self.progress.cipher.take() {
            Some(cipher) => cipher.finish()?,
            None => Bytes::new(),
        };
        self.plain(last, true)?;
        let Some(check) = self.progress.check.take() else {
            return Err(Bad::new(FailureKind::NotMedia, "nothing was delivered"));
        };
        // The network layer has seen to it that the range is whole.
        if !self.excerpt {
            let covered = listed.and_then(|listed| self.slot.memory.covered(listed.media, &check));
            let clocks = check.clocks().cloned();
            self.judge_kind(&check)?;
            check.finish().map_err(|incomplete| Bad::new(FailureKind::Incomplete, incomplete.to_string()))?;
            if let Some((covered, listed)) = covered.zip(listed) {
                self.slot.accept(covered, self.progress.len, listed)?;
            }
            self.slot.clocks = clocks;
        }
        self.release(u64::MAX)?;
        self.note_container();
        if self.progress.len < self.slot.published {
            return Err(Bad::new(FailureKind::Changed, "a second delivery ends before the first"));
        }
        if let Some(writer) = self.slot.writer.take() {
            writer.finish();
        }
        Ok(Delivered { len: self.progress.len, wire_len: self.progress.wire_len, from_store })
    }

    /// What the unit is, once it is recognised.
    pub(crate) fn container(&self) -> Option<Container> {
        self.slot.container
    }

    fn plain(&mut self, bytes: Bytes, is_end: bool) -> Result<(), Bad> {
        if self.progress.check.is_some() {
            return self.known(bytes);
        }
        // Usually the first chunk is enough, and no copy is made.
        let held = if self.progress.head.is_empty() { &bytes[..] } else { self.head_with(&bytes) };
        match sniff(held, is_end) {
            Sniff::Media(container) => {
                let all = if self.progress.head.is_empty() {
                    bytes
                } else {
                    Bytes::from(std::mem::take(&mut self.progress.head))
                };
                self.judge_container(container)?;
                self.progress.check = Some(SegmentCheck::new(container));
                self.slot.container = Some(container);
                self.known(all)
            }
            Sniff::NeedMore(_) => {
                if self.progress.head.is_empty() {
                    self.progress.head.extend_from_slice(&bytes);
                }
                Ok(())
            }
            Sniff::NotMedia(what) => {
                // A key that does not fit gives noise as well.
                let kind = if self.progress.encrypted { FailureKind::Undecryptable } else { FailureKind::NotMedia };
                Err(Bad::new(kind, format!("the bytes are not media ({what:?})")))
            }
        }
    }

    fn head_with(&mut self, bytes: &Bytes) -> &[u8] {
        self.progress.head.extend_from_slice(bytes);
        &self.progress.head
    }

    /// Bytes of a recognised unit: checked, and handed on as far as they are in order.
    fn known(&mut self, bytes: Bytes) -> Result<(), Bad> {
        if let Some(check) = &mut self.progress.check {
            check.push(&bytes);
        }
        self.progress.len += bytes.len() as u64;
        self.progress.held.push_back(bytes);
        self.release(self.sure())?;
        self.judge_order()
    }

    /// How much of what came is what it is to be, whatever follows.
    fn sure(&self) -> u64 {
        let Progress { check: Some(check), is_trusted: false, .. } = &self.progress else {
            return u64::MAX;
        };
        match self.terms {
            _ if self.excerpt => u64::MAX,
            // Its reader gets it as a whole anyway.
            Some(Terms { is_init: true, .. }) => 0,
            Some(_) if !check.has_fragment() => 0,
            // It is read while it is made.
            Some(Terms { is_part: true, .. }) => check.sure(),
            Some(_) | None => check.sure().saturating_sub(check.open().min(TAIL)),
        }
    }

    /// What does not belong there ends a delivery, or what there is of it is taken as it is.
    fn judge_order(&mut self) -> Result<(), Bad> {
        let Some(check) = self.progress.check.as_ref().filter(|_| !self.progress.is_trusted) else {
            return Ok(());
        };
        let is_late = self.progress.len > MAX_PREAMBLE && !check.has_fragment();
        let found = match (check.stray(), self.terms) {
            (Some(stray), _) => Some((Oddity::of(stray), stray.at)),
            (None, Some(Terms { is_init: false, .. })) if is_late => Some((Oddity::NoFragment, 0)),
            _ => None,
        };
        let Some((oddity, at)) = found else { return Ok(()) };
        if let Some(terms) = self.terms.filter(|terms| !terms.from_store) {
            self.slot.suspect(oddity, at, terms)?;
        }
        self.progress.is_trusted = true;
        self.release(self.sure())
    }

    /// Whether a unit of boxes has the one that makes it what it is to be. Without its own an initialization section is none,
    /// however often it comes.
    fn judge_kind(&mut self, check: &SegmentCheck) -> Result<(), Bad> {
        match self.terms {
            Some(Terms { is_init: true, .. }) if !check.has_movie() => {
                Err(Bad::new(FailureKind::NotMedia, "an initialization section has no movie header"))
            }
            // That of a transport stream has its tables.
            Some(terms @ Terms { is_init: true, from_store: false, .. })
                if !matches!(self.slot.container, Some(Container::Fmp4))
                    && check.covered(None) != Some(Duration::ZERO) =>
            {
                self.slot.suspect(Oddity::Media, 0, terms)
            }
            Some(terms @ Terms { is_init: false, from_store: false, .. })
                if !check.has_fragment() && !self.progress.is_trusted =>
            {
                self.slot.suspect(Oddity::NoFragment, 0, terms)
            }
            _ => Ok(()),
        }
    }

    /// Whether the format is that of other units of the stream, where some are known.
    fn judge_container(&mut self, container: Container) -> Result<(), Bad> {
        match self.terms {
            Some(terms) if !terms.from_store && self.slot.memory.is_foreign(terms.media, container) => {
                self.slot.suspect(Oddity::Container(container), 0, terms)
            }
            _ => Ok(()),
        }
    }

    fn note_container(&self) {
        if let Some((terms, container)) = self.terms.zip(self.slot.container) {
            self.slot.memory.note_container(terms.media, container);
        }
    }

    /// Hands on what was held back, up to this place.
    fn release(&mut self, end: u64) -> Result<(), Bad> {
        while let Some(room) = end.checked_sub(self.progress.given).filter(|room| *room > 0)
            && let Some(mut chunk) = self.progress.held.pop_front()
        {
            let rest = chunk.split_off(usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len()));
            if !rest.is_empty() {
                self.progress.held.push_front(rest);
            }
            self.give(chunk)?;
        }
        Ok(())
    }

    /// Bytes that are in order: compared with what was published, handed on.
    fn give(&mut self, bytes: Bytes) -> Result<(), Bad> {
        let repeated = self.slot.published.saturating_sub(self.progress.given).min(bytes.len() as u64);
        self.progress.given += bytes.len() as u64;
        let repeated = usize::try_from(repeated).unwrap_or(bytes.len());
        if repeated > 0 {
            self.progress.again.update(&bytes[..repeated]);
            let complete = self.progress.given >= self.slot.published;
            if complete && self.progress.again.clone().finalize() != self.slot.checksum.clone().finalize() {
                return Err(Bad::new(FailureKind::Changed, "a second delivery is not the same as the first"));
            }
        }
        if repeated < bytes.len() {
            self.slot.push(bytes.slice(repeated..));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithara_hls_core::playlist::VariantId;
    use kithara_stream::{ReadAt, Source, UnitBody};

    /// Whole packets of a transport stream without payload.
    fn packets(count: usize) -> Vec<u8> {
        let mut packet = [0xff; 188];
        packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
        packet.repeat(count)
    }

    fn attempt(slot: &mut Slot, bytes: &[u8], chunk: usize) -> Result<Delivered, Bad> {
        let mut attempt = Attempt::new(slot, None, false);
        for chunk in bytes.chunks(chunk) {
            attempt.push(Bytes::copy_from_slice(chunk))?;
        }
        attempt.finish(false, None)
    }

    fn read(body: &UnitBody) -> Vec<u8> {
        let mut all = vec![0; 10_000];
        match body.read_at(0, &mut all).unwrap() {
            ReadAt::Bytes(count) => all.truncate(count),
            ReadAt::Pending | ReadAt::End => all.clear(),
        }
        all
    }

    #[test]
    fn nothing_is_published_before_it_is_recognised() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let bad = attempt(&mut slot, b"<html><body>Please log in</body></html>", 7).unwrap_err();
        assert_eq!(bad.kind, FailureKind::NotMedia);
        assert_eq!(body.len(), 0);
    }

    #[test]
    fn an_excerpt_may_end_inside_its_container() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let mut attempt = Attempt::new(&mut slot, None, true);
        attempt.push(Bytes::from(packets(10)).slice(..1_000)).unwrap();
        assert_eq!(attempt.finish(false, None).unwrap().len, 1_000);
        assert!(body.is_finished());
    }

    /// Delivers a part, or the beginning of one.
    fn part(slot: &mut Slot, first: bool, bytes: &[u8], ends: bool) -> Result<(), Bad> {
        let mut attempt = if first { Attempt::new(slot, None, false) } else { Attempt::of_next_part(slot)? };
        for chunk in bytes.chunks(50) {
            attempt.push(Bytes::copy_from_slice(chunk))?;
        }
        if ends {
            attempt.end_part()?;
        }
        Ok(())
    }

    #[test]
    fn parts_make_one_body_that_is_whole_when_its_container_is() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let whole = packets(10);
        // The first part is too short to be recognised.
        part(&mut slot, true, &whole[..2], true).unwrap();
        part(&mut slot, false, &whole[2..1_000], true).unwrap();
        assert_eq!(read(&body), whole[..1_000]);
        assert_eq!(
            Attempt::of_next_part(&mut slot).unwrap().finish(false, None).unwrap_err().kind,
            FailureKind::Incomplete
        );
        part(&mut slot, false, &whole[1_000..], true).unwrap();
        let delivered = Attempt::of_next_part(&mut slot).unwrap().finish(false, None).unwrap();
        assert_eq!((delivered.len, body.is_finished()), (whole.len() as u64, true));
        assert_eq!(read(&body), whole);
    }

    #[test]
    fn a_part_that_broke_off_goes_on_where_it_did_and_must_be_the_same() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let whole = packets(10);
        part(&mut slot, true, &whole[..376], true).unwrap();
        part(&mut slot, false, &whole[376..1400], false).unwrap();
        assert_eq!(body.len(), 5 * 188, "all but two packets, and what there is of the next one");
        let mut other = whole.clone();
        other[800] = 1;
        assert_eq!(part(&mut slot, false, &other[376..], true).unwrap_err().kind, FailureKind::Changed);
        part(&mut slot, false, &whole[376..], true).unwrap();
        assert_eq!(read(&body), whole);
        let delivered = Attempt::of_next_part(&mut slot).unwrap().finish(false, None).unwrap();
        assert_eq!(delivered.wire_len, whole.len() as u64);
    }

    #[test]
    fn the_whole_segment_may_take_the_place_of_parts_that_are_missing() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let whole = packets(10);
        part(&mut slot, true, &whole[..376], true).unwrap();
        attempt(&mut slot, &whole, 100).unwrap();
        assert_eq!(read(&body), whole);
        assert!(body.is_finished());
    }

    #[test]
    fn packets_without_media_are_the_whole_of_a_unit_only_when_they_come_again_and_again() {
        let (writer, _body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        for (secs, believed) in [(0, false), (8, false), (12, false), (16, true)] {
            let mut attempt = Attempt::new(&mut slot, None, false);
            attempt.push(Bytes::from(packets(3))).unwrap();
            let listed = listed(Duration::from_millis(20), secs);
            assert_eq!(attempt.finish(false, Some(listed)).is_ok(), believed);
        }
        assert!(slot.is_only_believed());
    }

    /// A segment of this duration that ended so many seconds from now.
    fn listed(duration: Duration, secs: u64) -> Listed {
        Listed {
            media: MediaId::Variant(VariantId(0)),
            duration,
            is_announced: false,
            grows: false,
            now: Instant::now() + Duration::from_secs(secs),
            patience: Duration::from_secs(20),
        }
    }

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(kithara_origin::fixtures_dir().join(name)).unwrap()
    }

    #[test]
    fn fragments_have_the_time_that_the_initialization_section_makes_of_them() {
        let (init, whole) = (file("fmp4_aac/init.mp4"), file("fmp4_aac/seg0.m4s"));
        let both = [&whole[..], &file("fmp4_aac/seg1.m4s")].concat();
        let shelf = Arc::<Shelf>::default();
        let media = MediaId::Variant(VariantId(0));
        let deliver = |bytes: &[u8]| {
            let mut slot = Slot::new(UnitBody::channel().0).on(Arc::clone(&shelf));
            let mut attempt = Attempt::new(&mut slot, None, false);
            attempt.push(Bytes::copy_from_slice(bytes)).unwrap();
            attempt.finish(false, Some(listed(Duration::from_micros(2_005_333), 0))).map_err(|bad| bad.kind)
        };
        assert!(deliver(&whole).is_ok(), "without its section nobody can tell");
        let mut slot = Slot::new(UnitBody::channel().0).on(Arc::clone(&shelf));
        attempt(&mut slot, &init, 100).unwrap();
        slot.rules(media);
        assert_eq!(deliver(&whole).unwrap_err(), FailureKind::Incomplete);
        assert!(deliver(&both).is_ok());
    }

    /// What a delivery of a segment of this stream is to be, when its length was announced.
    fn terms() -> Terms {
        Terms {
            media: MediaId::Variant(VariantId(0)),
            is_init: false,
            is_part: false,
            from_store: false,
            is_announced: true,
            grows: false,
            duration: None,
            patience: Duration::from_secs(20),
        }
    }

    fn attempt_under(slot: &mut Slot, terms: Terms, bytes: &[u8]) -> Result<Delivered, FailureKind> {
        let mut attempt = Attempt::new(slot, None, false).under(terms);
        let delivered = bytes.chunks(100).try_for_each(|chunk| attempt.push(Bytes::copy_from_slice(chunk)));
        delivered.and_then(|()| attempt.finish(false, None)).map_err(|bad| bad.kind)
    }

    #[test]
    fn what_stands_behind_the_packets_of_a_bad_delivery_is_not_published_and_a_good_one_goes_on_there() {
        let whole = packets(20);
        for cut in 600..1000 {
            let (writer, body) = UnitBody::channel();
            let mut slot = Slot::new(writer);
            let page = [&whole[..cut], &b"<html>502 Bad Gateway</html>".repeat(40)].concat();
            assert_eq!(attempt_under(&mut slot, terms(), &page).unwrap_err(), FailureKind::Incomplete, "at {cut}");
            let seen = body.len();
            assert!((188..=cut as u64).contains(&seen), "{seen} of {cut}");
            attempt_under(&mut slot, terms(), &whole).unwrap();
            assert!(read(&body) == whole && body.is_finished(), "at {cut}");
        }
    }

    #[test]
    fn what_comes_three_times_is_published_as_it_is_and_the_next_unit_like_it_at_once() {
        let shelf = Arc::<Shelf>::default();
        let padded = [&packets(8)[..], &[0; 1000]].concat();
        let junk = [&packets(8)[..], b"junk", &packets(8)].concat();
        for (odd, deliveries) in [(&padded, 3), (&padded, 1), (&junk, 3), (&junk, 1), (&padded, 1)] {
            let (writer, body) = UnitBody::channel();
            let mut slot = Slot::new(writer).on(Arc::clone(&shelf));
            for _ in 1..deliveries {
                attempt_under(&mut slot, terms(), odd).unwrap_err();
            }
            attempt_under(&mut slot, terms(), odd).unwrap();
            assert!(read(&body) == *odd && body.is_finished());
            assert!(!slot.is_only_believed(), "the origin said how long it is");
        }
        let (writer, body) = UnitBody::channel();
        let stored = Terms { from_store: true, ..terms() };
        attempt_under(&mut Slot::new(writer), stored, &junk).unwrap();
        assert_eq!(read(&body), junk, "what is stored was judged when it came");
    }

    #[test]
    fn an_initialization_section_without_a_movie_header_is_none_and_nothing_of_it_is_published() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let init = Terms { is_init: true, ..terms() };
        for _ in 0..5 {
            let media = file("fmp4_aac/seg0.m4s");
            assert_eq!(attempt_under(&mut slot, init, &media).unwrap_err(), FailureKind::NotMedia);
        }
        assert_eq!(body.len(), 0);
        attempt_under(&mut slot, init, &file("fmp4_aac/init.mp4")).unwrap();
        assert_eq!(read(&body), file("fmp4_aac/init.mp4"));
    }

    #[test]
    fn a_segment_of_boxes_without_a_fragment_is_believed_when_it_comes_again_and_again() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let init = file("fmp4_aac/init.mp4");
        for _ in 0..2 {
            assert_eq!(attempt_under(&mut slot, terms(), &init).unwrap_err(), FailureKind::NotMedia);
            assert_eq!(body.len(), 0);
        }
        attempt_under(&mut slot, terms(), &init).unwrap();
        assert_eq!(read(&body), init);
    }

    #[test]
    fn a_unit_of_another_format_than_its_neighbours_is_believed_when_it_comes_again_and_again() {
        let shelf = Arc::<Shelf>::default();
        let deliver = |slot: &mut Slot, media, name: &str| {
            attempt_under(slot, Terms { media, ..terms() }, &file(name)).map(|_| ())
        };
        let slot = || Slot::new(UnitBody::channel().0).on(Arc::clone(&shelf));
        let [one, other] = [0, 1].map(|variant| MediaId::Variant(VariantId(variant)));
        deliver(&mut slot(), one, "ts_aac/seg0.ts").unwrap();
        deliver(&mut slot(), other, "adts/seg0.aac").unwrap();
        let mut odd = slot();
        for want in [Err(FailureKind::NotMedia), Err(FailureKind::NotMedia), Ok(())] {
            assert_eq!(deliver(&mut odd, one, "adts/seg1.aac"), want);
        }
        deliver(&mut slot(), one, "adts/seg2.aac").unwrap();
        deliver(&mut slot(), one, "ts_aac/seg1.ts").unwrap();
    }

    #[test]
    fn an_empty_body_is_not_media() {
        let (writer, _body) = UnitBody::channel();
        let bad = attempt(&mut Slot::new(writer), b"", 1).unwrap_err();
        assert_eq!(bad.kind, FailureKind::NotMedia);
    }

    #[test]
    fn a_second_delivery_goes_on_where_the_first_broke_off() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let whole = packets(10);
        let bad = attempt(&mut slot, &whole[..1_000], 300).unwrap_err();
        assert_eq!(bad.kind, FailureKind::Incomplete);
        let seen = body.len();
        assert!(seen > 0, "what is recognised is readable at once");
        let delivered = attempt(&mut slot, &whole, 77).unwrap();
        assert_eq!(delivered.len, whole.len() as u64);
        assert_eq!(read(&body), whole);
        assert!(body.is_finished());
    }

    #[test]
    fn a_second_delivery_that_differs_is_refused() {
        let (writer, body) = UnitBody::channel();
        let mut slot = Slot::new(writer);
        let whole = packets(10);
        attempt(&mut slot, &whole[..1_000], 300).unwrap_err();
        let seen = read(&body);
        let mut other = whole;
        other[500] = 1;
        assert_eq!(attempt(&mut slot, &other, 300).unwrap_err().kind, FailureKind::Changed);
        assert_eq!(read(&body), seen, "nothing of it is published");
    }
}
