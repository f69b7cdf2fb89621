//! Sending over a real socket, to a platform that also responds incorrectly, closes the connection,
//! or does not respond.

use crate::channel_env::{TOKEN, config, send_request};
use beadle_clock::Clock;
use beadle_model::outgoing::{Button, Section};
use beadle_model::{Alias, AliasKind, Outgoing};
use beadle_pipeline::{Acceptance, Advice, Channel, SendRequest, SendResponse};
use beadle_store::step::Placement;
use beadle_test_support::graph::{self, FakeGraph};
use beadle_whatsapp::{ChannelError, CloudChannel, CloudConfig, HttpClient, Secret};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the platform does with the one request that it receives.
enum Platform {
    /// Responds with an HTTP status and a body.
    Responds(u16, String),
    /// Sends these bytes.
    Sends(&'static [u8]),
    ClosesOnConnect,
    ClosesAfterRequest,
    NeverResponds,
}

/// A raw TCP server for one connection, for responses that are not valid HTTP. Returns the request.
async fn platform(does: Platform) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        if let Platform::ClosesOnConnect = does {
            return String::new();
        }
        let request = read_request(&mut stream).await;
        match does {
            Platform::Responds(status, body) => {
                let head =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // The client may close the connection early.
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
            Platform::Sends(bytes) => stream.write_all(bytes).await.unwrap(),
            // Until the client gives up.
            Platform::NeverResponds => drop(stream.read(&mut [0; 1]).await),
            Platform::ClosesAfterRequest | Platform::ClosesOnConnect => {}
        }
        request
    });
    (address, served)
}

/// Reads one request with a `content-length`.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "the request ended early");
        text.extend_from_slice(&part[..length]);
        let request = String::from_utf8_lossy(&text).to_lowercase();
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return String::from_utf8(text).unwrap();
        }
    }
}

fn channel(address: SocketAddr) -> CloudChannel {
    CloudChannel::new(config(&format!("http://{address}/")), HttpClient::new(&Clock::real()).unwrap()).unwrap()
}

fn text() -> Outgoing {
    Outgoing::Text { body: "hello".into(), preview_url: false, quote: None }
}

fn read_mark() -> Outgoing {
    Outgoing::MarkRead { message: "wamid.1".into() }
}

/// Sends one request to such a platform; returns the outcome and the body that the platform
/// received.
async fn send(request: &SendRequest, does: Platform) -> (SendResponse, Value) {
    let (address, served) = platform(does).await;
    let answer = channel(address).send(request).await;
    let request = served.await.unwrap();
    (answer, request.split_once("\r\n\r\n").map_or(Value::Null, |(_, body)| serde_json::from_str(body).unwrap()))
}

async fn answer(body: Outgoing, does: Platform) -> SendResponse {
    send(&send_request(body), does).await.0
}

fn fixtures(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

const ACCEPTED: &str = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+16505551234","wa_id":"16505551234"}],"messages":[{"id":"wamid.OURS","message_status":"accepted"}]}"#;

fn error(code: u32, details: &str) -> String {
    let error = json!({"message": format!("(#{code}) Something"), "type": "OAuthException", "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details}, "fbtrace_id": "Az8"});
    json!({"error": error}).to_string()
}

#[tokio::test]
async fn request_has_the_documented_form() {
    let (address, served) = platform(Platform::Responds(200, ACCEPTED.into())).await;
    let answer = channel(address).send(&send_request(text())).await;
    assert_eq!(answer, SendResponse::accepted(Some("wamid.OURS".into())));
    let request = served.await.unwrap();
    assert!(request.starts_with("POST /v26.0/106540352242922/messages HTTP/1.1\r\n"), "{request}");
    let head = request.to_lowercase();
    assert!(head.contains(&format!("\r\nauthorization: bearer {}\r\n", TOKEN.to_lowercase())), "{request}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{request}");
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    let expected = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+16505551234",
        "type": "text", "text": {"body": "hello", "preview_url": false}, "biz_opaque_callback_data": "msg_7@c0ffee11"});
    assert_eq!(body, expected);
}

/// Bodies built from the values of Meta's examples equal the examples, except for the callback
/// data.
#[tokio::test]
async fn bodies_equal_metas_examples() {
    let examples = fixtures(include_str!("../fixtures/meta/messages_requests.json"));
    let quote = Some("<MSGID_OF_PREV_MSG>".to_owned());
    let sections = |example: &Value| -> Vec<Section> {
        serde_json::from_value(example["interactive"]["action"]["sections"].clone()).unwrap()
    };
    let list = |quote| Outgoing::List {
        header: Some("<HEADER_TEXT>".into()),
        body: "<BODY_TEXT>".into(),
        footer: Some("<FOOTER_TEXT>".into()),
        button: "<BUTTON_TEXT>".into(),
        sections: sections(&examples["Send List Message"]),
        quote,
    };
    let button = |n: u8| Button { id: format!("<UNIQUE_BUTTON_ID_{n}>"), title: format!("<BUTTON_TITLE_{n}>") };
    let example_text = |body: &str, quote| Outgoing::Text { body: body.into(), preview_url: false, quote };
    let read_id = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUYzMjEzNDM2RTZGQ0MzMDJBRgA=".to_owned();
    for (name, body) in [
        ("Send Text Message", example_text("text-message-content", None)),
        ("Send Reply to Text Message", example_text("<TEXT_MSG_CONTENT>", quote.clone())),
        ("Send List Message", list(None)),
        ("Send Reply to List Message", list(quote)),
        (
            "Send Reply Button",
            Outgoing::Buttons {
                header: None,
                body: "<BUTTON_TEXT>".into(),
                footer: None,
                buttons: vec![button(1), button(2)],
                quote: None,
            },
        ),
        ("Send Reply with Reaction Message", Outgoing::Reaction { to: "wamid.HBgLM...".into(), emoji: "😀".into() }),
        ("Send typing indicator and read receipt", Outgoing::Typing { to: read_id }),
    ] {
        let mut request = send_request(body);
        request.to.value = "{{Recipient-Phone-Number}}".into();
        let (_, mut sent) = send(&request, Platform::Responds(200, ACCEPTED.into())).await;
        let callback = sent.as_object_mut().unwrap().remove("biz_opaque_callback_data");
        assert_eq!(callback.is_some(), sent.get("status").is_none(), "{name}");
        let mut example = examples[name].clone();
        if name == "Send Reply to List Message" {
            // Meta's example omits it; the default is text, which cannot be intended.
            example["type"] = json!("interactive");
        }
        assert_eq!(sent, example, "{name}");
    }
}

#[tokio::test]
async fn recipient_is_addressed_by_its_kind_of_alias() {
    for (kind, value, group, to) in [
        (AliasKind::WaId, "16505551234", None, json!({"to": "+16505551234"})),
        (AliasKind::Phone, "+1 (650) 555-1234", None, json!({"to": "+1 (650) 555-1234"})),
        (AliasKind::UserId, "US.13491208655302741918", None, json!({"recipient": "US.13491208655302741918"})),
        (AliasKind::ParentUserId, "US.ENT.1", None, json!({"recipient": "US.ENT.1"})),
        (AliasKind::WaId, "16505551234", Some("Y2FwaQZD".to_owned()), json!({"to": "Y2FwaQZD"})),
    ] {
        let recipient_type = if group.is_some() { "group" } else { "individual" };
        let request = SendRequest { to: Alias { kind, value: value.into() }, group, ..send_request(text()) };
        let (_, sent) = send(&request, Platform::Responds(200, ACCEPTED.into())).await;
        assert_eq!(sent["recipient_type"], recipient_type);
        for key in ["to", "recipient"] {
            assert_eq!(sent.get(key), to.get(key), "{value}");
        }
    }
    let (_, sent) = send(&send_request(read_mark()), Platform::Responds(200, ACCEPTED.into())).await;
    assert_eq!(sent, json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}));
}

#[tokio::test]
async fn metas_responses_are_accepted() {
    for (name, example) in fixtures(include_str!("../fixtures/meta/messages_responses_200.json")) {
        let accepted = Platform::Responds(200, example.to_string());
        match example["messages"][0]["id"].as_str() {
            Some(id) => match answer(text(), accepted).await {
                // Some examples have another number than the one that we sent to.
                SendResponse::Accepted(accepted) => assert_eq!(accepted.platform_id.as_deref(), Some(id), "{name}"),
                other => panic!("{name}: {other:?}"),
            },
            None => assert_eq!(answer(read_mark(), accepted).await, SendResponse::accepted(None), "{name}"),
        }
    }
}

#[tokio::test]
async fn errors_are_classified_by_code_regardless_of_status() {
    for (status, code, advice) in [
        (400, 131_047, Advice::Fail),
        (400, 130_429, Advice::SlowChannel),
        (429, 131_056, Advice::SlowRecipient),
        (200, 131_056, Advice::SlowRecipient),
        (401, 190, Advice::StopApp),
        (500, 131_000, Advice::Retry { attempts: 3 }),
        (503, 2, Advice::Retry { attempts: 6 }),
        (400, 200, Advice::StopChannel),
        (400, 999_999, Advice::Fail),
        (500, 999_999, Advice::Retry { attempts: 3 }),
    ] {
        let refused = answer(text(), Platform::Responds(status, error(code, "because"))).await;
        let SendResponse::Refused(problem, hint) = refused else { panic!("{refused:?}") };
        assert_eq!((problem.code, hint), (code.to_string(), advice));
        assert_eq!((problem.details.as_deref(), problem.by.as_str()), (Some("because"), "platform"));
        assert!(!problem.title.is_empty());
    }
}

#[tokio::test]
async fn responses_without_a_platform_error_are_classified_by_status() {
    // A server error without the platform's code may be sent after the message was accepted.
    for (status, body) in [(500, ""), (502, "<html>Bad Gateway</html>"), (503, "{\"error\":\"busy\"}"), (200, "{}")] {
        let answer = answer(text(), Platform::Responds(status, body.into())).await;
        assert!(matches!(answer, SendResponse::Ambiguous(_)), "{status} {body}: {answer:?}");
    }
    // These are from a proxy: the platform never received the message.
    for (status, advice) in
        [(404, Advice::Retry { attempts: 3 }), (302, Advice::Retry { attempts: 3 }), (429, Advice::SlowChannel)]
    {
        let answer = answer(text(), Platform::Responds(status, "<html>".into())).await;
        let SendResponse::Refused(problem, hint) = answer else { panic!("{status}: {answer:?}") };
        assert_eq!((problem.code.as_str(), hint), ("platform-bad-response", advice));
    }
    let answer = answer(read_mark(), Platform::Responds(200, ACCEPTED.into())).await;
    assert!(matches!(answer, SendResponse::Ambiguous(_)), "a read mark cannot be accepted as a message: {answer:?}");
}

#[tokio::test]
async fn failed_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let answer = channel(closed).send(&send_request(text())).await;
    assert!(matches!(answer, SendResponse::NotSent(_)), "{answer:?}");
}

#[tokio::test]
async fn interrupted_response_is_ambiguous() {
    for does in [
        Platform::ClosesOnConnect,
        Platform::ClosesAfterRequest,
        Platform::Sends(b"\x00\xff not HTTP at all \r\n\r\n"),
        Platform::Sends(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"messages\":["),
        Platform::Sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\xff\xfe{["),
    ] {
        let answer = answer(text(), does).await;
        let SendResponse::Ambiguous(error) = &answer else { panic!("{answer:?}") };
        assert!(!error.is_empty() && !error.contains(TOKEN) && !error.contains("127.0.0.1"), "{error}");
    }
}

#[tokio::test]
async fn timeout_is_ambiguous() {
    let (address, served) = platform(Platform::NeverResponds).await;
    let config = CloudConfig { timeout: Duration::from_millis(300), ..config(&format!("http://{address}")) };
    let answer =
        CloudChannel::new(config, HttpClient::new(&Clock::real()).unwrap()).unwrap().send(&send_request(text())).await;
    assert!(matches!(&answer, SendResponse::Ambiguous(error) if error.contains("timed out")), "{answer:?}");
    served.await.unwrap();
}

#[tokio::test]
async fn long_response_is_truncated() {
    let answer = answer(text(), Platform::Responds(502, "x".repeat(10_000_000))).await;
    assert!(matches!(&answer, SendResponse::Ambiguous(error) if error.len() < 1000), "{answer:?}");
}

#[tokio::test]
async fn token_is_redacted_in_errors() {
    let malformed = json!({"error": {"code": 190, "message": format!("Malformed access token {TOKEN}")}}).to_string();
    for does in [
        Platform::Responds(401, malformed.clone()),
        Platform::Responds(404, format!("you said {TOKEN}")),
        Platform::Responds(500, format!("you said {TOKEN}")),
    ] {
        let answer = format!("{:?}", answer(text(), does).await);
        assert!(!answer.contains(TOKEN) && answer.contains("***"), "{answer}");
    }
    assert!(!format!("{:?}", config("http://localhost")).contains(TOKEN));
}

#[test]
fn invalid_address_or_token_is_an_error() {
    for url in ["", "graph.facebook.com", "ftp://graph.facebook.com", "file:///etc"] {
        let result = CloudChannel::new(config(url), HttpClient::new(&Clock::real()).unwrap());
        assert!(matches!(result.err(), Some(ChannelError::BadGraphUrl { .. })), "{url}");
    }
    for token in ["", " ", "two\nlines"] {
        let config = CloudConfig { access_token: Secret::new(token), ..config("http://localhost") };
        let result = CloudChannel::new(config, HttpClient::new(&Clock::real()).unwrap());
        assert!(matches!(result.err(), Some(ChannelError::BadAccessToken { .. })), "{token:?}");
    }
}

#[tokio::test]
async fn template_that_is_held_for_quality_is_accepted_and_marked() {
    for (status, is_held) in [("accepted", false), ("held_for_quality_assessment", true), ("new_word", false)] {
        let response = json!({"messages": [{"id": "wamid.1", "message_status": status}]}).to_string();
        let SendResponse::Accepted(accepted) = answer(text(), Platform::Responds(200, response)).await else {
            panic!("not accepted")
        };
        assert_eq!((accepted.platform_id.as_deref(), accepted.is_held), (Some("wamid.1"), is_held), "{status}");
    }
}

#[tokio::test]
async fn number_that_is_not_on_the_list_is_tried_in_its_other_spelling() {
    let graph = FakeGraph::start(|request| match request.json()["to"].as_str() {
        Some("+545550100001") => graph::ok(json!({"messages": [{"id": "wamid.OURS"}]})),
        _ => graph::error(400, 131_030),
    })
    .await;
    let channel = CloudChannel::new(config(&graph.url), HttpClient::new(&Clock::real()).unwrap()).unwrap();
    let mut request = send_request(text());
    request.to.value = "5495550100001".into();
    let SendResponse::Accepted(accepted) = channel.send(&request).await else { panic!("not accepted") };
    let Acceptance { platform_id, events, .. } = accepted;
    assert_eq!(platform_id.as_deref(), Some("wamid.OURS"));
    let Placement::Sender(sender) = &events[0].placement else { panic!("{events:?}") };
    let values: Vec<_> = sender.aliases.iter().map(|alias| alias.value.as_str()).collect();
    assert_eq!(values, ["5495550100001", "545550100001"]);
    // The next message goes to the spelling that worked.
    assert_eq!(channel.send(&request).await, SendResponse::accepted(Some("wamid.OURS".into())));
    assert_eq!(graph.requests().len(), 3);
    request.to.value = "16505551234".into();
    let SendResponse::Refused(problem, Advice::Fail) = channel.send(&request).await else { panic!("not refused") };
    assert_eq!(problem.code, "131030");
    assert_eq!(graph.requests().len(), 4);
}

#[tokio::test]
async fn neither_spelling_on_the_list_is_refused_after_two_requests() {
    let graph = FakeGraph::start(|_| graph::error(400, 131_030)).await;
    let channel = CloudChannel::new(config(&graph.url), HttpClient::new(&Clock::real()).unwrap()).unwrap();
    // Mexico with and without the 1, Argentina with and without the 9.
    for (number, tried) in [
        ("5215550100001", ["+5215550100001", "+525550100001"]),
        ("525550100001", ["+525550100001", "+5215550100001"]),
        ("5495550100001", ["+5495550100001", "+545550100001"]),
        ("545550100001", ["+545550100001", "+5495550100001"]),
    ] {
        let before = graph.requests().len();
        let mut request = send_request(text());
        request.to.value = number.into();
        let SendResponse::Refused(problem, Advice::Fail) = channel.send(&request).await else { panic!("{number}") };
        assert_eq!(problem.code, "131030");
        let sent: Vec<_> = graph.requests()[before..].iter().map(|request| request.json()["to"].clone()).collect();
        assert_eq!(sent, tried, "{number}");
    }
}
