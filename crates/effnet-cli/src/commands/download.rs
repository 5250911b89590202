//! `effnet download`.

use std::io::{ErrorKind, Write};
use std::sync::Mutex;

use anyhow::Context;
use effnet_hub::Entry;
use rayon::prelude::*;

use crate::Outcome;
use crate::arguments::DownloadArguments;
use crate::printer::Printer;
use crate::{DownloadProgress, open_zoo};

/// The number of parallel downloads: enough to hide the latency of one connection, but few enough not to be throttled
/// by the servers.
const AT_ONCE: usize = 4;

pub(crate) fn run(arguments: &DownloadArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let zoo = open_zoo(&arguments.zoo)?;
    let mut entries: Vec<&Entry> = Vec::new();
    // A wrong id is reported before anything is downloaded.
    for id in &arguments.ids {
        let entry = zoo.manifest.get(id);
        entries.push(entry.context("nothing was downloaded; `effnet models --all` lists all ids")?);
    }
    for variant in &arguments.all_of {
        entries.extend(zoo.manifest.of_variant(*variant));
    }
    let mut seen = std::collections::HashSet::new();
    entries.retain(|entry| seen.insert(entry.id.as_str()));

    let bars = printer.bars();
    let failed = Mutex::new(0);
    let stdout = Mutex::new(std::io::stdout());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(AT_ONCE).build()?;
    pool.install(|| {
        entries.par_iter().try_for_each(|entry| -> anyhow::Result<()> {
            let mut progress = DownloadProgress::on(printer, printer.download_in(&bars));
            match zoo.hub.resolve_hashed(entry, &mut progress) {
                Ok(path) => {
                    drop(progress);
                    if let Some(digits) = short_digest(entry) {
                        bars.suspend(|| {
                            printer.detail(format!(
                                "{}: only {digits} of 64 digits of its SHA-256 are published; from now on, all 64 of \
                                 this file are checked",
                                entry.id
                            ));
                        });
                    }
                    let mut stdout = stdout.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    // The other files are still wanted, even if nobody reads the output.
                    match bars.suspend(|| writeln!(stdout, "{} {}", entry.id, path.display())) {
                        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
                        _ => {}
                    }
                }
                Err(error) => {
                    drop(progress);
                    *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                    bars.suspend(|| printer.failure(&entry.id, &error.to_string()));
                }
            }
            Ok(())
        })
    })?;
    let failed = failed
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(match failed {
        0 => Outcome::Done,
        failed if failed == entries.len() => Outcome::NothingDone,
        _ => Outcome::SomeFailed,
    })
}

/// Returns the number of published hex digits of the entry's digest if there are fewer than 64.
fn short_digest(entry: &Entry) -> Option<usize> {
    let digest = entry.files.iter().find_map(|file| file.sha256.as_ref())?;
    (!digest.is_full()).then(|| digest.as_str().len())
}
