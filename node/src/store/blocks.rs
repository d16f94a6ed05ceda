//! The file `data`: the database's blocks in their places, each with its checksum.
//!
//! ```text
//! | header, odd generations: 512 | zeros to 4096 | header, even generations: 512 | zeros to 8192 | block 0 | block 1 | ...
//! header: | "LSBSTORE" | format: 4 | zeros: 4 | store: 8 | generation: 8 | checkpoint: 8 | database length: 8 | journal length: 8 |
//!         | zeros | CRC-32: 4 |
//! block:  | bytes: 4096 | CRC-32 of the block's number and bytes: 4 |       integers big-endian
//! ```
//!
//! A block that was never written is all zeros, checksum included. Blocks are overwritten in place, which a crash may
//! interrupt. So every block that was written since the checkpoint is in the [`journal`](super::journal), and is
//! written again from there before anything is read.

use std::io;

use super::damage::Damage;
use super::disk::DiskFile;

pub(super) const BLOCK_BYTES: usize = 4096;
pub(super) type Block = [u8; BLOCK_BYTES];

/// The version of the whole data folder's layout.
pub(super) const FORMAT: u32 = 2;

const STRIDE_BYTES: u64 = BLOCK_BYTES as u64 + 4;
const BLOCKS_START: u64 = 8192;
const HEADER_BYTES: usize = 512;
const HEADER_PLACES: [u64; 2] = [4096, 0];
const MAGIC: [u8; 8] = *b"LSBSTORE";

/// The header of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Drawn when the store was created; the journal's records carry it as well.
    pub(super) store: u64,
    /// Counts the headers written.
    generation: u64,
    /// Every journal record up to this sequence is durable in its place.
    pub(super) checkpoint: u64,
    /// The database's length after that record.
    pub(super) database_bytes: u64,
    /// The least length of the journal.
    pub(super) journal_bytes: u64,
}

#[derive(Debug)]
pub(super) struct BlockFile<F> {
    file: F,
    name: &'static str,
    header: Header,
    /// How many blocks the file has room for.
    blocks: u64,
    scratch: Vec<u8>,
}

impl<F: DiskFile> BlockFile<F> {
    /// Formats an empty file as the block file of a new store.
    pub(super) fn format(file: &F, store: u64, journal_bytes: u64) -> io::Result<()> {
        let header = Header {
            store,
            generation: 0,
            checkpoint: 0,
            database_bytes: 0,
            journal_bytes,
        };
        file.set_len(BLOCKS_START)?;
        // Both places, so that an unreadable header always means damage and never a new file.
        write_header(file, &header)?;
        write_header(
            file,
            &Header {
                generation: 1,
                ..header
            },
        )?;
        file.sync()
    }

    pub(super) fn open(file: F, name: &'static str) -> io::Result<Self> {
        let header = read_header(&file, name)?;
        let blocks = file.len()?.saturating_sub(BLOCKS_START) / STRIDE_BYTES;
        if blocks < block_count(header.database_bytes) {
            return Err(Damage::new(name, file.len()?, "the file ends before its last block").into());
        }
        Ok(Self {
            file,
            name,
            header,
            blocks,
            scratch: Vec::new(),
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Makes room for a database of this length.
    pub(super) fn extend(&mut self, database_bytes: u64) -> io::Result<()> {
        let blocks = block_count(database_bytes);
        if blocks > self.blocks {
            self.file.set_len(block_place(blocks))?;
            self.blocks = blocks;
        }
        Ok(())
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Reads consecutive blocks, passing each to `take` with its number.
    pub(super) fn read(
        &mut self,
        first: u64,
        count: u64,
        mut take: impl FnMut(u64, &Block),
    ) -> io::Result<()> {
        let bytes = usize::try_from(count.saturating_mul(STRIDE_BYTES)).map_err(io::Error::other)?;
        self.scratch.resize(bytes, 0);
        self.file.read_at(block_place(first), &mut self.scratch)?;
        let (strides, _) = self.scratch.as_chunks::<{ STRIDE_BYTES as usize }>();
        for (number, stride) in (first..).zip(strides) {
            let (block, checksum) = stride
                .split_first_chunk::<BLOCK_BYTES>()
                .expect("a stride begins with a block");
            let written = checksum == block_checksum(number, block).to_be_bytes();
            if !written && stride.iter().any(|&byte| byte != 0) && !planted!(BLOCKS_UNCHECKED) {
                return Err(Damage::new(
                    self.name,
                    block_place(number),
                    "a block's checksum does not match",
                )
                .into());
            }
            take(number, block);
        }
        Ok(())
    }

    /// Writes a block; a checkpoint makes it durable.
    pub(super) fn write(&mut self, number: u64, block: &Block) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.extend_from_slice(block);
        self.scratch
            .extend_from_slice(&block_checksum(number, block).to_be_bytes());
        self.file.write_at(block_place(number), &self.scratch)
    }

    /// Makes all blocks durable, and then the header that says so.
    pub(super) fn checkpoint(&mut self, checkpoint: u64, database_bytes: u64) -> io::Result<()> {
        if !planted!(CHECKPOINTS_UNSYNCED) {
            self.file.sync()?;
        }
        let header = Header {
            generation: self.header.generation + 1,
            checkpoint,
            database_bytes,
            ..self.header
        };
        write_header(&self.file, &header)?;
        self.file.sync()?;
        self.header = header;
        // What lies beyond the database's end must not come back as its blocks when it grows again.
        let blocks = block_count(database_bytes);
        if blocks < self.blocks {
            self.file.set_len(block_place(blocks))?;
            self.blocks = blocks;
        }
        Ok(())
    }
}

pub(super) fn block_count(database_bytes: u64) -> u64 {
    database_bytes.div_ceil(BLOCK_BYTES as u64)
}

fn block_place(number: u64) -> u64 {
    BLOCKS_START.saturating_add(number.saturating_mul(STRIDE_BYTES))
}

fn block_checksum(number: u64, block: &Block) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(block);
    hasher.finalize()
}

fn write_header<F: DiskFile>(file: &F, header: &Header) -> io::Result<()> {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_be_bytes());
    let numbers = [
        header.store,
        header.generation,
        header.checkpoint,
        header.database_bytes,
        header.journal_bytes,
    ];
    for (field, number) in bytes[16..56].as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *field = number.to_be_bytes();
    }
    let checksum = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..].copy_from_slice(&checksum.to_be_bytes());
    // Generations alternate between the places, so that the current one is never overwritten.
    file.write_at(HEADER_PLACES[usize::from(header.generation % 2 == 1)], &bytes)
}

fn read_header<F: DiskFile>(file: &F, name: &str) -> io::Result<Header> {
    let mut latest: Option<Header> = None;
    for place in HEADER_PLACES {
        let mut bytes = [0; HEADER_BYTES];
        match file.read_at(place, &mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Damage::new(name, place, "the file ends within its header").into());
            }
            Err(error) => return Err(error),
        }
        let header = parse_header(&bytes).map_err(|what| Damage::new(name, place, what))?;
        if latest.is_none_or(|latest| latest.generation < header.generation) {
            latest = Some(header);
        }
    }
    latest.ok_or_else(|| Damage::new(name, 0, "there is no header").into())
}

/// Parses a header. A header is one sector, and sectors are written whole: an unreadable one was damaged, even if the
/// other one is readable.
fn parse_header(bytes: &[u8; HEADER_BYTES]) -> Result<Header, &'static str> {
    let (checked, checksum) = bytes.split_at(HEADER_BYTES - 4);
    if crc32fast::hash(checked).to_be_bytes() != checksum {
        return Err("the header's checksum does not match");
    }
    if bytes[..8] != MAGIC {
        return Err("the file is not a store");
    }
    if bytes[8..12] != FORMAT.to_be_bytes() {
        return Err("the store was made by another version of this program");
    }
    let mut numbers = bytes[16..56]
        .as_chunks::<8>()
        .0
        .iter()
        .map(|field| u64::from_be_bytes(*field));
    let mut next = || numbers.next().ok_or("the header is too short");
    Ok(Header {
        store: next()?,
        generation: next()?,
        checkpoint: next()?,
        database_bytes: next()?,
        journal_bytes: next()?,
    })
}
