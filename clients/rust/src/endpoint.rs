//! Where the daemon is, and how it is reached.

use std::{fmt, time::Duration};

use tonic::transport::Endpoint;

use crate::tls::Tls;

pub(crate) const SOCKET: &str = "unix:///";

/// What no client can be made with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSetting {
    /// An address that is neither `host:port` nor `unix:///path`.
    Address(String),
    /// What is wrong with [`Tls`], and how.
    Tls(String),
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(given) => write!(f, "{given:?} is neither host:port nor unix:///path"),
            Self::Tls(wrong) => f.write_str(wrong),
        }
    }
}

impl std::error::Error for InvalidSetting {}

/// How a daemon is reached that is beside us, and dependable by itself.
pub(crate) fn endpoint(address: &str, tls: Option<&Tls>) -> Result<Endpoint, InvalidSetting> {
    let invalid = || InvalidSetting::Address(address.into());
    let socket = address.starts_with(SOCKET);
    let uri = match tls {
        Some(_) if socket => {
            let wrong = format!("{address:?} is a socket's file, which nothing encrypts");
            return Err(InvalidSetting::Tls(wrong));
        }
        _ if socket => address.to_owned(),
        _ if address.contains("://") => return Err(invalid()),
        Some(_) => format!("https://{address}"),
        None => format!("http://{address}"),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(|_| invalid())?;
    let endpoint = match tls {
        Some(tls) => tls.encrypts(endpoint).map_err(InvalidSetting::Tls)?,
        None => endpoint,
    };
    // A daemon that hangs is noticed in a long silence too.
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port_or_a_sockets_file() {
        for address in ["localhost:7411", "[::1]:7411", "unix:///run/sidecard.sock"] {
            assert!(endpoint(address, None).is_ok(), "{address}");
        }
        for address in ["http://a:1", "unix://relative", "a b:1", ""] {
            let error = endpoint(address, None).expect_err(address);
            assert!(error.to_string().contains("neither host:port nor unix:///path"));
        }
    }
}
