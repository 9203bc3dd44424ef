//! Which units are fetched, in which order, and which are let go.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, FailureKind, FetchFailure, HlsEvent, KeyRequest, MediaId, Place, ReaderId, Session, Track, UnitKey,
    UnitRequest, Urgency,
    adaptation::Situation,
    keys::KeyUse,
    media::Media,
    readers::{Adaptive, Flat, Gap, ReaderState},
    stats::is_there,
    units::{Purpose, UnitState},
};
use crate::{
    BitRate,
    abr::AbrReason,
    fallback,
    key::{Encryption, Protection, initialization_vector, protection},
    playlist::{ByteRange, Key, MediaSequence, PreloadKind, Uri, VariantId},
};

/// A fetch that nobody waits for any more may finish when this little is missing, and it comes this soon: breaking it
/// off and asking again later costs more.
const FINISH: (u64, Duration) = (256 * 1024, Duration::from_millis(500));

/// The same, in bytes, of a link that was not measured yet.
const UNMEASURED: u64 = 96 * 1024;

/// More units than most readers look ahead.
const USUAL_WINDOW: usize = 256;

/// Length questions asked side by side.
const PARALLEL_SIZES: usize = 8;

/// So many units of a stream may fail before no further one is begun but for whoever stands at it. A server that answers all
/// of them alike would else be asked for all there are.
const MOST_FAILING: usize = 3;

/// Where the time of a segment is found that is declared not to be there.
pub(super) enum Filled {
    /// In another variant, which is planned from now on.
    Elsewhere,
    /// Perhaps in one whose playlist is on its way.
    Asked,
    /// In none.
    Nowhere,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) unit: UnitKey,
    urgency: Urgency,
    /// Media between the reader and it.
    ahead: Duration,
    /// Its place in the flat view, when a flat reader wants it.
    idx: Option<usize>,
}

impl Wanted {
    /// One that belongs to no reader's window.
    pub(super) fn alone(unit: UnitKey, urgency: Urgency) -> Self {
        Self { unit, urgency, ahead: Duration::ZERO, idx: None }
    }
}

/// A unit's resource, and the key to ask for before it can be read.
struct Prepared {
    request: UnitRequest,
    key: Option<KeyUse>,
    ask: Option<(super::KeyId, KeyRequest)>,
}

/// How a unit is decrypted, if it is encrypted, and the key to ask for before it can be read.
#[derive(Default)]
pub(super) struct Decryption {
    pub(super) encryption: Option<Encryption>,
    pub(super) key: Option<KeyUse>,
    pub(super) ask: Option<(super::KeyId, KeyRequest)>,
}

impl Session {
    /// Brings the plan up to date.
    pub(super) fn plan_units(&mut self) {
        self.extend_plans();
        if self.over.is_some() {
            return;
        }
        let mut wanted = self.wanted();
        if self.let_go(&wanted) {
            // There are places again.
            self.extend_plans();
            if self.over.is_some() {
                return;
            }
            wanted = self.wanted();
        }
        self.announce(&wanted);
        self.start_fetches(&wanted);
        self.ask_ahead();
        self.ask_lengths();
        self.keep_ahead();
    }

    /// Looks for a time that `media` declares not to be there in other variants (RFC 8216bis section 6.3.3), where variants are chosen
    /// by adaptation. A variant is gone over to when it is known to have that time.
    pub(super) fn fill_gap(&mut self, id: ReaderId, media: MediaId, at: Duration) -> Filled {
        let MediaId::Variant(here) = media else { return Filled::Nowhere };
        if !matches!(self.options.playback.variant, super::VariantChoice::Auto) {
            return Filled::Nowhere;
        }
        while let Some(other) = self.gap_candidate(id, here) {
            match self.offers(MediaId::Variant(other), at) {
                Some(true) if self.fill_from(id, other) => {
                    // It comes back after a while, not for the next segment.
                    let snapshot = self.medias.get(&media).and_then(Media::snapshot);
                    let rest = snapshot.map_or(Duration::ZERO, |snapshot| snapshot.target_duration.saturating_mul(3));
                    self.adaptation.exclude(media, self.tick() + rest);
                    return Filled::Elsewhere;
                }
                Some(_) => {}
                None => return Filled::Asked,
            }
            if let Some(ReaderState::Adaptive(adaptive)) = self.readers.get_mut(&id).map(|it| &mut it.state) {
                adaptive.lacking(other);
            }
        }
        Filled::Nowhere
    }

    /// The next variant to look into for a time that `here` lacks.
    fn gap_candidate(&mut self, id: ReaderId, here: VariantId) -> Option<VariantId> {
        let reader = self.readers.get_mut(&id).filter(|reader| reader.track == Track::Main)?;
        let ReaderState::Adaptive(adaptive) = &mut reader.state else { return None };
        if adaptive.single || adaptive.switching_to.is_some() || adaptive.is_open() {
            return None;
        }
        let lacking = adaptive.lacking(here).to_vec();
        self.nearest_variant(here, &lacking)
    }

    /// Whether a variant has media for this time; `None` where its playlist is on its way to tell.
    fn offers(&mut self, id: MediaId, at: Duration) -> Option<bool> {
        let now = self.tick();
        let Some(media) = self.medias.get(&id) else { return Some(false) };
        let is_busy = media.load.is_busy();
        let is_old = match &media.timeline {
            None => media.load_failures == 0,
            Some(timeline) => {
                if let Some((_, segment)) = timeline.at(at).filter(|_| !self.is_before_window(id, at)) {
                    return Some(!segment.gap);
                }
                // What nobody follows may have grown meanwhile.
                let fresh = timeline.snapshot().target_duration / 2;
                let is_beyond = timeline.snapshot().is_live() && timeline.end() <= at;
                is_beyond && media.began.is_none_or(|began| now.since(began) > fresh)
            }
        };
        if is_old && !is_busy {
            self.load_media(id);
        }
        (!is_old && !is_busy).then_some(false)
    }

    /// Plans from `other` from now on, if it can be gone over to at once.
    fn fill_from(&mut self, id: ReaderId, other: VariantId) -> bool {
        let target = MediaId::Variant(other);
        if self.comes_later(id, target) {
            return false;
        }
        self.switch_to(other, AbrReason::Failover);
        let Some(ReaderState::Adaptive(adaptive)) = self.readers.get_mut(&id).map(|it| &mut it.state) else {
            return false;
        };
        adaptive.held = true;
        adaptive.switching_to = (adaptive.media != Some(target)).then_some(target);
        self.attach_switch(id);
        let Some(ReaderState::Adaptive(adaptive)) = self.readers.get_mut(&id).map(|it| &mut it.state) else {
            return false;
        };
        let is_there = adaptive.media == Some(target);
        if !is_there {
            (adaptive.held, adaptive.switching_to) = (false, None);
        }
        is_there
    }

    /// Leaves out a segment that is declared not to be there.
    pub(super) fn pass_gap(&mut self, id: ReaderId, media: MediaId, gap: Gap) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let track = reader.track;
        if let ReaderState::Adaptive(adaptive) = &mut reader.state {
            adaptive.pass(gap);
        }
        let Gap { msn, start, duration, .. } = gap;
        let segment_index = self.medias.get(&media).map_or(0, |media| media.index_of(msn));
        self.tell(HlsEvent::SegmentSkipped { track, variant: media, segment_index, start, duration });
    }

    pub(super) fn attach_switch(&mut self, id: ReaderId) {
        let Some(adaptive) = self.adaptive(id) else { return };
        let Some(target) = adaptive.switching_to.filter(|target| !self.comes_later(id, *target)) else { return };
        if self.medias.get(&target).is_some_and(|media| media.timeline.is_some()) {
            self.attach_adaptive(id, target);
        } else {
            self.load_media(target);
        }
    }

    /// Media of complete units ahead of a reader.
    pub(super) fn buffered(&self, id: ReaderId) -> Duration {
        let Some(adaptive) = self.adaptive(id) else { return Duration::ZERO };
        let ready = |unit| matches!(self.units.state(unit), Some(UnitState::Ready { .. }) | None);
        let entered = adaptive.entered.iter().take_while(|entry| ready(entry.unit));
        let whole = entered.last().map(|entry| entry.start.saturating_add(entry.duration));
        let there = |unit| matches!(self.units.state(unit), Some(UnitState::Ready { .. }));
        let planned = adaptive.planned.iter().take_while(|entry| there(entry.unit)).last();
        let end = planned.map(|entry| entry.start.saturating_add(entry.duration)).or(whole);
        let end = self.arrived_until(adaptive).or(end);
        end.map_or(Duration::ZERO, |end| adaptive.ahead(end))
    }

    /// Presentation time up to which parts are there of the segment that is being made, if everything before it is.
    fn arrived_until(&self, adaptive: &super::readers::Adaptive) -> Option<Duration> {
        let mut entries = adaptive.entered.iter().chain(&adaptive.planned);
        let first =
            entries.find(|entry| !matches!(self.units.state(entry.unit), Some(UnitState::Ready { .. }) | None))?;
        match self.units.state(first.unit) {
            Some(UnitState::Assembling(assembly)) => Some(first.start.saturating_add(assembly.arrived())),
            _ => None,
        }
    }

    /// What adaptation has to know of a reader.
    pub(super) fn situation(&self, id: ReaderId, current: VariantId) -> Situation {
        let timeline = self.medias.get(&MediaId::Variant(current)).and_then(|media| media.timeline.as_ref());
        let segment = timeline.map_or(Duration::ZERO, |timeline| timeline.snapshot().target_duration);
        let left = timeline.filter(|timeline| timeline.ended()).map(|timeline| {
            let ahead = timeline.end().saturating_sub(self.planned_until(id));
            let segments = ahead.as_nanos().div_ceil(segment.as_nanos().max(1));
            u64::try_from(segments).unwrap_or(u64::MAX).max(1)
        });
        // What is fetched at once near the live edge is a part.
        let segment = self.follows_parts(MediaId::Variant(current)).unwrap_or(segment);
        Situation { current, buffered: self.buffered(id), segment, segments_left: left }
    }

    pub(super) fn planned_until(&self, id: ReaderId) -> Duration {
        self.adaptive(id).map_or(Duration::ZERO, Adaptive::planned_until)
    }

    /// Takes a planned unit, and what is planned after it, from another stream.
    pub(super) fn abandon_for(&mut self, id: ReaderId, unit: UnitKey, other: MediaId) {
        if let Some(ReaderState::Adaptive(adaptive)) = self.readers.get_mut(&id).map(|reader| &mut reader.state) {
            adaptive.abandon(unit, other);
        }
        self.attach_switch(id);
    }

    /// Gives an adaptive reader the unit it asks for.
    pub(super) fn serve(&mut self, id: ReaderId) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let track = reader.track;
        let ReaderState::Adaptive(adaptive) = &mut reader.state else { return };
        if !adaptive.asks {
            return;
        }
        if let Some(entry) = adaptive.planned.pop_front() {
            adaptive.asks = false;
            // Whoever asks for a unit has come to the end of the one before; a better word may follow.
            adaptive.position = adaptive.position.max(entry.start);
            adaptive.entered.push_back(entry.clone());
            let is_whole = self.units.state(entry.unit).is_some_and(is_there);
            if reader.plays() {
                reader.pace.hand(&entry, is_whole);
            }
            let (media, msn, start) = (entry.unit.media, entry.msn, entry.start);
            self.act(Action::Enter { reader: id, entry });
            return self.tell_entered(track, media, msn, None, start);
        }
        let media = adaptive.media.and_then(|media| self.medias.get(&media));
        let Some(media) = media.filter(|_| adaptive.switching_to.is_none()) else { return };
        if adaptive.is_at_end(media) {
            // Whoever asks again gets the same answer.
            let first = !std::mem::replace(&mut adaptive.ended, true);
            adaptive.asks = false;
            self.act(Action::EndOfStream { reader: id });
            if first {
                self.tell(HlsEvent::EndOfStream { track });
            }
        }
    }

    /// Units somebody stands at or will come to: first what is waited for, then in playback order.
    fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = Vec::with_capacity(USUAL_WINDOW);
        for reader in self.readers.values() {
            match &reader.state {
                ReaderState::Flat(flat) => self.flat_window(flat, &mut wanted),
                ReaderState::Adaptive(adaptive) => {
                    let entered = adaptive.entered.iter().map(|entry| (entry, Urgency::Demand));
                    let planned = adaptive.planned.iter().map(|entry| (entry, Urgency::Playback));
                    for (entry, urgency) in entered.chain(planned) {
                        let ahead = entry.start.saturating_sub(adaptive.position);
                        wanted.extend(entry.init.map(|unit| Wanted { unit, urgency, ahead, idx: None }));
                        wanted.push(Wanted { unit: entry.unit, urgency, ahead, idx: None });
                    }
                }
            }
        }
        // Whoever has least comes first, so that no track starves behind another; of equals a rendition, which is the
        // smaller one. Stable: readers keep their own order.
        wanted.sort_by_key(|wanted| {
            let is_variant = matches!(wanted.unit.media, MediaId::Variant(_));
            (wanted.urgency, wanted.ahead, is_variant)
        });
        wanted
    }

    /// The same without order.
    pub(super) fn wanted_units(&self) -> BTreeSet<UnitKey> {
        self.wanted().into_iter().map(|wanted| wanted.unit).collect()
    }

    pub(super) fn flat_window(&self, flat: &Flat, wanted: &mut Vec<Wanted>) {
        let (Some(media), Some(cursor)) = (flat.media.and_then(|id| self.medias.get(&id)), flat.cursor) else { return };
        let (mut time, mut bytes, mut urgency) = (Duration::ZERO, 0_u64, Urgency::Demand);
        for (idx, piece) in media.layout.from(cursor) {
            let len = media.layout.len_of(idx).unwrap_or_else(|| media.likely_bytes(piece.duration));
            bytes = bytes.saturating_add(len);
            let limit = self.options.playback.buffer_bytes;
            let fits = bytes <= limit && time < self.options.playback.buffer_goal;
            // What is here or coming was planned by a guess of its length, and is not given up because that was low.
            let here = matches!(self.units.state(piece.unit), Some(UnitState::Ready { .. } | UnitState::Fetching(_)));
            let stays = here && bytes <= limit.saturating_add(limit / 2);
            if idx > cursor && !(flat.reads_on && (fits || stays)) {
                return;
            }
            wanted.push(Wanted { unit: piece.unit, urgency, ahead: time, idx: Some(idx) });
            time = time.saturating_add(piece.duration);
            if piece.unit.msn().is_some() {
                // An initialization section alone serves nobody: the segment after it is as urgent.
                urgency = Urgency::Playback;
            }
        }
    }

    /// Cancels and releases what nobody wants. True where a fetch was broken off.
    fn let_go(&mut self, wanted: &[Wanted]) -> bool {
        let mut keep: Vec<UnitKey> = wanted.iter().map(|wanted| wanted.unit).collect();
        keep.sort_unstable();
        let mut gone: Vec<UnitKey> = Vec::new();
        for (key, unit) in self.units.iter().filter(|(key, _)| keep.binary_search(key).is_err()) {
            match &unit.state {
                UnitState::Fetching(fetch) => {
                    let left = self.units.fetches.get(fetch).and_then(super::units::Fetch::remaining);
                    let soon = self.adaptation.estimate().map_or(UNMEASURED, |rate| rate.bytes_in(FINISH.1));
                    let nearly = left.is_some_and(|left| left <= FINISH.0.min(soon));
                    if !nearly {
                        gone.push(key);
                    }
                }
                UnitState::Missing | UnitState::Failed => {}
                UnitState::Ready { .. }
                | UnitState::Assembling(_)
                | UnitState::Resting { .. }
                | UnitState::AwaitingPlaylist(_)
                | UnitState::AwaitingUrl => gone.push(key),
            }
        }
        let is_fetched = |unit: &UnitKey| matches!(self.units.state(*unit), Some(UnitState::Fetching(_)));
        let breaks_off = gone.iter().any(is_fetched);
        for unit in gone {
            self.stop_unit(unit);
            self.units.remove(unit);
            self.act(Action::Release { unit });
        }
        self.forget_finished();
        breaks_off
    }

    /// An entered unit that is complete lives on with its reader, not here.
    fn forget_finished(&mut self) {
        for reader in self.readers.values_mut() {
            let ReaderState::Adaptive(adaptive) = &mut reader.state else { continue };
            while let Some(entry) = adaptive.entered.front() {
                let done = matches!(
                    self.units.state(entry.unit),
                    Some(UnitState::Ready { .. } | UnitState::Failed | UnitState::Missing)
                );
                // The newest one stays: its initialization section may serve the next.
                if !done || adaptive.entered.len() < 2 {
                    break;
                }
                adaptive.entered.pop_front();
            }
        }
    }

    /// Tells where the pieces that readers come to begin, as far as that is known.
    fn announce(&mut self, wanted: &[Wanted]) {
        let mut places = Vec::new();
        for media in self.medias.values_mut() {
            let id = media.id;
            // Where the next one begins says where this one ends.
            let pieces = wanted.iter().filter(|wanted| wanted.unit.media == id).filter_map(|wanted| wanted.idx);
            places.extend(pieces.flat_map(|idx| [idx, idx + 1]).filter_map(|idx| media.announce(idx)));
            places.extend(media.announce_len());
        }
        self.actions.extend(places);
    }

    fn start_fetches(&mut self, wanted: &[Wanted]) {
        self.renew_inits();
        let now = self.tick();
        let limit = self.parallel(&wanted.iter().map(|wanted| wanted.unit.media).collect());
        let mut failing: BTreeMap<MediaId, usize> = BTreeMap::new();
        for wanted in wanted {
            let before = failing.entry(wanted.unit.media).or_default();
            let is_behind_failing = *before >= MOST_FAILING;
            *before += usize::from(self.units.is_failing(wanted.unit));
            if matches!(self.units.state(wanted.unit), Some(UnitState::Assembling(_))) {
                self.assemble(wanted.unit, wanted.urgency);
            }
            // Units that are put together go on: their parts are what is waited for.
            if (self.units.delivering() >= limit || is_behind_failing) && wanted.urgency != Urgency::Demand {
                continue;
            }
            let due = match self.units.state(wanted.unit) {
                None => true,
                Some(UnitState::Resting { until }) => *until <= now,
                Some(_) => false,
            };
            // A key that could not be had is asked for again by the units that are waited for, not by all that need it.
            if !due {
                continue;
            }
            if self.comes_in_parts(wanted.unit) {
                self.begin_assembly(wanted.unit);
                self.assemble(wanted.unit, wanted.urgency);
            } else if wanted.urgency == Urgency::Demand || !self.lacks_key(wanted.unit) {
                self.start_fetch(*wanted, Purpose::Deliver);
            }
        }
    }

    /// Whether the key of a unit was asked for and could not be had.
    pub(super) fn lacks_key(&self, unit: UnitKey) -> bool {
        let resource = self.medias.get(&unit.media).and_then(|media| Resource::of(media, unit));
        resource.is_some_and(|resource| match protection(&resource.keys) {
            Protection::Aes128(key) => self.keys.has_failed(key),
            Protection::Clear | Protection::Unsupported => false,
        })
    }

    /// How many units to fetch side by side: a link that is hardly faster than the media is not shared, so that the
    /// unit needed first comes first.
    pub(super) fn parallel(&self, medias: &BTreeSet<MediaId>) -> usize {
        let rates = medias.iter().filter_map(|id| self.medias.get(id)).map(|media| media.rate().0);
        let rate = BitRate(rates.fold(0, u64::saturating_add));
        parallel_fetches(self.adaptation.estimate(), rate, self.options.playback.parallel_fetches) + medias.len()
            - usize::from(!medias.is_empty())
    }

    pub(super) fn start_fetch(&mut self, wanted: Wanted, purpose: Purpose) {
        let unit = wanted.unit;
        let attempt = self.units.get(unit).map_or(1, |unit| unit.trouble.attempts + 1);
        let prepared = match self.prepare(unit, attempt, wanted.urgency) {
            Ok(prepared) => prepared,
            Err(cause) if purpose == Purpose::Keep => return self.keeping_failed(unit, &cause),
            Err(cause) => return self.unit_failed(unit, cause),
        };
        self.fetch_key(prepared.ask);
        let request = prepared.request;
        let fetch = self.units.begin(unit, purpose, prepared.key, self.now.at);
        match purpose {
            Purpose::Deliver => {
                // Of whole units only initialization sections are hinted at.
                let ahead = self.take_ahead(PreloadKind::Init, unit, fetch, &request);
                self.act(Action::Fetch { fetch, unit, request, ahead });
            }
            Purpose::Size => self.act(Action::Size { fetch, unit, request }),
            Purpose::Keep => self.act(Action::Keep { fetch, unit, request }),
            // They are ordered where their segment is put together.
            Purpose::Part | Purpose::Close => {}
        }
    }

    /// Asks for a key that is needed, and forgets one that is not any more.
    pub(super) fn fetch_key(&mut self, ask: Option<(super::KeyId, KeyRequest)>) {
        let Some((key, request)) = ask else { return };
        self.act(Action::FetchKey { key, request });
        let fetches = &self.units.fetches;
        let needed = |id| id == key || fetches.values().any(|fetch| fetch.key.is_some_and(|used| used.key == id));
        if let Some(key) = self.keys.forget_one(needed) {
            self.act(Action::ForgetKey { key });
        }
    }

    /// Where a unit is to be had now, and how it is read.
    fn prepare(&mut self, unit: UnitKey, attempt: u32, urgency: Urgency) -> Result<Prepared, FetchFailure> {
        let media = self.medias.get(&unit.media).ok_or_else(|| FetchFailure::new(FailureKind::NoMedia))?;
        let resource = Resource::of(media, unit).ok_or_else(|| FetchFailure::new(FailureKind::BehindLiveWindow))?;
        let growing_since = media.growing_since(unit);
        let failed_since = self.units.get(unit).and_then(|unit| unit.trouble.since);
        let waited = failed_since.map(|since| self.tick().since(since));
        let patience = waited.map(|waited| fallback::patience_left(waited, self.options.playback.patience));
        let Decryption { encryption, key, ask } = self.decryption(&resource.keys, resource.msn, unit.media)?;
        let request = UnitRequest {
            url: resource.uri.url(),
            range: resource.range,
            encryption,
            attempt,
            urgency,
            patience,
            is_excerpt: resource.is_excerpt,
            growing_since,
        };
        Ok(Prepared { request, key, ask })
    }

    /// How what these keys of a playlist of `media` apply to is decrypted, and the key to ask for before.
    pub(super) fn decryption(
        &mut self,
        keys: &[Key],
        msn: MediaSequence,
        media: MediaId,
    ) -> Result<Decryption, FetchFailure> {
        match protection(keys) {
            Protection::Clear => Ok(Decryption::default()),
            Protection::Unsupported => Err(FetchFailure::new(FailureKind::Unsupported)),
            Protection::Aes128(key) if !self.options.plain_keys && key.uri.as_ref().is_some_and(Uri::leaves_https) => {
                let detail = "a playlist that came by https names its key by plain http";
                Err(FetchFailure { detail: Some(detail.into()), ..FetchFailure::new(FailureKind::Unsupported) })
            }
            Protection::Aes128(key) => {
                let (now, rest) = (self.tick(), self.options.playback.refetch_backoff);
                let asked = self.keys.ask(key, media, now, rest);
                let (used, ask) = asked.ok_or_else(|| FetchFailure::new(FailureKind::Key))?;
                let encryption = Some(Encryption { key: used.key, iv: initialization_vector(key, msn) });
                Ok(Decryption { encryption, key: Some(used), ask: ask.map(|ask| (used.key, ask)) })
            }
        }
    }

    /// Asks for the lengths a flat reader waits for.
    fn ask_lengths(&mut self) {
        if !self.options.reader.resolve_sizes {
            return;
        }
        let waiting: Vec<MediaId> = self
            .readers
            .values()
            .filter_map(|reader| match &reader.state {
                ReaderState::Flat(flat) if flat.wants_length || self.is_beyond(flat) => flat.media,
                _ => None,
            })
            .collect();
        for media in waiting {
            let room = PARALLEL_SIZES.saturating_sub(self.units.sizing());
            let Some(media) = self.medias.get(&media) else { continue };
            let unknown: Vec<UnitKey> = media
                .layout
                .unknown()
                .map(|piece| piece.unit)
                .filter(|unit| !self.units.is_sizing(*unit))
                .filter(|unit| !matches!(self.units.state(*unit), Some(UnitState::Fetching(_))))
                .take(room)
                .collect();
            for unit in unknown {
                self.start_fetch(Wanted::alone(unit, Urgency::Demand), Purpose::Size);
            }
        }
    }
}

/// What the playlist says of a unit's resource.
struct Resource {
    uri: Uri,
    range: Option<ByteRange>,
    keys: crate::playlist::SharedList<Key>,
    msn: MediaSequence,
    is_excerpt: bool,
}

impl Resource {
    fn of(media: &Media, unit: UnitKey) -> Option<Self> {
        match unit.place {
            Place::Segment(msn) => {
                let timeline = media.timeline.as_ref()?;
                let segment = timeline.segment(msn)?;
                let is_excerpt = timeline.snapshot().iframes_only && segment.byte_range.is_some();
                // An initialization vector that is not stated is the number the playlist gives.
                let (uri, keys) = (segment.uri.to_uri(), segment.keys.clone());
                Some(Self { uri, range: segment.byte_range, keys, msn: segment.msn, is_excerpt })
            }
            // It has no resource of its own.
            Place::Rest { .. } => None,
            Place::Init(init) => {
                let init = media.init(init)?;
                let msn = media.first_user_of(init);
                let keys = init.keys.clone();
                Some(Self { uri: init.uri.clone(), range: init.byte_range, keys, msn, is_excerpt: false })
            }
        }
    }
}

/// One while nothing is known of the link or it is below twice the media's rate, up to `most` from four times on.
pub(crate) fn parallel_fetches(estimate: Option<BitRate>, media: BitRate, most: usize) -> usize {
    let times = estimate.map_or(0, |estimate| estimate.0 / media.0.max(1));
    match times {
        0 | 1 => 1,
        2 | 3 => most.clamp(1, 2),
        _ => most.max(1),
    }
}
