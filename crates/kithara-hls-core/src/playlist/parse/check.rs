//! Rules that concern a playlist as a whole, looked at when all of it is read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::{
    ClosedCaptions, Cue, DateRange, Line, MediaPlaylist, MultivariantPlaylist, PreloadHint, RenditionKind, Rule,
    SessionData, Violation,
};

/// What the segments and parts of a media playlist have in common that the rules speak of.
pub(super) struct Listed {
    /// The first EXT-X-PART, and the first EXT-X-PROGRAM-DATE-TIME.
    pub(super) part: Option<Line>,
    pub(super) date: bool,
    /// EXT-X-SERVER-CONTROL, EXT-X-PART-INF.
    pub(super) server_control: Option<Line>,
    pub(super) part_inf: Option<Line>,
    /// The first EXT-X-DATERANGE of each range.
    pub(super) date_ranges: Vec<Line>,
    pub(super) last: Line,
}

/// The rules that a multivariant playlist breaks, in no order.
pub(super) fn multivariant(playlist: &MultivariantPlaylist) -> Vec<Violation> {
    let mut found = Found::default();
    renditions(playlist, &mut found);
    variants(playlist, &mut found);
    let mut data = BTreeSet::new();
    for SessionData { id, language, line, .. } in &playlist.session_data {
        found.unless(data.insert((id, language)), *line, Rule::SessionDataTwice);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn unless(&mut self, right: bool, line: Line, rule: Rule) {
        if !right {
            self.0.push(Violation { line, rule, found: None });
        }
    }
}

fn renditions(playlist: &MultivariantPlaylist, found: &mut Found) {
    let (mut names, mut defaults) = (BTreeSet::new(), BTreeSet::new());
    for it in &playlist.renditions {
        let group = (it.kind, &it.group_id);
        let audio = it.kind == RenditionKind::Audio;
        let of_audio = it.channels.is_some() || it.bit_depth.is_some() || it.sample_rate.is_some();
        found.unless(names.insert((group, &it.name)), it.line, Rule::RenditionNameTwice);
        found.unless(!it.default || defaults.insert(group), it.line, Rule::TwoDefaults);
        found.unless(!it.forced || it.kind == RenditionKind::Subtitles, it.line, Rule::ForcedWithoutSubtitles);
        found.unless(audio || !of_audio, it.line, Rule::AudioAttributeElsewhere);
        let stable = it.stable_rendition_id.as_deref().is_none_or(is_stable_id);
        found.unless(stable, it.line, Rule::InvalidStableId);
    }
}

fn variants(playlist: &MultivariantPlaylist, found: &mut Found) {
    let groups: BTreeSet<(RenditionKind, &str)> =
        playlist.renditions.iter().map(|it| (it.kind, &*it.group_id)).collect();
    let scored = playlist.variants.iter().any(|it| it.score.is_some());
    let without_captions = |it: &Option<ClosedCaptions>| *it == Some(ClosedCaptions::None);
    let no_captions = playlist.variants.iter().any(|it| without_captions(&it.closed_captions));
    for it in playlist.variants.iter().chain(&playlist.iframe_variants) {
        let captions = match &it.closed_captions {
            Some(ClosedCaptions::Group(group)) => Some(group),
            _ => None,
        };
        let uses = [
            (RenditionKind::Audio, it.audio.as_ref()),
            (RenditionKind::Video, it.video.as_ref()),
            (RenditionKind::Subtitles, it.subtitles.as_ref()),
            (RenditionKind::ClosedCaptions, captions),
        ];
        let exists = |(kind, group): &(RenditionKind, Option<&Arc<str>>)| {
            group.is_none_or(|group| groups.contains(&(*kind, &**group)))
        };
        found.unless(uses.iter().all(exists), it.line, Rule::UnknownGroup);
        found.unless(it.codecs.is_some(), it.line, Rule::MissingCodecs);
        let stable = it.stable_variant_id.as_deref().is_none_or(is_stable_id);
        found.unless(stable, it.line, Rule::InvalidStableId);
    }
    for it in &playlist.variants {
        found.unless(!scored || it.score.is_some(), it.line, Rule::MissingScore);
        found.unless(!no_captions || without_captions(&it.closed_captions), it.line, Rule::CaptionsHereAndThere);
    }
    if let Some(steering) = &playlist.content_steering {
        let of_variant = |pathway: &str| playlist.variants.iter().any(|it| it.pathway_id.as_deref() == Some(pathway));
        let known = steering.pathway_id.as_deref().is_none_or(|pathway| pathway == "." || of_variant(pathway));
        found.unless(known, steering.line, Rule::UnknownPathway);
    }
}

fn is_stable_id(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=.-_".contains(&byte))
}

/// The rules that a media playlist breaks, in no order.
pub(super) fn media(playlist: &MediaPlaylist, listed: &Listed) -> Vec<Violation> {
    let mut found = Found::default();
    let target = playlist.target_duration;
    let control = &playlist.server_control;
    let line = listed.server_control.unwrap_or(listed.last);
    let at_least = |value: Option<Duration>, least: Duration| value.is_none_or(|value| value >= least);
    found.unless(at_least(control.hold_back, target.saturating_mul(3)), line, Rule::HoldBackTooShort);
    found.unless(at_least(control.can_skip_until, target.saturating_mul(6)), line, Rule::SkipBoundaryTooShort);
    let skips = control.can_skip_until.is_some() || !control.can_skip_date_ranges;
    found.unless(skips, line, Rule::SkipDateRangesAlone);
    if let (Some(part_target), Some(part_inf)) = (playlist.part_target, listed.part_inf) {
        found.unless(control.part_hold_back.is_some(), part_inf, Rule::MissingPartHoldBack);
        let least = part_target.saturating_mul(2);
        found.unless(at_least(control.part_hold_back, least), line, Rule::PartHoldBackTooShort);
    }
    if let Some(part) = listed.part {
        found.unless(playlist.part_target.is_some(), part, Rule::PartWithoutPartInf);
    }
    for PreloadHint { line, .. } in &playlist.preload_hints {
        found.unless(!playlist.ended, *line, Rule::HintAfterEnd);
    }
    for (range, line) in playlist.date_ranges.iter().zip(&listed.date_ranges) {
        found.unless(listed.date, *line, Rule::DateRangeWithoutDates);
        date_range(range, *line, playlist.delta.is_some(), &mut found);
    }
    found.0
}

fn date_range(range: &DateRange, line: Line, is_delta: bool, found: &mut Found) {
    found.unless(range.start_date.is_some() || is_delta, line, Rule::DateRangeWithoutStart);
    let ends = range.duration.is_some() || range.end_date.is_some();
    found.unless(!range.end_on_next || (range.class.is_some() && !ends), line, Rule::EndOnNextWithEnd);
    let Cue { pre, post, .. } = range.cue;
    found.unless(!(pre && post), line, Rule::CueBothWays);
    let computed = range.start_date.zip(range.duration).and_then(|(start, duration)| start.checked_add(duration));
    let agree = computed.zip(range.end_date).is_none_or(|(computed, stated)| computed == stated);
    let ordered = range.start_date.zip(range.end_date).is_none_or(|(start, end)| start <= end);
    found.unless(agree && ordered, line, Rule::DateRangeEndsTwice);
}
