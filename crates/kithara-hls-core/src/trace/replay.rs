//! Feeding a trace back.

use std::fmt;

use super::{Line, VERSION};
use crate::session::Session;

/// A trace that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    lines: Vec<Line>,
}

/// Why a text is not a trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A line is not what a trace has.
    #[error("line {line} is not part of a trace")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What the JSON parser says.
        source: serde_json::Error,
    },
    /// The first line does not open a session.
    #[error("the first line does not open a session")]
    NoOpening,
    /// The trace was written by another version.
    #[error("the trace has version {found}, this program reads version {VERSION}")]
    Version {
        /// What the trace says.
        found: u32,
    },
}

/// What came out of a replay without differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs fed.
    pub inputs: usize,
    /// Actions that agreed.
    pub actions: usize,
    /// Events that agreed.
    pub events: usize,
}

/// The first place where a replay does not agree with its trace.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Divergence {
    /// The line of the trace, counted from 1.
    pub line: usize,
    /// What the trace has there; `None` where it has nothing more.
    pub recorded: Option<Box<Line>>,
    /// What the session did; `None` where it did nothing more.
    pub replayed: Option<Box<Line>>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |line: &Option<Box<Line>>| match line.as_deref() {
            None => "nothing".to_owned(),
            Some(Line::Do(action)) => action.to_string(),
            Some(Line::Say(event)) => event.to_string(),
            Some(Line::In { input, .. }) => format!("input {input:?}"),
            Some(Line::Open { .. }) => "the opening".to_owned(),
        };
        write!(f, "line {}: recorded `{}`, replayed `{}`", self.line, show(&self.recorded), show(&self.replayed))
    }
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// When the text is not a trace of this version.
    pub fn read(text: &str) -> Result<Self, TraceError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let parsed = lines
            .map(|(idx, line)| serde_json::from_str(line).map_err(|source| TraceError::Line { line: idx + 1, source }));
        let lines: Vec<Line> = parsed.collect::<Result<_, _>>()?;
        match lines.first() {
            Some(Line::Open { version: VERSION, .. }) => Ok(Self { lines }),
            Some(Line::Open { version, .. }) => Err(TraceError::Version { found: *version }),
            _ => Err(TraceError::NoOpening),
        }
    }

    /// The lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Feeds all inputs to a new session and compares what it does.
    ///
    /// # Errors
    /// The first difference.
    pub fn replay(&self) -> Result<Replayed, Divergence> {
        let mut done = Replayed::default();
        let mut session: Option<Session> = None;
        for (idx, line) in self.lines.iter().enumerate() {
            match line {
                Line::Open { url, options, now, .. } => {
                    session = Some(Session::new(url.clone(), (**options).clone(), *now));
                }
                Line::In { now, input } => {
                    let Some(session) = session.as_mut() else { continue };
                    if let Some(extra) = next_output(session) {
                        return Err(Divergence { line: idx + 1, recorded: None, replayed: Some(Box::new(extra)) });
                    }
                    session.handle(*now, (**input).clone());
                    done.inputs += 1;
                }
                Line::Do(_) | Line::Say(_) => {
                    let replayed = session.as_mut().and_then(next_output);
                    if replayed.as_ref() != Some(line) {
                        let recorded = Some(Box::new(line.clone()));
                        return Err(Divergence { line: idx + 1, recorded, replayed: replayed.map(Box::new) });
                    }
                    done.actions += usize::from(matches!(line, Line::Do(_)));
                    done.events += usize::from(matches!(line, Line::Say(_)));
                }
            }
        }
        Ok(done)
    }
}

/// Actions first, then events: the order in which a recorder writes them.
fn next_output(session: &mut Session) -> Option<Line> {
    let action = session.poll_action().map(|action| Line::Do(Box::new(action)));
    action.or_else(|| session.poll_event().map(|event| Line::Say(Box::new(event))))
}
