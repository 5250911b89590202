//! Sets up the HTTP client: TLS, certificates, proxies, timeouts.

use std::sync::Arc;

use reqwest::NoProxy;
use reqwest::Proxy;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};

use super::failure::reason;
use crate::{Error, HubConfig};

/// Timeout for connecting, unless the stall timeout is shorter.
const CONNECT_SECONDS: u64 = 15;

/// Builds the client for all requests of a hub.
pub(super) fn build(config: &HubConfig) -> Result<Client, Error> {
    let mut builder = Client::builder()
        .user_agent(&config.user_agent)
        // Redirects are followed manually: Hugging Face sends the digest in the first response.
        .redirect(Policy::none())
        // In the blocking client, this limits each read, not the whole transfer.
        .timeout(config.stall_timeout)
        .connect_timeout(
            config
                .stall_timeout
                .min(std::time::Duration::from_secs(CONNECT_SECONDS)),
        )
        .tls_backend_preconfigured(tls(config)?)
        .no_proxy();
    for proxy in proxies(config)? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| Error::Config {
        setting: "user agent",
        value: config.user_agent.clone(),
        problem: reason(&error),
    })
}

fn proxies(config: &HubConfig) -> Result<Vec<Proxy>, Error> {
    let proxies = &config.proxies;
    // Never print a proxy's credentials.
    let refused = |setting, value: &String, error: &reqwest::Error| Error::Config {
        setting,
        value: value.rsplit('@').next().unwrap_or_default().to_owned(),
        problem: reason(error),
    };
    let mut found = Vec::new();
    if let Some(url) = &proxies.http {
        found.push(Proxy::http(url).map_err(|error| refused("http proxy", url, &error))?);
    }
    if let Some(url) = &proxies.https {
        found.push(Proxy::https(url).map_err(|error| refused("https proxy", url, &error))?);
    }
    if let Some(url) = &proxies.all {
        found.push(Proxy::all(url).map_err(|error| refused("proxy", url, &error))?);
    }
    let direct = proxies.no_proxy.as_deref().and_then(NoProxy::from_string);
    Ok(found
        .into_iter()
        .map(|proxy| proxy.no_proxy(direct.clone()))
        .collect())
}

fn tls(config: &HubConfig) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.map_err(|error| Error::Config {
        setting: "TLS",
        value: String::from("ring"),
        problem: error.to_string(),
    })?;
    Ok(client
        .with_root_certificates(roots(config)?)
        .with_no_client_auth())
}

/// Returns the configured root certificates, or else the system's and, for machines without any, the built-in
/// ones.
fn roots(config: &HubConfig) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(named) = &config.certificates else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let found = rustls_native_certs::load_certs_from_paths(named.file.as_deref(), named.folder.as_deref());
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let value = named.file.as_ref().or(named.folder.as_ref());
    let problem = found
        .errors
        .first()
        .map_or_else(|| String::from("found none"), ToString::to_string);
    Err(Error::Config {
        setting: "certificates",
        value: value.map(|path| path.display().to_string()).unwrap_or_default(),
        problem: format!("{problem}; expected certificates in PEM"),
    })
}
