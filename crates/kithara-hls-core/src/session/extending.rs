//! How far ahead of their readers units are planned, and from which variant.

use std::time::Duration;

use super::{
    HlsEvent, LiveEvent, MediaId, ReaderId, Session, Track, UnitKey, VariantChoice, WaitReason,
    planning::Filled,
    readers::{Adaptive, Next, ReaderState},
    units::UnitState,
};

impl Session {
    /// Plans further units for adaptive readers, and hands out what they ask for.
    ///
    /// Planned is as much as fetches can begin now: which variant is next is decided when there is a place for its fetch, by
    /// what was measured until then. Whoever has least planned comes first.
    pub(super) fn extend_plans(&mut self) {
        let mut open: Vec<ReaderId> = self.readers.keys().copied().collect();
        loop {
            let free = self.places();
            // Asked anew each time: what one plans another may share.
            let next = open.iter().copied().filter(|id| self.wants_more(*id, free));
            let Some(id) = next.min_by_key(|id| self.planned_ahead(*id)) else { break };
            if !self.plan_next(id, free) {
                open.retain(|other| *other != id);
            }
        }
        let readers: Vec<ReaderId> = self.readers.keys().copied().collect();
        readers.into_iter().for_each(|id| self.serve(id));
    }

    /// Whether a unit is to be planned for an adaptive reader, if so many more fetches can begin.
    fn wants_more(&self, id: ReaderId, free: usize) -> bool {
        let Some(adaptive) = self.adaptive(id) else { return false };
        let Some(media) = adaptive.media.and_then(|media| self.medias.get(&media)) else { return false };
        if adaptive.planned.is_empty() && adaptive.asks {
            return true;
        }
        // What another reader has brought or will bring costs no fetch, and must not be let go of meanwhile.
        let is_shared = |unit| {
            self.units.state(unit).is_some() || self.readers.values().any(|other| other.place_of(unit).is_some())
        };
        let is_there = || adaptive.next_unit(media).is_some_and(is_shared);
        if adaptive.single || (free == 0 && !is_there()) {
            return false;
        }
        // While another stream is on its way, the one that is left goes on unit by unit.
        if adaptive.switching_to.is_some() && (self.waiting(adaptive) > 0 || self.units.is_delivering(media.id)) {
            return false;
        }
        let ahead = adaptive.ahead(adaptive.planned_until());
        let playback = &self.options.playback;
        ahead < playback.buffer_goal && media.likely_bytes(ahead) < playback.buffer_bytes
    }

    fn planned_ahead(&self, id: ReaderId) -> Duration {
        self.adaptive(id).map_or(Duration::ZERO, |adaptive| adaptive.ahead(adaptive.planned_until()))
    }

    /// Fetches that can begin now, beside those of units that are planned.
    fn places(&self) -> usize {
        let medias = self.readers.values().filter_map(super::Reader::media).collect();
        let waiting: usize = self.readers.keys().filter_map(|id| self.adaptive(*id)).map(|it| self.waiting(it)).sum();
        self.parallel(&medias).saturating_sub(self.units.delivering() + waiting)
    }

    /// Fetches that wait for their place, of units at the end of a plan.
    fn waiting(&self, adaptive: &Adaptive) -> usize {
        let waits = |unit: UnitKey| self.units.state(unit).is_none();
        let last = adaptive.planned.iter().rev().take_while(|entry| waits(entry.unit));
        // Those whose key cannot be had are in nobody's way.
        let last = last.filter(|entry| !self.lacks_key(entry.unit));
        last.map(|entry| 1 + usize::from(entry.init.is_some_and(waits))).sum()
    }

    /// Plans one unit for an adaptive reader. False where that has to wait.
    fn plan_next(&mut self, id: ReaderId, free: usize) -> bool {
        self.adapt(id);
        if !self.wants_more(id, free) {
            return false;
        }
        let Some(reader) = self.readers.get(&id) else { return false };
        let by_parts = reader.media().is_some_and(|media| self.plays_parts(media));
        let Some(reader) = self.readers.get_mut(&id) else { return false };
        let track = reader.track;
        let ReaderState::Adaptive(adaptive) = &mut reader.state else { return false };
        let Some(media) = adaptive.media.and_then(|media| self.medias.get(&media)) else { return false };
        let media_id = media.id;
        match adaptive.plan(track, media, by_parts) {
            Next::Unit(entry, missed) => {
                let (unit, start, duration) = (entry.unit, entry.start, entry.duration);
                adaptive.planned.push_back(*entry);
                if !missed.is_zero() {
                    self.events.push_back(HlsEvent::Live { event: LiveEvent::Rejoined { track, at: start, missed } });
                }
                if self.units.state(unit) == Some(&UnitState::Missing) {
                    // It was given up before, and readers were told.
                    adaptive.skip(unit);
                    let (variant, segment_index) = (media_id, unit.msn().map_or(0, |msn| media.index_of(msn)));
                    self.tell(HlsEvent::SegmentSkipped { track, variant, segment_index, start, duration });
                }
            }
            Next::Gap(gap) => {
                let target = adaptive.switching_to;
                if target.is_some_and(|target| !self.comes_later(id, target)) {
                    return false;
                }
                match self.fill_gap(id, media_id, gap.start) {
                    Filled::Elsewhere => {}
                    Filled::Asked => return false,
                    Filled::Nowhere => self.pass_gap(id, media_id, gap),
                }
            }
            Next::Playlist => {
                let waits = adaptive.asks && adaptive.planned.is_empty();
                if waits && !std::mem::replace(&mut adaptive.told_waiting, true) {
                    self.tell_waiting(WaitReason::LiveEdge, self.now.at);
                }
                return false;
            }
            Next::End => return false,
        }
        true
    }

    /// Asks adaptation before a unit is planned.
    fn adapt(&mut self, id: ReaderId) {
        let Some(reader) = self.readers.get(&id).filter(|reader| reader.track == Track::Main) else { return };
        let ReaderState::Adaptive(adaptive) = &reader.state else { return };
        let (Some(MediaId::Variant(current)), None) = (adaptive.media, adaptive.switching_to) else { return };
        // What follows a segment that is being made begins where that will end.
        if adaptive.held || adaptive.is_open() || !matches!(self.options.playback.variant, VariantChoice::Auto) {
            return;
        }
        if self.is_before_window(MediaId::Variant(current), adaptive.planned_until()) {
            // Others do not have that time any more.
            return;
        }
        let situation = self.situation(id, current);
        if let Some((target, reason)) = self.adaptation.decide(self.now.at, situation) {
            self.switch_to(target, reason);
            self.attach_switch(id);
        }
    }
}
