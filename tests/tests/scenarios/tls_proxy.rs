//! `config/Caddyfile` in a real Caddy in front of the daemon: webhooks pass unchanged over TLS,
//! everything else is 404.
//!
//! Ignored unless asked for: it needs Caddy, which `cargo xtask test proxy` installs.

use beadle_test_support::daemon::{Setup, free_address};
use beadle_test_support::program::Program;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::{TIMEOUT, wait_until, webhook};
use std::path::Path;
use tokio::process::Command;

/// The repository's Caddyfile for a local host and port, with certificates of Caddy's own
/// authority.
fn caddyfile(address: &str, daemon: &str, storage: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/Caddyfile");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("beadle.example.org {") && text.contains("127.0.0.1:8420"), "{text}");
    let text = text.replace("beadle.example.org {", &format!("https://{address} {{"));
    let text = text.replace("127.0.0.1:8420", daemon);
    let storage = storage.display();
    format!(
        "{{\nadmin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\nstorage file_system {storage}\n}}\n{text}"
    )
}

/// A client that trusts Caddy's authority only.
fn client(root: &[u8]) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(root).unwrap();
    reqwest::Client::builder().no_proxy().timeout(TIMEOUT).tls_certs_only([root]).build().unwrap()
}

#[tokio::test]
#[ignore = "needs Caddy: cargo xtask test proxy"]
async fn caddy_passes_webhooks_on_and_nothing_else() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let _simulator = address.start(&setup).await;

    let folder = tempfile::tempdir().unwrap();
    let port = free_address().rsplit(':').next().unwrap_or_default().to_owned();
    let host = format!("localhost:{port}");
    let config = folder.path().join("Caddyfile");
    std::fs::write(&config, caddyfile(&host, &setup.http, folder.path())).unwrap();
    let mut caddy = Command::new("caddy");
    caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(&config).env("HOME", folder.path());
    let _caddy = Program::start(&mut caddy);
    let root = folder.path().join("pki/authorities/local/root.crt");
    let root = wait_until("Caddy has a certificate", async || std::fs::read(&root).ok()).await;
    let client = client(&root);
    let url = |path: &str| format!("https://{host}{path}");

    let handshake =
        format!("{}?hub.mode=subscribe&hub.challenge=77&hub.verify_token={}", webhook::PATH, webhook::VERIFY_TOKEN);
    let response = wait_until("Caddy listens", async || client.get(url(&handshake)).send().await.ok()).await;
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (200, "77"));

    // Escaped characters, which a proxy that parses and rewrites the body would change.
    let body = webhook::text_message("31610000102", "wamid.TLS", 1_795_424_400, "caf\\u00e9 \\/ bar");
    let post = async |signature: String, body: String| {
        let request = client.post(url(webhook::PATH)).header("X-Hub-Signature-256", signature).body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(webhook::signature(webhook::APP_SECRET, body.as_bytes()), body.clone()).await, 200);
    assert_eq!(post(webhook::signature("another secret", body.as_bytes()), body).await, 403);
    assert_eq!(daemon.list_all("events?kind=message").await.len(), 1);
    let large = " ".repeat(5 << 20);
    // Beadle answers 413 and closes the connection while Caddy still sends; Caddy may report that
    // as 502.
    let status = post(webhook::signature(webhook::APP_SECRET, large.as_bytes()), large).await;
    assert!(matches!(status, 413 | 502), "{status}");

    for path in ["/", "/healthz", "/metrics", "/api/v1/status", "/webhooks"] {
        assert_eq!(client.get(url(path)).send().await.unwrap().status().as_u16(), 404, "{path}");
    }
    daemon.stop().await;
}
