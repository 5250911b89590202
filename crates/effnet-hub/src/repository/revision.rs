//! Which commit a branch or a tag is.
//!
//! A branch moves. Each of its commits is a folder of its own, so that an update never mixes the files of two, and the
//! last commit that was found is remembered for when there is no network.

use std::fs;
use std::path::PathBuf;

use super::RepositoryName;
use crate::commit::is_commit;
use crate::{Error, Hub};

/// Folder of the remembered commits within that of the repositories.
const REVISIONS: &str = ".revisions";
/// A file that most repositories have. The commit is stated even if a repository does not have it.
const PROBE: &str = "config.json";

/// What is known of a revision.
#[derive(Debug)]
pub(super) enum Revision {
    /// The commit that it is now.
    Commit(String),
    /// The server does not state commits, or offline mode is on.
    Unstated,
    /// The server could not be asked, for this reason.
    Unreachable(String),
}

impl Hub {
    /// Looks up the commit of a revision.
    ///
    /// # Errors
    /// For an invalid configuration of the network.
    pub(super) fn look_up(&self, repository: &RepositoryName) -> Result<Revision, Error> {
        if repository.is_commit() {
            return Ok(Revision::Commit(repository.revision.clone()));
        }
        if self.config.offline {
            return Ok(Revision::Unstated);
        }
        Ok(match self.client.commit(&repository.url(PROBE))? {
            Ok(Some(commit)) => Revision::Commit(commit),
            Ok(None) => Revision::Unstated,
            Err(failure) => Revision::Unreachable(failure.summary()),
        })
    }

    /// The commit that a revision was when it was last looked up.
    pub(super) fn remembered_revision(&self, repository: &RepositoryName) -> Option<String> {
        let commit = fs::read_to_string(self.revision_file(repository)).ok()?;
        is_commit(&commit).then_some(commit)
    }

    /// Remembers the commit of a revision. Errors are ignored: they only matter without a network, where the error says
    /// what is missing.
    pub(super) fn remember_revision(&self, repository: &RepositoryName, pinned: &RepositoryName) {
        let is_known = self.remembered_revision(repository).as_ref() == Some(&pinned.revision);
        if repository.is_commit() || !pinned.is_commit() || is_known {
            return;
        }
        let file = self.revision_file(repository);
        let temporary = file.with_extension(format!("{}.{:x}", std::process::id(), fastrand::u32(..)));
        let written = fs::create_dir_all(self.repositories().join(REVISIONS))
            .and_then(|()| fs::write(&temporary, &pinned.revision))
            .and_then(|()| fs::rename(&temporary, &file));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    fn revision_file(&self, repository: &RepositoryName) -> PathBuf {
        self.repositories().join(REVISIONS).join(repository.folder())
    }
}
