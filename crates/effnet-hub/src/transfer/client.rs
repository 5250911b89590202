//! Makes one request: applies the mirror and the access token, follows redirects, and interprets the
//! response.
//!
//! Redirects are followed here and not by reqwest, for two reasons: the access token must never reach another
//! host, and Hugging Face sends the digest in the response before the redirect.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use reqwest::blocking::{RequestBuilder, Response};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE, RETRY_AFTER,
};

use super::failure::{Failure, reason};
use super::response::{FileResponse, Resume};
use crate::commit::is_commit;
use crate::{Digest, Error, HubConfig, TransferError};

/// Maximum number of redirects per file.
const MOST_REDIRECTS: usize = 10;
/// The only host that receives the Hugging Face token.
const HUGGING_FACE: &str = "huggingface.co";
/// Header with Hugging Face's SHA-256 of a large file, in the response before the redirect to storage.
const LINKED_ETAG: &str = "x-linked-etag";
/// Header with the commit of a repository's branch or tag.
const REPOSITORY_COMMIT: &str = "x-repo-commit";

/// An HTTP client. Connection pool, TLS and proxies are set up on the first request.
#[derive(Debug)]
pub(crate) struct Client {
    config: HubConfig,
    http: OnceLock<reqwest::blocking::Client>,
}

impl Client {
    pub(crate) fn new(config: &HubConfig) -> Self {
        Self {
            config: config.clone(),
            http: OnceLock::new(),
        }
    }

    /// Requests a file, or the rest of it, and follows redirects.
    pub(super) fn get(&self, url: &str, resume: Option<Resume<'_>>) -> Result<FileResponse, Failure> {
        let mut current = self.address(url)?;
        let mut announced = None;
        let mut visited = vec![current.clone()];
        loop {
            let response = self.send(&current, resume)?;
            announced = announced.or_else(|| linked_digest(response.headers()));
            let status = response.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return self.interpret(current.as_str(), response, announced, resume);
            }
            let target =
                redirect_target(&current, response.headers(), &visited).map_err(|(to, problem)| {
                    TransferError::Redirect {
                        url: url.to_owned(),
                        to,
                        problem,
                    }
                })?;
            visited.push(target.clone());
            current = target;
        }
    }

    /// Asks for the commit of the repository with this file, which Hugging Face states in the first response, whether the
    /// file exists or not. `None` if the server does not state it.
    ///
    /// # Errors
    /// For an invalid configuration. The inner result is an error if there was no response.
    pub(crate) fn commit(&self, url: &str) -> Result<Result<Option<String>, TransferError>, Error> {
        match self.stated_commit(url) {
            Ok(commit) => Ok(Ok(commit)),
            Err(Failure::Remote(failure)) => Ok(Err(failure)),
            Err(Failure::Local(error)) => Err(error),
        }
    }

    fn stated_commit(&self, url: &str) -> Result<Option<String>, Failure> {
        let mut current = self.address(url)?;
        let mut visited = vec![current.clone()];
        loop {
            let request = self.http()?.head(current.clone());
            let response = self.authorised(&current, request).send();
            let response = response.map_err(|error| self.send_error(current.as_str(), &error))?;
            if let Some(commit) = text(response.headers(), REPOSITORY_COMMIT).filter(|text| is_commit(text)) {
                return Ok(Some(commit.to_owned()));
            }
            // A repository that was renamed redirects.
            let target = redirect_target(&current, response.headers(), &visited);
            match (response.status().as_u16(), target) {
                (300..=399, Ok(target)) => {
                    visited.push(target.clone());
                    current = target;
                }
                (200..=399 | 404, _) => return Ok(None),
                (status, _) => return Err(self.refused(current.as_str(), status, response.headers())),
            }
        }
    }

    /// Adds the access token to a request of the one host that may see it.
    fn authorised(&self, url: &Url, request: RequestBuilder) -> RequestBuilder {
        match self.config.hf_token.as_ref().filter(|_| token_is_for(url)) {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    fn send(&self, url: &Url, resume: Option<Resume<'_>>) -> Result<Response, Failure> {
        // With compression, ranges and lengths would refer to the compressed bytes.
        let request = self.http()?.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        let mut request = self.authorised(url, request);
        if let Some(resume) = resume {
            request = request.header(RANGE, format!("bytes={}-", resume.from));
            if let Some(validator) = resume.validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        request
            .send()
            .map_err(|error| Failure::Remote(self.send_error(url.as_str(), &error)))
    }

    fn interpret(
        &self,
        url: &str,
        response: Response,
        announced: Option<Digest>,
        resume: Option<Resume<'_>>,
    ) -> Result<FileResponse, Failure> {
        let headers = response.headers();
        let (start, total) = match (response.status().as_u16(), resume) {
            (200, _) => (0, number(headers, CONTENT_LENGTH.as_str())),
            (206, Some(resume)) => {
                let text = text(headers, CONTENT_RANGE.as_str()).unwrap_or_default();
                match content_range(text) {
                    Some((start, total)) if start == resume.from => (start, total),
                    _ => return Err(range_error(url, text)),
                }
            }
            (206 | 416, _) => return Err(range_error(url, response.status().as_str())),
            (status, _) => return Err(self.refused(url, status, headers)),
        };
        Ok(FileResponse {
            start,
            total,
            validator: validator(headers),
            announced,
            body: response,
        })
    }

    fn refused(&self, url: &str, status: u16, headers: &HeaderMap) -> Failure {
        let retry_after = text(headers, RETRY_AFTER.as_str()).and_then(|text| pause(text, SystemTime::now()));
        let (url, limit) = (url.to_owned(), self.config.longest_wait);
        Failure::Remote(match retry_after {
            Some(asked) if asked > limit => TransferError::Busy {
                url,
                status,
                asked,
                limit,
            },
            _ => TransferError::Status {
                url,
                status,
                retry_after,
            },
        })
    }

    /// Returns the error for a request that got no response.
    fn send_error(&self, url: &str, error: &reqwest::Error) -> TransferError {
        let (url, reason) = (url.to_owned(), reason(error));
        if reason.contains("certificate") {
            TransferError::Certificate { url, reason }
        } else if error.is_timeout() && !error.is_connect() {
            TransferError::Stalled {
                url,
                seconds: self.config.stall_timeout,
            }
        } else {
            TransferError::Connect { url, reason }
        }
    }

    fn http(&self) -> Result<&reqwest::blocking::Client, Error> {
        if let Some(client) = self.http.get() {
            return Ok(client);
        }
        let client = super::connector::build(&self.config)?;
        Ok(self.http.get_or_init(|| client))
    }

    /// Returns the URL to request for a published URL: the one on the mirror, if a mirror is configured.
    fn address(&self, url: &str) -> Result<Url, Failure> {
        let problem = |problem: String| TransferError::Address {
            url: url.to_owned(),
            problem,
        };
        let published = Url::parse(url).map_err(|error| problem(error.to_string()))?;
        if !matches!(published.scheme(), "http" | "https") {
            return Err(problem(String::from("expected http or https")).into());
        }
        let Some(mirror) = &self.config.mirror else {
            return Ok(published);
        };
        mirrored(&published, mirror).map_err(|problem| {
            Failure::Local(Error::Config {
                setting: "mirror",
                value: mirror.clone(),
                problem,
            })
        })
    }
}

fn token_is_for(url: &Url) -> bool {
    url.scheme() == "https" && url.host_str() == Some(HUGGING_FACE) && url.port().is_none()
}

/// Maps `published` to the mirror: the mirror's scheme, host, port and path, followed by the path and query
/// of `published`.
fn mirrored(published: &Url, mirror: &str) -> Result<Url, String> {
    let mut address =
        Url::parse(mirror).map_err(|error| format!("{error}; expected `https://host[:port]`"))?;
    if !matches!(address.scheme(), "http" | "https") || address.host_str().is_none() {
        return Err(String::from("expected `https://host[:port]`"));
    }
    let path = format!("{}{}", address.path().trim_end_matches('/'), published.path());
    address.set_path(&path);
    address.set_query(published.query());
    address.set_fragment(None);
    Ok(address)
}

fn redirect_target(from: &Url, headers: &HeaderMap, visited: &[Url]) -> Result<Url, (String, &'static str)> {
    let location = text(headers, LOCATION.as_str()).unwrap_or_default();
    let refused = |problem| Err((location.to_owned(), problem));
    let Ok(target) = from.join(location) else {
        return refused("invalid URL");
    };
    if location.is_empty() {
        refused("no URL")
    } else if !matches!(target.scheme(), "http" | "https") {
        refused("expected http or https")
    } else if from.scheme() == "https" && target.scheme() == "http" {
        refused("it downgrades https to http")
    } else if visited.contains(&target) {
        refused("redirect loop")
    } else if visited.len() > MOST_REDIRECTS {
        refused("more than 10 redirects")
    } else {
        Ok(target)
    }
}

fn range_error(url: &str, content_range: &str) -> Failure {
    Failure::Remote(TransferError::Range {
        url: url.to_owned(),
        content_range: content_range.to_owned(),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

fn linked_digest(headers: &HeaderMap) -> Option<Digest> {
    let value = text(headers, LINKED_ETAG)?
        .trim_start_matches("W/")
        .trim_matches('"');
    Digest::try_from(value.to_owned()).ok().filter(Digest::is_full)
}

/// Returns the ETag or date for If-Range. A weak ETag does not guarantee the same bytes, so it is not used.
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, ETAG.as_str()).filter(|etag| !etag.starts_with("W/"));
    strong
        .or_else(|| text(headers, LAST_MODIFIED.as_str()))
        .map(ToOwned::to_owned)
}

/// Parses the start and the total from `bytes 100-199/200`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

/// Parses the delay in a Retry-After header: seconds, or a date.
fn pause(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_mirror_replaces_scheme_host_and_port_and_keeps_path_and_query() {
        let published = url("https://github.com/a/b-1.pth?x=1");
        assert_eq!(
            mirrored(&published, "http://m:8080").unwrap().as_str(),
            "http://m:8080/a/b-1.pth?x=1"
        );
        assert_eq!(
            mirrored(&published, "https://m/weights/").unwrap().as_str(),
            "https://m/weights/a/b-1.pth?x=1"
        );
        assert!(mirrored(&published, "m.example").is_err());
        assert!(mirrored(&published, "file:///etc").is_err());
    }

    #[test]
    fn the_token_goes_to_hugging_face_over_https_alone() {
        assert!(token_is_for(&url("https://huggingface.co/timm/x")));
        for other in [
            "http://huggingface.co/x",
            "https://huggingface.co:8443/x",
            "https://cdn.huggingface.co/x",
        ] {
            assert!(!token_is_for(&url(other)), "{other}");
        }
        assert!(!token_is_for(&url("https://huggingface.co.example/x")));
    }

    #[test]
    fn redirects_stay_on_http_and_never_leave_https() {
        let headers = |to: &str| HeaderMap::from_iter([(LOCATION, to.parse().unwrap())]);
        let from = url("https://a/x");
        let visited = [from.clone()];
        assert_eq!(
            redirect_target(&from, &headers("/y"), &visited).unwrap().as_str(),
            "https://a/y"
        );
        for bad in ["http://a/y", "file:///etc/passwd", "https://a/x", ""] {
            assert!(redirect_target(&from, &headers(bad), &visited).is_err(), "{bad}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = SystemTime::now();
        assert_eq!(pause("7", now), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date(now + Duration::from_secs(60));
        let seconds = pause(&date, now).unwrap().as_secs();
        assert!((58..=60).contains(&seconds), "{seconds}");
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(pause("soon", now), None);
    }

    #[test]
    fn a_weak_etag_gives_way_to_the_date() {
        let weak = HeaderMap::from_iter([
            (ETAG, "W/\"a\"".parse().unwrap()),
            (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap()),
        ]);
        assert_eq!(validator(&weak).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }

    #[test]
    fn content_ranges_are_read_with_and_without_a_total() {
        assert_eq!(content_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(content_range("bytes 100-199/*"), Some((100, None)));
        assert_eq!(content_range("items 1-2/3"), None);
    }
}
