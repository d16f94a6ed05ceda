//! A disk of bytes: files in one folder, made of sectors, with everything that a disk may do to them.
//!
//! Within its contract (that of `SimulatedDisk`, class A) a crash leaves one version of every sector that was
//! written since its file's last sync: any version since then, or the old one. The same holds for a file's length. Of
//! the changes to the folder it leaves any subset. Beyond the contract (classes B and C) sectors rot, turn to garbage
//! in a crash, end up in the wrong place or nowhere, and syncs lie.
//!
//! A sync that *fails* forgets what it was to write, as Linux does: later reads still see the new bytes, and
//! later syncs succeed without ever writing them.

use std::collections::BTreeMap;
use std::io;

use super::schedule::{DiskFault, DiskFaultKind, Keep};
use crate::hash::{Rolling, of_bytes};
use crate::random::{Domain, Draw, Seed};

const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// The id of a file for as long as the disk exists, whatever the file is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64);

/// A sector that may not be on the platter yet.
#[derive(Debug)]
struct Unsynced {
    /// Its versions from the last synced one on; the current version is in the file.
    versions: Vec<Sector>,
    /// Whether a sync has failed on it: no later sync writes it.
    forgotten: bool,
}

#[derive(Debug, Default)]
struct File {
    /// What a read sees.
    bytes: Vec<u8>,
    unsynced: BTreeMap<usize, Unsynced>,
    /// The lengths since the last sync, without the present one.
    lengths: Vec<usize>,
}

impl File {
    fn sector(&self, number: usize) -> Sector {
        let mut sector = [0; SECTOR_BYTES];
        let from = number * SECTOR_BYTES;
        let held = self.bytes.get(from..).unwrap_or_default();
        for (to, from) in sector.iter_mut().zip(held) {
            *to = *from;
        }
        sector
    }

    /// Keeps the sector's current version, before it changes.
    fn keep_version(&mut self, number: usize) {
        let version = self.sector(number);
        let unsynced = self.unsynced.entry(number).or_insert(Unsynced {
            versions: Vec::new(),
            forgotten: false,
        });
        unsynced.versions.push(version);
        unsynced.forgotten = false;
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        for number in offset / SECTOR_BYTES..=(offset + bytes.len() - 1) / SECTOR_BYTES {
            self.keep_version(number);
        }
        let end = offset + bytes.len();
        if end > self.bytes.len() {
            self.lengths.push(self.bytes.len());
            self.bytes.resize(end, 0);
        }
        if let Some(target) = self.bytes.get_mut(offset..end) {
            target.copy_from_slice(bytes);
        }
    }

    fn set_len(&mut self, length: usize) {
        if length == self.bytes.len() {
            return;
        }
        for number in length / SECTOR_BYTES..self.bytes.len().div_ceil(SECTOR_BYTES) {
            self.keep_version(number);
        }
        self.lengths.push(self.bytes.len());
        self.bytes.resize(length, 0);
    }

    fn sync(&mut self) {
        self.unsynced.retain(|_, sector| sector.forgotten);
        self.lengths.clear();
    }

    fn forget(&mut self) {
        for sector in self.unsynced.values_mut() {
            sector.forgotten = true;
        }
    }

    /// Leaves what survives a crash.
    fn crash(&mut self, keep: Keep, draw: Draw) {
        let choose = |draw: Draw, versions: usize| match keep {
            Keep::Everything => versions,
            Keep::Nothing => 0,
            Keep::Drawn | Keep::Garbage => usize::try_from(draw.below(versions as u64 + 1)).unwrap_or(0),
        };
        let length = choose(draw.part(0), self.lengths.len());
        let length = self.lengths.get(length).copied().unwrap_or(self.bytes.len());
        self.lengths.clear();
        let unsynced = std::mem::take(&mut self.unsynced);
        self.bytes.resize(length, 0);
        for (number, sector) in unsynced {
            let draw = draw.part(number as u64 + 1);
            let mut version = sector.versions.get(choose(draw, sector.versions.len())).copied();
            if keep == Keep::Garbage && draw.part(1).chance(1_000) {
                let mut garbage = [0; SECTOR_BYTES];
                for (byte, place) in garbage.iter_mut().zip(2..) {
                    *byte = draw.part(place).bits().to_le_bytes()[0];
                }
                version = Some(garbage);
            }
            // A sector whose latest version survives is in the file already.
            let from = number * SECTOR_BYTES;
            for (to, from) in self
                .bytes
                .iter_mut()
                .skip(from)
                .zip(version.iter().flat_map(|v| v.iter()))
            {
                *to = *from;
            }
        }
    }
}

/// A change to the folder that is not durable yet.
#[derive(Debug)]
enum NameChange {
    Create(String, FileId),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

/// The kinds of calls to the disk, as far as faults distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    SetLen,
    Sync,
    Create,
    /// Renames and removals.
    Folder,
    FolderSync,
}

/// The disk.
#[derive(Debug)]
pub(super) struct SectorDisk {
    seed: Seed,
    files: BTreeMap<FileId, File>,
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    name_changes: Vec<NameChange>,
    next_file: u64,
    /// The faults that have not struck yet, in the order in which they do.
    waiting: Vec<DiskFault>,
    /// The faults that have struck, in order.
    struck: Vec<DiskFaultKind>,
    /// The number of calls that change something.
    operations: u64,
    /// The operation until which growing a file fails.
    full_until: u64,
    /// How many calls it has failed, without those of a machine that is down.
    failures: u64,
    /// Whether a crash has struck; then nothing works until the next start.
    down: Option<(Keep, Draw)>,
    /// Counts the starts; handles of earlier ones are dead.
    epoch: u64,
    images: Vec<(u64, FileId, Vec<u8>)>,
    hash: Rolling,
    /// Whether to report every call.
    is_traced: bool,
    trace: Vec<String>,
}

impl SectorDisk {
    pub(super) fn new(seed: u64, mut faults: Vec<DiskFault>, is_traced: bool) -> Self {
        faults.sort_by_key(|fault| (fault.at, fault.id));
        Self {
            seed: Seed(seed),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            next_file: 0,
            waiting: faults,
            struck: Vec::new(),
            operations: 0,
            full_until: 0,
            failures: 0,
            down: None,
            epoch: 0,
            images: Vec::new(),
            hash: Rolling::default(),
            is_traced,
            trace: Vec::new(),
        }
    }

    /// Returns the faults that have struck so far.
    pub(super) fn struck(&self) -> &[DiskFaultKind] {
        &self.struck
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// How many calls the disk has failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(super) fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    /// Cuts the power, if it is on.
    pub(super) fn cut_power(&mut self, keep: Keep, draw: Draw) {
        self.down.get_or_insert((keep, draw));
    }

    /// Ends the process that used the disk. After a crash the disk comes back with what survived.
    pub(super) fn restart(&mut self) {
        self.epoch += 1;
        let Some((keep, draw)) = self.down.take() else {
            return;
        };
        // Only the process died: what was not durable is still there, and still not durable.
        if keep == Keep::Everything {
            return;
        }
        let mut names = self.durable_names.clone();
        for (change, place) in self.name_changes.drain(..).zip(0..) {
            let survives = keep != Keep::Nothing && draw.part(place).chance(5_000);
            if survives {
                change.apply(&mut names);
            }
        }
        self.files
            .retain(|file, _| names.values().any(|named| named == file));
        for (&FileId(number), file) in &mut self.files {
            file.crash(keep, draw.part(1_000 + number));
        }
        self.durable_names = names.clone();
        self.names = names;
    }

    fn draw(&self, fault: &DiskFault) -> Draw {
        self.seed.quick(Domain::Store, u64::from(fault.id), 0, 0)
    }

    /// Takes the next fault that strikes this call, if it is due.
    fn due(&mut self, call: Call) -> Option<DiskFault> {
        let operations = self.operations;
        let strikes = |fault: &DiskFault| {
            fault.at <= operations
                && match fault.kind {
                    DiskFaultKind::Crash { .. } => call != Call::Read,
                    DiskFaultKind::FailWrite | DiskFaultKind::MisdirectWrite | DiskFaultKind::LoseWrite => {
                        call == Call::Write
                    }
                    DiskFaultKind::FailSync | DiskFaultKind::LieSync => {
                        matches!(call, Call::Sync | Call::FolderSync)
                    }
                    DiskFaultKind::FailRead | DiskFaultKind::ShortRead => call == Call::Read,
                    DiskFaultKind::Full { .. }
                    | DiskFaultKind::Rot { .. }
                    | DiskFaultKind::OldImage { .. } => true,
                }
        };
        let place = self.waiting.iter().position(strikes)?;
        let fault = self.waiting.remove(place);
        self.struck.push(fault.kind);
        if self.is_traced {
            self.trace.push(format!("fault {}: {:?}", fault.id, fault.kind));
        }
        Some(fault)
    }

    /// Begins every call: counts it, and lets faults strike that do not depend on the call.
    fn begin(
        &mut self,
        epoch: u64,
        call: Call,
        what: std::fmt::Arguments<'_>,
    ) -> io::Result<Option<DiskFault>> {
        if self.down.is_some() || epoch != self.epoch {
            return Err(io::Error::other("the machine is down"));
        }
        self.operations += u64::from(call != Call::Read);
        self.hash.word(call as u64);
        if self.is_traced {
            self.trace.push(format!("{:>6} {what}", self.operations));
        }
        for (file, image) in self.due_images() {
            if let Some(file) = self.files.get_mut(&file) {
                file.bytes = image;
                file.unsynced.clear();
                file.lengths.clear();
            }
        }
        while let Some(fault) = self.due(call) {
            let draw = self.draw(&fault);
            match fault.kind {
                DiskFaultKind::Full { operations } => self.full_until = self.operations + operations,
                DiskFaultKind::Rot { bits } => self.rot(bits, draw),
                DiskFaultKind::OldImage { operations } => self.take_image(self.operations + operations, draw),
                DiskFaultKind::Crash { keep } => {
                    self.down = Some((keep, draw));
                    return Ok(Some(fault));
                }
                _ => return Ok(Some(fault)),
            }
        }
        Ok(None)
    }

    fn pick_file(&self, draw: Draw) -> Option<FileId> {
        let place = usize::try_from(draw.below(self.names.len() as u64)).ok()?;
        self.names.values().nth(place).copied()
    }

    /// Flips bits, on the platter and in every version of the sector.
    fn rot(&mut self, bits: u64, draw: Draw) {
        let Some(file) = self.pick_file(draw).and_then(|file| self.files.get_mut(&file)) else {
            return;
        };
        // Half of all rot strikes where there is data: the rest of a file is mostly blank.
        let written: Vec<usize> = (file.bytes.iter().enumerate())
            .filter(|(_, byte)| **byte != 0)
            .map(|(at, _)| at)
            .collect();
        for draw in (1..=bits).map(|bit| draw.part(bit)) {
            let blind = usize::try_from(draw.part(1).below(file.bytes.len() as u64)).ok();
            let aimed = usize::try_from(draw.part(2).below(written.len() as u64)).ok();
            let at = match draw.chance(5_000) {
                true => blind,
                false => aimed.and_then(|place| written.get(place).copied()).or(blind),
            };
            let mask = 1_u8 << draw.part(3).below(8);
            let Some(byte) = at.and_then(|at| file.bytes.get_mut(at)) else {
                continue;
            };
            *byte ^= mask;
            let at = at.unwrap_or_default();
            if let Some(sector) = file.unsynced.get_mut(&(at / SECTOR_BYTES)) {
                for version in &mut sector.versions {
                    if let Some(byte) = version.get_mut(at % SECTOR_BYTES) {
                        *byte ^= mask;
                    }
                }
            }
        }
    }

    fn take_image(&mut self, at: u64, draw: Draw) {
        if let Some(file) = self.pick_file(draw)
            && let Some(held) = self.files.get(&file)
        {
            self.images.push((at, file, held.bytes.clone()));
        }
    }

    fn due_images(&mut self) -> Vec<(FileId, Vec<u8>)> {
        let operations = self.operations;
        let due = self.images.extract_if(.., |(at, _, _)| *at <= operations);
        due.map(|(_, file, image)| (file, image)).collect()
    }

    fn injected(&mut self) -> io::Error {
        self.failures += 1;
        io::Error::other("the simulated disk failed")
    }

    fn full(&mut self) -> io::Error {
        self.failures += 1;
        io::ErrorKind::StorageFull.into()
    }

    fn file(&mut self, file: FileId) -> io::Result<&mut File> {
        self.files
            .get_mut(&file)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn open(&mut self, name: &str) -> io::Result<Option<FileId>> {
        match self.begin(self.epoch, Call::Read, format_args!("open {name}"))? {
            None => Ok(self.names.get(name).copied()),
            Some(_) => Err(self.injected()),
        }
    }

    pub(super) fn names(&mut self) -> io::Result<Vec<String>> {
        match self.begin(self.epoch, Call::Read, format_args!("list"))? {
            None => Ok(self.names.keys().cloned().collect()),
            Some(_) => Err(self.injected()),
        }
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<FileId> {
        self.hash.bytes(name.as_bytes());
        if self
            .begin(self.epoch, Call::Create, format_args!("create {name}"))?
            .is_some()
        {
            return Err(self.injected());
        }
        if self.operations < self.full_until {
            return Err(self.full());
        }
        if let Some(&file) = self.names.get(name) {
            // As with open(O_TRUNC), it stays the same file.
            self.file(file)?.set_len(0);
            return Ok(file);
        }
        let file = FileId(self.next_file);
        self.next_file += 1;
        self.files.insert(file, File::default());
        self.change_names(NameChange::Create(name.to_owned(), file));
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let fault = self.begin(self.epoch, Call::Folder, format_args!("rename {from} to {to}"))?;
        if !self.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        match fault {
            None => Ok(()),
            Some(_) => Err(self.injected()),
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        let fault = self.begin(self.epoch, Call::Folder, format_args!("remove {name}"))?;
        if !self.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_names(NameChange::Remove(name.to_owned()));
        match fault {
            None => Ok(()),
            Some(_) => Err(self.injected()),
        }
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    pub(super) fn sync_folder(&mut self) -> io::Result<()> {
        let fault = self.begin(self.epoch, Call::FolderSync, format_args!("sync the folder"))?;
        match fault.map(|fault| fault.kind) {
            None => {
                self.durable_names = self.names.clone();
                self.name_changes.clear();
                Ok(())
            }
            Some(DiskFaultKind::LieSync) => Ok(()),
            Some(_) => Err(self.injected()),
        }
    }

    pub(super) fn len(&mut self, epoch: u64, file: FileId) -> io::Result<u64> {
        if self.down.is_some() || epoch != self.epoch {
            return Err(io::Error::other("the machine is down"));
        }
        Ok(self.file(file)?.bytes.len() as u64)
    }

    pub(super) fn read_at(
        &mut self,
        epoch: u64,
        file: FileId,
        offset: u64,
        target: &mut [u8],
    ) -> io::Result<()> {
        let what = format_args!("read {} of file {} at {offset}", target.len(), file.0);
        match self.begin(epoch, Call::Read, what)?.map(|fault| fault.kind) {
            None => {}
            Some(DiskFaultKind::ShortRead) => {
                self.failures += 1;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Some(_) => return Err(self.injected()),
        }
        self.hash.word(offset);
        let source = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.files.get(&file)?.bytes.get(offset..)?.get(..target.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        target.copy_from_slice(source);
        Ok(())
    }

    pub(super) fn write_at(&mut self, epoch: u64, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let what = format_args!("write {} to file {} at {offset}", bytes.len(), file.0);
        let fault = self.begin(epoch, Call::Write, what)?;
        self.hash.word(offset);
        self.hash.word(of_bytes(bytes));
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let draw = fault.as_ref().map(|fault| self.draw(fault));
        let grows = offset + bytes.len() > self.file(file)?.bytes.len();
        if grows && self.operations < self.full_until {
            return Err(self.full());
        }
        let (Some(fault), Some(draw)) = (fault, draw) else {
            self.file(file)?.write(offset, bytes);
            return Ok(());
        };
        match fault.kind {
            DiskFaultKind::LoseWrite => Ok(()),
            DiskFaultKind::MisdirectWrite => {
                let other = self.pick_file(draw).unwrap_or(file);
                let target = self.file(other)?;
                let sectors = target.bytes.len().saturating_sub(bytes.len()) / SECTOR_BYTES;
                let place = usize::try_from(draw.part(1).below(sectors as u64 + 1)).unwrap_or_default();
                target.write(place * SECTOR_BYTES, bytes);
                Ok(())
            }
            // A crash or a failure in the middle: any of the sectors were written.
            _ => {
                self.file(file)?.write_some(offset, bytes, draw.part(2));
                Err(self.injected())
            }
        }
    }

    pub(super) fn set_len(&mut self, epoch: u64, file: FileId, length: u64) -> io::Result<()> {
        let what = format_args!("set the length of file {} to {length}", file.0);
        let fault = self.begin(epoch, Call::SetLen, what)?;
        self.hash.word(length);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if fault.is_some() {
            return Err(self.injected());
        }
        if length > self.file(file)?.bytes.len() && self.operations < self.full_until {
            return Err(self.full());
        }
        self.file(file)?.set_len(length);
        Ok(())
    }

    pub(super) fn sync(&mut self, epoch: u64, file: FileId) -> io::Result<()> {
        let fault = self.begin(epoch, Call::Sync, format_args!("sync file {}", file.0))?;
        let kind = fault.map(|fault| fault.kind);
        match kind {
            None => self.file(file)?.sync(),
            Some(DiskFaultKind::LieSync) => {}
            Some(_) => {
                if kind == Some(DiskFaultKind::FailSync) {
                    self.file(file)?.forget();
                }
                return Err(self.injected());
            }
        }
        Ok(())
    }
}

impl File {
    /// Writes the sectors that the draw picks.
    fn write_some(&mut self, offset: usize, bytes: &[u8], draw: Draw) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let place = offset + at;
            let piece = rest.len().min(SECTOR_BYTES - place % SECTOR_BYTES);
            if draw.part(at as u64).chance(5_000) {
                self.write(place, rest.get(..piece).unwrap_or(rest));
            }
            at += piece;
        }
    }
}
