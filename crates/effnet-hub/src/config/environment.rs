//! Configuration from environment variables: this project's, and those of PyTorch, Hugging Face and curl.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Certificates, HubConfig, Proxies};

impl HubConfig {
    /// Reads the configuration from environment variables. `lookup` returns the value of a variable; pass
    /// `|name| std::env::var_os(name)`. Empty values count as unset.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `EFFNET_CACHE` | the hub's cache folder; default `effnet/weights` in the user's cache folder |
    /// | `TORCH_HOME` | PyTorch's cache folder; default `torch` in the user's cache folder |
    /// | `HF_HUB_CACHE`, `HF_HOME` | Hugging Face's cache folder; default `huggingface` in the user's cache folder |
    /// | `EFFNET_OFFLINE` | anything but `0`, `false`, `no`, `off`: never access the network |
    /// | `EFFNET_MIRROR` | [`HubConfig::mirror`] |
    /// | `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy` | [`HubConfig::proxies`]; also in upper case, except for the first |
    /// | `SSL_CERT_FILE`, `SSL_CERT_DIR` | [`HubConfig::certificates`] |
    /// | `HF_TOKEN` | [`HubConfig::hf_token`] |
    ///
    /// The user's cache folder is `XDG_CACHE_HOME` or `~/.cache`; on Windows, `LOCALAPPDATA` for the hub's
    /// folder.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| {
            lookup(name)
                .and_then(|value| value.into_string().ok())
                .filter(|value| !value.trim().is_empty())
        };
        let home = path("HOME").or_else(|| path("USERPROFILE"));
        let user_cache = path("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
        let of_user = |name: &str| user_cache.as_ref().map(|folder| folder.join(name));

        let cache = path("EFFNET_CACHE")
            .or_else(|| {
                cfg!(windows)
                    .then(|| path("LOCALAPPDATA"))
                    .flatten()
                    .map(|f| f.join("effnet/weights"))
            })
            .or_else(|| of_user("effnet/weights"))
            .unwrap_or_else(|| PathBuf::from(".effnet/weights"));
        let mut config = Self::new(cache);
        config.torch_home = path("TORCH_HOME").or_else(|| of_user("torch"));
        config.hf_home = path("HF_HOME").or_else(|| of_user("huggingface"));
        config.hf_hub_cache = path("HF_HUB_CACHE");
        config.offline = text("EFFNET_OFFLINE").is_some_and(|value| {
            !["0", "false", "no", "off"].contains(&value.trim().to_ascii_lowercase().as_str())
        });
        config.mirror = text("EFFNET_MIRROR");
        config.proxies = Proxies {
            // Like curl, ignore `HTTP_PROXY`: a web server sets it from the `Proxy` header of a CGI request.
            http: text("http_proxy"),
            https: text("https_proxy").or_else(|| text("HTTPS_PROXY")),
            all: text("all_proxy").or_else(|| text("ALL_PROXY")),
            no_proxy: text("no_proxy").or_else(|| text("NO_PROXY")),
        };
        let certificates = Certificates {
            file: path("SSL_CERT_FILE"),
            folder: path("SSL_CERT_DIR"),
        };
        config.certificates = (certificates != Certificates::default()).then_some(certificates);
        config.hf_token = text("HF_TOKEN");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> HubConfig {
        HubConfig::from_environment(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn folders_follow_home_and_the_programs_own_variables() {
        let plain = config(&[("HOME", "/home/ada")]);
        assert_eq!(plain.cache, PathBuf::from("/home/ada/.cache/effnet/weights"));
        assert_eq!(plain.torch_home, Some(PathBuf::from("/home/ada/.cache/torch")));
        assert_eq!(plain.hf_home, Some(PathBuf::from("/home/ada/.cache/huggingface")));

        let set = config(&[
            ("HOME", "/home/ada"),
            ("XDG_CACHE_HOME", "/c"),
            ("EFFNET_CACHE", "/w"),
            ("TORCH_HOME", "/t"),
            ("HF_HUB_CACHE", "/h"),
        ]);
        assert_eq!(set.cache, PathBuf::from("/w"));
        assert_eq!(set.torch_home, Some(PathBuf::from("/t")));
        assert_eq!(set.hf_home, Some(PathBuf::from("/c/huggingface")));
        assert_eq!(set.hf_hub_cache, Some(PathBuf::from("/h")));
    }

    #[test]
    fn offline_is_on_for_any_word_but_the_negative_ones() {
        for (value, expected) in [
            ("1", true),
            ("yes", true),
            ("", false),
            ("0", false),
            ("False", false),
        ] {
            assert_eq!(
                config(&[("EFFNET_OFFLINE", value)]).offline,
                expected,
                "{value:?}"
            );
        }
    }

    #[test]
    fn proxies_are_read_in_both_cases_except_http_proxy() {
        let upper = config(&[
            ("HTTP_PROXY", "http://a"),
            ("HTTPS_PROXY", "http://b"),
            ("NO_PROXY", "c"),
        ]);
        assert_eq!(upper.proxies.http, None);
        assert_eq!(upper.proxies.https.as_deref(), Some("http://b"));
        assert_eq!(upper.proxies.no_proxy.as_deref(), Some("c"));
        assert_eq!(
            config(&[("http_proxy", "http://a")]).proxies.http.as_deref(),
            Some("http://a")
        );
    }
}
