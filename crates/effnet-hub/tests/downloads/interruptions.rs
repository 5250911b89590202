//! Tests of broken connections, and of bodies that are not what was announced.

use std::fs;
use std::time::{Duration, Instant};

use crate::bench::{Bench, NAME, SIZE, body, entry, sha256};
use crate::server::{Reply, Server};

#[test]
fn a_whole_answer_becomes_the_file() {
    let content = body(1);
    let served = content.clone();
    let server = Server::start(move |request, _| Reply::file(request, &served, "\"a\""));
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    assert_eq!(bench.watcher.started, [(0, Some(SIZE as u64))]);
    assert_eq!(bench.watcher.advanced, SIZE as u64);
    assert!(bench.watcher.warnings.is_empty(), "{:?}", bench.watcher.warnings);

    bench.watcher.finished = 0;
    bench.fetch(&server.url("/w.pth"), &content).unwrap();
    assert_eq!(
        server.requests().len(),
        1,
        "the second time nothing is downloaded"
    );
    assert_eq!(bench.watcher.finished, 0);
}

#[test]
fn a_cut_at_1_50_and_99_percent_is_continued_where_it_was() {
    for percent in [1, 50, 99] {
        let content = body(2);
        let cut = SIZE * percent / 100;
        let served = content.clone();
        let server = Server::start(move |request, index| {
            let reply = Reply::file(request, &served, "\"a\"");
            Reply {
                cut: (index == 0).then_some(cut),
                ..reply
            }
        });
        let mut bench = Bench::new();
        bench.expect(&server.url("/w.pth"), &content);
        let requests = server.requests();
        assert_eq!(requests.len(), 2, "{percent} %");
        assert_eq!(requests[1].range_start(), Some(cut), "{percent} %");
        assert_eq!(requests[1].header("if-range"), Some("\"a\""));
        assert_eq!(bench.watcher.advanced, SIZE as u64, "no byte is downloaded twice");
        assert!(
            bench.watcher.warned_of("the connection ended after"),
            "{:?}",
            bench.watcher.warnings
        );
    }
}

#[test]
fn a_later_process_continues_what_an_earlier_one_left() {
    let content = body(3);
    let served = content.clone();
    let server = Server::start(move |request, index| {
        let reply = Reply::file(request, &served, "\"a\"");
        Reply {
            cut: (index == 0).then_some(SIZE / 3),
            ..reply
        }
    });
    let mut bench = Bench::new();
    bench.config.retries = 0;
    bench.expect_error(
        &server.url("/w.pth"),
        &content,
        "the connection ended after 666667 of 2000003 bytes",
    );
    assert_eq!(
        bench.visible(),
        [format!("{NAME}.part"), format!("{NAME}.part.json")]
    );
    bench.expect(&server.url("/w.pth"), &content);
    assert_eq!(server.requests()[1].range_start(), Some(SIZE / 3));
}

#[test]
fn a_whole_part_is_used_without_a_request() {
    for notes in ["{}".to_owned(), format!("{{\"total\": {SIZE}}}")] {
        let content = body(3);
        let mut bench = Bench::new();
        fs::create_dir_all(&bench.config.cache).unwrap();
        fs::write(bench.own(&format!("{NAME}.part")), &content).unwrap();
        fs::write(bench.own(&format!("{NAME}.part.json")), notes).unwrap();
        bench.expect("http://nowhere.invalid/w.pth", &content);
    }
}

#[test]
fn a_server_without_ranges_sends_the_file_again() {
    let content = body(4);
    let served = content.clone();
    let server = Server::start(move |_, index| Reply {
        cut: (index == 0).then_some(SIZE / 2),
        ..Reply::whole(&served)
    });
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    assert!(
        bench.watcher.warned_of("the server sent the whole file"),
        "{:?}",
        bench.watcher.warnings
    );
}

#[test]
fn a_changed_etag_between_parts_restarts_the_download() {
    let (old, new) = (body(5), body(6));
    let content = new.clone();
    let server = Server::start(move |request, index| match index {
        0 => Reply {
            cut: Some(SIZE / 2),
            ..Reply::file(request, &old, "\"old\"")
        },
        _ => Reply::file(request, &new, "\"new\""),
    });
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    assert_eq!(server.requests()[1].header("if-range"), Some("\"old\""));
}

#[test]
fn a_server_that_ignores_if_range_does_not_mix_two_files() {
    let (old, new) = (body(7), body(8));
    let content = new.clone();
    let server = Server::start(move |request, index| {
        if index == 0 {
            return Reply {
                cut: Some(SIZE / 2),
                ..Reply::file(request, &old, "\"old\"")
            };
        }
        let Some(start) = request.range_start() else {
            return Reply::whole(&new).header("ETag", "\"new\"");
        };
        Reply {
            status: 206,
            ..Reply::whole(&new[start..])
        }
        .header("ETag", "\"new\"")
        .header("Content-Range", format!("bytes {start}-{}/{SIZE}", SIZE - 1))
    });
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    assert!(
        bench.watcher.warned_of("the server's file has changed"),
        "{:?}",
        bench.watcher.warnings
    );
}

#[test]
fn a_range_without_the_date_of_the_first_answer_is_continued() {
    let content = body(22);
    let served = content.clone();
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let server = Server::start(move |request, index| match request.range_start() {
        None => Reply {
            cut: (index == 0).then_some(SIZE / 2),
            ..Reply::whole(&served)
        }
        .header("Last-Modified", date),
        Some(start) => Reply {
            status: 206,
            ..Reply::whole(&served[start..])
        }
        .header("Content-Range", format!("bytes {start}-{}/*", SIZE - 1)),
    });
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    assert_eq!(server.requests()[1].header("if-range"), Some(date));
    assert_eq!(bench.watcher.advanced as usize, SIZE);
}

#[test]
fn pieces_that_do_not_belong_together_are_noticed_by_the_digest() {
    // No ETag, no date: only the digest can tell.
    let (old, new) = (body(9), body(10));
    let content = new.clone();
    let server = Server::start(move |request, index| {
        if index == 0 {
            return Reply {
                cut: Some(SIZE / 2),
                ..Reply::whole(&old)
            };
        }
        let Some(start) = request.range_start() else {
            return Reply::whole(&new);
        };
        Reply {
            status: 206,
            ..Reply::whole(&new[start..])
        }
        .header("Content-Range", format!("bytes {start}-{}/{SIZE}", SIZE - 1))
    });
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    assert!(
        bench.watcher.warned_of("do not belong together"),
        "{:?}",
        bench.watcher.warnings
    );
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_damaged_part_is_downloaded_again() {
    let content = body(11);
    let served = content.clone();
    let server = Server::start(move |request, _| Reply::file(request, &served, "\"a\""));
    let mut bench = Bench::new();
    fs::create_dir_all(&bench.config.cache).unwrap();
    fs::write(bench.own(&format!("{NAME}.part")), vec![0; SIZE / 2]).unwrap();
    bench.expect(&server.url("/w.pth"), &content);

    let mut longer = Bench::new();
    fs::create_dir_all(&longer.config.cache).unwrap();
    fs::write(longer.own(&format!("{NAME}.part")), vec![0; SIZE + 1]).unwrap();
    longer.expect(&server.url("/w.pth"), &content);
}

#[test]
fn a_wrong_digest_leaves_nothing() {
    let served = body(12);
    let server = Server::start(move |_, _| Reply::whole(&served));
    let mut bench = Bench::new();
    bench.expect_error(
        &server.url("/w.pth"),
        &body(13),
        &format!("expected SHA-256 {}", sha256(&body(13))),
    );
    assert!(bench.visible().is_empty(), "{:?}", bench.visible());
    assert_eq!(
        server.requests().len(),
        1,
        "the same wrong file is not downloaded twice"
    );
}

#[test]
fn a_web_page_is_named() {
    let page = b"\n<!DOCTYPE html><html><title>Sign in</title></html>";
    let server = Server::start(move |_, _| Reply::whole(page).header("Content-Type", "text/html"));
    let mut bench = Bench::new();
    bench.expect_error(
        &server.url("/w.pth"),
        &body(14),
        "received a web page instead of the file",
    );
    assert!(bench.visible().is_empty());
}

#[test]
fn a_body_shorter_than_announced_is_an_error_and_kept_for_later() {
    let served = body(15);
    let server = Server::start(move |_, _| Reply {
        cut: Some(SIZE / 4),
        ..Reply::whole(&served)
    });
    let mut bench = Bench::new();
    bench.expect_error(&server.url("/w.pth"), &body(15), "the connection ended after");
    assert_eq!(server.requests().len(), 4, "as often as the configuration says");
}

#[test]
fn bytes_after_the_announced_length_are_no_part_of_the_file() {
    let content = body(16);
    let mut served = content.clone();
    served.extend_from_slice(b"and more");
    let server = Server::start(move |_, _| Reply {
        length: Some(SIZE),
        ..Reply::whole(&served)
    });
    Bench::new().expect(&server.url("/w.pth"), &content);
}

#[test]
fn an_announced_length_that_is_too_short_is_noticed_by_the_digest() {
    let content = body(17);
    let served = content.clone();
    let server = Server::start(move |_, _| Reply {
        length: Some(SIZE - 5),
        ..Reply::whole(&served)
    });
    Bench::new().expect_error(&server.url("/w.pth"), &content, "(1999998 bytes)");
}

#[test]
fn another_size_than_the_published_one_is_refused_before_the_transfer() {
    let server = Server::start(|_, _| Reply::whole(&body(18)));
    let url = server.url("/w.pth");
    let mut other = entry(&[(NAME, &[&url], Some(&sha256(&body(18))))]);
    other.files[0].bytes = Some(7);
    let mut bench = Bench::new();
    let error = bench.resolve(&other).unwrap_err().to_string();
    assert!(error.contains("expected 7 bytes, found 2000003"), "{error}");
    assert_eq!(bench.watcher.advanced, 0);
}

#[test]
fn a_stalled_connection_is_given_up_and_continued() {
    let content = body(19);
    let served = content.clone();
    let server = Server::start(move |request, index| {
        let reply = Reply::file(request, &served, "\"a\"");
        Reply {
            stall: (index == 0).then_some(SIZE / 2),
            ..reply
        }
    });
    let mut bench = Bench::new();
    bench.config.stall_timeout = Duration::from_millis(400);
    bench.expect(&server.url("/w.pth"), &content);
    assert!(
        bench.watcher.warned_of("no data received for 0.4 s"),
        "{:?}",
        bench.watcher.warnings
    );
    assert_eq!(server.requests()[1].range_start(), Some(SIZE / 2));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(5));
        Reply::status(500)
    });
    let mut bench = Bench::new();
    bench.config.stall_timeout = Duration::from_millis(400);
    bench.config.retries = 1;
    let start = Instant::now();
    bench.expect_error(&server.url("/w.pth"), &body(20), "no data received for 0.4 s");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_slow_transfer_longer_than_the_stall_timeout_is_no_stall() {
    let content = body(21);
    let served = content.clone();
    let slow = Some(Duration::from_millis(30));
    let server = Server::start(move |_, _| Reply {
        slow,
        ..Reply::whole(&served)
    });
    let mut bench = Bench::new();
    bench.config.stall_timeout = Duration::from_millis(400);
    let start = Instant::now();
    bench.expect(&server.url("/w.pth"), &content);
    assert!(start.elapsed() > bench.config.stall_timeout);
    assert!(bench.watcher.warnings.is_empty());
}
