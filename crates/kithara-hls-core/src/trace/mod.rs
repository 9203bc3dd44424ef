//! Traces: what a session was told and what it did, one JSON object a line, without secrets.
//!
//! A trace is what a bug report carries. It holds every input with its time, and every action and event that followed,
//! so it can be fed to a session again: the same inputs must give the same outputs, and where they do not, the first
//! line that differs is named.
//!
//! Signed URLs are secrets. The recorder replaces every query value, every user name and every path component that looks
//! like a token by a salted hash *before* anything is written. What the session makes of such inputs is found by asking
//! a second session that is told only the cleaned ones, so that the trace agrees with itself.

mod redact;
mod replay;

use serde::{Deserialize, Serialize};
use url::Url;

pub(crate) use self::redact::shown_path;
pub use self::{
    redact::Redactor,
    replay::{Divergence, Replayed, Trace, TraceError},
};
use crate::{
    session::{Action, FetchFailure, HlsEvent, Input, PlaylistId, PlaylistText, Session, SessionOptions},
    time::Now,
};

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line: how the session began.
    Open {
        /// Version of the trace format.
        version: u32,
        /// The playlist.
        url: Url,
        /// How it decides.
        options: Box<SessionOptions>,
        /// When.
        now: Now,
    },
    /// The session was told something.
    In {
        /// When.
        now: Now,
        /// What.
        input: Box<Input>,
    },
    /// The session wanted something done.
    Do(Box<Action>),
    /// The session reported something.
    Say(Box<HlsEvent>),
}

/// The version of the format. It counts up with each change of what a line says, so that a trace is never compared with
/// what it cannot have.
pub const VERSION: u32 = 2;

/// Writes a trace.
#[derive(Debug)]
pub struct Recorder {
    redactor: Redactor,
    shadow: Session,
    lines: Vec<Line>,
}

impl Recorder {
    /// Begins the trace of a session that begins in the same way. `salt` should be random: without it a short secret
    /// could be found by trying.
    pub fn new(url: &Url, options: &SessionOptions, now: Now, salt: u64) -> Self {
        let redactor = Redactor::new(salt);
        let url = redactor.url(url);
        let shadow = Session::new(url.clone(), options.clone(), now);
        let open = Line::Open { version: VERSION, url, options: Box::new(options.clone()), now };
        let mut recorder = Self { redactor, shadow, lines: vec![open] };
        recorder.drain();
        recorder
    }

    /// Records an input and what follows from it.
    pub fn input(&mut self, now: Now, input: &Input) {
        let input = self.clean(input);
        self.lines.push(Line::In { now, input: Box::new(input.clone()) });
        self.shadow.handle(now, input);
        self.drain();
    }

    /// Takes the lines recorded since the last call, each a JSON object.
    ///
    /// # Errors
    /// When a line cannot be written as JSON, which no input can bring about.
    pub fn take_lines(&mut self) -> Result<Vec<String>, serde_json::Error> {
        self.lines.drain(..).map(|line| serde_json::to_string(&line)).collect()
    }

    fn drain(&mut self) {
        while let Some(action) = self.shadow.poll_action() {
            self.lines.push(Line::Do(Box::new(action)));
        }
        while let Some(event) = self.shadow.poll_event() {
            self.lines.push(Line::Say(Box::new(event)));
        }
    }

    fn clean(&self, input: &Input) -> Input {
        match input {
            Input::Playlist { id, result } => {
                let clean = |text: &PlaylistText| PlaylistText {
                    url: self.redactor.url(&text.url),
                    text: match id {
                        PlaylistId::Steering => self.redactor.steering(&text.text),
                        PlaylistId::Primary | PlaylistId::Media(_) => self.redactor.playlist(&text.text),
                    },
                    from_store: text.from_store,
                    age: text.age,
                    may_be_cut: text.may_be_cut,
                };
                let result: Result<PlaylistText, FetchFailure> = result.as_ref().map(clean).map_err(Clone::clone);
                Input::Playlist { id: *id, result }
            }
            Input::Command(crate::session::Command::Resolved(Ok(url))) => {
                Input::Command(crate::session::Command::Resolved(Ok(self.redactor.url(url))))
            }
            other => other.clone(),
        }
    }
}
