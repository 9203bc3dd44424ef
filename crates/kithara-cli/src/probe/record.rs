//! What was loaded, as a trace.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use kithara::{
    abr::AbrOptions,
    options::PlaybackOptions,
    trace::{Input, Now, PlaylistId, PlaylistText, Recorder, SessionOptions, Tick},
};
use url::Url;

use super::load::Loaded;
use crate::{args::VariantArg, failure::Failure, trace_file::TraceFile};

/// Records the playlists that are loaded, as a session is told of them that would play the same variant. No session runs:
/// nothing beyond the playlists is loaded.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    file: TraceFile,
    recorder: Recorder,
    started: Instant,
}

impl Record {
    /// Begins the trace of a session at `url`.
    pub(super) fn begin(path: &Path, url: &Url, variant: VariantArg) -> Result<Self, Failure> {
        let file = TraceFile::at(path, None)?;
        let (variant, strategy) = variant.choice();
        let options = SessionOptions {
            playback: PlaybackOptions { variant, ..PlaybackOptions::default() },
            abr: AbrOptions { strategy, ..AbrOptions::default() },
            ..SessionOptions::default()
        };
        let salt = RandomState::new().hash_one(0_u8);
        let recorder = Recorder::new(url, &options, Now::default(), salt);
        Ok(Self { path: path.to_owned(), file, recorder, started: Instant::now() })
    }

    /// Writes down that a playlist arrived, whatever is in it.
    pub(super) fn loaded(&mut self, id: PlaylistId, loaded: &Loaded) -> Result<(), Failure> {
        let Loaded { text, url } = loaded;
        let text = String::from_utf8_lossy(text).into_owned();
        let text = PlaylistText { url: url.clone(), text, from_store: false, age: None, may_be_cut: false };
        let now = Tick::ZERO.saturating_add(self.started.elapsed());
        self.recorder.input(now.into(), &Input::Playlist { id, result: Ok(text) });
        self.write().map_err(|error| Failure::disk("cannot write", &self.path, &error))
    }

    fn write(&mut self) -> io::Result<()> {
        let mut lines = self.recorder.take_lines()?.join("\n");
        lines.push('\n');
        self.file.write_all(lines.as_bytes())
    }
}
