//! Catches panics of the database, and keeps their messages.
//!
//! redb assumes that its pages agree with each other, and panics where they do not. Every page that it sees is one that
//! it wrote. But a disk that drops a write, or writes it in another page's place, leaves whole pages of different ages,
//! which no checksum of a page can detect (it contains no age). Nevertheless the store must answer with an error.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Database;

use super::StoreError;
use super::checked_backend::CheckedBackend;
use super::disk::DiskFile;

/// Runs the database. If it panics, nothing more is written, as after any failure.
pub(super) fn guarded<F: DiskFile, T>(
    place: &str,
    backend: &CheckedBackend<F>,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if planted!(DIES_WITH_THE_DATABASE) {
        return work();
    }
    // What was interrupted is never used again: the backend refuses, and so does the database.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        backend.fail();
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(StoreError::Contradiction {
            folder: place.to_owned(),
            what: text.unwrap_or("no message").to_owned(),
        })
    })
}

/// The database, which may panic even while it closes.
#[derive(Debug)]
pub(super) struct Closing(Option<Database>);

impl Closing {
    pub(super) fn new(database: Database) -> Self {
        Self(Some(database))
    }
}

impl Deref for Closing {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0
            .as_ref()
            .expect("the database is there until it is dropped")
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let database = self.0.take();
        // No caller is left to be told. What was acknowledged is in the journal, and the next start reads it.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
    }
}
