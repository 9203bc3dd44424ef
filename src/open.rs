//! The front door: a URL in, sound out.

use kithara_decode::{DecodeError, DecodeOptions, PcmReader};
use kithara_hls::{
    Hls, HlsError, HlsOptions, HlsParams,
    hls_core::{
        selection::CodecSupport,
        session::{MediaSelection, Track},
    },
};
use kithara_stream::Feed;

use crate::player::{Player, Stream};

/// How a URL is opened for listening.
#[derive(Debug, Default)]
pub struct OpenParams {
    /// How a session plays, and what it may share with others. Its [`MediaSelection`] is always sound alone: the audio
    /// rendition where there is one, so that no picture is downloaded that nobody decodes; codecs for which there is no
    /// decoder are left out unless [`Caps::codecs`](crate::options::Caps) says what there is. Default: all defaults.
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

/// Sound for which there is no decoder here, by its RFC 6381 names: Dolby, DTS, MPEG-H, USAC, IAMF. Variants that have
/// nothing else are left out where there are others.
const UNDECODABLE: [&str; 20] = [
    "ac-3",
    "ec-3",
    "ac-4",
    "mp4a.a5",
    "mp4a.a6",
    "mp4a.a9",
    "mp4a.ae",
    "mp4a.b2",
    "dtsc",
    "dtse",
    "dtsh",
    "dtsl",
    "dtsx",
    "mha1",
    "mhm1",
    "mhm2",
    "mp4a.40.42",
    "iamf",
    "ec+3",
    "mlpa",
];

/// Why a URL cannot be listened to.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The stream cannot be opened. Whether trying again helps is told by the error inside.
    #[error(transparent)]
    Hls(#[from] HlsError),
    /// The decoder cannot be started: an output format that cannot be made, or no thread. Trying again does not help.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Opens `url` for listening: control in one hand, samples in the other.
///
/// Ready when the stream is known: its variant chosen and its media playlist loaded. The first segment is on its way by
/// then, and is decoded while it arrives. What is wrong with the media itself is told by the reader.
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
        *codecs = CodecSupport::AllBut(UNDECODABLE.iter().map(ToString::to_string).collect());
    }
    let session = Hls::session(url, hls)?;
    let feed = session.feed(Track::Main, sound.start).await?;
    let (sound, reader) = kithara_decode::Player::start(Feed::Units(Box::new(feed)), &sound)?;
    Ok((Player::new(sound, Stream::Hls(session)), reader))
}
