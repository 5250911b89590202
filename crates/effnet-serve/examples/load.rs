//! A load generator: clients that each send one image after another, and the times of the answers.
//!
//! ```text
//! load ADDRESS PATH CLIENTS SECONDS IMAGE...
//! ```
//!
//! Prints one line of JSON: requests per second, latencies in milliseconds, failures by status, and the processor time
//! of the generator itself, which competes with the server for the cores.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, clients, seconds, images @ ..] = &arguments[..] else {
        panic!("usage: load ADDRESS PATH CLIENTS SECONDS IMAGE...");
    };
    let requests = images
        .iter()
        .map(|image| request(path, &std::fs::read(image).unwrap()));
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(requests.collect());
    let clients: usize = clients.parse().unwrap();
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds.parse().unwrap());
    let used = processor_seconds();
    let threads: Vec<_> = (0..clients)
        .map(|client| {
            let (address, requests) = (address.clone(), Arc::clone(&requests));
            std::thread::spawn(move || run(&address, &requests, client, end))
        })
        .collect();
    let mut times = Vec::new();
    let mut failures: BTreeMap<u16, usize> = BTreeMap::new();
    for thread in threads {
        let (ours, failed) = thread.join().unwrap();
        times.extend(ours);
        for (status, count) in failed {
            *failures.entry(status).or_default() += count;
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| {
        times
            .get((part * times.len() as f64) as usize)
            .or(times.last())
            .copied()
            .unwrap_or(0.0)
    };
    println!(
        r#"{{"clients":{clients},"requests":{},"per_second":{:.1},"p50_ms":{:.2},"p99_ms":{:.2},"max_ms":{:.2},"failures":{:?},"generator_cores":{:.3}}}"#,
        times.len(),
        times.len() as f64 / elapsed,
        at(0.5),
        at(0.99),
        at(1.0),
        failures
            .iter()
            .map(|(status, count)| (status.to_string(), count))
            .collect::<BTreeMap<_, _>>(),
        (processor_seconds() - used) / elapsed,
    );
}

fn request(path: &str, image: &[u8]) -> Vec<u8> {
    let start = b"--B\r\ncontent-disposition: form-data; name=\"image\"; filename=\"image.jpg\"\r\ncontent-type: image/jpeg\r\n\r\n";
    let body = [&start[..], image, b"\r\n--B--\r\n"].concat();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: load\r\ncontent-type: multipart/form-data; boundary=B\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Sends requests until `end`; returns the times of the successful ones in milliseconds, and how many failed by status
/// (0 for a connection that was lost).
fn run(address: &str, requests: &[Vec<u8>], client: usize, end: Instant) -> (Vec<f64>, BTreeMap<u16, usize>) {
    let mut times = Vec::new();
    let mut failures = BTreeMap::new();
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    };
    let mut stream = connect();
    let mut buffer = Vec::new();
    for request in requests.iter().cycle().skip(client % requests.len()) {
        let start = Instant::now();
        if start >= end {
            break;
        }
        let sent = stream.write_all(request);
        let status = sent
            .and_then(|()| answer(&mut stream, &mut buffer))
            .unwrap_or_else(|_| {
                stream = connect();
                0
            });
        if status == 200 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        } else {
            *failures.entry(status).or_default() += 1;
        }
    }
    (times, failures)
}

/// Reads an answer and returns its status.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    buffer.clear();
    let mut part = [0; 16384];
    let mut end = None;
    loop {
        if end.is_none()
            && let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            let (_, length) = text.split_once("content-length:").unwrap_or(("", "0"));
            let length: usize = length.lines().next().unwrap_or("0").trim().parse().unwrap_or(0);
            end = Some(head + 4 + length);
        }
        if end.is_some_and(|end| buffer.len() >= end) {
            let status = buffer
                .get(9..12)
                .and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
            return Ok(status.unwrap_or(0));
        }
        match stream.read(&mut part)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => buffer.extend_from_slice(&part[..count]),
        }
    }
}

/// Processor time of this process so far, on Linux.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time are fields 14 and 15, in hundredths of a second; field 3 is the first here.
    fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
