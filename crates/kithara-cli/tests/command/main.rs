//! The command as its users meet it: arguments in; files, words and exit status out.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod cache;
mod failures;
mod interrupts;
mod live;
mod low_latency;
mod play;
mod probe;
mod save;
mod traces;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use kithara_origin::{Origin, Site, fixtures_dir};
use serde_json::Value;
use tempfile::TempDir;

/// The command with these arguments, away from whatever the environment says.
fn kithara<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kithara"));
    command.args(args).env_remove("RUST_LOG").env("NO_PROXY", "*").stdin(Stdio::null());
    command
}

/// What a finished command left.
#[derive(Debug)]
struct Run {
    status: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Run {
    fn of<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        kithara(args).output().unwrap().into()
    }

    /// The object on the last line of standard output.
    #[track_caller]
    fn json(&self) -> Value {
        let text = std::str::from_utf8(&self.stdout).unwrap();
        let last = text.lines().last().unwrap_or_else(|| panic!("nothing on standard output: {self:?}"));
        serde_json::from_str(last).unwrap()
    }

    #[track_caller]
    fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { status: output.status.code(), stdout: output.stdout, stderr }
    }
}

fn finished(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}

/// All fixtures at `/`.
fn fixtures() -> Site {
    Site::new().dir("/", fixtures_dir())
}

fn serve(site: Site) -> Origin {
    Origin::start(site).unwrap()
}

/// A folder for one test, and a path in it.
fn scratch(name: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What lies in a folder.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
