//! `wasi:http` for libraries of other languages: outgoing requests go through the same allow-list
//! as those of `http`.
//!
//! The plugin gets the response as a stream, after it was received as a whole, since secrets are
//! removed from all of it. A request that is in progress when the call ends is given up. There are
//! no trailers, and no informational responses. What an operator should know is the text of an
//! internal error, because the contract of WASI has no other place for it.

use super::requests::{Admitted, Requests};
use crate::limits;
use beadle_egress::{Denied, EgressError, EgressRequest};
use beadle_model::{Coded as _, Refusal};
use bytes::Bytes;
use http::header::{self, HeaderName};
use http_body_util::{BodyExt as _, Full};
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Headers that libraries set and that the host sets itself. Others of its own are refused.
const REPLACED: [HeaderName; 6] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
];

/// A response, and how its connection ends.
type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

/// Sends the requests of an instance.
pub struct Outgoing(pub Arc<Requests>);

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let requests = Arc::clone(&self.0);
        let admitted = requests.admit().and_then(|admitted| requests.wait_from_now_on().map(|()| admitted));
        Box::new(async move {
            let admitted = admitted.map_err(refused)?;
            send(&requests, admitted, request, options).await
        })
    }

    /// The host sets it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        limits::HTTP_CHUNK_BYTES
    }
}

async fn send(
    requests: &Requests,
    admitted: Admitted,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Sent {
    let own = options.and_then(|options| options.first_byte_timeout).unwrap_or(Duration::MAX);
    let limit = admitted.limit.min(own);
    let mut alive = admitted.alive.clone();
    let sending = async {
        let (head, body) = request.into_parts();
        let body = whole(requests, body).await?;
        let mut headers = head.headers;
        REPLACED.iter().for_each(|name| drop(headers.remove(name)));
        let mut request = EgressRequest { method: head.method, url: head.uri.to_string(), headers, body };
        requests.sign(&admitted, &mut request);
        admitted.policies.send(requests.plugin(), request).await.map_err(|error| failed(&error))
    };
    let response = tokio::select! {
        sent = tokio::time::timeout(limit, sending) => sent.unwrap_or(Err(Error::HttpResponseTimeout))?,
        _ = alive.changed() => return Err(Error::ConnectionTerminated),
    };
    if !requests.keep_bytes(response.body.len()) {
        return Err(Error::HttpResponseBodySize(u64::try_from(limits::HTTP_KEPT_BYTES).ok()));
    }
    let body = Full::new(Bytes::from(response.body)).map_err(|never| match never {}).boxed_unsync();
    let mut answer = http::Response::new(body);
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    Ok((answer, Box::new(async { Ok(()) })))
}

/// A body as a whole. A guest can open many requests before it ends one, so that what it has
/// written counts as it comes.
async fn whole(requests: &Requests, mut body: WasiBody) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame?.into_data() else { continue };
        if bytes.len() + part.len() > limits::HTTP_REQUEST_BYTES || !requests.keep_bytes(part.len()) {
            return Err(Error::HttpRequestBodySize(None));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn refused(refusal: Refusal) -> Error {
    let Refusal { code, message, .. } = refusal;
    Error::InternalError(Some(format!("{code}: {message}")))
}

fn failed(error: &EgressError) -> Error {
    match error {
        EgressError::Redirected(error) => failed(error),
        EgressError::RequestTooLarge { .. } => Error::HttpRequestBodySize(None),
        EgressError::ResponseTooLarge { .. } => Error::HttpResponseBodySize(None),
        EgressError::Timeout { .. } => Error::HttpResponseTimeout,
        EgressError::NoResponse { .. } => Error::HttpResponseIncomplete,
        EgressError::Connect { .. } => Error::ConnectionRefused,
        EgressError::Tls { .. } => Error::TlsCertificateError,
        EgressError::Dns { .. } => Error::DnsError { rcode: None, info_code: None },
        EgressError::TooManyRedirects(_) => Error::LoopDetected,
        EgressError::ResponseEncoded { encoding, .. } => Error::HttpResponseContentCoding(Some(encoding.clone())),
        EgressError::Busy(..) | EgressError::Rate { .. } => Error::ConnectionLimitReached,
        // With the lines of TOML that would allow it.
        EgressError::Denied(Denied { code, .. }) => Error::InternalError(Some(format!("{code}: {error}"))),
        EgressError::Header { .. } | EgressError::Client(_) | EgressError::Token(_) => {
            Error::InternalError(Some(format!("{}: {error}", error.code())))
        }
    }
}
