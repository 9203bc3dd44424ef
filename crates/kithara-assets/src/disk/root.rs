//! What the readers and the writer thread of a store on disk share.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ThreadId;

use crate::disk::draft::remove_unless_written;
use crate::disk::health::Health;
use crate::disk::job::Job;
use crate::disk::layout::Layout;
use crate::disk::lock::{EvictionLock, LeaseFiles};
use crate::disk::queue::{Hurry, Queue};
use crate::disk::span_file::SpanFile;
use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::LossReason;
use crate::format::Record;
use crate::index::{Held, Resource, State};
use crate::key::{AssetId, ResourceKey};
use crate::medium::ReadFault;
use crate::offer::{Admission, Offer, Rule};
use crate::options::DiskOptions;
use crate::shared::Shared;
use crate::spans::Span;

/// One open store on disk.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) shared: Shared,
    pub(crate) layout: Layout,
    pub(crate) options: DiskOptions,
    pub(crate) queue: Queue<Job>,
    pub(crate) health: Health,
    pub(crate) lease_files: LeaseFiles,
    /// The thread that takes the jobs, and so must not wait for room in the queue. Set when it starts.
    pub(crate) writer: OnceLock<ThreadId>,
    /// Names the writers of spans.
    next_draft: AtomicU64,
    /// The index tells of every file, but for those of other runs, if there are any.
    index_complete: AtomicBool,
    /// Why a file or folder that was there could not be looked at, so that the index may lack it. Of the first one.
    missed: OnceLock<AssetsErrorKind>,
    /// Is there while this run is the only one.
    alone: PathBuf,
}

impl Root {
    pub(crate) fn new(layout: Layout, options: DiskOptions) -> Self {
        Self {
            alone: layout.alone(),
            missed: OnceLock::new(),
            index_complete: AtomicBool::new(false),
            shared: Shared::new(options.clock.clone()),
            layout,
            queue: Queue::new(options.queue_bytes),
            health: Health::new(options.retry_after),
            lease_files: LeaseFiles::default(),
            writer: OnceLock::new(),
            next_draft: AtomicU64::new(0),
            options,
        }
    }

    pub(crate) fn draft_id(&self) -> u64 {
        self.next_draft.fetch_add(1, Ordering::Relaxed)
    }

    /// Queues an order that is carried out whatever happens, unless the store is closing.
    pub(crate) fn order(&self, job: Job) {
        let may_wait = self.writer.get() != Some(&std::thread::current().id());
        // An order that comes too late is dropped; if somebody waits for its answer, that says so.
        let _ = self.queue.push_order(job, may_wait, Hurry::Yes);
    }

    /// Queues the end of a draft. Drafts that began are bounded by their bytes, so their ends need no bound. They
    /// can wait a moment for others.
    pub(crate) fn order_end(&self, job: Job) {
        // As above; the files of a draft go with the draft.
        let _ = self.queue.push_order(job, false, Hurry::No);
    }

    /// Opens the file of `listed`, which the index has for `key`. `None` where it is not what the index says, which was
    /// put right.
    pub(crate) fn open(&self, key: &ResourceKey, listed: Span) -> Result<Option<SpanFile>, AssetsError> {
        self.open_or_why(key, listed).map(Result::ok)
    }

    /// As [`Root::open`], with the reason where it is not.
    pub(crate) fn open_or_why(
        &self,
        key: &ResourceKey,
        listed: Span,
    ) -> Result<Result<SpanFile, LossReason>, AssetsError> {
        let file = match self.open_file(key, listed.start) {
            Ok(file) => file,
            Err(fault) => return self.fault(key, listed, fault).map(Err),
        };
        let said = offer_of(&file);
        let (content, is_link) = (file.fingerprint(), file.is_link());
        let holds =
            |resource: &Resource| resource.lists(&listed).then(|| resource.holds(&listed, &said, content, is_link));
        match self.shared.resource(key, holds).flatten() {
            Some(Held::Yes) => return Ok(Ok(file)),
            Some(Held::Other) => self.correct(key, listed, &said),
            // Nothing says that this content is of this resource.
            Some(Held::OtherContent) => {
                self.drop_file(key, &said.span);
                self.forget(key, listed, LossReason::Replaced);
            }
            // It is not what the index says by now.
            None => {}
        }
        Ok(Err(LossReason::Replaced))
    }

    /// Opens the file that has the name of `key` and `start`, which must have been written for it, or be a link.
    ///
    /// That a file under another's name is a link and did not come there by accident has to be proven: the journal tells of
    /// its content, or it is the very file that has the name it was written under, or that of another link. A link of
    /// which nothing is known and whose first name is gone is not there for us: it is fetched again. The file stays, for who
    /// made the link may know of it.
    fn open_file(&self, key: &ResourceKey, start: u64) -> Result<SpanFile, ReadFault> {
        let file = SpanFile::open(&self.layout.span(key, start), key, start)?;
        if !file.is_link() {
            return Ok(file);
        }
        let content = file.fingerprint();
        let (listed, other) = self.shared.read(|index| {
            let listed = index.get(key).is_some_and(|resource| resource.has_content(content));
            (listed, index.may_share(content))
        });
        let names = [Some(file.footer().key), other.filter(|other| other != key)];
        let is_proven = listed || names.iter().flatten().any(|name| file.has_name(&self.layout.span(name, 0)));
        if is_proven { Ok(file) } else { Err(ReadFault::Unproven) }
    }

    /// Another process put something else where `listed` should be.
    fn correct(&self, key: &ResourceKey, listed: Span, said: &Offer) {
        let said = &self.found(*said);
        let Some(admission) = self.shared.write(|index| index.correct(key, &listed, said)) else { return };
        self.shared.lost(key, &[listed], LossReason::Replaced);
        if said.span.range() != listed.range() {
            self.note_gone(key, listed.start);
        }
        self.settle(key, said, admission);
    }

    /// Looks for a span that the index does not know, if there may be one. True when there was.
    pub(crate) fn probe(&self, key: &ResourceKey, start: u64) -> bool {
        (!self.is_index_all() && self.look(key, start)) || self.was_listed(key, start)
    }

    /// Whether `start` is present by now: somebody else, a walk behind playback, may have found it at the same time.
    fn was_listed(&self, key: &ResourceKey, start: u64) -> bool {
        self.resolve(key);
        self.shared.resource(key, |resource| resource.spans.at(start).is_some()).unwrap_or(false)
    }

    /// True while the index tells of all files there are.
    fn is_index_all(&self) -> bool {
        self.index_complete.load(Ordering::Relaxed) && !self.has_missed() && self.is_alone()
    }

    /// Whether no other run has the store open, or has had since this one began.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.exists()
    }

    /// Whether there was a file that could not be looked at.
    pub(crate) fn has_missed(&self) -> bool {
        self.missed.get().is_some()
    }

    /// Why one could not be looked at, if there was one.
    pub(crate) fn why_missed(&self) -> Option<AssetsErrorKind> {
        self.missed.get().copied()
    }

    /// A file or folder of the store could not be looked at.
    pub(crate) fn could_not_look(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound && self.missed.set(AssetsErrorKind::of(error)).is_ok() {
            tracing::debug!(%error, "something in the cache cannot be read, and is looked for when it is wanted");
        }
    }

    pub(crate) fn set_index_complete(&self, complete: bool) {
        self.index_complete.store(complete, Ordering::Relaxed);
    }

    /// Looks for a span that the index does not know. True when there was one.
    pub(crate) fn look(&self, key: &ResourceKey, start: u64) -> bool {
        if self.shared.resource(key, |resource| resource.state) == Some(State::Removing) {
            return false;
        }
        match self.open_file(key, start) {
            Ok(file) => self.admit(key, &file),
            Err(ReadFault::Corrupt) => {
                self.drop_broken(key, start);
                false
            }
            Err(ReadFault::Unproven) => false,
            Err(ReadFault::Io(error)) => {
                self.could_not_look(&error);
                false
            }
        }
    }

    /// As [`Root::look`], for a file that was found: one that brings nothing is removed, for nobody would find it any more.
    pub(crate) fn take_in(&self, key: &ResourceKey, start: u64) {
        if self.look(key, start) {
            return;
        }
        let Ok(file) = self.open_file(key, start) else { return };
        let span = offer_of(&file).span;
        let holder = |resource: &Resource| {
            let known = resource.state == State::Known && resource.spans.beginning_at(start).is_none();
            let holder = if known && resource.spans.holds(&span) { resource.spans.at(start) } else { None };
            holder.filter(|holder| holder.end() >= span.end())
        };
        let Some(holder) = self.shared.resource(key, holder).flatten() else { return };
        // It may have gone without anybody here knowing.
        if self.open_file(key, holder.start).is_ok_and(|file| file.may_be(&holder)) {
            self.drop_file(key, &span);
        }
    }

    /// Reads the footers of a resource that only a directory walk has seen.
    pub(crate) fn resolve(&self, key: &ResourceKey) {
        let unread = self
            .shared
            .resource(key, |resource| (resource.state == State::Unread).then(|| resource.spans.as_slice().to_vec()));
        let Some(unread) = unread.flatten() else { return };
        // One by one, for there may be more of them than files that can be open.
        let read = |span: &Span| match self.open_file(key, span.start) {
            Ok(file) => Some(self.found(offer_of(&file))),
            Err(ReadFault::Corrupt) => {
                self.drop_broken(key, span.start);
                None
            }
            Err(ReadFault::Unproven) => None,
            Err(ReadFault::Io(error)) => {
                self.could_not_look(&error);
                None
            }
        };
        let offers: Vec<Offer> = unread.iter().filter_map(read).collect();
        let admissions = self.shared.write(|index| {
            index.take_unread(key);
            offers.into_iter().map(|offer| (offer, index.admit(key, &offer))).collect::<Vec<_>>()
        });
        for (offer, admission) in admissions {
            self.settle(key, &offer, admission);
        }
    }

    /// A span could not be read. Answers with why it is not there any more.
    ///
    /// # Errors
    /// The span may be right, but the disk cannot be read.
    pub(crate) fn fault(&self, key: &ResourceKey, span: Span, fault: ReadFault) -> Result<LossReason, AssetsError> {
        let reason = match fault {
            ReadFault::Corrupt => {
                tracing::warn!(%key, start = span.start, "a cached span was corrupt: it is fetched again when it is wanted");
                self.drop_broken(key, span.start);
                LossReason::Corrupt
            }
            ReadFault::Unproven => LossReason::Replaced,
            ReadFault::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(%key, start = span.start, "a cached file is gone: it is fetched again when it is wanted");
                LossReason::Gone
            }
            ReadFault::Io(error) => return Err(AssetsError::io("reading a span", error)),
        };
        self.forget(key, span, reason);
        Ok(reason)
    }

    /// Lets the index know which assets are pinned, by whichever process.
    pub(crate) fn refresh_pins(&self) -> io::Result<()> {
        let mut pinned = HashSet::new();
        for entry in std::fs::read_dir(self.layout.pins())? {
            pinned.extend(entry?.file_name().to_str().and_then(|name| name.parse::<AssetId>().ok()));
        }
        let known: HashSet<AssetId> = self.shared.read(|index| index.pinned().collect());
        if known != pinned {
            self.shared.write(|index| {
                known.difference(&pinned).for_each(|asset| index.set_pinned(asset, false));
                pinned.difference(&known).for_each(|asset| index.set_pinned(asset, true));
            });
        }
        Ok(())
    }

    /// Asks the disk, for another process may have pinned it. True where it cannot be asked: what may be pinned is not
    /// evicted.
    pub(crate) fn is_pinned_on_disk(&self, asset: AssetId) -> bool {
        self.layout.pin(asset).try_exists().unwrap_or(true)
    }

    /// Has a use written into the journal, for the order of eviction after a restart.
    pub(crate) fn note_use(&self, key: &ResourceKey) {
        let stamp = self.shared.resource(key, Resource::used).unwrap_or_default();
        self.queue.push_note(Job::Note(Record::Used { key: *key, stamp }));
    }

    /// The last lease of an asset may have been what kept the store from writing.
    pub(crate) fn release_lease(&self, asset: AssetId) {
        self.lease_files.release(&self.shared.leases, asset);
        self.health.retry_now();
    }

    /// Takes a span out of the index, tells those who watch, and has it written into the journal.
    fn forget(&self, key: &ResourceKey, span: Span, reason: LossReason) {
        if self.shared.write(|index| index.remove_listed(key, &span)).is_some() {
            self.shared.lost(key, &[span], reason);
            self.note_gone(key, span.start);
        }
    }

    fn note_gone(&self, key: &ResourceKey, start: u64) {
        let stamp = self.shared.next_stamp();
        self.queue.push_note(Job::Note(Record::Gone { key: *key, start, stamp }));
    }

    /// Removes the file of a span that nobody will read any more; not one that came in its place.
    pub(crate) fn drop_file(&self, key: &ResourceKey, span: &Span) {
        let open = || SpanFile::open(&self.layout.span(key, span.start), key, span.start);
        self.drop_if(key, span.start, || open().is_ok_and(|file| file.may_be(span)));
    }

    /// As [`Root::drop_file`], of a version that is older than what is known here. Another process may see that the other way
    /// round, and play it.
    fn drop_unleased(&self, key: &ResourceKey, span: &Span) {
        if let Ok(Some(_held)) = EvictionLock::take(&self.shared.leases, &self.layout, key.asset) {
            self.drop_file(key, span);
        }
    }

    /// Removes a file that was found not to be whole. Whoever makes it may be at it, or may have finished it meanwhile.
    fn drop_broken(&self, key: &ResourceKey, start: u64) {
        let check = || self.open_file(key, start).and_then(SpanFile::check);
        self.drop_if(key, start, || matches!(check(), Err(ReadFault::Corrupt)));
    }

    fn drop_if(&self, key: &ResourceKey, start: u64, is_wrong: impl FnOnce() -> bool) {
        if let Err(error) = remove_unless_written(&self.layout.span(key, start), is_wrong) {
            tracing::debug!(%key, start, %error, "a span that is no use cannot be removed");
        }
    }

    fn admit(&self, key: &ResourceKey, file: &SpanFile) -> bool {
        let offer = self.found(offer_of(file));
        let is_doubtful = offer.mark == 0 && !self.is_in_place(key);
        let admission = self.shared.write(|index| {
            if is_doubtful {
                index.begin_version(key);
            }
            index.admit(key, &offer)
        });
        self.settle(key, &offer, admission)
    }

    /// Forgets what the index lists of a resource where its files are gone. True where none of it is left.
    fn forget_if_gone(&self, key: &ResourceKey) -> bool {
        let listed = self.shared.resource(key, |resource| {
            if resource.state == State::Known { resource.spans.as_slice().to_vec() } else { Vec::new() }
        });
        let listed = listed.unwrap_or_default();
        let is_there = |span: &Span| match SpanFile::open(&self.layout.span(key, span.start), key, span.start) {
            Ok(file) => file.may_be(span),
            Err(ReadFault::Io(error)) => error.kind() != io::ErrorKind::NotFound,
            Err(_) => false,
        };
        if listed.is_empty() || listed.iter().any(is_there) {
            return false;
        }
        listed.into_iter().for_each(|span| self.forget(key, span, LossReason::Gone));
        self.shared.resource(key, |resource| resource.spans.is_empty()).unwrap_or(true)
    }

    /// An offer that was found: what is committed from now on is later, and it was used when it was committed at the latest.
    fn found(&self, offer: Offer) -> Offer {
        self.shared.stamps_follow(offer.span.committed);
        Offer { stamp: self.shared.use_of_commit(offer.stamp), ..offer }
    }

    /// Whether what the index lists of a resource is where it should be, as far as one file tells: who invalidates a
    /// resource removes all its files, and who evicts begins with the first.
    fn is_in_place(&self, key: &ResourceKey) -> bool {
        let last = self.shared.resource(key, |resource| resource.spans.as_slice().last().copied()).flatten();
        let Some(last) = last else { return true };
        let Ok(file) = self.open_file(key, last.start) else { return false };
        let (said, content, is_link) = (offer_of(&file), file.fingerprint(), file.is_link());
        let holds = |resource: &Resource| resource.is_held_by(&last, &said, content, is_link);
        self.shared.resource(key, holds).unwrap_or(true)
    }

    /// Does what follows from entering a file that was found into the index. True where it is new there.
    fn settle(&self, key: &ResourceKey, offer: &Offer, admission: Admission) -> bool {
        let admission = match admission {
            // What it disagrees with is not there any more. The clocks of two processes are not one, so it may be the younger.
            Admission::Conflict if self.forget_if_gone(key) => self.shared.write(|index| index.admit(key, offer)),
            admission => admission,
        };
        let Admission::Admitted { gone } = admission else {
            if admission == Admission::Conflict {
                self.drop_unleased(key, &offer.span);
            }
            return false;
        };
        for span in gone.iter().filter(|span| span.start != offer.span.start) {
            self.drop_file(key, span);
        }
        self.shared.lost(key, &gone, LossReason::Replaced);
        self.shared.committed(key, offer.span.range());
        self.queue.push_note(Job::Note(offer.record(key)));
        true
    }
}

/// What a file says of itself.
fn offer_of(file: &SpanFile) -> Offer {
    let footer = file.footer();
    Offer {
        span: Span { start: footer.start, len: footer.len, stored: file.stored(), committed: footer.stamp },
        total: footer.total,
        mark: file.mark(),
        fingerprint: if file.is_link() { file.fingerprint() } else { 0 },
        stamp: footer.stamp,
        rule: Rule::Restore,
    }
}
