//! TLS with a certificate authority of the operator's, over HTTP/1.1 and HTTP/2.

use crate::env::{Names, code, get, limits, text};
use beadle_egress::{Egress, EgressSettings, Policy, Rule};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const CA: &[u8] = include_bytes!("fixtures/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("fixtures/server.pem");
const KEY: &[u8] = include_bytes!("fixtures/server.key");

/// Serves `protocol` on 127.0.0.1 and answers with the version of the request.
async fn serve(protocol: &'static str) -> u16 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let mut config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                let service = service_fn(move |request: Request<Incoming>| {
                    let text = format!("{:?} {name}", request.version());
                    async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
                });
                if protocol == "h2" {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    _ = builder.serve_connection(TokioIo::new(stream), service).await;
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    _ = builder.serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    });
    port
}

fn client(roots: &[&[u8]]) -> Egress {
    let extra_roots_pem = roots.iter().map(|root| root.to_vec()).collect();
    let settings = EgressSettings { limits: limits(), extra_roots_pem, proxy: None };
    Egress::new(settings, Names::new(&[("crm.test", &[&["127.0.0.1"]]), ("other.test", &[&["127.0.0.1"]])])).unwrap()
}

fn policy(url: &str) -> Policy {
    Policy::new("crm", vec![Rule::new(url, &[], &["loopback"]).unwrap()])
}

#[tokio::test]
async fn both_versions_are_spoken_with_the_name_of_the_url() {
    for (protocol, version) in [("http/1.1", "HTTP/1.1"), ("h2", "HTTP/2.0")] {
        let url = format!("https://crm.test:{}/", serve(protocol).await);
        let response = client(&[CA]).send(&policy(&url), get(&url)).await.unwrap();
        assert_eq!(text(&response), format!("{version} crm.test"));
    }
}

#[tokio::test]
async fn certificate_must_be_trusted_and_for_the_name() {
    let port = serve("http/1.1").await;
    let url = format!("https://crm.test:{port}/");
    assert_eq!(code(client(&[]).send(&policy(&url), get(&url)).await), "egress-tls-failed");
    for host in ["other.test", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/");
        assert_eq!(code(client(&[CA]).send(&policy(&url), get(&url)).await), "egress-tls-failed");
    }
}

#[test]
fn authority_that_cannot_be_read_is_an_error_of_the_configuration() {
    // Also a key instead of a certificate, and an empty file after one that can be used.
    for roots in [vec![b"not PEM".to_vec()], vec![KEY.to_vec()], vec![CA.to_vec(), Vec::new()]] {
        let settings = EgressSettings { extra_roots_pem: roots, ..EgressSettings::default() };
        let error = Egress::new(settings, Arc::new(beadle_egress::SystemResolver)).err().unwrap();
        assert_eq!(beadle_model::Coded::code(&error), "egress-client-failed");
        assert!(error.to_string().ends_with("a file of certificate authorities contains no certificate"), "{error}");
    }
    let damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    let settings = EgressSettings { extra_roots_pem: vec![damaged], ..EgressSettings::default() };
    let result = Egress::new(settings, Arc::new(beadle_egress::SystemResolver));
    assert_eq!(beadle_model::Coded::code(&result.err().unwrap()), "egress-client-failed");
}
