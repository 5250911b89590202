//! Which checkpoint files the readers that Rust has can read: effnet-checkpoint, pytorch-reader, candle and tch.
//!
//!     checkpoint-readers FIXTURES
//!
//! FIXTURES is crates/effnet-checkpoint/tests/fixtures, whose expected.json has the tensors of each file as `torch.load`
//! or Keras reads them. Each reader opens each file in a process of its own, with the key under which the network is,
//! where it takes one. A file counts as read if every tensor has the right name, type, shape and bytes. Prints the
//! table in the README of effnet-checkpoint, and to standard error what each reader said about each file.

mod readers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use serde_json::Value;

use readers::{READERS, Tensors};

/// The kinds of files in the table, with the files of each.
const KINDS: [(&str, &[&str]); 10] = [
    (
        "zip archive (PyTorch 1.6 and later)",
        &["zip_flat.pth", "zip_old.pth", "zip_protocol4.pth", "zip_dtypes.pth", "flat_with_extras.pth"],
    ),
    (
        "stream of pickles (0.1.10 to 1.5)",
        &[
            "legacy_protocol1.pth",
            "legacy_protocol2.pth",
            "legacy_protocol3.pth",
            "legacy_protocol4.pth",
            "legacy_protocol5.pth",
            "legacy_dtypes.pth",
            "legacy_python2.pth",
        ],
    ),
    ("tar archive (before 0.1.10)", &["tar.pth"]),
    (
        "views, transposed and expanded tensors",
        &["zip_strides.pth", "legacy_strides.pth", "legacy_views.pth"],
    ),
    ("big-endian", &["zip_big_endian.pth"]),
    ("repacked with compression", &["zip_deflated_deeper.pth"]),
    (
        "whole `nn.Module`",
        &["zip_whole_module.pth", "legacy_whole_module.pth", "zip_parallel_module.pth"],
    ),
    (
        "training checkpoint, key given",
        &[
            "wrapped_average.pth",
            "wrapped_empty_average.pth",
            "wrapped_lightning.pth",
            "wrapped_list.pth",
            "wrapped_module.pth",
            "wrapped_tuple.pth",
            "odd_optimizer.pth",
        ],
    ),
    ("safetensors", &["flat.safetensors", "dtypes.safetensors"]),
    (
        "Keras (`.keras`, `.h5`)",
        &[
            "keras.keras",
            "keras_deflated.keras",
            "keras_latest.h5",
            "keras_named.h5",
            "keras_numbered.weights.h5",
        ],
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--read", reader, file, key] => print_tensors(reader, file, key),
        [fixtures] => print_table(Path::new(fixtures)),
        _ => Err(anyhow::anyhow!("expected the folder of the fixtures")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the tensors of one file as JSON.
fn print_tensors(reader: &str, file: &str, key: &str) -> anyhow::Result<()> {
    let (_, read) = READERS.iter().find(|(name, _)| *name == reader).context("no such reader")?;
    let tensors = read(Path::new(file), Some(key).filter(|key| !key.is_empty()))?;
    println!("{}", serde_json::to_string(&tensors)?);
    Ok(())
}

fn print_table(fixtures: &Path) -> anyhow::Result<()> {
    let expected = std::fs::read_to_string(fixtures.join("expected.json")).context("expected.json")?;
    let expected: BTreeMap<String, Value> = serde_json::from_str(&expected)?;
    let names = READERS.map(|(name, _)| name);
    println!("| | files | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(names.len()));
    for (kind, files) in KINDS {
        let mut cells = Vec::new();
        for reader in names {
            let mut count = 0;
            for file in files {
                let outcome = read(reader, &fixtures.join(file), expected.get(*file).context(*file)?);
                eprintln!("{reader}, {file}: {}", outcome.as_ref().map_or_else(|error| format!("{error:#}"), |()| "ok".to_owned()));
                count += usize::from(outcome.is_ok());
            }
            cells.push(match count {
                0 => "-".to_owned(),
                count if count == files.len() => "all".to_owned(),
                count => count.to_string(),
            });
        }
        println!("| {kind} | {} | {} |", files.len(), cells.join(" | "));
    }
    Ok(())
}

/// Reads a file in another process, and compares the tensors with the expected ones.
fn read(reader: &str, file: &Path, expected: &Value) -> anyhow::Result<()> {
    let text = |key: &str| expected[key].as_str().unwrap_or_default();
    let output = Command::new(std::env::current_exe()?)
        .args(["--read", reader])
        .arg(file)
        .arg(text("wrapper"))
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(2).collect();
        bail!("refused: {}", lines.join(" ").chars().take(200).collect::<String>());
    }
    let found: Tensors = serde_json::from_slice(&output.stdout)?;
    let prefix = text("prefix");
    for pair in expected["tensors"].as_array().context("no tensors expected")? {
        let name = pair[0].as_str().unwrap_or_default();
        // effnet-checkpoint strips what other readers keep.
        let Some(tensor) = found.get(name).or_else(|| found.get(&format!("{prefix}{name}"))) else {
            bail!("`{name}` is missing ({} tensors)", found.len());
        };
        for (what, value) in ["dtype", "shape", "bytes"].into_iter().zip(tensor) {
            if pair[1][what] != *value {
                bail!("`{name}`: another {what}");
            }
        }
    }
    Ok(())
}
