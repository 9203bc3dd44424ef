//! Which rendition of a group is played (RFC 8216 section 4.3.4.1).

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::language::{LanguageMatch, match_language, same_language};
use crate::playlist::{Channels, Characteristics, Rendition, RenditionId};

/// What is wanted of a rendition. Everything is a wish: the nearest there is gets played.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RenditionPreference {
    /// The rendition at this place of the playlist; goes before everything else. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RenditionId>,
    /// Languages (BCP 47), the preferred first. `en` is met by `en-US`, and `en-US` by `en` where there is nothing
    /// nearer. Default: none, so DEFAULT and AUTOSELECT of the playlist decide.
    pub languages: Vec<String>,
    /// NAME of the rendition, letter case aside; goes before what follows. Default: none.
    pub name: Option<String>,
    /// CHARACTERISTICS that are wanted, such as `public.accessibility.describes-video`. A rendition with others is taken
    /// only where there is no plainer one. Default: none.
    pub characteristics: Vec<String>,
    /// Most channels that can be made use of; what has more is taken only where there is nothing else, and of what has
    /// less the one with most. Default: no matter.
    pub channels: Option<u32>,
}

/// The rendition to play of those `offered`, without another choice of the user.
///
/// In this order: the place in the playlist, NAME, the languages wanted, characteristics wanted and no others, DEFAULT, AUTOSELECT, channels that
/// are understood, channels that fit, and the place in the playlist.
pub fn choose<'a>(
    offered: impl IntoIterator<Item = &'a Rendition>,
    wanted: &RenditionPreference,
) -> Option<&'a Rendition> {
    offered.into_iter().min_by_key(|it| {
        let named = wanted.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&it.name));
        let (missing, excess) = characteristics(it, &wanted.characteristics);
        (
            wanted.id != Some(it.id),
            !named,
            language_rank(it, &wanted.languages),
            (missing, excess),
            (!it.default, !it.autoselect),
            channels_rank(it, wanted.channels),
            it.id,
        )
    })
}

/// The subtitles to show where only forced ones are: in the language of the sound, else in one of those wanted.
pub fn choose_forced<'a>(
    offered: impl IntoIterator<Item = &'a Rendition>,
    sound: Option<&str>,
    wanted: &RenditionPreference,
) -> Option<&'a Rendition> {
    let languages: Vec<String> = match sound {
        Some(language) => vec![language.to_owned()],
        None => wanted.languages.clone(),
    };
    let forced = offered.into_iter().filter(|it| it.forced);
    let heard = forced.filter(|it| languages.is_empty() || language_rank(it, &languages).0 < languages.len());
    choose(heard, &RenditionPreference { languages: languages.clone(), ..wanted.clone() })
}

/// The rendition of another group that goes on with `current`: the same one, else the one most like it. `None` when
/// none is in its language, so that the choice has to be made anew.
pub fn continuation<'a>(
    offered: impl IntoIterator<Item = &'a Rendition>,
    current: &Rendition,
) -> Option<&'a Rendition> {
    let same_tongue = |it: &&Rendition| match (&it.language, &current.language) {
        (Some(theirs), Some(ours)) => same_language(theirs, ours),
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => it.name == current.name,
    };
    offered.into_iter().filter(same_tongue).min_by_key(|it| {
        let stable = it.stable_rendition_id.is_some() && it.stable_rendition_id == current.stable_rendition_id;
        (
            it.id != current.id,
            !stable,
            it.forced != current.forced,
            !same_set(it, current),
            it.name != current.name,
            it.language != current.language,
            (
                channels(it) != channels(current),
                channels(it).map(|count| count.abs_diff(channels(current).unwrap_or(2))),
            ),
            !it.default,
            it.id,
        )
    })
}

/// Place of the best met language in the list, whether only ASSOC-LANGUAGE meets it, and how well it is met. The length of
/// the list when none is met.
fn language_rank(it: &Rendition, languages: &[String]) -> (usize, bool, Reverse<Option<LanguageMatch>>) {
    let met = languages.iter().enumerate().filter_map(|(place, wanted)| {
        let meets = |language: &str| match_language(wanted, language);
        let spoken = it.language.as_deref().and_then(meets);
        let best = spoken.or_else(|| it.assoc_language.as_deref().and_then(meets))?;
        Some((place, spoken.is_none(), Reverse(Some(best))))
    });
    met.min().unwrap_or((languages.len(), false, Reverse(None)))
}

/// Wanted characteristics that are missing, and others that nobody asked for.
fn characteristics(it: &Rendition, wanted: &[String]) -> (usize, usize) {
    let has = |one: &String| it.characteristics.as_ref().is_some_and(|have| have.contains(one));
    let missing = wanted.iter().filter(|one| !has(one)).count();
    let all = it.characteristics.iter().flat_map(Characteristics::iter);
    let excess = all.filter(|one| !wanted.iter().any(|wanted| wanted == one)).count();
    (missing, excess)
}

/// Channels that are not understood come after those that are (RFC 8216bis section 6.3.1); then what fits, the most of it
/// first; then what is too much, the least first.
fn channels_rank(it: &Rendition, most: Option<u32>) -> (bool, bool, u32) {
    let unknown = it.channels.as_ref().is_some_and(|channels| channels.count().is_none());
    let Some(most) = most else { return (unknown, false, 0) };
    match channels(it) {
        Some(count) if count > most => (unknown, true, count),
        Some(count) => (unknown, false, most - count),
        None => (unknown, false, most),
    }
}

fn channels(it: &Rendition) -> Option<u32> {
    it.channels.as_ref().and_then(Channels::count)
}

fn same_set(a: &Rendition, b: &Rendition) -> bool {
    let of = |it: &Rendition| {
        let mut all: Vec<String> =
            it.characteristics.iter().flat_map(Characteristics::iter).map(str::to_owned).collect();
        all.sort_unstable();
        all
    };
    of(a) == of(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::{MultivariantPlaylist, ParseOptions, Playlist, parse};

    fn renditions(tags: &[&str]) -> Vec<Rendition> {
        let media = |tag: &&str| format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",URI=\"u\",{tag}\n");
        let text: String = tags.iter().map(media).collect();
        let text = format!("#EXTM3U\n{text}#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n");
        let base = "http://origin.test/".parse().expect("a URL");
        let Ok(Playlist::Multivariant(MultivariantPlaylist { renditions, .. })) =
            parse(text.as_bytes(), &base, &ParseOptions::default())
        else {
            unreachable!("{text}")
        };
        renditions
    }

    fn wanted(languages: &[&str]) -> RenditionPreference {
        let languages = languages.iter().map(|it| (*it).to_owned()).collect();
        RenditionPreference { languages, ..RenditionPreference::default() }
    }

    #[track_caller]
    fn check(tags: &[&str], wanted: &RenditionPreference, want: &str) {
        let renditions = renditions(tags);
        let chosen = choose(&renditions, wanted);
        assert_eq!(chosen.map(|it| &*it.name), Some(want));
    }

    const WORLD: [&str; 5] = [
        "NAME=\"fr\",LANGUAGE=\"fr\",AUTOSELECT=YES",
        "NAME=\"en\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES",
        "NAME=\"gb\",LANGUAGE=\"en-GB\",AUTOSELECT=YES",
        "NAME=\"ad\",LANGUAGE=\"en\",AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.describes-video\"",
        "NAME=\"de\",LANGUAGE=\"deu\",ASSOC-LANGUAGE=\"gsw\"",
    ];

    #[test]
    fn without_a_wish_the_playlist_decides() {
        check(&WORLD, &wanted(&[]), "en");
        check(&["NAME=\"a\"", "NAME=\"b\",AUTOSELECT=YES"], &wanted(&[]), "b");
        check(&["NAME=\"a\"", "NAME=\"b\""], &wanted(&[]), "a");
    }

    #[test]
    fn languages_are_tried_in_order() {
        check(&WORLD, &wanted(&["fr"]), "fr");
        check(&WORLD, &wanted(&["en-GB"]), "gb");
        check(&WORLD, &wanted(&["en-US"]), "en");
        check(&WORLD, &wanted(&["ja", "de"]), "de");
        check(&WORLD, &wanted(&["gsw"]), "de");
        check(&WORLD, &wanted(&["ja"]), "en");
    }

    #[test]
    fn a_spoken_language_goes_before_an_associated_one() {
        let tags = [
            "NAME=\"a\",LANGUAGE=\"de\",ASSOC-LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES",
            "NAME=\"b\",LANGUAGE=\"en-GB\"",
        ];
        check(&tags, &wanted(&["en"]), "b");
    }

    #[test]
    fn characteristics_are_played_when_they_are_asked_for() {
        let described = vec!["public.accessibility.describes-video".to_owned()];
        check(&WORLD, &RenditionPreference { characteristics: described, ..wanted(&["en"]) }, "ad");
        let first = ["NAME=\"ad\",LANGUAGE=\"en\",CHARACTERISTICS=\"x\"", "NAME=\"en\",LANGUAGE=\"en\""];
        check(&first, &wanted(&["en"]), "en");
    }

    #[test]
    fn a_name_goes_before_everything() {
        check(&WORLD, &RenditionPreference { name: Some("DE".into()), ..wanted(&["fr"]) }, "de");
    }

    #[test]
    fn channels_fit_and_are_understood() {
        let tags = [
            "NAME=\"6\",CHANNELS=\"6\"",
            "NAME=\"1\",CHANNELS=\"1\"",
            "NAME=\"2\",CHANNELS=\"2\"",
            "NAME=\"x\",CHANNELS=\"x\"",
        ];
        let most = |channels| RenditionPreference { channels: Some(channels), ..RenditionPreference::default() };
        check(&tags, &most(2), "2");
        check(&tags, &most(8), "6");
        check(&tags[..1], &most(2), "6");
        check(&[tags[3], tags[2]], &wanted(&[]), "2");
    }

    #[test]
    fn another_group_goes_on_with_the_same_rendition() {
        let here = renditions(&WORLD);
        let mut there = renditions(&[
            "NAME=\"de\",LANGUAGE=\"de\"",
            "NAME=\"ad\",LANGUAGE=\"en\",CHARACTERISTICS=\"public.accessibility.describes-video\"",
            "NAME=\"English\",LANGUAGE=\"en\",CHANNELS=\"6\"",
            "NAME=\"en\",LANGUAGE=\"en\",CHANNELS=\"2\"",
        ]);
        there.iter_mut().for_each(|it| it.id.0 += 10);
        let next = |from: usize| continuation(&there, &here[from]).map(|it| &*it.name);
        assert_eq!(next(1), Some("en"));
        assert_eq!(next(3), Some("ad"));
        assert_eq!(next(4), Some("de"));
        assert_eq!(next(0), None, "there is no French");
    }

    #[test]
    fn forced_subtitles_follow_the_sound() {
        let tags = [
            "NAME=\"en\",LANGUAGE=\"en\",FORCED=YES",
            "NAME=\"de\",LANGUAGE=\"de\",FORCED=YES",
            "NAME=\"all\",LANGUAGE=\"de\"",
        ];
        let subtitles = renditions(&tags);
        let forced = |sound| choose_forced(&subtitles, sound, &wanted(&[])).map(|it| &*it.name);
        assert_eq!(forced(Some("de-AT")), Some("de"));
        assert_eq!(forced(Some("fr")), None);
        assert_eq!(forced(None), Some("en"));
    }
}
