//! Journals: what this process did, for those who open the store later, and what other processes did.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::disk::layout::{Layout, parse_hex, private_file, remove_file};
use crate::disk::ledger::fresh_id;
use crate::disk::lock::{FileLock, Locked};
use crate::format::Record;

/// The journal this process appends to. It is locked while the process lives.
#[derive(Debug)]
pub(crate) struct Journal {
    id: u64,
    file: Locked,
    path: PathBuf,
    /// Bytes of whole records.
    len: u64,
    /// An append failed and could not be taken back: nothing more is appended.
    broken: bool,
}

/// Reads the records of a journal that may still grow.
#[derive(Debug)]
pub(crate) struct JournalReader {
    file: File,
    /// Where the next record begins, in bytes.
    next: u64,
    /// Slots that hold no record.
    bad: u64,
    buffer: Vec<u8>,
    at: usize,
}

/// The journals of processes that live beside this one.
#[derive(Debug, Default)]
pub(crate) struct Others {
    readers: HashMap<u64, JournalReader>,
    /// Those whose end was looked at when the store was opened.
    judged: BTreeSet<u64>,
}

/// Attempts to begin a journal.
const TRIES: usize = 4;

/// Read from a journal at a time.
const CHUNK: usize = 512 * Record::LEN;

impl Journal {
    /// Begins an empty journal, under another name where somebody takes the first one away.
    pub(crate) fn begin(layout: &Layout) -> io::Result<Self> {
        let begin = || Self::create(layout, fresh_id(), &mut std::iter::empty());
        (1..TRIES).fold(begin(), |begun, _| match begun {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound) => begin(),
            begun => begun,
        })
    }

    /// Begins a journal that holds `records`. Others see it complete or not at all.
    pub(crate) fn create(layout: &Layout, id: u64, records: &mut dyn Iterator<Item = Record>) -> io::Result<Self> {
        let (temporary, path) = (layout.new_journal(id), layout.journal(id));
        let file = private_file().read(true).write(true).create_new(true).open(&temporary)?;
        // Whoever removes the journals of dead processes may take it for one while it is not locked.
        let file = Locked::try_exclusively(file)?.ok_or(io::ErrorKind::WouldBlock)?;
        let mut journal = Self { id, file, path: path.clone(), len: 0, broken: false };
        let filled = journal.fill(records).and_then(|()| std::fs::rename(&temporary, &path));
        if let Err(error) = filled {
            // The first error is the one to tell; what cannot be removed is swept later.
            let _ = remove_file(&temporary);
            return Err(error);
        }
        Ok(journal)
    }

    /// Goes on with the journal of a process that ended.
    ///
    /// Others may have read all of it, and go on where they are: so nothing but half a record at its end is cut off. A
    /// farewell stays, and what follows says that another run has begun.
    pub(crate) fn adopt(lock: FileLock, id: u64) -> io::Result<Self> {
        let (file, path) = lock.into_parts();
        let slot = Record::LEN as u64;
        let len = file.metadata()?.len() / slot * slot;
        file.set_len(len)?;
        (&*file).seek(SeekFrom::Start(len))?;
        let mut journal = Self { id, file, path, len, broken: false };
        journal.append(&[Record::Journal])?;
        Ok(journal)
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) const fn records(&self) -> u64 {
        self.len / Record::LEN as u64
    }

    /// Appends `records` at once. After a failure the journal is as before, or takes nothing more.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if self.broken {
            return Ok(());
        }
        let bytes: Vec<u8> = records.iter().flat_map(Record::encode).collect();
        if let Err(error) = (&*self.file).write_all(&bytes) {
            let back = self.file.set_len(self.len).and_then(|()| (&*self.file).seek(SeekFrom::Start(self.len)));
            self.broken = back.is_err();
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// True while this is what others find when they look for it.
    pub(crate) fn is_in_place(&self) -> bool {
        self.path.exists()
    }

    pub(crate) fn remove(self) -> io::Result<()> {
        remove_file(&self.path)
    }

    fn fill(&mut self, mut records: &mut dyn Iterator<Item = Record>) -> io::Result<()> {
        let mut chunk = vec![Record::Journal];
        loop {
            chunk.extend((&mut records).take(CHUNK / Record::LEN));
            if chunk.is_empty() {
                return Ok(());
            }
            self.append(&chunk)?;
            chunk.clear();
        }
    }
}

impl JournalReader {
    /// `None` where the file is no journal.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let mut reader = Self { file, next: 0, bad: 0, buffer: Vec::new(), at: 0 };
        Ok(matches!(reader.read()?, Some(Record::Journal)).then_some(reader))
    }

    /// The next record, stepping over slots that hold none; `None` at the end, for now.
    pub(crate) fn read(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.at == self.buffer.len() && !self.fill()? {
                return Ok(None);
            }
            let slot = self.buffer[self.at..].first_chunk::<{ Record::LEN }>().expect("the buffer holds whole slots");
            let record = Record::decode(slot);
            self.at += Record::LEN;
            self.next += Record::LEN as u64;
            match record {
                Ok(record) => return Ok(Some(record)),
                Err(_) => self.bad += 1,
            }
        }
    }

    pub(crate) const fn bad_slots(&self) -> u64 {
        self.bad
    }

    /// Reads more whole slots. False where there is none.
    fn fill(&mut self) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(self.next))?;
        self.buffer.clear();
        (&self.file).take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        self.buffer.truncate(self.buffer.len() / Record::LEN * Record::LEN);
        self.at = 0;
        Ok(!self.buffer.is_empty())
    }
}

impl Others {
    pub(crate) fn add(&mut self, id: u64, reader: JournalReader) {
        self.readers.insert(id, reader);
    }

    /// Whether everything that a journal says was read.
    fn has_read(&self, id: u64, file: &File) -> bool {
        let len = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
        self.readers.get(&id).is_some_and(|reader| reader.next >= len)
    }

    /// The process that wrote this journal is dead, and whether it said farewell is known.
    pub(crate) fn judge(&mut self, id: u64) {
        self.judged.insert(id);
    }

    /// What other processes did since the last time, each in its own order.
    pub(crate) fn news(&mut self, layout: &Layout, own: u64, mut each: impl FnMut(Record)) -> io::Result<()> {
        let present = list(layout)?;
        for id in present.iter().filter(|id| **id != own) {
            if !self.readers.contains_key(id)
                && let Ok(Some(reader)) = JournalReader::open(&layout.journal(*id))
            {
                self.readers.insert(*id, reader);
            }
        }
        for (id, reader) in &mut self.readers {
            while let Some(record) = reader.read()? {
                if record == Record::Journal {
                    // Another run goes on with it, whose end is still to be judged.
                    self.judged.remove(id);
                }
                each(record);
            }
        }
        self.readers.retain(|id, _| present.contains(id));
        self.judged.retain(|id| present.contains(id));
        Ok(())
    }
}

/// Removes journals that nobody writes: of processes that died, or that died while they began one. The caller holds the
/// root lock and has read them. Sets `doubtful` where one that nobody has judged yet ends without a farewell, so that its
/// process may have written files of which it told nobody, or says more than was read of it.
pub(crate) fn remove_dead(layout: &Layout, own: u64, others: &mut Others, doubtful: &mut bool) -> io::Result<()> {
    let mut failed = Ok(());
    for entry in std::fs::read_dir(layout.journals())? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(parse_hex);
        if id == Some(own) {
            continue;
        }
        let Ok(Some(lock)) = FileLock::try_take_existing(entry.path()) else { continue };
        // What has no name yet has told of nothing.
        if let Some(id) = id
            && others.judged.insert(id)
        {
            *doubtful |= !others.has_read(id, lock.file()) || !ends_with_farewell(lock.file()).unwrap_or(false);
        }
        // The others are removed all the same.
        failed = failed.and(lock.remove());
    }
    failed
}

fn ends_with_farewell(mut file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    let slot = Record::LEN as u64;
    if len < slot || !len.is_multiple_of(slot) {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(len - slot))?;
    let mut last = [0; Record::LEN];
    file.read_exact(&mut last)?;
    Ok(matches!(Record::decode(&last), Ok(Record::Closed { .. })))
}

/// The names of all journals.
pub(crate) fn list(layout: &Layout) -> io::Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    for entry in std::fs::read_dir(layout.journals())? {
        ids.extend(entry?.file_name().to_str().and_then(parse_hex));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_read_a_farewell_reads_what_the_next_run_writes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), 1);
        layout.create().unwrap();
        let mut journal = Journal::begin(&layout).unwrap();
        let id = journal.id();
        journal.append(&[Record::Closed { stamp: 1 }]).unwrap();
        drop(journal);
        let mut others = Others::default();
        let news = |others: &mut Others| {
            let mut stamps = Vec::new();
            others.news(&layout, 0, |record| stamps.push(record.stamp())).unwrap();
            stamps
        };
        assert_eq!(news(&mut others), [1]);
        others.judge(id);
        // As a process leaves it that died while it wrote.
        let mut file = private_file().append(true).open(layout.journal(id)).unwrap();
        file.write_all(&[1; 50]).unwrap();
        let lock = FileLock::try_take_existing(layout.journal(id)).unwrap().unwrap();
        let mut adopted = Journal::adopt(lock, id).unwrap();
        adopted.append(&[Record::Closed { stamp: 2 }]).unwrap();
        assert_eq!(news(&mut others), [0, 2]);
        assert!(!others.judged.contains(&id), "its end is still to come");
        drop(adopted);
        let lock = FileLock::try_take_existing(layout.journal(id)).unwrap().unwrap();
        drop(Journal::adopt(lock, id).unwrap());
        assert!(!ends_with_farewell(&File::open(layout.journal(id)).unwrap()).unwrap(), "its own is still to come");
    }
}
