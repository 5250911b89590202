//! The address by which the other ranks reach this machine.
//!
//! By default Gloo uses the address that the machine's host name resolves to, which on Debian is a loopback
//! address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};

use launch_environment::Master;

/// Returns the local address of the route to `master`, without sending a packet.
pub(crate) fn towards(master: &Master) -> Option<IpAddr> {
    let mut targets = (master.address.as_str(), master.port).to_socket_addrs().ok()?;
    targets.find_map(source)
}

/// Returns the local address of the route to other machines, for the process that serves the store: its host name
/// may resolve to a loopback address, as on Debian.
pub(crate) fn outward() -> Option<IpAddr> {
    // An address reserved for documentation (RFC 5737): any address outside this network has the same route.
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

/// Chooses the address for this process, given the addresses of all ranks: `own`, unless that is a loopback
/// address and some ranks are on other machines.
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
