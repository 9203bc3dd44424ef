//! What is selected of what the multivariant playlist offers, and how readers follow.

use std::time::Duration;

use super::{
    Action, Failure, FailureKind, HlsEvent, MediaId, MediaSelection, ReaderId, Session, Track, VariantChoice,
    readers::{ReaderState, SWITCH_LEAD},
    steering::base,
    units::UnitState,
};
use crate::{
    abr::AbrReason,
    playlist::{Codecs, MultivariantPlaylist, Rendition, RenditionId, RenditionKind, Variant, VariantId},
    selection::{CodecSupport, DEFAULT_PATHWAY, Lineup, SubtitleMode, choose, choose_forced, continuation},
};

/// What is selected.
#[derive(Debug, Default)]
pub(super) struct Selecting {
    pub(super) lineup: Lineup,
    /// The variants to choose from now: those of the pathway in force.
    pub(super) ladder: Vec<VariantId>,
    /// Renditions in force.
    pub(super) audio: Option<RenditionId>,
    pub(super) subtitles: Option<RenditionId>,
    wish_audio: Wish,
    wish_subtitles: Wish,
}

/// What the application said of a kind of rendition while playing.
#[derive(Debug, Default)]
enum Wish {
    /// Nothing: the options count.
    #[default]
    Options,
    /// This one, and in other groups what goes on with it.
    This(Box<Rendition>),
    /// None.
    Off,
}

impl Session {
    /// Takes the variants that can be played.
    pub(super) fn take_lineup(&mut self, playlist: &MultivariantPlaylist) {
        let playback = &self.options.playback;
        let sound_only = playback.selection == MediaSelection::AudioOnly;
        self.selecting.lineup = Lineup::new(playlist, &playback.caps, sound_only, &playback.audio);
        self.offered = super::status::offered(playlist, &self.selecting.lineup);
        self.offer_pathways(playlist);
    }

    /// Takes the variants of the pathway in force as the ladder.
    pub(super) fn take_ladder(&mut self) {
        let Some(playlist) = self.multivariant.clone() else { return };
        let pathway = self.steering.pathways.current().cloned();
        let mut ladder = pathway.map(|pathway| self.selecting.lineup.ladder(&pathway)).unwrap_or_default();
        if let VariantChoice::Id(id) = self.options.playback.variant
            && !ladder.contains(&id)
        {
            // Whoever names one by its number knows what it is.
            ladder.push(id);
        }
        self.adaptation.take_ladder(playlist.variants.iter().filter(|variant| ladder.contains(&variant.id)));
        self.selecting.ladder = ladder;
    }

    pub(super) fn select_variant(&mut self, id: VariantId) {
        let lineup = &self.selecting.lineup;
        let here = self.steering.pathways.current();
        let twin = here.and_then(|here| lineup.twin(id, here)).filter(|_| !self.selecting.ladder.contains(&id));
        let id = twin.unwrap_or(id);
        if self.variant_named(id).is_none() {
            let error = Failure::session(FailureKind::NoMedia);
            return self.tell(HlsEvent::Error { error, recoverable: true });
        }
        if !self.selecting.ladder.contains(&id) {
            match self.selecting.lineup.pathway_of(id).cloned() {
                Some(pathway) => self.apply_pathway(pathway),
                // It is not for this player, by what it was told; the user knows better.
                None => {
                    self.selecting.ladder.push(id);
                    let ladder = self.selecting.ladder.clone();
                    if let Some(playlist) = self.multivariant.clone() {
                        self.adaptation.take_ladder(playlist.variants.iter().filter(|it| ladder.contains(&it.id)));
                    }
                }
            }
        }
        self.adaptation.hold(id);
        self.switch_to(id, AbrReason::Manual);
    }

    /// Lets adaptive readers change to another variant as soon as its playlist is there.
    pub(super) fn switch_to(&mut self, id: VariantId, reason: AbrReason) {
        if self.variant == Some(id) {
            return;
        }
        self.apply_variant(id, reason);
        let Some(media) = self.media_for(Track::Main) else { return };
        self.each_adaptive(|track, adaptive| {
            if track == Track::Main {
                adaptive.switching_to = (adaptive.media != Some(media)).then_some(media);
            }
        });
    }

    /// The application chose a rendition, or no subtitles.
    pub(super) fn select_rendition(&mut self, track: Track, id: Option<RenditionId>) {
        let named = id.map(|id| self.rendition(id).filter(|it| Some(it.kind) == kind_of(track)).cloned());
        let wish = match named {
            None => Wish::Off,
            Some(Some(rendition)) => Wish::This(Box::new(rendition)),
            Some(None) => {
                let error = Failure::session(FailureKind::NoMedia);
                return self.tell(HlsEvent::Error { error, recoverable: true });
            }
        };
        match track {
            Track::Audio => self.selecting.wish_audio = wish,
            Track::Subtitles => self.selecting.wish_subtitles = wish,
            Track::Main | Track::IFrames => return,
        }
        self.select_and_follow(true);
    }

    /// Finds the renditions that belong to the variant in force; readers follow.
    pub(super) fn refresh_selection(&mut self) {
        self.select_and_follow(false);
    }

    fn select_and_follow(&mut self, soon: bool) {
        let audio = self.rendition_in_force(RenditionKind::Audio).map(|it| it.id);
        let from = std::mem::replace(&mut self.selecting.audio, audio);
        if from != audio {
            self.tell(HlsEvent::RenditionApplied { track: Track::Audio, from, to: audio });
        }
        let subtitles = self.rendition_in_force(RenditionKind::Subtitles).map(|it| it.id);
        let from = std::mem::replace(&mut self.selecting.subtitles, subtitles);
        if from != subtitles {
            self.tell(HlsEvent::RenditionApplied { track: Track::Subtitles, from, to: subtitles });
        }
        self.follow(soon);
    }

    /// Adaptive readers of renditions change to what is selected; `soon`: before they have played what is buffered.
    fn follow(&mut self, soon: bool) {
        let wanted = |track| (self.media_for(track), self.is_off(track));
        let (main, audio, subtitles) = (wanted(Track::Main), wanted(Track::Audio), wanted(Track::Subtitles));
        self.each_adaptive(|track, adaptive| {
            let (want, off) = match track {
                Track::Main => main,
                Track::Audio => audio,
                Track::Subtitles => subtitles,
                // One stream of pictures is as good as another: readers stay with theirs.
                Track::IFrames => return,
            };
            if off {
                return adaptive.halt();
            }
            let of_rendition = track != Track::Main || matches!(want, Some(MediaId::Rendition(_)));
            let Some(want) = want.filter(|_| of_rendition) else { return };
            if adaptive.media == Some(want) {
                adaptive.switching_to = None;
            } else if adaptive.media.is_some() || adaptive.switching_to.is_some() {
                adaptive.switching_to = Some(want);
                adaptive.soon |= soon;
            }
        });
    }

    /// Gives an adaptive reader a stream whose playlist is there.
    pub(super) fn attach_adaptive(&mut self, id: ReaderId, media: MediaId) {
        let others = self.readers.iter().filter(|(other, _)| **other != id).map(|(_, reader)| reader);
        let together = self.readers.get(&id).is_some_and(|reader| match &reader.state {
            ReaderState::Adaptive(adaptive) => adaptive.together,
            ReaderState::Flat(_) => false,
        });
        let elsewhere = others.filter_map(|reader| match &reader.state {
            // Its playlist may have come later than the others', who were read meanwhile.
            ReaderState::Adaptive(adaptive) if reader.plays() && together => Some(adaptive.began),
            ReaderState::Adaptive(adaptive) if reader.plays() => Some(adaptive.position),
            ReaderState::Adaptive(_) | ReaderState::Flat(_) => None,
        });
        let at = elsewhere.max();
        let timeline = self.medias.get(&media).and_then(|media| media.timeline.as_ref());
        let by_parts = self.plays_parts(media);
        let start = self.declared_start();
        let beginning = timeline.map(|timeline| super::live::beginning(timeline, start, &self.options.live, by_parts));
        let (units, lead) = (&self.units, self.switch_lead(media));
        let Some(ReaderState::Adaptive(adaptive)) = self.readers.get_mut(&id).map(|reader| &mut reader.state) else {
            return;
        };
        if adaptive.is_open() {
            // What is read next begins where that segment will end.
            return;
        }
        if let Some(at) = at.filter(|_| adaptive.media.is_none() && adaptive.switching_to.is_none()) {
            adaptive.join(at);
        }
        if let Some((at, exact)) = beginning {
            adaptive.begin(at, exact);
        }
        adaptive.attach(media, lead, |unit| matches!(units.state(unit), Some(UnitState::Ready { .. })));
        self.act(Action::Attach { reader: id, media });
        self.follow_by_parts(media);
    }

    /// The time it may take to fetch a segment of `media`: twice what is expected, as long again as units usually take, for its
    /// initialization section and key, and a moment.
    fn switch_lead(&self, media: MediaId) -> Duration {
        let media = self.medias.get(&media);
        let segment = media.and_then(|media| Some((media, media.timeline.as_ref()?.snapshot().target_duration)));
        let (Some(rate), Some((media, segment))) = (self.adaptation.estimate(), segment) else { return SWITCH_LEAD };
        let expected = rate.time_for(media.likely_bytes(segment));
        let others = self.counts.unit_latency().unwrap_or_default().saturating_mul(2);
        let lead = expected.saturating_mul(2).saturating_add(others).saturating_add(Duration::from_millis(250));
        lead.min(SWITCH_LEAD)
    }

    pub(super) fn rendition(&self, id: RenditionId) -> Option<&Rendition> {
        self.multivariant.as_ref()?.renditions.iter().find(|it| it.id == id)
    }

    fn rendition_in_force(&self, kind: RenditionKind) -> Option<&Rendition> {
        let variant = self.variant.and_then(|id| self.variant_named(id))?;
        self.rendition_with(variant, kind)
    }

    /// The rendition that is played with `variant`: what the user chose, else what goes on with the one in force, else
    /// the nearest to what the options want.
    pub(super) fn rendition_with<'a>(&'a self, variant: &'a Variant, kind: RenditionKind) -> Option<&'a Rendition> {
        let playlist = self.multivariant.as_deref()?;
        let playback = &self.options.playback;
        let (group, wish, now, wanted) = match kind {
            RenditionKind::Audio => {
                let (group, now) = (&variant.audio, self.selecting.audio);
                (group, &self.selecting.wish_audio, now, &playback.audio)
            }
            _ => {
                let (group, now) = (&variant.subtitles, self.selecting.subtitles);
                (group, &self.selecting.wish_subtitles, now, &playback.subtitles.wanted)
            }
        };
        let group = group.as_deref()?;
        let sound = kind == RenditionKind::Audio;
        let offered = || playlist.group(kind, group).filter(|it| sound || it.uri.is_some());
        let mode = if sound { SubtitleMode::On } else { playback.subtitles.mode };
        match (wish, mode) {
            (Wish::Off, _) | (Wish::Options, SubtitleMode::Off) => return None,
            (Wish::This(chosen), _) => {
                if let Some(same) = continuation(offered(), chosen) {
                    return Some(same);
                }
            }
            (Wish::Options, SubtitleMode::Forced) => {
                let heard = self.selecting.audio.and_then(|id| self.rendition(id));
                let heard = heard.and_then(|it| it.language.as_deref());
                return choose_forced(offered(), heard, wanted);
            }
            (Wish::Options, SubtitleMode::On) => {}
        }
        let goes_on = now.and_then(|id| self.rendition(id)).and_then(|now| continuation(offered(), now));
        // Forced subtitles are no substitute for whole ones.
        goes_on.or_else(|| choose(offered().filter(|it| !it.forced), wanted)).or_else(|| choose(offered(), wanted))
    }

    /// The stream a reader of `track` is to read now.
    pub(super) fn media_for(&self, track: Track) -> Option<MediaId> {
        let main = self.variant.map(MediaId::Variant);
        // A rendition without a playlist of its own is in the variant's.
        let stream = |id: RenditionId| match self.rendition(id)?.uri {
            Some(_) => Some(MediaId::Rendition(id)),
            None => main,
        };
        let audio = self.selecting.audio.and_then(stream);
        match track {
            Track::Main if self.options.playback.selection == MediaSelection::AudioOnly => audio.or(main),
            Track::Main => main,
            Track::Audio => audio,
            Track::Subtitles => self.selecting.subtitles.and_then(stream),
            Track::IFrames => self.pictures(),
        }
    }

    /// The stream of single pictures: of those on the pathway in force that can be decoded, the largest that a quarter of
    /// the link carries, else the smallest. What failed a short while ago is left out.
    fn pictures(&self) -> Option<MediaId> {
        let playlist = self.multivariant.as_deref()?;
        let pathway = self.steering.pathways.current()?;
        let here = |it: &&Variant| it.pathway_id.as_deref().unwrap_or(DEFAULT_PATHWAY) == base(pathway);
        let caps = &self.options.playback.caps;
        let decodable = |it: &&Variant| it.codecs.iter().flat_map(Codecs::iter).all(|it| caps.codecs.supports(it));
        let open = |it: &&Variant| !self.is_excluded(MediaId::IFrames(it.id));
        let all: Vec<&Variant> = playlist.iframe_variants.iter().filter(here).filter(open).collect();
        let mut offered: Vec<&Variant> = all.iter().copied().filter(decodable).collect();
        if offered.is_empty() && matches!(caps.codecs, CodecSupport::Avoid(_)) {
            offered = all;
        }
        let room = self.adaptation.estimate().map_or(0, |estimate| estimate.0 / 4);
        let rank = |it: &&Variant| match it.bandwidth.0 {
            rate if rate <= room => (false, room - rate),
            rate => (true, rate),
        };
        offered.into_iter().min_by_key(rank).map(|it| MediaId::IFrames(it.id))
    }

    /// Whether there is something to read on `track`, but nothing is wanted.
    pub(super) fn is_off(&self, track: Track) -> bool {
        let off = match self.selecting.wish_subtitles {
            Wish::Off => true,
            Wish::This(_) => false,
            Wish::Options => self.options.playback.subtitles.mode != SubtitleMode::On,
        };
        track == Track::Subtitles && off && self.selecting.subtitles.is_none()
    }
}

fn kind_of(track: Track) -> Option<RenditionKind> {
    match track {
        Track::Main | Track::IFrames => None,
        Track::Audio => Some(RenditionKind::Audio),
        Track::Subtitles => Some(RenditionKind::Subtitles),
    }
}
