//! A server for a test, and a client that says exactly the bytes it is told to.

#![allow(dead_code, clippy::unwrap_used, clippy::missing_panics_doc)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use effnet::Model;
use effnet_serve::{Ended, ServeOptions, ServedModel, Server, listen};
use tokio::sync::oneshot;

/// The image that the documentation shows.
pub(crate) fn ship() -> Vec<u8> {
    std::fs::read(ship_path()).unwrap()
}

pub(crate) fn ship_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ship.png")
}

pub(crate) fn model() -> Model {
    Model::open("b0.cifar10").unwrap()
}

/// A server that runs until it is dropped or [stopped](Self::stop).
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Ended>>,
}

impl Running {
    pub(crate) fn start(options: ServeOptions) -> Self {
        Self::with_models(vec![ServedModel::new("b0.cifar10", model()).unwrap()], options)
    }

    pub(crate) fn with_models(models: Vec<ServedModel>, options: ServeOptions) -> Self {
        let listener = listen("127.0.0.1", 0).unwrap();
        let server = Server::new(listener, models, options.with_log(false)).unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            server.run_until(async {
                let _ = stopped.await;
            })
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Tells the server to stop, without waiting.
    pub(crate) fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) fn stop(mut self) -> Ended {
        self.tell_to_stop();
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(self.address)
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.connect().request("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.connect().request("POST", path, headers, body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// The numbers of a list, as 32-bit floats.
pub(crate) fn floats(list: &serde_json::Value) -> Vec<f32> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap() as f32)
        .collect()
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send(method, path, headers, body);
        self.answer().unwrap()
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        self.stream
            .write_all(&[request.as_bytes(), body].concat())
            .unwrap();
    }

    /// Reads an answer; `None` if the server closed the connection, or if none came in time.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read()?;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut answer = Answer {
            status: head.split_whitespace().nth(1).unwrap().parse().unwrap(),
            head,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.read()?;
        }
        answer.body = self.unread.drain(..length).collect();
        Some(answer)
    }

    fn read(&mut self) -> Option<()> {
        let mut part = vec![0; 65536];
        match self.stream.read(&mut part) {
            Ok(0) => None,
            Ok(count) => {
                self.unread.extend_from_slice(&part[..count]);
                Some(())
            }
            Err(error) if [ErrorKind::ConnectionReset, ErrorKind::WouldBlock].contains(&error.kind()) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Builds a body of multipart/form-data: files with their names, and fields.
pub(crate) fn multipart(files: &[(&str, &[u8])], fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        body.extend(
            format!("--B\r\ncontent-disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\r\n")
                .bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    for (name, value) in fields {
        body.extend(
            format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
        );
    }
    body.extend(b"--B--\r\n");
    body
}

pub(crate) const MULTIPART: (&str, &str) = ("content-type", "multipart/form-data; boundary=B");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
