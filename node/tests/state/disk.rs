//! A disk in memory that forgets, after a crash, what was not synced, and lets single bytes be changed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use node::store::{Disk, DiskFile};

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct Contents {
    live: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Contents>,
    live_names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// The writes, syncs and renames still allowed; after them the disk fails.
    budget: Option<u64>,
    operations: u64,
}

/// Clones share the same contents.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct MemoryFile {
    disk: MemoryDisk,
    number: usize,
}

impl MemoryDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn spend(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operations += 1;
        match &mut state.budget {
            Some(0) => Err(io::Error::other("the disk has failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns how many operations that change something there were.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets every operation that changes something fail once so many more have succeeded.
    pub(crate) fn fail_after(&self, operations: Option<u64>) {
        self.state().budget = operations;
    }

    /// A copy that shares nothing with this one.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            live_names: state.live_names.clone(),
            durable_names: state.durable_names.clone(),
            budget: None,
            operations: 0,
        })))
    }

    /// What a power failure leaves: for every sector that was not synced, `keeps` decides whether the new contents
    /// survive.
    pub(crate) fn after_crash(&self, mut keeps: impl FnMut() -> bool) -> Self {
        let crashed = self.copy();
        {
            let mut state = crashed.state();
            for file in &mut state.files {
                let length = if keeps() {
                    file.live.len()
                } else {
                    file.durable.len()
                };
                let mut survivor = file.durable.clone();
                survivor.resize(length, 0);
                for start in (0..length).step_by(SECTOR) {
                    let end = length.min(start + SECTOR).min(file.live.len());
                    if end > start && file.live.get(start..end) != survivor.get(start..end) && keeps() {
                        survivor[start..end].copy_from_slice(&file.live[start..end]);
                    }
                }
                *file = Contents {
                    live: survivor.clone(),
                    durable: survivor,
                };
            }
            state.live_names = state.durable_names.clone();
        }
        crashed
    }

    pub(crate) fn length(&self, name: &str) -> usize {
        let state = self.state();
        state.files[state.live_names[name]].live.len()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.live_names[name]].live.clone()
    }

    pub(crate) fn change_byte(&self, name: &str, offset: usize, mask: u8) {
        let mut state = self.state();
        let number = state.live_names[name];
        let Contents { live, durable } = &mut state.files[number];
        live[offset] ^= mask;
        if let Some(byte) = durable.get_mut(offset) {
            *byte ^= mask;
        }
    }

    /// Truncates the file.
    pub(crate) fn truncate(&self, name: &str, length: usize) {
        let mut state = self.state();
        let number = state.live_names[name];
        state.files[number].live.truncate(length);
        state.files[number].durable.truncate(length);
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn open(&self, name: &str) -> io::Result<Option<MemoryFile>> {
        let number = self.state().live_names.get(name).copied();
        Ok(number.map(|number| MemoryFile {
            disk: self.clone(),
            number,
        }))
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        self.spend()?;
        let mut state = self.state();
        state.files.push(Contents::default());
        let number = state.files.len() - 1;
        state.live_names.insert(name.to_owned(), number);
        Ok(MemoryFile {
            disk: self.clone(),
            number,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.spend()?;
        let mut state = self.state();
        let number = state.live_names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live_names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.spend()?;
        self.state()
            .live_names
            .remove(name)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().live_names.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        self.spend()?;
        let mut state = self.state();
        state.durable_names = state.live_names.clone();
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].live.len() as u64)
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let start = usize::try_from(offset).unwrap();
        let source = state.files[self.number]
            .live
            .get(start..start + target.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        target.copy_from_slice(source);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.spend()?;
        let mut state = self.disk.state();
        let live = &mut state.files[self.number].live;
        let start = usize::try_from(offset).unwrap();
        if live.len() < start + bytes.len() {
            live.resize(start + bytes.len(), 0);
        }
        live[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.spend()?;
        self.disk.state().files[self.number]
            .live
            .resize(usize::try_from(bytes).unwrap(), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.spend()?;
        let mut state = self.disk.state();
        let file = &mut state.files[self.number];
        file.durable = file.live.clone();
        Ok(())
    }
}
