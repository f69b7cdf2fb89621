//! What leaves and what comes back, over real sockets: a tiny platform that answers, lies, stalls and hangs up.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking, in its helpers too")]

use beadle_model::content::{Button, Section};
use beadle_model::{Alias, AliasKind, MessageId, Outgoing};
use beadle_pipeline::{Advice, Channel, SendRequest, SendResponse};
use beadle_whatsapp::{ChannelError, CloudChannel, CloudConfig, Secret, http_client};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const TOKEN: &str = "EAAJB-very-secret";

/// What the platform does with the one request it gets.
enum Platform {
    Answers(u16, String),
    /// These bytes, whatever they are.
    Says(&'static [u8]),
    HangsUpAtOnce,
    HangsUpWhenItHasRead,
    Stalls,
}

/// A platform that serves one connection; the request as it came.
async fn platform(does: Platform) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        if let Platform::HangsUpAtOnce = does {
            return String::new();
        }
        let request = request(&mut stream).await;
        match does {
            Platform::Answers(status, body) => {
                let head =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // Whoever has heard enough may hang up.
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
            Platform::Says(bytes) => stream.write_all(bytes).await.unwrap(),
            // Until the other side gives up.
            Platform::Stalls => drop(stream.read(&mut [0; 1]).await),
            Platform::HangsUpWhenItHasRead | Platform::HangsUpAtOnce => {}
        }
        request
    });
    (address, served)
}

/// Head and body, by its `content-length`.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "the request ended early");
        text.extend_from_slice(&part[..length]);
        let so_far = String::from_utf8_lossy(&text).to_lowercase();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return String::from_utf8(text).unwrap();
        }
    }
}

fn config(graph_url: String) -> CloudConfig {
    CloudConfig {
        name: "shop".into(),
        app: "main".into(),
        graph_url,
        graph_version: "v26.0".into(),
        phone_number_id: "106540352242922".into(),
        access_token: Secret::new(TOKEN),
        timeout: CloudConfig::TIMEOUT,
    }
}

fn channel(address: SocketAddr) -> CloudChannel {
    CloudChannel::new(config(format!("http://{address}/")), http_client().unwrap()).unwrap()
}

fn shipment(body: Outgoing) -> SendRequest {
    SendRequest {
        message: MessageId(7),
        to: Alias { kind: AliasKind::WaId, value: "16505551234".into() },
        group: None,
        body,
        callback: "msg_7@c0ffee11".into(),
    }
}

fn text() -> Outgoing {
    Outgoing::Text { body: "hello".into(), preview_url: false, quote: None }
}

fn read() -> Outgoing {
    Outgoing::MarkRead { message: "wamid.1".into() }
}

/// Sends one thing to such a platform; what became of it, and the body it got.
async fn send(shipment: &SendRequest, does: Platform) -> (SendResponse, Value) {
    let (address, served) = platform(does).await;
    let answer = channel(address).send(shipment).await;
    let request = served.await.unwrap();
    (answer, request.split_once("\r\n\r\n").map_or(Value::Null, |(_, body)| serde_json::from_str(body).unwrap()))
}

async fn answer(body: Outgoing, does: Platform) -> SendResponse {
    send(&shipment(body), does).await.0
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
async fn the_request_is_what_the_platform_wants() {
    let (address, served) = platform(Platform::Answers(200, ACCEPTED.into())).await;
    let answer = channel(address).send(&shipment(text())).await;
    assert_eq!(answer, SendResponse::Accepted(Some("wamid.OURS".into())));
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

/// Built from the values of Meta's examples, our bodies are those examples, but for the callback data.
#[tokio::test]
async fn bodies_are_metas_own_examples() {
    let examples = fixtures(include_str!("fixtures/meta/messages_requests.json"));
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
    let read = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUYzMjEzNDM2RTZGQ0MzMDJBRgA=".to_owned();
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
        ("Send typing indicator and read receipt", Outgoing::Typing { to: read }),
    ] {
        let mut shipment = shipment(body);
        shipment.to.value = "{{Recipient-Phone-Number}}".into();
        let (_, mut sent) = send(&shipment, Platform::Answers(200, ACCEPTED.into())).await;
        let callback = sent.as_object_mut().unwrap().remove("biz_opaque_callback_data");
        assert_eq!(callback.is_some(), sent.get("status").is_none(), "{name}");
        let mut example = examples[name].clone();
        if name == "Send Reply to List Message" {
            // Meta's example leaves it out; `type` defaults to text, so that cannot be meant.
            example["type"] = json!("interactive");
        }
        assert_eq!(sent, example, "{name}");
    }
}

#[tokio::test]
async fn everybody_is_addressed_in_their_own_way() {
    for (kind, value, group, to) in [
        (AliasKind::WaId, "16505551234", None, json!({"to": "+16505551234"})),
        (AliasKind::Phone, "+1 (650) 555-1234", None, json!({"to": "+1 (650) 555-1234"})),
        (AliasKind::UserId, "US.13491208655302741918", None, json!({"recipient": "US.13491208655302741918"})),
        (AliasKind::ParentUserId, "US.ENT.1", None, json!({"recipient": "US.ENT.1"})),
        (AliasKind::WaId, "16505551234", Some("Y2FwaQZD".to_owned()), json!({"to": "Y2FwaQZD"})),
    ] {
        let recipient_type = if group.is_some() { "group" } else { "individual" };
        let to_them = SendRequest { to: Alias { kind, value: value.into() }, group, ..shipment(text()) };
        let (_, sent) = send(&to_them, Platform::Answers(200, ACCEPTED.into())).await;
        assert_eq!(sent["recipient_type"], recipient_type);
        for key in ["to", "recipient"] {
            assert_eq!(sent.get(key), to.get(key), "{value}");
        }
    }
    let (_, sent) = send(&shipment(read()), Platform::Answers(200, ACCEPTED.into())).await;
    assert_eq!(sent, json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}));
}

#[tokio::test]
async fn metas_own_answers_are_understood() {
    for (name, example) in fixtures(include_str!("fixtures/meta/messages_responses_200.json")) {
        let accepted = Platform::Answers(200, example.to_string());
        match example["messages"][0]["id"].as_str() {
            Some(id) => match answer(text(), accepted).await {
                // The example's account answers to another number than ours.
                SendResponse::Accepted(Some(told)) | SendResponse::AcceptedWith(Some(told), _) => {
                    assert_eq!(told, id, "{name}")
                }
                other => panic!("{name}: {other:?}"),
            },
            None => assert_eq!(answer(read(), accepted).await, SendResponse::Accepted(None), "{name}"),
        }
    }
}

#[tokio::test]
async fn errors_are_read_by_their_code_whatever_the_status() {
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
        let refused = answer(text(), Platform::Answers(status, error(code, "because"))).await;
        let SendResponse::Refused(problem, given) = refused else { panic!("{refused:?}") };
        assert_eq!((problem.code, given), (code.to_string(), advice));
        assert_eq!((problem.details.as_deref(), problem.by.as_str()), (Some("because"), "platform"));
        assert!(!problem.title.is_empty());
    }
}

#[tokio::test]
async fn only_the_platform_can_refuse() {
    // A server error without the platform's own code may have come after it had taken the message.
    for (status, body) in [(500, ""), (502, "<html>Bad Gateway</html>"), (503, "{\"error\":\"busy\"}"), (200, "{}")] {
        let told = answer(text(), Platform::Answers(status, body.into())).await;
        assert!(matches!(told, SendResponse::Ambiguous(_)), "{status} {body}: {told:?}");
    }
    // These are from somebody in between: the platform never had it.
    for (status, advice) in
        [(404, Advice::Retry { attempts: 3 }), (302, Advice::Retry { attempts: 3 }), (429, Advice::SlowChannel)]
    {
        let told = answer(text(), Platform::Answers(status, "<html>".into())).await;
        let SendResponse::Refused(problem, given) = told else { panic!("{status}: {told:?}") };
        assert_eq!((problem.code.as_str(), given), ("platform-bad-response", advice));
    }
    let told = answer(read(), Platform::Answers(200, ACCEPTED.into())).await;
    assert!(
        matches!(told, SendResponse::Ambiguous(_)),
        "no message was sent, so none can have been accepted: {told:?}"
    );
}

#[tokio::test]
async fn what_never_connected_is_unsent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let told = channel(nobody).send(&shipment(text())).await;
    assert!(matches!(told, SendResponse::NotSent(_)), "{told:?}");
}

#[tokio::test]
async fn what_was_cut_off_is_in_doubt() {
    for does in [
        Platform::HangsUpAtOnce,
        Platform::HangsUpWhenItHasRead,
        Platform::Says(b"\x00\xff not HTTP at all \r\n\r\n"),
        Platform::Says(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"messages\":["),
        Platform::Says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\xff\xfe{["),
    ] {
        let told = answer(text(), does).await;
        let SendResponse::Ambiguous(why) = &told else { panic!("{told:?}") };
        assert!(!why.is_empty() && !why.contains(TOKEN) && !why.contains("127.0.0.1"), "{why}");
    }
}

#[tokio::test]
async fn what_takes_too_long_is_in_doubt() {
    let (address, served) = platform(Platform::Stalls).await;
    let config = CloudConfig { timeout: Duration::from_millis(300), ..config(format!("http://{address}")) };
    let told = CloudChannel::new(config, http_client().unwrap()).unwrap().send(&shipment(text())).await;
    assert!(matches!(&told, SendResponse::Ambiguous(why) if why.contains("timed out")), "{told:?}");
    served.await.unwrap();
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let told = answer(text(), Platform::Answers(502, "x".repeat(10_000_000))).await;
    assert!(matches!(&told, SendResponse::Ambiguous(why) if why.len() < 1000), "{told:?}");
}

#[tokio::test]
async fn the_token_is_told_to_nobody() {
    let malformed = json!({"error": {"code": 190, "message": format!("Malformed access token {TOKEN}")}}).to_string();
    for does in [
        Platform::Answers(401, malformed.clone()),
        Platform::Answers(404, format!("you said {TOKEN}")),
        Platform::Answers(500, format!("you said {TOKEN}")),
    ] {
        let told = format!("{:?}", answer(text(), does).await);
        assert!(!told.contains(TOKEN) && told.contains("***"), "{told}");
    }
    assert!(!format!("{:?}", config("http://localhost".into())).contains(TOKEN));
}

#[test]
fn a_channel_that_cannot_work_is_not_made() {
    for url in ["", "graph.facebook.com", "ftp://graph.facebook.com", "file:///etc"] {
        let made = CloudChannel::new(config(url.into()), http_client().unwrap());
        assert!(matches!(made.err(), Some(ChannelError::BadGraphUrl { .. })), "{url}");
    }
    for token in ["", " ", "two\nlines"] {
        let config = CloudConfig { access_token: Secret::new(token), ..config("http://localhost".into()) };
        let made = CloudChannel::new(config, http_client().unwrap());
        assert!(matches!(made.err(), Some(ChannelError::BadAccessToken { .. })), "{token:?}");
    }
}
