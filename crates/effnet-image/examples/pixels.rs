//! Decodes the files whose paths are read from standard input, one per line, and prints one tab-separated
//! line for each: the outcome, the width, the height, the SHA-256 of the RGB bytes, and warnings or the
//! error.
//!
//! The outcome is `pixels`, `unsupported`, `unknown`, `limit`, `damaged`, `unreadable` or `panic`. Messages come from
//! untrusted files, so control characters in them are escaped. `scripts/pillow-corpus` compares the result with
//! Pillow's.

#![allow(clippy::print_stdout, reason = "an example")]

use std::io::{self, BufRead};
use std::panic::catch_unwind;

use effnet_image::{Image, ImageError};
use sha2::{Digest, Sha256};

fn main() -> io::Result<()> {
    for path in io::stdin().lock().lines() {
        let path = path?;
        let line = catch_unwind(|| describe(&path)).unwrap_or_else(|_| "panic\t0\t0\t\t".to_owned());
        println!("{line}");
    }
    Ok(())
}

fn describe(path: &str) -> String {
    match Image::open(path) {
        Ok(image) => {
            let warnings: Vec<String> = image.warnings().iter().map(ToString::to_string).collect();
            format!(
                "pixels\t{}\t{}\t{:x}\t{}",
                image.width(),
                image.height(),
                Sha256::digest(image.pixels()),
                escaped(&warnings.join("; "))
            )
        }
        Err(error) => format!("{}\t0\t0\t\t{}", kind(&error), escaped(&error.to_string())),
    }
}

fn kind(error: &ImageError) -> &'static str {
    match error {
        ImageError::Unsupported { .. } => "unsupported",
        ImageError::UnknownFormat { .. } => "unknown",
        ImageError::TooManyPixels { .. }
        | ImageError::TooMuchMemory { .. }
        | ImageError::FileTooLarge { .. } => "limit",
        ImageError::Read { .. } => "unreadable",
        _ => "damaged",
    }
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escape: Box<dyn Iterator<Item = char>> = if character.is_control() {
                Box::new(character.escape_default())
            } else {
                Box::new(std::iter::once(character))
            };
            escape
        })
        .collect()
}
