//! The store that ships, unchanged, on the simulated disk.

use std::io;

use node::store::{Disk, DiskFile, NewFolder, Store, StoreError, StoreOptions};
use raft_core::{Entry, Index, LogId, Payload, Persist};
use sim::store::{NewStore, OpenStore, Opened, SimulatedDisk, SimulatedFile, StoreFailure, StoreUnderTest};

/// The store that the servers use: [`node::store::Store`].
#[derive(Clone, Copy, Debug)]
pub struct ShippingStore;

impl StoreUnderTest for ShippingStore {
    fn open(
        &self,
        disk: SimulatedDisk,
        new: &NewStore,
    ) -> Result<(Box<dyn OpenStore>, Opened), StoreFailure> {
        let folder = NewFolder {
            group: new.group,
            node: new.node,
            incarnation: new.incarnation,
            boot_nonce: new.boot_nonce,
            bootstrap: new.bootstrap.clone(),
        };
        let options = StoreOptions {
            segment_bytes: new.journal_bytes,
        };
        let (store, opened) = Store::create_or_open_on(Folder(disk), &folder, options).map_err(failure)?;
        let opened = Opened {
            identity: opened.identity,
            durable: opened.durable,
            snapshot: opened.snapshot,
            lost_end: opened.lost_end.map(|damage| damage.to_string()),
        };
        Ok((Box::new(Running(store)), opened))
    }
}

struct Running(Store<Folder>);

impl OpenStore for Running {
    fn write_snapshot(&self, last: LogId, bytes: &Payload) -> Result<(), StoreFailure> {
        let written = self.0.snapshots().write(last, bytes);
        written.map_err(|error| StoreFailure {
            message: node::with_causes(&error),
            is_damage: false,
            is_no_room: false,
        })
    }

    fn persist(&mut self, group: &[Persist]) -> Result<(), StoreFailure> {
        self.0.persist(group).map_err(failure)
    }

    fn load_entries(&self, first: Index, last: Index, max_bytes: usize) -> Result<Vec<Entry>, StoreFailure> {
        self.0.load_entries(first, last, max_bytes).map_err(failure)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err passes")]
fn failure(error: StoreError) -> StoreFailure {
    StoreFailure {
        message: node::with_causes(&error),
        is_damage: matches!(
            error,
            StoreError::Damaged { .. }
                | StoreError::RolledBack { .. }
                | StoreError::Record { .. }
                | StoreError::FormerFormat { .. }
                | StoreError::Format { .. }
                | StoreError::NotNext { .. }
        ),
        is_no_room: matches!(error, StoreError::NoRoom { .. }),
    }
}

/// The simulated disk behind the store's own interface.
#[derive(Debug)]
struct Folder(SimulatedDisk);

#[derive(Debug)]
struct File(SimulatedFile);

impl Disk for Folder {
    type File = File;

    fn place(&self) -> String {
        "simulated".to_owned()
    }

    fn open(&self, name: &str) -> io::Result<Option<File>> {
        Ok(self.0.open(name)?.map(File))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.0.create(name).map(File)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, target)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}
