//! Something else instead: another pathway, another variant, for what cannot be had.

use super::{Action, Failure, HlsEvent, MediaId, Session, UnitKey, VariantChoice};
use crate::{
    abr::AbrReason,
    playlist::{RenditionKind, Variant, VariantId},
};

impl Session {
    /// A stream that cannot be played from: readers that have not begun with it get another, if there is one.
    pub(super) fn media_unusable(&mut self, id: MediaId, failure: Failure) {
        let until = self.tick() + self.options.playback.exclusion;
        if let Some(media) = self.medias.get_mut(&id) {
            media.excluded_until = Some(until);
        }
        let Some(other) = self.other_for(id).or_else(|| self.still_followed(id)) else {
            if self.is_dispensable(id) {
                // Whoever reads it is told; the others go on without.
                self.tell(HlsEvent::Error { error: failure, recoverable: true });
                return self.leave_media(id, None);
            }
            return self.fail(failure);
        };
        self.tell(HlsEvent::Error { error: failure, recoverable: true });
        self.go_over(id, other);
        self.leave_media(id, None);
    }

    /// Where a variant that was never had was to take over: the one that was played before, or another whose segments are
    /// known, is better than an end.
    fn still_followed(&self, id: MediaId) -> Option<VariantId> {
        let MediaId::Variant(failed) = id else { return None };
        let timeline = |id: VariantId| self.medias.get(&MediaId::Variant(id))?.timeline.as_ref();
        let others = self.selecting.ladder.iter().copied().filter(|other| *other != failed);
        let known = others.filter_map(|other| Some((timeline(other)?.changed(), other)));
        if timeline(failed).is_some() { None } else { known.max().map(|(_, other)| other) }
    }

    /// Takes the time of a unit, and what follows, from elsewhere.
    pub(super) fn take_other_variant(&mut self, unit: UnitKey, failure: Failure) {
        let until = self.tick() + self.options.playback.exclusion;
        let Some(other) = self.other_for(unit.media) else { return self.give_up(unit, failure.cause) };
        if let Some(media) = self.medias.get_mut(&unit.media) {
            media.excluded_until = Some(until);
        }
        self.go_over(unit.media, other);
        self.cut_entered(unit);
        self.leave_media(unit.media, Some(unit));
        // The variant may come back, and its segment with it.
        self.units.remove(unit);
        self.act(Action::Release { unit });
    }

    /// The variant to play instead, where readers can change: the one in force, if it is not concerned; the same on
    /// another pathway; the nearest on this one.
    pub(super) fn other_for(&self, media: MediaId) -> Option<VariantId> {
        if self.holds_readers(media) {
            return None;
        }
        let MediaId::Variant(variant) = media else { return self.other_for_rendition(media) };
        // Units may be left over from a variant that is not the one in force any more.
        let in_force = self.variant.filter(|id| *id != variant && !self.is_excluded(MediaId::Variant(*id)));
        in_force.or_else(|| self.twin_elsewhere(variant, |_| true)).or_else(|| self.substitute_for(variant))
    }

    /// Whether something else takes the place of a stream as soon as it fails. A variant that was chosen, not left to
    /// adaptation, is waited for as long as patience says, but in a live stream, where time would run away; unless another
    /// pathway has it as well.
    pub(super) fn goes_over_at_once(&self, media: MediaId) -> bool {
        let is_chosen = !matches!(self.options.playback.variant, VariantChoice::Auto) && !self.is_live(media);
        let is_in_force = !matches!(media, MediaId::Variant(id) if self.variant != Some(id));
        let is_waited_for = |other| is_chosen && is_in_force && self.selecting.ladder.contains(other);
        self.other_for(media).as_ref().is_some_and(|other| !is_waited_for(other))
    }

    fn other_for_rendition(&self, media: MediaId) -> Option<VariantId> {
        self.kind_of_media(media)?;
        let current = self.variant.and_then(|id| self.variant_named(id))?;
        let instead = |variant: &Variant| {
            let kind = self.kind_of_media(media)?;
            let uri = self.rendition_with(variant, kind)?;
            let other = uri.uri.as_ref().map_or(MediaId::Variant(variant.id), |_| MediaId::Rendition(uri.id));
            (other != media && !self.is_excluded(other)).then_some(other)
        };
        let fits = |id: VariantId| self.variant_named(id).is_some_and(|variant| instead(variant).is_some());
        if fits(current.id) {
            // It belongs to a variant that was left already.
            return Some(current.id);
        }
        let here = || {
            let ladder = self.selecting.ladder.iter().filter_map(|id| self.variant_named(*id));
            let open = ladder.filter(|it| !self.is_excluded(MediaId::Variant(it.id)) && instead(it).is_some());
            let near = |it: &&Variant| (it.bandwidth > current.bandwidth, it.bandwidth.0.abs_diff(current.bandwidth.0));
            open.min_by_key(near).map(|it| it.id)
        };
        self.twin_elsewhere(current.id, fits).or_else(here)
    }

    /// The same variant on another pathway that is in good standing.
    fn twin_elsewhere(&self, id: VariantId, fits: impl Fn(VariantId) -> bool) -> Option<VariantId> {
        let current = self.steering.pathways.current()?;
        let others = self.steering.pathways.others(current, self.now.at);
        let twins = others.filter_map(|pathway| self.selecting.lineup.twin(id, pathway));
        twins.into_iter().find(|twin| !self.is_excluded(MediaId::Variant(*twin)) && fits(*twin))
    }

    /// Plays `other` because `failed` cannot be had: a change of pathway gives up the one in force for a time.
    pub(super) fn go_over(&mut self, failed: MediaId, other: VariantId) {
        let until = self.tick() + self.options.playback.exclusion;
        self.adaptation.exclude(failed, until);
        if !self.selecting.ladder.contains(&other)
            && let Some(pathway) = self.selecting.lineup.pathway_of(other).cloned()
        {
            self.penalize_pathway();
            self.apply_pathway(pathway);
        } else if let Some(kind) = self.kind_of_media(failed) {
            // Variants that come with what failed are left out as well.
            let ladder = self.selecting.ladder.iter().filter_map(|id| self.variant_named(*id));
            let with =
                |it: &&Variant| self.rendition_with(it, kind).map(|it| MediaId::Rendition(it.id)) == Some(failed);
            let concerned: Vec<VariantId> = ladder.filter(with).map(|it| it.id).filter(|id| *id != other).collect();
            for id in concerned {
                self.adaptation.exclude(MediaId::Variant(id), until);
            }
        }
        if self.variant != Some(other) {
            self.apply_variant(other, AbrReason::Failover);
        }
    }

    pub(super) fn is_excluded(&self, id: MediaId) -> bool {
        self.medias.get(&id).is_none_or(|media| media.is_excluded(self.now.at))
    }

    /// Whether a stream was given up a short while ago, and nothing can take its place.
    pub(super) fn is_given_up(&self, id: MediaId) -> bool {
        self.is_excluded(id) && self.is_dispensable(id)
    }

    /// Whether the session goes on without a stream: subtitles, single pictures.
    pub(super) fn is_dispensable(&self, id: MediaId) -> bool {
        matches!(id, MediaId::IFrames(_)) || self.kind_of_media(id) == Some(RenditionKind::Subtitles)
    }

    pub(super) fn kind_of_media(&self, id: MediaId) -> Option<RenditionKind> {
        match id {
            MediaId::Variant(_) | MediaId::IFrames(_) => None,
            MediaId::Rendition(id) => self.rendition(id).map(|it| it.kind),
        }
    }
}
