use std::time::Duration;

use kithara::{Player, event::Status, options::BitRate};

use crate::line::Line;

/// How often it is worth drawing.
pub(super) const EVERY: Duration = Duration::from_millis(200);

/// A line that says how playback stands.
pub(super) fn line(verbose: u8) -> Line {
    Line::new(verbose, "{spinner} {msg}")
}

/// Shows how a player stands.
pub(super) fn draw(line: &Line, player: &Player) {
    line.draw(|| {
        let stats = player.stats();
        words(player.position(), player.duration(), stats.sound.buffered, stats.stream.as_ref())
    });
}

/// `1:02 / 3:45  buffer 28 s  variant 2 (128 kbit/s)  link 12.3 Mbit/s`.
fn words(position: Duration, duration: Option<Duration>, decoded: Duration, status: Option<&Status>) -> String {
    let end = duration.map_or_else(|| "live".to_owned(), clock);
    let buffered = decoded + status.map_or(Duration::ZERO, |status| status.buffered);
    let mut text = format!("{} / {end}  buffer {:.0} s", clock(position), buffered.as_secs_f64());
    let Some(status) = status else { return text };
    if let Some(id) = status.variant {
        text.push_str(&format!("  variant {}", id.0));
        if let Some(variant) = status.variants.iter().find(|variant| variant.id == id) {
            text.push_str(&format!(" ({})", rate(variant.bandwidth)));
        }
    }
    if let Some(throughput) = status.throughput {
        text.push_str(&format!("  link {}", rate(throughput)));
    }
    text
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A rate as people say it.
pub(super) fn rate(rate: BitRate) -> String {
    match rate.0 {
        bits @ 0..1_000_000 => format!("{} kbit/s", bits / 1000),
        bits @ 1_000_000..1_000_000_000 => format!("{:.1} Mbit/s", bits as f64 / 1e6),
        bits => format!("{:.1} Gbit/s", bits as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_clocks_show_them() {
        let shown = [0, 62, 3599, 3600, 36_061].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0:00", "1:02", "59:59", "1:00:00", "10:01:01"]);
    }

    #[test]
    fn rates_have_the_unit_that_suits() {
        assert_eq!(
            [999, 128_000, 12_340_000, 2_500_000_000].map(|bits| rate(BitRate(bits))),
            ["0 kbit/s", "128 kbit/s", "12.3 Mbit/s", "2.5 Gbit/s"]
        );
    }

    #[test]
    fn a_line_tells_time_buffer_variant_and_link() {
        let origin = kithara_origin::Origin::start(kithara_origin::demo()).unwrap();
        let options = kithara::HlsOptions::default();
        let session = kithara::blocking::open(&origin.url("/master.m3u8"), options.into()).unwrap();
        // As a session has it: nobody else can make one.
        let mut status = session.session().status();
        status.variant = Some(status.variants[1].id);
        status.buffered = Duration::from_millis(27_600);
        status.throughput = Some(BitRate(12_340_000));
        let words = |status: &Status| {
            words(Duration::from_secs(62), Some(Duration::from_secs(225)), Duration::from_millis(500), Some(status))
        };
        assert_eq!(words(&status), "1:02 / 3:45  buffer 28 s  variant 1 (67 kbit/s)  link 12.3 Mbit/s");
        // A stream of one variant has no bandwidth, and a link nobody measured no rate.
        (status.variants, status.throughput) = (Default::default(), None);
        assert_eq!(words(&status), "1:02 / 3:45  buffer 28 s  variant 1");
        (status.variant, status.buffered) = (None, Duration::ZERO);
        assert_eq!(words(&status), "1:02 / 3:45  buffer 0 s");
    }

    #[test]
    fn a_live_stream_has_no_length() {
        let text = words(Duration::from_secs(5), None, Duration::from_millis(500), None);
        assert_eq!(text, "0:05 / live  buffer 0 s");
    }
}
