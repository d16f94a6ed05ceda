//! Picture files of every format: what is accepted, how it is decoded, and what is kept of it.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../fixtures/mod.rs"]
mod fixtures;

mod bmp_kinds;
mod formats;
mod jpeg_parts;
mod metadata;
mod orientation;
mod other_encoders;
mod pillow;
mod png_kinds;
mod preview_colors;
mod stored_formats;
mod unusual_files;
mod uploads;
