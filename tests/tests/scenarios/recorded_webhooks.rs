//! Webhooks in forms that were seen in public recordings and bug reports, posted to the daemon, and
//! what follows from them.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::graph::{self, FakeGraph};
use beadle_test_support::http::Connection;
use beadle_test_support::{time_at, wait_until, webhook};
use serde_json::{Value, json};

/// A webhook with one message; `message` needs neither id nor time stamp.
fn body(contact: &Value, message: &Value, id: &str) -> String {
    let mut message = message.clone();
    message["id"] = json!(id);
    message["timestamp"] = json!(webhook::unix_time_s().to_string());
    json!({"object": "whatsapp_business_account", "entry": [{"id": webhook::BUSINESS_ID, "changes": [{
        "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": webhook::PHONE_NUMBER_ID},
            "contacts": [contact], "messages": [message],
    }}]}]})
    .to_string()
}

async fn post(setup: &Setup, body: &str) {
    let exchange = async { Connection::tcp(&setup.http).await?.exchange(&webhook::signed_request(body)).await };
    assert_eq!(exchange.await.unwrap_or_else(|error: std::io::Error| panic!("{error}")).status, 200);
}

/// A daemon with the plugin `echo`, and the platform that it sends to.
async fn start(
    respond: impl Fn(&graph::ReceivedRequest) -> (u16, Vec<u8>) + Send + Sync + 'static,
) -> (Setup, Daemon, FakeGraph) {
    let graph = FakeGraph::start(respond).await;
    let setup = Setup::new(&graph.url).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    (setup, daemon, graph)
}

fn accepted(_: &graph::ReceivedRequest) -> (u16, Vec<u8>) {
    graph::ok(json!({"messaging_product": "whatsapp", "messages": [{"id": "wamid.OUT"}]}))
}

/// The sends of messages so far.
fn sends(graph: &FakeGraph) -> Vec<Value> {
    graph.requests().iter().map(graph::ReceivedRequest::json).filter(|body| body.get("type").is_some()).collect()
}

async fn wait_for_sends(graph: &FakeGraph, count: usize) -> Vec<Value> {
    wait_until(&format!("{count} messages were sent"), async || (sends(graph).len() >= count).then_some(())).await;
    sends(graph)
}

#[tokio::test]
async fn user_id_in_place_of_a_number_is_answered_by_user_id() {
    let (setup, daemon, graph) = start(accepted).await;
    let id = "PT.70012345678901234567";
    let contact = json!({"profile": {"name": "Marta Pires"}, "wa_id": id, "user_id": id});
    let message = json!({"from": id, "from_user_id": id, "type": "text", "text": {"body": "answer me"}});
    post(&setup, &body(&contact, &message, "wamid.F01")).await;
    let sent = wait_for_sends(&graph, 1).await;
    assert_eq!(sent[0]["recipient"], id, "{sent:?}");
    assert_eq!(sent[0].get("to"), None, "{sent:?}");
    assert_eq!(daemon.list_all("contacts").await.len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn recipient_not_on_a_test_numbers_list_is_reached_in_the_other_spelling() {
    let (setup, daemon, graph) = start(|request| match request.json()["to"].as_str() {
        Some("+5495550100001") => graph::error(400, 131_030),
        _ => accepted(request),
    })
    .await;
    let contact = json!({"profile": {"name": "Eva"}, "wa_id": "5495550100001"});
    let message = json!({"from": "5495550100001", "type": "text", "text": {"body": "hola"}});
    post(&setup, &body(&contact, &message, "wamid.AR1")).await;
    wait_for_sends(&graph, 2).await;
    daemon.wait_until_idle().await;
    post(&setup, &body(&contact, &message, "wamid.AR2")).await;
    let sent = wait_for_sends(&graph, 3).await;
    daemon.wait_until_idle().await;
    let to: Vec<_> = sent.iter().map(|body| text(body, "/to")).collect();
    assert_eq!(to, ["+5495550100001", "+545550100001", "+545550100001"]);
    assert_eq!(daemon.list_all("contacts").await.len(), 1);
    assert_eq!(daemon.list_all("outbox?state=accepted").await.len(), 2);
    let explained = setup.cli(&["explain", "131030"]).await;
    let page = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.status.success() && page.contains("dashboard") && page.contains("Operator."), "{page}");
    daemon.stop().await;
}

#[tokio::test]
async fn stop_on_a_template_button_opts_out() {
    let (setup, daemon, graph) = start(accepted).await;
    for (number, button, id) in [
        ("15550100001", json!({"payload": "optout-7", "text": "STOP"}), "B"),
        ("15550100002", json!({"payload": "STOP", "text": "Stop promotions"}), "C"),
    ] {
        let before = sends(&graph).len();
        let contact = json!({"profile": {"name": "Bo"}, "wa_id": number});
        let hello = |text: &str| json!({"from": number, "type": "text", "text": {"body": text}});
        post(&setup, &body(&contact, &hello("hello"), &format!("wamid.{id}0"))).await;
        wait_for_sends(&graph, before + 1).await;
        let tap = json!({"from": number, "type": "button", "button": button});
        post(&setup, &body(&contact, &tap, &format!("wamid.{id}1"))).await;
        wait_for_sends(&graph, before + 2).await;
        post(&setup, &body(&contact, &hello("are you there"), &format!("wamid.{id}2"))).await;
        daemon.wait_until_idle().await;
        let sent = sends(&graph);
        assert_eq!(sent.len(), before + 2, "one answer to STOP and none after it: {sent:?}");
    }
    let contacts = daemon.list_all("contacts").await;
    assert_eq!(contacts.len(), 2);
    assert!(contacts.iter().all(|contact| time_at(contact, "/opted_out_since").is_some()), "{contacts:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn directional_marks_reach_neither_terminal_nor_log() {
    let (setup, daemon, graph) = start(|_| graph::error(400, 131_026)).await;
    let contact =
        json!({"profile": {"name": "Gus \u{202e})draob( neleH\u{200b} \u{5d0}\u{5d1}"}, "wa_id": "15550100001"});
    let text = "pay \u{202e}0001\u{202c} now \u{2066}\u{2028}end";
    let message = json!({"from": "15550100001", "type": "text", "text": {"body": text}});
    post(&setup, &body(&contact, &message, "wamid.R1")).await;
    // An authentic body that is no webhook, whose error quotes a name.
    let strange = json!({"entry": [{"changes": [{"field": "\u{202e}field\u{2029}", "value": 1}]}]});
    post(&setup, &strange.to_string()).await;
    wait_for_sends(&graph, 1).await;
    daemon.wait_until_idle().await;
    let marks = |c: char| matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let mut all_output = daemon.program.output();
    for line in [
        "contacts list",
        "contacts list --json",
        "events list --json",
        "contacts show con_1",
        "windows list",
        "events list",
        "events show evt_2",
        "why evt_2",
        "outbox list",
        "dead-letters list",
        "dead-letters show whk_1",
        "status",
    ] {
        let output = setup.cli(&line.split(' ').collect::<Vec<_>>()).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.chars().find(|c| marks(*c)), None, "{line}: {text:?}");
        all_output.push_str(&text);
    }
    assert!(
        all_output.contains("neleH") && all_output.contains("\u{5d0}\u{5d1}") && all_output.contains("pay"),
        "{all_output}"
    );
    assert_eq!(all_output.chars().find(|c| marks(*c)), None, "{all_output:?}");
    // The stored text stays as it came.
    let event = daemon.get("events/evt_2").await.to_string();
    assert!(event.contains('\u{202e}') || event.contains("\\u202e"), "{event}");
    daemon.stop().await;
}

/// The platform's notice that a number changed.
fn notice(from: &str, system: Value) -> Value {
    json!({"from": from, "type": "system", "system": system})
}

#[tokio::test]
async fn stop_holds_whenever_and_however_a_changed_number_is_reported() {
    let (setup, daemon, graph) = start(accepted).await;
    for (n, notice_first, with_user_ids, system) in [
        (1, false, false, json!({"type": "user_changed_number", "wa_id": "NEW"})),
        (2, false, true, json!({"type": "user_changed_number", "wa_id": "NEW"})),
        (3, true, true, json!({"type": "user_changed_number", "wa_id": "NEW"})),
        (4, true, false, json!({"new_wa_id": "NEW"})),
        (5, true, false, json!({"type": "changed_number", "wa_id": "NEW"})),
        (6, true, false, json!({"wa_id": "NEW", "body": "Bo heeft een nieuw nummer"})),
    ] {
        let (old, new) = (format!("1555010{n}001"), format!("1555010{n}002"));
        let system: Value = serde_json::from_str(&system.to_string().replace("NEW", &new)).unwrap();
        let text = |number: &str, user: &str, text: &str| {
            let mut contact = json!({"profile": {"name": "Bo"}, "wa_id": number});
            let mut message = json!({"from": number, "type": "text", "text": {"body": text}});
            if with_user_ids {
                let id = format!("US.{n}{user}");
                (contact["user_id"], message["from_user_id"]) = (json!(id), json!(id));
            }
            (contact, message)
        };
        let before = sends(&graph).len();
        let (contact, stop) = text(&old, "1", "STOP");
        post(&setup, &body(&contact, &stop, &format!("wamid.{n}A"))).await;
        let mut expected = before + 1;
        wait_for_sends(&graph, expected).await;
        let report = body(&json!({"wa_id": old}), &notice(&old, system.clone()), &format!("wamid.{n}B"));
        if notice_first {
            post(&setup, &report).await;
        } else {
            let (contact, hello) = text(&new, "2", "hello");
            post(&setup, &body(&contact, &hello, &format!("wamid.{n}C"))).await;
            expected += 1;
            wait_for_sends(&graph, expected).await;
            post(&setup, &report).await;
        }
        let (contact, hello) = text(&new, "2", "are you there");
        post(&setup, &body(&contact, &hello, &format!("wamid.{n}D"))).await;
        daemon.wait_until_idle().await;
        let sent = sends(&graph);
        assert_eq!(sent.len(), expected, "nothing is sent after STOP: {system} {sent:?}");
    }
    let contacts = daemon.list_all("contacts").await;
    assert_eq!(contacts.len(), 6, "{contacts:?}");
    assert!(contacts.iter().all(|contact| time_at(contact, "/opted_out_since").is_some()), "{contacts:?}");
    assert_eq!(daemon.get("contacts/duplicates").await.pointer("/items/0"), None::<&Value>);
    daemon.stop().await;
}

#[tokio::test]
async fn message_that_comes_again_under_an_id_of_another_scope_is_answered_once() {
    let (setup, daemon, graph) = start(accepted).await;
    let contact = json!({"profile": {"name": "Bo"}, "wa_id": "15550100001", "user_id": "US.10001"});
    let message = json!({"from": "15550100001", "from_user_id": "US.10001", "type": "text", "text": {"body": "hi"}});
    for id in [
        "wamid.HBgLMTU1NTAxMDAwMDEVAgARGCAwQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=",
        "wamid.HBgIVVMuMTAwMDEVAgARGCAwQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=",
    ] {
        post(&setup, &body(&contact, &message, id)).await;
        wait_for_sends(&graph, 1).await;
        daemon.wait_until_idle().await;
    }
    assert_eq!(sends(&graph).len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn gravest_error_of_a_receipt_stops_the_channel() {
    for errors in [json!([{"code": 131_026}, {"code": 131_042}]), json!({"code": 131_042})] {
        let (setup, daemon, graph) = start(accepted).await;
        let contact = json!({"profile": {"name": "Bo"}, "wa_id": "15550100001"});
        let hello = json!({"from": "15550100001", "type": "text", "text": {"body": "hello"}});
        post(&setup, &body(&contact, &hello, "wamid.R1")).await;
        wait_for_sends(&graph, 1).await;
        daemon.wait_until_idle().await;
        let status = json!({"id": "wamid.OUT", "status": "failed", "recipient_id": "15550100001",
            "timestamp": webhook::unix_time_s().to_string(), "errors": errors});
        let receipt = json!({"object": "whatsapp_business_account", "entry": [{"id": webhook::BUSINESS_ID, "changes": [{
            "field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550783881", "phone_number_id": webhook::PHONE_NUMBER_ID},
                "statuses": [status],
        }}]}]});
        post(&setup, &receipt.to_string()).await;
        let stopped = |status: &Value| {
            status.get("problems").is_some_and(|problems| problems.to_string().contains("channel-stopped"))
        };
        daemon.wait_for_status(stopped).await;
        daemon.stop().await;
    }
}
