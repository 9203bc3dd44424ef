//! How far ahead of their readers units are planned, and from which variant.

use std::{collections::BTreeSet, time::Duration};

use super::{
    HlsEvent, LiveEvent, MediaId, ReaderId, Session, Track, UnitKey, VariantChoice, WaitReason,
    media::Media,
    planning::Filled,
    readers::{Adaptive, Next, ReaderState},
    units::UnitState,
};
use crate::playlist::MediaSequence;

/// Why a unit is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Its reader asks for it.
    Asked,
    /// Its fetch can begin.
    Place,
    /// It needs none, or fills a hole in what there is.
    Held,
}

impl Session {
    /// Plans further units for adaptive readers, and hands out what they ask for.
    ///
    /// Planned is as much as fetches can begin now: which variant is next is decided when there is a place for its fetch, by
    /// what was measured until then. Whoever has least planned comes first; of equals a rendition, which is the smaller one.
    pub(super) fn extend_plans(&mut self) {
        let mut open: Vec<ReaderId> = self.readers.keys().copied().collect();
        loop {
            // Asked anew each time: what one plans another may share.
            let next = open.iter().filter_map(|id| Some((*id, self.wants_more(*id)?)));
            let is_variant = |id| matches!(self.adaptive(id).and_then(|it| it.media), Some(MediaId::Variant(_)));
            let next = next.min_by_key(|(id, _)| (self.planned_ahead(*id), is_variant(*id)));
            let Some((id, why)) = next else { break };
            if !self.plan_next(id, why) {
                open.retain(|other| *other != id);
            }
        }
        let readers: Vec<ReaderId> = self.readers.keys().copied().collect();
        readers.into_iter().for_each(|id| self.serve(id));
    }

    /// Why a unit is to be planned for an adaptive reader now, if it is.
    fn wants_more(&self, id: ReaderId) -> Option<Why> {
        let adaptive = self.adaptive(id)?;
        let media = adaptive.media.and_then(|media| self.medias.get(&media))?;
        if adaptive.planned.is_empty() && adaptive.asks {
            return Some(Why::Asked);
        }
        let ahead = adaptive.ahead(adaptive.planned_until());
        let playback = &self.options.playback;
        let is_full = ahead >= playback.buffer_goal || media.likely_bytes(ahead) >= playback.buffer_bytes;
        if adaptive.single || is_full {
            return None;
        }
        let (places, waiting) = (self.places(), self.waiting());
        // What comes later than this one would does not take its place.
        let first: BTreeSet<UnitKey> = waiting.iter().filter(|it| it.0 < ahead).map(|it| it.1).collect();
        // While another stream is on its way, the one that is left goes on unit by unit.
        let is_left = adaptive.switching_to.is_some_and(|target| !self.comes_later(id, target));
        let busy = |unit| matches!(self.units.state(unit), None | Some(UnitState::Fetching(_)));
        let own = || adaptive.entered.iter().chain(&adaptive.planned).any(|entry| busy(entry.unit));
        if first.len() < places && !(is_left && own()) {
            return Some(Why::Place);
        }
        self.costs_nothing(adaptive, media).then_some(Why::Held)
    }

    /// Whether what is planned next is there, under way, or planned for another reader, who would let go of it; or something
    /// behind it is.
    fn costs_nothing(&self, adaptive: &Adaptive, media: &Media) -> bool {
        let Some((msn, timeline)) = adaptive.next_segment(media).zip(media.timeline.as_ref()) else { return false };
        let unit = UnitKey::segment(media.id, msn);
        let until = adaptive.position.saturating_add(self.options.playback.buffer_goal);
        let is_ahead = |it: MediaSequence| it >= msn && timeline.start_of(it).is_some_and(|start| start < until);
        self.readers.values().any(|other| other.place_of(unit).is_some())
            || self.units.of_media(media.id).filter_map(UnitKey::msn).any(is_ahead)
    }

    fn planned_ahead(&self, id: ReaderId) -> Duration {
        self.adaptive(id).map_or(Duration::ZERO, |adaptive| adaptive.ahead(adaptive.planned_until()))
    }

    /// Fetches that can begin now.
    fn places(&self) -> usize {
        let medias = self.readers.values().filter_map(super::Reader::media).collect();
        self.parallel(&medias).saturating_sub(self.units.delivering())
    }

    /// Planned units that wait for a place among the fetches, and how far ahead of their readers they are. Those whose key
    /// cannot be had are in nobody's way.
    fn waiting(&self) -> Vec<(Duration, UnitKey)> {
        let now = self.tick();
        let waits = |unit: &UnitKey| match self.units.state(*unit) {
            None => !(self.keys.have_failed() && self.lacks_key(*unit)),
            Some(UnitState::Resting { until }) => *until <= now,
            Some(_) => false,
        };
        let planned = self.readers.keys().filter_map(|id| self.adaptive(*id)).flat_map(|adaptive| {
            let units = adaptive
                .planned
                .iter()
                .flat_map(|entry| entry.init.into_iter().chain([entry.unit]).map(|it| (entry.start, it)));
            units.map(|(start, unit)| (start.saturating_sub(adaptive.position), unit))
        });
        planned.filter(|(_, unit)| waits(unit)).collect()
    }

    /// Plans one unit for an adaptive reader. False where that has to wait.
    fn plan_next(&mut self, id: ReaderId, why: Why) -> bool {
        if why != Why::Held {
            self.adapt(id);
            if self.wants_more(id).is_none() {
                return false;
            }
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
