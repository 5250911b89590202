//! A web server on loopback with a few files.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A running server; it ends with the test process.
pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// Lets the first answers wait until so many requests are there at once.
pub(crate) struct Gathering {
    wanted: usize,
    present: Mutex<usize>,
    changed: Condvar,
}

impl Gathering {
    pub(crate) fn of(wanted: usize) -> Self {
        Self {
            wanted,
            present: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    /// Goes on when all are there, or after a time in which they would have been.
    fn join(&self) {
        let mut present = self.present.lock().unwrap();
        *present += 1;
        self.changed.notify_all();
        let missing = |present: &mut usize| *present < self.wanted;
        let patience = Duration::from_secs(20);
        drop(
            self.changed
                .wait_timeout_while(present, patience, missing)
                .unwrap(),
        );
    }

    pub(crate) fn is_complete(&self) -> bool {
        *self.present.lock().unwrap() >= self.wanted
    }
}

impl Server {
    /// Serves files by name; everything else is not found.
    pub(crate) fn start(files: BTreeMap<String, Vec<u8>>, gathering: Option<Arc<Gathering>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (files, count) = (Arc::new(files), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let (files, gathering) = (Arc::clone(&files), gathering.clone());
                std::thread::spawn(move || answer(stream, &files, gathering.as_deref()));
            }
        });
        Self { address, connections }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// How many clients have come.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, gathering: Option<&Gathering>) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let name = first
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    drop(lines.find(String::is_empty));
    let (status, body) = match files.get(&name) {
        Some(body) => {
            if let Some(gathering) = gathering {
                gathering.join();
            }
            ("200 OK", body.as_slice())
        }
        None => ("404 Not Found", &[][..]),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    // A client that left is its own business.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}
