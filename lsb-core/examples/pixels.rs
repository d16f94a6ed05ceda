//! Writes the pixels of picture files as this crate decodes them, for other programs to compare with.
//!
//! ```text
//! cargo run -p lsb-core --example pixels -- FILE…
//! ```
//!
//! One answer for each file, in order: a picture in the format PAM (of eight or, most significant byte first,
//! sixteen bits), or a line `refused KIND: MESSAGE`, where the kind is that of `lsb_core::ErrorKind`. Of an animation
//! it is the first frame.

use std::error::Error;
use std::io::{self, Write};

use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::{Limits, picture};

fn main() -> Result<(), Box<dyn Error>> {
    let limits = Limits {
        first_frame: true,
        ..Limits::DEFAULT
    };
    let mut output = io::stdout().lock();
    for path in std::env::args_os().skip(1) {
        let file = std::fs::read(&path)?;
        match picture::decode(&file, limits.upload_bytes, &limits) {
            Ok(decoded) => write_pam(&decoded.raster, &mut output)?,
            Err(error) => writeln!(output, "refused {:?}: {error}", error.kind())?,
        }
    }
    output.flush()?;
    Ok(())
}

fn write_pam(raster: &Raster, output: &mut impl Write) -> io::Result<()> {
    let kind = match raster.colors() {
        Colors::Grey => "GRAYSCALE",
        Colors::GreyAlpha => "GRAYSCALE_ALPHA",
        Colors::Rgb => "RGB",
        Colors::Rgba => "RGB_ALPHA",
    };
    let (most, bytes) = match raster.samples() {
        Samples::Eight(samples) => (255, samples.clone()),
        Samples::Sixteen(samples) => (
            65_535,
            samples.iter().flat_map(|sample| sample.to_be_bytes()).collect(),
        ),
    };
    let (width, height, samples) = (raster.width(), raster.height(), raster.colors().samples());
    write!(
        output,
        "P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {samples}\nMAXVAL {most}\nTUPLTYPE {kind}\nENDHDR\n"
    )?;
    output.write_all(&bytes)
}
