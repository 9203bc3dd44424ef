//! What went wrong, for people: what happened, where, what was tried, what to do.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use kithara::{
    HlsError, OpenError,
    error::FailureKind,
    fetch::{
        FetchError, FetchErrorKind,
        net::{ErrorKind, NetError, Origin},
    },
    file::FileError,
    sound::{DecodeError, DecodeErrorKind},
};
use url::Url;

/// The class of a failure: what scripts decide by. The numbers stand in `kithara --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A replay that differs, and what has no other number.
    Other = 1,
    /// The command line cannot be used.
    Usage = 2,
    /// No connection, timeouts, a server in trouble.
    Network = 3,
    /// Not found, gone, forbidden, or credentials needed.
    Missing = 4,
    /// Not a playlist, or one that cannot be played.
    Playlist = 5,
    /// Broken media, or media that cannot be decrypted.
    Media = 6,
    /// A file or folder cannot be read or written.
    Disk = 7,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Class {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::Network => "network",
            Self::Missing => "missing",
            Self::Playlist => "playlist",
            Self::Media => "media",
            Self::Disk => "disk",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    message: String,
    hint: Option<&'static str>,
    /// The origin of the key that could not be had, if that is what happened.
    key_at: Option<Origin>,
}

impl Failure {
    pub(crate) fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: None, key_at: None }
    }

    /// The same failure of a command that wants a stream: what is no playlist may be a single file.
    pub(crate) fn of_playlists_alone(self) -> Self {
        let hint = if self.hint == Some(LOOK) { Some(LOOK_OR_PLAY) } else { self.hint };
        Self { hint, ..self }
    }

    /// The same failure of the stream at `url`: its headers are not for the key of another origin.
    pub(crate) fn of_stream(self, url: &str) -> Self {
        let stream = Url::parse(url).ok().and_then(|url| Origin::of(&url));
        let is_elsewhere = self.key_at.is_some() && self.key_at != stream;
        let hint = match self.hint {
            Some(KEYS) if is_elsewhere => Some(KEYS_ELSEWHERE),
            Some(FORBIDDEN) if is_elsewhere => Some(FORBIDDEN_ELSEWHERE),
            hint => hint,
        };
        Self { hint, ..self }
    }

    /// What happened, without why and what to do.
    pub(crate) fn first_line(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// Whether the command line cannot be used.
    pub(crate) fn is_usage(&self) -> bool {
        self.class == Class::Usage
    }

    /// The command line cannot be used.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message)
    }

    /// A file could not be read or written.
    pub(crate) fn disk(doing: &str, path: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("free some space, or save elsewhere"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some("choose a place that may be written")
            }
            io::ErrorKind::NotFound => Some("check the path"),
            io::ErrorKind::BrokenPipe => Some("whatever read the output has ended"),
            _ => None,
        };
        Self { hint, ..Self::new(Class::Disk, format!("{doing} {}: {error}", path.display())) }
    }

    /// Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::new(Class::Interrupted, "interrupted")
    }

    /// There was nothing in a stream: because of what went wrong last, or of segments that were left out.
    pub(crate) fn nothing(doing: &str, cause: Option<Self>, skipped: u64) -> Self {
        let left_out = || Self::new(Class::Playlist, format!("all segments are left out ({skipped})")).with_hint(LOOK);
        let empty = || Self::new(Class::Playlist, "there is nothing in the stream").with_hint(LOOK);
        cause.unwrap_or_else(|| if skipped > 0 { left_out() } else { empty() }).while_doing(doing)
    }

    /// The same failure with what was being done in front.
    pub(crate) fn while_doing(mut self, doing: &str) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The same failure with what was being done to what, unless that is named already.
    pub(crate) fn while_doing_to(self, doing: &str, what: &str) -> Self {
        let is_named = self.message.contains(what);
        if is_named { self.while_doing(doing) } else { self.while_doing(&format!("{doing} {what}")) }
    }

    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.class as u8)
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self) {
        // Nothing is left to do when not even standard error takes it.
        let _ = writeln!(io::stderr(), "kithara: {self}");
    }

    /// Tells it on standard output as the last line of `--json`, if that is wanted, where nothing was told yet.
    pub(crate) fn tell_json(&self, wanted: bool) {
        if wanted {
            // Standard error and the exit status say it as well.
            let _ = writeln!(io::stdout(), "{}", self.json());
        }
    }

    /// As a JSON object beside what is known all the same, for the last line of `--json`.
    pub(crate) fn json_beside(&self, mut facts: serde_json::Value) -> serde_json::Value {
        if let (Some(facts), serde_json::Value::Object(failure)) = (facts.as_object_mut(), self.json()) {
            facts.extend(failure);
        }
        facts
    }

    /// As a JSON object, for the last line of `--json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": { "class": self.class.name(), "message": self.message, "hint": self.hint },
            "exit_status": self.class as u8,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "\n  try: {hint}"))
    }
}

impl From<HlsError> for Failure {
    fn from(error: HlsError) -> Self {
        let (class, hint) = classify(&error);
        Self { hint, key_at: key_at(&error), ..Self::new(class, story(&error)) }
    }
}

/// Where the key is that could not be had, if that is what happened.
fn key_at(error: &HlsError) -> Option<Origin> {
    match error {
        HlsError::KeyProcessing { url: Some(url), .. } => {
            Url::parse(url.as_str()).ok().and_then(|url| Origin::of(&url))
        }
        HlsError::SegmentNotFound { source: Some(source), .. } => key_at(source),
        _ => None,
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        if let Some(error) = HlsError::within(&error) {
            return error.clone().into();
        }
        let carried = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        if let Some(error) = carried.and_then(FileError::of) {
            return error.clone().into();
        }
        let (class, hint) = match error.kind() {
            DecodeErrorKind::Container | DecodeErrorKind::NoSound => (Class::Media, None),
            DecodeErrorKind::UnsupportedCodec => (Class::Media, Some("another variant or rendition may be playable")),
            DecodeErrorKind::Encrypted => (Class::Media, Some(KEYS)),
            DecodeErrorKind::Output => (Class::Usage, Some("choose another --rate or --channels")),
            _ => (Class::Other, None),
        };
        Self { hint, ..Self::new(class, story(&error)) }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Fetch(error) => error.into(),
            FileError::Net(error) => HlsError::Net(error).into(),
            FileError::InvalidUrl(reason) => HlsError::InvalidUrl(reason).into(),
            FileError::Changed { .. } => {
                Self::new(Class::Media, story(&error)).with_hint("try again: there is a new one now")
            }
            error => Self::new(Class::Network, story(&error)),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Hls(error) => error.into(),
            OpenError::Decode(error) => error.into(),
            OpenError::File(error) => error.into(),
            OpenError::NotMedia { .. } => {
                Self::new(Class::Playlist, story(&error)).with_hint("give the URL of a stream or a file of sound")
            }
            other => Self::new(Class::Other, story(&other)),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        HlsError::from(error).into()
    }
}

/// The text of an error and of its first cause, in one line.
pub(crate) fn in_one_line(error: &dyn Error) -> String {
    story(error).replace(BECAUSE, ": ")
}

/// Stands between an error and its cause.
const BECAUSE: &str = "\n  because: ";

/// The text of an error and of its first cause, which is mostly what the system said.
fn story(error: &dyn Error) -> String {
    let text = error.to_string();
    let mut first = error.source();
    while let Some(below) = first.and_then(Error::source) {
        first = Some(below);
    }
    match first.map(ToString::to_string) {
        Some(first) if !text.contains(&first) => format!("{text}{BECAUSE}{first}"),
        _ => text,
    }
}

type Verdict = (Class, Option<&'static str>);

fn classify(error: &HlsError) -> Verdict {
    match error {
        HlsError::Net(error) => classify_net(error),
        HlsError::Fetch(error) => classify_fetch(error),
        HlsError::Assets(_) | HlsError::Storage(_) => {
            (Class::Disk, Some("try without --cache, or another place for --trace"))
        }
        HlsError::PlaylistParse { .. } => (Class::Playlist, Some(LOOK)),
        HlsError::VariantNotFound { .. } => (Class::Usage, Some("`kithara probe URL` lists the variants")),
        HlsError::NoSuitableVariant => (Class::Playlist, Some("`kithara probe URL` shows what there is")),
        HlsError::SegmentNotFound { failure, source } => {
            let verdict = source.as_ref().map_or_else(|| classify_kind(failure.cause.kind), |source| classify(source));
            match verdict {
                (class, Some(MISSING)) => (class, Some(MISSING_SEGMENT)),
                verdict => verdict,
            }
        }
        HlsError::KeyProcessing { source: Some(source), .. } if is_remote(source) => classify(source),
        HlsError::KeyProcessing { .. } => (Class::Media, Some(KEYS)),
        HlsError::BadDelivery { .. } => (Class::Media, Some(BROKEN)),
        HlsError::InvalidUrl(_) => (Class::Usage, Some("give the http(s) URL of a playlist, or the word demo")),
        HlsError::OfflineMiss { .. } => (Class::Missing, None),
        HlsError::Abr(_) => (Class::Usage, None),
        _ => (Class::Other, None),
    }
}

fn is_remote(error: &HlsError) -> bool {
    matches!(error, HlsError::Net(_) | HlsError::Fetch(_))
}

fn classify_net(error: &NetError) -> Verdict {
    match error.kind() {
        ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::Authorizer => (Class::Missing, Some(FORBIDDEN)),
        ErrorKind::NotFound | ErrorKind::Gone => (Class::Missing, Some(MISSING)),
        ErrorKind::Deadline => (Class::Network, Some(LATER)),
        ErrorKind::Dns => (Class::Network, Some("check the host name and your connection")),
        ErrorKind::Tls => (Class::Network, Some("check the clock of this machine and the server's certificate")),
        ErrorKind::InvalidRequest => (Class::Usage, None),
        ErrorKind::TooLarge => (Class::Playlist, Some(LOOK)),
        kind if kind.is_transient() => (Class::Network, Some(LATER)),
        _ => (Class::Network, None),
    }
}

fn classify_fetch(error: &FetchError) -> Verdict {
    match error.kind() {
        FetchErrorKind::OfflineMiss | FetchErrorKind::Unresolved => (Class::Missing, None),
        FetchErrorKind::Deadline | FetchErrorKind::NotReady => (Class::Network, Some(LATER)),
        FetchErrorKind::Changed => (Class::Media, Some("try again: the file was replaced while it was read")),
        FetchErrorKind::InvalidRequest => (Class::Playlist, None),
        _ => error.net().map_or((Class::Other, None), classify_net),
    }
}

fn classify_kind(kind: FailureKind) -> Verdict {
    match kind {
        FailureKind::Unauthorized | FailureKind::Forbidden => (Class::Missing, Some(FORBIDDEN)),
        FailureKind::NotFound | FailureKind::Gone | FailureKind::BehindLiveWindow => (Class::Missing, Some(MISSING)),
        FailureKind::NotReady | FailureKind::Unreachable | FailureKind::Refused => (Class::Network, Some(LATER)),
        FailureKind::NotMedia | FailureKind::Incomplete | FailureKind::Changed | FailureKind::TooLarge => {
            (Class::Media, Some(BROKEN))
        }
        FailureKind::Undecryptable | FailureKind::Key | FailureKind::Unsupported => (Class::Media, Some(KEYS)),
        FailureKind::Playlist | FailureKind::NoMedia => (Class::Playlist, Some(LOOK)),
        FailureKind::Offline => (Class::Missing, None),
        _ => (Class::Other, None),
    }
}

const LOOK: &str = "`kithara probe URL` shows what the server sends";
const LOOK_OR_PLAY: &str = "`kithara probe URL` shows what the server sends; a single file is for `kithara play`";
const FORBIDDEN: &str = "send credentials (--header, --query), or get a fresh URL: signed URLs expire";
const MISSING: &str = "check the URL; a signed one may have expired, and a live stream may be over";
const MISSING_SEGMENT: &str =
    "--on-missing skip leaves the segment out; a signed URL may have expired, and a live stream may be over";
const LATER: &str = "try again later; -vv shows every attempt";
const BROKEN: &str = "try again; if the server always sends this, --on-missing skip leaves the segment out";
const FORBIDDEN_ELSEWHERE: &str = "the key is at another server than the stream: send it credentials with --key-header";
const KEYS_ELSEWHERE: &str = "only AES-128 with plain keys is supported; the key is at another server than the stream, \
    which may want credentials (--key-header)";
const KEYS: &str = "only AES-128 with plain keys is supported; a key server may want credentials (--header)";

#[cfg(test)]
mod tests {
    use kithara::{event::MediaId, playlist::VariantId};

    use super::*;

    #[track_caller]
    fn check(error: HlsError, want: Class) {
        assert_eq!(Failure::from(error).class, want);
    }

    #[test]
    fn errors_have_the_class_that_the_help_promises() {
        check(HlsError::InvalidUrl("no".into()), Class::Usage);
        check(HlsError::VariantNotFound { wanted: MediaId::Variant(VariantId(7)) }, Class::Usage);
        check(HlsError::NoSuitableVariant, Class::Playlist);
        check(HlsError::PlaylistParse { url: None, line: None, reason: "no".into() }, Class::Playlist);
        check(HlsError::KeyProcessing { url: None, reason: "no".into(), source: None }, Class::Media);
        check(HlsError::Closed, Class::Other);
    }

    #[test]
    fn every_failure_kind_has_a_class() {
        assert_eq!(classify_kind(FailureKind::Gone).0, Class::Missing);
        assert_eq!(classify_kind(FailureKind::Unreachable).0, Class::Network);
        assert_eq!(classify_kind(FailureKind::Undecryptable).0, Class::Media);
        assert_eq!(classify_kind(FailureKind::Playlist).0, Class::Playlist);
    }

    #[test]
    fn a_failure_reads_as_what_happened_and_what_to_do() {
        let failure = Failure::from(HlsError::VariantNotFound { wanted: MediaId::Variant(VariantId(7)) })
            .while_doing("cannot save");
        assert_eq!(
            failure.to_string(),
            "cannot save: variant 7 is not in the playlist\n  try: `kithara probe URL` lists the variants"
        );
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let inner = HlsError::BadDelivery {
            url: kithara::fetch::net::RedactedUrl::new(&"http://h/a?s=1".parse().unwrap()),
            reason: "cut".into(),
        };
        let outer =
            HlsError::KeyProcessing { url: None, reason: "no key".into(), source: Some(std::sync::Arc::new(inner)) };
        assert_eq!(story(&outer).matches("cut").count(), 1);
    }
}
