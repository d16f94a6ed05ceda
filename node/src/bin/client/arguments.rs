//! The client's command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lsb_core::envelope::{Grant, UserName, Views};
use node::client::Mode;

const EXAMPLES: &str = "\
Protect a photograph; bob may look three times, and alice, who owns it, five times:

  client encrypt --input photo.jpg --owner alice --grant bob=3

Send encrypted_lsb_image.png to bob, any way that keeps the file as it is. He views it with

  client view --input encrypted_lsb_image.png --user bob

Every view is counted once, whichever server counts it. Whoever may not look gets the access-denied picture.

Exit status: 0 granted or done, 1 other failure, 2 usage, 3 denied, 4 not a protected picture, 5 damaged or tampered with,
6 no leader or no server.";

/// Protects pictures and views protected ones, with the servers listed in servers.conf.
#[derive(Debug, Parser)]
#[command(name = "client", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// The list of servers: one host:port per line.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "servers.conf"
    )]
    pub(crate) servers: PathBuf,
    /// The folder of device keys [default: `keys` in your configuration folder].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) keys: Option<PathBuf>,
    /// The certificate that servers on other machines are checked by: authority.pem from a server's data folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
    /// Talks to servers on other machines without TLS.
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// How long to go on while no leader answers, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = node::client::DEFAULT_PATIENCE.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// Prints the result as JSON on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Protects a picture: only whom you grant views can look at it.
    #[command(visible_alias = "protect")]
    Encrypt(Encrypt),
    /// Views a protected picture, and uses up one view.
    View(View),
    /// Shows what each server says about itself.
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct Encrypt {
    /// The picture: a PNG or JPEG file, or `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Who owns it. The first use of a name binds it to a key on this machine.
    #[arg(short = 'u', long, visible_alias = "user", value_name = "NAME", value_parser = name)]
    pub(crate) owner: UserName,
    /// Lets a user view it so many times, or without limit (`bob=3`, `bob=unlimited`); repeatable. The owner gets 5 views unless named.
    #[arg(short, long, value_name = "USER=VIEWS", value_parser = grant)]
    pub(crate) grant: Vec<Grant>,
    /// Where to put the protected picture; `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "encrypted_lsb_image.png")]
    pub(crate) output: PathBuf,
    /// How the picture shows itself.
    #[arg(short, long, value_enum, default_value_t = ModeArgument::Sealed)]
    pub(crate) mode: ModeArgument,
}

#[derive(Debug, Args)]
pub(crate) struct View {
    /// The protected picture, or `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Who wants to look.
    #[arg(short, long, value_name = "NAME", value_parser = name)]
    pub(crate) user: UserName,
    /// Where to put the picture, or the access-denied picture; `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "viewable_image.png")]
    pub(crate) output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeArgument {
    /// Everybody sees the access-denied picture; the photograph is encrypted inside.
    Sealed,
    /// Everybody sees the photograph; only its rules ride inside. No secrecy.
    Label,
}

impl From<ModeArgument> for Mode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::Sealed => Self::Sealed,
            ModeArgument::Label => Self::Label,
        }
    }
}

fn name(text: &str) -> Result<UserName, String> {
    UserName::parse(text).map_err(|error| error.to_string())
}

fn grant(text: &str) -> Result<Grant, String> {
    let (user, views) = text.split_once('=').ok_or("write USER=VIEWS, such as bob=3")?;
    let views = match views {
        "unlimited" => Views::Unlimited,
        number => {
            let number = number.parse().map_err(|_| {
                format!(
                    "`{}` is neither a number of views nor `unlimited`",
                    number.escape_debug()
                )
            })?;
            Views::Total(number)
        }
    };
    Ok(Grant::new(name(user)?, views))
}
