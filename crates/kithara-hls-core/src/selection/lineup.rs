//! Which variants may be played, and which of them are the same on another pathway.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Caps, CodecSupport, RenditionPreference,
    caps::{CodecKind, kind_of},
};
use crate::playlist::{Codecs, MultivariantPlaylist, RenditionKind, Variant, VariantId};

/// The pathway of variants that name none (RFC 8216bis section 4.4.6.2).
pub const DEFAULT_PATHWAY: &str = ".";

/// Separates the number of a backup from the name of its pathway; no PATHWAY-ID may contain it.
const BACKUP: char = '~';

/// The variants of a multivariant playlist that can be played, by pathway.
///
/// Variants that differ in their addresses only are *twins*: one on another pathway, or a redundant stream (RFC 8216
/// section 6.2.4). Redundant streams that name no pathway of their own stand on implied ones: the first twin on `.`, the
/// second on `.~1`, and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineup {
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    id: VariantId,
    pathway: Arc<str>,
    /// Twins have the same number.
    family: usize,
    bandwidth: u64,
    score: Option<u64>,
}

impl Lineup {
    /// The variants of `playlist` that `caps` allow. `sound_only`: nobody looks at pictures.
    #[must_use]
    pub fn new(playlist: &MultivariantPlaylist, caps: &Caps, sound_only: bool, audio: &RenditionPreference) -> Self {
        let mut playable = allowed(playlist, caps, sound_only);
        if playable.is_empty() && matches!(caps.codecs, CodecSupport::Avoid(_)) {
            playable = allowed(playlist, &Caps { codecs: CodecSupport::All, ..caps.clone() }, sound_only);
        }
        with_rendition(&mut playable, playlist, audio);
        if !sound_only {
            one_range(&mut playable, caps);
            within_resolution(&mut playable, caps);
            one_sound(&mut playable, playlist, audio);
        }
        let mut families: Vec<Family> = Vec::new();
        let mut members: Vec<Member> = Vec::new();
        for variant in playable {
            let family = Family::of(playlist, variant);
            let number = families.iter().position(|known| *known == family).unwrap_or_else(|| {
                families.push(family);
                families.len() - 1
            });
            let stated: &str = variant.pathway_id.as_deref().unwrap_or(DEFAULT_PATHWAY);
            let on_it = |member: &&Member| member.family == number && base(&member.pathway) == stated;
            let pathway = match members.iter().filter(on_it).count() {
                0 => stated.into(),
                backup => format!("{stated}{BACKUP}{backup}").into(),
            };
            members.push(Member {
                id: variant.id,
                pathway,
                family: number,
                bandwidth: variant.bandwidth.0,
                score: variant.score.map(|score| score.0),
            });
        }
        Self { members }
    }

    /// All pathways, in the order in which the playlist first names them.
    #[must_use]
    pub fn pathways(&self) -> Vec<Arc<str>> {
        let mut pathways: Vec<Arc<str>> = Vec::new();
        for member in &self.members {
            if !pathways.contains(&member.pathway) {
                pathways.push(Arc::clone(&member.pathway));
            }
        }
        pathways
    }

    /// The variants to choose from on a pathway. Where not every variant has a backup, the others stay what they are.
    ///
    /// When all have a SCORE, one that scores lower than a variant of less bandwidth is left out: it costs more and is
    /// worth less (RFC 8216bis section 6.3.1).
    #[must_use]
    pub fn ladder(&self, pathway: &str) -> Vec<VariantId> {
        let mut seen = BTreeSet::new();
        let here: Vec<&Member> = [pathway, base(pathway)]
            .into_iter()
            .flat_map(|pathway| self.members.iter().filter(move |member| &*member.pathway == pathway))
            .filter(|member| seen.insert(member.family))
            .collect();
        let scored = here.iter().all(|member| member.score.is_some());
        let dominated = |member: &&&Member| {
            scored && here.iter().any(|it| it.bandwidth <= member.bandwidth && it.score > member.score)
        };
        let mut ladder: Vec<VariantId> =
            here.iter().filter(|member| !dominated(member)).map(|member| member.id).collect();
        ladder.sort_unstable();
        ladder
    }

    /// The pathway a variant stands on; `None` for one that cannot be played.
    #[must_use]
    pub fn pathway_of(&self, id: VariantId) -> Option<&Arc<str>> {
        self.member(id).map(|member| &member.pathway)
    }

    /// The twin of `id` on a pathway, if it has another one there.
    #[must_use]
    pub fn twin(&self, id: VariantId, pathway: &str) -> Option<VariantId> {
        let family = self.member(id)?.family;
        let there = |it: &&Member| it.family == family && it.id != id && &*it.pathway == pathway;
        self.members.iter().find(there).map(|member| member.id)
    }

    /// Whether nothing can be played.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a variant can be played.
    #[must_use]
    pub fn contains(&self, id: VariantId) -> bool {
        self.member(id).is_some()
    }

    fn member(&self, id: VariantId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }
}

fn allowed<'a>(playlist: &'a MultivariantPlaylist, caps: &Caps, sound_only: bool) -> Vec<&'a Variant> {
    playlist.variants.iter().filter(|variant| caps.allow(variant, sound_only)).collect()
}

fn base(pathway: &str) -> &str {
    pathway.split(BACKUP).next().unwrap_or(pathway)
}

/// What twins have in common.
#[derive(Clone, Debug, PartialEq)]
struct Family {
    stable_id: Option<Arc<str>>,
    /// Every attribute that says what it is, none that says where it is.
    what: Variant,
    groups: [Vec<String>; 3],
}

impl Family {
    fn of(playlist: &MultivariantPlaylist, variant: &Variant) -> Self {
        let names = [
            (RenditionKind::Audio, &variant.audio),
            (RenditionKind::Video, &variant.video),
            (RenditionKind::Subtitles, &variant.subtitles),
        ];
        let groups = names.map(|(kind, group)| {
            let members = group.iter().flat_map(|group| playlist.group(kind, group));
            // A rendition carried by the variant itself is another thing than one of its own.
            let what = |it: &crate::playlist::Rendition| {
                format!("{} {:?} {:?} {:?} {}", it.name, it.language, it.characteristics, it.channels, it.uri.is_some())
            };
            let mut all: Vec<String> = members.map(what).collect();
            all.sort_unstable();
            all
        });
        let what = Variant {
            id: VariantId(0),
            uri: playlist.variants.first().map_or_else(|| variant.uri.clone(), |first| first.uri.clone()),
            name: None,
            pathway_id: None,
            audio: None,
            video: None,
            subtitles: None,
            closed_captions: None,
            stable_variant_id: None,
            ..variant.clone()
        };
        Self { stable_id: variant.stable_variant_id.clone(), what, groups }
    }
}

/// Keeps the variants that come with the rendition that is wanted by its place, if any do.
fn with_rendition(playable: &mut Vec<&Variant>, playlist: &MultivariantPlaylist, wanted: &RenditionPreference) {
    let Some(rendition) = wanted.id.and_then(|id| playlist.renditions.iter().find(|it| it.id == id)) else { return };
    let has = |variant: &Variant| {
        rendition.kind == RenditionKind::Audio && variant.audio.as_deref() == Some(&*rendition.group_id)
    };
    if playable.iter().any(|variant| has(variant)) {
        playable.retain(|variant| has(variant));
    }
}

/// Keeps the variants of the VIDEO-RANGE that is preferred of those there are.
fn one_range(playable: &mut Vec<&Variant>, caps: &Caps) {
    let best = playable.iter().filter_map(|variant| caps.range_rank(variant)).min();
    // A variant without a picture goes with every range.
    let without = |variant: &Variant| variant.resolution.is_none() && variant.video_range.is_none();
    let pictures = playable.iter().filter(|variant| !without(variant)).filter_map(|it| caps.range_rank(it)).min();
    let best = pictures.or(best);
    playable.retain(|variant| without(variant) || (best.is_some() && caps.range_rank(variant) == best));
}

/// Keeps the variants whose picture is not too large; where all are, those with the smallest.
fn within_resolution(playable: &mut Vec<&Variant>, caps: &Caps) {
    let pixels = |variant: &Variant| variant.resolution.map(|it| u64::from(it.width) * u64::from(it.height));
    let any_fits = playable.iter().any(|variant| caps.fits(variant));
    let smallest = playable.iter().filter_map(|variant| pixels(variant)).min();
    playable.retain(|variant| caps.fits(variant) || (!any_fits && pixels(variant) == smallest));
}

/// Where the same picture comes with several codecs of sound, keeps one: a switch of the picture's quality should not
/// switch the codec of the sound.
fn one_sound(playable: &mut Vec<&Variant>, playlist: &MultivariantPlaylist, wanted: &RenditionPreference) {
    let kind = |variant: &Variant| Sound::of(playlist, variant);
    let mut kinds: Vec<Sound> = Vec::new();
    for sound in playable.iter().filter_map(|variant| kind(variant)) {
        if !kinds.contains(&sound) {
            kinds.push(sound);
        }
    }
    let count = |sound: &Sound| playable.iter().filter(|variant| kind(variant).as_ref() == Some(sound)).count();
    let rank = |sound: &Sound| {
        let too_many = wanted.channels.is_some_and(|most| sound.channels > most);
        let wish = wanted.channels.map_or(0, |most| most.abs_diff(sound.channels));
        (too_many, wish, std::cmp::Reverse(count(sound)))
    };
    // The first of equals is kept.
    let Some(best) = kinds.iter().min_by_key(|sound| rank(sound)).filter(|_| kinds.len() > 1) else { return };
    let has_best = |variant: &Variant| {
        let same = |other: &&&Variant| picture(other) == picture(variant) && kind(other).as_ref() == Some(best);
        playable.iter().any(|other| same(&other))
    };
    let keep: Vec<VariantId> = playable
        .iter()
        .filter(|variant| kind(variant).is_none_or(|sound| sound == *best) || !has_best(variant))
        .map(|variant| variant.id)
        .collect();
    playable.retain(|variant| keep.contains(&variant.id));
}

/// The sound of a variant with renditions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sound {
    codecs: Vec<String>,
    channels: u32,
}

impl Sound {
    fn of(playlist: &MultivariantPlaylist, variant: &Variant) -> Option<Self> {
        variant.resolution?;
        let group = playlist.group(RenditionKind::Audio, variant.audio.as_deref()?);
        let channels = group.filter_map(|it| it.channels.as_ref()?.count()).max().unwrap_or(2);
        Some(Self { codecs: codecs(variant, CodecKind::Audio), channels })
    }
}

/// What tells one picture of a ladder from another.
fn picture(variant: &Variant) -> impl PartialEq + use<> {
    (variant.resolution, variant.frame_rate, codecs(variant, CodecKind::Video), variant.score)
}

fn codecs(variant: &Variant, kind: CodecKind) -> Vec<String> {
    let all = variant.codecs.iter().flat_map(Codecs::iter);
    let mut all: Vec<String> = all.filter(|codec| kind_of(codec) == kind).map(str::to_owned).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::{
        super::{CodecSupport, HdcpCap, RangeCap},
        *,
    };
    use crate::playlist::{ParseOptions, Playlist, parse};

    fn playlist(lines: &[&str]) -> MultivariantPlaylist {
        let tag = |(n, line): (usize, &&str)| {
            if line.starts_with("TYPE") {
                format!("#EXT-X-MEDIA:{line}\n")
            } else {
                format!("#EXT-X-STREAM-INF:{line}\nv{n}\n")
            }
        };
        let text = format!("#EXTM3U\n{}", lines.iter().enumerate().map(tag).collect::<String>());
        let base = "http://origin.test/".parse().expect("a URL");
        match parse(text.as_bytes(), &base, &ParseOptions::default()) {
            Ok(Playlist::Multivariant(playlist)) => playlist,
            other => unreachable!("{other:?}"),
        }
    }

    fn lineup(lines: &[&str], caps: &Caps, sound_only: bool) -> Lineup {
        Lineup::new(&playlist(lines), caps, sound_only, &RenditionPreference::default())
    }

    #[track_caller]
    fn check(lines: &[&str], caps: &Caps, want: &[u32]) {
        let ladder = lineup(lines, caps, false).ladder(DEFAULT_PATHWAY);
        assert_eq!(ladder.iter().map(|id| id.0).collect::<Vec<_>>(), want);
    }

    #[test]
    fn all_variants_of_a_plain_playlist_are_played() {
        check(&["BANDWIDTH=1", "BANDWIDTH=2,CODECS=\"avc1.4d401f,mp4a.40.2\""], &Caps::default(), &[0, 1]);
    }

    #[test]
    fn what_cannot_be_decoded_is_left_out() {
        let lines = [
            "BANDWIDTH=1,CODECS=\"avc1.4d401f,mp4a.40.2\"",
            "BANDWIDTH=2,CODECS=\"hvc1.1.6,mp4a.40.2\"",
            "BANDWIDTH=3,CODECS=\"avc1.4d401f,ac-3\"",
            "BANDWIDTH=4",
        ];
        let codecs = CodecSupport::Only(vec!["avc1".into(), "mp4a.40".into()]);
        check(&lines, &Caps { codecs, ..Caps::default() }, &[0, 3]);
        let codecs = CodecSupport::Only(vec!["mp4a.40".into()]);
        let heard = lineup(&lines, &Caps { codecs, ..Caps::default() }, true);
        assert_eq!(heard.ladder("."), [0, 1, 3].map(VariantId), "a player of sound decodes no picture");
    }

    #[test]
    fn what_is_better_avoided_is_played_where_there_is_no_other() {
        let lines = ["BANDWIDTH=1,CODECS=\"ac-3\"", "BANDWIDTH=2,CODECS=\"mp4a.40.2\""];
        let caps = Caps { codecs: CodecSupport::Avoid(vec!["ac-3".into()]), ..Caps::default() };
        for sound_only in [true, false] {
            assert_eq!(lineup(&lines, &caps, sound_only).ladder("."), [VariantId(1)]);
            assert_eq!(lineup(&lines[..1], &caps, sound_only).ladder("."), [VariantId(0)]);
        }
        let caps = Caps { codecs: CodecSupport::AllBut(vec!["ac-3".into()]), ..Caps::default() };
        check(&lines[..1], &caps, &[]);
    }

    #[test]
    fn output_protection_layouts_and_ranges_are_respected() {
        let lines = [
            "BANDWIDTH=1,RESOLUTION=1x1",
            "BANDWIDTH=2,RESOLUTION=1x1,HDCP-LEVEL=TYPE-1",
            "BANDWIDTH=3,RESOLUTION=1x1,REQ-VIDEO-LAYOUT=\"CH-STEREO\"",
            "BANDWIDTH=4,RESOLUTION=1x1,VIDEO-RANGE=PQ",
        ];
        check(&lines, &Caps { hdcp: HdcpCap::Type0, ..Caps::default() }, &[0]);
        check(&lines, &Caps::default(), &[0, 1]);
        check(&lines, &Caps { video_layouts: vec!["CH-STEREO".into()], ..Caps::default() }, &[0, 1, 2]);
        check(&lines, &Caps { video_ranges: vec![RangeCap::Pq, RangeCap::Sdr], ..Caps::default() }, &[3]);
        check(&lines[..1], &Caps { video_ranges: vec![RangeCap::Pq], ..Caps::default() }, &[]);
    }

    #[test]
    fn pictures_that_are_too_large_are_left_out_unless_all_are() {
        let lines = ["BANDWIDTH=1,RESOLUTION=640x360", "BANDWIDTH=2,RESOLUTION=1280x720", "BANDWIDTH=3"];
        let most = |width, height| Caps { resolution: Some((width, height)), ..Caps::default() };
        check(&lines, &most(640, 480), &[0, 2]);
        check(&lines[..2], &most(320, 240), &[0]);
    }

    #[test]
    fn of_scored_variants_none_costs_more_and_is_worth_less() {
        let scored = ["BANDWIDTH=1,SCORE=1", "BANDWIDTH=2,SCORE=3", "BANDWIDTH=3,SCORE=2", "BANDWIDTH=4,SCORE=3"];
        check(&scored, &Caps::default(), &[0, 1, 3]);
        check(&["BANDWIDTH=1,SCORE=9", "BANDWIDTH=2"], &Caps::default(), &[0, 1]);
    }

    #[test]
    fn one_codec_of_sound_serves_all_pictures() {
        let lines = [
            "TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"e\",CHANNELS=\"2\",URI=\"u\"",
            "TYPE=AUDIO,GROUP-ID=\"ac3\",NAME=\"e\",CHANNELS=\"6\",URI=\"w\"",
            "BANDWIDTH=1,RESOLUTION=2x2,CODECS=\"avc1.1,mp4a.40.2\",AUDIO=\"aac\"",
            "BANDWIDTH=2,RESOLUTION=2x2,CODECS=\"avc1.1,ac-3\",AUDIO=\"ac3\"",
            "BANDWIDTH=3,RESOLUTION=4x4,CODECS=\"avc1.2,mp4a.40.2\",AUDIO=\"aac\"",
            "BANDWIDTH=4,RESOLUTION=4x4,CODECS=\"avc1.2,ac-3\",AUDIO=\"ac3\"",
            "BANDWIDTH=5,RESOLUTION=8x8,CODECS=\"avc1.3,ac-3\",AUDIO=\"ac3\"",
        ];
        check(&lines[..6], &Caps::default(), &[0, 2]);
        let six = RenditionPreference { channels: Some(6), ..RenditionPreference::default() };
        let ladder = Lineup::new(&playlist(&lines), &Caps::default(), false, &six).ladder(".");
        assert_eq!(ladder, [1, 3, 4].map(VariantId));
        let two = RenditionPreference { channels: Some(2), ..RenditionPreference::default() };
        let ladder = Lineup::new(&playlist(&lines), &Caps::default(), false, &two).ladder(".");
        assert_eq!(ladder, [0, 2, 4].map(VariantId), "a picture that has nothing else keeps its sound");
    }

    #[test]
    fn a_rendition_that_is_wanted_by_its_place_brings_its_variants() {
        let lines = [
            "TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"e\",URI=\"u\"",
            "TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"e\",URI=\"w\"",
            "BANDWIDTH=1,AUDIO=\"a\"",
            "BANDWIDTH=2,AUDIO=\"b\"",
        ];
        for (id, want) in [(0, vec![VariantId(0)]), (1, vec![VariantId(1)]), (9, vec![VariantId(0), VariantId(1)])] {
            let wanted =
                RenditionPreference { id: Some(crate::playlist::RenditionId(id)), ..RenditionPreference::default() };
            assert_eq!(Lineup::new(&playlist(&lines), &Caps::default(), true, &wanted).ladder("."), want);
        }
    }

    #[test]
    fn redundant_streams_are_twins_on_implied_pathways() {
        let lines = ["BANDWIDTH=1", "BANDWIDTH=2", "BANDWIDTH=1", "BANDWIDTH=3", "BANDWIDTH=2"];
        let lineup = lineup(&lines, &Caps::default(), false);
        assert_eq!(lineup.pathways().iter().map(|it| &**it).collect::<Vec<_>>(), [".", ".~1"]);
        assert_eq!(lineup.ladder("."), [0, 1, 3].map(VariantId));
        assert_eq!(lineup.ladder(".~1"), [2, 3, 4].map(VariantId), "what has no backup stays");
        assert_eq!(lineup.twin(VariantId(0), ".~1"), Some(VariantId(2)));
        assert_eq!(lineup.twin(VariantId(3), ".~1"), None);
    }

    #[test]
    fn pathways_are_ladders_of_their_own() {
        let lines = [
            "TYPE=AUDIO,GROUP-ID=\"a1\",NAME=\"e\",URI=\"u\"",
            "TYPE=AUDIO,GROUP-ID=\"a2\",NAME=\"e\",URI=\"w\"",
            "BANDWIDTH=1,PATHWAY-ID=\"A\",AUDIO=\"a1\"",
            "BANDWIDTH=2,PATHWAY-ID=\"A\",AUDIO=\"a1\"",
            "BANDWIDTH=1,PATHWAY-ID=\"B\",AUDIO=\"a2\"",
        ];
        let lineup = lineup(&lines, &Caps::default(), false);
        assert_eq!((lineup.ladder("A"), lineup.ladder("B")), (vec![VariantId(0), VariantId(1)], vec![VariantId(2)]));
        assert_eq!(lineup.twin(VariantId(0), "B"), Some(VariantId(2)));
        assert_eq!(lineup.twin(VariantId(1), "B"), None);
        assert_eq!(lineup.pathway_of(VariantId(2)).map(|it| &**it), Some("B"));
    }
}
