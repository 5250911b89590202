//! Weight files that are not what they should be: each message names the file, what was expected,
//! what was found and what to do.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use effnet_core::Variant;
use effnet_tests::{Finished, effnet, finish};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use super::{images, weights};

fn classify_with(weights: &Path, arguments: &[&str]) -> Finished {
    let images = images();
    finish(
        effnet()
            .arg("classify")
            .arg(images.path().join("a.png"))
            .arg("--weights")
            .arg(weights)
            .args(arguments),
    )
}

/// The file is refused with exit code 2 and a message with its name and all of `words`.
fn assert_refused(run: &Finished, path: &Path, words: &[&str]) {
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    let name = path.file_name().unwrap().to_str().unwrap();
    for word in [&[name], words].concat() {
        assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
    }
}

fn file(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_missing_file_is_named() {
    let path = Path::new("no/such/file.pth");
    assert_refused(&classify_with(path, &[]), path, &["no such file"]);
}

#[test]
fn published_weights_that_cannot_be_had_say_where_to_put_them_by_hand() {
    let images = images();
    let run = finish(
        effnet()
            .arg("classify")
            .arg(images.path())
            .args(["--model", "b3"]),
    );
    assert_eq!(run.code, Some(2));
    for word in [
        "b3.imagenet",
        "offline",
        "https://",
        "efficientnet-b3-5fb5a3c3.pth",
        "without-caches",
    ] {
        assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
    }
}

#[test]
fn files_that_are_no_checkpoint_are_told_by_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let random: Vec<u8> = (0..5000u32)
        .map(|i| (i.wrapping_mul(2654435761) >> 13) as u8)
        .collect();
    for (name, bytes, words) in [
        ("empty.pth", Vec::new(), vec!["empty"]),
        (
            "page.pth",
            b"<!DOCTYPE html><html>404</html>".to_vec(),
            vec!["HTML"],
        ),
        (
            "pointer.pth",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 21388428\n".to_vec(),
            vec!["git", "LFS"],
        ),
        ("random.pth", random, vec![]),
    ] {
        let path = file(&folder, name, bytes);
        assert_refused(&classify_with(&path, &[]), &path, &words);
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(weights(Variant::B0, 3)).unwrap();
    let mut state = 12345u64;
    for _ in 0..50 {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let length = (state >> 20) as usize % whole.len();
        let path = file(&folder, "cut.safetensors", &whole[..length]);
        let start = Instant::now();
        assert_refused(&classify_with(&path, &["--num-classes", "3"]), &path, &[]);
        assert!(
            start.elapsed() < Duration::from_secs(300),
            "hung, cut at {length}"
        );
    }
}

#[test]
fn a_pickle_that_would_run_a_command_is_refused_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("executed");
    let mut bytes = Vec::new();
    // The legacy stream: magic number, protocol version, system information, the object.
    bytes.extend(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    bytes.extend(b"\x80\x02M\xe9\x03.");
    bytes.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
    let command = format!("touch {}", marker.display());
    bytes.extend(b"\x80\x02cos\nsystem\nX");
    bytes.extend((command.len() as u32).to_le_bytes());
    bytes.extend(command.as_bytes());
    bytes.extend(b"\x85R.\x80\x02].");
    let path = file(&folder, "evil.pth", bytes);
    assert_refused(&classify_with(&path, &[]), &path, &["system"]);
    assert!(!marker.exists());
}

#[test]
fn weights_of_another_variant_name_it() {
    let path = weights(Variant::B1, 3);
    let run = classify_with(&path, &["--model", "b0", "--num-classes", "3"]);
    assert_refused(
        &run,
        &path,
        &["expected the parameters of b0", "found those of b1", "--model b1"],
    );
}

#[test]
fn another_number_of_classes_says_which_and_what_to_pass() {
    let path = weights(Variant::B0, 3);
    assert_refused(
        &classify_with(&path, &["--num-classes", "5"]),
        &path,
        &["expected 5 classes", "found 3", "--num-classes 3"],
    );
}

#[test]
fn the_classes_of_the_weights_are_used_and_numbered() {
    let run = classify_with(&weights(Variant::B0, 3), &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("class 2"), "{}", run.stdout);
    assert!(run.stderr.contains("--labels FILE"), "{}", run.stderr);
}

#[test]
fn labels_of_the_wrong_length_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = file(&folder, "names.txt", "cat\ndog\n");
    let path = weights(Variant::B0, 3);
    let run = classify_with(&path, &["--labels", labels.to_str().unwrap()]);
    assert_refused(
        &run,
        &labels,
        &["--labels", "found 2 names", "the weights have 3 classes"],
    );
    let both = ["--labels", labels.to_str().unwrap(), "--num-classes", "3"];
    let run = classify_with(&path, &both);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("names.txt")
            && run
                .stderr
                .contains("found 2 names, but the weights have 3 classes"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_unknown_model_offers_the_nearest_names() {
    let run = classify_with(&weights(Variant::B0, 3), &["--model", "b33"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("unknown model `b33`") && run.stderr.contains("nearest: b3"),
        "{}",
        run.stderr
    );
}

/// Something done to the tensors of a file.
type Damage = Box<dyn Fn(&mut Vec<(String, Tensor)>)>;

#[test]
fn one_damaged_tensor_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let name = "_blocks.3._bn1.running_mean";
    let float = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let position = move |tensors: &[(String, Tensor)]| tensors.iter().position(|(n, _)| n == name).unwrap();
    let cases: [(&str, Damage, &[&str]); 4] = [
        (
            "missing",
            Box::new(move |t| drop(t.remove(position(t)))),
            &["missing (1)", name],
        ),
        (
            "renamed",
            Box::new(move |t| {
                let index = position(t);
                t[index].0 = "_blocks.3._bn1.mean".to_owned();
            }),
            &["missing (1)", name, "unexpected (1)", "_blocks.3._bn1.mean"],
        ),
        (
            "wrong-shape",
            Box::new(move |t| {
                let index = position(t);
                t[index].1 = float(&[12, 12]);
            }),
            &["wrong shape (1)", name, "expected [144]", "found [12, 12]"],
        ),
        (
            "broadcastable",
            Box::new(move |t| {
                let index = position(t);
                t[index].1 = float(&[1]);
            }),
            &["wrong shape (1)", name, "expected [144]", "found [1]"],
        ),
    ];
    let whole = Tensor::read_safetensors(weights(Variant::B0, 3)).unwrap();
    for (case, damage, words) in cases {
        let mut tensors: Vec<_> = whole
            .iter()
            .map(|(n, t)| (n.clone(), t.shallow_clone()))
            .collect();
        damage(&mut tensors);
        let path = folder.path().join(format!("{case}.safetensors"));
        Tensor::write_safetensors(&tensors, &path).unwrap();
        assert_refused(&classify_with(&path, &["--num-classes", "3"]), &path, words);
    }
}

#[test]
fn a_zip_bomb_is_refused_within_the_memory_of_a_small_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pth");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let deflated = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .large_file(true);
    archive.start_file("archive/data.pkl", deflated).unwrap();
    let zeros = vec![0u8; 1 << 24];
    for _ in 0..256 {
        std::io::Write::write_all(&mut archive, &zeros).unwrap();
    }
    archive.finish().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 8 << 20);

    let images = images();
    let mut child = effnet()
        .arg("classify")
        .arg(images.path().join("a.png"))
        .arg("--weights")
        .arg(&path)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(resident_kilobytes(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    let run = Finished::from(child.wait_with_output().unwrap());
    assert_refused(&run, &path, &[]);
    // libtorch's libraries alone are some 120 MiB; the bomb unpacks to 4 GiB.
    assert!(peak < 300 << 10, "{peak} KiB");
}

/// What Linux says a process has in memory at most so far.
fn resident_kilobytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
