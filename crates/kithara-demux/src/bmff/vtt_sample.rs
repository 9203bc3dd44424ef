//! WebVTT cues in samples (ISO/IEC 14496-30).

use super::{boxes, find};

/// A cue of a sample; it lasts as long as the sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SampleCue {
    pub(crate) id: String,
    pub(crate) settings: String,
    pub(crate) text: String,
}

/// The cues of a sample. A sample in which nothing is shown has none.
pub(crate) fn cues(sample: &[u8]) -> impl Iterator<Item = SampleCue> {
    let cues = boxes(sample).filter(|(kind, _)| kind == b"vttc");
    cues.map(|(_, cue)| {
        let text = |kind| String::from_utf8_lossy(find(cue, kind).unwrap_or_default()).into_owned();
        SampleCue { id: text(b"iden"), settings: text(b"sttg"), text: text(b"payl") }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::mp4_box;
    use super::*;

    #[test]
    fn cues_are_read_and_empty_samples_have_none() {
        let first = mp4_box(
            b"vttc",
            &[&mp4_box(b"iden", &[b"7"]), &mp4_box(b"sttg", &[b"line:0"]), &mp4_box(b"payl", &[b"Hi"])],
        );
        let second = mp4_box(b"vttc", &[&mp4_box(b"payl", &[b"you"])]);
        let cue = |id: &str, settings: &str, text: &str| SampleCue {
            id: id.into(),
            settings: settings.into(),
            text: text.into(),
        };
        let found: Vec<_> = cues(&[first, second].concat()).collect();
        assert_eq!(found, [cue("7", "line:0", "Hi"), cue("", "", "you")]);
        assert_eq!(cues(&mp4_box(b"vtte", &[])).count(), 0);
    }
}
