//! Writes a session's trace while it happens.

use std::io::{self, BufWriter, Write};

use kithara_hls_core::{
    session::{Input, SessionOptions},
    time::Now,
    trace::Recorder,
};
use url::Url;

/// A recorder and where its lines go.
pub(crate) struct TraceFile {
    recorder: Recorder,
    out: BufWriter<Box<dyn Write + Send>>,
}

impl TraceFile {
    pub(crate) fn new(
        url: &Url,
        options: &SessionOptions,
        now: Now,
        salt: u64,
        out: Box<dyn Write + Send>,
    ) -> io::Result<Self> {
        let recorder = Recorder::new(url, options, now, salt);
        let mut file = Self { recorder, out: BufWriter::new(out) };
        file.flush()?;
        Ok(file)
    }

    pub(crate) fn input(&mut self, now: Now, input: &Input) -> io::Result<()> {
        self.recorder.input(now, input);
        self.flush()
    }

    /// Every input is on its way to the file before it is acted on: a crash leaves the trace that led to it.
    fn flush(&mut self) -> io::Result<()> {
        for line in self.recorder.take_lines()? {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }
}
