//! How a client makes sure that it speaks to the daemon, and nobody listens.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

const HANDSHAKE: Duration = Duration::from_secs(5);

/// Encrypts the connection, for a daemon with `listen.tls`.
///
/// The files are in PEM, and are read when the client is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The issuers of whom one has to have signed the daemon's certificate.
    /// `None` for those that the system knows.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, for a daemon that wants to see one (mTLS).
    pub cert_file: Option<PathBuf>,
    /// The key of `cert_file`.
    pub key_file: Option<PathBuf>,
    /// The name in the daemon's certificate, where it isn't the host of the address.
    pub server_name: Option<String>,
}

impl Tls {
    /// What `$SIDECARD_TLS_CA`, `_CERT`, `_KEY` and `_NAME` say; `None` where none is set.
    pub fn from_environment() -> Option<Self> {
        Self::said(|name| std::env::var(format!("SIDECARD_TLS_{name}")).ok())
    }

    fn said(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let file = |name| given(name).map(PathBuf::from);
        let tls = Self {
            ca_file: file("CA"),
            cert_file: file("CERT"),
            key_file: file("KEY"),
            server_name: given("NAME"),
        };
        (tls != Self::default()).then_some(tls)
    }

    /// The endpoint, encrypted; an error says which file or which field is wrong, and how.
    pub(crate) fn encrypts(&self, endpoint: Endpoint) -> Result<Endpoint, String> {
        let mut config = ClientTlsConfig::new().timeout(HANDSHAKE);
        config = match &self.ca_file {
            Some(path) => config.ca_certificate(Certificate::from_pem(certificates(path)?)),
            None => config.with_native_roots(),
        };
        config = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                config.identity(Identity::from_pem(certificates(cert)?, read(key)?))
            }
            (None, None) => config,
            _ => return Err("a client's certificate needs cert_file and key_file, both".into()),
        };
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        endpoint.tls_config(config).map_err(|error| {
            let files: Vec<_> = [&self.cert_file, &self.key_file].into_iter().flatten().collect();
            format!("TLS can't be set up with {files:?}: {}", innermost(&error))
        })
    }
}

/// What an error says that led to this one, or else what this one says.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn certificates(path: &Path) -> Result<Vec<u8>, String> {
    let pem = read(path)?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(begin.len()).any(|part| part == begin) {
        Ok(pem)
    } else {
        Err(format!("{} has no certificate in PEM", path.display()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_it_all() {
        assert_eq!(Tls::said(|_| None), None);
        assert_eq!(Tls::said(|_| Some(String::new())), None);
        let tls = Tls::said(|name| Some(format!("a {name}"))).unwrap();
        assert_eq!(tls.ca_file, Some("a CA".into()));
        assert_eq!(tls.cert_file, Some("a CERT".into()));
        assert_eq!(tls.key_file, Some("a KEY".into()));
        assert_eq!(tls.server_name, Some("a NAME".into()));
    }
}
