//! The unified image: the picture that people without permission see.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::decoding::{Decoder, DecodingError};

/// The default picture.
const BUILT_IN: &[u8] = include_bytes!("../../assets/unified_image.png");

/// The largest file that is accepted. Every protected picture contains a copy.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// The picture that people without permission see, checked.
#[derive(Clone, Debug)]
pub(crate) struct UnifiedImage {
    bytes: Arc<[u8]>,
    hash: [u8; 32],
    name: String,
}

/// Why a file cannot be the unified image. The operator is wrong.
#[derive(Debug, thiserror::Error)]
pub enum UnifiedImageError {
    /// It cannot be read.
    #[error("cannot read the unified image {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It is too large.
    #[error("the unified image {} has {size} bytes; the limit is {FILE_LIMIT_BYTES}, because every protected picture contains a copy", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, in bytes.
        size: u64,
    },
    /// It is not a usable picture.
    #[error("the unified image {} cannot be used: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: lsb_core::Error,
    },
    /// Its pixels cannot be decoded.
    #[error("the unified image {name} cannot be used: {source}")]
    Pixels {
        /// What it is called.
        name: String,
        /// What is wrong with it.
        source: DecodingError,
    },
}

impl UnifiedImage {
    /// Reads the picture. A missing file is replaced by the built-in picture, with a warning, unless it was named
    /// explicitly.
    ///
    /// # Errors
    ///
    /// The file is missing although it was named, or it is not a usable PNG.
    pub(crate) fn load(path: &Path, required: bool) -> Result<Self, UnifiedImageError> {
        let unreadable = |source| UnifiedImageError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let size = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {
                tracing::warn!(
                    "there is no {} in the working directory; people without permission will see the built-in picture",
                    path.display()
                );
                return Ok(Self::new(BUILT_IN.into(), "the built-in unified image".into()));
            }
            Err(error) => return Err(unreadable(error)),
        };
        if size > FILE_LIMIT_BYTES {
            return Err(UnifiedImageError::TooLarge {
                path: path.to_owned(),
                size,
            });
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        lsb_core::upload::inspect_png(&bytes, &lsb_core::Limits::default()).map_err(|source| {
            UnifiedImageError::Picture {
                path: path.to_owned(),
                source: source.into(),
            }
        })?;
        Ok(Self::new(
            bytes.into(),
            format!("the unified image {}", path.display()),
        ))
    }

    /// Decodes the picture once, so that a damaged one is found now and not by the first owner.
    ///
    /// # Errors
    ///
    /// [`UnifiedImageError::Pixels`].
    pub(crate) async fn check_pixels(&self, decoder: &Decoder) -> Result<(), UnifiedImageError> {
        let decoded = decoder
            .measure(self.bytes.to_vec(), &lsb_core::Limits::DEFAULT)
            .await;
        decoded.map(drop).map_err(|source| UnifiedImageError::Pixels {
            name: self.name.clone(),
            source,
        })
    }

    fn new(bytes: Arc<[u8]>, name: String) -> Self {
        Self {
            hash: Sha256::digest(&bytes).into(),
            bytes,
            name,
        }
    }

    /// Returns the file's exact bytes.
    pub(crate) fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Returns their SHA-256.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns its name for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
