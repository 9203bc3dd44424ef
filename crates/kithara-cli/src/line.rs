//! One line on standard error that changes while something goes on.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Draws a second, at most.
const DRAWS: u8 = 10;

/// A line on standard error that says how things stand; nothing where that is no terminal, or where the log is shown
/// instead. Clones draw the same line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    bar: ProgressBar,
}

impl Line {
    /// `template` as indicatif has them.
    pub(crate) fn new(verbose: u8, template: &str) -> Self {
        let is_shown = verbose == 0 && io::stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr_with_hz(DRAWS) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// Shows what `words` says, if anything is shown.
    pub(crate) fn draw(&self, words: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_message(words());
            self.bar.tick();
        }
    }

    /// So many bytes are done.
    pub(crate) fn bytes(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Something worth a line of its own.
    pub(crate) fn note(&self, text: &str) {
        if self.bar.is_hidden() {
            // Nothing is left to do when standard error does not take it.
            let _ = writeln!(io::stderr(), "kithara: {text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
