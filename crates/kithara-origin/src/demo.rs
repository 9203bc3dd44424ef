//! The demo stream, embedded, and the folder of test media.

use std::path::PathBuf;

use crate::site::Site;

/// Embeds files of the `demo` folder with the paths they are served at.
macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!("../demo/", $path)).as_slice())),*]
    };
}

/// Path and content of each file.
static FILES: [(&str, &[u8]); 23] = embedded![
    "master.m3u8",
    "key.bin",
    "32k/index.m3u8",
    "32k/init.mp4",
    "32k/seg0.m4s",
    "32k/seg1.m4s",
    "32k/seg2.m4s",
    "32k/seg3.m4s",
    "32k/seg4.m4s",
    "64k/index.m3u8",
    "64k/init.mp4",
    "64k/seg0.m4s",
    "64k/seg1.m4s",
    "64k/seg2.m4s",
    "64k/seg3.m4s",
    "64k/seg4.m4s",
    "128k/index.m3u8",
    "128k/init.mp4",
    "128k/seg0.m4s",
    "128k/seg1.m4s",
    "128k/seg2.m4s",
    "128k/seg3.m4s",
    "128k/seg4.m4s",
];

/// The embedded demo stream, twenty seconds of music: `/master.m3u8` with three AAC variants (32, 64 and 128 kbit/s, fMP4) whose
/// segments are encrypted with AES-128 under one key.
///
/// ```
/// # fn main() -> Result<(), kithara_origin::OriginError> {
/// let origin = kithara_origin::Origin::start(kithara_origin::demo())?;
/// println!("kithara play {}", origin.url("/master.m3u8"));
/// # Ok(())
/// # }
/// ```
pub fn demo() -> Site {
    FILES.iter().fold(Site::new(), |site, (path, content)| site.bytes(path, *content))
}

/// The folder of the test media, for tests inside this workspace; a package outside of it has none.
pub fn fixtures_dir() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures"))
}
