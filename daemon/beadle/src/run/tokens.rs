//! Refresh tokens that an authorization server has rotated, in the store.

use beadle_egress::{Boxed, Grant, TokenSettings, TokenStore};
use beadle_model::Secret;
use beadle_model::text::hex;
use beadle_store::{RotatedToken, Store};
use sha2::{Digest as _, Sha256};

/// Keeps them in the database.
pub struct RotatedTokens(pub Store);

impl TokenStore for RotatedTokens {
    fn store(&self, settings: &TokenSettings, refresh_token: &Secret) -> Boxed<Result<(), String>> {
        let (store, plugin, name) = (self.0.clone(), settings.plugin.clone(), settings.name.clone());
        let token = RotatedToken { configured: fingerprint(settings), token: refresh_token.expose().to_owned() };
        Box::pin(async move { store.keep_refresh_token(plugin, name, token).await.map_err(|error| error.to_string()) })
    }

    fn load(&self, settings: &TokenSettings) -> Option<Secret> {
        let stored = self.0.reader().refresh_token(&settings.plugin, &settings.name);
        let stored = stored.unwrap_or_else(|error| {
            let (plugin, secret) = (&settings.plugin, &settings.name);
            tracing::warn!(plugin, secret, %error, "stored refresh token not read, the configured one is used");
            None
        });
        let is_current = |token: &RotatedToken| token.configured == fingerprint(settings);
        stored.filter(is_current).map(|token| Secret::new(&token.token))
    }
}

/// Identifies what the operator configured: a stored token belongs to this token, client and
/// server.
fn fingerprint(settings: &TokenSettings) -> String {
    let configured = match &settings.grant {
        Grant::RefreshToken(token) => token.expose(),
        Grant::ClientCredentials => "",
    };
    let parts = [settings.url.as_str(), &settings.client_id, configured];
    hex(parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0])).finalize())
}
