//! What the handlers share: reading from the store, names of plugins, and the parameters of
//! requests.

use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use beadle_catalog::CommandError;
use beadle_model::PluginNo;
use beadle_store::{Reader, StoreError};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

/// The answer of a handler.
pub type Answer<T> = Result<Json<T>, ApiError>;

/// The length of a page unless a request says otherwise.
const DEFAULT_PAGE: usize = 50;
/// The maximum length of a page; it is the store's.
pub const MAX_PAGE: usize = 1000;

/// The names of plugins, by number.
pub struct Names(HashMap<PluginNo, String>);

impl Names {
    /// Reads them from the store.
    pub fn read(reader: &Reader) -> Result<Self, StoreError> {
        Ok(Self::new(reader.plugin_names()?))
    }

    /// These, and that of the host.
    pub fn new(names: impl IntoIterator<Item = (PluginNo, String)>) -> Self {
        Self(names.into_iter().chain([(PluginNo::HOST, "beadle".into())]).collect())
    }

    /// The name, or the number if there is none.
    pub fn name(&self, no: PluginNo) -> String {
        self.0.get(&no).cloned().unwrap_or_else(|| format!("plugin {}", no.0))
    }

    /// The number of a plugin.
    pub fn number(&self, name: &str) -> Result<PluginNo, ApiError> {
        let found = self.0.iter().find(|(_, known)| *known == name).map(|(no, _)| *no);
        found.ok_or_else(|| CommandError::Unknown(name.to_owned()).into())
    }
}

/// Reads from the store on a blocking thread.
pub async fn read<T: Send + 'static>(
    admin: &Admin,
    query: impl FnOnce(&Reader, &Names) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let reader = admin.store.reader();
    let result = tokio::task::spawn_blocking(move || {
        let names = Names::read(&reader)?;
        query(&reader, &names)
    });
    result.await.map_err(ApiError::internal)?
}

/// Parses an id.
pub fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(ApiError::bad_request)
}

/// Parses an optional id.
pub fn optional_id<T: FromStr<Err: Display>>(text: Option<&str>) -> Result<Option<T>, ApiError> {
    text.map(id).transpose()
}

/// Finds the variant with this name.
pub fn variant<T: Copy>(
    noun: &str,
    text: Option<&str>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let found = all.iter().copied().find(|variant| name(*variant) == text);
    let names = || all.iter().map(|variant| name(*variant)).collect::<Vec<_>>().join(", ");
    found
        .map(Some)
        .ok_or_else(|| ApiError::bad_request(format!("`{text}` is not a {noun}; the possible values are {}", names())))
}

/// The length of a page.
pub fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
}

/// The channel, where a name is not enough.
#[derive(Debug, Deserialize)]
pub struct ChannelQuery {
    /// Its name.
    pub channel: Option<String>,
}

/// The channel with this name, or the only one.
pub fn channel_named(admin: &Admin, named: Option<String>) -> Result<String, ApiError> {
    let names: Vec<&str> = admin.channels.iter().map(|channel| channel.name.as_str()).collect();
    match (named, names.as_slice()) {
        (Some(name), _) if names.contains(&name.as_str()) => Ok(name),
        (Some(name), _) => Err(ApiError::not_found("channel", &name)),
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) => Err(ApiError::bad_request("no channel is configured")),
        (None, _) => Err(ApiError::bad_request(format!("there are several channels ({}); name one", names.join(", ")))),
    }
}
