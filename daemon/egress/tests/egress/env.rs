//! Servers, names and requests for tests.

use axum::Router;
use beadle_egress::{
    Egress, EgressError, EgressLimits, EgressRequest, EgressResponse, EgressSettings, Policy, Resolve, Resolving, Rule,
};
use beadle_model::Coded;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A resolver that answers as told: with the next answer for a name, the last one again and again.
#[derive(Default)]
pub struct Names {
    answers: parking_lot::Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    lookups: AtomicUsize,
}

impl Names {
    /// A resolver that knows these names, each with one answer after the other.
    pub fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |answers: &[&[&str]]| {
            answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect()).collect()
        };
        let names = names.iter().map(|(name, answers)| ((*name).to_owned(), parse(answers))).collect();
        Arc::new(Self { answers: parking_lot::Mutex::new(names), lookups: AtomicUsize::new(0) })
    }

    pub fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }
}

impl Resolve for Names {
    fn resolve(&self, host: String) -> Resolving {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let mut names = self.answers.lock();
        let answer = names.get_mut(&host).and_then(|answers| match answers.len() {
            0 | 1 => answers.front().cloned(),
            _ => answers.pop_front(),
        });
        Box::pin(async move { answer.ok_or_else(|| std::io::Error::other("no such name")) })
    }
}

/// Short limits, so that tests of time-outs are fast.
pub fn limits() -> EgressLimits {
    EgressLimits {
        request_bytes: 10_000,
        response_bytes: 10_000,
        header_bytes: 4000,
        connect: Duration::from_secs(2),
        first_byte: Duration::from_secs(5),
        whole: Duration::from_secs(10),
        redirects: 3,
        per_plugin: 4,
        per_host: 8,
    }
}

pub fn egress(limits: EgressLimits, names: Arc<Names>) -> Egress {
    Egress::new(EgressSettings { limits, ..EgressSettings::default() }, names).unwrap()
}

/// A client that knows `localhost.test` and the metadata service.
pub fn local() -> Egress {
    let names: &[(&str, &[&[&str]])] =
        &[("localhost.test", &[&["127.0.0.1"]]), ("metadata.test", &[&["169.254.169.254"]])];
    egress(limits(), Names::new(names))
}

/// A policy of rules that allow `methods` and the network `loopback`.
pub fn policy(urls: &[&str], methods: &[&str]) -> Policy {
    let rules = urls.iter().map(|url| Rule::new(url, methods, &["loopback"]).unwrap()).collect();
    Policy::new("crm", rules)
}

pub fn get(url: &str) -> EgressRequest {
    EgressRequest { method: Method::GET, url: url.to_owned(), headers: HeaderMap::new(), body: Vec::new() }
}

pub fn post(url: &str, body: &str) -> EgressRequest {
    EgressRequest { method: Method::POST, body: body.as_bytes().to_vec(), ..get(url) }
}

pub fn with_header(mut request: EgressRequest, name: &str, value: &str) -> EgressRequest {
    request.headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
    request
}

pub fn text(response: &EgressResponse) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

pub fn code(result: Result<EgressResponse, EgressError>) -> &'static str {
    match result {
        Ok(response) => panic!("a response: {response:?}"),
        Err(error) => error.code(),
    }
}

/// Serves a router on 127.0.0.1.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
            });
        }
    });
    address
}

/// Serves each connection by a function, after the head of the request was read.
pub async fn serve_raw<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream, String) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    use tokio::io::AsyncReadExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            tokio::spawn(serve(stream, String::from_utf8(head).unwrap()));
        }
    });
    address
}

/// What a server received.
#[derive(Clone, Default)]
pub struct Log(Arc<parking_lot::Mutex<Vec<String>>>);

impl Log {
    pub fn push(&self, line: String) {
        self.0.lock().push(line);
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}
