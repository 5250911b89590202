//! The socket that a server listens on.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::ServeError;

/// Listens on `host` (a name or an address) and `port` (0 for any free one), or on the socket that systemd passes to the
/// process (`LISTEN_FDS`).
///
/// # Errors
/// [`ServeError::Listen`] when the address does not exist, is in use, or is not permitted.
pub fn listen(host: &str, port: u16) -> Result<TcpListener, ServeError> {
    let failed = |address: String| move |source| ServeError::Listen { address, source };
    let passed = ListenFd::from_env().take_tcp_listener(0);
    if let Some(listener) = passed.map_err(failed("the socket in LISTEN_FDS".to_owned()))? {
        return Ok(listener);
    }
    // An IPv6 address may be written as in a URL.
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    TcpListener::bind((host, port)).map_err(failed(format!("{host} port {port}")))
}

/// Returns the address of a server for a browser on this machine.
pub(crate) fn url(mut address: SocketAddr) -> String {
    // Nobody can open 0.0.0.0.
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}
