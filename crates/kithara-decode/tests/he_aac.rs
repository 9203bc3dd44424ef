//! HE-AAC is recognised where only the packets tell, and decoded or refused; AAC of a low rate is not taken for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::time::Duration;

use kithara_decode::PcmSpec;
use kithara_stream::{Container, Feed};
use support::{Script, Segment, file_feed, hear, media, units};

fn unit_feed(name: &str) -> Feed {
    let segment = Segment {
        container: Container::Adts,
        init: None,
        bytes: media(name),
        duration: Duration::from_secs(2),
        is_discontinuity: false,
    };
    units(Script::new(vec![segment]))
}

#[test]
fn aac_of_a_low_rate_is_plain_aac() {
    let spec = PcmSpec { sample_rate: 22_050, channels: 1 };
    for feed in [unit_feed("low_rate.aac"), file_feed("low_rate.aac")] {
        let heard = hear(feed).unwrap();
        assert_eq!(heard.frames(), [(spec, 43_008)]);
        support::check_tones(&heard.stretches[0].1, spec, 0, 1024);
    }
}

#[cfg(not(feature = "he-aac"))]
#[test]
fn he_aac_is_refused_by_name() {
    use kithara_decode::{DecodeErrorKind, SoundCodec};
    for name in ["he_v1.aac", "he_v2.aac"] {
        for feed in [unit_feed(name), file_feed(name)] {
            let error = hear(feed).unwrap_err();
            assert_eq!((error.kind(), error.codec()), (DecodeErrorKind::UnsupportedCodec, Some(SoundCodec::HeAac)));
            assert!(error.to_string().contains("HE-AAC needs the feature `he-aac`"), "{error}");
        }
    }
}

#[cfg(feature = "he-aac")]
#[test]
fn he_aac_is_decoded_at_its_whole_rate() {
    let spec = PcmSpec { sample_rate: 44_100, channels: 2 };
    for name in ["he_v1.aac", "he_v2.aac"] {
        for feed in [unit_feed(name), file_feed(name)] {
            let heard = hear(feed).unwrap();
            assert_eq!(heard.frames(), [(spec, 81_920)], "{name}");
        }
    }
    // Parametric stereo keeps no sides apart, so only the first is measured.
    let (_, samples) = hear(unit_feed("he_v1.aac")).unwrap().only();
    support::check_tones(&samples, spec, 0, 5000);
}
