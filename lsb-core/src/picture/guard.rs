//! The one place where a decoder's panic becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::PictureError;
use crate::error::Error;
use crate::upload::MediaType;

/// Runs a decoder. No file may end the program, and decoders are other people's code.
///
/// What the closure was working on is dropped with the panic, so nothing half-done is seen afterwards. The panic hook
/// runs all the same, which by default writes a line to standard error. A build with `panic = "abort"` is not helped.
pub(super) fn guarded<T>(format: MediaType, decode: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(PictureError::DecoderFailed { format }.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_kind::ErrorKind;

    #[test]
    fn a_decoder_that_panics_is_an_error() {
        let error = guarded::<()>(MediaType::Tiff, || panic!("a decoder's bug")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = alloc::string::ToString::to_string(&error);
        assert!(text.contains("TIFF") && text.contains("`sealed`"), "{text}");
        assert_eq!(guarded(MediaType::Tiff, || Ok(7)).ok(), Some(7));
    }
}
