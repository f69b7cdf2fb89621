//! Each way in which a template and its parameters may not go together, and the one in which they do.

use super::*;
use crate::templates::{Templates, check_draft};

fn template(format: &str, components: Value) -> Template {
    let draft = check_draft(
        &json!({"name": "t", "language": "en", "category": "UTILITY", "parameter_format": format, "components": components}),
    );
    let mut templates = Templates::default();
    let mut template = templates.create(1, draft.unwrap(), 0).unwrap().clone();
    template.status = Status::Approved;
    template
}

fn order() -> Template {
    template(
        "POSITIONAL",
        json!([
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::x"]}},
            {"type": "BODY", "text": "Hello {{1}}, {{2}} is {{1}}", "example": {"body_text": [["a", "b"]]}},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Thanks"},
                {"type": "URL", "text": "Track", "url": "https://x.example/{{1}}", "example": ["1"]},
            ]},
        ]),
    )
}

fn parameters_for_order() -> Value {
    json!([
        {"type": "header", "parameters": [{"type": "image", "image": {"id": "7"}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "currency", "currency": {"fallback_value": "€ 5"}}]},
        {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "yes-42"}]},
        {"type": "button", "sub_type": "url", "index": 1, "parameters": [{"type": "text", "text": "abc"}]},
    ])
}

#[test]
fn what_its_reader_sees() {
    let seen = fill(&order(), Some(&parameters_for_order())).unwrap();
    assert_eq!(
        seen,
        json!({
            "header": {"type": "image", "image": {"id": "7"}},
            "body": "Hello Ana, € 5 is Ana",
            "buttons": [
                {"type": "quick_reply", "text": "Thanks", "payload": "yes-42"},
                {"type": "url", "text": "Track", "url": "https://x.example/abc"},
            ],
        })
    );
}

#[test]
fn what_does_not_go_together_is_refused_with_its_code() {
    let without = |part: usize| {
        let mut given = parameters_for_order();
        given.as_array_mut().unwrap().remove(part);
        given
    };
    let changed = |pointer: &str, to: Value| {
        let mut given = parameters_for_order();
        *given.pointer_mut(pointer).unwrap() = to;
        given
    };
    for (given, code) in [
        (without(0), 132_012),
        (without(1), 132_000),
        (without(3), 131_008),
        (changed("/0/parameters/0/type", json!("video")), 132_012),
        (changed("/1/parameters/0/text", json!("")), 132_012),
        (changed("/1/parameters/0/text", json!("x".repeat(1025))), 132_005),
        (changed("/3/index", json!(7)), 131_008),
        (changed("/0/type", json!("footer")), 132_012),
    ] {
        assert_eq!(fill(&order(), Some(&given)).unwrap_err().code, code, "{given}");
    }
}

#[test]
fn named_parameters_are_found_by_name() {
    let named = json!([{"type": "BODY", "text": "{{who}}: {{what}}",
        "example": {"body_text_named_params": [{"param_name": "who", "example": "x"}, {"param_name": "what", "example": "y"}]}}]);
    let template = template("NAMED", named);
    let given = |names: [&str; 2]| json!([{"type": "body", "parameters": names.map(|name| json!({"type": "text", "parameter_name": name, "text": name.to_uppercase()}))}]);
    assert_eq!(fill(&template, Some(&given(["what", "who"]))).unwrap()["body"], "WHO: WHAT");
    assert_eq!(fill(&template, Some(&given(["what", "when"]))).unwrap_err().code, 132_000);
}

#[test]
fn only_what_is_approved_goes() {
    for (status, code) in [
        (Status::Pending, 132_001),
        (Status::Rejected, 132_001),
        (Status::Paused, 132_015),
        (Status::Disabled, 132_016),
    ] {
        let template = Template { status, ..order() };
        assert_eq!(fill(&template, Some(&parameters_for_order())).unwrap_err().code, code);
    }
}
