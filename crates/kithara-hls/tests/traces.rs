//! What a session writes down about itself: a trace that replays, and nowhere a secret.
//!
//! One test listens to everything this process logs, so this file is a process of its own.

mod support;

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use kithara_hls::{
    Hls, HlsEvent, HlsOptions, HlsParams, HlsSession, HlsSource,
    hls_core::{
        playlist::VariantId,
        session::{ReaderOptions, Track, VariantChoice},
        trace::{Line, Trace},
    },
};
use kithara_origin::{At, Ending, Fault, Origin, Response, Rule, Site, access::SecureLink};
use kithara_stream::SourceFactory;
use support::{Dice, chain, file, fixtures, in_time, quick, read_all, read_range, serve};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// A trace in memory. Its writer lives as long as its session.
struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
    _alive: mpsc::Sender<()>,
}

/// What a [`Sink`] gets.
struct Sunk {
    bytes: Arc<Mutex<Vec<u8>>>,
    alive: mpsc::Receiver<()>,
}

fn sink() -> (Sink, Sunk) {
    let (bytes, (_alive, alive)) = (Arc::default(), mpsc::channel(1));
    (Sink { bytes: Arc::clone(&bytes), _alive }, Sunk { bytes, alive })
}

impl Sunk {
    /// The whole trace, once the session has ended.
    async fn text(mut self) -> String {
        assert_eq!(in_time(self.alive.recv()).await, None);
        String::from_utf8(self.bytes.lock().expect("no panic").clone()).expect("a trace is text")
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything the crates of this workspace log, as text, and what sessions do and tell in their own words.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    done: Mutex<Done>,
}

/// What a session did and told, one line each.
#[derive(Clone, Debug, Default, PartialEq)]
struct Done {
    actions: Vec<String>,
    events: Vec<String>,
}

impl Done {
    /// What a trace says that the session did and told.
    fn recorded(trace: &Trace) -> Self {
        let mut done = Self::default();
        for line in trace.lines() {
            match line {
                Line::Do(action) => done.actions.push(action.to_string()),
                Line::Say(event) => done.events.push(event.to_string()),
                Line::Open { .. } | Line::In { .. } => {}
            }
        }
        done
    }

    /// Takes a line of a driver's log, if it is about what its session does or tells.
    fn note(&mut self, event: &Event<'_>) {
        match (event.metadata().target(), field_of(event, "action"), field_of(event, "event")) {
            ("kithara_hls::driver", Some(action), _) => self.actions.push(action),
            ("kithara_hls::driver", _, Some(event)) => self.events.push(event),
            _ => {}
        }
    }
}

/// What a logged event says in this field.
fn field_of(event: &Event<'_>, name: &'static str) -> Option<String> {
    struct Find(&'static str, Option<String>);
    impl Visit for Find {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == self.0 {
                self.1 = Some(format!("{value:?}"));
            }
        }
    }
    let mut find = Find(name, None);
    event.record(&mut find);
    find.1
}

/// Both are the same, line by line.
#[track_caller]
fn assert_same(name: &str, what: &str, real: &[String], recorded: &[String]) {
    let differs = real.iter().zip(recorded).enumerate().find(|(_, (real, recorded))| real != recorded);
    assert_eq!(differs, None, "{name}: {what}, counted from 0: real and recorded");
    assert_eq!(real.len(), recorded.len(), "{name}: {what}");
}

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes everything");
    }
}

impl Log {
    /// What sessions did and told since this was asked last.
    fn take_done(&self) -> Done {
        std::mem::take(&mut *self.done.lock().expect("no panic"))
    }

    fn add(&self, record: impl FnOnce(&mut Words<'_>)) {
        let mut text = self.text.lock().expect("no panic");
        record(&mut Words(&mut text));
        text.push('\n');
    }
}

impl Subscriber for &'static Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kithara") && !metadata.target().starts_with("kithara_origin")
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.add(|words| attributes.record(words));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        self.add(|words| values.record(words));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.done.lock().expect("no panic").note(event);
        self.add(|words| event.record(words));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The log of this process.
fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(Log::default);
    // Whoever comes second finds it set.
    let _ = tracing::subscriber::set_global_default(log);
    log
}

/// How a recorded session is used.
#[derive(Clone, Copy)]
enum Use {
    /// All bytes.
    Whole,
    /// Bytes here and there, then all.
    HereAndThere,
    /// Segments of one track, with seeks and switches.
    Play(Track),
}

/// One kind of session to record.
struct Scenario {
    name: &'static str,
    path: &'static str,
    site: fn(Site) -> Site,
    options: fn() -> HlsOptions,
    usage: Use,
}

/// What a session said.
struct Said {
    trace: String,
    /// `None` where nobody could listen: it was not opened.
    events: Option<Vec<HlsEvent>>,
    /// Errors, and everything else that is made for people.
    words: String,
    /// Whatever travelled that nobody may see.
    secrets: BTreeSet<String>,
}

const PASSWORD: &str = "correct-horse-battery";
const BEARER: &str = "Bearer wJalrXUtnFEMI-K7MDENG";
const QUERY: &str = "session=9f86d081884c7d65";
const KEY_HEADER: &str = "letmein-30d4ac";

fn signed(site: Site) -> Site {
    let link = SecureLink::new("not to be told", Duration::from_secs(3600));
    site.secure_link("*.ts", &link).secure_link("*.m4s", &link).secure_link("*key*", &link)
}

fn plain(site: Site) -> Site {
    site
}

fn rough(site: Site) -> Site {
    site.rule(Rule::on("*seg*").chance(0.2).then(Response::new(503)))
        .rule(Rule::on("*seg*").chance(0.2).then(Fault::truncate(At::Fraction(0.6))))
        .rule(Rule::on("*seg*").chance(0.1).then(Response::html("<html>Please log in.</html>")))
        .rule(Rule::on("*seg*").chance(0.1).then(Fault::HangUp(Ending::Reset)))
        .rule(Rule::on("*key*").first(1).then(Response::new(503)))
}

fn signed_and_rough(site: Site) -> Site {
    rough(signed(site))
}

fn refused(site: Site) -> Site {
    signed(site).rule(Rule::on("*seg3*").then(Response::new(403)))
}

/// Without the sensitive things of [`secretive`].
fn resolving() -> HlsOptions {
    HlsOptions { reader: ReaderOptions { resolve_sizes: true }, ..secretive() }
}

fn near() -> HlsOptions {
    let mut options = secretive();
    options.playback.buffer_goal = Duration::from_secs(2);
    options.playback.variant = VariantChoice::Worst;
    options
}

/// With headers and queries that nobody may see.
fn secretive() -> HlsOptions {
    let mut options = quick();
    options.request = options.request.with_header("Authorization", BEARER).expect("a header");
    options.request.query = Some(QUERY.to_owned());
    options.key.headers.insert("x-key-token", KEY_HEADER.parse().expect("a header"));
    options
}

const MASTER: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=50000\nfmp4_aes/index.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=60000\nfmp4_aac/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=90000\nts_aes/index.m3u8\n";

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "whole", path: "/ts_aac/index.m3u8", site: signed, options: secretive, usage: Use::Whole },
    Scenario {
        name: "encrypted",
        path: "/fmp4_aes_init/index.m3u8",
        site: signed_and_rough,
        options: secretive,
        usage: Use::Whole,
    },
    Scenario {
        name: "here and there",
        path: "/ts_aes/index.m3u8",
        site: signed,
        options: resolving,
        usage: Use::HereAndThere,
    },
    Scenario {
        name: "ranges",
        path: "/fmp4_byterange/index.m3u8",
        site: rough,
        options: secretive,
        usage: Use::HereAndThere,
    },
    Scenario {
        name: "seeks",
        path: "/fmp4_discontinuity/index.m3u8",
        site: signed,
        options: secretive,
        usage: Use::Play(Track::Main),
    },
    Scenario { name: "switches", path: "/master.m3u8", site: signed, options: near, usage: Use::Play(Track::Main) },
    Scenario {
        name: "switches on a rough way",
        path: "/master.m3u8",
        site: signed_and_rough,
        options: near,
        usage: Use::Play(Track::Main),
    },
    Scenario {
        name: "audio",
        path: "/av_master/master.m3u8",
        site: rough,
        options: near,
        usage: Use::Play(Track::Audio),
    },
    Scenario { name: "refused", path: "/ts_aac/index.m3u8", site: refused, options: secretive, usage: Use::Whole },
    Scenario { name: "nothing", path: "/nothing.m3u8", site: plain, options: secretive, usage: Use::Whole },
];

fn noted(words: &mut String, error: &(dyn std::error::Error + 'static)) {
    writeln!(words, "{error:?}\n{}", chain(error)).expect("a string takes everything");
}

/// Reads segments, seeking and choosing variants as the dice say.
async fn play(session: &HlsSession, track: Track, dice: &mut Dice, words: &mut String) {
    let mut segments = session.segments(track).await.expect("it lives");
    writeln!(words, "{segments:?}").expect("a string takes everything");
    for _ in 0..12 {
        match in_time(segments.next()).await {
            Ok(None) => {}
            Err(error) => return noted(words, &error),
            Ok(Some(segment)) => {
                writeln!(words, "{segment:?}").expect("a string takes everything");
                if let (_, Some(error)) = read_all(&segment.body).await {
                    noted(words, &error);
                }
            }
        }
        let variants = session.status().variants.len() as u64;
        match dice.below(5) {
            0 => session.seek(Duration::from_millis(dice.below(5_000))).await.expect("it lives"),
            1 if variants > 0 => {
                let id = VariantId(u32::try_from(dice.below(variants)).expect("few"));
                session.select_variant(Some(id)).await.expect("there is one");
            }
            _ => {}
        }
    }
}

async fn use_bytes(source: &HlsSource, here_and_there: bool, dice: &mut Dice, words: &mut String) {
    writeln!(words, "{source:?}").expect("a string takes everything");
    for _ in 0..if here_and_there { 20 } else { 0 } {
        let at = dice.below(30_000);
        if let (_, Some(error)) = read_range(source, at..at + 500).await {
            noted(words, &error);
        }
    }
    if let (_, Some(error)) = read_all(source).await {
        noted(words, &error);
    }
}

async fn record(scenario: &Scenario, seed: u64) -> Said {
    let origin = serve((scenario.site)(fixtures().bytes("/master.m3u8", MASTER)).seed(seed));
    let (sink, sunk) = sink();
    let params = HlsParams { trace: Some(Box::new(sink)), ..(scenario.options)().into() };
    let mut words = format!("{params:?}\n");
    let url = origin.url(&format!("{}?token=0123456789abcdef{seed}", scenario.path));
    let url = url.replace("http://", &format!("http://alice:{PASSWORD}@"));
    let mut dice = Dice(seed);
    let opened = match scenario.usage {
        Use::Play(_) => Hls::session(&url, params).map(|session| (session, None)),
        Use::Whole | Use::HereAndThere => {
            in_time(Hls::open(&url, params)).await.map(|source| (source.session().clone(), Some(source)))
        }
    };
    let events = match opened {
        Err(error) => {
            noted(&mut words, &error);
            None
        }
        Ok((session, source)) => {
            let listener = tokio::spawn(listen(session.events()));
            match (scenario.usage, &source) {
                (Use::Play(track), _) => play(&session, track, &mut dice, &mut words).await,
                (usage, Some(source)) => {
                    use_bytes(source, matches!(usage, Use::HereAndThere), &mut dice, &mut words).await;
                }
                (_, None) => {}
            }
            writeln!(words, "{session:?}").expect("a string takes everything");
            in_time(session.close()).await;
            drop((session, source));
            Some(in_time(listener).await.expect("no panic"))
        }
    };
    Said { trace: sunk.text().await, events, words, secrets: secrets(&origin) }
}

async fn listen(mut events: tokio::sync::broadcast::Receiver<HlsEvent>) -> Vec<HlsEvent> {
    let mut all = Vec::new();
    loop {
        match events.recv().await {
            Ok(event) => all.push(event),
            Err(RecvError::Closed) => return all,
            Err(RecvError::Lagged(missed)) => unreachable!("{missed} events were missed"),
        }
    }
}

/// Values of queries and headers that travelled, and the keys in every form in which bytes are shown.
fn secrets(origin: &Origin) -> BTreeSet<String> {
    let words = [PASSWORD, BEARER, "wJalrXUtnFEMI-K7MDENG", "9f86d081884c7d65", KEY_HEADER].map(str::to_owned);
    let mut secrets = BTreeSet::from(words);
    for request in origin.log() {
        let values = request.query.iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
        secrets.extend(values.map(|(_, value)| value.to_owned()).filter(|value| value.len() >= 8));
    }
    for key in ["ts_aes/key.bin", "fmp4_aes/key.bin", "fmp4_aes_init/key.bin"].map(file) {
        secrets.insert(key.iter().map(|byte| format!("{byte:02x}")).collect());
        secrets.insert(format!("{key:?}"));
        secrets.insert(key.escape_ascii().to_string());
    }
    secrets
}

#[track_caller]
fn assert_no_secret(what: &str, text: &str, secrets: &BTreeSet<String>) {
    for secret in secrets {
        if let Some(at) = text.find(secret.as_str()) {
            let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
            unreachable!("{what} tells {secret}: {}", text[from..].lines().next().unwrap_or_default());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_sessions_replay_to_the_same_actions_and_events_and_tell_no_secret() {
    let log = log();
    let mut all = BTreeSet::new();
    for (seed, scenario) in (1..).zip(SCENARIOS.iter().chain(SCENARIOS)) {
        let name = format!("{} with seed {seed}", scenario.name);
        log.take_done();
        let Said { trace: text, events, words, secrets } = record(scenario, seed).await;
        let trace = Trace::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let replayed = trace.replay().unwrap_or_else(|divergence| panic!("{name}: {divergence}"));
        let (real, recorded) = (log.take_done(), Done::recorded(&trace));
        if let Some(events) = &events {
            // What was told to listeners carries the full errors; the words of the rest are the same.
            assert_eq!(replayed.events, events.len(), "{name}: the trace has the events that were told");
            assert_same(&name, "events", &real.events, &recorded.events);
            assert_same(&name, "actions", &real.actions, &recorded.actions);
        }
        let events = events.unwrap_or_default();
        assert!(replayed.inputs > 1 && replayed.actions > 0, "{name}: {replayed:?}");
        assert_no_secret(&format!("{name}: the trace"), &text, &secrets);
        assert_no_secret(&format!("{name}: an event"), &format!("{events:#?}"), &secrets);
        let shown: Vec<String> = events.iter().map(ToString::to_string).collect();
        assert_no_secret(&format!("{name}: an event"), &shown.join("\n"), &secrets);
        assert_no_secret(&format!("{name}: an error"), &words, &secrets);
        all.extend(secrets);
    }
    let logged = log.text.lock().expect("no panic").clone();
    assert!(logged.contains("seg1.ts"), "something was logged");
    assert_no_secret("the log", &logged, &all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_cannot_be_written_does_not_stop_the_session() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let origin = serve(fixtures());
    let params = HlsParams { trace: Some(Box::new(Full)), ..quick().into() };
    // The first line is written before anything else: who asked for a trace learns that there will be none.
    assert!(Hls::session(&origin.url("/ts_aac/index.m3u8"), params).is_err());
}
