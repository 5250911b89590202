//! A web server on loopback that misbehaves as scripted by a test.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The time for which a stalled connection is kept open.
const PATIENCE: Duration = Duration::from_secs(8);

/// A client's request.
#[derive(Debug, Clone)]
pub struct Request {
    pub target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The N in `Range: bytes=N-`.
    pub fn range_start(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// A response of the server, with its misbehaviour.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Content-Length, if it differs from the length of the body.
    pub length: Option<usize>,
    /// Close the connection after this many bytes of the body.
    pub cut: Option<usize>,
    /// Send nothing more after this many bytes of the body, but keep the connection open.
    pub stall: Option<usize>,
    /// Pause after every 64 KiB.
    pub slow: Option<Duration>,
    /// Send the body again and again, without Content-Length.
    pub endless: bool,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn whole(body: &[u8]) -> Self {
        Self {
            status: 200,
            body: body.to_vec(),
            ..Self::default()
        }
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::status(302).header("Location", to)
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The response of a correct server for this file, with support for Range and If-Range.
    pub fn file(request: &Request, body: &[u8], etag: &str) -> Self {
        let same = request.header("if-range").is_none_or(|known| known == etag);
        let reply = match request.range_start().filter(|_| same) {
            Some(start) if start < body.len() => {
                let last = body.len() - 1;
                let range = format!("bytes {start}-{last}/{}", body.len());
                Self {
                    status: 206,
                    ..Self::whole(&body[start..])
                }
                .header("Content-Range", range)
            }
            Some(_) => Self::status(416),
            None => Self::whole(body),
        };
        reply.header("ETag", etag)
    }
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A server that runs until the test process ends.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts a server that replies to requests with `script(request, index)`, with indices from 0.
    pub fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                thread::spawn(move || serve(&stream, &*script, &log));
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, script: &Script, log: &Mutex<Vec<Request>>) {
    let mut lines = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let Some(first) = lines.next() else { return };
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| {
            line.split_once(": ")
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .collect();
    let request = Request { target, headers };
    let index = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    // The client may hang up at any time.
    let _ = send(stream, &script(&request, index));
    let _ = stream.shutdown(Shutdown::Both);
}

fn send(mut stream: &TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} -\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply.endless {
        head += &format!("Content-Length: {}\r\n", reply.length.unwrap_or(reply.body.len()));
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    if reply.endless {
        loop {
            stream.write_all(&reply.body)?;
        }
    }
    let end = reply.cut.or(reply.stall).unwrap_or(reply.body.len());
    for block in reply.body[..end].chunks(1 << 16) {
        stream.write_all(block)?;
        if let Some(pause) = reply.slow {
            thread::sleep(pause);
        }
    }
    if reply.stall.is_some() {
        thread::sleep(PATIENCE);
    }
    Ok(())
}
