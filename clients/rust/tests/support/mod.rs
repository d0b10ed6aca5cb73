//! A daemon with a certificate of its own, for the tests of TLS.

use std::{
    fs, io,
    path::PathBuf,
    process::{Command, id},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use prost::Message;
use sidecard_client::v1::{GenerateRequest, GenerateResponse};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};

/// The bytes before a message: whether it is compressed, and its length.
const FRAME: usize = 5;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder with what two issuers have signed, made with `openssl`; it goes with its value.
pub struct Certificates(PathBuf);

impl Certificates {
    /// `ca` has signed `daemon`, for localhost, `elsewhere`, for another host, and `client`;
    /// `stranger-ca` has signed `stranger`; `own`, for localhost, has signed itself.
    pub fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sidecard-tls-{}-{number}", id()));
        fs::create_dir(&folder).expect("a folder of our own");
        let made = Self(folder);
        for (issuer, signed) in [
            (
                "ca",
                &[("daemon", "localhost"), ("elsewhere", "sidecard.test"), ("client", "me")][..],
            ),
            ("stranger-ca", &[("stranger", "me")]),
        ] {
            made.openssl(&format!("req -x509 -days 2 {} -out {issuer}.pem", key(issuer)));
            for (name, host) in signed {
                fs::write(made.path("names"), format!("subjectAltName=DNS:{host}")).unwrap();
                made.openssl(&format!("req -new {} -out request", key(name)));
                made.openssl(&format!(
                    "x509 -req -in request -days 2 -set_serial 2 -extfile names \
                     -CA {issuer}.pem -CAkey {issuer}-key.pem -out {name}.pem"
                ));
            }
        }
        let own = "-addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE";
        made.openssl(&format!("req -x509 -days 2 {} {own} -out own.pem", key("own")));
        made
    }

    /// The path of `name`'s certificate.
    pub fn of(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.pem"))
    }

    /// The path of `name`'s key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}-key.pem"))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .output()
            .expect("openssl makes the certificates of this test");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> String {
    format!(
        "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}-key.pem \
         -subj /CN={name}"
    )
}

/// Serves on a port of its own until the test ends, and returns the port.
///
/// `own` is whose certificate is shown; clients have to show one if `mutual`.
pub async fn serve(files: &Certificates, own: &str, mutual: bool) -> u16 {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.of("ca")).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config = ServerConfig::builder();
    let config = match mutual {
        true => config.with_client_cert_verifier(verifier),
        false => config.with_no_client_auth(),
    };
    let chain = vec![CertificateDer::from_pem_file(files.of(own)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(files.key(own)).unwrap();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".into()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            // Who is refused ends in an error, which the client tells of.
            tokio::spawn(async move { answered(acceptor.accept(connection).await?).await });
        }
    });
    port
}

/// Answers each call with its prompt. It is h2 itself, not tonic's server, whose feature would
/// change what tonic's client says of errors, in the driver of the vectors too.
async fn answered(encrypted: TlsStream<TcpStream>) -> io::Result<()> {
    let mut connection = h2::server::handshake(encrypted).await.map_err(io::Error::other)?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call.map_err(io::Error::other)?;
        tokio::spawn(echo(request.into_body(), respond));
    }
    Ok(())
}

async fn echo(mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut asked = BytesMut::new();
    while let Some(part) = body.data().await {
        asked.extend_from_slice(&part?);
    }
    let request = GenerateRequest::decode(asked.split_off(FRAME)).unwrap();
    let answer = GenerateResponse { text: request.prompt, ..Default::default() }.encode_to_vec();
    let mut frame = BytesMut::from(&[0][..]);
    frame.put_u32(answer.len().try_into().unwrap());
    frame.put_slice(&answer);
    let head = http::Response::builder().header("content-type", "application/grpc");
    let mut sending = respond.send_response(head.body(()).unwrap(), false)?;
    sending.send_data(frame.freeze(), false)?;
    let ended = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
    sending.send_trailers(http::HeaderMap::from_iter(ended))
}
