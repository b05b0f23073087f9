//! Under which address a server enters its cluster.
//!
//! The address is the server's name there, and how everybody reaches it. One that means something else on
//! another machine is refused at the start, where somebody is looking.

// rules: allow net: names are resolved once, at the start of a process of production
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The address to advertise: what was asked for, else the one listened on with the port that was bound.
///
/// # Errors
///
/// In words, with the cure, if others cannot reach it: it means all addresses, or this very machine although
/// the view service is on another one.
pub fn advertised(
    listen: &str,
    bound: SocketAddr,
    advertise: Option<&str>,
    view_service: &str,
) -> Result<String, String> {
    let (host, _) = listen.rsplit_once(':').ok_or("an address has a port")?;
    let address = match advertise {
        Some(address) => address.to_owned(),
        None if bound.ip().is_unspecified() => {
            return Err(format!(
                "{listen} means all addresses of this machine; say with --advertise host:port under which one others \
                 reach this server, or listen on that one"
            ));
        }
        None => format!("{host}:{}", bound.port()),
    };
    check_reached(&address)?;
    if is_loopback(&address) && is_elsewhere(view_service) {
        return Err(format!(
            "on another machine {address} means that machine itself, and the view service ({view_service}) is on \
             another one; say with --advertise host:port under which address others reach this server"
        ));
    }
    Ok(address)
}

/// Whether an address can be a server's name.
///
/// # Errors
///
/// In words, if others cannot connect to it.
pub fn check_reached(address: &str) -> Result<(), String> {
    if means_all(address) {
        return Err(format!(
            "other machines cannot connect to {address}: it means all addresses of a machine; say with --advertise host:port under \
             which one others reach this server"
        ));
    }
    Ok(())
}

fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn means_all(address: &str) -> bool {
    let host = host(address);
    host == "0" || host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())
}

fn is_loopback(address: &str) -> bool {
    let host = host(address).trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// Whether a name is known to belong to other interfaces than loopback. An unknown name may be known later.
fn is_elsewhere(address: &str) -> bool {
    if is_loopback(address) || means_all(address) {
        return false;
    }
    let found: Vec<SocketAddr> = address.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    !found.is_empty() && found.iter().all(|found| !found.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(listen: &str, bound: &str, advertise: Option<&str>, vs: &str) -> Result<String, String> {
        advertised(listen, bound.parse().expect("an address"), advertise, vs)
    }

    #[test]
    fn an_address_that_others_can_use_is_advertised() {
        for (listen, bound, advertise, vs, expected) in [
            ("localhost:0", "127.0.0.1:7", None, "localhost:8000", "localhost:7"),
            ("[::1]:0", "[::1]:7", None, "127.0.0.1:8000", "[::1]:7"),
            ("10.0.0.1:8001", "10.0.0.1:8001", None, "10.0.0.2:8000", "10.0.0.1:8001"),
            ("0.0.0.0:8001", "0.0.0.0:8001", Some("db1:8001"), "10.0.0.2:8000", "db1:8001"),
            ("localhost:8001", "127.0.0.1:8001", Some("db1:8001"), "10.0.0.2:8000", "db1:8001"),
        ] {
            assert_eq!(said(listen, bound, advertise, vs).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn an_address_that_means_something_else_elsewhere_is_refused() {
        for (listen, bound, advertise, vs) in [
            ("0.0.0.0:1", "0.0.0.0:1", None, "localhost:8000"),
            ("[::0]:1", "[::]:1", None, "localhost:8000"),
            ("0:1", "0.0.0.0:1", None, "localhost:8000"),
            ("localhost:1", "127.0.0.1:1", Some("[::0]:1"), "localhost:8000"),
            ("localhost:8001", "127.0.0.1:8001", None, "10.0.0.2:8000"),
            ("127.0.0.1:8001", "127.0.0.1:8001", None, "10.0.0.2:8000"),
            ("10.0.0.1:8001", "10.0.0.1:8001", Some("LocalHost.:8001"), "10.0.0.2:8000"),
            ("[::1]:8001", "[::1]:8001", None, "[2001:db8::1]:8000"),
        ] {
            let why = said(listen, bound, advertise, vs).expect_err(listen);
            assert!(why.contains("--advertise host:port"), "{why}");
        }
    }
}
