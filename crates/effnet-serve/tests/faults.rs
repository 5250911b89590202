//! Clients that are slow, gone, greedy or hostile cost the others nothing.

#![allow(clippy::unwrap_used)]

mod server;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use effnet_image::DecodeOptions;
use effnet_serve::{ApiKeys, ServeOptions};
use server::{Client, JSON, MULTIPART, Running, multipart, ship};

/// The value of a metric without labels.
fn metric(server: &Running, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")))
        .unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn slow_and_half_sent_requests_are_cut_while_others_are_served() {
    let timeout = Duration::from_millis(1500);
    let server = Running::start(
        ServeOptions::default()
            .with_timeout(timeout)
            .with_max_concurrent_requests(2),
    );
    let image = ship();
    let slow: Vec<Client> = (0..64)
        .map(|index| {
            let mut client = server.connect();
            // Nothing, a head without its end, or a body without its end.
            let part = match index % 3 {
                0 => String::new(),
                1 => "POST /classify HTTP/1.1\r\nhost: x\r\n".to_owned(),
                _ => format!(
                    "POST /classify HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\nabc",
                    image.len()
                ),
            };
            client.stream.write_all(part.as_bytes()).unwrap();
            client
        })
        .collect();
    let mut fast = server.connect();
    for _ in 0..5 {
        assert_eq!(fast.request("POST", "/classify", &[], &image).status, 200);
    }
    assert!(metric(&server, "effnet_connections") >= 64.0);
    for (index, mut client) in slow.into_iter().enumerate() {
        let mut rest = String::new();
        client.stream.read_to_string(&mut rest).unwrap();
        assert!(index % 3 < 2 || rest.starts_with("HTTP/1.1 408"), "{rest}");
    }
    assert_eq!(server.post("/classify", &[], &image).status, 200);
}

#[test]
fn a_client_that_reads_no_answers_is_cut() {
    let server = Running::start(ServeOptions::default().with_timeout(Duration::from_secs(1)));
    let mut client = server.connect();
    client
        .stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    // Until all buffers on the way are full of answers.
    let requests = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    while client.stream.write_all(&requests).is_ok() {}
    let end = Instant::now() + Duration::from_secs(60);
    while metric(&server, "effnet_connections") > 1.0 {
        assert!(Instant::now() < end, "the connection stays");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn clients_that_go_away_free_their_places() {
    let server = Running::start(ServeOptions::default().with_max_queue_size(8));
    let image = ship();
    for round in 0..40 {
        let mut client = server.connect();
        let cut = if round % 2 == 0 {
            image.len()
        } else {
            image.len() / 2
        };
        let head = format!(
            "POST /explain HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            image.len()
        );
        client
            .stream
            .write_all(&[head.as_bytes(), &image[..cut]].concat())
            .unwrap();
    }
    // All places are free again once what was started is done.
    let eight: Vec<(&str, &[u8])> = vec![("a.png", &image); 8];
    let body = multipart(&eight, &[]);
    let end = Instant::now() + Duration::from_secs(60);
    let status = loop {
        let status = server.post("/classify", &[MULTIPART], &body).status;
        if status == 200 || Instant::now() > end {
            break status;
        }
        assert_eq!(status, 503);
    };
    assert_eq!(status, 200);
}

#[test]
fn a_full_server_says_when_to_come_back() {
    let options = ServeOptions::default()
        .with_max_queue_size(4)
        .with_max_concurrent_requests(1);
    let server = Running::start(options);
    let image = ship();
    let four: Vec<(&str, &[u8])> = vec![("a.png", &image); 4];
    let body = multipart(&four, &[]);
    let mut statuses = Vec::new();
    for _ in 0..50 {
        let mut clients: Vec<Client> = (0..6).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("POST", "/classify", &[MULTIPART], &body);
        }
        for mut client in clients {
            let answer = client.answer().unwrap();
            if answer.status != 200 {
                assert_eq!(
                    (answer.status, answer.header("retry-after")),
                    (429, Some("1")),
                    "{}",
                    answer.text()
                );
            }
            statuses.push(answer.status);
        }
        if statuses.contains(&429) {
            break;
        }
    }
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    drop(server);

    let server = Running::start(ServeOptions::default().with_max_body_memory(100_000));
    let mut holder = server.connect();
    let head = "POST /classify HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\n";
    holder
        .stream
        .write_all(&[head.as_bytes(), &vec![0; 80_000]].concat())
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    // The kernel may deliver the held body a little later.
    while server.post("/classify", &[], &vec![7; 50_000]).status != 503 {
        assert!(Instant::now() < end);
    }
    drop(holder);
    while server.post("/classify", &[], &image).status != 200 {
        assert!(Instant::now() < end);
    }
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    let decode = DecodeOptions::default().with_max_pixels(1000);
    let server = Running::start(ServeOptions::default().with_decode(decode));
    let answer = server.post("/classify", &[], &ship());
    assert_eq!(
        (answer.status, answer.json()["kind"].as_str().unwrap()),
        (413, "too_large")
    );
}

/// Sends requests with a few bytes changed, and returns how many were answered.
fn send_malformed(server: &Running, seeds: &[Vec<u8>], mut random: fastrand::Rng, count: usize) -> usize {
    let mut answered = 0;
    for round in 0..count {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.u8(..)),
                _ => {
                    let end = (at + random.usize(..20)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        // Whatever length was announced arrives, so that few requests wait for their timeout.
        bytes.resize(bytes.len() + 10_000, b'x');
        let mut client = server.connect();
        client
            .stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let _ = client.stream.write_all(&bytes);
        if let Some(answer) = client.answer() {
            assert!(
                answer.status < 500,
                "{}\n{}",
                answer.text(),
                String::from_utf8_lossy(&bytes)
            );
            answered += 1;
        }
    }
    answered
}

#[test]
fn malformed_requests_get_an_answer_or_are_cut_and_the_server_lives() {
    let server = Running::start(ServeOptions::default().with_timeout(Duration::from_secs(5)));
    let image = ship();
    let seeds: Vec<Vec<u8>> = [
        ("/classify", JSON, &br#"{"images": ["aGVsbG8="], "top_k": 1, "model": "b0.cifar10"}"#[..]),
        ("/classify?top_k=1", MULTIPART, &multipart(&[("a.png", &image[..200])], &[("top_k", "2")])),
        ("/explain?class=1&method=cam", ("x", "y"), &image[..300]),
        (
            "/v2/models/b0.cifar10/infer",
            JSON,
            br#"{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["aGVsbG8="]}]}"#,
        ),
        (
            "/v2/models/b0.cifar10/infer",
            ("inference-header-content-length", "96"),
            br#"{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":9}}]}x\x05\0\0\0hello"#,
        ),
    ]
    .into_iter()
    .map(|(path, (name, value), body)| {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{name}: {value}\r\ncontent-length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    })
    .collect();
    let answered: usize = std::thread::scope(|scope| {
        let (server, seeds) = (&server, &seeds);
        let threads: Vec<_> = (0..10)
            .map(|seed| {
                let random = fastrand::Rng::with_seed(29 + seed);
                scope.spawn(move || send_malformed(server, seeds, random, 1000))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(answered > 5000, "{answered}");
    assert_eq!(server.post("/classify", &[], &image).status, 200);
}

#[test]
fn a_server_that_stops_answers_every_request_that_has_arrived() {
    let mut server = Running::start(ServeOptions::default());
    let image = ship();
    let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    assert_eq!(clients[0].request("POST", "/classify", &[], &image).status, 200);
    for client in &mut clients {
        client.send("POST", "/classify", &[], &image);
    }
    server.tell_to_stop();
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    // Idle connections are closed, and nobody is let in.
    for client in &mut clients {
        assert!(client.answer().is_none());
    }
    let address = server.address;
    assert_eq!(server.stop().cut, 0);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_server_that_stops_under_load_loses_no_request() {
    let mut server = Running::start(ServeOptions::default());
    let image = ship();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (mut client, image) = (server.connect(), image.clone());
            std::thread::spawn(move || {
                let mut answered = 0;
                loop {
                    // Until the server asks to close the connection, every request has an answer.
                    let answer = client.request("POST", "/classify", &[], &image);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answered += 1;
                    if answer.header("connection") == Some("close") {
                        return answered;
                    }
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    server.tell_to_stop();
    let answered: Vec<usize> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(answered.iter().all(|&count| count > 0), "{answered:?}");
    assert_eq!(server.stop().cut, 0);
}

#[test]
fn a_connection_that_outlasts_the_grace_period_is_cut() {
    let mut server = Running::start(ServeOptions::default().with_grace(Duration::from_millis(500)));
    let mut client = server.connect();
    client
        .stream
        .write_all(b"POST /classify HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
        .unwrap();
    assert_eq!(server.get("/v2/health/ready").status, 200);
    server.tell_to_stop();
    assert!(client.answer().is_none());
    assert_eq!(server.stop().cut, 1);
}

#[test]
fn only_health_and_the_page_are_open_without_a_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
    let server = Running::start(ServeOptions::default().with_api_keys(ApiKeys::open(file.path()).unwrap()));
    for path in ["/", "/openapi.json", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert!(!server.get("/openapi.json").text().contains("cifar10"));
    for path in ["/models", "/metrics", "/v2", "/v2/models/b0.cifar10"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer")),
            "{path}"
        );
    }
    let image = ship();
    for key in [
        "Bearer 0123456789abcdee",
        "Bearer ",
        "0123456789abcdef",
        "Basic 0123456789abcdef",
    ] {
        assert_eq!(
            server.post("/classify", &[("authorization", key)], &image).status,
            401,
            "{key}"
        );
    }
    let answer = server.post(
        "/classify",
        &[("Authorization", "bearer 0123456789abcdef")],
        &image,
    );
    assert_eq!(answer.status, 200);
}
