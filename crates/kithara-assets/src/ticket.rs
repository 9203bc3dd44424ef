//! The answer to something the writer thread does later.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::{AssetsError, AssetsErrorKind};

/// The answer to an order given to the store, once it was carried out.
///
/// Wait for it from a thread with [`Ticket::wait`], or `.await` it under any runtime. Dropping it does not take the
/// order back.
pub struct Ticket<T> {
    cell: Arc<Cell<T>>,
    /// Called by a thread that is about to block: what was ordered without hurry becomes urgent.
    hurry: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// The half that answers. Dropped without an answer, it answers that the store is closing.
pub(crate) struct Answer<T> {
    cell: Arc<Cell<T>>,
}

struct Cell<T> {
    /// Written once by [`Answer`], taken once by [`Ticket`].
    state: Mutex<State<T>>,
}

struct State<T> {
    answer: Option<Result<T, AssetsError>>,
    /// Of the task or thread that waits: where nobody does, an answer wakes nobody, which would cost as much as all else.
    waker: Option<Waker>,
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A ticket and the half that answers it.
pub(crate) fn ticket<T>() -> (Answer<T>, Ticket<T>) {
    let cell = Arc::new(Cell { state: Mutex::new(State { answer: None, waker: None }) });
    (Answer { cell: Arc::clone(&cell) }, Ticket { cell, hurry: None })
}

impl<T> Ticket<T> {
    /// A ticket that is answered already.
    pub(crate) fn ready(answer: Result<T, AssetsError>) -> Self {
        let (half, ticket) = self::ticket();
        half.answer(answer);
        ticket
    }

    /// Has `hurry` called when a thread blocks for the answer.
    pub(crate) fn hurried_by(self, hurry: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { hurry: Some(Box::new(hurry)), ..self }
    }

    /// Blocks the thread until the order was carried out, which begins at once. A task that awaits a commit is answered
    /// some milliseconds later: commits that follow each other are made together.
    ///
    /// # Errors
    /// Whatever kept the order from being carried out; [`AssetsErrorKind::Closed`] where the store closed first.
    pub fn wait(mut self) -> Result<T, AssetsError> {
        if let Some(hurry) = self.hurry.take() {
            hurry();
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut cx) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl<T> Answer<T> {
    pub(crate) fn answer(self, answer: Result<T, AssetsError>) {
        self.cell.set(answer);
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.cell.set(Err(AssetsError::new(AssetsErrorKind::Closed, "finishing what was ordered")));
    }
}

impl<T> Cell<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the first answer; later ones are the drop of an answered half.
    fn set(&self, answer: Result<T, AssetsError>) {
        let mut state = self.lock();
        if state.answer.is_some() {
            return;
        }
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, AssetsError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.cell.lock();
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("answered", &self.cell.lock().answer.is_some()).finish()
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
