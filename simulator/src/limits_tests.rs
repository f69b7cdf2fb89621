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
