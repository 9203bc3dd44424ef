//! Interstitials: other presentations that are played in between (RFC 8216bis appendix D).

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::playlist::{AttributeValue, Cue, DateRange};
use crate::time::{MediaTime, WallTime};

/// A date range of the class of interstitials, its attributes typed. Attributes that are not defined stay in the range.
#[derive(Clone, Debug, PartialEq)]
pub struct Interstitial {
    /// ID of the range.
    pub id: Arc<str>,
    /// START-DATE: when it is scheduled, unless `cue` says otherwise.
    pub start_date: WallTime,
    /// DURATION, END-DATE or PLANNED-DURATION: how long it plays, as far as that is announced.
    pub duration: Option<Duration>,
    /// CUE: before all, after all, once.
    pub cue: Cue,
    /// What is played.
    pub assets: Assets,
    /// X-RESUME-OFFSET: where the primary presentation goes on, counted from the scheduled time; `None` means after the
    /// time the interstitial has played.
    pub resume_offset: Option<MediaTime>,
    /// X-PLAYOUT-LIMIT: when it ends at the latest.
    pub playout_limit: Option<Duration>,
    /// X-SNAP has OUT: it begins at the nearest segment boundary.
    pub snap_out: bool,
    /// X-SNAP has IN: the primary presentation goes on at the nearest segment boundary.
    pub snap_in: bool,
    /// X-RESTRICT has SKIP: no seeking forward and no faster playback within it.
    pub restrict_skip: bool,
    /// X-RESTRICT has JUMP: no seeking across it without playing it.
    pub restrict_jump: bool,
    /// X-CONTENT-MAY-VARY: others may get something else. Default: `true`.
    pub content_may_vary: bool,
    /// X-TIMELINE-OCCUPIES. Default: a point.
    pub occupies: Occupies,
    /// X-TIMELINE-STYLE. Default: highlighted.
    pub style: TimelineStyle,
    /// X-SKIP-CONTROL-OFFSET, -DURATION and -LABEL-ID; `None` when there is none of them.
    pub skip_control: Option<SkipControl>,
}

/// What an interstitial plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assets {
    /// X-ASSET-URI: a playlist.
    One(Url),
    /// X-ASSET-LIST: a list of playlists, see [`AssetList`].
    List(Url),
}

/// X-TIMELINE-OCCUPIES: how much of a timeline an interstitial takes when it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occupies {
    /// A point.
    #[default]
    Point,
    /// As much as it is long.
    Range,
}

/// X-TIMELINE-STYLE: whether an interstitial is shown as something else than the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimelineStyle {
    /// It stands out.
    #[default]
    Highlight,
    /// It looks like the content.
    Primary,
}

/// When a button to skip an interstitial is shown (appendix D.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE", default)]
pub struct SkipControl {
    /// Seconds of the interstitial before it is shown; 0 when that is not said.
    #[serde(with = "whole_seconds")]
    pub offset: Option<Duration>,
    /// How long it is shown; `None` until the end.
    #[serde(with = "whole_seconds")]
    pub duration: Option<Duration>,
    /// The key of its label in the application.
    #[serde(rename = "LABEL-ID")]
    pub label_id: Option<String>,
}

/// What an X-ASSET-LIST leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct AssetList {
    /// What is played, one after the other. None means that nothing is to be played.
    pub assets: Vec<Asset>,
    /// SKIP-CONTROL: what it says takes the place of what the date range says.
    pub skip_control: Option<SkipControl>,
}

/// One playlist of an [`AssetList`].
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    /// The playlist.
    pub url: Url,
    /// How long it plays.
    pub duration: Duration,
}

/// A date range or asset list that is no interstitial that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInterstitial {
    /// The range is of another class.
    #[error("a date range of another class")]
    OtherClass,
    /// The range has no START-DATE.
    #[error("an interstitial without START-DATE")]
    NoStart,
    /// Not exactly one of X-ASSET-URI and X-ASSET-LIST is there.
    #[error("an interstitial has not exactly one of X-ASSET-URI and X-ASSET-LIST")]
    Assets,
    /// A URI that is not one, or not absolute where it must be.
    #[error("an interstitial has a URI that cannot be used")]
    Uri(#[source] url::ParseError),
    /// The asset list is not the JSON it should be.
    #[error("not an asset list")]
    Json(#[source] serde_json::Error),
    /// The asset list names more than a thousand assets.
    #[error("an asset list with too many assets")]
    TooMany,
}

impl Interstitial {
    /// Types the attributes of `range`, which stands in a playlist loaded from `base`. Values of optional attributes that
    /// cannot be read are passed over, as if they were not there.
    ///
    /// # Errors
    /// When the range is of another class or cannot be played.
    pub fn of(range: &DateRange, base: &Url) -> Result<Self, InvalidInterstitial> {
        if !range.is_interstitial() {
            return Err(InvalidInterstitial::OtherClass);
        }
        let start_date = range.start_date.ok_or(InvalidInterstitial::NoStart)?;
        let assets = match (range.text("X-ASSET-URI"), range.text("X-ASSET-LIST")) {
            (Some(uri), None) => Assets::One(uri.parse().map_err(InvalidInterstitial::Uri)?),
            (None, Some(uri)) => Assets::List(base.join(uri).map_err(InvalidInterstitial::Uri)?),
            _ => return Err(InvalidInterstitial::Assets),
        };
        let lists = |name: &str, what: &str| range.text(name).is_some_and(|all| all.split(',').any(|it| it == what));
        let number = |name: &str| Some(range.attributes.get(name)?.as_str().parse::<f64>().ok()).flatten();
        let time = |name: &str| number(name).and_then(|it| Duration::try_from_secs_f64(it).ok());
        let planned = range.end().and_then(|end| end.checked_since(start_date)).or(range.planned_duration);
        Ok(Self {
            id: range.id.clone(),
            start_date,
            duration: planned,
            cue: range.cue,
            assets,
            resume_offset: number("X-RESUME-OFFSET").and_then(media_time),
            playout_limit: time("X-PLAYOUT-LIMIT"),
            snap_out: lists("X-SNAP", "OUT"),
            snap_in: lists("X-SNAP", "IN"),
            restrict_skip: lists("X-RESTRICT", "SKIP"),
            restrict_jump: lists("X-RESTRICT", "JUMP"),
            content_may_vary: range.text("X-CONTENT-MAY-VARY") != Some("NO"),
            occupies: match range.text("X-TIMELINE-OCCUPIES") {
                Some("RANGE") => Occupies::Range,
                _ => Occupies::Point,
            },
            style: match range.text("X-TIMELINE-STYLE") {
                Some("PRIMARY") => TimelineStyle::Primary,
                _ => TimelineStyle::Highlight,
            },
            skip_control: skip_control(range),
        })
    }

    /// Where the primary presentation goes on, counted from the scheduled time, when the interstitial `played` so long
    /// altogether: the limit already applied. Nothing played and nothing said means where it was left.
    #[must_use]
    pub fn resumes_after(&self, played: Duration) -> MediaTime {
        let limited = self.playout_limit.map_or(played, |limit| played.min(limit));
        self.resume_offset.unwrap_or_else(|| limited.into())
    }
}

impl AssetList {
    /// Reads the JSON of an asset list.
    ///
    /// # Errors
    /// When it is no asset list; one asset that cannot be read spoils all, since durations add up.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidInterstitial> {
        #[derive(Deserialize)]
        #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
        struct List {
            assets: Vec<Described>,
            skip_control: Option<SkipControl>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "UPPERCASE")]
        struct Described {
            uri: String,
            duration: f64,
        }
        let list: List = serde_json::from_slice(json).map_err(InvalidInterstitial::Json)?;
        if list.assets.len() > MAX_ASSETS {
            return Err(InvalidInterstitial::TooMany);
        }
        let asset = |it: Described| {
            let url = it.uri.parse().map_err(InvalidInterstitial::Uri)?;
            Ok(Asset { url, duration: Duration::try_from_secs_f64(it.duration).unwrap_or_default() })
        };
        let assets = list.assets.into_iter().map(asset).collect::<Result<_, _>>()?;
        Ok(Self { assets, skip_control: list.skip_control })
    }

    /// How long all assets play.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.assets.iter().fold(Duration::ZERO, |sum, it| sum.saturating_add(it.duration))
    }
}

const MAX_ASSETS: usize = 1_000;

fn media_time(seconds: f64) -> Option<MediaTime> {
    let size = Duration::try_from_secs_f64(seconds.abs()).ok()?;
    let nanos = i64::try_from(size.as_nanos()).ok()?;
    Some(MediaTime::from_nanos(if seconds < 0.0 { -nanos } else { nanos }))
}

fn skip_control(range: &DateRange) -> Option<SkipControl> {
    let get = |name: &str| range.attributes.get(name).map(AttributeValue::as_str);
    let seconds = |name: &str| get(name).and_then(|it| it.parse().ok()).map(Duration::from_secs);
    let control = SkipControl {
        offset: seconds("X-SKIP-CONTROL-OFFSET"),
        duration: seconds("X-SKIP-CONTROL-DURATION"),
        label_id: get("X-SKIP-CONTROL-LABEL-ID").map(str::to_owned),
    };
    (control != SkipControl::default()).then_some(control)
}

mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(from).map(|seconds| seconds.map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use crate::playlist::{ParseOptions, Playlist, parse};

    use super::*;

    fn read(attributes: &str) -> Result<Interstitial, InvalidInterstitial> {
        let base = "https://h/dir/index.m3u8".parse().unwrap();
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-01-02T00:00:04Z\",{attributes}\n"
        );
        let Ok(Playlist::Media(playlist)) = parse(text.as_bytes(), &base, &ParseOptions::default()) else {
            panic!("it is one")
        };
        Interstitial::of(&playlist.date_ranges[0], &base)
    }

    const CLASS: &str = "CLASS=\"com.apple.hls.interstitial\"";

    #[test]
    fn attributes_have_their_types() {
        let read = read(&format!(
            "{CLASS},DURATION=15,X-ASSET-URI=\"https://ads/1.m3u8\",X-RESUME-OFFSET=-1.5,X-PLAYOUT-LIMIT=10,\
             X-SNAP=\"OUT,IN\",X-RESTRICT=\"JUMP,OTHER\",X-CONTENT-MAY-VARY=\"NO\",X-TIMELINE-OCCUPIES=\"RANGE\",\
             X-TIMELINE-STYLE=\"OTHER\",X-SKIP-CONTROL-OFFSET=5"
        ));
        let it = read.unwrap();
        assert_eq!(it.duration, Some(Duration::from_secs(15)));
        assert!(matches!(&it.assets, Assets::One(url) if url.as_str() == "https://ads/1.m3u8"));
        assert_eq!(it.resume_offset, Some(MediaTime::from_nanos(-1_500_000_000)));
        assert_eq!(it.playout_limit, Some(Duration::from_secs(10)));
        assert_eq!((it.snap_out, it.snap_in, it.restrict_skip, it.restrict_jump), (true, true, false, true));
        assert_eq!((it.content_may_vary, it.occupies, it.style), (false, Occupies::Range, TimelineStyle::Highlight));
        assert_eq!(it.skip_control.unwrap().offset, Some(Duration::from_secs(5)));
    }

    #[test]
    fn defaults_are_those_of_the_specification() {
        let it =
            read(&format!("{CLASS},X-ASSET-LIST=\"list.json\",PLANNED-DURATION=9,X-RESUME-OFFSET=\"soon\"")).unwrap();
        assert!(matches!(&it.assets, Assets::List(url) if url.as_str() == "https://h/dir/list.json"));
        assert_eq!((it.duration, it.resume_offset, it.content_may_vary), (Some(Duration::from_secs(9)), None, true));
        assert_eq!(it.resumes_after(Duration::from_secs(7)), Duration::from_secs(7).into());
        assert_eq!(it.skip_control, None);
    }

    #[test]
    fn the_limit_bounds_where_playback_goes_on() {
        let it = read(&format!("{CLASS},X-ASSET-LIST=\"l\",X-PLAYOUT-LIMIT=5")).unwrap();
        assert_eq!(it.resumes_after(Duration::from_secs(7)), Duration::from_secs(5).into());
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        assert!(matches!(read("CLASS=\"other\""), Err(InvalidInterstitial::OtherClass)));
        assert!(matches!(read(CLASS), Err(InvalidInterstitial::Assets)));
        assert!(matches!(read(&format!("{CLASS},X-ASSET-URI=\"relative\"")), Err(InvalidInterstitial::Uri(_))));
    }

    #[test]
    fn asset_lists() {
        let list = AssetList::parse(
            br#"{"ASSETS":[{"URI":"https://ads/1.m3u8","DURATION":15},{"URI":"https://ads/2.m3u8","DURATION":1.5}],
                "SKIP-CONTROL":{"OFFSET":5,"LABEL-ID":"x"},"OTHER":1}"#,
        );
        let list = list.unwrap();
        assert_eq!((list.assets.len(), list.duration()), (2, Duration::from_millis(16_500)));
        let control = list.skip_control.unwrap();
        assert_eq!((control.offset, control.duration), (Some(Duration::from_secs(5)), None));
        assert!(AssetList::parse(br#"{"ASSETS":[]}"#).unwrap().assets.is_empty());
        for json in ["", "{}", "[]", r#"{"ASSETS":[{"URI":"relative","DURATION":1}]}"#] {
            assert!(AssetList::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
