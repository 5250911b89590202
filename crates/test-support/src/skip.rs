//! Reports tests that cannot run on this machine.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Reports that `test` did not run, and why: on stderr, and in the file that `EFFNET_SKIP_LOG` names, because the test
/// runner hides what a passing test prints.
pub fn skip(test: &str, reason: &str) {
    skip_for(&format!("{test}: {reason}"));
}

/// Like [`skip`], for a reason that concerns several tests.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn skip_for(reason: &str) {
    let line = format!("skipped: {reason}\n");
    eprint!("{line}");
    if let Some(log) = std::env::var_os("EFFNET_SKIP_LOG") {
        let file = OpenOptions::new().create(true).append(true).open(log);
        // One write per line, so that lines of parallel tests do not mix.
        file.expect("open EFFNET_SKIP_LOG")
            .write_all(line.as_bytes())
            .expect("append to EFFNET_SKIP_LOG");
    }
}
