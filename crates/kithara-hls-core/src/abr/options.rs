//! What an app may ask of the adaptation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BitRate;

/// How the rung of the next segment is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AbrStrategy {
    /// [`AbrStrategy::Threshold`] if any of the six threshold fields of [`AbrOptions`] differs from its default,
    /// else [`AbrStrategy::LookAhead`].
    #[default]
    Auto,
    /// Weighs every rung over the next seconds: what it is worth, what the step costs, how likely it is to stall.
    LookAhead,
    /// The rule of the six threshold fields of [`AbrOptions`].
    Threshold,
    /// The highest rung whose rate is at most this, whatever the link does; the lowest if there is none.
    Fixed(BitRate),
}

/// What the look-ahead rule guards first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AbrProfile {
    /// [`AbrProfile::Audio`] when nothing but audio is played, else [`AbrProfile::Video`].
    #[default]
    Auto,
    /// Quality and continuity in balance.
    Video,
    /// Continuity first: a gap in music is worse than a lower rate.
    Audio,
}

/// The options of the adaptation.
///
/// The six fields from `min_buffer_for_up_switch_secs` to `min_switch_interval` steer the threshold rule and
/// select it when one of them differs from its default, see [`AbrStrategy::Auto`]. A value that means nothing
/// (negative, infinite or not a number; for a factor or ratio also zero) is named by [`AbrOptions::check`]; a controller
/// that is given one takes the default in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AbrOptions {
    /// The rule that chooses. Default: [`AbrStrategy::Auto`].
    pub strategy: AbrStrategy,
    /// Threshold rule: seconds of media that must be buffered before the rung rises. Default: 10.
    pub min_buffer_for_up_switch_secs: f64,
    /// Threshold rule: at this many buffered seconds or fewer, the rung falls at once, without waiting for
    /// `min_switch_interval` or `down_hysteresis_ratio`. Default: 5.
    pub down_switch_buffer_secs: f64,
    /// Threshold rule: the estimated throughput is divided by this before a rate is compared with it.
    /// Default: 1.5.
    pub throughput_safety_factor: f64,
    /// Threshold rule: the rung rises to a rate only if the safe throughput is at least this times the rate.
    /// Default: 1.3.
    pub up_hysteresis_ratio: f64,
    /// Threshold rule: the rung falls only if the safe throughput is at most this times the present rate.
    /// Default: 0.8.
    pub down_hysteresis_ratio: f64,
    /// Threshold rule: the least time between two switches. The first one need not wait. Default: 30 s.
    pub min_switch_interval: Duration,
    /// A throughput remembered from an earlier session on this network, to start from. It is trusted like half a
    /// second of measurement. `None` starts at the lowest rung allowed. Default: `None`.
    pub initial_throughput: Option<BitRate>,
    /// Rungs with a lower BANDWIDTH are not chosen while another can be. Default: `None`.
    pub min_bandwidth: Option<BitRate>,
    /// Rungs with a higher BANDWIDTH are not chosen while another can be. Default: `None`.
    pub max_bandwidth: Option<BitRate>,
    /// Whether a download that would starve the reader is given up for a lower rung. Default: true.
    pub abandon: bool,
    /// Look-ahead rule: what it guards first. Default: [`AbrProfile::Auto`].
    pub profile: AbrProfile,
}

impl Default for AbrOptions {
    fn default() -> Self {
        Self {
            strategy: AbrStrategy::Auto,
            min_buffer_for_up_switch_secs: 10.0,
            down_switch_buffer_secs: 5.0,
            throughput_safety_factor: 1.5,
            up_hysteresis_ratio: 1.3,
            down_hysteresis_ratio: 0.8,
            min_switch_interval: Duration::from_secs(30),
            initial_throughput: None,
            min_bandwidth: None,
            max_bandwidth: None,
            abandon: true,
            profile: AbrProfile::Auto,
        }
    }
}

impl AbrOptions {
    /// The strategy in force: [`AbrStrategy::Auto`] resolved, so that the choice can be logged.
    pub fn resolved_strategy(&self) -> AbrStrategy {
        let default = Self::default();
        let thresholds = |options: &Self| {
            (
                options.min_buffer_for_up_switch_secs,
                options.down_switch_buffer_secs,
                options.throughput_safety_factor,
                options.up_hysteresis_ratio,
                options.down_hysteresis_ratio,
                options.min_switch_interval,
            )
        };
        match self.strategy {
            AbrStrategy::Auto if thresholds(self) == thresholds(&default) => AbrStrategy::LookAhead,
            AbrStrategy::Auto => AbrStrategy::Threshold,
            strategy => strategy,
        }
    }

    /// Whether all thresholds mean something.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Result<(), InvalidAbrOption> {
        let seconds = [
            ("min_buffer_for_up_switch_secs", self.min_buffer_for_up_switch_secs),
            ("down_switch_buffer_secs", self.down_switch_buffer_secs),
        ];
        let factors = [
            ("throughput_safety_factor", self.throughput_safety_factor),
            ("up_hysteresis_ratio", self.up_hysteresis_ratio),
            ("down_hysteresis_ratio", self.down_hysteresis_ratio),
        ];
        let wrong_time = seconds.into_iter().find(|(_, value)| !is_time(*value));
        match wrong_time.or_else(|| factors.into_iter().find(|(_, value)| !is_factor(*value))) {
            Some((field, value)) => Err(InvalidAbrOption { field, value }),
            None => Ok(()),
        }
    }

    /// The same options with every threshold that means nothing replaced by its default.
    pub(super) fn sanitized(&self) -> Self {
        let default = Self::default();
        let seconds = |value: f64, default: f64| if is_time(value) { value } else { default };
        let factor = |value: f64, default: f64| if is_factor(value) { value } else { default };
        Self {
            min_buffer_for_up_switch_secs: seconds(
                self.min_buffer_for_up_switch_secs,
                default.min_buffer_for_up_switch_secs,
            ),
            down_switch_buffer_secs: seconds(self.down_switch_buffer_secs, default.down_switch_buffer_secs),
            throughput_safety_factor: factor(self.throughput_safety_factor, default.throughput_safety_factor),
            up_hysteresis_ratio: factor(self.up_hysteresis_ratio, default.up_hysteresis_ratio),
            down_hysteresis_ratio: factor(self.down_hysteresis_ratio, default.down_hysteresis_ratio),
            ..self.clone()
        }
    }
}

/// A field of [`AbrOptions`] with a value that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{field} cannot be {value}")]
#[non_exhaustive]
pub struct InvalidAbrOption {
    /// The name of the field.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
}

fn is_time(secs: f64) -> bool {
    secs.is_finite() && secs >= 0.0
}

fn is_factor(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut AbrOptions), want: AbrStrategy) {
        let mut options = AbrOptions::default();
        change(&mut options);
        assert_eq!(options.resolved_strategy(), want);
    }

    #[test]
    fn a_changed_threshold_selects_the_threshold_rule() {
        check(|_| {}, AbrStrategy::LookAhead);
        check(|options| options.min_buffer_for_up_switch_secs = 15.0, AbrStrategy::Threshold);
        check(|options| options.down_switch_buffer_secs = 8.0, AbrStrategy::Threshold);
        check(|options| options.throughput_safety_factor = 1.8, AbrStrategy::Threshold);
        check(|options| options.up_hysteresis_ratio = 1.4, AbrStrategy::Threshold);
        check(|options| options.down_hysteresis_ratio = 0.7, AbrStrategy::Threshold);
        check(|options| options.min_switch_interval = Duration::from_secs(20), AbrStrategy::Threshold);
    }

    #[test]
    fn other_fields_and_an_explicit_strategy_leave_it_alone() {
        check(|options| options.max_bandwidth = Some(BitRate(1)), AbrStrategy::LookAhead);
        check(
            |options| {
                options.strategy = AbrStrategy::LookAhead;
                options.down_hysteresis_ratio = 0.7;
            },
            AbrStrategy::LookAhead,
        );
        check(|options| options.strategy = AbrStrategy::Fixed(BitRate(9)), AbrStrategy::Fixed(BitRate(9)));
    }

    #[test]
    fn values_that_mean_nothing_are_taken_as_the_default() {
        let options = AbrOptions {
            min_buffer_for_up_switch_secs: f64::NAN,
            down_switch_buffer_secs: -1.0,
            throughput_safety_factor: 0.0,
            up_hysteresis_ratio: f64::INFINITY,
            down_hysteresis_ratio: -0.8,
            ..AbrOptions::default()
        };
        assert_eq!(options.sanitized(), AbrOptions::default());
    }

    #[test]
    fn the_first_value_that_means_nothing_is_named() {
        assert_eq!(AbrOptions::default().check(), Ok(()));
        let options = AbrOptions { down_switch_buffer_secs: 0.0, ..AbrOptions::default() };
        assert_eq!(options.check(), Ok(()), "no buffer is a buffer");
        let options = AbrOptions { up_hysteresis_ratio: 0.0, down_hysteresis_ratio: -1.0, ..AbrOptions::default() };
        assert_eq!(options.check(), Err(InvalidAbrOption { field: "up_hysteresis_ratio", value: 0.0 }));
        let options =
            AbrOptions { down_switch_buffer_secs: f64::NAN, up_hysteresis_ratio: 0.0, ..AbrOptions::default() };
        let error = options.check().expect_err("it is no number");
        assert_eq!(error.to_string(), "down_switch_buffer_secs cannot be NaN");
    }
}
