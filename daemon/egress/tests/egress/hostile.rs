//! URLs by which a plugin might reach what the operator did not allow.

use crate::env::{Names, code, egress, get, limits};
use beadle_egress::{Policy, Rule};
use reqwest::Url;

/// What the operator allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Allowed {
    /// `https://api.example.org/v3` and `https://*.wild.example`.
    Api,
    /// Scheme, host and port of the URL, so that only its address can refuse it.
    Host,
}
use Allowed::{Api, Host};

const HOSTILE: &[(Allowed, &str, &str)] = &[
    // Not a URL, or not of HTTP.
    (Api, "", "egress-url-invalid"),
    (Api, "/v3/contacts", "egress-url-invalid"),
    (Api, "//api.example.org/v3", "egress-url-invalid"),
    (Api, "api.example.org/v3", "egress-url-invalid"),
    (Api, "https://", "egress-url-invalid"),
    (Api, "https:///", "egress-url-invalid"),
    (Api, "https://api.example.org:99999/v3", "egress-url-invalid"),
    (Api, "https://api.example.org:port/v3", "egress-url-invalid"),
    (Api, "https://api.example.org:0/v3", "egress-url-invalid"),
    (Api, "https://api exam ple.org/v3", "egress-url-invalid"),
    (Api, "https://api.example.org%00.evil.example/v3", "egress-url-invalid"),
    (Api, "https://api.example.org%2fv3", "egress-url-invalid"),
    (Api, "https://[::1", "egress-url-invalid"),
    (Api, "https://[fe80::1%25eth0]/", "egress-url-invalid"),
    (Api, "https://[fe80::1%eth0]/", "egress-url-invalid"),
    (Api, "https://[::ffff:127.0.0.1.1]/", "egress-url-invalid"),
    (Api, "http://256.256.256.256/", "egress-url-invalid"),
    (Api, "http://1.2.3.4.5/", "egress-url-invalid"),
    (Api, "http://0x100000000/", "egress-url-invalid"),
    (Api, "https://xn--a/", "egress-url-invalid"),
    (Api, "file:///etc/passwd", "egress-scheme-unknown"),
    (Api, "ftp://api.example.org/v3", "egress-scheme-unknown"),
    (Api, "gopher://127.0.0.1:6379/_FLUSHALL", "egress-scheme-unknown"),
    (Api, "dict://127.0.0.1:11211/stat", "egress-scheme-unknown"),
    (Api, "unix:/run/beadle/beadle.sock", "egress-scheme-unknown"),
    (Api, "data:text/plain,hello", "egress-scheme-unknown"),
    (Api, "javascript:alert(1)", "egress-scheme-unknown"),
    (Api, "ws://api.example.org/v3", "egress-scheme-unknown"),
    (Api, "https+unix://%2Frun%2Fbeadle.sock/", "egress-scheme-unknown"),
    // User information and other ways to show one host and mean another.
    (Api, "https://api.example.org@evil.example/v3", "egress-user-info"),
    (Api, "https://api.example.org:443@evil.example/v3", "egress-user-info"),
    (Api, "https://user@api.example.org/v3", "egress-user-info"),
    (Api, "https://:password@api.example.org/v3", "egress-user-info"),
    (Api, "https://evil.example\\@api.example.org/v3", "egress-host-not-allowed"),
    (Api, "https://evil.example#@api.example.org/v3", "egress-host-not-allowed"),
    (Api, "https://evil.example?@api.example.org/v3", "egress-host-not-allowed"),
    (Api, "https:evil.example/v3", "egress-host-not-allowed"),
    (Api, "https:\\\\evil.example\\v3", "egress-host-not-allowed"),
    (Api, "\thttps://evil.exa\nmple/v3", "egress-host-not-allowed"),
    // Almost the allowed host.
    (Api, "https://evil.example/v3", "egress-host-not-allowed"),
    (Api, "https://example.org/v3", "egress-host-not-allowed"),
    (Api, "https://api.example.org.evil.example/v3", "egress-host-not-allowed"),
    (Api, "https://evilapi.example.org/v3", "egress-host-not-allowed"),
    (Api, "https://x.api.example.org/v3", "egress-host-not-allowed"),
    (Api, "https://api.example.org./v3", "egress-url-invalid"),
    (Api, "https://api.example.org../v3", "egress-url-invalid"),
    (Api, "https://.api.example.org/v3", "egress-url-invalid"),
    (Api, "https://api..example.org/v3", "egress-url-invalid"),
    (Api, "https://*.example.org/v3", "egress-url-invalid"),
    (Api, "https://аpi.example.org/v3", "egress-host-not-allowed"), // Cyrillic а
    (Api, "https://api.exampłe.org/v3", "egress-host-not-allowed"),
    (Api, "https://api-example.org/v3", "egress-host-not-allowed"),
    (Api, "https://wild.example/", "egress-host-not-allowed"),
    (Api, "https://evilwild.example/", "egress-host-not-allowed"),
    (Api, "https://.wild.example/", "egress-url-invalid"),
    (Api, "https://a.wild.example.evil.example/", "egress-host-not-allowed"),
    (Api, "https://a.wild.example:8443/", "egress-port-not-allowed"),
    (Api, "https://api.example.org:8443/v3", "egress-port-not-allowed"),
    (Api, "https://api.example.org:22/v3", "egress-port-not-allowed"),
    (Api, "http://api.example.org/v3", "egress-scheme-not-allowed"),
    (Api, "http://api.example.org:443/v3", "egress-scheme-not-allowed"),
    // Other paths of the allowed host.
    (Api, "https://api.example.org/", "egress-path-not-allowed"),
    (Api, "https://api.example.org/v30/contacts", "egress-path-not-allowed"),
    (Api, "https://api.example.org/V3/contacts", "egress-path-not-allowed"),
    (Api, "https://api.example.org//v3/contacts", "egress-path-not-allowed"),
    (Api, "https://api.example.org/v3/../admin", "egress-path-not-allowed"),
    (Api, "https://api.example.org/v3/%2e%2e/admin", "egress-path-not-allowed"),
    (Api, "https://api.example.org/v3/.%2E/admin", "egress-path-not-allowed"),
    (Api, "https://api.example.org\\v3\\..\\admin", "egress-path-not-allowed"),
    (Api, "https://api.example.org/v3/..%2fadmin", "egress-path-ambiguous"),
    (Api, "https://api.example.org/v3/%2e%2e%2fadmin", "egress-path-ambiguous"),
    (Api, "https://api.example.org/v3/%252e%252e%252fadmin", "egress-path-ambiguous"),
    (Api, "https://api.example.org/v3/..%5cadmin", "egress-path-ambiguous"),
    (Api, "https://api.example.org/v3/..;/admin", "egress-path-ambiguous"),
    (Api, "https://api.example.org/v3/%c0%ae%c0%ae/admin", "egress-path-ambiguous"),
    (Api, "https://api.example.org/v3/contacts%00.json", "egress-path-ambiguous"),
    (Api, "https://api.example.org/v3/x%0d%0aHost:%20evil.example", "egress-path-ambiguous"),
    // This machine, in every spelling.
    (Host, "http://127.0.0.1/", "egress-network-not-allowed"),
    (Host, "http://127.0.0.1:8421/api/v1/plugins", "egress-network-not-allowed"),
    (Host, "http://127.1/", "egress-network-not-allowed"),
    (Host, "http://2130706433/", "egress-network-not-allowed"),
    (Host, "http://0x7f000001/", "egress-network-not-allowed"),
    (Host, "http://0x7f.0.0.1/", "egress-network-not-allowed"),
    (Host, "http://0177.0.0.1/", "egress-network-not-allowed"),
    (Host, "http://00000177.1/", "egress-network-not-allowed"),
    (Host, "http://127.255.255.254/", "egress-network-not-allowed"),
    (Host, "http://①②⑦.⓪.⓪.①/", "egress-network-not-allowed"),
    (Host, "http://127。0。0。1/", "egress-network-not-allowed"),
    (Host, "http://127%2e0%2e0%2e1/", "egress-network-not-allowed"),
    (Host, "http://0.0.0.0/", "egress-network-not-allowed"),
    (Host, "http://0/", "egress-network-not-allowed"),
    (Host, "http://[::1]/", "egress-network-not-allowed"),
    (Host, "http://[::]/", "egress-network-not-allowed"),
    (Host, "http://[0:0:0:0:0:0:0:1]/", "egress-network-not-allowed"),
    (Host, "http://[::ffff:127.0.0.1]/", "egress-network-not-allowed"),
    (Host, "http://[::ffff:7f00:1]/", "egress-network-not-allowed"),
    (Host, "http://[::127.0.0.1]/", "egress-network-not-allowed"),
    (Host, "http://[::ffff:0:127.0.0.1]/", "egress-network-not-allowed"),
    (Host, "http://[64:ff9b::7f00:1]/", "egress-network-not-allowed"),
    (Host, "http://[64:ff9b:1::7f00:1]/", "egress-network-not-allowed"),
    (Host, "http://[2002:7f00:1::]/", "egress-network-not-allowed"),
    (Host, "http://[2001:0:808:808::80ff:fffe]/", "egress-network-not-allowed"),
    (Host, "http://localhost/", "egress-network-not-allowed"),
    (Host, "http://LOCALHOST:8421/", "egress-network-not-allowed"),
    (Host, "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "egress-network-not-allowed"),
    (Host, "http://127.0.0.1.nip.example/", "egress-network-not-allowed"),
    // Metadata of clouds.
    (Host, "http://169.254.169.254/latest/meta-data/", "egress-network-not-allowed"),
    (Host, "http://2852039166/", "egress-network-not-allowed"),
    (Host, "http://0xa9fea9fe/", "egress-network-not-allowed"),
    (Host, "http://0251.0376.0251.0376/", "egress-network-not-allowed"),
    (Host, "http://169.254.43518/", "egress-network-not-allowed"),
    (Host, "http://[fd00:ec2::254]/", "egress-network-not-allowed"),
    (Host, "http://[::ffff:a9fe:a9fe]/", "egress-network-not-allowed"),
    (Host, "http://[2002:a9fe:a9fe::]/", "egress-network-not-allowed"),
    (Host, "http://metadata.google.internal/", "egress-network-not-allowed"),
    (Host, "http://100.100.100.200/", "egress-network-not-allowed"),
    (Host, "http://168.63.129.16/", "egress-network-not-allowed"),
    (Host, "http://192.0.0.192/", "egress-network-not-allowed"),
    // Other networks.
    (Host, "http://10.0.0.1/", "egress-network-not-allowed"),
    (Host, "http://172.31.255.255/", "egress-network-not-allowed"),
    (Host, "http://192.168.1.1/", "egress-network-not-allowed"),
    (Host, "http://0300.0250.1.1/", "egress-network-not-allowed"),
    (Host, "http://169.254.1.1/", "egress-network-not-allowed"),
    (Host, "http://100.64.0.1/", "egress-network-not-allowed"),
    (Host, "http://198.18.0.1/", "egress-network-not-allowed"),
    (Host, "http://224.0.0.1/", "egress-network-not-allowed"),
    (Host, "http://255.255.255.255/", "egress-network-not-allowed"),
    (Host, "http://240.0.0.1/", "egress-network-not-allowed"),
    (Host, "http://192.0.2.1/", "egress-network-not-allowed"),
    (Host, "http://[fe80::1]/", "egress-network-not-allowed"),
    (Host, "http://[fc00::1]/", "egress-network-not-allowed"),
    (Host, "http://[fec0::1]/", "egress-network-not-allowed"),
    (Host, "http://[ff02::1]/", "egress-network-not-allowed"),
    (Host, "http://[2001:db8::1]/", "egress-network-not-allowed"),
    (Host, "https://intranet.example/", "egress-network-not-allowed"),
    (Host, "https://mixed.example/", "egress-network-not-allowed"),
    (Host, "https://mixed-v6.example/", "egress-network-not-allowed"),
    (Host, "https://unknown.example/", "egress-dns-failed"),
    (Host, "https://empty.example/", "egress-dns-failed"),
];

fn names() -> std::sync::Arc<Names> {
    Names::new(&[
        ("localhost", &[&["127.0.0.1", "::1"]]),
        ("127.0.0.1.nip.example", &[&["127.0.0.1"]]),
        ("metadata.google.internal", &[&["169.254.169.254"]]),
        ("intranet.example", &[&["10.0.0.1"]]),
        ("mixed.example", &[&["93.184.216.34", "10.0.0.1"]]),
        ("mixed-v6.example", &[&["2606:4700::1", "fe80::1"]]),
        ("empty.example", &[&[]]),
        ("api.example.org", &[&["127.0.0.1"]]),
        ("evil.example", &[&["127.0.0.1"]]),
    ])
}

fn policy(allowed: Allowed, url: &str) -> Policy {
    let rules = match allowed {
        Api => vec!["https://api.example.org/v3".to_owned(), "https://*.wild.example".to_owned()],
        Host => vec![Url::parse(url).unwrap().origin().ascii_serialization()],
    };
    Policy::new("crm", rules.iter().map(|url| Rule::new(url, &[], &[]).unwrap()).collect())
}

#[tokio::test]
async fn hostile_urls_are_refused() {
    assert!(HOSTILE.len() >= 100, "{}", HOSTILE.len());
    for (allowed, url, expected) in HOSTILE {
        let names = names();
        let egress = egress(limits(), names.clone());
        let result = egress.send(&policy(*allowed, url), get(url)).await;
        assert_eq!(code(result), *expected, "{url}");
        assert!(*allowed == Host || names.lookups() == 0, "{url} was resolved");
    }
}

#[tokio::test]
async fn refusals_name_the_lines_that_would_allow_them() {
    for (method, url, networks, toml) in [
        (
            "GET",
            "https://b.example/x?key=1",
            &[][..],
            "[[plugins.crm.egress]]\nurl = \"https://b.example\"\nmethods = [\"GET\"]",
        ),
        (
            "GET",
            "http://api.example.org/v3",
            &[],
            "[[plugins.crm.egress]]\nurl = \"http://api.example.org/v3\"\nmethods = [\"GET\"]",
        ),
        (
            "GET",
            "https://api.example.org:444/v3",
            &[],
            "[[plugins.crm.egress]]\nurl = \"https://api.example.org:444/v3\"\nmethods = [\"GET\"]",
        ),
        (
            "PUT",
            "https://api.example.org/v4/a b",
            &[],
            "[[plugins.crm.egress]]\nurl = \"https://api.example.org/v4/a%20b\"\nmethods = [\"PUT\"]",
        ),
        (
            "PUT",
            "https://api.example.org/v3/x",
            &[],
            "methods = [\"GET\", \"POST\", \"PUT\"]  # in [[plugins.crm.egress]] with url = \"https://api.example.org/v3\"",
        ),
        (
            "GET",
            "https://api.example.org/v3/x",
            &["private"],
            "networks = [\"loopback\", \"private\"]  # in [[plugins.crm.egress]] with url = \"https://api.example.org/v3\"",
        ),
    ] {
        let rule = Rule::new("https://api.example.org/v3", &["GET", "POST"], networks).unwrap();
        let mut request = get(url);
        request.method = method.parse().unwrap();
        let error = egress(limits(), names()).send(&Policy::new("crm", vec![rule]), request).await.unwrap_err();
        let beadle_egress::EgressError::Denied(denied) = &error else { panic!("{error}") };
        assert_eq!(denied.toml.as_deref(), Some(toml), "{url}");
        assert!(error.to_string().ends_with(toml) && !error.to_string().contains("key=1"), "{error}");
        // The named lines do allow it.
        let with_lines = toml.split_once("  #").map_or(toml, |(line, _)| line);
        let value = |key: &str| {
            let line = with_lines.lines().find(|line| line.starts_with(key))?;
            let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            Some(words)
        };
        let url_of = value("url").map_or("https://api.example.org/v3", |words| words[0]);
        let methods = value("methods").unwrap_or(vec!["GET", "POST"]);
        let networks = value("networks").unwrap_or_default();
        let allowed = Policy::new("crm", vec![Rule::new(url_of, &methods, &networks).unwrap()]);
        let method = method.parse().unwrap();
        assert!(allowed.check(&method, &Url::parse(url).unwrap()).is_ok(), "{toml}");
    }
}

#[test]
fn refusals_name_no_lines_that_a_rule_cannot_have() {
    for (method, url, code) in [
        ("TRACE", "https://b.example/", "egress-host-not-allowed"),
        ("get", "https://b.example/", "egress-host-not-allowed"),
        ("CONNECT", "http://api.example.org/v3", "egress-scheme-not-allowed"),
        ("TRACE", "https://api.example.org:444/v3", "egress-port-not-allowed"),
        ("GET", "https://api.example.org/v4//x", "egress-path-not-allowed"),
        ("GET", "https://api.example.org/v4/a%2fb", "egress-path-not-allowed"),
        ("GET", "https://api.example.org/v4/a;b", "egress-path-not-allowed"),
        ("TRACE", "https://api.example.org/v4/x", "egress-path-not-allowed"),
        ("CONNECT", "https://api.example.org/v3/x", "egress-method-not-allowed"),
        ("M1", "https://api.example.org/v3/x", "egress-method-not-allowed"),
    ] {
        let rule = Rule::new("https://api.example.org/v3", &["GET"], &[]).unwrap();
        let method = method.parse().unwrap();
        let denied = Policy::new("crm", vec![rule]).check(&method, &Url::parse(url).unwrap()).unwrap_err();
        assert_eq!(denied.code, code, "{method} {url}");
        assert_eq!(denied.toml, None, "{method} {url}");
    }
}

#[test]
fn bases_of_rules_are_checked() {
    for (url, works) in [
        ("https://api.example.org", true),
        ("https://api.example.org:8443/v3/", true),
        ("http://10.0.0.1", true),
        ("https://[2606:4700::1]:444/a", true),
        ("https://*.example.org", true),
        ("https://bücher.example", true),
        ("https://*.org", false),
        ("https://*", false),
        ("https://a.*.example.org", false),
        ("https://api*.example.org", false),
        ("https://user@api.example.org", false),
        ("https://api.example.org?x", false),
        ("https://api.example.org#x", false),
        ("https://api.example.org.", false),
        ("https://api.example.org:0", false),
        ("https://api.example.org/a/..%2fb", false),
        ("ftp://api.example.org", false),
        ("api.example.org", false),
        ("", false),
    ] {
        assert_eq!(Rule::new(url, &[], &[]).is_ok(), works, "{url}");
    }
    for (methods, works) in [
        (&["PROPFIND", "VERSION-CONTROL"][..], true),
        (&["get"], false),
        (&["CONNECT"], false),
        (&["TRACE"], false),
        (&["*"], false),
        (&[""], false),
    ] {
        assert_eq!(Rule::new("https://a.example", methods, &[]).is_ok(), works, "{methods:?}");
    }
    let error = Rule::new("https://a.example", &[], &["internal"]).unwrap_err().to_string();
    assert!(error.contains("`loopback`, `private`, `link-local`"), "{error}");
}

#[test]
fn wildcard_matches_every_name_below() {
    let policy = policy(Api, "");
    for (url, works) in [
        ("https://a.wild.example/", true),
        ("https://a.b.wild.example/x?y", true),
        ("https://A.WILD.example/", true),
        ("https://wild.example/", false),
    ] {
        let method = reqwest::Method::GET;
        assert_eq!(policy.check(&method, &Url::parse(url).unwrap()).is_ok(), works, "{url}");
    }
}
