use std::{
    io::{self, Write},
    path::PathBuf,
};

use indicatif::HumanBytes;
use kithara::event::{MediaId, Status};
use serde::Serialize;
use serde_json::Value;

/// What `save` did: a sentence for people, an object for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) out: PathBuf,
    pub(super) bytes: u64,
    pub(super) segments: u64,
    pub(super) skipped: u64,
    pub(super) seconds: f64,
    /// Sent over the network, playlists and keys included.
    pub(super) requests: u64,
    /// Segments that the cache had.
    pub(super) from_store: u64,
    /// Requests and deliveries that failed and had to be made again.
    pub(super) retries: u64,
    pub(super) variant: Chosen,
    /// False when something was left out, when whoever read it went away, and when the user stopped it and nothing is kept.
    #[serde(rename = "complete")]
    pub(super) is_complete: bool,
    /// False when the user stopped it and nothing is kept.
    #[serde(skip)]
    pub(super) is_kept: bool,
}

/// What was saved.
#[derive(Debug, Default, Serialize)]
pub(super) struct Chosen {
    /// Its number among the variants; absent for a rendition.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    /// Its number among the renditions; absent for a variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    rendition: Option<u32>,
    /// Bits per second, by the playlist; absent for renditions and when a media playlist was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codecs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Summary {
    /// Says it on standard error.
    pub(super) fn tell(&self) {
        let done = if self.is_kept { "saved" } else { "given up after" };
        let mut text = format!(
            "{done} {} in {} segments{} in {:.1} s: {} requests",
            HumanBytes(self.bytes),
            self.segments,
            self.variant,
            self.seconds,
            self.requests
        );
        let mut add = |count: u64, what: &str| {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        };
        add(self.from_store, "segments from the cache");
        add(self.retries, "repeated");
        add(self.skipped, "segments left out");
        // Nothing is left to do when standard error does not take it.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// The same as an object.
    pub(super) fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| Value::String(error.to_string()))
    }
}

impl Chosen {
    pub(super) fn of(media: MediaId, status: &Status) -> Self {
        match media {
            // Pictures stand in no list of their own.
            MediaId::IFrames(_) => Self::default(),
            MediaId::Variant(id) => {
                let found = status.variants.iter().find(|variant| variant.id == id);
                Self {
                    number: Some(id.0),
                    bandwidth: found.map(|variant| variant.bandwidth.0),
                    codecs: found.and_then(|variant| variant.codecs.clone()),
                    resolution: found.and_then(|it| it.resolution).map(|(width, height)| format!("{width}x{height}")),
                    ..Self::default()
                }
            }
            MediaId::Rendition(id) => {
                let found = status.renditions.iter().find(|rendition| rendition.id == id);
                Self { rendition: Some(id.0), name: found.map(|it| it.name.clone()), ..Self::default() }
            }
        }
    }
}

/// ` of variant 2 (128 kbit/s)`, or nothing where there is no choice.
impl std::fmt::Display for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.number, self.bandwidth, self.name.as_deref()) {
            (Some(number), Some(rate), _) => write!(f, " of variant {number} ({} kbit/s)", rate / 1000),
            (None, _, Some(name)) => write!(f, " of the rendition {name}"),
            _ => Ok(()),
        }
    }
}
