//! Waiting and waking between the worker and its reader.

use std::{
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
    thread::{self, Thread},
};

/// What the worker's thread sleeps on. Rung by feeds that have bytes, by readers that have room and by commands; ringing
/// takes no lock and does not allocate, so a sound callback may.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Set once, by the worker's thread, before it first waits.
    thread: OnceLock<Thread>,
    /// Set by whoever rings, cleared by the worker.
    rung: AtomicBool,
    /// Set by commands, cleared by the worker: what it is waiting for inside of a container reader is not wanted any more.
    interrupted: AtomicBool,
}

impl Bell {
    /// From now on the bell is heard by this thread.
    pub(crate) fn attach(&self) {
        // A second thread would be a bug; it would hear nothing.
        let _ = self.thread.set(thread::current());
    }

    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    pub(crate) fn clear_interrupt(&self) {
        self.interrupted.store(false, Ordering::SeqCst);
    }

    /// Forgets earlier rings. What is checked after this and found not to be so rings again when it becomes so.
    pub(crate) fn listen(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// Parks until the bell has rung since [`Bell::listen`].
    pub(crate) fn wait(&self) {
        while !self.rung.load(Ordering::SeqCst) {
            thread::park();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// What blocking readers sleep on: a count of news. Never touched by a sound callback.
#[derive(Debug, Default)]
pub(crate) struct News {
    count: Mutex<u64>,
    changed: Condvar,
}

impl News {
    /// The count before looking for what one waits for.
    pub(crate) fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Keeps everybody from the lock.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        self.count.lock().unwrap()
    }

    /// Waits until there is news since `seen`.
    pub(crate) fn wait(&self, seen: u64) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(count, |count| *count == seen).unwrap_or_else(PoisonError::into_inner));
    }
}
