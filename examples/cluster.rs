//! The main task, as a story: three servers, a photograph, four people, and a server that dies.
//!
//! ```text
//! cargo run --release --example cluster [-- --photo PATH]
//! ```
//!
//! Everything in it is real: processes, sockets, TLS, files. It ends with exit status 1 if anything differs from what
//! it reports.

#[path = "cluster/servers.rs"]
mod servers;
#[path = "cluster/story.rs"]
mod story;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lsb_core::envelope::{Grant, UserName, Views};
use node::client::{ErrorClass, Mode, ProtectInput};
use servers::Servers;
use story::{Story, forge, leader, view};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq(servers::ROLE).is_some() {
        return servers::serve(arguments);
    }
    let photo = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/photos/chelsea.png")),
        (Some("--photo"), Some(path)) => path.into(),
        _ => {
            eprintln!("usage: cluster [--photo PATH]");
            return ExitCode::from(2);
        }
    };
    let told = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(tell(photo)));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe story went wrong: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn tell(photo: PathBuf) -> Result<(), Box<dyn Error>> {
    let original = fs::read(&photo).map_err(|error| format!("cannot read {}: {error}", photo.display()))?;
    let mut story = Story::begin()?;
    let [alice, bob, mallory] =
        ["alice", "bob", "mallory"].map(|name| UserName::parse(name).expect("a name"));

    story.chapter("Three servers start, each a process with its own data folder; they talk over mutual TLS.");
    let mut servers = Servers::start(story.folder.join("servers"))?;
    let alices = servers.client("alice")?;
    let first = leader(&alices, &[]).await?;
    story.tell(&format!("{} was elected Leader.", first.name));

    story.chapter(&format!(
        "Alice protects {}; bob may view it once.",
        photo.display()
    ));
    let grants = vec![Grant::new(bob.clone(), Views::Total(1))];
    let input = ProtectInput {
        original: original.clone(),
        name: None,
        owner: alice.clone(),
        grants,
        mode: Mode::Sealed,
        bits: None,
        first_frame: false,
        keep_metadata: false,
        strip_metadata: false,
    };
    let protected = alices.protect(input).await?;
    story.keep("encrypted_lsb_image.png", &protected.picture)?;
    story.tell("Any viewer shows the access-denied picture; the photograph is in it, encrypted.");

    story.chapter("Who may view it?");
    let granted = view(&alices, &protected.picture, &alice).await?;
    story.granted("alice", "viewable_image_alice.png", granted, &original, 4)?;
    let bobs = servers.client("bob")?;
    let granted = view(&bobs, &protected.picture, &bob).await?;
    story.granted("bob", "viewable_image_bob.png", granted, &original, 0)?;
    let denied = view(&bobs, &protected.picture, &bob).await?;
    story.denied("bob, again,", "viewable_image_bob_again.png", denied)?;
    let mallorys = servers.client("mallory")?;
    let denied = view(&mallorys, &protected.picture, &mallory).await?;
    story.denied("mallory", "viewable_image_mallory.png", denied)?;
    let denied = view(&mallorys, &protected.picture, &bob).await?;
    story.denied(
        "mallory, who says that she is bob,",
        "viewable_image_mallory_as_bob.png",
        denied,
    )?;

    story.chapter(&format!("{} is killed without warning.", first.name));
    let before = alices.object(&alice, protected.object).await?;
    servers.kill(first.number)?;
    let died = Instant::now();
    let second = leader(&alices, &[first.number]).await?;
    story.tell(&format!(
        "{} leads after {:.1} s.",
        second.name,
        died.elapsed().as_secs_f64()
    ));
    let after = alices.object(&alice, protected.object).await?;
    story.expect(
        before == after,
        "the ledger's counts changed when the leader died",
    )?;
    story.tell("The counts are unchanged: alice has 4 views left, bob has none.");
    let granted = view(&alices, &protected.picture, &alice).await?;
    story.granted("alice", "viewable_image_alice.png", granted, &original, 3)?;
    let denied = view(&bobs, &protected.picture, &bob).await?;
    story.denied("bob, hopeful,", "viewable_image_bob_again.png", denied)?;

    story.chapter(&format!("{} comes back with the same command.", first.name));
    servers.start_one(first.number)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let reports = alices.status().await;
        let applied = |number: usize| reports.get(number).and_then(|report| report.applied);
        if applied(first.number).is_some() && applied(first.number) == applied(second.number) {
            break;
        }
        story.expect(
            Instant::now() < deadline,
            "the server that was killed did not catch up",
        )?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    story.tell("It has caught up.");

    let before = alices.object(&alice, protected.object).await?;
    story.chapter("Mallory edits the policy inside the file, and repairs every checksum.");
    let forged = forge(&protected.picture)?;
    story.keep("forged.png", &forged)?;
    match mallorys.view(forged, &mallory).await {
        Err(error) if error.class() == ErrorClass::Damaged => story.tell(&format!("Rejected: {error}.")),
        other => return Err(format!("the forgery was not recognised: {other:?}").into()),
    }
    let after = alices.object(&alice, protected.object).await?;
    story.expect(before == after, "the forgery changed the ledger's counts")?;
    story.end(servers)
}
