//! The app, the business account and the number: subscriptions, attributes, the profile, and
//! blocked users.

use super::call::{Call, CallResult, only, page};
use crate::delivery::handshake;
use crate::people::{self, Person};
use crate::refusal::Refusal;
use crate::webhook_sender::Callback;
use crate::{receipts, view};
use axum::http::Method;
use serde_json::{Value, json};

/// Maximum length of an overriding callback URL (docs/whatsapp.md#handshake).
const MAX_CALLBACK_CHARS: usize = 200;

/// `GET /oauth/access_token`: the app's own token, in exchange for its secret.
pub(super) fn app_token(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    if call.query.get("client_secret").map(String::as_str) != Some(hub.config.app_secret.as_str()) {
        return Err(Refusal::new(1, "Error validating client secret."));
    }
    Ok(json!({"access_token": hub.app_token(), "token_type": "bearer"}))
}

/// `POST /{APP_ID}/subscriptions`: sets the callback, which is verified immediately.
pub(super) async fn subscribe(call: &Call<'_>) -> CallResult {
    if *call.method != Method::POST {
        return Err(call.unsupported());
    }
    if call.parameter("object").as_deref() != Some("whatsapp_business_account") {
        return Err(Refusal::new(100, "Param object must be whatsapp_business_account."));
    }
    let url =
        call.parameter("callback_url").ok_or_else(|| Refusal::new(100, "The parameter callback_url is required."))?;
    let token =
        call.parameter("verify_token").ok_or_else(|| Refusal::new(100, "The parameter verify_token is required."))?;
    set_callback(call, url, token).await
}

/// Sets another callback after it has echoed the challenge.
async fn set_callback(call: &Call<'_>, url: String, verify_token: String) -> CallResult {
    let hub = call.hub;
    let callback = Callback::new(&url, &verify_token).map_err(|error| Refusal::new(100, error))?;
    if let Err(error) = handshake(hub, &callback).await {
        return Err(Refusal::new(2200, format!("Callback verification failed with the following errors: {error}")));
    }
    hub.webhook_sender.set_callback(callback);
    hub.webhook_sender.set_handshake_done();
    hub.publish(|| json!({"kind": "handshake_done"}));
    Ok(json!({"success": true}))
}

/// `/{PHONE_NUMBER_ID}` and its edges, except media, messages and groups.
pub(super) async fn number(call: &Call<'_>) -> CallResult {
    match (call.method, call.edge) {
        (&Method::GET, "") => Ok(only(attributes(call), call.fields().as_deref())),
        (&Method::POST, "") => {
            let body = call.json()?;
            match body.get("webhook_configuration") {
                Some(configuration) => override_callback(call, configuration).await,
                None => Err(Refusal::new(100, "The parameter webhook_configuration is required.")),
            }
        }
        (_, "block_users") => block_users(call),
        (&Method::GET, "whatsapp_business_profile") => Ok(json!({"data": [profile(call)]})),
        (&Method::POST, "whatsapp_business_profile") => {
            let mut profile = call.product_json()?;
            if let Some(profile) = profile.as_object_mut() {
                profile.remove("messaging_product");
            }
            let mut world = call.hub.world();
            if let (Some(current), Value::Object(profile)) = (world.profile.as_object_mut(), profile) {
                current.extend(profile);
            }
            Ok(json!({"success": true}))
        }
        (&Method::POST, "register" | "deregister") => Ok(json!({"success": true})),
        _ => Err(call.unsupported()),
    }
}

fn profile(call: &Call<'_>) -> Value {
    let mut profile = call.hub.world().profile.clone();
    if let Some(profile) = profile.as_object_mut() {
        profile.insert("messaging_product".to_owned(), json!("whatsapp"));
    }
    profile
}

/// The attributes of the number.
fn attributes(call: &Call<'_>) -> Value {
    let hub = call.hub;
    let world = hub.world();
    let tier = match world.faults.messaging_limit {
        0 => "TIER_UNLIMITED".to_owned(),
        limit @ 1..1_000 => format!("TIER_{limit}"),
        limit => format!("TIER_{}K", limit / 1_000),
    };
    let throughput = if world.faults.throughput_per_second == 80 { "STANDARD" } else { "HIGH" };
    json!({
        "id": hub.config.phone_number_id,
        "display_phone_number": format!("+{}", hub.config.display_number),
        "verified_name": "Beadle simulator",
        "quality_rating": world.account.quality.clone().unwrap_or_else(|| "GREEN".to_owned()),
        "code_verification_status": "VERIFIED", "name_status": "APPROVED", "account_mode": "LIVE",
        "platform_type": "CLOUD_API", "status": "CONNECTED",
        "throughput": {"level": throughput},
        "whatsapp_business_manager_messaging_limit": tier,
        "is_official_business_account": world.faults.groups_eligible,
        "webhook_configuration": {"application": hub.webhook_sender.callback().url},
    })
}

/// `/{WABA_ID}` and its edges, except message templates.
pub(super) async fn business(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    match (call.method, call.edge) {
        (&Method::GET, "") => {
            let all = json!({"id": hub.config.business_account_id, "name": "Beadle simulator", "currency": crate::account::currency(),
                "timezone_id": "1", "message_template_namespace": "beadle_simulator", "account_review_status": "APPROVED",
                "business_verification_status": "verified", "country": "NL", "ownership_type": "SELF"});
            Ok(only(all, call.fields().as_deref()))
        }
        (&Method::GET, "phone_numbers") => {
            let (data, paging) = page(call, vec![attributes(call)], 25, 100)?;
            Ok(json!({"data": data, "paging": paging}))
        }
        (&Method::GET, "subscribed_apps") => Ok(
            json!({"data": [{"whatsapp_business_api_data": {"id": "1", "name": "app", "link": hub.webhook_sender.callback().url}}]}),
        ),
        (&Method::POST, "subscribed_apps") => match call.json()? {
            Value::Null => Ok(json!({"success": true})),
            body if body.get("override_callback_uri").is_none() => Ok(json!({"success": true})),
            body => override_callback(call, &body).await,
        },
        (&Method::DELETE, "subscribed_apps") => Ok(json!({"success": true})),
        _ => Err(call.unsupported()),
    }
}

/// Overrides the callback for the account or number; an empty URL restores the configured one.
async fn override_callback(call: &Call<'_>, configuration: &Value) -> CallResult {
    let text = |key: &str| configuration.get(key).and_then(Value::as_str).unwrap_or_default();
    let url = text("override_callback_uri");
    if url.chars().count() > MAX_CALLBACK_CHARS {
        return Err(Refusal::new(
            100,
            format!("Param override_callback_uri must have at most {MAX_CALLBACK_CHARS} characters."),
        ));
    }
    if url.is_empty() {
        let config = &call.hub.config;
        return set_callback(call, config.callback.clone(), config.verify_token.clone()).await;
    }
    set_callback(call, url.to_owned(), text("verify_token").to_owned()).await
}

/// A user in a response: the identities, and the input as the request had it.
fn user(person: &Person, input: &str, now_ms: i64) -> Value {
    let mut user = receipts::participant(person, now_ms);
    if let Some(user) = user.as_object_mut() {
        user.insert("input".to_owned(), json!(input));
    }
    user
}

/// Lists, blocks and unblocks users. Messages from blocked users are not delivered.
fn block_users(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    let now_ms = hub.clock.now_ms();
    if *call.method == Method::GET {
        let world = hub.world();
        let blocked = world.people.iter().filter(|person| person.blocked);
        let input = |person: &Person| person.wa_id(now_ms).unwrap_or(&person.user_id).to_owned();
        let all = blocked.map(|person| user(person, &input(person), now_ms)).collect();
        let (data, paging) = page(call, all, 10, 1_000)?;
        return Ok(json!({"data": data, "paging": paging}));
    }
    let block = *call.method == Method::POST;
    let body = call.product_json()?;
    let users = body.get("block_users").and_then(Value::as_array).filter(|users| !users.is_empty());
    let users = users.ok_or_else(|| Refusal::new(100, "The parameter block_users is required."))?;
    let mut world = hub.world();
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for requested in users {
        let text = |key: &str| requested.get(key).and_then(Value::as_str);
        let input = text("user").or_else(|| text("user_id")).unwrap_or_default();
        let name = people::digits(input).unwrap_or_else(|| input.to_owned());
        let found = world.people.find(&name);
        match found.and_then(|no| world.people.get_mut(no)) {
            Some(person) => {
                person.blocked = block;
                done.push(user(person, input, now_ms));
            }
            None => failed.push(json!({"input": input, "errors": [Refusal::undeliverable().in_status()]})),
        }
        if let Some(no) = found {
            view::publish_person(hub, &world, no);
        }
    }
    let mut result = json!({});
    if let Some(result) = result.as_object_mut() {
        result.insert(if block { "added_users" } else { "removed_users" }.to_owned(), json!(done));
        result.extend((!failed.is_empty()).then(|| ("failed_users".to_owned(), json!(failed))));
    }
    Ok(json!({"messaging_product": "whatsapp", "block_users": result}))
}
