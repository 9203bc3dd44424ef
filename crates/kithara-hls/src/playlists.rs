//! Playlist manager: text in, nothing kept.

use kithara_hls_core::session::{PlaylistId, PlaylistText};
use url::Url;

use crate::{error::HlsError, requests::Requests};

/// Loads a playlist: from the store where that is still fresh, from the origin when it was loaded before.
pub(crate) async fn load_playlist(
    requests: Requests,
    id: PlaylistId,
    url: Url,
    again: bool,
) -> Result<PlaylistText, HlsError> {
    let request = match id {
        PlaylistId::Steering => requests.steering(&url),
        PlaylistId::Primary | PlaylistId::Media(_) => requests.playlist(&url, again),
    };
    let whole = requests.fetcher.fetch_whole(request).await?;
    Ok(PlaylistText {
        url: whole.head.url.clone(),
        text: String::from_utf8_lossy(whole.bytes.as_deref().unwrap_or_default()).into_owned(),
        from_store: whole.head.from_cache(),
        age: whole.head.age,
    })
}
