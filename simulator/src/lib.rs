//! A local WhatsApp: the Cloud API as docs/whatsapp.md describes it, simulated people who write and
//! tap, receipts, virtual time, and fault injection.
//!
//! It is a separate program and shares no type with the daemon; otherwise a misunderstanding that
//! both share would pass every test. It has one business number, with people and groups. It checks
//! what the platform checks, so that a daemon that works here is not refused there. It is not meant
//! to be exposed to a network.
//!
//! `graph` handles requests of the business, `say` messages from people; `receipts`, `scheduled`
//! and `say` make updates, `delivery` posts them to the callback, `faults` decides what goes wrong,
//! `control` is the control API, `page` the chat page. `hub` holds the shared state.

mod account;
mod action;
mod calendar;
mod clock;
mod clock_control;
mod connection;
mod control;
mod delivery;
mod envelope;
mod faults;
mod graph;
mod groups;
mod hub;
mod ids;
mod limits;
mod log;
mod media;
mod messages;
mod page;
mod people;
mod receipts;
mod refusal;
mod request_filter;
mod rng;
mod saved_state;
mod say;
mod scheduled;
mod templates;
mod view;
mod webhook_sender;
mod wire;

pub use clock::ClockKind;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{any, get, post};
use connection::{ConnectionHandle, CuttableListener};
use hub::Hub;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use webhook_sender::{Callback, WebhookSender};

/// Maximum size of a request: the largest file, or a saved state with a few of them.
const MAX_REQUEST_BYTES: usize = media::MAX_UPLOAD_BYTES;

/// Maximum size of a message. The platform's is 64 KiB; tests may need more.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Configuration of a simulator.
#[derive(Clone)]
pub struct Config {
    /// The address to listen on; port 0 selects a free port.
    pub listen: String,
    /// The URL of the daemon's webhook.
    pub callback: String,
    /// The key that signs webhooks.
    pub app_secret: String,
    /// The token of the handshake.
    pub verify_token: String,
    /// The token that Graph API requests must have.
    pub access_token: String,
    /// The number's id, in the paths of the Graph API.
    pub phone_number_id: String,
    /// The account's id, in every webhook.
    pub business_account_id: String,
    /// The business's phone number: digits.
    pub display_number: String,
    /// The seed of the random number generator.
    pub seed: u64,
    /// The kind of clock.
    pub clock: ClockKind,
    /// How fast a virtual clock advances by itself; 0 not at all.
    pub speed: f64,
    /// Whether Ana, Bram and Kadri exist at the start.
    pub default_people: bool,
    /// Further people who exist at the start: name and number.
    pub people: Vec<(String, String)>,
    /// Templates that are approved at the start, in the form of the management API.
    pub templates: Vec<serde_json::Value>,
    /// Maximum number of messages that are kept; older ones are dropped.
    pub max_messages: usize,
    /// Maximum number of log entries that are kept; 0 disables the log.
    pub max_log_entries: usize,
    /// Maximum number of concurrent webhook deliveries.
    pub concurrency: usize,
}

/// Why the simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Cannot listen on the address.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, std::io::Error),
    /// The callback is not a URL.
    #[error("{0}")]
    Callback(String),
    /// A template of the start is invalid.
    #[error("template {0}: {1}")]
    Template(usize, String),
    /// The HTTP client or the system's random number generator failed.
    #[error("{0}")]
    System(String),
}

/// A simulator that is bound to its address.
pub struct Simulator {
    addr: SocketAddr,
    listener: TcpListener,
    hub: Arc<Hub>,
    lanes: webhook_sender::Lanes,
}

impl Simulator {
    /// Binds the address. Nothing is answered or delivered before [`Simulator::run`].
    ///
    /// # Errors
    /// If the address or the callback is invalid, or the system lacks resources.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let callback = Callback::new(&config.callback, &config.verify_token).map_err(StartError::Callback)?;
        let refused = |error| StartError::Listen(config.listen.clone(), error);
        let listener = TcpListener::bind(&config.listen).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let ids = ids::Ids::new().map_err(|error| StartError::System(error.to_string()))?;
        // A process has one TLS provider; if it is installed already, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = delivery::client(config.concurrency).map_err(|error| StartError::System(error.to_string()))?;
        let (webhook_sender, lanes) = WebhookSender::new(config.concurrency, callback);
        let templates = config.templates.clone();
        let hub = Arc::new(Hub::new(config, ids, webhook_sender, client, addr));
        for (index, template) in templates.iter().enumerate() {
            hub.add_template(template).map_err(|refusal| StartError::Template(index, refusal.details))?;
        }
        Ok(Self { addr, listener, hub, lanes })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn run(self) -> Result<(), StartError> {
        let dated_by = Arc::clone(&self.hub);
        delivery::run(&self.hub, self.lanes);
        tokio::spawn(clock_control::run(Arc::clone(&self.hub)));
        let app = Router::new()
            .route("/{version}/{id}/messages", post(graph::messages).layer(DefaultBodyLimit::max(MAX_MESSAGE_BYTES)))
            .route("/{version}/{id}", any(graph::object))
            .route("/{version}/{id}/{edge}", any(graph::object))
            .route("/whatsapp_business/attachments/", get(graph::download))
            .merge(control::routes())
            .merge(page::routes())
            .fallback(graph::unknown_path)
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(self.hub);
        // Around the whole router, because it changes what is routed.
        let app = Router::new()
            .fallback_service(app)
            .layer(axum::middleware::from_fn(request_filter::filter))
            .layer(axum::middleware::from_fn_with_state(dated_by, date));
        let service = app.into_make_service_with_connect_info::<ConnectionHandle>();
        axum::serve(CuttableListener(self.listener), service)
            .await
            .map_err(|error| StartError::System(error.to_string()))
    }
}

/// Dates a response by the simulator's clock, as the platform's responses are dated by its own.
async fn date(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(date) = hub.clock.http_date() {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
