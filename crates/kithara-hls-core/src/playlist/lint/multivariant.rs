//! One multivariant playlist as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{
    Characteristics, Key, MultivariantPlaylist, Rendition, RenditionKind, Rule, TagLines, Uri, Variant, Violation,
};
use super::Found;

/// What a look at the whole snapshot shows beyond what the parser noticed.
pub(super) fn lint(playlist: &MultivariantPlaylist) -> Vec<Violation> {
    let mut found = Found::default();
    for rendition in &playlist.renditions {
        lint_rendition(rendition, &mut found);
    }
    for variant in playlist.variants.iter().chain(&playlist.iframe_variants) {
        lint_variant(variant, &mut found);
    }
    groups(playlist, &mut found);
    stable_ids(playlist, &mut found);
    session_keys(&playlist.session_keys, &playlist.lines, &mut found);
    found.0
}

fn lint_rendition(rendition: &Rendition, found: &mut Found) {
    let line = rendition.line;
    if let Some(id) = &rendition.instream_id {
        let service = id.strip_prefix("SERVICE").and_then(|number| number.parse::<u8>().ok());
        let right = match rendition.kind {
            RenditionKind::ClosedCaptions => {
                matches!(&**id, "CC1" | "CC2" | "CC3" | "CC4") || service.is_some_and(|it| (1..=63).contains(&it))
            }
            _ => id.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'.'),
        };
        found.unless(right, line, Rule::InvalidInstreamId);
    }
    if rendition.kind == RenditionKind::Audio {
        found.unless(rendition.channels.is_some(), line, Rule::MissingChannels);
    }
    let legal = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'-';
    let channels = rendition.channels.as_ref().is_none_or(|channels| {
        let mut lists = channels.as_str().split('/').skip(1);
        channels.count().is_some()
            && lists.all(|list| list.split(',').all(|it| !it.is_empty() && it.bytes().all(legal)))
    });
    found.unless(channels, line, Rule::InvalidChannels);
    for language in [&rendition.language, &rendition.assoc_language].into_iter().flatten() {
        found.unless(is_language_tag(language), line, Rule::InvalidLanguage);
    }
}

/// Whether `tag` has the form of a language tag (RFC 5646 section 2.1): subtags of one to eight letters and digits, the
/// first of letters alone.
fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    let alphabetic = primary.bytes().all(|it| it.is_ascii_alphabetic());
    let fits = |it: &str| (1..=8).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric());
    alphabetic && fits(primary) && subtags.all(fits)
}

fn lint_variant(variant: &Variant, found: &mut Found) {
    let line = variant.line;
    let based = variant.supplemental_codecs.is_none() || variant.codecs.is_some();
    found.unless(based, line, Rule::SupplementWithoutBase);
    let average = variant.average_bandwidth.is_none_or(|it| it <= variant.bandwidth);
    found.unless(average, line, Rule::AverageAboveBandwidth);
    let legal = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'-';
    let label = |it: &str| !it.is_empty() && it.bytes().all(legal);
    let entry = |it: &str| it.trim().rsplit_once(':').is_some_and(|(_, labels)| labels.split('/').all(label));
    let entries = variant.allowed_cpc.as_deref().is_none_or(|list| list.split(',').all(entry));
    found.unless(entries, line, Rule::InvalidAllowedCpc);
    if let Some(layout) = &variant.req_video_layout {
        let needed = layout.split([',', '/']).any(|it| !matches!(it.trim(), "CH-MONO" | "PROJ-RECT"));
        found.unless(needed, line, Rule::UselessVideoLayout);
    }
}

/// What a member of a group has in common with its counterparts in other groups (section 4.4.6.1.1).
type Traits<'a> = (&'a Option<Arc<str>>, &'a Option<Arc<str>>, bool, bool, bool, Option<&'a str>);

fn traits(it: &Rendition) -> Traits<'_> {
    let characteristics = it.characteristics.as_ref().map(Characteristics::as_str);
    (&it.language, &it.assoc_language, it.default, it.autoselect, it.forced, characteristics)
}

fn groups(playlist: &MultivariantPlaylist, found: &mut Found) {
    let mut all: BTreeMap<(RenditionKind, &str), Vec<&Rendition>> = BTreeMap::new();
    for it in &playlist.renditions {
        all.entry((it.kind, &it.group_id)).or_default().push(it);
    }
    let mut first: BTreeMap<RenditionKind, BTreeMap<&str, Traits<'_>>> = BTreeMap::new();
    for ((kind, _), members) in all {
        let mut chosen = BTreeSet::new();
        for it in members.iter().filter(|it| it.autoselect) {
            let (language, assoc, _, _, forced, characteristics) = traits(it);
            let new = chosen.insert((language, assoc, forced, characteristics));
            found.unless(new, it.line, Rule::AmbiguousAutoselect);
        }
        let own: BTreeMap<&str, Traits<'_>> = members.iter().map(|it| (&*it.name, traits(it))).collect();
        match first.get(&kind) {
            None => drop(first.insert(kind, own)),
            Some(other) => found.unless(*other == own, members[0].line, Rule::MembersDiffer),
        }
    }
}

fn stable_ids(playlist: &MultivariantPlaylist, found: &mut Found) {
    let mut variants: BTreeMap<&str, &Option<Arc<str>>> = BTreeMap::new();
    for it in &playlist.variants {
        let known = variants.entry(it.uri.as_str()).or_insert(&it.stable_variant_id);
        found.unless(**known == it.stable_variant_id, it.line, Rule::StableIdsDiffer);
    }
    let mut renditions: BTreeMap<&str, &Option<Arc<str>>> = BTreeMap::new();
    for it in &playlist.renditions {
        let Some(uri) = it.uri.as_ref().map(Uri::as_str) else { continue };
        let known = renditions.entry(uri).or_insert(&it.stable_rendition_id);
        found.unless(**known == it.stable_rendition_id, it.line, Rule::StableIdsDiffer);
    }
}

fn session_keys(keys: &[Key], lines: &TagLines, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for key in keys {
        let what = (
            key.method.as_str(),
            key.uri.as_ref().map(Uri::as_str),
            key.iv.map(|it| it.0),
            &*key.keyformat,
            &*key.keyformatversions,
        );
        found.unless(seen.insert(what), lines.of("EXT-X-SESSION-KEY"), Rule::SessionKeyTwice);
    }
}
