//! Doors for apps without tokio: the same sessions, opened and asked from ordinary threads.
//!
//! The session's own work runs on one thread of the library, started with the first session and asleep while there is
//! none. Reading through a [`SyncReader`](crate::SyncReader) needs nothing more; whatever else is `async` on a handle is
//! waited for with [`wait`].
//!
//! ```
//! use std::{io::Read, time::Duration};
//! use kithara::{HlsParams, SyncReader, blocking};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let origin = kithara_origin::Origin::start(kithara_origin::demo())?;
//! # let url = origin.url("/master.m3u8");
//! let source = blocking::open(&url, HlsParams::default())?;
//! let session = source.session().clone();
//!
//! let mut first = [0; 8];
//! SyncReader::new(source).read_exact(&mut first)?;
//! assert_eq!(&first[4..], b"ftyp");
//!
//! blocking::wait(session.close());
//! # Ok(()) }
//! ```
//!
//! Nothing here may be called from async code: it would block the thread that its own answer may need.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use crate::{Hls, HlsError, HlsParams, HlsSource, OpenError, OpenParams, PcmReader, Player, SourceFactory};

/// Opens `url` and blocks until the stream is known: its variant chosen and its media playlist loaded.
///
/// # Errors
/// As [`StreamSource::open`](crate::StreamSource::open).
pub fn open(url: &str, params: HlsParams) -> Result<HlsSource, HlsError> {
    wait(Hls::open(url, params))
}

/// Opens `url` for listening and blocks until the stream is known; see [`open`](crate::open()).
///
/// ```
/// use kithara::{OpenParams, Pcm, blocking};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let origin = kithara_origin::Origin::start(kithara_origin::demo())?;
/// # let url = origin.url("/master.m3u8");
/// let (player, mut reader) = blocking::listen(&url, OpenParams::default())?;
/// player.seek(std::time::Duration::from_secs(18));
/// let (mut buffer, mut heard) = ([0.0; 4096], 0);
/// loop {
///     match reader.read(&mut buffer)? {
///         Pcm::Samples(count) => heard += count,
///         Pcm::SpecChanged(spec) => assert_eq!(spec.channels, 2),
///         Pcm::End => break,
///     }
/// }
/// assert!(heard > 150_000);
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`open`](crate::open()).
pub fn listen(url: &str, params: impl Into<OpenParams>) -> Result<(Player, PcmReader), OpenError> {
    wait(crate::open(url, params))
}

/// Parks this thread until `future` is ready. For the futures of this crate, which need no runtime of the caller.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parker));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        while !parker.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Wakes one thread. The flag is set by whoever wakes and taken by the thread: the park token alone may be consumed by
/// other code that parks on this thread.
struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn a_wake_from_another_thread_is_heard() {
        let mut polls = 0;
        let polled = wait(poll_fn(|cx| {
            polls += 1;
            let waker = cx.waker().clone();
            drop(thread::spawn(move || waker.wake()));
            if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
        }));
        assert_eq!(polled, 3);
    }

    #[test]
    fn a_wake_during_the_poll_is_not_lost() {
        let mut polls = 0;
        let polled = wait(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 2 { Poll::Ready(polls) } else { Poll::Pending }
        }));
        assert_eq!(polled, 2);
    }
}
