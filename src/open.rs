//! The front door: a URL in, sound out.

use std::sync::Arc;

use kithara_decode::{DecodeError, DecodeOptions, PcmReader, UNDECODABLE};
use kithara_file::{File, FileError, FileOptions, FileParams, Probe};
use kithara_hls::{
    Hls, HlsError, HlsOptions, HlsParams,
    fetch::{Fetcher, net::RedactedUrl},
    hls_core::{
        playlist::Limits,
        selection::CodecSupport,
        session::{MediaSelection, PlaylistText, Track},
    },
};
use kithara_stream::Feed;

use crate::{
    kind::{Kind, SNIFFED, kind_of, looks_like_playlist},
    player::{Player, Stream},
};

/// How a URL is opened for listening.
#[derive(Debug, Default)]
pub struct OpenParams {
    /// How a session plays, and what it may share with others. Its [`MediaSelection`] is always sound alone: the audio
    /// rendition where there is one, so that no picture is downloaded that nobody decodes; codecs for which there is no
    /// decoder are left out unless [`Caps::codecs`](crate::options::Caps) says what there is, and without the feature
    /// `he-aac` renditions of two channels are preferred unless the audio preference says otherwise. Client, store, headers, query
    /// and resolver serve a progressive file as well. Default: all defaults.
    pub hls: HlsParams,
    /// What comes out, how much of it is decoded ahead, and where playback begins. Default: as the stream has it, half a
    /// second, at the beginning.
    pub sound: DecodeOptions,
}

impl From<HlsParams> for OpenParams {
    fn from(hls: HlsParams) -> Self {
        Self { hls, ..Self::default() }
    }
}

impl From<HlsOptions> for OpenParams {
    fn from(options: HlsOptions) -> Self {
        HlsParams::from(options).into()
    }
}

impl From<DecodeOptions> for OpenParams {
    fn from(sound: DecodeOptions) -> Self {
        Self { sound, ..Self::default() }
    }
}

/// Why a URL cannot be listened to.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The stream cannot be opened. Whether trying again helps is told by the error inside.
    #[error(transparent)]
    Hls(#[from] HlsError),
    /// The file cannot be opened. Whether trying again helps is told by the error inside.
    #[error(transparent)]
    File(#[from] FileError),
    /// The decoder cannot be started: an output format that cannot be made, or no thread. Trying again does not help.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What the server sent is neither a playlist nor media. Trying again helps only if the server changes it.
    #[error("{url}: neither a playlist nor media{}", content_type.as_deref().map(|it| format!(", but {it}")).unwrap_or_default())]
    NotMedia {
        /// Where it was, after redirects.
        url: RedactedUrl,
        /// What the server calls it.
        content_type: Option<Arc<str>>,
    },
}

/// Opens `url` for listening: control in one hand, samples in the other.
///
/// What it is, a playlist or a progressive file, is decided by what the server answers: by its first bytes, and where they
/// leave it open by the content type. The request that finds out is the one that is read on. Ready when the stream is
/// known: of a session, its variant chosen and its media playlist loaded. The first segment is on its way by then, and is
/// decoded while it arrives. What is wrong with the media itself is told by the reader.
///
/// Needs no runtime; on a multi-thread one the session's tasks run there, else on one thread of the library's own.
///
/// # Errors
/// The URL is none, nothing that can be played is there, or the output format cannot be made.
pub async fn open(url: &str, params: impl Into<OpenParams>) -> Result<(Player, PcmReader), OpenError> {
    let OpenParams { mut hls, sound } = params.into();
    hls.options.playback.selection = MediaSelection::AudioOnly;
    let codecs = &mut hls.options.playback.caps.codecs;
    if *codecs == CodecSupport::All {
        // Where there is no other, the decoder tries, and says by name what it cannot do.
        *codecs = CodecSupport::Avoid(UNDECODABLE.iter().map(ToString::to_string).collect());
    }
    // More than two channels of AAC need the feature as well; other codecs with as many are rarely the only choice.
    if cfg!(not(feature = "he-aac")) {
        hls.options.playback.audio.channels.get_or_insert(2);
    }
    let fetcher = hls.share_fetcher()?;
    let file = file_params(&hls, fetcher);
    if !looks_like_playlist(url) {
        return find_out(url, hls, file, &sound).await;
    }
    // The name decides only how it is asked for: playlists travel compressed.
    match open_session(url, hls, &sound).await {
        Err(OpenError::Hls(error @ HlsError::PlaylistParse { .. })) => {
            // What the store has under this name is what was taken for the text of a playlist.
            let mut probe = File::probe(url, FileParams { no_store: true, ..file }).await?;
            let is_media = kind_of(probe.prefix(SNIFFED).await?, None) == Kind::Media;
            if is_media { open_file(probe, &sound) } else { Err(error.into()) }
        }
        opened => opened,
    }
}

/// Opens what the URL turns out to be.
async fn find_out(
    url: &str,
    hls: HlsParams,
    file: FileParams,
    sound: &DecodeOptions,
) -> Result<(Player, PcmReader), OpenError> {
    let mut probe = File::probe(url, file).await?;
    let content_type = probe.head().content_type.clone();
    match kind_of(probe.prefix(SNIFFED).await?, content_type.as_deref()) {
        Kind::Media => open_file(probe, sound),
        Kind::Playlist => {
            let (url_after, from_store) = (probe.head().url.clone(), probe.head().from_cache());
            let (age, playlist_provenance) = (probe.head().age, probe.head().provenance);
            let may_be_cut = !probe.head().has_end;
            let bytes = probe.collect(Limits::BYTES as u64).await?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let playlist = Some(PlaylistText { url: url_after, text, from_store, age, may_be_cut });
            open_session(url, HlsParams { playlist, playlist_provenance, ..hls }, sound).await
        }
        Kind::Other => {
            let url = RedactedUrl::new(&probe.head().url);
            probe.reject();
            Err(OpenError::NotMedia { url, content_type: content_type.map(|it| it.as_str().into()) })
        }
    }
}

async fn open_session(url: &str, params: HlsParams, sound: &DecodeOptions) -> Result<(Player, PcmReader), OpenError> {
    let session = Hls::session(url, params)?;
    let feed = session.feed(Track::Main, sound.start).await?;
    let (sound, reader) = kithara_decode::Player::start(Feed::Units(Box::new(feed)), sound)?;
    Ok((Player::new(sound, Stream::Hls(session)), reader))
}

fn open_file(probe: Probe, sound: &DecodeOptions) -> Result<(Player, PcmReader), OpenError> {
    let source = Arc::new(probe.into_source());
    let feed = Feed::Bytes(Box::new(Arc::clone(&source)));
    let (sound, reader) = kithara_decode::Player::start(feed, sound)?;
    Ok((Player::new(sound, Stream::File(source)), reader))
}

/// The same wishes as for a session, as far as a file has a use for them.
fn file_params(hls: &HlsParams, fetcher: Fetcher) -> FileParams {
    let options = FileOptions {
        request: hls.options.request.clone(),
        cache: hls.options.cache.clone(),
        ..FileOptions::default()
    };
    let (no_store, resolver) = (hls.no_store, hls.resolver.clone());
    FileParams { fetcher: Some(fetcher), no_store, resolver, ..FileParams::from(options) }
}
