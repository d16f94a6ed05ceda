//! Tells the story, and checks every statement of it.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lsb_core::envelope::{SectionKind, UserName};
use lsb_core::{Limits, carrier, picture};
use node::api::Role;
use node::client::{Client, ClientError, ViewOutcome};

use crate::servers::Servers;

/// The narrator.
pub(crate) struct Story {
    /// The folder for all files.
    pub(crate) folder: PathBuf,
    denied_picture: Vec<u8>,
    began: Instant,
    chapters: u32,
}

impl Story {
    /// Creates a folder for the servers and the pictures.
    pub(crate) fn begin() -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("raft-lsb-cluster-{}", std::process::id()));
        fs::create_dir_all(folder.join("servers"))?;
        let denied_picture = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../unified_image.png"))?;
        fs::write(folder.join("servers/unified_image.png"), &denied_picture)?;
        Ok(Self {
            folder,
            denied_picture,
            began: Instant::now(),
            chapters: 0,
        })
    }

    /// Begins a new chapter.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        println!("\n{}. {title}", self.chapters);
    }

    /// Tells what happened.
    pub(crate) fn tell(&self, text: &str) {
        println!("   [{:5.2} s] {text}", self.began.elapsed().as_secs_f64());
    }

    /// Keeps a picture in the folder.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        fs::write(self.folder.join(name), bytes)
    }

    /// Ends the story with an error unless the statement holds.
    pub(crate) fn expect(&self, holds: bool, otherwise: &str) -> Result<(), Box<dyn Error>> {
        if holds { Ok(()) } else { Err(otherwise.into()) }
    }

    /// Expects a granted view, with exactly the photograph that was protected, and so many views left.
    pub(crate) fn granted(
        &self,
        who: &str,
        name: &str,
        outcome: ViewOutcome,
        original: &[u8],
        left: u32,
    ) -> Result<(), Box<dyn Error>> {
        let ViewOutcome::Granted {
            picture, remaining, ..
        } = outcome
        else {
            return Err(format!("{who} was denied: {outcome:?}").into());
        };
        self.keep(name, &picture)?;
        self.expect(
            picture == original,
            &format!("{who} did not get the photograph that was protected"),
        )?;
        self.expect(
            remaining == Some(left),
            &format!("{who} has {remaining:?} views left, not {left}"),
        )?;
        self.tell(&format!(
            "{who} views the photograph, byte for byte; {left} views left."
        ));
        Ok(())
    }

    /// Expects a denied view, with exactly the access-denied picture.
    pub(crate) fn denied(&self, who: &str, name: &str, outcome: ViewOutcome) -> Result<(), Box<dyn Error>> {
        let ViewOutcome::Denied { picture, message, .. } = outcome else {
            return Err(format!("{who} was not denied").into());
        };
        self.keep(name, &picture)?;
        self.expect(
            picture == self.denied_picture,
            &format!("{who} did not get the access-denied picture"),
        )?;
        self.tell(&format!(
            "{who} is denied ({message}) and gets the access-denied picture."
        ));
        Ok(())
    }

    /// Stops the servers, removes their data, and says where the pictures are.
    pub(crate) fn end(self, servers: Servers) -> Result<(), Box<dyn Error>> {
        drop(servers);
        fs::remove_dir_all(self.folder.join("servers"))?;
        println!(
            "\nAll of it was true. The pictures are in {}",
            self.folder.display()
        );
        Ok(())
    }
}

/// The leading server.
pub(crate) struct Leader {
    /// Its place in the list of servers.
    pub(crate) number: usize,
    /// Its name.
    pub(crate) name: String,
}

/// Waits for a leader that is not among the dead servers.
pub(crate) async fn leader(client: &Client, dead: &[usize]) -> Result<Leader, Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        for (number, report) in client.status().await.into_iter().enumerate() {
            if report.role == Some(Role::Leader) && !dead.contains(&number) {
                return Ok(Leader {
                    number,
                    name: report.server_id.unwrap_or_default(),
                });
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("no leader was elected within 20 s".into())
}

/// Views a picture, keeps the result, and acknowledges.
pub(crate) async fn view(
    client: &Client,
    picture: &[u8],
    user: &UserName,
) -> Result<ViewOutcome, ClientError> {
    let viewing = client.view(picture.to_vec(), user).await?;
    let outcome = viewing.outcome.clone();
    viewing.finish(client).await;
    Ok(outcome)
}

/// Changes one byte of the policy inside a protected picture, and hides the result as the genuine one was hidden.
pub(crate) fn forge(protected: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let envelope = picture::extract(protected, &Limits::DEFAULT)?;
    let rules = envelope.section(SectionKind::Policy).ok_or("no policy")?.to_vec();
    let mut bytes = envelope.into_bytes();
    let place = bytes
        .windows(rules.len())
        .position(|window| *window == rules)
        .ok_or("no policy")?;
    bytes[place + rules.len() - 1] ^= 1;
    let mut decoded = picture::decode_png(protected, Limits::DEFAULT.carrier_bytes, &Limits::DEFAULT)?;
    carrier::write(&mut decoded.raster, picture::SEALED_BITS, &bytes)?;
    Ok(picture::encode_png(decoded.raster, &decoded.ancillary)?)
}
