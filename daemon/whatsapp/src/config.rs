//! Configuration of a Meta app, and the lookups that parsing needs: which channel a number or an
//! account belongs to.

use beadle_model::keyword::{Language, OwnWords};
use beadle_model::{Alias, AliasKind, Secret, language_of_number};
use beadle_store::step::ConsentTopic;
use std::collections::HashMap;

/// Configuration of an [`App`].
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// The app's name in the configuration.
    pub name: String,
    /// The token that the platform sends with the handshake.
    pub verify_token: Secret,
    /// The key that signs webhooks. If it is empty, every webhook is refused.
    pub app_secret: Secret,
    /// Channel names by `phone_number_id`.
    pub channels: HashMap<String, String>,
    /// Channel names by `business_account_id`, where configured: account notifications carry no
    /// number.
    pub accounts: HashMap<String, Vec<String>>,
    /// The tag of this installation ([`beadle_store`]'s `install`). Only receipts that carry it are
    /// for our messages.
    pub install: String,
    /// The sender's name in replies to STOP and the other reserved words. If it is empty, they read
    /// as from "us".
    pub brand: String,
    /// The language of those replies where the word itself does not determine one.
    pub language: Language,
    /// The operator's own words, each of which opts in to the topic at the same position.
    pub own_words: OwnWords,
    /// What they opt in to.
    pub topics: Vec<ConsentTopic>,
    /// Whether to guess a contact's language from the country of their number until they state one.
    pub language_from_number: bool,
}

impl AppConfig {
    pub(crate) fn channel(&self, phone_number_id: &str) -> Option<&str> {
        self.channels.get(phone_number_id).map(String::as_str)
    }

    /// The channel of an account; `None` if the account has several or is not configured.
    pub(crate) fn only_channel(&self, account: &str) -> Option<&str> {
        let of_account = self.accounts.get(account).map(Vec::as_slice);
        match of_account {
            Some([only]) => Some(only),
            Some(_) => None,
            // An app with one number has one account.
            None if self.channels.len() == 1 => self.channels.values().next().map(String::as_str),
            None => None,
        }
    }

    /// The language of the country of a contact's number, if guessing is enabled.
    pub(crate) fn guess_language(&self, aliases: &[Alias]) -> Option<String> {
        if !self.language_from_number {
            return None;
        }
        let number = aliases.iter().find(|alias| matches!(alias.kind, AliasKind::Phone | AliasKind::WaId))?;
        language_of_number(&number.value).map(str::to_owned)
    }
}
