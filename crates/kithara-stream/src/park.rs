use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Runs `poll` on this thread until it is ready, parked in between. `limit` bounds the whole wait; `poll` runs at
/// least once, so a limit of zero asks whether it is ready now.
pub(crate) fn block_on<T>(
    limit: Option<Duration>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    // A limit too far away for the clock is no limit.
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let parker = Parker::current();
    let waker = Waker::from(Arc::clone(&parker));
    let mut cx = Context::from_waker(&waker);
    loop {
        parker.woken.store(false, Ordering::Release);
        if let Poll::Ready(result) = poll(&mut cx) {
            return result;
        }
        while !parker.woken.load(Ordering::Acquire) {
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return Err(io::ErrorKind::TimedOut.into()),
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

/// Wakes one thread. The flag is written by whoever wakes and read by the thread: the park token alone may be
/// consumed by other code that parks on this thread between the wake and our park.
struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

thread_local! {
    // One per thread, so that repeated waits present the same waker and a source keeps one entry for it.
    static PARKER: Arc<Parker> = Arc::new(Parker::new());
}

impl Parker {
    fn new() -> Self {
        Self { thread: thread::current(), woken: AtomicBool::new(false) }
    }

    fn current() -> Arc<Self> {
        // A wait inside a thread-local's destructor finds this one gone and makes its own.
        PARKER.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Self::new()))
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_park_is_not_lost() {
        let mut polls = 0;
        let result = block_on(None, |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(Ok(polls)) } else { Poll::Pending }
        });
        assert_eq!(result.unwrap(), 3);
    }

    #[test]
    fn a_stray_unpark_does_not_poll_again() {
        let mut polls = 0;
        thread::current().unpark();
        let error = block_on::<()>(Some(Duration::from_millis(1)), |_| {
            polls += 1;
            Poll::Pending
        })
        .unwrap_err();
        assert_eq!((error.kind(), polls), (io::ErrorKind::TimedOut, 1));
    }

    #[test]
    fn a_limit_of_zero_asks_once() {
        assert_eq!(block_on(Some(Duration::ZERO), |_| Poll::Ready(Ok(7))).unwrap(), 7);
        let pending = block_on::<()>(Some(Duration::ZERO), |_| Poll::Pending);
        assert_eq!(pending.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_limit_beyond_the_clock_is_no_limit() {
        assert!(block_on(Some(Duration::MAX), |_| Poll::Ready(Ok(()))).is_ok());
    }
}
