//! Mixing channels: from any number of them to any other.

use crate::PcmSpec;

/// A place in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Left,
    Right,
    Center,
    Low,
    BackLeft,
    BackRight,
    BackCenter,
    SideLeft,
    SideRight,
}

use Speaker::{BackCenter, BackLeft, BackRight, Center, Left, Low, Right, SideLeft, SideRight};

/// Where channels belong, by how many there are, in the order of WAVE files. More than eight stand nowhere in particular.
const LAYOUTS: [&[Speaker]; 9] = [
    &[],
    &[Center],
    &[Left, Right],
    &[Left, Right, Center],
    &[Left, Right, BackLeft, BackRight],
    &[Left, Right, Center, BackLeft, BackRight],
    &[Left, Right, Center, Low, BackLeft, BackRight],
    &[Left, Right, Center, Low, BackCenter, SideLeft, SideRight],
    &[Left, Right, Center, Low, BackLeft, BackRight, SideLeft, SideRight],
];

/// Half of the power.
const HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// Mixes frames of one channel count to another.
#[derive(Debug)]
pub(crate) struct Mixer {
    from: usize,
    to: usize,
    /// For each output channel, what is taken of each input channel.
    gains: Vec<f32>,
}

impl Mixer {
    /// A mixer to so many channels, or `None` where nothing is to be mixed.
    pub(crate) fn new(from: PcmSpec, to: u16) -> Option<Self> {
        let (from, to) = (from.width(), usize::from(to));
        (from != to).then(|| Self { from, to, gains: gains(from, to) })
    }

    /// Appends the mix of `samples` to `out`.
    pub(crate) fn mix(&self, samples: &[f32], out: &mut Vec<f32>) {
        if (self.from, self.to) == (1, 2) {
            out.extend(samples.iter().flat_map(|sample| [*sample, *sample]));
            return;
        }
        for frame in samples.chunks_exact(self.from) {
            let row = |gains: &[f32]| frame.iter().zip(gains).map(|(sample, gain)| sample * gain).sum::<f32>();
            out.extend(self.gains.chunks_exact(self.from).map(row));
        }
    }
}

fn gains(from: usize, to: usize) -> Vec<f32> {
    let mut gains = vec![0.0; from * to];
    let layouts = LAYOUTS.get(from).zip(LAYOUTS.get(to));
    for input in 0..from {
        match layouts {
            Some((inputs, outputs)) => {
                for (output, gain) in route(inputs[input], inputs, outputs) {
                    gains[output * from + input] += gain;
                }
            }
            None if input < to => gains[input * from + input] = 1.0,
            None => {}
        }
    }
    // No output is louder than its inputs at their loudest, so nothing clips that did not before.
    for row in gains.chunks_exact_mut(from) {
        let sum: f32 = row.iter().sum();
        row.iter_mut().filter(|_| sum > 1.0).for_each(|gain| *gain /= sum);
    }
    gains
}

/// Where a channel goes: to its own speaker, else to the nearest ones there are. Low frequencies without a speaker are
/// left out, as ITU-R BS.775 does.
fn route(input: Speaker, inputs: &[Speaker], outputs: &[Speaker]) -> Vec<(usize, f32)> {
    let is_mono = inputs.len() == 1;
    let choices: &[&[(Speaker, f32)]] = match input {
        Center if is_mono => &[&[(Left, 1.0), (Right, 1.0)]],
        Center => &[&[(Left, HALF), (Right, HALF)]],
        Left | Right => &[&[(Center, 1.0)]],
        BackLeft => &[&[(SideLeft, 1.0)], &[(BackCenter, HALF)], &[(Left, HALF)], &[(Center, HALF)]],
        BackRight => &[&[(SideRight, 1.0)], &[(BackCenter, HALF)], &[(Right, HALF)], &[(Center, HALF)]],
        SideLeft => &[&[(BackLeft, 1.0)], &[(Left, HALF)], &[(Center, HALF)]],
        SideRight => &[&[(BackRight, 1.0)], &[(Right, HALF)], &[(Center, HALF)]],
        BackCenter => &[
            &[(BackLeft, HALF), (BackRight, HALF)],
            &[(SideLeft, HALF), (SideRight, HALF)],
            &[(Left, 0.5), (Right, 0.5)],
            &[(Center, HALF)],
        ],
        Low => &[],
    };
    let place = |speaker: Speaker| outputs.iter().position(|output| *output == speaker);
    if let Some(own) = place(input) {
        return vec![(own, 1.0)];
    }
    let found = |choice: &[(Speaker, f32)]| -> Option<Vec<(usize, f32)>> {
        choice.iter().map(|(speaker, gain)| Some((place(*speaker)?, *gain))).collect()
    };
    choices.iter().find_map(|choice| found(choice)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: &[f32], to: u16, want: &[f32]) {
        let from = PcmSpec { sample_rate: 48_000, channels: frame.len() as u16 };
        let mut out = Vec::new();
        Mixer::new(from, to).unwrap().mix(&[frame, frame].concat(), &mut out);
        assert_eq!(out.len(), want.len() * 2);
        for (got, want) in out.iter().zip(want.iter().cycle()) {
            assert!((got - want).abs() < 1e-6, "{frame:?} -> {out:?}, not {want:?}");
        }
    }

    #[test]
    fn mono_is_heard_on_both_sides_and_stereo_meets_in_the_middle() {
        check(&[0.5], 2, &[0.5, 0.5]);
        check(&[0.5, -0.1], 1, &[0.2]);
        check(&[0.5], 3, &[0.0, 0.0, 0.5]);
        check(&[0.5], 4, &[0.5, 0.5, 0.0, 0.0]);
        check(&[0.3, 0.4], 6, &[0.3, 0.4, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn surround_folds_into_stereo_without_clipping() {
        let sum = 1.0 + 2.0 * HALF;
        check(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 2, &[1.0, 1.0]);
        check(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 2, &[HALF / sum, HALF / sum]);
        check(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], 2, &[0.0, 0.0]);
        check(&[0.0, 0.0, 0.0, 0.0, 1.0, 0.0], 2, &[HALF / sum, 0.0]);
        check(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 6, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn any_count_becomes_any_other() {
        for from in 1..12 {
            for to in (1..12).filter(|to| *to != from) {
                let spec = PcmSpec { sample_rate: 48_000, channels: from };
                let mut out = Vec::new();
                Mixer::new(spec, to).unwrap().mix(&vec![1.0; usize::from(from)], &mut out);
                assert_eq!(out.len(), usize::from(to));
                assert!(out.iter().all(|sample| (0.0..=1.000_001).contains(sample)), "{from} {to} {out:?}");
            }
        }
        assert!(Mixer::new(PcmSpec { sample_rate: 48_000, channels: 2 }, 2).is_none());
    }
}
