//! A user with empty caches.

use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_tests::{Finished, effnet, finish};
use tempfile::TempDir;

/// A home folder of a test's own, so that neither what this machine has fetched nor its proxies count.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path for a file of this test.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The hub's own folder.
    pub(crate) fn cache(&self) -> PathBuf {
        self.join("cache")
    }

    /// Where PyTorch keeps what it fetched; made if it is not there.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        let folder = self.join("torch/hub/checkpoints");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A call of effnet by this user.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = effnet();
        command.current_dir(self.path()).args(arguments);
        self.apply(&mut command);
        command
    }

    /// Makes `command` this user's.
    pub(crate) fn apply(&self, command: &mut Command) {
        for name in [
            "EFFNET_OFFLINE",
            "EFFNET_MIRROR",
            "EFFNET_MANIFEST",
            "HF_HUB_CACHE",
            "HF_TOKEN",
            "XDG_CACHE_HOME",
            "http_proxy",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(name);
        }
        command
            .env("HOME", self.path())
            .env("EFFNET_CACHE", self.cache())
            .env("TORCH_HOME", self.join("torch"))
            .env("HF_HOME", self.join("huggingface"));
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        finish(&mut self.command(arguments))
    }

    /// Everything in the home, by its path in it.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path.clone());
                }
                let inside = path.strip_prefix(self.path()).unwrap();
                found.push(inside.to_str().unwrap().to_owned());
            }
        }
        found.sort();
        found
    }
}
