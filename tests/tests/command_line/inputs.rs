//! Where images may come from: standard input, lists, archives, the web; and where they may be sorted to.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use effnet_tests::{Finished, effnet, finish, ship};
use serde_json::Value;
use tempfile::TempDir;

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("photos/deep")).unwrap();
    for name in ["photos/a.png", "photos/deep/b.png"] {
        std::fs::copy(ship(), home.path().join(name)).unwrap();
    }
    home
}

fn classify(home: &Path, arguments: &[&str]) -> Command {
    let mut command = effnet();
    command.current_dir(home).arg("classify").args(arguments);
    command.args(["--model", "b0.cifar10", "--device", "cpu", "-k", "1"]);
    command
}

fn with_input(mut command: Command, input: &[u8]) -> Finished {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

const SHIP: &str = ": ship (90.91 %)\n";

#[test]
fn standard_input_holds_an_image_or_a_list() {
    let home = home();
    let read = |input: &[u8]| with_input(classify(home.path(), &["-"]), input);
    let image = read(&std::fs::read(ship()).unwrap());
    assert_eq!(
        (image.code, image.stdout),
        (Some(0), format!("-{SHIP}")),
        "{}",
        image.stderr
    );
    for list in [
        "photos/a.png\nphotos/deep/b.png\n",
        "photos/a.png\0photos/deep/b.png\0",
    ] {
        let run = read(list.as_bytes());
        assert_eq!(
            run.stdout,
            format!("photos/a.png{SHIP}photos/deep/b.png{SHIP}"),
            "{}",
            run.stderr
        );
    }
    // Anything else that is not text is one image that cannot be read, not hundreds of paths.
    let mut video = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic".to_vec();
    video.extend((0..100_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes()));
    for other in [&video[..], b"<!DOCTYPE html>\n<html>\n<body>\n</body>\n"] {
        let run = read(other);
        assert_eq!(run.code, Some(2));
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
}

#[test]
fn a_list_is_read_from_a_file_too() {
    let home = home();
    std::fs::write(home.path().join("list"), "photos/a.png\r\n\r\nphotos/none.png").unwrap();
    std::fs::write(home.path().join("list0"), "photos/deep/b.png\0").unwrap();
    let run = finish(&mut classify(
        home.path(),
        &["--list", "list", "--list", "list0", "photos/a.png"],
    ));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(
        run.stdout,
        format!("photos/a.png{SHIP}photos/a.png{SHIP}photos/deep/b.png{SHIP}")
    );
    assert!(run.stderr.contains("photos/none.png"), "{}", run.stderr);
    for (list, words) in [("nowhere", "No such file"), ("/dev/zero", "expected a list")] {
        let run = finish(&mut classify(home.path(), &["--list", list]));
        assert_eq!(run.code, Some(2));
        assert!(
            run.stderr.contains(list) && run.stderr.contains(words),
            "{}",
            run.stderr
        );
    }
}

/// Writes the same members into a zip, a tar and a compressed tar.
fn write_archives(home: &Path) {
    let image = std::fs::read(ship()).unwrap();
    let long = format!("in/{}/a.png", "long".repeat(40));
    let members: [(&str, &[u8]); 6] = [
        (&long, &image),
        ("b.png", &image),
        ("__MACOSX/._b.png", b"junk"),
        ("notes.txt", b"text"),
        ("phone.heic", b"x"),
        ("bad.png", b"not an image"),
    ];
    let mut zip = zip::ZipWriter::new(File::create(home.join("photos.zip")).unwrap());
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    zip.finish().unwrap();
    let tar = tar.into_inner().unwrap();
    std::fs::write(home.join("photos.tar"), &tar).unwrap();
    assert!(
        Command::new("gzip")
            .arg("-k")
            .arg(home.join("photos.tar"))
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn images_in_archives_are_classified_where_they_are() {
    let home = home();
    write_archives(home.path());
    for archive in ["photos.zip", "photos.tar", "photos.tar.gz"] {
        let run = finish(&mut classify(home.path(), &[archive]));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        let long = "long".repeat(40);
        assert_eq!(
            run.stdout,
            format!("{archive}/in/{long}/a.png{SHIP}{archive}/b.png{SHIP}"),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr.contains(&format!("error: {archive}/bad.png: ")),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("1 HEIC file skipped"), "{}", run.stderr);
        // All formats of all commands see the same images.
        let mut command = effnet();
        command
            .current_dir(home.path())
            .args(["features", archive, "--model", "b0.cifar10"]);
        let features = finish(&mut command);
        assert_eq!(features.stdout.lines().count(), 3, "{}", features.stderr);
    }
    let whole = std::fs::read(home.path().join("photos.tar")).unwrap();
    std::fs::write(home.path().join("cut.tar"), &whole[..1500]).unwrap();
    std::fs::write(home.path().join("text.zip"), "not an archive").unwrap();
    std::fs::write(home.path().join("x.7z"), "7z").unwrap();
    for (archive, kind) in [
        ("cut.tar", "damaged"),
        ("text.zip", "damaged"),
        ("x.7z", "unsupported"),
    ] {
        let run = finish(&mut classify(home.path(), &[archive, "--format", "json"]));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        let record: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(
            (&record["input"], &record["kind"]),
            (&archive.into(), &kind.into()),
            "{record}"
        );
    }
}

/// Serves the ship at `/ship.png` and nothing else.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let image = std::fs::read(ship()).unwrap();
        for mut stream in listener.incoming().flatten() {
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            request.read_line(&mut first).unwrap();
            let mut line = String::from("x");
            while !line.trim().is_empty() {
                line.clear();
                request.read_line(&mut line).unwrap();
            }
            let (status, length, body) = match first.split(' ').nth(1) {
                Some("/ship.png?size=full") => ("200 OK", image.len() as u64, &image[..]),
                Some("/large.png") => ("200 OK", 1 << 40, &image[..0]),
                _ => ("404 Not Found", 0, &image[..0]),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body));
        }
    });
    address
}

#[test]
fn images_of_the_web_are_downloaded_and_failures_have_kinds() {
    let home = home();
    let server = serve();
    let addresses = ["ship.png?size=full", "none.png", "large.png"].map(|file| format!("{server}/{file}"));
    let arguments: Vec<&str> = addresses
        .iter()
        .map(String::as_str)
        .chain(["--format", "json"])
        .collect();
    let mut command = classify(home.path(), &arguments);
    command.env_remove("EFFNET_OFFLINE").args(["--copy-to", "sorted"]);
    let run = finish(command.env("NO_PROXY", "*"));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let records: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records[0]["predictions"][0]["label"], "ship");
    assert_eq!(records[1]["kind"], "download");
    assert_eq!(records[2]["kind"], "too_large");
    assert!(home.path().join("sorted/ship/ship.png").is_file());
    // The test's environment says to stay offline.
    let run = finish(&mut classify(home.path(), &[&addresses[0]]));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--offline"), "{}", run.stderr);
}

#[test]
fn images_are_sorted_into_class_folders_and_nothing_is_overwritten() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    std::fs::create_dir_all(at("sorted/ship")).unwrap();
    std::fs::write(at("sorted/ship/a.png"), "precious").unwrap();
    for _ in 0..2 {
        let run = finish(&mut classify(home.path(), &["photos", "--copy-to", "sorted"]));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    let mut names: Vec<_> = std::fs::read_dir(at("sorted/ship"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a-2.png", "a.png", "b.png"]);
    assert_eq!(std::fs::read(at("sorted/ship/a.png")).unwrap(), b"precious");
    assert_eq!(
        std::fs::read(at("sorted/ship/a-2.png")).unwrap(),
        std::fs::read(ship()).unwrap()
    );
    let run = finish(&mut classify(home.path(), &["photos", "--link-to", "linked"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        std::fs::read_link(at("linked/ship/b.png")).unwrap(),
        at("photos/deep/b.png").canonicalize().unwrap()
    );
    // What is not likely enough is not sorted.
    let unsure = ["photos", "--copy-to", "sure", "--min-probability", "0.99"];
    assert_eq!(finish(&mut classify(home.path(), &unsure)).code, Some(0));
    assert_eq!(std::fs::read_dir(at("sure")).unwrap().count(), 0);
    let run = finish(&mut classify(
        home.path(),
        &["photos", "--copy-to", "photos/a.png"],
    ));
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("--copy-to photos/a.png: expected a folder"),
        "{}",
        run.stderr
    );
}
