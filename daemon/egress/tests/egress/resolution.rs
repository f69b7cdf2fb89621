//! Names that change their address, and names with several.

use crate::env::{Names, code, egress, get, limits, serve, text};
use axum::Router;
use axum::routing::get as route;
use beadle_egress::{Egress, EgressSettings, Policy, ProxySettings, Rule};
use reqwest::Url;
use std::sync::Arc;

/// An address that is public. No test connects to it.
const PUBLIC: &str = "192.31.196.1";

async fn server() -> u16 {
    serve(Router::new().route("/", route(async || "reached"))).await.port()
}

fn policy(url: &str, networks: &[&str]) -> Policy {
    Policy::new("crm", vec![Rule::new(url, &[], networks).unwrap()])
}

#[tokio::test]
async fn name_that_rebinds_is_refused_when_it_connects() {
    let url = format!("http://rebind.test:{}/", server().await);
    // A check that looks up on its own would see the first address and connect to the second.
    let names = Names::new(&[("rebind.test", &[&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1"]])]);
    let egress = egress(limits(), Arc::clone(&names));
    // The first answer is used for the connection; nothing is looked up again.
    let response = egress.send(&policy(&url, &["loopback"]), get(&url)).await.unwrap();
    assert_eq!(text(&response), "reached");
    assert_eq!(names.lookups(), 1);
    // An idle connection would be used without a look-up.
    egress.forget("crm");
    assert_eq!(code(egress.send(&policy(&url, &["loopback"]), get(&url)).await), "egress-network-not-allowed");
    assert_eq!(names.lookups(), 2);
    assert_eq!(code(egress.send(&policy(&url, &[]), get(&url)).await), "egress-network-not-allowed");
    assert_eq!(names.lookups(), 3);
}

#[tokio::test]
async fn answer_with_one_address_that_is_not_allowed_is_refused() {
    let url = format!("http://mixed.test:{}/", server().await);
    for answer in [&[PUBLIC, "127.0.0.1"][..], &["127.0.0.1", PUBLIC], &["2606:4700::1", "::ffff:127.0.0.1"]] {
        let names = Names::new(&[("mixed.test", &[answer])]);
        assert_eq!(
            code(egress(limits(), names).send(&policy(&url, &[]), get(&url)).await),
            "egress-network-not-allowed"
        );
    }
}

#[tokio::test]
async fn allowed_network_is_reached_by_name_and_by_address() {
    let port = server().await;
    let names = Names::new(&[("crm.test", &[&["127.0.0.1"]])]);
    for url in
        [format!("http://crm.test:{port}/"), format!("http://127.0.0.1:{port}/"), format!("http://127.1:{port}/")]
    {
        let response =
            egress(limits(), Arc::clone(&names)).send(&policy(&url, &["loopback"]), get(&url)).await.unwrap();
        assert_eq!(text(&response), "reached");
        assert_eq!(
            code(egress(limits(), Arc::clone(&names)).send(&policy(&url, &["private"]), get(&url)).await),
            "egress-network-not-allowed"
        );
    }
}

#[tokio::test]
async fn connection_of_one_rule_is_not_used_for_another() {
    let url = format!("http://crm.test:{}/", server().await);
    let names = Names::new(&[("crm.test", &[&["127.0.0.1"]])]);
    let egress = egress(limits(), names);
    egress.send(&policy(&url, &["loopback"]), get(&url)).await.unwrap();
    // The idle connection leads to a network that this rule does not allow.
    assert_eq!(code(egress.send(&policy(&url, &[]), get(&url)).await), "egress-network-not-allowed");
}

#[tokio::test]
async fn proxy_gets_the_request_and_addresses_are_still_checked() {
    let proxy = serve(Router::new().fallback(async |request: axum::extract::Request| {
        format!("proxied {} {}", request.uri(), request.headers()["proxy-authorization"].to_str().unwrap())
    }))
    .await;
    let names: &[(&str, &[&[&str]])] =
        &[("public.test", &[&[PUBLIC]]), ("inside.test", &[&["10.0.0.1"]]), ("proxy.test", &[&["127.0.0.1"]])];
    let settings = EgressSettings {
        limits: limits(),
        proxy: Some(ProxySettings {
            url: Url::parse(&format!("http://proxy.test:{}", proxy.port())).unwrap(),
            basic_auth: Some(("user".into(), beadle_model::Secret::new("password"))),
        }),
        ..EgressSettings::default()
    };
    let egress = Egress::new(settings, Names::new(names)).unwrap();
    for url in ["http://public.test/x", "http://unknown-here.test/x"] {
        let response = egress.send(&policy(url, &[]), get(url)).await.unwrap();
        assert_eq!(text(&response), format!("proxied {url} Basic dXNlcjpwYXNzd29yZA=="));
    }
    for url in ["http://inside.test/x", "http://10.0.0.1/x", "http://[::1]/x"] {
        assert_eq!(code(egress.send(&policy(url, &[]), get(url)).await), "egress-network-not-allowed", "{url}");
    }
}
