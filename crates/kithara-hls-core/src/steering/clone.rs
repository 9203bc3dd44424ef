//! Pathway cloning (RFC 8216bis section 7.3).

use std::sync::Arc;

use url::Url;

use super::PathwayClone;
use crate::{
    playlist::{MultivariantPlaylist, Rendition, RenditionId, RenditionKind, Uri, Variant, VariantId},
    selection::DEFAULT_PATHWAY,
};

/// Most variants and renditions a playlist may grow to by cloning.
const MAX_STREAMS: usize = 1_024;

/// Adds the variants and renditions of `clone` behind those of `playlist`, and says whether it did: not when the pathway
/// it is made of is unknown, its own name is taken, an address cannot be made, or there would be too many.
pub fn clone_pathway(playlist: &mut MultivariantPlaylist, clone: &PathwayClone) -> bool {
    let stands_on = |variant: &Variant, id: &str| variant.pathway_id.as_deref().unwrap_or(DEFAULT_PATHWAY) == id;
    if playlist.variants.iter().any(|variant| stands_on(variant, &clone.id)) {
        return false;
    }
    let copies = |variants: &[Variant]| -> Option<Vec<Variant>> {
        let base = variants.iter().filter(|variant| stands_on(variant, &clone.base));
        base.zip(variants.len()..).map(|(variant, id)| variant_copy(variant, id, clone)).collect()
    };
    let (Some(variants), Some(iframes)) = (copies(&playlist.variants), copies(&playlist.iframe_variants)) else {
        return false;
    };
    let groups: Vec<(RenditionKind, &Arc<str>)> = playlist
        .variants
        .iter()
        .chain(&playlist.iframe_variants)
        .filter(|variant| stands_on(variant, &clone.base))
        .flat_map(|variant| {
            [
                (RenditionKind::Audio, &variant.audio),
                (RenditionKind::Video, &variant.video),
                (RenditionKind::Subtitles, &variant.subtitles),
            ]
        })
        .filter_map(|(kind, group)| Some((kind, group.as_ref()?)))
        .collect();
    let base = playlist.renditions.iter().filter(|it| groups.contains(&(it.kind, &it.group_id)));
    let renditions: Option<Vec<Rendition>> =
        base.zip(playlist.renditions.len()..).map(|(rendition, id)| rendition_copy(rendition, id, clone)).collect();
    let Some(renditions) = renditions else { return false };
    let streams = playlist.variants.len() + playlist.iframe_variants.len() + playlist.renditions.len();
    if variants.is_empty() || streams + variants.len() + iframes.len() + renditions.len() > MAX_STREAMS {
        return false;
    }
    playlist.variants.extend(variants);
    playlist.iframe_variants.extend(iframes);
    playlist.renditions.extend(renditions);
    true
}

fn variant_copy(variant: &Variant, id: usize, clone: &PathwayClone) -> Option<Variant> {
    let group = |group: &Option<Arc<str>>| group.as_ref().map(|group| group_copy(group, clone));
    let own = variant.stable_variant_id.as_deref().and_then(|id| clone.variant_uris.get(id));
    Some(Variant {
        id: VariantId(u32::try_from(id).ok()?),
        uri: Uri::from(own.cloned().or_else(|| moved(variant.uri.url(), clone))?),
        pathway_id: Some(Arc::clone(&clone.id)),
        audio: group(&variant.audio),
        video: group(&variant.video),
        subtitles: group(&variant.subtitles),
        ..variant.clone()
    })
}

fn rendition_copy(rendition: &Rendition, id: usize, clone: &PathwayClone) -> Option<Rendition> {
    let own = rendition.stable_rendition_id.as_deref().and_then(|id| clone.rendition_uris.get(id));
    let uri = match &rendition.uri {
        Some(uri) => Some(Uri::from(own.cloned().or_else(|| moved(uri.url(), clone))?)),
        None => None,
    };
    let group_id = group_copy(&rendition.group_id, clone);
    Some(Rendition { id: RenditionId(u32::try_from(id).ok()?), group_id, uri, ..rendition.clone() })
}

/// Groups of a clone have names of their own: no playlist can write a line break into one.
fn group_copy(group: &str, clone: &PathwayClone) -> Arc<str> {
    format!("{group}\n{}", clone.id).into()
}

/// An address of the base pathway, on the clone.
fn moved(mut url: Url, clone: &PathwayClone) -> Option<Url> {
    if let Some(host) = &clone.host {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit()) => {
                (name, Some(port.parse().ok()?))
            }
            _ => (&**host, None),
        };
        url.set_host(Some(name)).ok()?;
        // The port belongs to the host that is replaced.
        url.set_port(port).ok()?;
    }
    if !clone.params.is_empty() {
        let query = with_params(url.query().unwrap_or_default(), clone);
        url.set_query(Some(&query));
    }
    Some(url)
}

/// Sets the parameters of a clone in a query, and leaves every other byte of it as it is.
fn with_params(query: &str, clone: &PathwayClone) -> String {
    let mut pieces: Vec<String> = query.split('&').filter(|piece| !piece.is_empty()).map(str::to_owned).collect();
    for (name, value) in &clone.params {
        let (name, value) = (escaped(name), escaped(value));
        let piece = format!("{name}={value}");
        match pieces.iter_mut().find(|piece| piece.split('=').next() == Some(&name)) {
            Some(known) => *known = piece,
            None => pieces.push(piece),
        }
    }
    pieces.join("&")
}

/// What would end a parameter is escaped; the rest is the server's business.
fn escaped(text: &str) -> String {
    text.replace('&', "%26").replace('#', "%23").replace('+', "%2B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::{ParseOptions, Playlist, parse};

    const TEXT: &str = "#EXTM3U\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"e\",STABLE-RENDITION-ID=\"ra\",URI=\"http://a.test:81/s.m3u8?k=1&t=0\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"e\",URI=\"http://b.test/s.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"A\",AUDIO=\"a\",STABLE-VARIANT-ID=\"v1\"\nhttp://a.test/1.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"A\",AUDIO=\"a\",STABLE-VARIANT-ID=\"v2\"\nhttp://a.test/2.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"B\",AUDIO=\"b\"\nhttp://b.test/1.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"A\",URI=\"http://a.test/i.m3u8\"\n";

    fn playlist() -> MultivariantPlaylist {
        let base = "http://origin.test/".parse().expect("a URL");
        match parse(TEXT.as_bytes(), &base, &ParseOptions::default()) {
            Ok(Playlist::Multivariant(playlist)) => playlist,
            other => unreachable!("{other:?}"),
        }
    }

    fn clone() -> PathwayClone {
        PathwayClone {
            base: "A".into(),
            id: "C".into(),
            host: Some("c.test".into()),
            params: [("t".to_owned(), "9&".to_owned()), ("z".to_owned(), "y".to_owned())].into(),
            variant_uris: [("v2".to_owned(), "https://d.test/v2".parse().expect("a URL"))].into(),
            rendition_uris: [].into(),
        }
    }

    #[test]
    fn a_clone_has_the_streams_of_its_base_at_other_addresses() {
        let mut playlist = playlist();
        assert!(clone_pathway(&mut playlist, &clone()));
        let variants: Vec<_> = playlist.variants[3..].iter().map(|it| (it.id.0, it.uri.url().to_string())).collect();
        assert_eq!(variants, [(3, "http://c.test/1.m3u8?t=9%26&z=y".into()), (4, "https://d.test/v2".into())]);
        let iframe = playlist.iframe_variants[1].uri.url();
        assert_eq!(iframe.as_str(), "http://c.test/i.m3u8?t=9%26&z=y");
        let group = playlist.variants[3].audio.clone().expect("a group");
        let [sound] = &playlist.group(RenditionKind::Audio, &group).collect::<Vec<_>>()[..] else {
            unreachable!("one rendition")
        };
        let uri = sound.uri.as_ref().map(|uri| uri.url().to_string());
        assert_eq!((sound.id.0, uri.as_deref()), (2, Some("http://c.test/s.m3u8?k=1&t=9%26&z=y")));
    }

    /// Where the first variant and the sound of a clone are, when addresses are given to these stable names.
    #[track_caller]
    fn check_named(variants: &[(&str, &str)], renditions: &[(&str, &str)], want: [&str; 2]) {
        let mut playlist = playlist();
        let named = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, url)| ((*name).to_owned(), url.parse().expect("a URL"))).collect()
        };
        let clone = PathwayClone { variant_uris: named(variants), rendition_uris: named(renditions), ..clone() };
        assert!(clone_pathway(&mut playlist, &clone));
        let last = playlist.variants.last().expect("the second of the clone");
        let group = last.audio.clone().expect("a group");
        let sound = playlist.group(RenditionKind::Audio, &group).next().and_then(|it| it.uri.as_ref()).expect("a URI");
        assert_eq!([last.uri.url().as_str(), sound.url().as_str()], want);
    }

    #[test]
    fn streams_with_stable_names_are_where_the_manifest_says() {
        let (moved, sound) = ("http://c.test/2.m3u8?t=9%26&z=y", "http://c.test/s.m3u8?k=1&t=9%26&z=y");
        let (here, there) = ("https://d.test/v2", "https://e.test/r1?q");
        check_named(&[], &[], [moved, sound]);
        // What the manifest says supersedes host and parameters (section 7.3, steps 5 and 6).
        check_named(&[("v2", here)], &[("ra", there)], [here, there]);
        check_named(&[("ra", here)], &[("v2", there)], [moved, sound]);
    }

    #[test]
    fn what_cannot_be_cloned_is_left_alone() {
        let before = playlist();
        let bad = [
            PathwayClone { base: "X".into(), ..clone() },
            PathwayClone { id: "B".into(), ..clone() },
            PathwayClone { host: Some("no host".into()), ..clone() },
            PathwayClone { host: Some("c.test:99999".into()), ..clone() },
        ];
        for clone in bad {
            let mut playlist = before.clone();
            assert!(!clone_pathway(&mut playlist, &clone), "{clone:?}");
            assert_eq!(playlist, before);
        }
    }

    #[test]
    fn clones_of_clones_end_at_the_bound() {
        let mut playlist = playlist();
        let mut made = 0;
        for n in 0..2_000 {
            let clone = PathwayClone { id: format!("C{n}").into(), ..clone() };
            made += u32::from(clone_pathway(&mut playlist, &clone));
        }
        assert!(made > 10 && playlist.variants.len() < MAX_STREAMS, "{made}");
    }
}
