//! Tests of mirrors, proxies, alternative URLs, TLS, and the digest sent by Hugging Face.

use std::fs;

use effnet_hub::Error;

use crate::bench::{Bench, NAME, body, entry, sha256};
use crate::server::{Reply, Server};

const REPO_URL: &str = "https://huggingface.co/timm/x.in1k/resolve/main/model.safetensors";

fn good_server(content: &[u8]) -> Server {
    let served = content.to_vec();
    Server::start(move |request, _| Reply::file(request, &served, "\"a\""))
}

#[test]
fn a_mirror_is_asked_in_place_of_the_publisher() {
    let content = body(1);
    let server = good_server(&content);
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url("/weights/"));
    bench.expect("https://github.com/someone/releases/w.pth", &content);
    assert_eq!(server.requests()[0].target, "/weights/someone/releases/w.pth");
}

#[test]
fn a_mirror_that_is_no_url_is_named() {
    let mut bench = Bench::new();
    bench.config.mirror = Some(String::from("mirror.example"));
    let error = bench.fetch("https://github.com/w.pth", &body(2)).unwrap_err();
    assert!(
        error.to_string().starts_with("invalid mirror `mirror.example`: "),
        "{error}"
    );
}

#[test]
fn the_digest_that_hugging_face_announces_is_held_against_the_file() {
    let content = body(3);
    let (served, digest) = (content.clone(), sha256(&content));
    let server = Server::start(move |request, _| match request.target.as_str() {
        "/cdn" => Reply::file(request, &served, "\"cdn\""),
        _ => Reply::redirect("/cdn").header("X-Linked-ETag", format!("\"{digest}\"")),
    });
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url(""));
    bench.config.hf_token = Some(String::from("secret"));
    let entry = entry(&[("x.safetensors", &[REPO_URL], None)]);
    let path = bench.resolve(&entry).unwrap();
    assert!(fs::read(&path).unwrap() == content);
    assert!(bench.watcher.warnings.is_empty(), "{:?}", bench.watcher.warnings);
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );

    // The announced digest is remembered, so a file that has changed since is noticed without asking the
    // server again.
    fs::write(&path, b"damaged").unwrap();
    bench.config.offline = true;
    let error = bench.resolve(&entry).unwrap_err().to_string();
    assert!(error.contains("damaged or a different file"), "{error}");
}

#[test]
fn another_file_than_hugging_face_announces_is_refused() {
    let announced = sha256(&body(4));
    let server = Server::start(move |request, _| {
        Reply::file(request, &body(5), "\"a\"").header("X-Linked-ETag", format!("\"{announced}\""))
    });
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url(""));
    let error = bench
        .resolve(&entry(&[("x.safetensors", &[REPO_URL], None)]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("checksum mismatch"), "{error}");
    assert!(bench.visible().is_empty());
}

#[test]
fn without_any_digest_the_file_is_used_with_a_warning_and_a_web_page_is_not() {
    for (content, good) in [(body(6), true), (b"<html>".to_vec(), false)] {
        let server = good_server(&content);
        let mut bench = Bench::new();
        bench.config.mirror = Some(server.url(""));
        let result = bench.resolve(&entry(&[("x.safetensors", &[REPO_URL], None)]));
        assert_eq!(result.is_ok(), good, "{result:?}");
        assert_eq!(
            bench.watcher.warned_of("is not verified"),
            good,
            "{:?}",
            bench.watcher.warnings
        );
    }
}

#[test]
fn a_second_url_and_a_second_file_are_alternatives() {
    let content = body(7);
    let served = content.clone();
    let server = Server::start(move |request, _| match request.target.as_str() {
        "/good" => Reply::file(request, &served, "\"a\""),
        _ => Reply::status(404),
    });
    let digest = sha256(&content);
    let (good, bad) = (server.url("/good"), server.url("/bad"));
    let mut bench = Bench::new();
    let path = bench
        .resolve(&entry(&[(NAME, &[&bad, &good], Some(&digest))]))
        .unwrap();
    assert_eq!(path, bench.own(NAME));

    let mut bench = Bench::new();
    let two = entry(&[
        ("first.pth", &[&bad], Some(&digest)),
        ("second.pth", &[&good], Some(&digest)),
    ]);
    let path = bench.resolve(&two).unwrap();
    assert_eq!(path, bench.own("second.pth"));
    assert_eq!(bench.visible(), ["second.pth"]);
}

#[test]
fn when_all_urls_fail_every_reason_is_listed() {
    let server = Server::start(|request, _| Reply::status(if request.target == "/a" { 404 } else { 403 }));
    let (first, second) = (server.url("/a"), server.url("/b"));
    let mut bench = Bench::new();
    let error = bench
        .resolve(&entry(&[(NAME, &[&first, &second], Some("00000000"))]))
        .unwrap_err();
    let Error::Download { failures, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(failures.len(), 2);
    assert!(
        error.to_string().contains("404") && error.to_string().contains("403"),
        "{error}"
    );
}

#[test]
fn a_proxy_is_used_except_for_hosts_that_are_reached_directly() {
    let content = body(8);
    let proxy = good_server(&content);
    let mut bench = Bench::new();
    bench.config.proxies.http = Some(proxy.url(""));
    bench.expect("http://weights.example/w.pth", &content);
    assert_eq!(proxy.requests()[0].target, "http://weights.example/w.pth");

    let server = good_server(&content);
    let mut bench = Bench::new();
    bench.config.proxies.all = Some(proxy.url(""));
    bench.config.proxies.no_proxy = Some(String::from("127.0.0.1"));
    bench.expect(&server.url("/w.pth"), &content);
    assert_eq!((proxy.requests().len(), server.requests().len()), (1, 1));
}

#[test]
fn the_password_of_a_proxy_is_in_no_message() {
    let mut bench = Bench::new();
    bench.config.proxies.http = Some(String::from("http://ada:secret@not a host"));
    let error = bench
        .fetch("http://weights.example/w.pth", &body(9))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("http proxy") && !error.contains("secret"),
        "{error}"
    );
}

mod tls {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// Starts a TLS server with its own certificate, and returns its URL and the certificate.
    fn server(content: Vec<u8>) -> (String, String) {
        let signed = rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key.into())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "https://localhost:{}/w.pth",
            listener.local_addr().unwrap().port()
        );
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut tls = rustls::Stream::new(&mut connection, &mut stream);
                if tls.read(&mut [0; 4096]).is_ok() {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
                    let _ = tls
                        .write_all(head.as_bytes())
                        .and_then(|()| tls.write_all(&content));
                }
            }
        });
        (url, signed.cert.pem())
    }

    #[test]
    fn a_company_certificate_that_was_named_is_trusted() {
        let content = body(10);
        let (url, pem) = server(content.clone());
        let mut bench = Bench::new();
        let file = bench.folder.path().join("company.pem");
        fs::write(&file, pem).unwrap();
        bench.config.certificates = Some(effnet_hub::Certificates::default().with_file(file));
        bench.expect(&url, &content);
    }

    #[test]
    fn an_untrusted_certificate_is_named_with_the_way_out() {
        let (url, _) = server(body(11));
        let mut bench = Bench::new();
        bench.expect_error(&url, &body(11), "SSL_CERT_FILE");
        assert!(
            bench.watcher.warnings.is_empty(),
            "no second attempt: {:?}",
            bench.watcher.warnings
        );
    }

    #[test]
    fn a_certificate_file_that_holds_none_is_named() {
        let mut bench = Bench::new();
        let file = bench.folder.path().join("empty.pem");
        fs::write(&file, "nothing").unwrap();
        bench.config.certificates = Some(effnet_hub::Certificates::default().with_file(file));
        let error = bench
            .fetch("https://localhost/w.pth", &body(12))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("empty.pem") && error.contains("expected certificates in PEM"),
            "{error}"
        );
    }
}
