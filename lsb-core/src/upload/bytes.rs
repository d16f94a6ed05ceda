//! Reading a file from front to back, in either order of bytes; its end is an error that says so.

use super::error::UploadError;
use super::media_type::MediaType;

pub(super) struct Walk<'a> {
    file: &'a [u8],
    offset: usize,
    format: MediaType,
}

impl<'a> Walk<'a> {
    pub(super) const fn new(file: &'a [u8], format: MediaType) -> Self {
        Self {
            file,
            offset: 0,
            format,
        }
    }

    pub(super) const fn cut_off(&self) -> UploadError {
        UploadError::CutOff {
            format: self.format,
            bytes: self.file.len(),
        }
    }

    pub(super) const fn damaged(&self, problem: &'static str) -> UploadError {
        UploadError::Damaged {
            format: self.format,
            offset: self.offset,
            problem,
        }
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// Goes on at an offset that the file named.
    pub(super) fn seek(&mut self, offset: usize) -> Result<(), UploadError> {
        if offset > self.file.len() {
            return Err(self.cut_off());
        }
        self.offset = offset;
        Ok(())
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.file.get(self.offset..).unwrap_or_default()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], UploadError> {
        let end = self.offset.checked_add(length).ok_or(self.cut_off())?;
        let taken = self.file.get(self.offset..end).ok_or(self.cut_off())?;
        self.offset = end;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, length: usize) -> Result<(), UploadError> {
        self.take(length).map(|_| ())
    }

    /// Goes on by so many bytes, at most to the end of the file.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.offset = self.offset.saturating_add(bytes).min(self.file.len());
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], UploadError> {
        let array = *self.rest().first_chunk::<N>().ok_or(self.cut_off())?;
        self.offset += N;
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, UploadError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16_little(&mut self) -> Result<u16, UploadError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32_little(&mut self) -> Result<u32, UploadError> {
        self.array().map(u32::from_le_bytes)
    }
}
