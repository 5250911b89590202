//! Tests of servers that respond with something other than the file.

use std::time::{Duration, Instant, SystemTime};

use crate::bench::{Bench, body};
use crate::server::{Reply, Server};

#[test]
fn not_found_and_forbidden_are_final() {
    for (status, text) in [
        (404, "returned HTTP 404; the file no longer exists"),
        (403, "returned HTTP 403; access denied"),
    ] {
        let server = Server::start(move |_, _| Reply::status(status));
        let mut bench = Bench::new();
        bench.expect_error(&server.url("/w.pth"), &body(1), text);
        assert_eq!(server.requests().len(), 1);
        assert!(bench.visible().is_empty());
    }
}

#[test]
fn too_many_requests_waits_as_long_as_the_server_asks() {
    let content = body(2);
    let served = content.clone();
    let server = Server::start(move |request, index| match index {
        0 => Reply::status(429).header("Retry-After", "1"),
        _ => Reply::file(request, &served, "\"a\""),
    });
    let mut bench = Bench::new();
    let start = Instant::now();
    bench.expect(&server.url("/w.pth"), &content);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(
        bench.watcher.warned_of("returned HTTP 429"),
        "{:?}",
        bench.watcher.warnings
    );
}

#[test]
fn a_date_in_retry_after_is_understood() {
    let content = body(3);
    let served = content.clone();
    let server = Server::start(move |request, index| match index {
        0 => {
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
            Reply::status(503).header("Retry-After", date)
        }
        _ => Reply::file(request, &served, "\"a\""),
    });
    let mut bench = Bench::new();
    let start = Instant::now();
    bench.expect(&server.url("/w.pth"), &content);
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_longer_pause_than_the_configuration_allows_is_an_error_at_once() {
    let server = Server::start(|_, _| Reply::status(429).header("Retry-After", "3600"));
    let mut bench = Bench::new();
    bench.expect_error(
        &server.url("/w.pth"),
        &body(4),
        "asked us to wait 3600 s, longer than the limit of 120 s",
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_fault_of_the_server_is_waited_out() {
    let content = body(5);
    let served = content.clone();
    let server = Server::start(move |request, index| match index {
        0 => Reply::status(500),
        1 => Reply::status(503),
        _ => Reply::file(request, &served, "\"a\""),
    });
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_fault_that_stays_is_an_error_after_the_configured_retries() {
    let server = Server::start(|_, _| Reply::status(503));
    Bench::new().expect_error(
        &server.url("/w.pth"),
        &body(6),
        "returned HTTP 503; the server has a problem",
    );
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_chain_of_redirects_is_followed() {
    let content = body(7);
    let served = content.clone();
    let server = Server::start(move |request, _| match request.target.as_str() {
        "/w.pth" => Reply::redirect("/second"),
        "/second" => Reply {
            status: 307,
            ..Reply::redirect("third?signed=1")
        },
        "/third?signed=1" => Reply::file(request, &served, "\"a\""),
        _ => Reply::status(404),
    });
    Bench::new().expect(&server.url("/w.pth"), &content);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_circle_of_redirects_is_an_error() {
    let server = Server::start(|request, _| match request.target.as_str() {
        "/w.pth" => Reply::redirect("/b"),
        _ => Reply::redirect("/w.pth"),
    });
    Bench::new().expect_error(&server.url("/w.pth"), &body(8), "redirect loop");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn endless_redirects_are_an_error() {
    let server = Server::start(|_, index| Reply::redirect(format!("/{index}")));
    Bench::new().expect_error(&server.url("/w.pth"), &body(9), "more than 10 redirects");
}

#[test]
fn a_redirect_to_a_file_on_this_machine_is_refused() {
    let server = Server::start(|_, _| Reply::redirect("file:///etc/passwd"));
    Bench::new().expect_error(&server.url("/w.pth"), &body(10), "expected http or https");
}

#[test]
fn a_refused_connection_is_named() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut bench = Bench::new();
    let url = format!("http://127.0.0.1:{port}/w.pth");
    bench.expect_error(&url, &body(11), "Connection refused");
    assert!(
        bench.watcher.warned_of("cannot connect"),
        "{:?}",
        bench.watcher.warnings
    );
    assert!(bench.visible().is_empty());
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let mut bench = Bench::new();
    bench.expect_error("http://nowhere.invalid/w.pth", &body(12), "cannot connect");
    assert!(bench.visible().is_empty());
}

#[test]
fn a_range_that_was_not_asked_for_is_not_used() {
    let content = body(13);
    let served = content.clone();
    let server = Server::start(move |request, index| match (index, request.range_start()) {
        (0, _) => Reply {
            cut: Some(1000),
            ..Reply::file(request, &served, "\"a\"")
        },
        (_, Some(_)) => Reply {
            status: 206,
            ..Reply::whole(&served)
        }
        .header("Content-Range", "bytes 0-2000002/2000003"),
        _ => Reply::file(request, &served, "\"a\""),
    });
    Bench::new().expect(&server.url("/w.pth"), &content);
}

/// The limit for an entry of b0: 4 values of 4 bytes for each of 5.3 million parameters, plus 16 MiB.
const LARGEST: usize = 5_288_548 * 16 + (16 << 20);

#[test]
fn a_file_larger_than_any_weights_is_refused_by_its_announced_size() {
    let server = Server::start(|_, _| Reply {
        length: Some(LARGEST + 1),
        ..Reply::whole(&[0; 1000])
    });
    let mut bench = Bench::new();
    bench.expect_error(&server.url("/w.pth"), &body(20), "larger than");
    assert_eq!(server.requests().len(), 1, "it is not tried again");
    assert!(bench.visible().is_empty());
}

#[test]
fn a_body_without_a_size_ends_at_the_largest_weights() {
    let server = Server::start(|_, _| Reply {
        endless: true,
        ..Reply::whole(&vec![7; 1 << 20])
    });
    let mut bench = Bench::new();
    bench.expect_error(&server.url("/w.pth"), &body(21), "larger than");
    assert!(bench.watcher.advanced < LARGEST as u64 + (1 << 20));
    assert!(bench.visible().is_empty(), "nothing is kept");
}

#[test]
fn a_trickle_is_given_up() {
    let content = body(22);
    let served = content.clone();
    let server = Server::start(move |_, _| Reply {
        slow: Some(Duration::from_millis(60)),
        ..Reply::whole(&served)
    });
    let mut bench = Bench::new();
    bench.config.retries = 1;
    bench.config.stall_timeout = Duration::from_millis(300);
    bench.config.slowest_rate = 1 << 30;
    bench.expect_error(&server.url("/w.pth"), &content, "bytes received in");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_failure_is_told_once_with_its_ways_out() {
    let url = "http://127.0.0.1:1/w.pth";
    let mut bench = Bench::new();
    bench.config.retries = 2;
    let error = bench.fetch(url, &body(23)).unwrap_err().to_string();
    assert_eq!(error.matches(url).count(), 1, "{error}");
    assert_eq!(error.matches("cannot connect").count(), 1, "{error}");
    assert!(error.contains("effnet download b0.test"), "{error}");
    assert!(
        !bench.watcher.warnings.is_empty() && !bench.watcher.warned_of(url),
        "{:?}",
        bench.watcher.warnings
    );
}
