//! `effnet serve` as a process: its address, its answers next to those of `classify`, its end, and what it refuses.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use test_support::{shared_data, skip};

fn effnet(arguments: &[&str]) -> Command {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    call.args(arguments).env("EFFNET_OFFLINE", "1");
    call
}

fn run(arguments: &[&str]) -> Output {
    effnet(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server that is killed if the test fails.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--weights", "b0.cifar10", "--port", "0"], arguments].concat();
        let process = effnet(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self::of(process)
    }

    /// Waits until the server prints its address.
    fn of(mut process: Child) -> Self {
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().to_owned();
        Self { process, address }
    }

    fn post(&self, head: &str, body: &[u8]) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!("POST {head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// Sends SIGTERM; returns the exit code and standard error.
    fn terminate(mut self) -> (Option<i32>, String) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut log = String::new();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (self.process.wait().unwrap().code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The ship and all photos of the shared data.
fn images() -> Vec<PathBuf> {
    let mut images = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ship.png")];
    match shared_data() {
        Ok(folder) => images.extend(files_under(&folder.join("images"))),
        Err(reason) => skip("the photos of shared data, served", &reason),
    }
    images
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let files = entries.into_iter().map(|path| {
        if path.is_dir() {
            files_under(&path)
        } else {
            vec![path]
        }
    });
    files.flatten().collect()
}

/// A multipart body with the images of the files `paths`, under `names`.
fn form(names: &[&str], paths: &[PathBuf]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, path) in names.iter().zip(paths) {
        body.extend(
            format!("--B\r\ncontent-disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n").bytes(),
        );
        body.extend(std::fs::read(path).unwrap());
        body.extend(b"\r\n");
    }
    body.extend(b"--B--\r\n");
    body
}

#[test]
fn answers_are_the_bytes_of_classify_in_any_batch() {
    let images = images();
    let names: Vec<&str> = images.iter().map(|path| path.to_str().unwrap()).collect();
    let expected = run(&[
        &["classify", "--weights", "b0.cifar10", "--format", "json"],
        &names[..],
    ]
    .concat());
    let expected: Vec<String> = String::from_utf8(expected.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(expected.len(), names.len());
    // One request holds at most 64 images.
    let requests: Vec<(Vec<u8>, String)> = (0..names.len())
        .step_by(40)
        .map(|from| {
            let part = from..names.len().min(from + 40);
            let body = form(&names[part.clone()], &images[part.clone()]);
            (body, format!("[{}]\n", expected[part].join(",\n")))
        })
        .collect();
    for arguments in [
        &["--max-batch-size", "1"][..],
        &["--max-batch-size", "16", "--max-queue-delay-us", "2000"],
        &[],
    ] {
        let server = Server::start(arguments);
        for (body, expected) in &requests {
            let (head, found) = server.post(
                "/classify HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=B",
                body,
            );
            assert!(head.starts_with("HTTP/1.1 200"), "{head} {found}");
            assert_eq!(&found, expected);
        }
        let (code, log) = server.terminate();
        assert_eq!(code, Some(0), "{log}");
        let line = log.lines().find(|line| line.starts_with('{')).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (line["route"].as_str(), line["status"].as_u64()),
            (Some("/classify"), Some(200))
        );
    }
    let server = Server::start(&["--quiet"]);
    let piped = effnet(&["classify", "-", "--weights", "b0.cifar10", "--format", "json"])
        .stdin(std::fs::File::open(&images[0]).unwrap())
        .output()
        .unwrap();
    let (_, found) = server.post("/classify HTTP/1.1", &std::fs::read(&images[0]).unwrap());
    assert_eq!(found.as_bytes(), piped.stdout);
    assert_eq!(server.terminate(), (Some(0), String::new()));
}

#[test]
fn models_are_named_after_ids_folders_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("birds");
    std::fs::create_dir(&run_folder).unwrap();
    let file = run_folder.join("best.safetensors");
    assert!(
        run(&["convert", "b0.cifar10", file.to_str().unwrap()])
            .status
            .success()
    );
    let named = format!("mine={}", file.display());
    let server = Server::start(&["--weights", run_folder.to_str().unwrap(), "--weights", &named]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(b"GET /models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let models: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let names: Vec<&str> = (0..3)
        .map(|index| models["models"][index]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["b0.cifar10", "birds", "mine"]);

    let file = file.to_str().unwrap();
    for (arguments, part) in [
        (
            &["--weights", "b0.cifar10", "--weights", "b0.cifar10"][..],
            "two models are called b0.cifar10",
        ),
        (&["--weights", "a b=b0.cifar10"], "a b: expected a model name"),
        (
            &["--model", "b0.cifar10", "--model", "lite0", "--weights", file],
            "pass all networks with --weights",
        ),
        (&["--model", "b3", "--weights", file], "found those of b0"),
        (
            &["--weights", "b0.cifar10", "--host", "no.such.host.invalid"],
            "cannot listen on no.such.host.invalid",
        ),
        (
            &["--weights", "b0.cifar10", "--api-key-file", "/dev/null"],
            "--api-key-file /dev/null: no keys",
        ),
    ] {
        let output = run(&[&["serve", "--port", "0"], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["serve", "--weights", "b0.cifar10", "--port", &port]);
    assert!(
        stderr(&output).contains(&format!("cannot listen on 127.0.0.1 port {port}")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_socket_from_systemd_is_used() {
    // systemd passes sockets from number 3 on, to the process with the number in LISTEN_PID: that of the shell, which
    // becomes effnet.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let number = listener.as_raw_fd();
    let script = format!(
        "exec 3<&{number}; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" serve --weights b0.cifar10 --port 1"
    );
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &script, env!("CARGO_BIN_EXE_effnet")])
        .env("EFFNET_OFFLINE", "1");
    inherit(&listener);
    let process = shell
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server::of(process);
    assert_eq!(server.address, address);
    let ship = std::fs::read(&images()[0]).unwrap();
    assert!(
        server
            .post("/classify HTTP/1.1", &ship)
            .0
            .starts_with("HTTP/1.1 200")
    );
}

/// Lets child processes inherit a socket.
#[allow(unsafe_code)]
fn inherit(listener: &TcpListener) {
    // SAFETY: the descriptor is open, and clearing its close-on-exec flag does not invalidate it.
    let result = unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_SETFD, 0) };
    assert_eq!(result, 0);
}
