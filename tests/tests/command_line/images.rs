//! Inputs that are no images, or not readable: each is named with its reason, and the exit code says
//! that nothing could be done.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use effnet_core::Variant;
use effnet_data::Splits;
use effnet_tests::{Finished, effnet, finish, skip};

use super::{images, weights, write_image};

fn classify(input: &Path) -> Finished {
    let start = Instant::now();
    let run = finish(
        effnet()
            .arg("classify")
            .arg(input)
            .arg("--weights")
            .arg(weights(Variant::B0, 1000)),
    );
    assert!(
        start.elapsed() < Duration::from_secs(300),
        "{} hung",
        input.display()
    );
    run
}

fn assert_failed(run: &Finished, input: &Path, words: &[&str]) {
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    for word in [&[input.to_str().unwrap()], words].concat() {
        assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
    }
}

#[test]
fn a_missing_image_is_named() {
    let input = Path::new("no/such/photo.jpg");
    assert_failed(&classify(input), input, &["No such file"]);
}

#[test]
fn text_named_jpg_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("letter.jpg");
    std::fs::write(&input, "Dear reader, this is not an image at all.").unwrap();
    assert_failed(&classify(&input), &input, &["expected"]);
}

#[test]
fn an_empty_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("empty.png");
    std::fs::write(&input, "").unwrap();
    assert_failed(&classify(&input), &input, &["empty"]);
}

#[test]
fn a_truncated_image_is_refused_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cut.jpg", "cut.png", "cut.webp", "cut.bmp", "cut.gif", "cut.tiff"] {
        let input = folder.path().join(name);
        write_image(&input, 200, 150, 1);
        let whole = std::fs::read(&input).unwrap();
        std::fs::write(&input, &whole[..whole.len() / 2]).unwrap();
        assert_failed(&classify(&input), &input, &[]);
    }
}

#[test]
fn a_header_that_claims_sixty_thousand_pixels_square_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("huge.png");
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        bytes.extend((data.len() as u32).to_be_bytes());
        let start = bytes.len();
        bytes.extend(kind);
        bytes.extend(data);
        let sum = crc32fast::hash(&bytes[start..]);
        bytes.extend(sum.to_be_bytes());
    };
    let mut header = Vec::new();
    header.extend(60000u32.to_be_bytes());
    header.extend(60000u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    chunk(b"IHDR", &header);
    chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01]);
    chunk(b"IEND", &[]);
    std::fs::write(&input, bytes).unwrap();
    assert_failed(&classify(&input), &input, &["60000"]);
}

#[test]
fn an_empty_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_failed(
        &classify(folder.path()),
        folder.path(),
        &["no images in this folder"],
    );
}

#[test]
fn classify_lists_the_images_that_training_lists() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        std::fs::create_dir_all(folder.path().join(class).join("deep")).unwrap();
        std::fs::create_dir_all(folder.path().join(class).join(".hidden")).unwrap();
        for name in [
            "a.jpg",
            "b.JPEG",
            "c.jfif",
            "d.jpe",
            "e.png",
            "f.webp",
            "g.tif",
            "h.txt",
            "i",
            "._a.jpg",
            "deep/j.bmp",
            ".hidden/k.png",
        ] {
            std::fs::write(folder.path().join(class).join(name), "not an image").unwrap();
        }
    }
    let dataset = Splits::open(folder.path()).unwrap().train;
    let mut trained: Vec<String> = (0..dataset.len()).map(|index| dataset.name(index)).collect();
    trained.sort();
    let mut call = effnet();
    call.arg("classify")
        .arg(folder.path())
        .args(["--model", "b0.cifar10", "--format", "json"]);
    let run = finish(&mut call);
    let records = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut classified: Vec<String> = records
        .map(|record| record["input"].as_str().unwrap().to_owned())
        .collect();
    classified.sort();
    assert_eq!(classified, trained);
    assert_eq!(classified.len(), 2 * 8);
}

#[test]
fn an_unreadable_folder_is_named_and_the_others_go_on() {
    let test = "an_unreadable_folder_is_named_and_the_others_go_on";
    let folder = images();
    let secret = folder.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    write_image(&secret.join("x.png"), 64, 64, 1);
    assert!(
        Command::new("chmod")
            .arg("000")
            .arg(&secret)
            .status()
            .unwrap()
            .success()
    );
    let mut command = effnet();
    command
        .arg("classify")
        .arg(folder.path())
        .arg("--weights")
        .arg(weights(Variant::B0, 1000));
    if std::fs::read_dir(&secret).is_ok() {
        // root reads everything: give up its rights for this call.
        let Ok(unprivileged) = without_privileges(&command) else {
            return skip(test, "setpriv is missing, and root can read every folder");
        };
        command = unprivileged;
    }
    let run = finish(&mut command);
    assert!(
        Command::new("chmod")
            .arg("700")
            .arg(&secret)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("secret") && run.stderr.contains("ermission denied"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout.matches(".png\n").count(), 3, "{}", run.stdout);
}

/// The same call with root's right to read everything taken away.
fn without_privileges(command: &Command) -> std::io::Result<Command> {
    Command::new("setpriv").arg("--version").output()?;
    let mut wrapped = Command::new("setpriv");
    wrapped.args([
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    ]);
    wrapped.arg(command.get_program()).args(command.get_args());
    Ok(wrapped)
}
