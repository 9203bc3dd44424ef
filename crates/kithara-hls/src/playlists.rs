//! Playlist manager: text in. What a playlist said last is kept, so that an unchanged one need not travel again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kithara_fetch::{
    Provider,
    net::{RedactedUrl, Validators, address::Provenance},
};
use kithara_hls_core::session::{FailureKind, PlaylistId, PlaylistText};
use url::Url;

use crate::{driver::Failed, error::HlsError, requests::Requests};

/// What was loaded last. The task that loads a playlist reads and writes it; there is one at a time for each.
pub(crate) type Known = Arc<Mutex<Option<Loaded>>>;

#[derive(Debug)]
pub(crate) struct Loaded {
    asked: Url,
    validators: Validators,
    url: Url,
    text: Arc<str>,
}

/// A playlist, and what it is as the namer of other URLs.
pub(crate) struct Brought {
    pub(crate) playlist: PlaylistText,
    pub(crate) provenance: Provenance,
}

/// The stored copy of a playlist that playback may begin with before the origin has confirmed it: one of a stream that has ended,
/// or of several of which one is stored that has. What is stored without its signatures cannot be confirmed, and is none.
pub(crate) async fn stored_playlist(requests: &Requests, url: &Url) -> Option<Brought> {
    let brought = stored(requests, url).await?;
    let text = &brought.playlist.text;
    if !has(text, "#EXT-X-STREAM-INF") {
        return has(text, "#EXT-X-ENDLIST").then_some(brought);
    }
    for uri in text.lines().filter_map(named_by).take(MOST_NAMED) {
        let Ok(uri) = brought.playlist.url.join(uri) else { continue };
        if stored(requests, &uri).await.is_some_and(|it| has(&it.playlist.text, "#EXT-X-ENDLIST")) {
            return Some(brought);
        }
    }
    None
}

async fn stored(requests: &Requests, url: &Url) -> Option<Brought> {
    let whole = requests.fetcher.fetch_whole(requests.stored_playlist(url)?).await.ok()?;
    let validators = &whole.head.validators;
    if validators.etag.is_none() && validators.last_modified.is_none() {
        return None;
    }
    let text = String::from_utf8(whole.bytes?.to_vec()).ok()?;
    let playlist = PlaylistText { url: whole.head.url.clone(), text, from_store: true, age: None, may_be_cut: false };
    Some(Brought { playlist, provenance: whole.head.provenance })
}

/// Asks the origin of a playlist that `begun` with. Anything else than that is stored for the next time.
pub(crate) async fn confirm(
    begun: String,
    requests: Requests,
    id: PlaylistId,
    asked: Url,
    known: Known,
) -> Result<Provenance, Failed> {
    let url = RedactedUrl::new(&asked);
    let brought = load_playlist(requests, id, asked, false, None, known).await?;
    if brought.playlist.text == begun {
        return Ok(brought.provenance);
    }
    let reason = "what was stored is not what is there now".into();
    Err(Failed { kind: FailureKind::Changed, error: HlsError::BadDelivery { url, reason } })
}

/// The playlist that a line of a multivariant playlist names: a variant's or a rendition's.
fn named_by(line: &str) -> Option<&str> {
    let line = line.trim();
    match line.strip_prefix("#EXT-X-MEDIA:") {
        Some(attributes) => attributes.split_once("URI=\"")?.1.split('"').next(),
        None => Some(line).filter(|line| !line.is_empty() && !line.starts_with('#')),
    }
}

/// Streams that are looked for in the store.
const MOST_NAMED: usize = 16;

/// Loads a playlist: from the store where that is still fresh and of no live stream, from the origin when it was loaded before, unless that
/// still has what we have.
pub(crate) async fn load_playlist(
    requests: Requests,
    id: PlaylistId,
    asked: Url,
    again: bool,
    limit: Option<Duration>,
    known: Known,
) -> Result<Brought, HlsError> {
    let mut request = match id {
        PlaylistId::Steering => requests.steering(&asked),
        PlaylistId::Primary | PlaylistId::Media(_) => requests.playlist(&asked, again, limit),
    };
    request.unless =
        lock(&known).as_ref().filter(|last| again && last.asked == asked).map(|last| last.validators.clone());
    let mut whole = requests.fetcher.fetch_whole(request).await?;
    if whole.head.provider == Provider::Store
        && whole.bytes.as_ref().is_some_and(|bytes| grows(&String::from_utf8_lossy(bytes)))
    {
        // However fresh its server calls it: it may list less than there is.
        whole = requests.fetcher.fetch_whole(requests.playlist(&asked, true, limit)).await?;
    }
    let (from_store, age, provenance) = (whole.head.from_cache(), whole.head.age, whole.head.provenance);
    let may_be_cut = !whole.head.has_end;
    let Some(bytes) = whole.bytes else {
        let known = lock(&known);
        let last =
            known.as_ref().ok_or_else(|| HlsError::Driver("nothing is known of an unchanged playlist".into()))?;
        let text = last.text.to_string();
        let playlist = PlaylistText { url: last.url.clone(), text, from_store, age, may_be_cut: false };
        return Ok(Brought { playlist, provenance });
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (url, validators) = (whole.head.url.clone(), whole.head.validators.clone());
    // A date alone tells versions apart that are a second or more apart, and live playlists change faster.
    let is_worth_it = validators.etag.is_some() && may_be_unchanged(&text);
    *lock(&known) = is_worth_it.then(|| Loaded { asked, validators, url: url.clone(), text: text.as_str().into() });
    Ok(Brought { playlist: PlaylistText { url, text, from_store, age, may_be_cut }, provenance })
}

fn lock(known: &Known) -> std::sync::MutexGuard<'_, Option<Loaded>> {
    // Nothing panics while the lock is held.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether asking for changes only makes sense for a text: it is one of a live stream. Others are loaded again when
/// something is wrong with them, and so are those that end in the middle of a line.
fn may_be_unchanged(text: &str) -> bool {
    grows(text) && text.ends_with('\n')
}

/// Whether a text is one of a live stream.
fn grows(text: &str) -> bool {
    has(text, "#EXT-X-TARGETDURATION") && !has(text, "#EXT-X-ENDLIST") && !has(text, "#EXT-X-PLAYLIST-TYPE:VOD")
}

/// Whether a line of a text begins so.
fn has(text: &str, tag: &str) -> bool {
    text.lines().any(|line| line.starts_with(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multivariant_playlist_names_variants_and_renditions() {
        let text = "#EXTM3U\n\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"audio.m3u8\",NAME=\"x\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n video.m3u8\r\n";
        assert_eq!(text.lines().filter_map(named_by).collect::<Vec<_>>(), ["audio.m3u8", "video.m3u8"]);
    }
}
