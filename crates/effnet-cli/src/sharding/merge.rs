//! Merges finished parts into the output.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use effnet_checkpoint::AtomicFile;

use super::folder::{PartsFolder, completed, is_recorded};
use super::part::FinishedPart;
use crate::frame::Frame;
use crate::interrupt::Interrupt;
use crate::outputs::Tally;

/// The result of an attempt to complete an output.
pub(super) enum Merged {
    /// This process completed the output, with this tally of inputs.
    Complete(Tally),
    /// Another process completed the output.
    ByAnother,
    /// This many parts are not finished yet.
    Missing(usize),
    /// Ctrl-C was pressed.
    Interrupted,
}

/// Completes the output if all parts are finished.
///
/// If several processes finish their last parts at the same time, at least the process whose part appeared last finds
/// all of them. If more than one does, they write the same bytes, and the first to finish removes the parts while the
/// others are still merging.
pub(super) fn merge(
    folder: &PartsFolder,
    frame: &Frame,
    newest_input: Option<SystemTime>,
    interrupt: &Interrupt,
) -> anyhow::Result<Merged> {
    if interrupt.is_set() {
        return Ok(Merged::Interrupted);
    }
    let attempt = attempt(folder, frame, interrupt);
    if matches!(attempt, Ok(Merged::Complete(_))) {
        return attempt;
    }
    // A third process may be replacing the output with its own identical one. Until it has also replaced the record,
    // the output is newer than its record and does not count as complete.
    for pause in [0, 10, 50, 200, 1000].map(Duration::from_millis) {
        std::thread::sleep(pause);
        if completed(&folder.output, &folder.job, newest_input)?.is_some() {
            return Ok(Merged::ByAnother);
        }
        if !is_recorded(&folder.output, &folder.job) {
            break;
        }
    }
    attempt
}

fn attempt(folder: &PartsFolder, frame: &Frame, interrupt: &Interrupt) -> anyhow::Result<Merged> {
    let missing = folder.count() - folder.finished()?.len();
    if missing > 0 {
        return Ok(Merged::Missing(missing));
    }
    let shown = || format!("{}: cannot write this file", folder.output.display());
    // Written in the folder of the parts: if this process is killed, another process removes the file along with them.
    let mut file = AtomicFile::create(&folder.merged()).with_context(shown)?;
    file.write_all(&frame.header).with_context(shown)?;
    let mut bytes = frame.header.len() as u64;
    let mut is_first = true;
    let mut tally = Tally::default();
    for number in 0..folder.count() {
        if interrupt.is_set() {
            return Ok(Merged::Interrupted);
        }
        let Some(mut part) = FinishedPart::open(&folder.file(number), folder.range(number).len())? else {
            return Ok(Merged::Missing(1));
        };
        tally.done += part.tally.done;
        tally.failed += part.tally.failed;
        if part.content.limit() == 0 {
            continue;
        }
        if !is_first {
            file.write_all(frame.separator.as_bytes()).with_context(shown)?;
            bytes += frame.separator.len() as u64;
        }
        is_first = false;
        bytes += io::copy(&mut part.content, &mut file).with_context(shown)?;
    }
    file.commit().with_context(shown)?;
    folder.complete(bytes, tally).with_context(shown)?;
    Ok(Merged::Complete(tally))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Barrier;

    use super::super::job::Job;
    use super::super::part::PartWriter;
    use super::*;

    const INPUTS: usize = 7;

    fn join(output: &Path, rank: usize) -> PartsFolder {
        PartsFolder::join(output, Job::new("test"), INPUTS, 2, rank).unwrap()
    }

    fn write(folder: &PartsFolder, part: usize, content: &str) {
        let mut writer = PartWriter::create(&folder.file(part)).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
        writer.tally.failed = 1;
        writer.tally.done = folder.range(part).len() - 1;
        writer.commit().unwrap();
    }

    fn frame() -> Frame {
        Frame {
            header: b"header\n".to_vec(),
            separator: "\n",
        }
    }

    #[test]
    fn processes_that_merge_at_a_time_leave_one_whole_output_and_no_part() {
        for _ in 0..50 {
            let place = tempfile::tempdir().unwrap();
            let output = place.path().join("out");
            let folders: Vec<PartsFolder> = (0..4).map(|rank| join(&output, rank)).collect();
            for (part, content) in ["a\nb\n", "", "c\n", "d\n"].into_iter().enumerate() {
                write(&folders[0], part, content);
            }
            let interrupt = Interrupt::listen();
            let start = Barrier::new(folders.len());
            let merge = |folder: &PartsFolder| {
                start.wait();
                super::merge(folder, &frame(), None, &interrupt).unwrap()
            };
            let merged: Vec<Merged> = std::thread::scope(|scope| {
                let threads: Vec<_> = folders
                    .iter()
                    .map(|folder| scope.spawn(|| merge(folder)))
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let whole = Tally { done: 3, failed: 4 };
            let is_whole = |merged: &Merged| matches!(merged, Merged::Complete(tally) if *tally == whole);
            assert!(merged.iter().any(is_whole));
            assert!(
                merged
                    .iter()
                    .all(|merged| is_whole(merged) || matches!(merged, Merged::ByAnother))
            );
            assert_eq!(
                std::fs::read_to_string(&output).unwrap(),
                "header\na\nb\n\nc\n\nd\n"
            );
            assert_eq!(
                std::fs::read_dir(place.path()).unwrap().count(),
                2,
                "the output and its note"
            );
        }
    }

    #[test]
    fn an_output_that_a_third_process_is_replacing_counts_as_complete() {
        let place = tempfile::tempdir().unwrap();
        let output = place.path().join("out");
        let [first, second] = [0, 1].map(|rank| join(&output, rank));
        for part in 0..4 {
            write(&first, part, "a\n");
        }
        let merge = |folder: &PartsFolder| super::merge(folder, &frame(), None, &Interrupt::listen());
        assert!(matches!(merge(&first), Ok(Merged::Complete(_))));
        // The third process has renamed its file to the output, and replaces the record a little later.
        let later = SystemTime::now() + Duration::from_secs(1);
        let touch = |path: &Path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(later).unwrap();
        };
        touch(&output);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(100));
                touch(&super::super::folder::note(&output));
            });
            assert!(matches!(merge(&second), Ok(Merged::ByAnother)));
        });
    }

    #[test]
    fn what_is_missing_is_counted_and_nothing_is_written() {
        let place = tempfile::tempdir().unwrap();
        let output = place.path().join("out");
        let folder = join(&output, 0);
        write(&folder, 2, "c\n");
        let merged = merge(&folder, &frame(), None, &Interrupt::listen()).unwrap();
        assert!(matches!(merged, Merged::Missing(3)));
        assert!(!output.exists());
    }
}
