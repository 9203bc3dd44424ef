//! What is said on standard error beside results and errors.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt::time::Uptime};

/// Sends what the library tells to standard error: nothing without `-v`, unless RUST_LOG says otherwise.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "kithara_hls=debug,info",
        2 => "kithara_hls=trace,kithara_fetch=debug,kithara_net=debug,info",
        _ => "kithara=trace,kithara_hls=trace,kithara_fetch=trace,kithara_net=trace,kithara_assets=trace,debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Uptime::default())
        .with_target(verbose > 1)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // Fails only when there is one already, which then serves as well.
    let _ = subscriber.try_init();
}
