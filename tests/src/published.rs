//! Published weights that pip can download, in a cache that the tests of all checkouts share.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::{effnet, finish};

/// The published weights of a Lite network, downloaded once per machine. The error is a reason to skip: no pip, or no
/// network.
///
/// # Errors
/// The message of `effnet download`.
pub fn published(id: &str) -> Result<PathBuf, String> {
    // One at a time: a test process that waits needs no message about it.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let cache = home.unwrap_or_else(std::env::temp_dir).join("effnet/tests");
    let run = finish(
        effnet()
            .args(["download", id])
            .env("EFFNET_CACHE", cache)
            .env_remove("EFFNET_OFFLINE"),
    );
    match run.stdout.trim_end().rsplit_once(' ') {
        Some((_, path)) if run.code == Some(0) => Ok(PathBuf::from(path)),
        _ => Err(format!(
            "{id} cannot be downloaded: {}",
            run.stderr.replace('\n', " ")
        )),
    }
}
