//! Each limit to its last character, each count to its last item.

use super::*;
use serde_json::json;

fn send(kind: &str, body: Value) -> Value {
    let mut request = json!({"messaging_product": "whatsapp", "to": "16505551234", "type": kind});
    request[kind] = body;
    request
}

fn code(request: &Value) -> Option<u32> {
    check(request).err().map(|refusal| refusal.code)
}

fn x(count: usize) -> String {
    "ü".repeat(count)
}

#[test]
fn each_length_is_allowed_to_its_last_character_and_no_further() {
    let button = |id: String, title: String| {
        json!({"type": "button", "body": {"text": "b"},
        "action": {"buttons": [{"type": "reply", "reply": {"id": id, "title": title}}]}})
    };
    let list = |row: Value, section: String, open: String| {
        json!({"type": "list", "body": {"text": "b"},
        "action": {"button": open, "sections": [{"title": section, "rows": [row]}]}})
    };
    let row = |id: usize, title: usize, about: usize| json!({"id": x(id), "title": x(title), "description": x(about)});
    let dressed = |kind: &str, body: usize, header: usize, footer: usize| {
        let mut message = if kind == "list" { list(row(1, 1, 0), x(1), x(1)) } else { button(x(1), x(1)) };
        message["body"]["text"] = json!(x(body));
        message["header"] = json!({"type": "text", "text": x(header)});
        message["footer"] = json!({"text": x(footer)});
        message
    };
    let cases = [
        (send("text", json!({"body": x(4096)})), send("text", json!({"body": x(4097)}))),
        (send("image", json!({"id": "1", "caption": x(1024)})), send("image", json!({"id": "1", "caption": x(1025)}))),
        (send("interactive", button(x(256), x(20))), send("interactive", button(x(257), x(20)))),
        (send("interactive", button(x(256), x(20))), send("interactive", button(x(256), x(21)))),
        (send("interactive", dressed("button", 1024, 60, 60)), send("interactive", dressed("button", 1025, 60, 60))),
        (send("interactive", dressed("button", 1024, 60, 60)), send("interactive", dressed("button", 1024, 61, 60))),
        (send("interactive", dressed("list", 4096, 60, 60)), send("interactive", dressed("list", 4097, 60, 60))),
        (send("interactive", dressed("list", 4096, 60, 60)), send("interactive", dressed("list", 4096, 60, 61))),
        (
            send("interactive", list(row(200, 24, 72), x(24), x(20))),
            send("interactive", list(row(201, 24, 72), x(24), x(20))),
        ),
        (
            send("interactive", list(row(200, 24, 72), x(24), x(20))),
            send("interactive", list(row(200, 25, 72), x(24), x(20))),
        ),
        (
            send("interactive", list(row(200, 24, 72), x(24), x(20))),
            send("interactive", list(row(200, 24, 73), x(24), x(20))),
        ),
        (
            send("interactive", list(row(200, 24, 72), x(24), x(20))),
            send("interactive", list(row(200, 24, 72), x(25), x(20))),
        ),
        (
            send("interactive", list(row(200, 24, 72), x(24), x(20))),
            send("interactive", list(row(200, 24, 72), x(24), x(21))),
        ),
    ];
    for (fits, does_not) in cases {
        assert_eq!(code(&fits), None, "{fits}");
        assert!(matches!(code(&does_not), Some(100 | 131_009)), "{does_not}");
    }
    let with_data = |count| {
        let mut request = send("text", json!({"body": "b"}));
        request["biz_opaque_callback_data"] = json!(x(count));
        request
    };
    assert_eq!(code(&with_data(512)), None);
    assert_eq!(code(&with_data(513)), Some(131_009));
}

#[test]
fn counts_are_kept() {
    let buttons = |count: usize| {
        let buttons: Vec<_> = (0..count)
            .map(|n| json!({"type": "reply", "reply": {"id": format!("{n}"), "title": format!("t{n}")}}))
            .collect();
        send("interactive", json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": buttons}}))
    };
    assert_eq!([0, 1, 3, 4].map(|n| code(&buttons(n))), [Some(131_009), None, None, Some(131_009)]);
    let rows = |sections: usize, rows: usize| {
        let sections: Vec<_> = (0..sections)
            .map(|s| {
                let rows: Vec<_> = (0..rows).map(|r| json!({"id": format!("{s}-{r}"), "title": "t"})).collect();
                json!({"title": "s", "rows": rows})
            })
            .collect();
        let action = json!({"button": "open", "sections": sections});
        send("interactive", json!({"type": "list", "body": {"text": "b"}, "action": action}))
    };
    assert_eq!(code(&rows(10, 1)), None);
    assert_eq!(code(&rows(2, 5)), None);
    // Ten rows in the whole message.
    assert_eq!(code(&rows(2, 6)), Some(131_009));
    assert_eq!(code(&rows(11, 1)), Some(131_009));
    assert_eq!(code(&rows(1, 0)), Some(131_009));
}

#[test]
fn what_is_missing_or_doubled_is_told() {
    let refused = [
        (json!({"to": "1", "type": "text", "text": {"body": "b"}}), 100),
        (json!({"messaging_product": "whatsapp", "type": "text"}), 131_008),
        (send("text", json!({})), 131_008),
        (send("text", json!({"body": ""})), 100),
        (send("poll", json!({})), 100),
        (send("interactive", json!({"type": "button", "body": {"text": "b"}})), 131_008),
        (send("interactive", json!({"type": "poll", "action": {}})), 131_009),
        (send("reaction", json!({"message_id": "wamid.x"})), 131_008),
        (send("audio", json!({"id": "1", "caption": "no"})), 131_009),
        (send("image", json!({})), 131_008),
        (send("template", json!({"name": "Order", "language": {"code": "en"}})), 131_009),
        (send("template", json!({"name": "order"})), 131_008),
        (send("location", json!({"latitude": 91, "longitude": 0})), 131_009),
        (send("contacts", json!([])), 131_008),
    ];
    for (request, expected) in refused {
        assert_eq!(code(&request), Some(expected), "{request}");
    }
    let twins = json!({"type": "reply", "reply": {"id": "a", "title": "A"}});
    let doubled = json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": [twins, twins]}});
    assert_eq!(code(&send("interactive", doubled)), Some(131_009));
    assert_eq!(
        check(&json!({"messaging_product": "whatsapp", "text": {"body": "type is text by default"}})),
        Ok("text")
    );
}

#[test]
fn each_kind_of_action_needs_what_the_platform_says() {
    let action = |kind: &str, action: Value| {
        code(&send("interactive", json!({"type": kind, "body": {"text": "b"}, "action": action})))
    };
    let flow = |more: Value| {
        let mut parameters = json!({"flow_message_version": "3", "flow_cta": x(30)});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        action("flow", json!({"name": "flow", "parameters": parameters}))
    };
    let link = |name: &str, words: usize| {
        action("cta_url", json!({"name": name, "parameters": {"display_text": x(words), "url": "https://x"}}))
    };
    let products = |count: usize| {
        let items = vec![json!({"product_retailer_id": "1"}); count];
        action("product_list", json!({"catalog_id": "7", "sections": [{"title": "t", "product_items": items}]}))
    };
    let cards = |count: usize| action("carousel", json!({"cards": vec![json!({}); count]}));
    for (got, wanted) in [
        (flow(json!({"flow_id": "1"})), None),
        (flow(json!({"flow_id": 1})), None),
        (flow(json!({"flow_name": "n"})), None),
        (flow(json!({"flow_id": "1", "flow_name": "n"})), Some(131_009)),
        (flow(json!({})), Some(131_009)),
        (flow(json!({"flow_id": "1", "flow_cta": x(31)})), Some(131_009)),
        (link("cta_url", 20), None),
        (link("cta_url", 21), Some(131_009)),
        (link("other", 20), Some(131_009)),
        (products(30), None),
        (products(31), Some(131_009)),
        (products(0), Some(131_009)),
        (cards(1), Some(131_009)),
        (cards(2), None),
        (cards(10), None),
        (cards(11), Some(131_009)),
        (action("location_request_message", json!({"name": "send_location"})), None),
        (action("location_request_message", json!({"name": "x"})), Some(131_009)),
        (action("product", json!({"catalog_id": "7"})), Some(131_008)),
        (action("poll", json!({})), Some(131_009)),
    ] {
        assert_eq!(got, wanted);
    }
}

#[test]
fn what_goes_to_groups_and_what_only_there() {
    let to_group = |kind: &str, body: Value| {
        let mut request = send(kind, body);
        request["recipient_type"] = json!("group");
        request["to"] = json!("Y2FwaV9ncm91cDox");
        request
    };
    let pin = |days: i64| json!({"type": "pin", "message_id": "wamid.1", "expiration_days": days});
    for (request, wanted) in [
        (to_group("text", json!({"body": "x"})), None),
        (to_group("pin", pin(1)), None),
        (to_group("pin", pin(30)), None),
        (to_group("pin", pin(31)), Some(131_009)),
        (to_group("pin", json!({"type": "unpin", "message_id": "wamid.1"})), None),
        (send("pin", pin(1)), Some(100)),
        (to_group("reaction", json!({"message_id": "wamid.1", "emoji": "x"})), Some(131_051)),
        (to_group("location", json!({"latitude": 1, "longitude": 1})), Some(131_051)),
    ] {
        assert_eq!(code(&request), wanted, "{request}");
    }
    let mut number = to_group("text", json!({"body": "x"}));
    number["to"] = json!("+1 650 555 1234");
    assert_eq!(code(&number), Some(100), "a number is no group");
}
