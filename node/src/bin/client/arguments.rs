//! The client's command line.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use lsb_core::bits::BitsPerSample;
use lsb_core::envelope::{Grant, UserName, Views};
use node::decoding::ProcessLimits;

const EXAMPLES: &str = "\
Protect a photograph. Bob may view it three times, and alice, its owner, five times:

  client encrypt --input photo.jpg --owner alice --grant bob=3

Send encrypted_lsb_image.png to bob in any way that does not change the file. He views it with

  client view --input encrypted_lsb_image.png --user bob

You choose what everyone else sees: the access-denied picture (--mode sealed, the default), a blurred preview \
(--mode preview), another picture (--cover beach.png), or the photograph itself, which keeps nothing secret \
(--mode label).

Two commands need no server. They show how much a picture can hold, and what a file tells everyone who has it:

  client capacity --input beach.png
  client inspect --input encrypted_lsb_image.png

Protect or view several files in one command, with a summary at the end:

  client encrypt --input *.jpg --owner alice --output-dir protected

Every view is counted once, whichever server answers. A user without a remaining view gets the access-denied picture.

Exit status: 0 granted or done, 1 another error, 2 usage, 3 denied, 4 not a picture, not of a kind that the command \
supports, or not a protected one, 5 damaged or tampered with, 6 no leader or no server. Of several files, that of the \
first one that was not done.";

const CAPACITY_NOTES: &str = "\
A protected file holds the original, the access-denied picture, and about a kilobyte of policy and signatures. The \
hidden part takes 1 to 4 low bits of each colour sample of the opaque pixels; `client encrypt --cover FILE --bits N` \
uses them.";

const INSPECT_NOTES: &str = "\
Everyone who has the file can read all of this: the owner, the users and their views, the time, and the metadata \
beside the pixels. The original itself is encrypted (except in a label), and opens only with the share of its key that \
the servers release for a view.

Of a picture that is not protected the command lists the metadata.

Exit status: 0 intact, 4 not a picture or not a protected one, 5 damaged or tampered with.";

/// Protects pictures and views protected pictures, through the servers listed in servers.conf.
#[derive(Debug, Parser)]
#[command(name = "client", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
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
    /// The certificate that verifies servers on other machines: authority.pem from a server's data folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
    /// Connects to servers on other machines without TLS.
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// How long to retry while no leader answers, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = node::client::DEFAULT_PATIENCE.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// The limit of memory for decoding a picture, in MiB.
    #[arg(long, global = true, value_name = "MIB", default_value_t = ProcessLimits::DEFAULT.memory_bytes >> 20, value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub(crate) decoder_memory: u64,
    /// The limit of processor time for decoding a picture, in seconds; three times as much by the clock.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = ProcessLimits::DEFAULT.cpu_seconds, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) decoder_seconds: u64,
    /// Prints the result as JSON on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Protects pictures: only users with views can look at them.
    #[command(visible_alias = "protect")]
    Encrypt(Encrypt),
    /// Views protected pictures, and uses one view of each.
    View(View),
    /// Shows how much a picture can hold, at every setting. Needs no server.
    #[command(after_help = CAPACITY_NOTES)]
    Capacity(Capacity),
    /// Shows what a file tells everyone who has it, metadata too. Needs no server, and uses no view.
    #[command(after_help = INSPECT_NOTES)]
    Inspect(Inspect),
    /// Shows the status of each server.
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct Encrypt {
    /// The picture: a PNG, JPEG, WebP, BMP, TIFF or GIF file, in mode sealed also HEIC or AVIF; `-` for standard input.
    /// Several files need --output-dir.
    #[arg(short, long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) input: Vec<PathBuf>,
    /// The owner. The first use of a name binds it to a key on this machine.
    #[arg(short = 'u', long, visible_alias = "user", value_name = "NAME", value_parser = name)]
    pub(crate) owner: UserName,
    /// Grants a user a number of views, or views without limit (`bob=3`, `bob=unlimited`); repeatable. The owner gets 5
    /// views unless a grant says otherwise.
    #[arg(short, long, value_name = "USER=VIEWS", value_parser = grant)]
    pub(crate) grant: Vec<Grant>,
    /// The protected picture, which is always a PNG file; `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "encrypted_lsb_image.png")]
    pub(crate) output: PathBuf,
    /// The folder for protected pictures: NAME.jpg becomes NAME_encrypted_lsb.png. Existing files are kept.
    #[arg(short = 'O', long, value_name = "FOLDER", conflicts_with = "output")]
    pub(crate) output_dir: Option<PathBuf>,
    /// What everyone who has the file sees [default: sealed, or cover with --cover].
    #[arg(short, long, value_enum)]
    pub(crate) mode: Option<ModeArgument>,
    /// The picture that everyone sees in mode cover, in any format; the result is a PNG of the same size.
    #[arg(short, long, value_name = "FILE", required_if_eq("mode", "cover"))]
    pub(crate) cover: Option<PathBuf>,
    /// How many low bits of each sample carry hidden bits, 1 to 4: fewer change the picture less and need a larger one
    /// [default: 3 for sealed and preview, 1 for cover and label].
    #[arg(short, long, value_name = "BITS", value_parser = bits)]
    pub(crate) bits: Option<BitsPerSample>,
    /// Accepts an animated file: the whole file is stored, previews and labels show its first frame.
    #[arg(long)]
    pub(crate) first_frame: bool,
    /// Keeps the metadata of a label or a cover for everyone to read: place, camera, time, texts. Without it only what
    /// shows the picture right is kept, such as its colour profile.
    #[arg(long)]
    pub(crate) keep_metadata: bool,
    /// Removes metadata from the original before it is sealed, and does not store its name. Without it viewers get the
    /// file byte for byte.
    #[arg(long)]
    pub(crate) strip_metadata: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Capacity {
    /// The picture to hide something in, of any format, or `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// A file to hide; shows the settings with which it fits.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) payload: Option<PathBuf>,
    /// Accepts an animated file, and measures its first frame.
    #[arg(long)]
    pub(crate) first_frame: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The protected picture, or `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct View {
    /// The protected picture, or `-` for standard input. Several files need --output-dir.
    #[arg(short, long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) input: Vec<PathBuf>,
    /// The user who views the picture.
    #[arg(short, long, value_name = "NAME", value_parser = name)]
    pub(crate) user: UserName,
    /// The original, or the access-denied picture; `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "viewable_image.png")]
    pub(crate) output: PathBuf,
    /// The folder for the pictures, each with the original's name, or at least with the extension of its format. Existing
    /// files are kept.
    #[arg(short = 'O', long, value_name = "FOLDER", conflicts_with = "output")]
    pub(crate) output_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeArgument {
    /// Everyone sees the access-denied picture; the photograph is encrypted inside.
    Sealed,
    /// Everyone sees a small blurred picture of the photograph, with a banner; the photograph is encrypted inside.
    Preview,
    /// Everyone sees the picture given with --cover; the photograph is encrypted inside.
    Cover,
    /// Everyone sees the photograph; only its policy is inside. Nothing is secret.
    Label,
}

impl Command {
    /// Returns the output, which is a folder for several files; empty for a command that writes none.
    pub(crate) fn output(&self) -> &Path {
        match self {
            Self::Encrypt(wanted) => wanted.output(),
            Self::View(wanted) => wanted.output(),
            Self::Capacity(_) | Self::Inspect(_) | Self::Status => Path::new(""),
        }
    }

    /// Whether a bar shows the progress.
    pub(crate) fn has_progress(&self) -> bool {
        match self {
            Self::Encrypt(Encrypt { input, .. }) | Self::View(View { input, .. }) => input.len() > 1,
            Self::Capacity(_) | Self::Inspect(_) | Self::Status => false,
        }
    }
}

impl View {
    /// Returns the output file or folder.
    pub(crate) fn output(&self) -> &Path {
        self.output_dir.as_deref().unwrap_or(&self.output)
    }
}

impl Encrypt {
    /// Returns the output file or folder.
    pub(crate) fn output(&self) -> &Path {
        self.output_dir.as_deref().unwrap_or(&self.output)
    }

    /// Returns the mode; a cover implies mode cover.
    pub(crate) fn mode(&self) -> ModeArgument {
        match (self.mode, &self.cover) {
            (Some(mode), _) => mode,
            (None, Some(_)) => ModeArgument::Cover,
            (None, None) => ModeArgument::Sealed,
        }
    }
}

/// Ends the program with a usage error of a command, in clap's form.
pub(crate) fn refuse(command: &str, kind: ErrorKind, message: &str) -> ! {
    let mut all = Arguments::command();
    // Without this a subcommand does not know its full name.
    all.build();
    match all.find_subcommand_mut(command) {
        Some(command) => command.error(kind, message).exit(),
        None => all.error(kind, message).exit(),
    }
}

fn name(text: &str) -> Result<UserName, String> {
    UserName::parse(text).map_err(|error| error.to_string())
}

fn bits(text: &str) -> Result<BitsPerSample, String> {
    let count = text.parse().ok().and_then(BitsPerSample::from_count);
    count.ok_or_else(|| "the number of bits is 1, 2, 3 or 4".to_owned())
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
