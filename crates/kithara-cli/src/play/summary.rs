use std::io::{self, Write};

use indicatif::HumanBytes;
use kithara::{
    event::{MediaId, Status},
    options::BitRate,
};
use serde::Serialize;
use serde_json::Value;

use crate::play::status_line::rate;

/// How playback went: sentences for people, an object for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// How long the command ran.
    pub(super) seconds: f64,
    /// From the start of the command to the first sample; absent when none came.
    pub(super) first_sample_seconds: Option<f64>,
    /// Sound that was played.
    pub(super) played_seconds: f64,
    /// Where playback stood at the end, on the presentation timeline.
    pub(super) position_seconds: f64,
    pub(super) frames: u64,
    /// Format of the samples that came out.
    pub(super) sample_rate: Option<u32>,
    pub(super) channels: Option<u16>,
    pub(super) codec: Option<String>,
    /// What was played, in order, each change once.
    pub(super) played: Vec<Played>,
    /// Bytes that came over the network.
    pub(super) bytes: u64,
    /// Sent over the network, playlists and keys included.
    pub(super) requests: u64,
    /// Requests and deliveries that failed and had to be made again.
    pub(super) retries: u64,
    pub(super) segments: u64,
    /// Segments that the cache had.
    pub(super) from_store: u64,
    /// Segments left out.
    pub(super) skipped: u64,
    /// Packets that could not be decoded.
    pub(super) damaged: u64,
    /// Times that sound was interrupted.
    pub(super) stalls: u64,
    pub(super) stalled_seconds: f64,
    /// Bytes of sound that were written.
    pub(super) written: u64,
    /// Whether the stream was played to its end, and nothing was left out.
    #[serde(rename = "complete")]
    pub(super) is_complete: bool,
}

/// A variant or rendition.
#[derive(Debug, Serialize)]
pub(super) struct Played {
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rendition: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Played {
    pub(super) fn of(media: MediaId, status: &Status) -> Self {
        match media {
            // Pictures stand in no list of their own.
            MediaId::IFrames(_) => Self { variant: None, rendition: None, bandwidth: None, name: None },
            MediaId::Variant(id) => {
                let found = status.variants.iter().find(|variant| variant.id == id);
                let bandwidth = found.map(|variant| variant.bandwidth.0);
                Self { variant: Some(id.0), rendition: None, bandwidth, name: None }
            }
            MediaId::Rendition(id) => {
                let found = status.renditions.iter().find(|rendition| rendition.id == id);
                let name = found.map(|rendition| rendition.name.clone());
                Self { variant: None, rendition: Some(id.0), bandwidth: None, name }
            }
        }
    }
}

impl Summary {
    /// Says it on standard error.
    pub(super) fn tell(&self) {
        // Nothing is left to do when standard error does not take it.
        let _ = writeln!(io::stderr(), "{self}");
    }

    /// The same as an object.
    pub(super) fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| Value::String(error.to_string()))
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "played {:.1} s in {:.1} s", self.played_seconds, self.seconds)?;
        if let Some(first) = self.first_sample_seconds {
            write!(f, ", first sample after {:.0} ms", first * 1000.0)?;
        }
        write!(f, "; {} in {} requests, {} segments", HumanBytes(self.bytes), self.requests, self.segments)?;
        let counts = [
            (self.from_store, "from the cache"),
            (self.retries, "repeated"),
            (self.skipped, "left out"),
            (self.damaged, "packets damaged"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        match self.stalls {
            0 => f.write_str(", no stalls")?,
            1 => write!(f, ", 1 stall of {:.1} s", self.stalled_seconds)?,
            stalls => write!(f, ", {stalls} stalls, {:.1} s", self.stalled_seconds)?,
        }
        let mut separator = "; ";
        for played in &self.played {
            write!(f, "{separator}{played}")?;
            separator = " -> ";
        }
        Ok(())
    }
}

impl std::fmt::Display for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.variant, self.bandwidth, &self.name) {
            (Some(variant), Some(bandwidth), _) => write!(f, "variant {variant} ({})", rate(BitRate(bandwidth))),
            (Some(_), None, _) => f.write_str("the one variant"),
            (_, _, Some(name)) => write!(f, "rendition {name}"),
            _ => f.write_str("a rendition"),
        }
    }
}
