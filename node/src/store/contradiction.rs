//! Panics of the database, and what they say.
//!
//! redb takes its pages' agreement with each other for granted, and panics where they disagree. Every page that it sees
//! is one that it wrote; but a disk that drops a write, or writes it in another page's place, leaves whole pages of
//! different ages, which no checksum of a page can tell (it carries no age). The store's answer to a file is an error
//! all the same.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Database;

use super::StoreError;
use super::checked_backend::CheckedBackend;
use super::disk::DiskFile;

/// Runs the database. If it panics, nothing is written any more, as after any failure.
pub(super) fn guarded<F: DiskFile, T>(
    place: &str,
    backend: &CheckedBackend<F>,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if planted!(DIES_WITH_THE_DATABASE) {
        return work();
    }
    // What was interrupted is never looked at again: the backend refuses, and the database with it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        backend.fail();
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(StoreError::Contradiction {
            folder: place.to_owned(),
            what: text.unwrap_or("it does not say").to_owned(),
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
        // Nobody is left to be told: what was acknowledged is in the journal, and the next start reads it.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
    }
}
