//! How a command ends: its exit status.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Pass = 0,
    Violation = 1,
    Usage = 2,
    Nondeterminism = 3,
    Vacuous = 4,
}

impl Ending {
    /// Returns the worst of these; a pass, if there are none.
    pub(super) fn worst(endings: impl IntoIterator<Item = Self>) -> Self {
        endings
            .into_iter()
            .max_by_key(Self::severity)
            .unwrap_or(Self::Pass)
    }

    /// Orders endings: a violation outranks everything, and a run that cannot be repeated outranks one that proves
    /// nothing.
    const fn severity(&self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Vacuous => 1,
            Self::Usage => 2,
            Self::Nondeterminism => 3,
            Self::Violation => 4,
        }
    }
}
