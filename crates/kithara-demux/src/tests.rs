//! Scenarios: whole runs of hand-made units, written down as one line per output.

mod bmff;
mod packed;
mod random;
mod text;
mod ts;

use bytes::Bytes;

use crate::output::{Damage, MetadataKind, Output, Packet, Trim};
use crate::track::{Access, Track};
use crate::{DemuxError, DemuxOptions, Demuxer, Run};

/// Demuxes `units` in portions and writes down what comes out.
fn demux(options: DemuxOptions, run: Run, units: &[&[u8]], portion: usize) -> Vec<String> {
    let mut demuxer = Demuxer::new(options);
    let mut lines = Vec::new();
    demuxer.start_run(run);
    for unit in units {
        for chunk in unit.chunks(portion) {
            demuxer.push(Bytes::copy_from_slice(chunk));
            lines.extend(std::iter::from_fn(|| demuxer.poll()).map(line));
        }
        demuxer.end_unit();
        lines.extend(std::iter::from_fn(|| demuxer.poll()).map(line));
    }
    lines
}

#[track_caller]
fn check_with(options: &DemuxOptions, run: &Run, units: &[&[u8]], want: &[&str]) {
    for portion in [1, 7, 188, 500, usize::MAX] {
        assert_eq!(demux(options.clone(), run.clone(), units, portion), want, "in portions of {portion}");
    }
}

#[track_caller]
fn check(run: &Run, units: &[&[u8]], want: &[&str]) {
    check_with(&DemuxOptions::default(), run, units, want);
}

fn line(output: Result<Output, DemuxError>) -> String {
    match output {
        Err(error) => format!("error {error}"),
        Ok(Output::Tracks(tracks)) => {
            format!("tracks {}", tracks.iter().map(track_line).collect::<Vec<_>>().join(", "))
        }
        Ok(Output::Packet(packet)) => packet_line(&packet),
        Ok(Output::Cue(cue)) => {
            format!("{} @{}..{} {:?} {:?} {:?}", cue.track.0, cue.start, cue.end, cue.id, cue.settings, cue.text)
        }
        Ok(Output::Metadata(metadata)) => {
            let kind = match &metadata.kind {
                MetadataKind::Id3 => "id3".to_owned(),
                MetadataKind::Event { scheme, value, id } => format!("{scheme} {value} {id}"),
            };
            let duration = metadata.duration.map_or(String::new(), |duration| format!(" +{duration}"));
            format!("{kind} @{}/{}{duration} [{}]", metadata.time, metadata.timescale, metadata.payload.len())
        }
        Ok(Output::Damage(Damage { kind, track, bytes })) => {
            format!("damage {kind:?} {} [{bytes}]", track.map_or("-".to_owned(), |track| track.0.to_string()))
        }
    }
}

fn track_line(track: &Track) -> String {
    let access = match track.access {
        Access::Clear => "",
        Access::Encrypted => " encrypted",
        Access::Unsupported => " unsupported",
    };
    let audio = track.audio.map_or(String::new(), |audio| format!(" {}x{}", audio.sample_rate, audio.channels));
    let language = track.language.as_deref().map_or(String::new(), |language| format!(" {language}"));
    let gapless = track.gapless.map_or(String::new(), |gapless| format!(" {}/{}", gapless.start, gapless.end));
    format!("{} {}{access}{audio}{language}{gapless}", track.id.0, track.codec)
}

/// Track, presentation time, decoding time where it differs, duration, length of the data, trim, and `-` where decoding cannot start.
fn packet_line(packet: &Packet) -> String {
    let dts = if packet.dts == packet.pts { String::new() } else { format!(" dts {}", packet.dts) };
    let duration = packet.duration.map_or(String::new(), |duration| format!(" +{duration}"));
    let trim = match packet.trim {
        Trim { start: 0, end: 0 } => String::new(),
        Trim { start, end } => format!(" trim {start}/{end}"),
    };
    let key = if packet.is_keyframe { "" } else { " -" };
    format!("{} @{}{dts}{duration} [{}]{trim}{key}", packet.track.0, packet.pts, packet.data.len())
}
