//! Sends requests by `wasi:http`, as a library of another language would, and answers with what
//! came back.
//!
//! Scenarios install it to check that such requests pass the same policy as those of `http`. Not
//! installed anywhere.

use beadle_plugin::prelude::*;

/// The bindings of WASI.
#[cfg(target_family = "wasm")]
mod wasi {
    wit_bindgen::generate!({ path: "wit", world: "fetcher", generate_all });
}

#[derive(Default)]
struct Fetcher;

#[cfg(target_family = "wasm")]
fn fetch(scheme: &str, authority: &str, path: &str) -> Result<String, String> {
    use wasi::wasi::http::outgoing_handler::handle;
    use wasi::wasi::http::types::{Fields, OutgoingRequest, Scheme};
    let failed = |()| "not accepted".to_owned();
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    request.set_scheme(Some(&scheme)).map_err(failed)?;
    request.set_authority(Some(authority)).map_err(failed)?;
    request.set_path_with_query(Some(path)).map_err(failed)?;
    let future = handle(request, None).map_err(|error| format!("{error:?}"))?;
    future.subscribe().block();
    let response = future.get().ok_or("not ready")?.map_err(failed)?.map_err(|error| format!("{error:?}"))?;
    let body = response.consume().map_err(failed)?;
    let stream = body.stream().map_err(failed)?;
    let mut text = Vec::new();
    while let Ok(more) = stream.blocking_read(1 << 16) {
        text.extend(more);
    }
    Ok(format!("{} {}", response.status(), String::from_utf8_lossy(&text)))
}

#[cfg(not(target_family = "wasm"))]
fn fetch(_: &str, _: &str, _: &str) -> Result<String, String> {
    Err("only in the daemon".to_owned())
}

impl OnMessage for Fetcher {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(url) = event.text().and_then(|text| text.strip_prefix("FETCH ")) else {
            return Ok(Disposition::Pass);
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let reply = fetch(scheme, authority, path).unwrap_or_else(|error| error);
        event.reply(reply.chars().take(900).collect::<String>())?;
        Ok(Disposition::Claimed)
    }
}

plugin!(Fetcher: OnMessage);
