//! Rules: which requests a fault is played on.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::{
    body::{fnv1a, mix},
    fault::Fault,
    request::Request,
};

/// Faults for the requests that match a pattern, at the times the rule says.
///
/// Without further words a rule plays its faults on every matching request. Matching requests are counted per path
/// ([`Rule::across`] counts them all together); `skip`, `every` and `first` are applied in this order, whatever the order they are
/// written in.
///
/// ```
/// use kithara_origin::{At, Fault, Response, Rule};
/// use std::time::Duration;
///
/// // Every segment answers 503 twice, then works.
/// Rule::on("seg").first(2).then(Response::new(503).with_retry_after(Duration::from_secs(1)));
/// // The third request of each segment breaks in the middle.
/// Rule::on("*.m4s").nth(3).then(Fault::truncate(At::Fraction(0.5)));
/// // The same, as a text.
/// let rule: Rule = "*.m4s:nth=3:truncate=50%".parse().unwrap();
/// # let _ = rule;
/// ```
#[derive(Clone)]
pub struct Rule {
    pattern: Pattern,
    condition: Option<Condition>,
    number: Option<Number>,
    skip: u64,
    every: u64,
    limit: Option<u64>,
    during: Option<Duration>,
    chance: Option<f64>,
    across: bool,
    faults: Vec<Fault>,
}

type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// Which numbers in file names a rule wants.
#[derive(Clone, Copy, Debug)]
enum Number {
    Exactly(u64),
    EveryNth(u64),
}

impl Rule {
    /// A rule for paths that match `pattern`: with `*` (any characters) or `?` (one character) in it a glob over the whole path, else
    /// exactly the path if it begins with `/`, else a part of the file name.
    pub fn on(pattern: &str) -> Self {
        Self {
            pattern: Pattern::new(pattern),
            condition: None,
            number: None,
            skip: 0,
            every: 1,
            limit: None,
            during: None,
            chance: None,
            across: false,
            faults: Vec::new(),
        }
    }

    /// Lets the first `count` matching requests pass.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Of the requests after the skipped ones, only each `n`th; 0 counts as 1.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.every = n.max(1);
        self
    }

    /// Plays at most `count` times.
    #[must_use]
    pub fn first(mut self, count: u64) -> Self {
        self.limit = Some(count);
        self
    }

    /// Plays on the `n`th matching request only (1 is the first).
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.skip(n.saturating_sub(1)).first(1)
    }

    /// Plays only until `time` has passed since the first matching request, on the site's clock.
    #[must_use]
    pub fn for_duration(mut self, time: Duration) -> Self {
        self.during = Some(time);
        self
    }

    /// Plays with this probability (0.0 to 1.0). The same seed, path and count always decide alike, whatever the order of requests.
    #[must_use]
    pub fn chance(mut self, probability: f64) -> Self {
        self.chance = Some(probability);
        self
    }

    /// Matches only requests for which `condition` holds. It runs on the origin's thread and must not block.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Matches only files with this number: the last run of digits before the extension (`seg0007.ts` has number 7).
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.number = Some(Number::Exactly(number));
        self
    }

    /// Matches only the last of each `n` files by their number (`n` = 3: 2, 5, 8, ...); 0 counts as 1.
    #[must_use]
    pub fn number_every(mut self, n: u64) -> Self {
        self.number = Some(Number::EveryNth(n.max(1)));
        self
    }

    /// Counts all matching requests together, not each path on its own.
    #[must_use]
    pub fn across(mut self) -> Self {
        self.across = true;
        self
    }

    /// Adds a fault to play.
    #[must_use]
    pub fn then(mut self, fault: impl Into<Fault>) -> Self {
        self.faults.push(fault.into());
        self
    }

    /// Everything but the condition, as text that can be compared.
    #[cfg(test)]
    pub(crate) fn shape(&self) -> String {
        let when = (self.skip, self.every, self.limit, self.during, self.chance, self.across);
        let bodies = self.faults.iter().map(|fault| match fault {
            Fault::Answer(response) => format!("{:?} {:?}", response.headers, response.body.to_bytes(1000)),
            other => format!("{other:?}"),
        });
        format!("{:?} {:?} {when:?} {:?}", self.pattern, self.number, bodies.collect::<Vec<_>>())
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    fn matches(&self, request: &Request) -> bool {
        let number_fits = self.number.is_none_or(|number| match (number, file_number(request.file_name())) {
            (Number::Exactly(want), Some(got)) => want == got,
            (Number::EveryNth(n), Some(got)) => got % n == n - 1,
            (_, None) => false,
        });
        self.pattern.matches(&request.path) && number_fits && self.condition.as_ref().is_none_or(|holds| holds(request))
    }

    /// Whether to play on a matching request that is number `count` (from 1), `since` after the first one.
    fn plays(&self, count: u64, since: Duration, dice: u64) -> bool {
        let Some(after) = count.checked_sub(self.skip + 1) else {
            return false;
        };
        let turn = (after + 1) / self.every;
        let is_turn = (after + 1) % self.every == 0;
        let in_time = self.during.is_none_or(|during| since < during);
        // 53 bits of the dice make a number below 1.0.
        let lucky = self.chance.is_none_or(|chance| ((dice >> 11) as f64 / (1_u64 << 53) as f64) < chance);
        is_turn && self.limit.is_none_or(|limit| turn <= limit) && in_time && lucky
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("pattern", &self.pattern.0).field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// The rules of an origin with what they have counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    seed: u64,
    rules: Vec<Rule>,
    /// By rule and path (no path for rules that count across).
    seen: HashMap<(usize, String), Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u64,
    first: Duration,
}

impl Script {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
        self.seen.clear();
    }

    pub(crate) fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Counts `request` and returns the faults to play on it, in the order of the rules.
    pub(crate) fn faults_for(&mut self, request: &Request) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.matches(request)) {
            let path = if rule.across { String::new() } else { request.path.clone() };
            let dice = self.seed ^ mix(fnv1a(path.as_bytes()) ^ index as u64);
            let seen = self.seen.entry((index, path)).or_insert(Seen { count: 0, first: request.at });
            seen.count += 1;
            if rule.plays(seen.count, request.at.saturating_sub(seen.first), mix(dice.wrapping_add(seen.count))) {
                faults.extend_from_slice(rule.faults());
            }
        }
        faults
    }
}

/// A set of paths; see [`Rule::on`] for the syntax.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let pattern = self.0.as_str();
        if pattern.contains(['*', '?']) {
            return glob(pattern.as_bytes(), path.as_bytes());
        }
        if pattern.starts_with('/') {
            return pattern == path;
        }
        path.rsplit('/').next().unwrap_or_default().contains(pattern)
    }
}

/// Matches without recursion: on a mismatch the last `*` swallows one byte more.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else {
                    return false;
                };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The last run of digits before the first dot of a file name.
fn file_number(name: &str) -> Option<u64> {
    let stem = name.split('.').next()?;
    let digits = stem.rsplit(|c: char| !c.is_ascii_digit()).find(|run| !run.is_empty())?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, at_ms: u64) -> Request {
        let mut request = Request::parse(format!("GET {path} HTTP/1.1").as_bytes()).unwrap();
        request.at = Duration::from_millis(at_ms);
        request
    }

    /// Plays `rule` on `paths` (one request each 100 ms) and compares where it hit: `x` is a hit.
    #[track_caller]
    fn check(rule: Rule, paths: &[&str], want: &str) {
        let mut script = Script::default();
        script.add(rule.then(Fault::IgnoreRange));
        let play = |(i, path): (usize, &&str)| script.faults_for(&request(path, i as u64 * 100)).is_empty();
        let got: String = paths.iter().enumerate().map(play).map(|missed| if missed { '.' } else { 'x' }).collect();
        assert_eq!(got, want);
    }

    const SIX: [&str; 6] = ["/a"; 6];

    #[test]
    fn occurrences_are_counted() {
        check(Rule::on("a"), &SIX, "xxxxxx");
        check(Rule::on("a").first(2), &SIX, "xx....");
        check(Rule::on("a").nth(3), &SIX, "..x...");
        check(Rule::on("a").skip(4), &SIX, "....xx");
        check(Rule::on("a").skip(1).first(2), &SIX, ".xx...");
        check(Rule::on("a").every(2), &SIX, ".x.x.x");
        check(Rule::on("a").every(2).first(1), &SIX, ".x....");
        check(Rule::on("a").first(0), &SIX, "......");
        check(Rule::on("a").for_duration(Duration::from_millis(250)), &SIX, "xxx...");
        check(Rule::on("a").chance(0.0), &SIX, "......");
        check(Rule::on("a").chance(1.0), &SIX, "xxxxxx");
        check(Rule::on("a").when(|request| request.at.is_zero()), &SIX, "x.....");
    }

    #[test]
    fn counts_are_per_path_unless_across() {
        let paths = ["/a", "/b", "/a", "/b"];
        check(Rule::on("*").first(1), &paths, "xx..");
        check(Rule::on("*").across().first(1), &paths, "x...");
    }

    #[test]
    fn files_are_chosen_by_number() {
        let paths = ["/v1/seg0000.ts", "/v1/seg0001.ts", "/v1/seg-2.m4s", "/v1/init.mp4", "/v1/seg3.ts", "/v1/5"];
        check(Rule::on("*").number(1), &paths, ".x....");
        check(Rule::on("*").number_every(3), &paths, "..x..x");
    }

    #[test]
    fn chance_is_seeded_and_independent_of_order() {
        let hits = |seed: u64, paths: &[&str]| {
            let mut script = Script::default();
            script.set_seed(seed);
            script.add(Rule::on("*").chance(0.5).then(Fault::IgnoreRange));
            let mut hits: Vec<_> = paths
                .iter()
                .map(|path| ((*path).to_owned(), !script.faults_for(&request(path, 0)).is_empty()))
                .collect();
            hits.sort_unstable();
            hits
        };
        let names: Vec<_> = (0..64).map(|i| format!("/seg{i}")).collect();
        let forward: Vec<_> = names.iter().map(String::as_str).collect();
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        assert_eq!(hits(1, &forward), hits(1, &backward));
        assert_ne!(hits(1, &forward), hits(2, &forward));
        let count = hits(1, &forward).iter().filter(|(_, hit)| *hit).count();
        assert!((16..48).contains(&count), "{count} of 64 at a half");
    }

    #[test]
    fn patterns_are_globs_paths_or_parts_of_names() {
        let matches = |pattern: &str, path: &str| Pattern::new(pattern).matches(path);
        assert!(matches("*.ts", "/a/seg1.ts") && !matches("*.ts", "/a/seg1.tsx"));
        assert!(matches("/a/*/seg?.ts", "/a/b/c/seg1.ts") && !matches("/a/*/seg?.ts", "/a/seg1.ts"));
        assert!(matches("*a*b", "/aab/ab") && !matches("*a*b", "/aac"));
        assert!(matches("/a/seg1.ts", "/a/seg1.ts") && !matches("/a/seg1.ts", "/b/a/seg1.ts"));
        assert!(matches("seg", "/a/seg1.ts") && !matches("seg", "/seg/index.m3u8"));
    }
}
