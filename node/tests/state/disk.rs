//! A disk in memory that forgets, after a crash, what was not synced, and lets single bytes be changed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

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
    bytes_written: u64,
    syncs: u64,
    /// Why files cannot be created, and cannot grow.
    exhausted: Option<io::Error>,
    gate: Option<Gate>,
}

/// Holds back the syncs of a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    is_held: bool,
    is_open: bool,
}

impl Gate {
    /// Waits until a sync waits.
    pub(crate) fn wait_until_held(&self) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        drop(changed.wait_while(state, |state| !state.is_held).unwrap());
    }

    /// Lets all syncs pass.
    pub(crate) fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().is_open = true;
        changed.notify_all();
    }

    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.is_held = true;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.is_open).unwrap());
    }
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

    /// Returns how many bytes were passed to writes.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.state().bytes_written
    }

    /// Returns how often a file was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// From now on files can neither be created nor grow, for this reason; `None` lets them.
    pub(crate) fn run_out(&self, error: Option<io::Error>) {
        self.state().exhausted = error;
    }

    fn exhaustion(&self) -> io::Result<()> {
        match &self.state().exhausted {
            None => Ok(()),
            Some(error) => Err(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => error.kind().into(),
            }),
        }
    }

    /// Holds back every sync from now on.
    pub(crate) fn hold_syncs(&self) -> Gate {
        self.state().gate.insert(Gate::default()).clone()
    }

    /// A copy that shares nothing with this one.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            live_names: state.live_names.clone(),
            durable_names: state.durable_names.clone(),
            ..State::default()
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

    /// Returns where the last sector ends that is not blank.
    pub(crate) fn used_bytes(&self, name: &str) -> usize {
        let bytes = self.read(name);
        let is_used = |sector: &[u8]| sector.iter().any(|&byte| byte != 0);
        bytes
            .chunks(SECTOR)
            .rposition(is_used)
            .map_or(0, |last| (last + 1) * SECTOR)
    }

    /// Writes zeros from this offset on.
    pub(crate) fn blank(&self, name: &str, from: usize) {
        let mut bytes = self.read(name);
        bytes[from..].fill(0);
        self.replace(name, &bytes);
    }

    /// Replaces the file's contents, durably.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let number = state.live_names[name];
        state.files[number] = Contents {
            live: bytes.to_vec(),
            durable: bytes.to_vec(),
        };
    }

    /// Writes to the file, and creates it if it is missing.
    pub(crate) fn write(&self, name: &str, offset: u64, bytes: &[u8]) {
        let file = self
            .open(name)
            .unwrap()
            .unwrap_or_else(|| self.create(name).unwrap());
        file.write_at(offset, bytes).unwrap();
    }

    /// Extends the file by zeros.
    pub(crate) fn extend(&self, name: &str, length: usize) {
        let mut bytes = self.read(name);
        bytes.resize(length, 0);
        self.replace(name, &bytes);
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
        self.exhaustion()?;
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
        let start = usize::try_from(offset).unwrap();
        if start + bytes.len() > self.disk.state().files[self.number].live.len() {
            self.disk.exhaustion()?;
        }
        let mut state = self.disk.state();
        state.bytes_written += bytes.len() as u64;
        let live = &mut state.files[self.number].live;
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
        let gate = self.disk.state().gate.clone();
        if let Some(gate) = gate {
            gate.pass();
        }
        let mut state = self.disk.state();
        state.syncs += 1;
        let file = &mut state.files[self.number];
        file.durable = file.live.clone();
        Ok(())
    }
}
