//! What a session logs: where in its work something happened, and which rule chooses its variants.
//!
//! One test listens to everything this process logs, so this file is a process of its own.

mod support;

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use kithara_hls::{Hls, HlsOptions, hls_core::abr::AbrStrategy};
use kithara_origin::Origin;
use support::{fixtures, in_time, open, playlist, quick, read_all, serve};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// The spans that were opened and the lines that were logged.
#[derive(Default)]
struct Log {
    spans: Mutex<Vec<(&'static str, String)>>,
    lines: Mutex<Vec<String>>,
    next: AtomicU64,
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes everything");
    }
}

impl Subscriber for &'static Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kithara_hls")
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut words = Words(String::new());
        attributes.record(&mut words);
        self.spans.lock().expect("no panic").push((attributes.metadata().name(), words.0));
        span::Id::from_u64(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(event.metadata().level().to_string());
        event.record(&mut words);
        self.lines.lock().expect("no panic").push(words.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(Log::default);
    // Whoever comes second finds it set.
    let _ = tracing::subscriber::set_global_default(log);
    log
}

async fn chosen(origin: &Origin, options: HlsOptions) -> String {
    let log = log();
    log.lines.lock().expect("no panic").clear();
    let session = Hls::session(&playlist(origin, "ts_aac"), options.into()).expect("a URL");
    in_time(session.close()).await;
    let lines = log.lines.lock().expect("no panic");
    let mut told = lines.iter().filter(|line| line.contains("the rule of adaptation"));
    let line = told.next().expect("it is told").clone();
    assert_eq!(told.next(), None, "it is told once");
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_is_logged_in_spans_and_the_rule_of_adaptation_by_name() {
    let (log, origin) = (log(), serve(fixtures()));
    let url = format!("{}?token=0123456789abcdef", playlist(&origin, "ts_aes"));
    let source = open(&url, quick()).await;
    let (_, error) = read_all(&source).await;
    assert!(error.is_none(), "{error:?}");
    in_time(source.session().close()).await;
    let spans = log.spans.lock().expect("no panic").clone();
    let names: BTreeSet<&str> = spans.iter().map(|(name, _)| *name).collect();
    for name in ["session", "playlist", "unit", "key"] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    let count = |wanted: &str| spans.iter().filter(|(name, _)| *name == wanted).count();
    assert_eq!((count("session"), count("unit"), count("key")), (1, 5, 1), "{spans:?}");
    assert!(spans.iter().any(|(name, said)| *name == "key" && said.contains("/ts_aes/key.bin")), "{spans:?}");
    assert!(spans.iter().all(|(_, said)| !said.contains("0123456789abcdef")), "{spans:?}");

    let look_ahead = chosen(&origin, quick()).await;
    assert!(look_ahead.starts_with("INFO") && look_ahead.contains("asked=Auto strategy=LookAhead"), "{look_ahead}");
    let mut options = quick();
    options.abr.throughput_safety_factor = 1.8;
    let threshold = chosen(&origin, options.clone()).await;
    assert!(threshold.contains("asked=Auto strategy=Threshold"), "{threshold}");
    options.abr.strategy = AbrStrategy::LookAhead;
    let stated = chosen(&origin, options).await;
    assert!(stated.contains("asked=LookAhead strategy=LookAhead"), "{stated}");
}
