//! The classification of errors that programs act upon: every layer names it, so it knows none of them.

/// Who or what is wrong, in the classes that a program acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file is no picture of a supported format.
    NotAPicture,
    /// The file or the picture passes a limit.
    TooLarge,
    /// A picture that carries nothing of ours, or nothing any more.
    NotProtected,
    /// A file or a hidden part that suffered: cut off, edited, re-encoded.
    Damaged,
    /// A hidden part that arrived whole and is not what its owner signed.
    Tampered,
    /// A key or a share that belongs to something else.
    WrongKey,
    /// There is no room for what is to be hidden.
    Capacity,
    /// Valid, and beyond what this version of the program can do.
    Unsupported,
    /// The caller asked for something that contradicts itself.
    InvalidRequest,
    /// The operating system failed us.
    System,
}
