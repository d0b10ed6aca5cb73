//! Encrypted calls, to a daemon with a certificate of its own.

mod support;

use std::{path::PathBuf, process::Command};

use sidecard_client::{Client, InvalidSetting, Reason, Tls};
use support::{Certificates, serve};

/// What a call to the port of localhost answers; its error if it fails.
async fn answer(port: u16, tls: &Tls) -> Result<String, String> {
    let client = Client::encrypted(&format!("localhost:{port}"), tls).expect("good settings");
    match client.generate("abc").await {
        Ok(reply) => Ok(reply.text),
        Err(error) => {
            assert_eq!(error.reason, Reason::Unavailable, "{error:?}");
            Err(error.to_string())
        }
    }
}

fn trusting(issuer: PathBuf) -> Tls {
    Tls { ca_file: Some(issuer), ..Tls::default() }
}

#[tokio::test]
async fn tls_is_spoken_and_checked() {
    let files = Certificates::new();
    let port = serve(&files, "daemon", false).await;
    assert_eq!(answer(port, &trusting(files.of("ca"))).await, Ok("abc".into()));
    let refused = answer(port, &trusting(files.of("stranger-ca"))).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let clear = Client::at(&format!("localhost:{port}")).unwrap();
    clear.generate("abc").await.expect_err("a call in clear is answered");
}

#[tokio::test]
async fn without_an_issuer_those_of_the_system_count() {
    let files = Certificates::new();
    let port = serve(&files, "daemon", false).await;
    match Client::encrypted(&format!("localhost:{port}"), &Tls::default()) {
        Ok(client) => {
            let refused = client.generate("abc").await.expect_err("anybody is believed");
            assert!(refused.message.contains("UnknownIssuer"), "{refused}");
        }
        Err(none) => assert!(none.to_string().contains("certificates"), "{none}"),
    }
}

#[tokio::test]
async fn a_daemon_sees_the_clients_certificate() {
    let files = Certificates::new();
    let port = serve(&files, "daemon", true).await;
    let nameless = trusting(files.of("ca"));
    let showing = |name: &str| Tls {
        cert_file: Some(files.of(name)),
        key_file: Some(files.key(name)),
        ..nameless.clone()
    };
    assert_eq!(answer(port, &showing("client")).await, Ok("abc".into()));
    for refused in [&nameless, &showing("stranger")] {
        answer(port, refused).await.expect_err("a stranger is answered");
    }
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_its_own_issuer() {
    let files = Certificates::new();
    let port = serve(&files, "own", false).await;
    assert_eq!(answer(port, &trusting(files.of("own"))).await, Ok("abc".into()));
}

#[tokio::test]
async fn the_name_in_the_certificate_is_the_addresss_or_the_one_given() {
    let files = Certificates::new();
    let port = serve(&files, "elsewhere", false).await;
    let mut tls = trusting(files.of("ca"));
    let refused = answer(port, &tls).await.unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    tls.server_name = Some("sidecard.test".into());
    assert_eq!(answer(port, &tls).await, Ok("abc".into()));
}

#[tokio::test]
async fn the_environment_encrypts() {
    let files = Certificates::new();
    let port = serve(&files, "elsewhere", true).await;
    let asked = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "asks_as_the_environment_says", "--ignored"])
            .env("SIDECARD_ADDRESS", format!("localhost:{port}"))
            .env("SIDECARD_TLS_CA", files.of("ca"))
            .env("SIDECARD_TLS_CERT", files.of("client"))
            .env("SIDECARD_TLS_KEY", files.key("client"))
            .env("SIDECARD_TLS_NAME", "sidecard.test")
            .output()
            .unwrap()
    });
    let asked = asked.await.unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "the_environment_encrypts runs it, with an environment"]
async fn asks_as_the_environment_says() {
    assert_eq!(Client::new().unwrap().generate("abc").await.unwrap().text, "abc");
    assert!(Client::at("unix:///run/sidecard.sock").is_ok(), "a socket's file isn't encrypted");
}

#[test]
fn a_mistake_is_named() {
    let files = Certificates::new();
    let wrong = |address: &str, tls: &Tls| match Client::encrypted(address, tls) {
        Err(InvalidSetting::Tls(wrong)) => wrong,
        other => panic!("{other:?}"),
    };
    let here = "localhost:1";
    let half = Tls { cert_file: Some(files.of("client")), ..Tls::default() };
    assert!(wrong(here, &half).contains("cert_file and key_file, both"));
    assert!(wrong(here, &trusting("/no/such.pem".into())).contains("can't read /no/such.pem"));
    let key = trusting(files.key("ca"));
    assert!(wrong(here, &key).contains("ca-key.pem has no certificate in PEM"));
    let keyless = Tls { key_file: Some(files.of("ca")), ..half };
    assert!(wrong(here, &Tls { ca_file: Some(files.of("ca")), ..keyless }).contains("client.pem"));
    let socket = wrong("unix:///run/sidecard.sock", &Tls::default());
    assert!(socket.contains("a socket's file, which nothing encrypts"));
}
