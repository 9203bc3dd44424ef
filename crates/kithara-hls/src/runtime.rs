//! Where a session's tasks run.
//!
//! On the caller's runtime when it has more threads than one; else on one thread of the library's own, shared by all
//! sessions of the process, so that a caller who blocks on a read does not stop the task he waits for.

use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Handle, RuntimeFlavor};

use crate::error::HlsError;

/// A runtime to spawn on.
pub(crate) fn handle() -> Result<Handle, HlsError> {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => Ok(handle),
        _ => own(),
    }
}

/// The library's own runtime, made when it is first needed. The one global of this crate: a thread that sleeps while no
/// session is open.
fn own() -> Result<Handle, HlsError> {
    static OWN: OnceLock<Result<Handle, Arc<str>>> = OnceLock::new();
    OWN.get_or_init(|| start().map_err(|error| error.to_string().into())).clone().map_err(HlsError::Driver)
}

fn start() -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("kithara".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
