//! `effnet cache`.

use std::io::Write;
use std::time::Duration;

use effnet_hub::{CachedFile, PruneOptions, Verification};
use serde::Serialize;

use crate::Outcome;
use crate::arguments::{CacheArguments, CacheCommand, InspectFormat};
use crate::open_zoo;
use crate::printer::{Printer, counted};

/// A file in the cache.
#[derive(Serialize)]
struct Row<'a> {
    path: String,
    bytes: u64,
    /// What `--weights` takes: the id of an entry, or the repository that the file is part of.
    id: Option<&'a str>,
    state: &'static str,
    /// The number of hex digits of the SHA-256 that are published: 64, fewer, or 0.
    published_digits: usize,
}

pub(crate) fn run(arguments: &CacheArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let zoo = open_zoo(&arguments.zoo)?;
    let mut stdout = std::io::BufWriter::new(std::io::stdout());
    let outcome = match arguments.command {
        CacheCommand::List { format } => {
            let files = zoo.hub.cached_files(&zoo.manifest)?;
            write_files(&mut stdout, &files, format)?;
            printer.detail(format!("in {}", zoo.hub.config().cache.display()));
            Outcome::Done
        }
        CacheCommand::Verify => {
            let files = zoo.hub.verify_cached(&zoo.manifest, |_| {})?;
            write_files(&mut stdout, &files, InspectFormat::Text)?;
            let short = files.iter().filter(|file| has_short_digest(file)).count();
            if short > 0 {
                printer.note(format!(
                    "{} with a short published digest: verified against the first download",
                    counted(short, "file")
                ));
            }
            let mut failed = false;
            for file in &files {
                if let Verification::Unreadable(reason) = &file.verification {
                    printer.failure(&file.path.display().to_string(), reason);
                }
                failed |= matches!(
                    file.verification,
                    Verification::Corrupt { .. } | Verification::Unreadable(_)
                );
            }
            if failed {
                Outcome::SomeFailed
            } else {
                Outcome::Done
            }
        }
        CacheCommand::Prune { unknown, dry_run } => {
            let what = PruneOptions::default()
                .with_partial_older_than(Duration::ZERO)
                .with_unknown(unknown)
                .with_dry_run(dry_run);
            let pruned = zoo.hub.prune(&zoo.manifest, &what)?;
            for path in &pruned.removed {
                writeln!(stdout, "{}", path.display())?;
            }
            let verb = if dry_run { "would remove" } else { "removed" };
            printer.note(format!(
                "{verb} {}, {:.1} MB",
                counted(pruned.removed.len(), "file"),
                pruned.bytes as f64 / 1e6
            ));
            Outcome::Done
        }
    };
    stdout.flush()?;
    Ok(outcome)
}

/// Returns whether the publisher states only some of the digits; another file could be made to match these.
fn has_short_digest(file: &CachedFile) -> bool {
    (1..64).contains(&file.published_digits)
}

fn state(verification: &Verification) -> &'static str {
    match verification {
        Verification::Verified => "verified",
        Verification::NotChecked => "unchecked",
        Verification::NoDigest => "no digest",
        Verification::Corrupt { .. } => "damaged",
        Verification::Unreadable(_) => "unreadable",
        Verification::Partial => "partial",
    }
}

fn write_files(out: &mut impl Write, files: &[CachedFile], format: InspectFormat) -> anyhow::Result<()> {
    let rows = files.iter().map(|file| {
        let CachedFile {
            path,
            bytes,
            entry,
            repository,
            verification,
            published_digits,
            ..
        } = file;
        Row {
            path: path.display().to_string(),
            bytes: *bytes,
            id: entry.as_deref().or(repository.as_deref()),
            state: state(verification),
            published_digits: *published_digits,
        }
    });
    let rows: Vec<Row<'_>> = rows.collect();
    if format == InspectFormat::Json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    for row in rows {
        let id = row.id.unwrap_or("-");
        writeln!(
            out,
            "{:>8.1} MB  {:<10}  {id:<24}  {}",
            row.bytes as f64 / 1e6,
            row.state,
            row.path
        )?;
    }
    Ok(())
}
