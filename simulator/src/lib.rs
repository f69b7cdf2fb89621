//! A local WhatsApp: the Cloud API's messages as whatsapp.md describes them, people who write and tap, receipts, virtual
//! time, and everything that goes wrong, on demand.
//!
//! It is a program of its own and shares no type with the daemon: what both got wrong in the same way would otherwise pass
//! every test. It knows one business number, its people and its groups. It checks what the platform checks, so that
//! a daemon that is green here is not refused there; it does not try to be fair, fast or safe to put on the Internet.
//!
//! `graph` takes what the business asks for, `say` what people say; `receipts`, `deeds` and `say` make updates, `courier`
//! brings them to the callback, `knobs` says what goes wrong, `control` is the hand on all of it, `page` the chat page.

mod account;
mod chance;
mod civil;
mod clock;
mod control;
mod courier;
mod deeds;
mod graph;
mod groups;
mod hub;
mod ids;
mod knobs;
mod letter;
mod limits;
mod line;
mod log;
mod media;
mod messages;
mod page;
mod people;
mod receipts;
mod refusal;
mod save;
mod say;
mod templates;
mod turning;
mod view;
mod wire;

pub use clock::ClockKind;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};
use courier::{Courier, Target};
use hub::Hub;
use line::{Line, Lines};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The largest request that is read: the largest file there is, or a saved state with some of them.
const MOST_REQUEST_BYTES: usize = media::MOST_UPLOAD_BYTES;

/// A message is 64 KiB at most on the platform; a test's may be larger.
const MOST_MESSAGE_BYTES: usize = 1024 * 1024;

/// What a simulator is made from.
#[derive(Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: String,
    /// The daemon's webhook.
    pub callback: String,
    /// Signs the webhooks.
    pub app_secret: String,
    /// Goes with the handshake.
    pub verify_token: String,
    /// What the daemon must show.
    pub access_token: String,
    /// The number's id, in the path of the Graph API.
    pub phone_number_id: String,
    /// The account's id, in every webhook.
    pub business_account_id: String,
    /// The number as people see it: digits.
    pub display_number: String,
    /// Of chance.
    pub seed: u64,
    /// Which time it is.
    pub clock: ClockKind,
    /// How fast a virtual clock goes by itself; 0 stands still.
    pub speed: f64,
    /// Whether Ana, Bram and Kadri are there at the start.
    pub first_people: bool,
    /// Messages to remember; older ones are forgotten.
    pub keep_messages: usize,
    /// Entries of the log; 0 is no log.
    pub log: usize,
    /// Deliveries side by side.
    pub lanes: usize,
}

/// Why it could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address to listen on, and what is wrong with it.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, std::io::Error),
    /// The callback's address.
    #[error("{0}")]
    Callback(String),
    /// The HTTP client or the system's source of randomness.
    #[error("{0}")]
    System(String),
}

/// A simulator that listens.
pub struct Simulator {
    addr: SocketAddr,
    listener: TcpListener,
    hub: Arc<Hub>,
    lanes: courier::Lanes,
}

impl Simulator {
    /// Binds; nothing is answered or delivered before [`Simulator::run`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let target = Target::new(&config.callback, &config.verify_token).map_err(StartError::Callback)?;
        let refused = |error| StartError::Listen(config.listen.clone(), error);
        let listener = TcpListener::bind(&config.listen).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let ids = ids::Ids::new().map_err(|error| StartError::System(error.to_string()))?;
        // Already set is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = courier::client(config.lanes).map_err(|error| StartError::System(error.to_string()))?;
        let (courier, lanes) = Courier::new(config.lanes, target);
        Ok(Self { addr, listener, hub: Arc::new(Hub::new(config, ids, courier, client, addr)), lanes })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the future is dropped.
    pub async fn run(self) -> Result<(), StartError> {
        courier::run(&self.hub, self.lanes);
        tokio::spawn(turning::run(Arc::clone(&self.hub)));
        let app = Router::new()
            .route("/{version}/{id}/messages", post(graph::messages).layer(DefaultBodyLimit::max(MOST_MESSAGE_BYTES)))
            .route("/{version}/{id}", any(graph::object))
            .route("/{version}/{id}/", any(graph::object))
            .route("/{version}/{id}/{edge}", any(graph::object))
            .route("/whatsapp_business/attachments/", get(graph::download))
            .merge(control::routes())
            .merge(page::routes())
            .fallback(graph::elsewhere)
            .layer(DefaultBodyLimit::max(MOST_REQUEST_BYTES))
            .with_state(self.hub);
        let service = app.into_make_service_with_connect_info::<Line>();
        axum::serve(Lines(self.listener), service).await.map_err(|error| StartError::System(error.to_string()))
    }
}
