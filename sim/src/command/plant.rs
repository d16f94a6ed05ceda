//! The option that switches a planted bug on for the whole command. Builds without the bank have none.

use super::Command;

/// The option.
#[derive(clap::Args, Default)]
pub(super) struct Plant {
    /// Switch on this bug of the bank.
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

/// The bug that the option names, if any.
#[derive(Clone, Copy, Default)]
pub(super) struct Planting {
    #[cfg(feature = "planted-bugs")]
    bug: Option<&'static crate::planted::Bug>,
}

#[cfg(feature = "planted-bugs")]
impl Plant {
    pub(super) fn find(&self, command: &Command) -> Result<Planting, String> {
        let bug = self.bug.as_deref().map(|name| command.find_bug(name));
        Ok(Planting {
            bug: bug.transpose()?,
        })
    }
}

#[cfg(feature = "planted-bugs")]
impl Planting {
    /// Switches the bug on in this thread, for as long as the guard lives.
    pub(super) fn plant(self) -> Option<crate::planted::Planted> {
        self.bug.map(crate::planted::Bug::plant)
    }

    /// Returns the arguments that plant the same bug in another process.
    pub(super) fn arguments(self) -> Vec<String> {
        let named = self.bug.map(|bug| ["--bug".to_owned(), bug.name.to_owned()]);
        named.into_iter().flatten().collect()
    }
}

#[cfg(not(feature = "planted-bugs"))]
impl Plant {
    #[expect(clippy::unnecessary_wraps, reason = "with the bank a name may be unknown")]
    pub(super) const fn find(&self, _command: &Command) -> Result<Planting, String> {
        Ok(Planting {})
    }
}

#[cfg(not(feature = "planted-bugs"))]
impl Planting {
    pub(super) const fn plant(self) -> Option<()> {
        None
    }

    pub(super) const fn arguments(self) -> Vec<String> {
        Vec::new()
    }
}

impl Planting {
    /// Returns the same arguments for a command line to paste.
    pub(super) fn words(self) -> String {
        self.arguments().iter().map(|word| format!(" {word}")).collect()
    }
}
