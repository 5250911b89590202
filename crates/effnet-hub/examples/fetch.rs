//! Downloads one URL into a folder and prints the seconds it took: `fetch URL SHA256 FOLDER [NAME]`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use effnet_hub::{Backoff, Hub, HubConfig, Manifest, Progress, Warning};

struct Printer;

impl Progress for Printer {
    fn warned(&mut self, warning: &Warning) {
        eprintln!("{warning}");
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [url, sha256, folder, name @ ..] = arguments.as_slice() else {
        eprintln!("usage: fetch URL SHA256 FOLDER [NAME]");
        return ExitCode::from(2);
    };
    match fetch(
        url,
        sha256,
        folder,
        name.first().map_or("fetched.bin", String::as_str),
    ) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(url: &str, sha256: &str, folder: &str, name: &str) -> Result<String, effnet_hub::Error> {
    let manifest = serde_json::json!({ "version": 1, "entries": [{
        "id": "b0.fetched", "variant": "b0", "scheme": "timm", "profile": "timm", "classes": 1000,
        "files": [{ "name": name, "urls": [url], "sha256": sha256 }],
        "preprocessing": { "image_size": 224, "crop_pct": 0.875, "crop_mode": "center",
            "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5] },
        "licence": "unknown",
    }] });
    let manifest = Manifest::parse(&manifest.to_string(), "the command line")?;
    let backoff = Backoff::default()
        .with_first(Duration::from_millis(50))
        .with_limit(Duration::from_secs(1));
    let config = HubConfig::new(folder).with_backoff(backoff);
    let start = Instant::now();
    let path = Hub::new(config).resolve(manifest.get("b0.fetched")?, &mut Printer)?;
    Ok(format!("{:.4} {}", start.elapsed().as_secs_f64(), path.display()))
}
