//! Rules and live playlists written as text, for command lines.

use std::{str::FromStr, time::Duration};

use crate::{
    error::OriginError,
    fault::{At, Ending, Fault, Redirect},
    link::Link,
    live::Live,
    packager::Packager,
    response::Response,
    rule::Rule,
};

impl Rule {
    /// The syntax of rules as text, for the help of commands that take them.
    pub const SYNTAX: &str = "\
A rule is PATTERN:WHEN:FAULTS (or PATTERN:FAULTS), words separated by commas.

PATTERN  with * or ?: a glob over the path; beginning with /: exactly this path; else: a part of the file name
WHEN     nothing: always         first=N  at most N times       nth=N    only the Nth request
         skip=N  after N         every=N  each Nth              for=TIME until TIME after the first request
         chance=0.1  by a seeded dice                           across   count all paths together
         number=N  only files with this number                  number-every=N  the last of each N files by number
FAULTS   instead of the content
           status=N [retry-after=TIME | retry-after-date=TIME] [body=TEXT]     html   empty   raw=TEXT
           close   reset   redirect=N [code=N] [relative | via=HOST:PORT]   redirect-loop   redirect-to=URL
         in the head
           length=+N|-N  type=TYPE  header=NAME: VALUE  no-header=NAME  new-etag  ignore-range  range=+N|-N
         in the body
           truncate=AT  reset-at=AT  stall=AT [time=TIME] [then=close|reset]  corrupt=AT [xor=N]  bad-padding  shorten=AT
           chunked[=N]  no-length  close-after  gzip  gzip-unasked
         in time
           latency=TIME  rate=N (bytes/s)  drip=N [time=TIME]
AT       1000 (byte), 50% (of what is sent), -17 (before the end)
TIME     250ms, 2s, 1m, 2 (seconds)
N        may end with k or M (1000, 1000000)";
}

impl Live {
    /// The syntax of live views as text, for the help of commands that take them.
    pub const SYNTAX: &str = "\
Words separated by commas: event | sliding=N, then start=N  keep=N  speed=X  early=TIME  stale=AFTER/TIME  restart=TIME
loop  endless  dated";
}

impl FromStr for Rule {
    type Err = OriginError;

    /// Reads `PATTERN:WHEN:FAULTS` or `PATTERN:FAULTS`, as in `seg:first=2:status=503,retry-after=1`.
    ///
    /// # Errors
    /// [`OriginErrorKind::Script`](crate::OriginErrorKind::Script) with the first word that is not understood.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let mut parts = text.splitn(3, ':');
        let (pattern, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let (when, faults) = match (second, third) {
            (Some(when), Some(faults)) => (when, faults),
            (Some(faults), None) => ("", faults),
            (None, _) => return Err(OriginError::script(text, "PATTERN:WHEN:FAULTS")),
        };
        let mut rule = Self::on(pattern);
        for word in words(when) {
            rule = when_word(rule, &word)?;
        }
        let faults = faults_of(faults)?;
        if faults.is_empty() {
            return Err(OriginError::script(text, "at least one fault"));
        }
        Ok(faults.into_iter().fold(rule, Self::then))
    }
}

impl FromStr for Live {
    type Err = OriginError;

    /// Reads words such as `sliding=6,start=3,speed=2`.
    ///
    /// # Errors
    /// [`OriginErrorKind::Script`](crate::OriginErrorKind::Script) with the first word that is not understood.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let mut all = words(text);
        let mut live = match all.next() {
            Some(word) if word.name == "event" => Self::event(),
            Some(word) if word.name == "sliding" => Self::sliding(word.number()?),
            _ => return Err(OriginError::script(text, "event or sliding=N first")),
        };
        for word in all {
            live = match word.name {
                "start" => live.start(word.number()?),
                "keep" => live.keep(word.number()?),
                "speed" => live.speed(word.parsed("a number")?),
                "early" => live.announce_early(word.time()?),
                "restart" => live.restart_after(word.time()?),
                "loop" => live.looped(),
                "endless" => live.without_end(),
                "dated" => live.dated(),
                "stale" => {
                    let (after, time) = word.span()?;
                    live.stale(after, time)
                }
                _ => return Err(word.expects("a word of live playlists")),
            };
        }
        Ok(live)
    }
}

impl Packager {
    /// The syntax of packagers as text, for the help of commands that take them.
    pub const SYNTAX: &str = "\
Words separated by commas, none of them needed: part=TIME (200ms)  window=N  start=N  loop  ranges  trickle  cached=TIME
stale=AFTER/TIME  gap=MSN/PART  replanned=MSN/PART  no-blocking  no-skipping";
}

impl FromStr for Packager {
    type Err = OriginError;

    /// Reads words such as `part=200ms,loop`: a packager without renditions.
    ///
    /// # Errors
    /// [`OriginErrorKind::Script`](crate::OriginErrorKind::Script) with the first word that is not understood.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let part = words(text).filter(|word| word.name == "part").last();
        let part = part.map_or(Ok(Duration::from_millis(200)), |word| word.time())?;
        words(text).try_fold(Self::new(part), |packager, word| {
            Ok(match word.name {
                "part" => packager,
                "window" => packager.window(word.number()?),
                "start" => packager.start(word.number()?),
                "loop" => packager.looped(),
                "ranges" => packager.by_range(),
                "trickle" => packager.trickled(),
                "cached" => packager.cached(word.time()?),
                "stale" => {
                    let (after, time) = word.span()?;
                    packager.stale(after, time)
                }
                "gap" | "replanned" => {
                    let place = word.value().split_once('/');
                    let place = place.and_then(|(msn, part)| Some((msn.parse().ok()?, part.parse().ok()?)));
                    let (msn, part) = place.ok_or_else(|| word.expects("a place: MSN/PART"))?;
                    if word.name == "gap" { packager.gap(msn, part) } else { packager.replanned(msn, part) }
                }
                "no-blocking" => packager.without_blocking(),
                "no-skipping" => packager.without_skipping(),
                _ => return Err(word.expects("a word of low-latency streams")),
            })
        })
    }
}

impl FromStr for Link {
    type Err = OriginError;

    /// Reads words such as `rtt=20ms,rate=250k` (bytes per second).
    ///
    /// # Errors
    /// [`OriginErrorKind::Script`](crate::OriginErrorKind::Script) with the first word that is not understood.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        words(text).try_fold(Self::new(), |link, word| match word.name {
            "rtt" => Ok(link.rtt(word.time()?)),
            "rate" => Ok(link.rate(word.number()?)),
            _ => Err(word.expects("rtt=TIME or rate=N")),
        })
    }
}

/// `name` or `name=value`.
struct Word<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((name, value)) => Word { name, value: Some(value) },
        None => Word { name: word, value: None },
    })
}

impl Word<'_> {
    fn expects(&self, wanted: &'static str) -> OriginError {
        let word = self.value.map_or_else(|| self.name.to_owned(), |value| format!("{}={value}", self.name));
        OriginError::script(&word, wanted)
    }

    fn value(&self) -> &str {
        self.value.unwrap_or_default()
    }

    fn parsed<T: FromStr>(&self, wanted: &'static str) -> Result<T, OriginError> {
        self.value().parse().map_err(|_| self.expects(wanted))
    }

    /// A whole number, perhaps with a suffix.
    fn number<T: TryFrom<u64>>(&self) -> Result<T, OriginError> {
        let number = number_of(self.value()).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| self.expects("a number"))
    }

    fn offset(&self) -> Result<i64, OriginError> {
        self.parsed("a number with a sign")
    }

    fn time(&self) -> Result<Duration, OriginError> {
        time_of(self.value()).ok_or_else(|| self.expects("a time, such as 250ms or 2s"))
    }

    fn span(&self) -> Result<(Duration, Duration), OriginError> {
        let span = self.value().split_once('/').and_then(|(after, time)| Some((time_of(after)?, time_of(time)?)));
        span.ok_or_else(|| self.expects("a span: AFTER/TIME"))
    }

    fn place(&self) -> Result<At, OriginError> {
        let value = self.value();
        let place = if let Some(percent) = value.strip_suffix('%') {
            percent.parse::<f64>().ok().map(|percent| At::Fraction(percent / 100.0))
        } else if let Some(before_end) = value.strip_prefix('-') {
            number_of(before_end).map(At::FromEnd)
        } else {
            number_of(value).map(At::Byte)
        };
        place.ok_or_else(|| self.expects("a place: 1000, 50% or -17"))
    }
}

fn number_of(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1000),
        b'M' => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let hex = digits.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16));
    hex.unwrap_or_else(|| digits.parse()).ok()?.checked_mul(factor)
}

fn time_of(text: &str) -> Option<Duration> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), ..) => (number, 0.001),
        (_, Some(number), _) => (number, 1.0),
        (.., Some(number)) => (number, 60.0),
        _ => (text, 1.0),
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

fn when_word(rule: Rule, word: &Word<'_>) -> Result<Rule, OriginError> {
    Ok(match word.name {
        "first" => rule.first(word.number()?),
        "nth" => rule.nth(word.number()?),
        "skip" => rule.skip(word.number()?),
        "every" => rule.every(word.number()?),
        "for" => rule.for_duration(word.time()?),
        "chance" => rule.chance(word.parsed("a probability")?),
        "number" => rule.number(word.number()?),
        "number-every" => rule.number_every(word.number()?),
        "across" => rule.across(),
        _ => return Err(word.expects("first, nth, skip, every, for, chance, number, number-every or across")),
    })
}

fn faults_of(text: &str) -> Result<Vec<Fault>, OriginError> {
    let mut faults: Vec<Fault> = Vec::new();
    for word in words(text) {
        match fault_of(&word)? {
            Some(fault) => faults.push(fault),
            None => {
                let last = faults.pop().ok_or_else(|| word.expects("a fault before it"))?;
                faults.push(refined(last, &word)?);
            }
        }
    }
    Ok(faults)
}

/// The fault that `word` names; `None` when it can only refine the one before it.
fn fault_of(word: &Word<'_>) -> Result<Option<Fault>, OriginError> {
    Ok(Some(match word.name {
        "status" => Response::new(word.number()?).into(),
        "html" => Response::html("<html><body>Please log in</body></html>").into(),
        "empty" => Response::ok("").into(),
        "raw" => Fault::Raw(word.value().to_owned().into()),
        "close" => Fault::HangUp(Ending::Close),
        "reset" => Fault::HangUp(Ending::Reset),
        "redirect" => Redirect::hops(word.number()?).into(),
        "redirect-loop" => Redirect::endless().into(),
        "redirect-to" => Redirect::to(word.value()).into(),
        "length" => Fault::LengthOff(word.offset()?),
        "range" => Fault::RangeOff(word.offset()?),
        "type" => Fault::Header("Content-Type".to_owned(), word.value().to_owned()),
        "header" => {
            let field = word.value().split_once(':').ok_or_else(|| word.expects("header=NAME: VALUE"))?;
            Fault::Header(field.0.to_owned(), field.1.trim().to_owned())
        }
        "no-header" => Fault::NoHeader(word.value().to_owned()),
        "new-etag" => Fault::NewEtag,
        "ignore-range" => Fault::IgnoreRange,
        "truncate" => Fault::truncate(word.place()?),
        "reset-at" => Fault::reset_at(word.place()?),
        "stall" => Fault::stall(word.place()?, Duration::from_secs(3600)),
        "corrupt" => Fault::Corrupt { at: word.place()?, xor: 0xff },
        "bad-padding" => Fault::bad_padding(),
        "shorten" => Fault::Shorten(word.place()?),
        "chunked" if word.value.is_none() => Fault::Chunked(8192),
        "chunked" => Fault::Chunked(word.number()?),
        "no-length" => Fault::NoLength,
        "close-after" => Fault::CloseAfter,
        "gzip" => Fault::Gzip { unasked: false },
        "gzip-unasked" => Fault::Gzip { unasked: true },
        "latency" => Fault::Latency(word.time()?),
        "rate" => Fault::Rate(word.number()?),
        "drip" => Fault::Drip { bytes: word.number()?, every: Duration::from_millis(100) },
        _ => return Ok(None),
    }))
}

/// `fault` with what `word` adds to it.
fn refined(fault: Fault, word: &Word<'_>) -> Result<Fault, OriginError> {
    Ok(match (fault, word.name) {
        (Fault::Answer(answer), "retry-after") => answer.with_retry_after(word.time()?).into(),
        (Fault::Answer(answer), "retry-after-date") => answer.with_retry_after_date(word.time()?).into(),
        (Fault::Answer(answer), "body") => answer.with_body(word.value().to_owned()).into(),
        (Fault::Redirect(redirect), "code") => redirect.status(word.number()?).into(),
        (Fault::Redirect(redirect), "relative") => redirect.relative().into(),
        (Fault::Redirect(redirect), "via") => redirect.via(word.value()).into(),
        (Fault::Stall { at, ending, .. }, "time") => Fault::Stall { at, time: word.time()?, ending },
        (Fault::Stall { at, time, .. }, "then") => match word.value() {
            "close" => Fault::Stall { at, time, ending: Some(Ending::Close) },
            "reset" => Fault::Stall { at, time, ending: Some(Ending::Reset) },
            _ => return Err(word.expects("then=close or then=reset")),
        },
        (Fault::Corrupt { at, .. }, "xor") => Fault::Corrupt { at, xor: word.number()? },
        (Fault::Drip { bytes, .. }, "time") => Fault::Drip { bytes, every: word.time()? },
        (_, _) => return Err(word.expects("a fault, or what the fault before it takes")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the same rule built by calls.
    #[track_caller]
    fn check(text: &str, want: Rule) {
        let got: Rule = text.parse().unwrap();
        assert_eq!(got.shape(), want.shape(), "{text}");
    }

    #[test]
    fn rules_are_read() {
        let ms = Duration::from_millis;
        let busy = Response::new(503).with_retry_after(ms(1000));
        check("seg:first=2:status=503,retry-after=1", Rule::on("seg").first(2).then(busy));
        check("*.ts:truncate=50%", Rule::on("*.ts").then(Fault::truncate(At::Fraction(0.5))));
        check("seg:nth=3:reset-at=-17", Rule::on("seg").nth(3).then(Fault::reset_at(At::FromEnd(17))));
        let both = Rule::on("x").skip(1).every(2).across().then(Fault::Latency(ms(250))).then(Fault::Chunked(8192));
        check("x:skip=1,every=2,across:latency=250ms,chunked", both);
        let stall = Fault::Stall { at: At::Byte(1000), time: ms(120_000), ending: Some(Ending::Reset) };
        check(
            "x:for=1.5s,number=7:stall=1k,time=2m,then=reset",
            Rule::on("x").for_duration(ms(1500)).number(7).then(stall),
        );
        let hops = Redirect::hops(2).status(307).via("127.0.0.2:80");
        check("x::redirect=2,code=307,via=127.0.0.2:80", Rule::on("x").then(hops));
        check("x::header=X-A: b:c", Rule::on("x").then(Fault::Header("X-A".into(), "b:c".into())));
        check("x:chance=0.25:length=-10", Rule::on("x").chance(0.25).then(Fault::LengthOff(-10)));
        check("x:corrupt=5,xor=0x80", Rule::on("x").then(Fault::Corrupt { at: At::Byte(5), xor: 0x80 }));
        check(
            "x:number-every=3:drip=2M,time=1s",
            Rule::on("x").number_every(3).then(Fault::Drip { bytes: 2_000_000, every: ms(1000) }),
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in [
            ("seg", "seg"),
            ("seg:", "seg:"),
            ("seg:first=x:close", "first=x"),
            ("seg:fist=1:close", "fist=1"),
            ("seg:clothes", "clothes"),
            ("seg:truncate=half", "truncate=half"),
            ("seg:close,time=1s", "time=1s"),
            ("seg:retry-after=1", "retry-after=1"),
            ("seg:status=99999", "status=99999"),
            ("seg:latency=-1s", "latency=-1s"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{part}`")), "{text}: {error}");
        }
    }

    #[test]
    fn links_are_read() {
        let link: Link = "rtt=20ms,rate=250k".parse().unwrap();
        assert_eq!(link, Link::new().rtt(Duration::from_millis(20)).rate(250_000));
        assert!("speed=1".parse::<Link>().is_err());
    }

    #[test]
    fn live_views_are_read() {
        let live: Live =
            "sliding=6,start=2,keep=1,speed=2.5,early=500ms,stale=4s/6s,restart=1m,loop,endless,dated".parse().unwrap();
        let seconds = Duration::from_secs;
        let want = Live::sliding(6).start(2).keep(1).speed(2.5).announce_early(Duration::from_millis(500));
        let want = want.stale(seconds(4), seconds(6)).restart_after(seconds(60)).looped().without_end().dated();
        assert_eq!(format!("{live:?}"), format!("{want:?}"));
        assert!("start=2".parse::<Live>().is_err());
        assert!("event,fast".parse::<Live>().is_err());
    }

    #[test]
    fn packagers_are_read() {
        let text = "part=250ms,window=8,start=2,loop,ranges,trickle,cached=2s,stale=4s/6s,gap=3/1,replanned=4/0,no-blocking,no-skipping";
        let packager: Packager = text.parse().unwrap();
        let seconds = Duration::from_secs;
        let want = Packager::new(Duration::from_millis(250)).window(8).start(2).looped().by_range().trickled();
        let want = want.cached(seconds(2)).stale(seconds(4), seconds(6)).gap(3, 1).replanned(4, 0);
        assert_eq!(packager.shape(), want.without_blocking().without_skipping().shape());
        assert_eq!("".parse::<Packager>().unwrap().shape(), Packager::new(Duration::from_millis(200)).shape());
        for text in ["gap=3", "part=soon", "speed=2", "stale=4s"] {
            let error = text.parse::<Packager>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_readers(text in r"[a-z*]{0,3}(:|[a-z-]{1,12}|=|,|[0-9]{1,20}|ms|%|k|M|\PC){0,12}") {
            let _ = (text.parse::<Rule>(), text.parse::<Live>(), text.parse::<Link>(), text.parse::<Packager>());
        }
    }
}
