//! The name of a repository, which becomes folders and parts of a URL.

use std::str::FromStr;

use crate::commit::is_commit;

/// What a name of a repository begins with.
const PREFIX: &str = "hf-hub:";

/// The name of a repository: `hf-hub:owner/name`, and optionally `@` and a branch, tag or commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) revision: String,
}

/// The error for a text that is not the name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid repository `{}`: expected hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REVISION, each of letters, digits, `.`, `_` and `-`", text.escape_debug())]
pub struct RepositoryNameError {
    text: String,
}

impl RepositoryName {
    /// Whether a text is meant as the name of a repository.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// `owner/name`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub(super) fn url(&self, file: &str) -> String {
        let (owner, name, revision) = (&self.owner, &self.name, &self.revision);
        format!("https://huggingface.co/{owner}/{name}/resolve/{revision}/{file}")
    }
}

impl RepositoryName {
    /// Whether the revision is a commit rather than a branch or a tag, which may move.
    pub(super) fn is_commit(&self) -> bool {
        is_commit(&self.revision)
    }

    /// The same repository at another revision.
    pub(super) fn at(&self, revision: &str) -> Self {
        Self {
            revision: revision.to_owned(),
            ..self.clone()
        }
    }

    /// Name of its folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("{}--{}--{}", self.owner, self.name, self.revision)
    }

    /// The repository whose folder has this name; `None` if it is another folder.
    pub(crate) fn of_folder(folder: &str) -> Option<Self> {
        let (owner, rest) = folder.split_once("--")?;
        let (name, revision) = rest.rsplit_once("--")?;
        format!("{PREFIX}{owner}/{name}@{revision}").parse().ok()
    }
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}/{}@{}", self.owner, self.name, self.revision)
    }
}

impl FromStr for RepositoryName {
    type Err = RepositoryNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || RepositoryNameError {
            text: text.to_owned(),
        };
        let rest = text.strip_prefix(PREFIX).ok_or_else(invalid)?;
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let (owner, name) = repository.split_once('/').ok_or_else(invalid)?;
        // These become folders and parts of a URL.
        let is_plain = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.bytes().all(allowed)
        };
        if ![owner, name, revision].into_iter().all(is_plain) {
            return Err(invalid());
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_or_the_repository_are_refused() {
        for text in [
            "hf-hub:",
            "hf-hub:b0",
            "hf-hub:a/..",
            "hf-hub:../a",
            "hf-hub:a/b/c",
            "hf-hub:a/b@",
            "hf-hub:a/b@x/y",
            "hf-hub:a/b?x",
            "hf-hub:a b/c",
            "a/b",
        ] {
            assert!(text.parse::<RepositoryName>().is_err(), "{text}");
        }
        let name: RepositoryName = "hf-hub:timm/efficientnet_b0.ra_in1k@v1.0".parse().unwrap();
        assert_eq!(name.to_string(), "hf-hub:timm/efficientnet_b0.ra_in1k@v1.0");
        assert_eq!(
            name.url("config.json"),
            "https://huggingface.co/timm/efficientnet_b0.ra_in1k/resolve/v1.0/config.json"
        );
    }

    #[test]
    fn a_folder_leads_back_to_its_repository() {
        let name: RepositoryName = "hf-hub:google/efficientnet-b0@v1-x".parse().unwrap();
        assert_eq!(RepositoryName::of_folder(&name.folder()), Some(name));
        for folder in ["google", "google--b0", ".refs", "--b0--main"] {
            assert_eq!(RepositoryName::of_folder(folder), None, "{folder}");
        }
    }
}
