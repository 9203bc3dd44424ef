//! What to try next for a unit that could not be had: the recovery ladder.
//!
//! Repeating one request is the network layer's business and has happened before a failure comes here. This is about
//! something else instead: the same unit anew, new URLs for it, another variant, or doing without it.

use std::time::Duration;

use crate::session::{FailureKind, FetchFailure, OnMissing, Remedy};

/// What was tried already, and what could be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    /// Bad deliveries in a row.
    pub bad_deliveries: u32,
    /// The media playlist was loaded again.
    pub reloaded_media: bool,
    /// The primary playlist was loaded again.
    pub reloaded_primary: bool,
    /// The application was asked for a URL.
    pub resolved: bool,
    /// Time since the unit failed first.
    pub waited: Duration,
    /// The server said how long to wait, and the stream waits for it.
    pub told: bool,
}

/// What could be tried.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bad deliveries that are answered by fetching again at once, before anything else.
    pub refetches: u32,
    /// How long a unit that nothing else can replace is asked for again; the last time after 85 % of it.
    pub patience: Duration,
    /// Whether there is a multivariant playlist above the media playlist.
    pub has_primary: bool,
    /// Whether the application can be asked for a new URL.
    pub has_resolver: bool,
    /// Whether another variant can take over here.
    pub has_other_variant: bool,
    /// Whether it is worse than waiting for this one.
    pub insists: bool,
    /// What to do when nothing helps.
    pub on_missing: OnMissing,
}

/// The next remedy. Every remedy is offered once per failing unit, and fetching again is bounded by
/// [`Options::refetches`] and [`Options::patience`], so the ladder always ends.
pub fn remedy(kind: FailureKind, tried: Tried, options: Options) -> Remedy {
    if kind.is_bad_delivery() && tried.bad_deliveries <= options.refetches {
        return Remedy::Refetch;
    }
    if kind.wants_new_url() {
        if !tried.reloaded_media {
            return Remedy::ReloadMedia;
        }
        if options.has_primary && !tried.reloaded_primary {
            return Remedy::ReloadPrimary;
        }
    }
    let may_resolve = kind.wants_new_url() || kind == FailureKind::Unreachable;
    if may_resolve && options.has_resolver && !tried.resolved {
        return Remedy::Resolve;
    }
    if options.has_other_variant && !options.insists {
        return Remedy::OtherVariant;
    }
    // Perhaps it is not there yet, or the server is not itself: an announced segment that is late, an error page.
    let may_come = kind.wants_new_url() || kind.is_bad_delivery() || (kind == FailureKind::Unreachable && tried.told);
    if may_come && tried.waited < last_try(options.patience) {
        return Remedy::Refetch;
    }
    if options.has_other_variant {
        return Remedy::OtherVariant;
    }
    match options.on_missing {
        OnMissing::Skip => Remedy::Skip,
        OnMissing::Fail => Remedy::Fail,
    }
}

/// Who is asked for the URL of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Above {
    /// The primary playlist, which is loaded again.
    Primary,
    /// The application.
    Application,
}

/// What may give a new URL for a playlist, and when it last did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources {
    /// Whether there is a multivariant playlist above this one.
    pub has_primary: bool,
    /// Time since the origin last answered for the primary playlist, whatever it said; `None` when what is known of it came
    /// from a store.
    pub primary: Option<Duration>,
    /// Whether the application can be asked.
    pub has_resolver: bool,
    /// Time since the application last answered; `None` when it was not asked yet.
    pub application: Option<Duration>,
}

/// Who is asked next for the URL of a playlist that could not be had, if asking may help.
///
/// `failures` counts this one. Whoever was asked a moment ago is not asked again: for 5 s after a first failure, twice as long
/// after each further one, up to 80 s. So a playlist that is refused for good costs few requests, and one that is refused
/// for hours is still found when its origin lets us in again.
pub fn new_url(kind: FailureKind, failures: u32, sources: Sources) -> Option<Above> {
    let quiet = QUIET.saturating_mul(1 << failures.saturating_sub(1).min(4));
    let is_due = |since: Option<Duration>| since.is_none_or(|since| since >= quiet);
    if kind.wants_new_url() && sources.has_primary && is_due(sources.primary) {
        return Some(Above::Primary);
    }
    let may_resolve = kind.wants_new_url() || kind == FailureKind::Unreachable;
    (may_resolve && sources.has_resolver && is_due(sources.application)).then_some(Above::Application)
}

/// Whoever answered so recently would say the same again.
const QUIET: Duration = Duration::from_secs(5);

/// How long to wait at least because the server said so, of something that has been `waited` for already: it cannot send
/// anybody away for so long that our `patience` ends without a last try.
#[must_use]
pub fn told_to_wait(cause: &FetchFailure, waited: Duration, patience: Duration) -> Duration {
    cause.retry_after.unwrap_or_default().min(last_try(patience).saturating_sub(waited))
}

/// A `wait` for something that has been `waited` for, shortened so that the last try of our `patience` is not missed.
#[must_use]
pub fn in_time(wait: Duration, waited: Duration, patience: Duration) -> Duration {
    let left = last_try(patience).saturating_sub(waited);
    if left.is_zero() { wait } else { wait.min(left) }
}

/// How long one try may take without progress of something that has been `waited` for: what is left of our `patience`, and
/// never less than its last try has.
#[must_use]
pub fn patience_left(waited: Duration, patience: Duration) -> Duration {
    patience.saturating_sub(waited).max(patience.saturating_sub(last_try(patience)))
}

/// When the last try of something begins that is asked for with `patience`: early enough to come in time.
fn last_try(patience: Duration) -> Duration {
    patience / 20 * 17
}

/// How well the URL of a playlist that could not be had yet is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Somebody gave it: it may be no playlist's at all.
    Given,
    /// A playlist names it: what comes from there instead is a fault.
    Named,
}

/// How long to wait before a playlist that was never had is asked for again, or `None` when that would not help.
///
/// `failures` counts this one, `waited` is the time since the first request. The last load begins well before the time
/// given is over. An origin that answers that it is in trouble, or not ready, is given `patience`, and so is one that
/// refuses what a playlist names; one where the playlist is not there, or that does not answer at all, `ready_timeout`. A
/// text that is cut shows that its origin has the playlist, and has `patience`, as whatever else comes from a URL that a
/// playlist names; a text that is no playlist is else fetched again a few times.
pub fn opening_wait(
    cause: &FetchFailure,
    url: Known,
    failures: u32,
    waited: Duration,
    ready_timeout: Duration,
    patience: Duration,
) -> Option<Duration> {
    let limit = match cause.kind {
        FailureKind::NotReady | FailureKind::Incomplete => patience,
        FailureKind::Unreachable if cause.status.is_some() => patience,
        FailureKind::Playlist | FailureKind::NotMedia if url == Known::Named => patience,
        kind if kind.wants_new_url() && url == Known::Named => patience,
        FailureKind::Unreachable | FailureKind::NotFound => ready_timeout,
        FailureKind::Playlist if failures <= BAD_TEXTS => ready_timeout,
        _ => return None,
    };
    let first = match cause.kind {
        FailureKind::Playlist | FailureKind::Incomplete => Duration::from_millis(125),
        _ => Duration::from_millis(500),
    };
    let backoff = first.saturating_mul(1 << failures.min(5)).min(LONGEST_PAUSE);
    // Whatever the server says, it is asked once more before the time is over.
    let rest = last_try(limit).checked_sub(waited).filter(|rest| !rest.is_zero())?;
    Some(cause.retry_after.unwrap_or(backoff).min(rest))
}

/// The longest wait of our own between two loads of a playlist that was never had.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Texts that are no playlist which are answered by fetching again.
const BAD_TEXTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Options = Options {
        refetches: 2,
        patience: Duration::from_secs(20),
        has_primary: false,
        has_resolver: false,
        has_other_variant: false,
        insists: false,
        on_missing: OnMissing::Fail,
    };

    #[track_caller]
    fn check(kind: FailureKind, tried: Tried, options: Options, want: Remedy) {
        assert_eq!(remedy(kind, tried, options), want);
    }

    #[test]
    fn a_bad_delivery_is_fetched_again_a_few_times() {
        let tried = |bad_deliveries| Tried { bad_deliveries, ..Tried::default() };
        check(FailureKind::NotMedia, tried(1), ALONE, Remedy::Refetch);
        check(FailureKind::Incomplete, tried(2), ALONE, Remedy::Refetch);
        let all = Options { has_other_variant: true, ..ALONE };
        check(FailureKind::Incomplete, tried(3), all, Remedy::OtherVariant);
    }

    #[test]
    fn what_nothing_can_replace_is_waited_for() {
        let waited = |secs| Tried {
            bad_deliveries: 9,
            reloaded_media: true,
            waited: Duration::from_secs(secs),
            ..Tried::default()
        };
        for kind in [FailureKind::NotFound, FailureKind::Forbidden, FailureKind::NotMedia, FailureKind::Key] {
            check(kind, waited(16), ALONE, Remedy::Refetch);
            check(kind, waited(17), ALONE, Remedy::Fail);
        }
    }

    #[test]
    fn who_insists_on_a_variant_waits_for_it_before_another_takes_over() {
        let options = Options { has_other_variant: true, insists: true, ..ALONE };
        let waited = |secs| Tried {
            bad_deliveries: 9,
            reloaded_media: true,
            waited: Duration::from_secs(secs),
            ..Tried::default()
        };
        for kind in [FailureKind::NotFound, FailureKind::NotMedia] {
            check(kind, waited(16), options, Remedy::Refetch);
            check(kind, waited(17), options, Remedy::OtherVariant);
        }
        check(FailureKind::Unreachable, waited(17), options, Remedy::OtherVariant);
    }

    #[test]
    fn an_expired_url_climbs_the_whole_ladder() {
        let all = Options { has_primary: true, has_resolver: true, has_other_variant: true, ..ALONE };
        let mut tried = Tried::default();
        check(FailureKind::Gone, tried, all, Remedy::ReloadMedia);
        tried.reloaded_media = true;
        check(FailureKind::Gone, tried, all, Remedy::ReloadPrimary);
        tried.reloaded_primary = true;
        check(FailureKind::Gone, tried, all, Remedy::Resolve);
        tried.resolved = true;
        check(FailureKind::Gone, tried, all, Remedy::OtherVariant);
        tried.waited = all.patience;
        check(FailureKind::Gone, tried, Options { has_other_variant: false, ..all }, Remedy::Fail);
    }

    #[test]
    fn an_unreachable_segment_is_left_out_only_when_allowed() {
        check(FailureKind::Unreachable, Tried::default(), ALONE, Remedy::Fail);
        let skip = Options { on_missing: OnMissing::Skip, ..ALONE };
        check(FailureKind::Unreachable, Tried::default(), skip, Remedy::Skip);
        let told = Tried { told: true, ..Tried::default() };
        check(FailureKind::Unreachable, told, skip, Remedy::Refetch);
        check(FailureKind::Unreachable, told, Options { has_other_variant: true, ..ALONE }, Remedy::OtherVariant);
        check(FailureKind::Unreachable, Tried { waited: ALONE.patience, ..told }, ALONE, Remedy::Fail);
    }

    #[track_caller]
    fn check_opening(cause: &FetchFailure, failures: u32, secs: u64, waits: bool) {
        let (ready, patience) = (Duration::from_secs(5), Duration::from_secs(20));
        let wait = opening_wait(cause, Known::Given, failures, Duration::from_secs(secs), ready, patience);
        assert_eq!(wait.is_some(), waits, "{cause} after {secs} s: {wait:?}");
    }

    #[test]
    fn a_playlist_is_waited_for_as_long_as_its_origin_gives_hope() {
        let answered = FetchFailure { status: Some(503), ..FetchFailure::new(FailureKind::Unreachable) };
        check_opening(&answered, 5, 16, true);
        check_opening(&answered, 6, 17, false);
        check_opening(&FetchFailure::new(FailureKind::NotReady), 6, 16, true);
        for kind in [FailureKind::NotFound, FailureKind::Unreachable] {
            check_opening(&FetchFailure::new(kind), 3, 4, true);
            check_opening(&FetchFailure::new(kind), 4, 5, false);
        }
        check_opening(&FetchFailure::new(FailureKind::Playlist), 3, 1, true);
        check_opening(&FetchFailure::new(FailureKind::Playlist), 4, 2, false);
        check_opening(&FetchFailure::new(FailureKind::Incomplete), 9, 16, true);
        for kind in [FailureKind::Forbidden, FailureKind::Gone, FailureKind::Refused, FailureKind::TooLarge] {
            check_opening(&FetchFailure::new(kind), 1, 0, false);
        }
    }

    #[test]
    fn a_playlist_is_asked_for_when_its_origin_said() {
        let cause =
            FetchFailure { retry_after: Some(Duration::from_secs(3)), ..FetchFailure::new(FailureKind::NotReady) };
        assert_eq!(wait_for_playlist(&cause, Known::Given, 1, 0), Some(Duration::from_secs(3)));
    }

    fn wait_for_playlist(cause: &FetchFailure, url: Known, failures: u32, secs: u64) -> Option<Duration> {
        let (ready, patience) = (Duration::from_secs(5), Duration::from_secs(20));
        opening_wait(cause, url, failures, Duration::from_secs(secs), ready, patience)
    }

    #[test]
    fn what_a_playlist_names_is_a_playlist_whatever_comes_from_there_for_a_while() {
        for kind in [FailureKind::Playlist, FailureKind::NotMedia, FailureKind::Forbidden, FailureKind::Gone] {
            let cause = FetchFailure::new(kind);
            assert!(wait_for_playlist(&cause, Known::Named, 9, 16).is_some());
            assert_eq!(wait_for_playlist(&cause, Known::Named, 9, 17), None);
            assert_eq!(wait_for_playlist(&cause, Known::Given, 9, 4), None);
        }
    }

    #[test]
    fn a_playlist_is_asked_for_once_more_before_patience_ends() {
        let cause = FetchFailure::new(FailureKind::NotReady);
        let starts = |cause: &FetchFailure| {
            let mut at = Duration::ZERO;
            let mut failures = 1;
            let mut starts = Vec::new();
            let (ready, patience) = (Duration::from_secs(5), Duration::from_secs(20));
            while let Some(wait) = opening_wait(cause, Known::Given, failures, at, ready, patience) {
                at += wait;
                failures += 1;
                starts.push(at.as_secs());
            }
            starts
        };
        assert_eq!(starts(&cause), [1, 3, 7, 11, 15, 17]);
        let told = |secs| FetchFailure { retry_after: Some(Duration::from_secs(secs)), ..cause.clone() };
        assert_eq!(starts(&told(10)), [10, 17]);
        assert_eq!(starts(&told(3_600)), [17]);
    }

    #[test]
    fn a_wait_that_a_server_asks_for_ends_with_our_patience() {
        let cause =
            FetchFailure { retry_after: Some(Duration::from_secs(3_600)), ..FetchFailure::new(FailureKind::NotReady) };
        assert_eq!(wait_for_playlist(&cause, Known::Given, 1, 8), Some(Duration::from_secs(9)));
        let told = |secs| told_to_wait(&cause, Duration::from_secs(secs), Duration::from_secs(20));
        assert_eq!([told(0), told(8), told(18)].map(|wait| wait.as_secs()), [17, 9, 0]);
    }

    #[test]
    fn the_last_try_is_not_missed_and_ends_with_our_patience() {
        let patience = Duration::from_secs(20);
        let wait = |wait, waited| in_time(Duration::from_secs(wait), Duration::from_secs(waited), patience).as_secs();
        assert_eq!([wait(4, 0), wait(4, 15), wait(4, 16), wait(4, 17), wait(4, 30)], [4, 2, 1, 4, 4]);
        let left = |waited| patience_left(Duration::from_secs(waited), patience).as_secs();
        assert_eq!([left(0), left(9), left(17), left(19), left(60)], [20, 11, 3, 3, 3]);
    }

    #[track_caller]
    fn check_new_url(kind: FailureKind, failures: u32, since: [Option<u64>; 2], want: Option<Above>) {
        let [primary, application] = since.map(|since| since.map(Duration::from_secs));
        let sources = Sources { has_primary: true, primary, has_resolver: true, application };
        assert_eq!(new_url(kind, failures, sources), want);
    }

    #[test]
    fn a_refused_playlist_is_looked_for_in_the_primary_one_and_then_with_the_application() {
        let gone = FailureKind::Gone;
        check_new_url(gone, 1, [None, None], Some(Above::Primary));
        check_new_url(gone, 1, [Some(5), None], Some(Above::Primary));
        check_new_url(gone, 1, [Some(4), None], Some(Above::Application));
        check_new_url(gone, 2, [Some(5), Some(9)], None);
        check_new_url(gone, 2, [Some(10), Some(0)], Some(Above::Primary));
        check_new_url(gone, 9, [Some(79), Some(79)], None);
        check_new_url(gone, u32::MAX, [Some(79), Some(80)], Some(Above::Application));
        check_new_url(FailureKind::Unreachable, 1, [None, None], Some(Above::Application));
        check_new_url(FailureKind::Playlist, 1, [None, None], None);
        let alone = Sources { primary: None, ..Sources::default() };
        assert_eq!(new_url(gone, 1, alone), None);
    }

    #[test]
    fn an_unsupported_encryption_is_never_skipped_into() {
        check(FailureKind::Unsupported, Tried::default(), ALONE, Remedy::Fail);
    }
}
