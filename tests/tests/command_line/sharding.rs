//! One job for several processes: they leave what one process leaves, whatever happens to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use effnet_core::Variant;
use effnet_tests::{Finished, effnet, finish, interrupt, skip, torchrun};
use serde_json::Value;
use tempfile::TempDir;

use super::{weights, write_image};

/// A folder `in` with images `0000.png`, `0001.png`, ... of a few kinds, every tenth a little larger, and with a
/// file that is not an image.
fn inputs(count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("in");
    std::fs::create_dir(&images).unwrap();
    let kinds: Vec<Vec<u8>> = (0..10)
        .map(|kind| {
            let path = folder.path().join("kind.png");
            write_image(&path, if kind == 9 { 90 } else { 30 }, 30, kind);
            std::fs::read(&path).unwrap()
        })
        .collect();
    for number in 0..count {
        std::fs::write(images.join(format!("{number:04}.png")), &kinds[number % 10]).unwrap();
    }
    std::fs::write(images.join("0003b.jpg"), "not an image").unwrap();
    folder
}

/// A call in `folder` that classifies `in`, on one thread.
fn classify(folder: &Path, arguments: &[&str]) -> Command {
    call("classify", folder, &[&["--num-classes", "3"], arguments].concat())
}

fn call(command: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut call = effnet();
    call.current_dir(folder).args([command, "in", "--device", "cpu"]);
    call.args(["--image-size", "32", "--threads", "1", "--batch-size", "2"]);
    call.arg("--weights").arg(weights(Variant::B0, 3)).args(arguments);
    for variable in [
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "SLURM_PROCID",
    ] {
        call.env_remove(variable);
    }
    call
}

/// The same call as one of `world_size` processes.
fn of_rank(mut call: Command, rank: usize, world_size: usize) -> Command {
    call.env("RANK", rank.to_string())
        .env("WORLD_SIZE", world_size.to_string());
    call
}

fn start(call: &mut Command) -> Child {
    call.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    call.spawn().expect("effnet starts")
}

/// Runs all ranks side by side to their ends.
fn finish_group(world_size: usize, call: impl Fn() -> Command) -> Vec<Finished> {
    let ranks: Vec<Child> = (0..world_size)
        .map(|rank| start(&mut of_rank(call(), rank, world_size)))
        .collect();
    let wait = |rank: Child| rank.wait_with_output().unwrap().into();
    ranks.into_iter().map(wait).collect()
}

fn codes(group: &[Finished]) -> Vec<Option<i32>> {
    let mut codes: Vec<_> = group.iter().map(|rank| rank.code).collect();
    codes.sort_unstable();
    codes
}

/// Whoever completes the output tells of the bad input, as one process does; several may do so at the same time.
fn assert_bad_input_told(group: &[Finished]) {
    let codes = codes(group);
    assert_eq!(codes.last(), Some(&Some(1)), "{}", said(group));
    assert!(
        codes.iter().all(|code| matches!(code, Some(0 | 1))),
        "{}",
        said(group)
    );
}

fn said(group: &[Finished]) -> String {
    group.iter().map(|rank| rank.stderr.as_str()).collect()
}

/// What one process leaves.
fn expected(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let run = finish(classify(folder, arguments).args(["--output", "expected"]));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    std::fs::read(folder.join("expected")).unwrap()
}

/// The finished parts of `out`, with the times at which they were written.
fn parts(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let Ok(entries) = std::fs::read_dir(folder.join("out.parts")) else {
        return BTreeMap::new();
    };
    let parts = entries.map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.bytes().all(|byte| byte.is_ascii_digit())
    });
    parts
        .map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap()))
        .collect()
}

/// Waits until there are more finished parts than before.
fn wait_for_parts(folder: &Path, before: usize) {
    let start = Instant::now();
    while parts(folder).len() <= before {
        assert!(start.elapsed() < Duration::from_secs(120), "no part was finished");
        std::thread::sleep(Duration::from_millis(2));
    }
}

const JSON: [&str; 4] = ["--format", "json", "--output", "out"];

#[test]
fn two_and_three_ranks_leave_the_bytes_of_one_process_in_every_format() {
    let folder = inputs(40);
    for format in ["json", "csv", "text"] {
        let arguments = ["--format", format];
        let expected = expected(folder.path(), &arguments);
        for world_size in [2, 3] {
            let output = format!("out-{world_size}.{format}");
            let group = finish_group(world_size, || {
                let mut call = classify(folder.path(), &arguments);
                call.args(["--output", &output]);
                call
            });
            assert_bad_input_told(&group);
            assert_eq!(said(&group).matches("0003b.jpg").count(), 1, "{}", said(&group));
            let found = std::fs::read(folder.path().join(&output)).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&found),
                String::from_utf8_lossy(&expected)
            );
            assert!(!folder.path().join(format!("{output}.parts")).exists());
        }
    }
}

#[test]
fn ranks_that_compute_features_leave_the_bytes_of_one_process() {
    let folder = inputs(20);
    for format in ["json", "csv"] {
        let of = |output: &str| {
            call(
                "features",
                folder.path(),
                &["--format", format, "--output", output],
            )
        };
        assert_eq!(finish(&mut of("expected")).code, Some(1));
        let group = finish_group(2, || of(format));
        assert_bad_input_told(&group);
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert!(read(format) == read("expected"), "{format}");
    }
}

#[cfg(unix)]
#[test]
fn a_rank_that_is_killed_twice_goes_on_after_its_finished_parts() {
    let folder = inputs(600);
    let folder = folder.path();
    let expected = expected(folder, &["--format", "json"]);
    let mut kept = BTreeMap::new();
    for _ in 0..2 {
        let mut rank = start(&mut of_rank(classify(folder, &JSON), 1, 2));
        wait_for_parts(folder, kept.len());
        rank.kill().unwrap();
        assert_eq!(rank.wait().unwrap().code(), None, "it ended before it was killed");
        kept.extend(parts(folder));
    }
    let run = finish(&mut of_rank(classify(folder, &JSON), 1, 2));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let all = parts(folder);
    assert!(kept.len() < all.len(), "it was killed after its last part");
    for (part, written) in &kept {
        assert_eq!(all.get(part), Some(written), "{} was made twice", part.display());
    }
    assert!(!folder.join("out").exists());
    let run = finish(&mut of_rank(classify(folder, &JSON), 0, 2));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(std::fs::read(folder.join("out")).unwrap() == expected);
    assert!(!folder.join("out.parts").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_finished_parts_and_says_how_to_go_on() {
    let folder = inputs(600);
    let folder = folder.path();
    let expected = expected(folder, &["--format", "json"]);
    let rank = start(&mut of_rank(classify(folder, &JSON), 0, 2));
    wait_for_parts(folder, 0);
    interrupt(&rank);
    let run: Finished = rank.wait_with_output().unwrap().into();
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    assert!(
        run.stderr.contains("run the same command to resume"),
        "{}",
        run.stderr
    );
    let kept = parts(folder);
    let left = std::fs::read_dir(folder.join("out.parts")).unwrap().count();
    assert_eq!(
        left,
        kept.len() + 1,
        "more is left than parts and their description"
    );
    // A group of another size goes on too.
    let run = finish(&mut of_rank(classify(folder, &JSON), 0, 1));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("parts are already finished"),
        "{}",
        run.stderr
    );
    assert!(std::fs::read(folder.join("out")).unwrap() == expected);
}

#[test]
fn a_job_that_is_whole_is_not_done_again_unless_its_output_or_an_input_changed() {
    let folder = inputs(20);
    let folder = folder.path();
    finish_group(2, || classify(folder, &JSON));
    let written = || folder.join("out").metadata().unwrap().modified().unwrap();
    let first = written();
    let group = finish_group(2, || classify(folder, &JSON));
    // Its outcome is told again, by one.
    assert_eq!(codes(&group), [Some(0), Some(1)], "{}", said(&group));
    assert!(said(&group).contains("already complete"), "{}", said(&group));
    assert_eq!(written(), first);
    assert!(!folder.join("out.parts").exists());

    let whole = std::fs::read(folder.join("out")).unwrap();
    std::fs::write(folder.join("out"), "something else").unwrap();
    finish_group(2, || classify(folder, &JSON));
    assert!(std::fs::read(folder.join("out")).unwrap() == whole);

    let second = written();
    std::fs::copy(folder.join("in/0001.png"), folder.join("in/0002.png")).unwrap();
    finish_group(2, || classify(folder, &JSON));
    assert_ne!(written(), second);
}

#[test]
fn parts_of_another_job_are_refused_with_what_differs() {
    let folder = inputs(20);
    let folder = folder.path();
    let run = finish(&mut of_rank(classify(folder, &JSON), 0, 2));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let kept = parts(folder);
    let refused = |call: Command, difference: &str| {
        let run = finish(&mut of_rank(call, 1, 2));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        for word in ["out.parts", "a different job", difference] {
            assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
        }
        assert_eq!(parts(folder), kept);
    };
    let mut other = classify(folder, &JSON);
    other.args(["--top-k", "1"]);
    refused(other, "differs in: top_k.");
    // A rank that finds other files than the ranks before it.
    write_image(&folder.join("in/0000b.png"), 30, 30, 1);
    refused(classify(folder, &JSON), "differs in: inputs, listing.");
}

#[test]
fn a_damaged_part_is_named_and_made_anew_once_it_is_removed() {
    let folder = inputs(20);
    let folder = folder.path();
    let expected = expected(folder, &["--format", "json"]);
    let mut first = of_rank(classify(folder, &JSON), 0, 2);
    finish(&mut first);
    let part = parts(folder).into_keys().next().unwrap();
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    let run = finish(&mut of_rank(classify(folder, &JSON), 1, 2));
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let named = format!(
        "{}: this part is damaged",
        part.strip_prefix(folder).unwrap().display()
    );
    assert!(run.stderr.contains(&named), "{}", run.stderr);
    assert!(!folder.join("out").exists());
    std::fs::remove_file(&part).unwrap();
    assert_eq!(finish(&mut first).code, Some(1));
    assert!(std::fs::read(folder.join("out")).unwrap() == expected);
}

#[test]
fn results_on_standard_output_and_a_list_on_standard_input_are_refused_to_a_group() {
    let folder = inputs(2);
    let run = finish(&mut of_rank(classify(folder.path(), &["--format", "json"]), 0, 2));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("--output"), "{}", run.stderr);
    let mut list = of_rank(classify(folder.path(), &JSON), 0, 2);
    let run = finish(list.arg("-").stdin(Stdio::null()));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("standard input"), "{}", run.stderr);
    // A group of one prints as a process by itself does.
    let run = finish(&mut of_rank(classify(folder.path(), &["--format", "json"]), 0, 1));
    assert_eq!(
        (run.code, run.stdout.lines().count()),
        (Some(1), 3),
        "{}",
        run.stderr
    );
}

#[test]
fn evaluation_is_refused_to_a_group() {
    let folder = inputs(2);
    let run = finish(&mut of_rank(call("evaluate", folder.path(), &[]), 1, 2));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("one process"), "{}", run.stderr);
}

/// Under torchrun, rank 1 of the first two attempts is killed once it has finished a part.
#[cfg(unix)]
#[test]
fn torchrun_restarts_a_rank_that_is_killed_twice_and_every_file_is_there_once() {
    const KILLED: &str = r#"
        if [ "$RANK" = 1 ] && [ "$TORCHELASTIC_RESTART_COUNT" -lt 2 ]; then
            before=$(ls out.parts 2>/dev/null | wc -l)
            "$@" & rank=$!
            while kill -0 $rank && [ "$(ls out.parts 2>/dev/null | wc -l)" -le $((before + 2)) ]; do
                sleep 0.005
            done
            kill -9 $rank && echo killed >> kills
            wait $rank
        else
            exec "$@"
        fi"#;
    let test = "torchrun_restarts_a_rank_that_is_killed_twice_and_every_file_is_there_once";
    let mut group = match torchrun() {
        Ok(torchrun) => torchrun,
        Err(reason) => return skip(test, &reason),
    };
    let folder = inputs(600);
    let folder = folder.path();
    // Its exit code would be a reason for torchrun to restart the group.
    std::fs::remove_file(folder.join("in/0003b.jpg")).unwrap();
    let call = classify(folder, &JSON);
    group
        .current_dir(folder)
        .args(["sh", "-c", KILLED, "sh"])
        .arg(call.get_program())
        .args(call.get_args());
    for (name, value) in call.get_envs() {
        match value {
            Some(value) => group.env(name, value),
            None => group.env_remove(name),
        };
    }
    let run = finish(&mut group);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        std::fs::read_to_string(folder.join("kills")).unwrap(),
        "killed\nkilled\n"
    );
    let output = std::fs::read_to_string(folder.join("out")).unwrap();
    let names: Vec<String> = output
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["input"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let all: Vec<String> = (0..600).map(|number| format!("in/{number:04}.png")).collect();
    assert_eq!(names, all);
}
