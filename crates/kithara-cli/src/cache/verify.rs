//! `kithara cache verify`: everything is read and checked.

use std::{
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kithara::fetch::assets::{AssetStore, maintain::Verified};
use serde_json::{Value, json};

use super::{Told, tell_facts};
use crate::failure::{Class, Failure};

/// Draws a second, at most.
const DRAWS: u8 = 10;

/// Checks the store, with a line on standard error that says how far it is where that is a terminal.
pub(super) fn run(out: &mut impl Write, store: &AssetStore, as_json: bool, verbose: u8) -> Told {
    let bar = progress(verbose);
    let verified = store.verify(|so_far| {
        bar.set_length(so_far.resources as u64);
        bar.set_position(so_far.checked as u64);
        bar.set_message(HumanBytes(so_far.good_bytes).to_string());
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    // What was not right is removed when the writer thread has come to it.
    let settled = store.flush().wait();
    let outcome = match settled {
        Ok(()) => judge(&verified),
        Err(error) => Err(super::cannot("put in order", &error)),
    };
    let written = if as_json { tell_facts(out, facts(&verified), &outcome) } else { tell(out, &verified) };
    (written, outcome)
}

fn progress(verbose: u8) -> ProgressBar {
    let is_shown = verbose == 0 && io::stderr().is_terminal();
    let target = if is_shown { ProgressDrawTarget::stderr_with_hz(DRAWS) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} of {len} resources, {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn tell(out: &mut impl Write, verified: &Verified) -> io::Result<()> {
    let Verified { checked, good_bytes, bad_bytes, gone_bytes, unreadable, .. } = *verified;
    writeln!(out, "{checked} resources checked, {} right", HumanBytes(good_bytes))?;
    if bad_bytes > 0 {
        writeln!(out, "{} were not, and are removed", HumanBytes(bad_bytes))?;
    }
    if gone_bytes > 0 {
        writeln!(out, "{} went away meanwhile", HumanBytes(gone_bytes))?;
    }
    if unreadable > 0 {
        writeln!(out, "{unreadable} spans could not be read")?;
    }
    let folders = verified.unreadable_folders;
    if folders > 0 { writeln!(out, "{folders} folders could not be read") } else { Ok(()) }
}

fn facts(verified: &Verified) -> Value {
    let Verified { checked, good_bytes, bad_bytes, gone_bytes, unreadable, .. } = *verified;
    json!({
        "checked": checked,
        "good_bytes": good_bytes,
        "bad_bytes": bad_bytes,
        "gone_bytes": gone_bytes,
        "unreadable": unreadable,
        "unreadable_folders": verified.unreadable_folders,
    })
}

fn judge(verified: &Verified) -> Result<(), Failure> {
    let unreadable = [(verified.unreadable, "spans"), (verified.unreadable_folders, "folders")];
    if let Some((count, what)) = unreadable.into_iter().find(|(count, _)| *count > 0) {
        let failure = Failure::new(Class::Disk, format!("{count} {what} could not be read"));
        return Err(failure.with_hint("check the disk, and who may read the folder"));
    }
    if verified.bad_bytes > 0 {
        let failure = Failure::new(Class::Disk, format!("{} bytes were not what was stored", verified.bad_bytes));
        return Err(failure.with_hint("they are removed and will be fetched again; check the disk"));
    }
    Ok(())
}
