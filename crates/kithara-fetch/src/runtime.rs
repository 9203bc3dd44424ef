//! Where tasks run that serve readers which may block.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Handle, RuntimeFlavor};

/// A runtime for tasks that a blocked thread may wait for: the caller's, when it has more threads than one; else one thread of the
/// library's own, shared by all streams of the process, so that a caller who blocks on a read does not stop the task he waits for.
///
/// # Errors
/// The thread could not be started.
pub fn runtime() -> Result<Handle, Arc<io::Error>> {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => Ok(handle),
        _ => own(),
    }
}

/// The library's own runtime, made when it is first needed. The one global: a thread that sleeps while no stream is open.
fn own() -> Result<Handle, Arc<io::Error>> {
    static OWN: OnceLock<Result<Handle, Arc<io::Error>>> = OnceLock::new();
    OWN.get_or_init(|| start().map_err(Arc::new)).clone()
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("kithara".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
