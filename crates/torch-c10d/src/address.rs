//! Which of this machine's addresses the others reach it by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};

use launch_environment::Master;

/// The address that packets to `master` leave from. It is found without sending one.
pub(crate) fn towards(master: &Master) -> Option<IpAddr> {
    let mut targets = (master.address.as_str(), master.port).to_socket_addrs().ok()?;
    targets.find_map(source)
}

/// The address that packets to other machines leave from: for the process that serves at an address which
/// its own machine's names lead back to itself, as Debian's do.
pub(crate) fn outward() -> Option<IpAddr> {
    // An address for examples (RFC 5737), which the way out is asked for.
    source(SocketAddr::from(([192, 0, 2, 1], 9)))
}

fn source(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// This process's address among those of all: `own`, unless that leads back to this machine while others
/// are elsewhere.
pub(crate) fn choose(own: Option<IpAddr>, all: &[Option<IpAddr>]) -> Option<IpAddr> {
    let spans_machines = all.iter().flatten().any(|address| !address.is_loopback());
    match own {
        Some(address) if address.is_loopback() && spans_machines => outward(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_on_this_machine_is_reached_from_it() {
        let master = Master {
            address: "127.0.0.1".to_owned(),
            port: 29500,
        };
        assert_eq!(towards(&master), Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_address_that_others_reach_stays() {
        let own = Some(IpAddr::from([10, 0, 0, 1]));
        let local = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_eq!(choose(own, &[own, local]), own);
        assert_eq!(choose(local, &[local, local]), local);
        assert_ne!(choose(local, &[local, own]), local);
    }
}
